"""The layout: which folder may import which, no circles, and what a DAG file may import (see CONTRIBUTING)."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from airflow_provider.provider_info import SYSTEMS
from tests.unit.test_imports import HEAVY, LIGHT, RUFF

PACKAGE = Path(__file__).parents[2] / "airflow_provider"
GROUND = ["airflow_provider", "_clock", "_compat", "_lazy", "_metrics", "_text", "_token_shapes", "errors"]
FLOORS = {
    "execution": [["model"], ["attempt"], ["results"], ["http"], ["waiting"], ["asset_watching", "in_triggerer"], ["tasks"]],
    "audit": [
        ["settings"],
        ["analysis"],
        ["facts"],
        ["records"],
        ["definitions"],
        ["collect"],
        ["rules"],
        ["engine"],
        ["reports"],
        ["airflow_task"],
    ],
}
"""Folders from the ground up: each imports those below it. A module beside the folders stands on top."""
GRAMMARS = {"airflow_provider.audit.analysis.shell.bash", "airflow_provider.audit.analysis.shell.powershell"}
"""Each shell can run a command of the other."""


@cache
def modules() -> Mapping[str, Path]:
    """Name to path of every module of the package."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports_of(module: str) -> frozenset[str]:
    """Modules of the package that one imports, wherever in its text, for types as well."""
    return frozenset(_imports(module))


def _imports(module: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(modules()[module].read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" if f"{node.module}.{alias.name}" in modules() else node.module for alias in node.names]
        yield from (name for name in names if name in modules() and name != module)


def floor(module: str) -> int:
    _, part, folder, *_ = [*module.split("."), ""]
    return next((number for number, folders in enumerate(FLOORS[part]) if folder in folders), len(FLOORS[part]))


@pytest.mark.parametrize("part", FLOORS)
def test_every_folder_has_a_floor(part: str) -> None:
    folders = {path.name for path in (PACKAGE / part).iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders == {folder for folders in FLOORS[part] for folder in folders}


@pytest.mark.parametrize("part", FLOORS)
def test_folders_import_only_downwards(part: str) -> None:
    inside = f"airflow_provider.{part}."
    arrows = [(module, target) for module in modules() if module.startswith(inside) for target in imports_of(module)]
    within = [(module, target) for module, target in arrows if target.startswith(inside)]
    apart = [(module, target) for module, target in within if module.split(".")[2] != target.split(".")[2]]
    assert [(module, target) for module, target in apart if floor(module) <= floor(target)] == []


def test_the_mechanism_knows_no_system() -> None:
    inside = "airflow_provider.execution"
    arrows = [(module, target) for module in modules() if module.startswith(inside) for target in imports_of(module)]
    assert [
        (module, target)
        for module, target in arrows
        if not target.startswith(inside) and target.removeprefix("airflow_provider.") not in GROUND
    ] == []


@pytest.mark.parametrize("folder", ["execution", "audit", "emulator", *SYSTEMS])
def test_there_is_no_circle_of_imports(folder: str) -> None:
    inside = f"airflow_provider.{folder}."
    graph = {
        module: {target for target in imports_of(module) if target.startswith(inside) and not (module in GRAMMARS and target in GRAMMARS)}
        for module in modules()
        if module.startswith(inside)
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_system_knows_neither_the_others_nor_audits_and_emulator(system: str) -> None:
    others = tuple(f"airflow_provider.{name}." for name in [*SYSTEMS, "audit", "emulator"] if name != system)
    inside = f"airflow_provider.{system}."
    assert [
        (module, target) for module in modules() if module.startswith(inside) for target in imports_of(module) if target.startswith(others)
    ] == []


@pytest.mark.parametrize("system", SYSTEMS)
def test_the_api_of_a_system_knows_nothing_of_what_is_made_of_it(system: str) -> None:
    inside, above = f"airflow_provider.{system}.api.", f"airflow_provider.{system}.executions"
    assert [
        (module, target) for module in modules() if module.startswith(inside) for target in imports_of(module) if target.startswith(above)
    ] == []


def test_the_systems_have_the_same_shape() -> None:
    every = {"hook", "operators", "sensors", "triggers", "base", "ref", "api.routes", "api.models", "api.requests", "api.error_texts"}
    every |= {"executions.adapter", "executions.mapping", "executions.logs"}
    for system in SYSTEMS:
        assert {name for name in every if f"airflow_provider.{system}.{name}" not in modules()} == set(), system


def test_every_module_is_light_or_heavy() -> None:
    """A new module that is on neither side belongs into a folder that is."""
    unchecked = [pattern for pattern, rules in RUFF["per-file-ignores"].items() if "TID253" in rules and "{" not in pattern]
    unknown = []
    for module, path in modules().items():
        if any(module == name or module.startswith(f"{name}.") for name in HEAVY) or module.endswith((".hook", ".triggers", ".__main__")):
            continue
        if not any(fnmatchcase(module, pattern) and module.count(".") == pattern.count(".") for pattern in LIGHT):
            unknown.append(module)
        elif any(path.relative_to(PACKAGE.parent).match(pattern) for pattern in unchecked):
            unknown.append(f"{module}: light, but the linter does not check it")
    assert unknown == []


def test_no_file_is_too_long() -> None:
    flat = {"buddy/hook.py", "tracecat/hook.py", "alga_psa/hook.py"}
    lengths = {path.relative_to(PACKAGE).as_posix(): len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert {name: length for name, length in lengths.items() if length > 500 and name not in flat} == {}
