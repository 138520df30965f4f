"""
A release with a gate: Buddy waits for a person before it deploys.

``release`` starts the pipeline and ends when the gate is reached. ``gate`` asks a person, as a required action in Airflow's own web
interface: they see what Buddy asks, what was built, and who started it. The answer opens the gate, and the task waits for the end of the
execution; or it declines, and the execution is cancelled. Whoever opens the gate in Buddy meanwhile answers as well.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param

from airflow_provider.buddy.gate_operator import BuddyGateOperator
from airflow_provider.buddy.operators import BuddyRunPipelineOperator

with DAG(
    "buddy_gate",
    schedule=None,
    params={"pipeline": Param("release-gated", type="string", description="Pipeline with a gate")},
    tags=["buddy", "example"],
    doc_md=__doc__,
):
    # [START until_the_gate]
    release = BuddyRunPipelineOperator(
        task_id="release",
        pipeline="{{ params.pipeline }}",
        branch="main",
        deferrable=True,
        poll_interval=5,
        on_waiting="succeed",  # "wait", the default, keeps waiting until a person opens the gate in Buddy
    )
    # [END until_the_gate]

    # [START gate]
    gate = BuddyGateOperator(
        task_id="gate",
        ref=release.output["ref"],
        subject="Deploy {{ ti.xcom_pull(task_ids='release')['ref'] }}?",
        buddy_conn_id="buddy_approver",  # another user's token: with that of buddy_default, the execution would approve itself
        name_answer=True,  # Buddy learns who answered in Airflow, and so does an audit
        poll_interval=5,
        push_outputs=["URL"],
    )
    # [END gate]
