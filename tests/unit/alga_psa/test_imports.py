"""DAG files are parsed again and again: what they import stays light."""

from __future__ import annotations

import pytest

from tests.unit.test_imports import HEAVY, new_modules

OURS = [f"airflow_provider.alga_psa.{name}" for name in ("dialect", "flows", "hook", "logs", "models", "routes", "snapshot", "system")]


@pytest.mark.parametrize(
    "imports",
    [
        "import airflow_provider.alga_psa.operators, airflow_provider.alga_psa.sensors",
        "from airflow_provider.alga_psa.operators import AlgaPsaExecuteRuleOperator as O; O(task_id='t', rule='r')",
        "from airflow_provider.alga_psa.sensors import AlgaPsaRuleSensor as S; S(task_id='t', rule='r', deferrable=True)",
    ],
    ids=["import", "operator", "sensor"],
)
def test_a_dag_file_imports_little(imports: str) -> None:
    added = new_modules("import airflow.sdk; from airflow.sdk import BaseOperator, BaseSensorOperator, BaseOperatorLink, conf", imports)
    assert "airflow_provider.execution.task" in added
    assert [name for name in added if name in (*HEAVY, *OURS)] == []
    assert len(added) < 25, "\n".join(added)
