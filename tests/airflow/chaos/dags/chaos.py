"""The tasks of the chaos run. Each hands its own name to its execution, and gets it back as an output."""

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

# Operator, its arguments for what to execute and with what, sensor, how the sensor waits.
SYSTEMS: dict[str, tuple[Any, str, str, Any, dict[str, Any]]] = {
    "buddy": (BuddyRunPipelineOperator, "pipeline", "variables", BuddyExecutionSensor, {"deferrable": True}),
    "tracecat": (TracecatRunWorkflowOperator, "workflow", "inputs", TracecatExecutionSensor, {"mode": "reschedule"}),
    "alga_psa": (AlgaPsaExecuteRuleOperator, "rule", "execution_data", AlgaPsaExecutionSensor, {"mode": "poke"}),
}
MAPPED = 3
# Crashes use up retries, however often a task starts something. Where many tasks share a workflow, Tracecat needs the key: without a
# marker in the inputs a lost start can't be told from no start, and the task rather fails than starts twice.
DEFAULTS = {"retries": 30, "retry_delay": timedelta(seconds=1)}
WAIT = {"poll_interval": 2.0, "push_outputs": ["TASK"]}


def name(index: str = "{{ ti.map_index }}") -> dict[str, str]:
    """The task's name, as input."""
    return {"TASK": f"{{{{ dag.dag_id }}}}/{{{{ run_id }}}}/{{{{ ti.task_id }}}}/{index}"}


with DAG("chaos", schedule=None, default_args=DEFAULTS, max_active_runs=20, max_active_tasks=500):
    for system, (operator, script, inputs, sensor, way) in SYSTEMS.items():
        operator.partial(task_id=f"{system}_mapped", deferrable=True, **WAIT, **{script: "steady"}).expand(
            **{inputs: [name(str(index)) for index in range(MAPPED)]}
        )
        operator(task_id=f"{system}_flaky", deferrable=True, **WAIT, **{script: "flaky", inputs: name()})
        operator(task_id=f"{system}_sync", **WAIT, **{script: "slow", inputs: name()})
        started = operator(task_id=f"{system}_start", wait_for_completion=False, **{script: "steady", inputs: name()})
        sensor(task_id=f"{system}_sensor", ref=started.output["ref"], poke_interval=2.0, push_outputs=["TASK"], **way)

# Besides the common queue each worker has one of its own. What persons act on takes it, since it must not wait long.
for worker in ("worker1", "worker2"):
    with DAG(f"control_{worker}", schedule=None, default_args={**DEFAULTS, "queue": worker}):
        for system, (operator, script, inputs, _, _) in SYSTEMS.items():
            operator(task_id=f"{system}_sync", **WAIT, **{script: "slow", inputs: name()})

for dag_id, limit in (("acts", None), ("acts_timeout", timedelta(days=1))):
    with DAG(dag_id, schedule=None, default_args=DEFAULTS, dagrun_timeout=limit):
        BuddyRunPipelineOperator(
            task_id="buddy_deferred", deferrable=True, pipeline="endless", variables=name(), poll_interval=2.0, queue="worker1"
        )
        TracecatRunWorkflowOperator(task_id="tracecat_running", workflow="endless", inputs=name(), poll_interval=2.0, queue="worker2")
