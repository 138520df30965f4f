"""
A release with a gate: Buddy waits for a person before it deploys.

``release`` starts the pipeline and ends when the gate is reached. ``approve`` is a required action in Airflow's own web interface:
whoever answers there decides. Then the execution continues and a task waits for its end, or it is cancelled.
"""

from __future__ import annotations

from airflow.providers.standard.operators.hitl import HITLBranchOperator
from airflow.sdk import DAG, Param

from airflow_provider.buddy.operators import BuddyApproveExecutionOperator, BuddyCancelExecutionOperator, BuddyRunPipelineOperator

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
        deferrable=True,
        poll_interval=5,
        on_waiting="succeed",  # "wait", the default, keeps waiting until a person opens the gate in Buddy
    )
    # [END until_the_gate]

    # [START ask]
    approve = HITLBranchOperator(
        task_id="approve",
        subject="Deploy {{ ti.xcom_pull(task_ids='release')['ref'] }}?",
        body="See {{ ti.xcom_pull(task_ids='release', key='url') }}",
        options=["go_on", "decline"],
    )
    # [END ask]

    # [START approve]
    go_on = BuddyApproveExecutionOperator(
        task_id="go_on",
        ref=release.output["ref"],
        buddy_conn_id="buddy_default",  # another user's connection, if the gate forbids approving one's own executions
        deferrable=True,
        poll_interval=5,
        push_outputs=["URL"],
    )
    decline = BuddyCancelExecutionOperator(task_id="decline", ref=release.output["ref"])
    # [END approve]

    release >> approve >> [go_on, decline]
