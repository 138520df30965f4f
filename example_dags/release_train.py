"""
A release over three systems: Buddy builds, Tracecat scans what was built, AlgaPSA informs the customers. The outputs of
each are the inputs of the next.

Set ``scan`` in the run's configuration to ``enrich_broken`` to see the branch for failures say what broke.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider.alga_psa.operators import AlgaPsaExecuteRuleOperator
from airflow_provider.buddy.operators import BuddyRunPipelineOperator
from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator

with DAG(
    "release_train",
    schedule=None,
    params={
        "build": Param("release", type="string", description="Buddy pipeline: its id, identifier or name"),
        "scan": Param("enrich_alert", type="string", description="Tracecat workflow: its id or alias"),
        "tell": Param("triage", type="string", description="AlgaPSA rule: its id or name"),
    },
    default_args={"deferrable": True, "poll_interval": 5},
    tags=["buddy", "tracecat", "alga_psa", "example"],
    doc_md=__doc__,
):
    # [START chain]
    build = BuddyRunPipelineOperator(
        task_id="build",
        pipeline="{{ params.build }}",
        branch="main",
        timeout=timedelta(minutes=30),
        push_outputs=["IMAGE"],
    )
    scan = TracecatRunWorkflowOperator(
        task_id="scan",
        workflow="{{ params.scan }}",
        inputs={"address": build.output["IMAGE"]},
        timeout=timedelta(minutes=30),
        push_outputs=["severity"],
    )
    tell = AlgaPsaExecuteRuleOperator(
        task_id="tell",
        rule="{{ params.tell }}",
        execution_data={"image": build.output["IMAGE"], "severity": scan.output["severity"]},
    )
    build >> scan >> tell
    # [END chain]

    # [START announce]
    @task
    def announce(image: str, severity: str, notification: dict[str, Any]) -> str:
        text = f"{image} is out, severity {severity}; AlgaPSA informed the customers in {notification['duration']:.0f} s"
        print(text)
        return text

    # The last tasks decide the state of the run: without this one, say_what_broke alone would make it a success.
    announce(image=build.output["IMAGE"], severity=scan.output["severity"], notification=tell.output)
    # [END announce]

    # [START say_what_broke]
    @task(trigger_rule="one_failed")
    def say_what_broke(**context: Any) -> str:
        for name in ("build", "scan", "tell"):
            execution = context["ti"].xcom_pull(task_ids=name, key="execution")
            if execution is not None:
                text = f"{name}: {execution['system']} execution {execution['ref']} ended {execution['status']}: {execution['error']}"
                print(text, *execution["log_tail"][-5:], sep="\n")
                return text
        return "no execution was started; see the log of the failed task"

    [build, scan, tell] >> say_what_broke()
    # [END say_what_broke]
