"""DAG files are parsed again and again: what they import stays light."""

from __future__ import annotations

import json
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from airflow_provider.provider_info import SYSTEMS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
RUFF = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
HEAVY: list[str] = RUFF["flake8-tidy-imports"]["banned-module-level-imports"]
"""Packages, whatever is in them, that nothing may import at module level which a DAG file imports."""
LATE = ["airflow_provider.*.hook", "airflow_provider.execution.results.outputs", "airflow_provider.audit.airflow_task", "starlette"]
"""What is imported when a task runs, too."""
LIGHT = [
    "airflow_provider",
    "airflow_provider.*",
    "airflow_provider.audit.operators",
    "airflow_provider.execution.*",
    "airflow_provider.execution.attempt.*",
    "airflow_provider.execution.model.*",
    "airflow_provider.execution.results.*",
    "airflow_provider.execution.tasks.*",
    "airflow_provider.pages.*",
    "airflow_provider.buddy.gate_operator",
    "airflow_provider.tracecat.gate_operator",
    *(f"airflow_provider.{system}.{name}" for system in SYSTEMS for name in ("base", "gates", "link", "operators", "ref", "sensors")),
]
"""What a DAG file may import."""


TOLD = """
import json, os, sys
for first, then in json.loads(sys.argv[1]):
    exec(first)
    before = set(sys.modules)
    if not (child := os.fork()):
        try:
            exec(then)
            print(json.dumps(sorted(set(sys.modules) - before)), flush=True)
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0, then
"""


def new_modules(*pairs: tuple[str, str]) -> list[list[str]]:
    """What modules the second of each pair adds to those of the first, and of the first ones before it; in a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", TOLD, json.dumps(pairs)], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()[-len(pairs) :]]


def is_heavy(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in HEAVY) or any(fnmatchcase(module, name) for name in LATE)


DAG_FILE = "import airflow.sdk; from airflow.sdk import BaseOperator, BaseSensorOperator, BaseOperatorLink, conf"
DAG_FILES = {
    "import": "import airflow_provider.buddy.operators, airflow_provider.buddy.sensors",
    "operator": "from airflow_provider.buddy.operators import BuddyRunPipelineOperator as O; O(task_id='t', pipeline=1)",
    "sensor": "from airflow_provider.buddy.sensors import BuddyExecutionSensor as S; S(task_id='t', ref='a/b/1/2', deferrable=True)",
    "gate": "from airflow_provider.buddy.gate_operator import BuddyGateOperator as O; O(task_id='t', ref='a/b/1/2')",
    "audit": "from airflow_provider.audit.operators import AuditReportOperator as R; R(task_id='t', reports=[], reports_path='x')",
    "alga_psa import": "import airflow_provider.alga_psa.operators, airflow_provider.alga_psa.sensors",
    "alga_psa operator": "from airflow_provider.alga_psa.operators import AlgaPsaExecuteRuleOperator as O; O(task_id='t', rule='r')",
    "alga_psa sensor": "from airflow_provider.alga_psa.sensors import AlgaPsaRuleSensor as S; S(task_id='t', rule='r', deferrable=True)",
}
LINK = ("import airflow.sdk; from airflow.sdk import BaseOperatorLink", "import airflow_provider.buddy.link")


def test_a_dag_file_and_the_link_that_airflow_imports_at_discovery_import_little() -> None:
    """In one process, as Airflow alone takes seconds to import."""
    link, *files = new_modules(LINK, *((DAG_FILE, code) for code in DAG_FILES.values()))
    for name, added in zip(DAG_FILES, files, strict=True):
        assert "airflow_provider.errors" in added, name
        assert [module for module in added if is_heavy(module)] == [], name
        assert len(added) < (45 if name.startswith("alga_psa") else 50), "\n".join([name, *added])
    assert [module for module in link if is_heavy(module)] == []
    assert len(link) < 6, "\n".join(link)


def test_provider_info_imports_nothing() -> None:
    [added] = new_modules(
        ("import __future__, json, os, typing", "from airflow_provider.provider_info import get_provider_info; get_provider_info()")
    )
    assert added == ["airflow_provider", "airflow_provider.provider_info"]


def test_the_pytest_plugin_is_light() -> None:
    [added] = new_modules(("import pytest", "import airflow_provider.emulator.pytest_plugin"))
    assert [name for name in added if not name.startswith("airflow_provider")] == []


@pytest.mark.long
def test_the_commands_cost_other_airflow_commands_nothing() -> None:
    [added] = new_modules(("import airflow.cli.cli_config", "from airflow_provider.cli import get_commands; get_commands()"))
    assert added == ["airflow_provider.cli"]  # Airflow has imported the package for its description
