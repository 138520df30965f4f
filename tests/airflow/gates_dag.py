"""For ``test_gates.py``: gates of executions that others have started."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Param

from airflow_provider.buddy.gate_operator import BuddyGateOperator
from airflow_provider.tracecat.gate_operator import TracecatGateOperator

ARGUMENTS: dict[str, Any] = {"task_id": "gate", "ref": "{{ params.ref }}", "poll_interval": 1, "retries": 0}
PARAMS = {"ref": Param("", type="string")}

with DAG("gate_of_buddy", schedule=None, params=PARAMS):
    BuddyGateOperator(**ARGUMENTS, buddy_conn_id="buddy_approver", name_answer=True)

with DAG("gate_with_a_limit", schedule=None, params=PARAMS):
    BuddyGateOperator(**ARGUMENTS, buddy_conn_id="buddy_approver", waiting_timeout=3)

with DAG("gate_of_tracecat", schedule=None, params=PARAMS):
    TracecatGateOperator(**ARGUMENTS, response={"choice": "yes"}, ask_for=["choice"])
