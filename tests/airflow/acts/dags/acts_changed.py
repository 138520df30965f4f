"""For ``test_acts.py``, which changes the number of retries while a run is under way."""

from __future__ import annotations

from airflow.sdk import DAG

from airflow_provider.buddy.operators import BuddyRunPipelineOperator

with DAG("acts_changed", schedule=None):
    for task_id in ("follow", "ended"):
        BuddyRunPipelineOperator(
            task_id=task_id,
            pipeline=f"{{{{ dag_run.conf['{task_id}'] }}}}",
            deferrable=True,
            poll_interval=1,
            retries=2,
        )
