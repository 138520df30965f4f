"""Enrich an alert with a Tracecat workflow, wait for one of its actions, and use the result."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator
from airflow_provider.tracecat.sensors import TracecatActionSensor

with DAG(
    "tracecat_incident",
    schedule=None,
    params={
        "workflow": Param("enrich_alert", type="string", description="Workflow to run: its id or alias"),
        "address": Param("192.0.2.7", type="string", description="Address to look up"),
    },
    tags=["tracecat", "example"],
    doc_md=__doc__,
):
    # [START run_workflow]
    enrich = TracecatRunWorkflowOperator(
        task_id="enrich",
        workflow="{{ params.workflow }}",
        inputs={"address": "{{ params.address }}"},
        # time_anchor="{{ logical_date }}",  # for backfills: the workflow counts its FN.now() from there
        deferrable=True,
        poll_interval=5,
        timeout=timedelta(minutes=30),
        push_outputs=["severity"],  # an item of the workflow's result: set `returns` in Tracecat
    )
    # [END run_workflow]

    # [START wait_for_action]
    scored = TracecatActionSensor(
        task_id="scored",
        ref=enrich.output["ref"],
        action="score",
        deferrable=True,
        poke_interval=5,
        timeout=timedelta(minutes=30).total_seconds(),
    )
    # [END wait_for_action]

    @task
    def open_incident(severity: str, result: dict[str, Any], action: dict[str, Any]) -> str:
        text = f"{result['outputs']['address']}: severity {severity}, scored in {action['duration']:.0f} s, see {result['url']}"
        print(text)
        return text

    open_incident(severity=enrich.output["severity"], result=enrich.output, action=scored.output)
