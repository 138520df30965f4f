"""Tasks of every kind that the pages show."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, task

from airflow_provider.buddy.operators import BuddyRunPipelineOperator
from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator


def run(task_id: str, pipeline: str, **arguments: Any) -> BuddyRunPipelineOperator:
    return BuddyRunPipelineOperator(task_id=task_id, pipeline=pipeline, poll_interval=1, **arguments)


with DAG("pages", schedule=None):
    deferred = run("deferred", "release", deferrable=True)
    deferred >> run("not_begun", "short")
    run("in_worker", "release")
    run("failed", "broken")
    run("never_begun", "there_is_none")
    run("waiting", "gated", deferrable=True)
    run("done", "short")
    run("hostile", "hostile", deferrable=True)
    BuddyRunPipelineOperator.partial(task_id="mapped", pipeline="short", poll_interval=1).expand(variables=[{"ONE": "1"}, {"TWO": "2"}])
    TracecatRunWorkflowOperator(task_id="tracecat", workflow="short", inputs={"n": 1}, poll_interval=1)

    @task
    def foreign() -> dict[str, str]:
        return {"ref": "not ours", "phase": "RUNNING"}

    foreign()

with DAG("private", schedule=None):
    run("kept_apart", "short")
