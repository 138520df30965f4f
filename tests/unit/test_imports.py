"""DAG files are parsed again and again: what they import stays light."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

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
    "airflow_provider.audit.engine",
    "airflow_provider.audit.task",
    "airflow_provider.emulator",
    "airflow.triggers.base",
    "fastapi",
    "rich.progress",
    "starlette",
    "tenacity",
    "uvicorn",
    "yaml",
]


def new_modules(first: str, then: str) -> list[str]:
    """The modules that ``then`` adds to those of ``first``, in a fresh interpreter."""
    code = f"import sys, json\n{first}\nbefore = set(sys.modules)\n{then}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    modules: list[str] = json.loads(done.stdout.splitlines()[-1])
    return modules


@pytest.mark.parametrize(
    "imports",
    [
        "import airflow_provider.buddy.operators, airflow_provider.buddy.sensors",
        "from airflow_provider.buddy.operators import BuddyRunPipelineOperator as O; O(task_id='t', pipeline=1)",
        "from airflow_provider.buddy.sensors import BuddyExecutionSensor as S; S(task_id='t', ref='a/b/1/2', deferrable=True)",
        "from airflow_provider.audit.operators import AuditReportOperator as R; R(task_id='t', reports=[], reports_path='x')",
    ],
    ids=["import", "operator", "sensor", "audit"],
)
def test_a_dag_file_imports_little(imports: str) -> None:
    added = new_modules("import airflow.sdk; from airflow.sdk import BaseOperator, BaseSensorOperator, BaseOperatorLink, conf", imports)
    assert "airflow_provider.errors" in added
    assert [name for name in added if name in HEAVY] == []
    assert len(added) < 30, "\n".join(added)


def test_provider_info_imports_nothing() -> None:
    added = new_modules("import __future__, typing", "from airflow_provider.provider_info import get_provider_info; get_provider_info()")
    assert added == ["airflow_provider", "airflow_provider.provider_info"]


def test_the_link_that_airflow_imports_at_discovery_is_light() -> None:
    added = new_modules("import airflow.sdk; from airflow.sdk import BaseOperatorLink", "import airflow_provider.buddy.link")
    assert [name for name in added if name in HEAVY] == []
    assert len(added) < 6, "\n".join(added)


def test_the_pytest_plugin_is_light() -> None:
    added = new_modules("import pytest", "import airflow_provider.emulator.pytest_plugin")
    assert [name for name in added if not name.startswith("airflow_provider")] == []
