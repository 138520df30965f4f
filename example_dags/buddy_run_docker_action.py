"""Read the definition of a Run Docker Container action, run only that action of its pipeline, and use its log and variables."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider.buddy.operators import BuddyGetActionExecutionOperator, BuddyGetActionOperator, BuddyRunPipelineOperator

with DAG(
    "buddy_run_docker_action",
    schedule=None,
    params={
        "pipeline": Param("release", type="string", description="Pipeline: its id, identifier or name"),
        "action": Param("Build", type="string", description="Run Docker Container action: its id or name"),
    },
    tags=["buddy", "example"],
    doc_md=__doc__,
):
    # [START get_action]
    definition = BuddyGetActionOperator(
        task_id="definition",
        pipeline="{{ params.pipeline }}",
        action="{{ params.action }}",
    )
    # [END get_action]

    # [START run_action]
    run = BuddyRunPipelineOperator(
        task_id="run",
        pipeline="{{ params.pipeline }}",
        actions_to_run=["{{ params.action }}"],
        branch="main",
        deferrable=True,
        poll_interval=5,
        timeout=timedelta(minutes=30),
    )
    # [END run_action]

    # [START get_action_execution]
    details = BuddyGetActionExecutionOperator(
        task_id="details",
        ref=run.output["ref"],
        action="{{ params.action }}",
        push_outputs=["IMAGE"],
        # log_path="s3://aws_default@my-bucket/buddy-logs",  # the whole log, one file for each run
    )
    # [END get_action_execution]

    @task
    def report(definition: dict[str, Any], image: str, action: dict[str, Any]) -> str:
        [fields] = action["system_fields"]["actions"]
        text = f"{definition.get('docker_image_name')} with {sorted(fields['passed_variables'])} made {image}"
        print(text, *action["log_tail"][-5:], sep="\n")
        return text

    definition >> run
    report(definition.output, details.output["IMAGE"], details.output)
