"""
Wait for an execution of a pipeline that somebody else starts: a person, a push, Buddy's own schedule.

The search begins at the earliest time at which this DAG run may start, so a retry, or a run that starts late, searches for the same
execution. It does not use the data interval: with Airflow 3's cron schedules it has zero width, and manual runs have none.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider.buddy.sensors import BuddyActionExecutionSensor, BuddyPipelineSensor

with DAG(
    "buddy_wait_for_external",
    schedule=None,  # a cron expression, such as "0 6 * * *", for a nightly wait
    params={
        "pipeline": Param("release", type="string", description="Pipeline to wait for: its id, identifier or name"),
        "branch": Param("main", type="string", description="Only executions on this branch"),
    },
    tags=["buddy", "example"],
    doc_md=__doc__,
):
    # [START wait_for_pipeline]
    wait = BuddyPipelineSensor(
        task_id="wait",
        pipeline="{{ params.pipeline }}",
        branch="{{ params.branch }}",
        started_after="{{ dag_run.run_after }}",
        match="first_succeeded",  # pass over failed ones; "first" fails with the first, "latest" takes the newest
        deferrable=True,
        poke_interval=30,
        timeout=timedelta(hours=6).total_seconds(),
        push_outputs=["IMAGE"],
    )
    # [END wait_for_pipeline]

    # [START wait_for_action]
    built = BuddyActionExecutionSensor(
        task_id="built",
        ref="{{ ti.xcom_pull(task_ids='wait', key='ref') }}",  # any execution's ref
        action="Build",
        deferrable=True,
        poke_interval=30,
    )
    # [END wait_for_action]

    @task
    def announce(image: str, action: dict[str, Any]) -> str:
        text = f"{image} was built in {action['duration']:.0f} s, see {action['url']}"
        print(text)
        return text

    wait >> built
    announce(image=wait.output["IMAGE"], action=built.output)
