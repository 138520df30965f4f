"""The public face: what the rendered reference and an editor show of operators and sensors."""

from __future__ import annotations

import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseOperator, BaseSensorOperator

from airflow_provider.execution.tasks import existing, operator, search_sensor, sensor, signatures
from airflow_provider.provider_info import SYSTEMS

ROOT = Path(__file__).parents[2]
MODULES = [
    *(f"airflow_provider.{system}.{kind}" for system in SYSTEMS for kind in ("operators", "sensors")),
    "airflow_provider.buddy.gate_operator",
    "airflow_provider.tracecat.gate_operator",
    "airflow_provider.audit.operators",
]
SAMPLE = """
from datetime import timedelta

from airflow.sdk import DAG

from airflow_provider.alga_psa.operators import AlgaPsaExecuteRuleOperator
from airflow_provider.buddy.operators import BuddyCancelExecutionOperator, BuddyRunPipelineOperator
from airflow_provider.buddy.sensors import BuddyExecutionSensor, BuddyPipelineSensor
from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator

with DAG("sample"):
    BuddyRunPipelineOperator(task_id="a", pipeline="release", retries=3, deferrable=True, timeout=timedelta(hours=1))
    BuddyRunPipelineOperator(task_id="b", pipeline="release", deferable=True)  # wrong
    BuddyRunPipelineOperator(task_id="c", pipeline="release", retires=3)  # wrong
    BuddyCancelExecutionOperator(task_id="d", ref="w/p/1/2", poll_intervall=5)  # wrong
    BuddyExecutionSensor(task_id="e", ref="w/p/1/2", poke_interval=5, soft_fail=True)
    BuddyExecutionSensor(task_id="f", ref="w/p/1/2", poll_interval=5)  # wrong
    BuddyPipelineSensor(task_id="g", pipeline=1, match="latest", start_after="2026-01-01")  # wrong
    TracecatRunWorkflowOperator(task_id="h", workflow="w", log_line=5)  # wrong
    AlgaPsaExecuteRuleOperator(task_id="i", rule="r", timeout=60, push_output=["a"])  # wrong
"""


def classes() -> Iterator[type[BaseOperator]]:
    for name in MODULES:
        module = import_module(name)
        for item in vars(module).values():
            public = isinstance(item, type) and issubclass(item, BaseOperator) and not item.__name__.startswith("_")
            if public and item.__module__ == name:
                yield item


def arguments(cls: type[Any]) -> set[str]:
    """All arguments that a class of the package takes, but for Airflow's own."""
    names: set[str] = set()
    for base in cls.__mro__:
        if base.__module__.startswith("airflow_provider.") and "__init__" in vars(base):
            names |= {name for name, one in inspect.signature(base.__init__).parameters.items() if one.kind is one.KEYWORD_ONLY}
    return names


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The reference, rendered as text."""
    folder = tmp_path_factory.mktemp("reference")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "sphinx", "--quiet", "-b", "text", "-c", str(ROOT / "docs")),
            *("-D", "root_doc=reference", "-D", "include_patterns=reference.md", str(ROOT / "docs"), str(folder)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=1_000,
    )
    assert (folder / "reference.txt").exists(), done.stderr
    return (folder / "reference.txt").read_text()


def section(reference: str, cls: type[Any]) -> str:
    name = f"{cls.__module__}.{cls.__qualname__}"
    match = re.search(rf"^class {re.escape(name)}\(.*?(?=^class |\Z)", reference, re.MULTILINE | re.DOTALL)
    assert match is not None, f"{name} is not in the reference"
    return match[0]


@pytest.mark.long
@pytest.mark.timeout(1_000)
def test_the_reference_shows_every_argument_with_its_meaning(reference: str) -> None:
    missing = []
    for cls in classes():
        text = re.sub(r"\s+", " ", section(reference, cls))
        missing += [
            f"{cls.__name__}: {name}" for name in sorted(arguments(cls)) if not re.search(rf"\*\*{name}\*\* (\(.*?\) )?-- \S", text)
        ]
    assert missing == []


@pytest.mark.parametrize(
    ("shared", "cls", "base"),
    [
        (signatures.ExecutionArguments, operator.ExecutionOperator, BaseOperator),
        (signatures.GetArguments, existing.ExecutionGetOperator, BaseOperator),
        (signatures.SensorArguments, sensor.ExecutionSensor, BaseSensorOperator),
        (signatures.SearchArguments, search_sensor.ExecutionSearchSensor, BaseSensorOperator),
    ],
)
def test_the_types_name_what_the_constructors_take(shared: Any, cls: type[Any], base: type[Any]) -> None:
    airflow = set().union(*(inspect.signature(one.__init__).parameters for one in base.__mro__ if issubclass(one, BaseOperator)))
    airflow -= {"self", "kwargs"}
    names = set(shared.__annotations__) | {
        key for one in getattr(shared, "__orig_bases__", ()) for key in getattr(one, "__annotations__", ())
    }
    assert names - airflow == arguments(cls) - {"ref"}
    assert airflow <= names, "an argument of Airflow that an editor would call wrong"


@pytest.mark.long
@pytest.mark.timeout(1_000)
@pytest.mark.parametrize("checker", ["mypy", "pyrefly"])
def test_an_editor_reports_a_wrong_argument(checker: str, tmp_path: Path) -> None:
    (tmp_path / "sample.py").write_text(SAMPLE)
    readme = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert readme is not None
    (tmp_path / "readme.py").write_text(readme[1])
    found = checked(checker, tmp_path)
    wrong = {number for number, line in enumerate(SAMPLE.splitlines(), 1) if line.endswith("# wrong")}
    assert {line for name, line in found if name == "sample.py"} == wrong
    assert [line for name, line in found if name == "readme.py"] == []


def checked(checker: str, folder: Path) -> set[tuple[str, int]]:
    """File and line of what a type checker reports."""
    if checker == "mypy":
        command = [
            sys.executable,
            "-m",
            "mypy",
            "--no-error-summary",
            "--hide-error-context",
            "--cache-dir",
            str(ROOT / ".mypy_cache" / "editors"),
        ]
        told = subprocess.run([*command, "sample.py", "readme.py"], cwd=folder, capture_output=True, text=True, check=False, timeout=1_000)
        assert told.returncode in (0, 1), told.stdout + told.stderr
        return {(match[1], int(match[2])) for match in re.finditer(r"^(\S+\.py):(\d+): error", told.stdout, re.MULTILINE)}
    command = ["pyrefly", "check", "--output-format", "json", "--python-interpreter-path", sys.executable, "--search-path", str(ROOT)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    told = subprocess.run(
        [*command, "sample.py", "readme.py"],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=1_000,
    )
    errors = json.loads(told.stdout)["errors"]
    return {(Path(one["path"]).name, one["line"]) for one in errors if one.get("severity", "error") == "error"}
