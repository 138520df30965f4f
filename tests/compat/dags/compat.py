"""For the scenarios: Buddy pipelines, named by the conf of the run, in all modes."""

from __future__ import annotations

import os
import signal
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider.alga_psa.operators import AlgaPsaExecuteRuleOperator
from airflow_provider.audit.operators import AuditBuddyConfigurationOperator
from airflow_provider.buddy.operators import BuddyRunPipelineOperator
from airflow_provider.buddy.sensors import BuddyExecutionSensor
from airflow_provider.buddy.triggers import BuddyPipelineFinishedTrigger
from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator

PIPELINE = "{{ dag_run.conf['pipeline'] }}"
WAIT = {"poll_interval": 1}
RETRIED = {"retries": 1, "retry_delay": timedelta(0)}


class DyingOperator(BuddyRunPipelineOperator):
    """Its worker dies at the first try, when the pipeline has been started."""

    def _wait(self, attempt: Any, *arguments: Any) -> Any:
        if attempt.context["ti"].try_number == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._wait(attempt, *arguments)


class StandingOperator(BuddyRunPipelineOperator):
    """Its worker stands still at the first try, between the note of its start and its start request; it says so in a file."""

    template_fields = ("standing", *BuddyRunPipelineOperator.template_fields)

    def __init__(self, *, standing: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.standing = standing

    def execute(self, context: Any) -> Any:
        self.try_number = context["ti"].try_number
        return super().execute(context)

    def _start(self, *arguments: Any) -> Any:
        if self.try_number == 1:
            Path(self.standing).write_text(f"{os.getpid()} {os.getppid()}")
            os.kill(os.getppid(), signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGSTOP)
        return super()._start(*arguments)


@task
def announce(image: str) -> str:
    return f"{image} is out"


for mode, deferrable in (("sync", False), ("deferred", True)):
    with DAG(f"compat_{mode}", schedule=None, default_args=RETRIED):
        build = BuddyRunPipelineOperator(task_id="build", pipeline=PIPELINE, deferrable=deferrable, push_outputs=["IMAGE"], **WAIT)
        build >> announce("{{ ti.xcom_pull(task_ids='build', key='IMAGE') }}")
    with DAG(f"compat_dying_{mode}", schedule=None, default_args=RETRIED):
        DyingOperator(task_id="build", pipeline=PIPELINE, deferrable=deferrable, **WAIT)

with DAG("compat_standing", schedule=None, default_args=RETRIED):
    StandingOperator(task_id="build", pipeline=PIPELINE, deferrable=True, standing="{{ dag_run.conf['standing'] }}", **WAIT)

with DAG("compat_systems", schedule=None):
    TracecatRunWorkflowOperator(task_id="scan", workflow="scan", deferrable=True, push_outputs=["severity"], **WAIT)
    AlgaPsaExecuteRuleOperator(task_id="tell", rule="tell", deferrable=True, **WAIT)

for mode, arguments in {
    "poke": {"mode": "poke"},
    # Sooner, its worker's late news would count as a failure of the next poke.
    "reschedule": {"mode": "reschedule", "poke_interval": 10},
    "deferrable": {"deferrable": True},
    "from_trigger": {"deferrable": True, "start_from_trigger": True},
}.items():
    with DAG(f"compat_sensor_{mode}", schedule=None):
        wait: Any = BuddyExecutionSensor(
            task_id="wait", ref="{{ dag_run.conf['ref'] }}", **{"poke_interval": 1, "timeout": 3600, **arguments}
        )

with DAG("compat_audit", schedule=None):
    AuditBuddyConfigurationOperator(
        task_id="audit",
        projects=["shop"],
        pipelines=["audited"],
        reports_path="{{ dag_run.conf['reports'] }}",
        spool_path="{{ dag_run.conf['reports'] }}/spool",
        deferrable=True,
    )

watched = Asset(
    "compat_watched", watchers=[AssetWatcher(name="ends", trigger=BuddyPipelineFinishedTrigger(pipeline="watched", poll_interval=1))]
)
with DAG("compat_watch", schedule=[watched]):

    @task
    def ended(triggering_asset_events: Any = None) -> list[str]:
        return sorted({event.extra["payload"]["ref"] for event in triggering_asset_events[watched]})

    ended()
