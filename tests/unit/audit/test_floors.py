"""The audit's folders stand on each other: a module imports from its own floor and from those below, and in no circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import airflow_provider.audit

AUDIT = airflow_provider.audit.__name__
ROOT = Path(airflow_provider.audit.__file__).parent
FLOORS = ("settings", "analysis", "facts", "records", "collect", "rules", "engine", "reports", "airflow_task")
"""The lowest first. What is in none of them is on top."""
GRAMMARS = {f"{AUDIT}.analysis.shell.{name}" for name in ("bash", "powershell")}
"""Each parses the strings that it gives to the other's shell."""


def modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join([AUDIT, *(part for part in parts if part != "__init__")])] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Modules of the audit that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(AUDIT):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                yield name if name in known else node.module


def floor(module: str) -> int:
    folder = module.removeprefix(f"{AUDIT}.").partition(".")[0]
    return FLOORS.index(folder) if folder in FLOORS else len(FLOORS)


def test_no_module_imports_from_a_floor_above_its_own() -> None:
    known = modules()
    assert [(name, other) for name, path in known.items() for other in imported(path, known) if floor(other) > floor(name)] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    known = modules()
    graph = {name: set(imported(path, known)) - {name} - (GRAMMARS if name in GRAMMARS else set()) for name, path in known.items()}
    TopologicalSorter(graph).prepare()


def test_each_folder_is_a_floor() -> None:
    assert {path.name for path in ROOT.iterdir() if path.is_dir() and path.name != "__pycache__"} == set(FLOORS)
