"""The claim "one folder": Kiln's client is short, leans on nothing but the mechanism, and the suite runs on it."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.integration.systems import SYSTEMS, KilnSystem

HERE = Path(__file__).parent
CLIENT = sorted(path for path in HERE.glob("*.py") if path.name != "server.py" and not path.name.startswith("test_"))


def imported(path: Path) -> set[str]:
    """The names of all modules that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names.add(node.module or "")
    return names


def test_the_client_is_a_folder_as_those_of_airflow_provider() -> None:
    assert [path.name for path in CLIENT] == ["__init__.py", "adapter.py", "hook.py", "operators.py", "sensors.py"]


def test_the_client_has_fewer_than_150_lines() -> None:
    assert 0 < sum(len(path.read_text().splitlines()) for path in CLIENT) < 150


def test_the_client_imports_only_the_mechanism() -> None:
    ours = {"airflow_provider.execution", "airflow_provider.errors", "tests.integration.made_up"}
    foreign = {
        name
        for path in CLIENT
        for name in imported(path)
        if name.split(".")[0] in ("airflow_provider", "tests") and not any(name == one or name.startswith(f"{one}.") for one in ours)
    }
    assert foreign == set()
    assert "tests.integration.made_up.server" not in {name for path in CLIENT for name in imported(path)}


def test_the_whole_suite_runs_on_it() -> None:
    """It lacks nothing that is common to systems: only oddities of others, arguments that may be secret, and a plan of its start."""
    assert SYSTEMS["kiln"] is KilnSystem
    assert KilnSystem.lacks.keys() == {
        "not_executed",
        "plan",
        "secret arguments",
        "secrets in texts",
        "gate in a step",
        "no marker in lists",
        "marker in the inputs",
        "new id when run again",
        "older log routes",
        "log offsets",
    }
