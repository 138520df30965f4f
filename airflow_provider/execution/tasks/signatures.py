"""
The arguments that operators and sensors share, for editors and type checkers: ``**kwargs: Unpack[...]`` shows them with their meaning.

These are types only. The constructors of the bases accept the arguments, and tests check that both agree.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from typing_extensions import Required

if TYPE_CHECKING:
    from airflow.sdk import DAG, TaskGroup

    from airflow_provider.execution.tasks.execution_task import OnPartial, OnSkipped, OnWaiting
    from airflow_provider.execution.waiting.search import Match


class AirflowArguments(TypedDict, total=False):
    """Arguments of every operator of Airflow; see Airflow's ``BaseOperator``."""

    task_id: Required[str]
    owner: str
    email: str | Sequence[str] | None
    email_on_retry: bool
    email_on_failure: bool
    retries: int | None
    retry_delay: timedelta | float
    retry_exponential_backoff: float
    max_retry_delay: timedelta | float | None
    retry_policy: Any
    start_date: datetime | None
    end_date: datetime | None
    depends_on_past: bool
    ignore_first_depends_on_past: bool
    wait_for_past_depends_before_skipping: bool
    wait_for_downstream: bool
    dag: DAG | None
    params: MutableMapping[str, Any] | None
    default_args: dict[str, Any] | None
    priority_weight: int
    weight_rule: Any
    queue: str
    pool: str | None
    pool_slots: int
    sla: timedelta | None
    execution_timeout: timedelta | None
    on_execute_callback: Any
    on_failure_callback: Any
    on_success_callback: Any
    on_retry_callback: Any
    on_skipped_callback: Any
    pre_execute: Any
    post_execute: Any
    trigger_rule: str
    resources: dict[str, Any] | None
    run_as_user: str | None
    map_index_template: str | None
    max_active_tis_per_dag: int | None
    max_active_tis_per_dagrun: int | None
    executor: str | None
    executor_config: dict[str, Any] | None
    do_xcom_push: bool
    multiple_outputs: bool
    inlets: Any
    outlets: Any
    task_group: TaskGroup | None
    doc: str | None
    doc_md: str | None
    doc_json: str | None
    doc_yaml: str | None
    doc_rst: str | None
    task_display_name: str | None
    logger_name: str | None
    allow_nested_operators: bool
    render_template_as_native_obj: bool | None


class AirflowSensorArguments(AirflowArguments, total=False):
    """Arguments of every sensor of Airflow; see Airflow's ``BaseSensorOperator``."""

    poke_interval: timedelta | float
    timeout: timedelta | float | None
    soft_fail: bool
    mode: str
    exponential_backoff: bool
    max_wait: timedelta | float | None
    silent_fail: bool
    never_fail: bool


class OutputArguments(TypedDict, total=False):
    """Arguments for outputs and logs."""

    push_outputs: Sequence[str]
    """Names of outputs to push as XComs of their own; a missing one fails the task. ``"*"`` also pushes all others."""
    reveal_outputs: Sequence[str]
    """Names of secret outputs that may go into XCom in plain text."""
    outputs_path: str | None
    """Folder (see ``ObjectStoragePath``) for outputs over 48 KiB; without it they are left out."""
    log_path: str | None
    """Folder (see ``ObjectStoragePath``) for the whole remote log."""


class OutcomeArguments(TypedDict, total=False):
    """Arguments for ends that are neither good nor bad."""

    on_skipped: OnSkipped
    """What the task does if the execution was skipped: ``"skip"``, ``"fail"`` or ``"succeed"``."""
    on_waiting: OnWaiting
    """What the task does when the execution waits for manual approval: ``"wait"``, or ``"fail"`` or ``"succeed"`` at once."""
    on_partial: OnPartial
    """What the task does if the execution succeeded with failed steps: ``"succeed"`` or ``"fail"``."""


class GetArguments(AirflowArguments, OutputArguments, total=False):
    """Shared by the operators that read an execution as it is."""


class StartArguments(AirflowArguments, OutputArguments, OutcomeArguments, total=False):
    """Shared by the operators that start an execution, without ``timeout``."""

    wait_for_completion: bool
    """Wait for the execution to end; otherwise the task succeeds as soon as it is started."""
    deferrable: bool
    """Wait in the triggerer, without occupying a worker slot."""
    poll_interval: timedelta | float
    """Maximum polling interval (seconds or timedelta). Polling starts at 10 s and backs off to it."""
    waiting_timeout: timedelta | float | None
    """How long the execution may wait for manual approval in total; then it is cancelled and the task fails. None: up to 7 days."""
    on_retry: Literal["start", "resume"]
    """After a failed execution, a retry of the task can ``"start"`` a new one or ``"resume"`` it by the system's own retry."""
    cancel_on_kill: bool
    """Cancel the execution when a person or Airflow ends the task."""
    log_lines: int
    """Maximum number of remote log lines to show while the task waits; the tail is always shown."""


class ExecutionArguments(StartArguments, total=False):
    """Shared by the operators that start an execution."""

    timeout: timedelta | float
    """How long the execution may take, from its start and across retries; then it is cancelled and the task fails."""


class SensorArguments(AirflowSensorArguments, OutputArguments, OutcomeArguments, total=False):
    """Shared by the sensors."""

    deferrable: bool
    """Wait in the triggerer, without occupying a worker slot."""
    start_from_trigger: bool
    """With ``deferrable``: also start in the triggerer, and end there on success and skip, without any worker."""
    waiting_timeout: timedelta | float | None
    """How long the execution may wait for manual approval in total. None: until ``timeout``."""


class SearchArguments(SensorArguments, total=False):
    """Shared by the sensors that search for an execution."""

    started_after: datetime | str | None
    """Only executions that started at this moment or later."""
    started_before: datetime | str | None
    """Only executions that started before this moment."""
    finished_after: datetime | str | None
    """Only executions that ended at this moment or later, or have not ended."""
    match: Match
    """``"first"`` to start, ``"latest"``, or ``"first_succeeded"``."""
