"""
Run a Buddy pipeline, wait for it without a worker slot, and use its outputs.

Set ``pipeline`` in the run's configuration to ``release-broken`` to see the branch for failures say what broke.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider.buddy.operators import BuddyRunPipelineOperator

with DAG(
    "buddy_release",
    schedule=None,
    params={"pipeline": Param("release", type="string", description="Pipeline to run: its id, identifier or name")},
    tags=["buddy", "example"],
    doc_md=__doc__,
):
    # [START run_pipeline]
    release = BuddyRunPipelineOperator(
        task_id="release",
        pipeline="{{ params.pipeline }}",
        branch="main",
        variables={"VERSION": "1.2.{{ dag_run.run_after.strftime('%Y%m%d') }}"},
        comment="Nightly release",
        deferrable=True,  # wait in the triggerer, without a worker slot
        poll_interval=5,
        timeout=timedelta(minutes=30),
        push_outputs=["IMAGE"],  # required: a missing output fails the task
    )
    # [END run_pipeline]

    # [START use_output]
    @task
    def announce(image: str, result: dict[str, Any]) -> str:
        text = f"{image} is out after {result['duration']:.0f} s, see {result['url']}"
        print(text)
        return text

    announced = announce(image=release.output["IMAGE"], result=release.output)
    # [END use_output]

    # [START say_what_broke]
    @task(trigger_rule="one_failed")
    def say_what_broke(**context: Any) -> str:
        execution = context["ti"].xcom_pull(task_ids="release", key="execution")
        if execution is None:  # nothing was started, for example because the token was refused
            return "release failed before an execution was started; see its log"
        broken = [step["name"] for step in execution["steps"] if step["phase"] == "FAILED"]
        text = f"{execution['ref']} ended {execution['status']} in {', '.join(broken)}: {execution['error']}"
        print(text, *execution["log_tail"][-5:], sep="\n")
        return text

    release >> say_what_broke()
    # [END say_what_broke]
