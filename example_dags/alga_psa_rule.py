"""
Execute an AlgaPSA automation rule, use its outputs, and wait for an execution that an event in AlgaPSA starts.

Experimental: releases of AlgaPSA up to 1.4 can't store executions. With them this DAG fails with an explanation; with the emulator it runs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider.alga_psa.operators import AlgaPsaExecuteRuleOperator
from airflow_provider.alga_psa.sensors import AlgaPsaRuleSensor

with DAG(
    "alga_psa_rule",
    schedule=None,
    params={
        "rule": Param("triage", type="string", description="Rule to execute: its id or exact name"),
        "follow_up": Param("", type="string", description="Rule whose next execution to wait for; empty: none"),
    },
    tags=["alga_psa", "example"],
    doc_md=__doc__,
):
    # [START execute_rule]
    execute = AlgaPsaExecuteRuleOperator(
        task_id="execute",
        rule="{{ params.rule }}",
        execution_data={"reason": "nightly", "run": "{{ run_id }}"},
        deferrable=True,  # wait in the triggerer, without a worker slot
        poll_interval=5,
        timeout=timedelta(minutes=30),  # AlgaPSA can't cancel: after this the execution continues
    )
    # [END execute_rule]

    # [START use_outputs]
    @task
    def report(result: dict[str, Any]) -> str:
        counts = result["system_fields"]
        text = f"{counts['actions_successful']} of {counts['actions_total']} actions succeeded; outputs: {sorted(result['outputs'])}"
        print(text)
        return text

    reported = report(result=execute.output)
    # [END use_outputs]

    @task.short_circuit
    def wants_follow_up(**context: Any) -> bool:
        return bool(context["params"]["follow_up"])

    # [START wait_for_rule]
    follow_up = AlgaPsaRuleSensor(
        task_id="follow_up",
        rule="{{ params.follow_up }}",
        started_after="{{ dag_run.run_after }}",  # there is no bound by default
        deferrable=True,
        poke_interval=10,
        timeout=timedelta(hours=1).total_seconds(),
    )
    # [END wait_for_rule]

    execute >> wants_follow_up() >> follow_up
