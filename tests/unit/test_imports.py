"""DAG files are parsed again and again: what they import stays light."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = [
    "airflow_provider.execution.transport",
    "airflow_provider.execution.trigger",
    "airflow_provider.execution.watch",
    "airflow_provider.execution.outputs",
    "airflow_provider.execution.hook",
    "airflow_provider.buddy.hook",
    "airflow_provider.buddy.models",
    "airflow_provider.buddy.routes",
    "airflow_provider.buddy.system",
    "airflow_provider.audit.engine.engine",
    "airflow_provider.audit.airflow_task.task",
    "airflow_provider.emulator",
    "airflow.triggers.base",
    "fastapi",
    "rich.progress",
    "starlette",
    "tenacity",
    "uvicorn",
    "yaml",
]


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
    done = subprocess.run([sys.executable, "-c", TOLD, json.dumps(pairs)], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()[-len(pairs) :]]


DAG_FILE = "import airflow.sdk; from airflow.sdk import BaseOperator, BaseSensorOperator, BaseOperatorLink, conf"
DAG_FILES = {
    "import": "import airflow_provider.buddy.operators, airflow_provider.buddy.sensors",
    "operator": "from airflow_provider.buddy.operators import BuddyRunPipelineOperator as O; O(task_id='t', pipeline=1)",
    "sensor": "from airflow_provider.buddy.sensors import BuddyExecutionSensor as S; S(task_id='t', ref='a/b/1/2', deferrable=True)",
    "audit": "from airflow_provider.audit.operators import AuditReportOperator as R; R(task_id='t', reports=[], reports_path='x')",
    "alga_psa import": "import airflow_provider.alga_psa.operators, airflow_provider.alga_psa.sensors",
    "alga_psa operator": "from airflow_provider.alga_psa.operators import AlgaPsaExecuteRuleOperator as O; O(task_id='t', rule='r')",
    "alga_psa sensor": "from airflow_provider.alga_psa.sensors import AlgaPsaRuleSensor as S; S(task_id='t', rule='r', deferrable=True)",
}
ALGA_PSA = ("dialect", "flows", "hook", "logs", "models", "routes", "snapshot", "system")
LINK = ("import airflow.sdk; from airflow.sdk import BaseOperatorLink", "import airflow_provider.buddy.link")


def test_a_dag_file_and_the_link_that_airflow_imports_at_discovery_import_little() -> None:
    """In one process, as Airflow alone takes seconds to import."""
    heavy = {*HEAVY, *(f"airflow_provider.alga_psa.{name}" for name in ALGA_PSA)}
    link, *files = new_modules(LINK, *((DAG_FILE, code) for code in DAG_FILES.values()))
    for name, added in zip(DAG_FILES, files, strict=True):
        assert "airflow_provider.errors" in added, name
        assert [module for module in added if module in heavy] == [], name
        assert len(added) < (26 if name.startswith("alga_psa") else 30), "\n".join([name, *added])
    assert [module for module in link if module in heavy] == []
    assert len(link) < 6, "\n".join(link)


def test_provider_info_imports_nothing() -> None:
    [added] = new_modules(
        ("import __future__, json, os, typing", "from airflow_provider.provider_info import get_provider_info; get_provider_info()")
    )
    assert added == ["airflow_provider", "airflow_provider.provider_info"]


def test_the_pytest_plugin_is_light() -> None:
    [added] = new_modules(("import pytest", "import airflow_provider.emulator.pytest_plugin"))
    assert [name for name in added if not name.startswith("airflow_provider")] == []
