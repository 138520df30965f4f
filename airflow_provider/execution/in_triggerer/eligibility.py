"""Whether a sensor can start in the triggerer, and with what."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.triggers.base import StartTriggerArgs

from airflow_provider.execution.in_triggerer.serialization import NotPortable, pack

if TYPE_CHECKING:
    from airflow_provider.execution.waiting.completion import Completion
    from airflow_provider.execution.waiting.search import Search
    from airflow_provider.execution.waiting.wait import WatchPolicy


@dataclass(frozen=True)
class TriggererWait:
    """
    A wait that the triggerer begins and ends in place of a worker.

    :param ref, search: the execution, or how to find it.
    :param link_key: XCom key of the system's link.
    :param do_xcom_push: whether the result is pushed.
    """

    completion: Completion
    ref: str | None
    search: Search | None
    link_key: str
    policy: WatchPolicy
    do_xcom_push: bool


def start_trigger_args(sensor: BaseSensorOperator, backstop: timedelta) -> StartTriggerArgs | None:
    """
    How the triggerer starts this task; None if a worker has to.

    :param backstop: when Airflow takes the trigger away.
    """
    try:
        kwargs = packed(sensor)
    except NotPortable:
        return None
    limit = min(backstop, sensor.execution_timeout or backstop)  # as Airflow does
    return StartTriggerArgs(
        trigger_cls="airflow_provider.execution.in_triggerer.trigger.StartedExecutionTrigger",
        trigger_kwargs={**kwargs, "limit": limit.total_seconds()},
        next_method="execute_complete",
        timeout=backstop,
    )


def why_in_worker(sensor: BaseSensorOperator, map_index: int | None) -> str | None:
    """Why a sensor does not run in the triggerer; None if Airflow has its reasons, such as a test of the DAG."""
    if map_index is not None and map_index >= 0:
        return "a mapped task can't start in the triggerer"
    try:
        packed(sensor)
    except NotPortable as problem:
        return str(problem)
    return None


def packed(sensor: BaseSensorOperator) -> dict[str, Any]:
    """
    What the triggerer makes the sensor of.

    :raises NotPortable: if it can't be made there, or something is to run in a worker before.
    """
    if sensor.on_execute_callback or sensor._pre_execute_hook or type(sensor).pre_execute is not BaseSensorOperator.pre_execute:
        raise NotPortable("a callback is to run before it")
    if sensor.inlets:
        raise NotPortable("inlets are read by workers only")
    in_worker = (
        sensor.outlets,
        sensor.on_success_callback,
        sensor.on_skipped_callback,
        sensor._post_execute_hook,
        type(sensor).post_execute is not BaseSensorOperator.post_execute,
        sensor.multiple_outputs,
        *(getattr(sensor, name, None) for name in ("returns_dag_result", "outputs_path", "log_path")),
    )
    return {**pack(sensor), "ends_here": not any(in_worker)}
