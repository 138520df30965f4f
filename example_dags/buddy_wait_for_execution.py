"""Wait for a Buddy execution by its ref, for example the execution that triggered this DAG run."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, Param

from airflow_provider.buddy.sensors import BuddyExecutionSensor

with DAG(
    "buddy_wait_for_execution",
    schedule=None,
    params={"ref": Param("demo/shop/1/1", type="string", description="workspace/project/pipeline id/execution id")},
    tags=["buddy", "example"],
    doc_md=__doc__,
):
    # [START wait_for_execution]
    wait = BuddyExecutionSensor(
        task_id="wait",
        ref="{{ params.ref }}",
        deferrable=True,
        poke_interval=30,
        timeout=timedelta(hours=2).total_seconds(),
        soft_fail=False,  # True: skip this task instead of failing it if the execution fails
    )
    # [END wait_for_execution]
