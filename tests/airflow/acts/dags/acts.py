"""For ``test_acts.py``: tasks that follow an execution which runs until somebody ends it. A run's conf names what is to run."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

from airflow.sdk import DAG
from lingering import LingeringOperator

from airflow_provider.alga_psa.operators import AlgaPsaExecuteRuleOperator
from airflow_provider.buddy.operators import BuddyRunPipelineOperator
from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator

SCRIPT = "{{ dag_run.conf['script'] }}"
OPERATORS: dict[str, Any] = {
    "buddy": partial(BuddyRunPipelineOperator, pipeline=SCRIPT),
    "tracecat": partial(TracecatRunWorkflowOperator, workflow=SCRIPT),
    "alga_psa": partial(AlgaPsaExecuteRuleOperator, rule=SCRIPT),
}
RETRIED = {"retries": 1, "retry_delay": timedelta(0)}
WAIT = {"poll_interval": 1, "deferrable": True}

for system, follow in OPERATORS.items():
    for mode, deferrable in (("deferred", True), ("running", False)):
        with DAG(f"acts_{system}_{mode}", schedule=None, default_args=RETRIED):
            follow(task_id="follow", **{**WAIT, "deferrable": deferrable})

with DAG("acts_paused", schedule=None, default_args=RETRIED):
    OPERATORS["buddy"](task_id="follow", **WAIT)

with DAG("acts_no_retries", schedule=None):
    OPERATORS["buddy"](task_id="follow", **WAIT)

with DAG("acts_mapped", schedule=None, default_args=RETRIED):
    BuddyRunPipelineOperator.partial(task_id="follow", **WAIT).expand(pipeline=["mapped-0", "mapped-1", "mapped-2"])

with DAG("acts_dagrun_timeout", schedule=None, default_args=RETRIED, dagrun_timeout=timedelta(days=1)):
    OPERATORS["buddy"](task_id="follow", **WAIT)
    BuddyRunPipelineOperator(task_id="running", pipeline="{{ dag_run.conf['running'] }}", poll_interval=1)

with DAG("acts_lingering", schedule=None):
    LingeringOperator(task_id="follow", pipeline=SCRIPT, on_waiting="succeed", **WAIT)
