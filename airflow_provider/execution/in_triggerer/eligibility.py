"""Decides whether a sensor can start in the triggerer, and prepares what its trigger needs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import BaseSensorOperator
from airflow.triggers.base import StartTriggerArgs

from airflow_provider import _compat
from airflow_provider.execution.in_triggerer.serialization import NotPortable, pack


def start_trigger_args(sensor: BaseSensorOperator, trigger_timeout: timedelta) -> StartTriggerArgs | None:
    """
    How the triggerer starts this task; None if it has to start in a worker.

    :param trigger_timeout: time after which Airflow ends the trigger.
    """
    try:
        kwargs = packed(sensor)
    except NotPortable:
        return None
    limit = min(trigger_timeout, sensor.execution_timeout or trigger_timeout)  # as Airflow does
    return StartTriggerArgs(
        trigger_cls="airflow_provider.execution.in_triggerer.trigger.StartedExecutionTrigger",
        trigger_kwargs={**kwargs, "limit": limit.total_seconds()},
        next_method="execute_complete",
        timeout=trigger_timeout,
    )


def why_in_worker(sensor: BaseSensorOperator, map_index: int | None) -> str | None:
    """Why a sensor starts in a worker; None if it could start in the triggerer, for example in a test of the DAG."""
    if not _compat.starts_in_triggerer():
        return "Airflow starts tasks in the triggerer from version 3.3 on"
    if map_index is not None and map_index >= 0:
        return "a mapped task can't start in the triggerer"
    try:
        packed(sensor)
    except NotPortable as problem:
        return str(problem)
    return None


def packed(sensor: BaseSensorOperator) -> dict[str, Any]:
    """
    The arguments of the trigger: the sensor as JSON, and ``ends_here``.

    :raises NotPortable: if the sensor can't be rebuilt there, or something has to run in a worker first.
    """
    if sensor.on_execute_callback or sensor._pre_execute_hook or type(sensor).pre_execute is not BaseSensorOperator.pre_execute:
        raise NotPortable("a callback has to run before it")
    if sensor.inlets:
        raise NotPortable("only workers can read inlets")
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
