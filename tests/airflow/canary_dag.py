"""For ``test_canary.py``: of each system, a deferred task that succeeds, a sensor after it, and a task in a worker that fails."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG

from airflow_provider.alga_psa.operators import AlgaPsaExecuteRuleOperator
from airflow_provider.alga_psa.sensors import AlgaPsaExecutionSensor
from airflow_provider.buddy.operators import BuddyRunPipelineOperator
from airflow_provider.buddy.sensors import BuddyExecutionSensor
from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator
from airflow_provider.tracecat.sensors import TracecatExecutionSensor

SECRET = "{{ var.value.canary }}"
SYSTEMS: dict[str, Any] = {
    "buddy": (BuddyRunPipelineOperator, "pipeline", {"secret_variables": {"PIN": SECRET}}, BuddyExecutionSensor),
    "tracecat": (TracecatRunWorkflowOperator, "workflow", {"inputs": {"password": SECRET}}, TracecatExecutionSensor),
    "alga_psa": (AlgaPsaExecuteRuleOperator, "rule", {"execution_data": {"password": SECRET}}, AlgaPsaExecutionSensor),
}

with DAG("canary", schedule=None):
    for system, (operator, script, secret, sensor) in SYSTEMS.items():
        good = operator(
            task_id=f"{system}_good",
            **{script: "canary-good"},
            **secret,
            deferrable=True,
            poll_interval=1,
            push_outputs="*",
        )
        good >> sensor(task_id=f"{system}_sensor", ref=good.output["ref"], poke_interval=1, mode="reschedule")
        operator(task_id=f"{system}_bad", **{script: "canary-bad"}, **secret, poll_interval=1, retries=1, retry_delay=timedelta(0))
