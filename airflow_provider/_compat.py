"""
The only module that knows that there are several versions of Airflow. It asks what there is, never for a number.

Names that have moved are imported on first use: parsing a DAG file must not become slower by those that it does not need.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from airflow.sdk import Connection, Context
    from airflow.sdk import ExceptionRetryPolicy as ExceptionRetryPolicy
    from airflow.sdk import RetryAction as RetryAction
    from airflow.sdk import RetryRule as RetryRule
    from airflow.sdk import conf as conf
    from airflow.sdk.exceptions import AirflowException as AirflowException
    from airflow.sdk.exceptions import AirflowFailException as AirflowFailException
    from airflow.sdk.exceptions import AirflowNotFoundException as AirflowNotFoundException
    from airflow.sdk.exceptions import AirflowRescheduleException as AirflowRescheduleException
    from airflow.sdk.exceptions import AirflowSensorTimeout as AirflowSensorTimeout
    from airflow.sdk.exceptions import AirflowSkipException as AirflowSkipException
    from airflow.sdk.exceptions import AirflowTaskTimeout as AirflowTaskTimeout
    from airflow.sdk.exceptions import TaskDeferralError as TaskDeferralError
    from airflow.sdk.exceptions import TaskDeferralTimeout as TaskDeferralTimeout
    from airflow.triggers.shared_stream import AdvanceItem as AdvanceItem
    from airflow.triggers.shared_stream import SharedStreamProducer as SharedStreamProducer

T = TypeVar("T")

_EXCEPTIONS = ("airflow.sdk.exceptions", "airflow.exceptions")
_PLACES = {
    "conf": ("airflow.sdk", "airflow.configuration"),
    "AirflowException": _EXCEPTIONS,
    "AirflowFailException": _EXCEPTIONS,
    "AirflowNotFoundException": _EXCEPTIONS,
    "AirflowRescheduleException": _EXCEPTIONS,
    "AirflowSensorTimeout": _EXCEPTIONS,
    "AirflowSkipException": _EXCEPTIONS,
    "AirflowTaskTimeout": _EXCEPTIONS,
    "TaskDeferralError": _EXCEPTIONS,
    "TaskDeferralTimeout": _EXCEPTIONS,
    "ExceptionRetryPolicy": ("airflow.sdk",),
    "RetryAction": ("airflow.sdk",),
    "RetryRule": ("airflow.sdk",),
    "AdvanceItem": ("airflow.triggers.shared_stream",),
    "SharedStreamProducer": ("airflow.triggers.shared_stream",),
}
"""Name to the modules that have it, the newest first."""
_NEEDS_3_3 = {
    "ExceptionRetryPolicy": "Retry policies need Airflow 3.3 or later. Before, leave retry_policy out: errors that no retry can mend "
    "(a refused credential, wrong settings) are not retried anyway.",
}
"""What to say where a name is missing. The others are not used where they are missing: an empty class takes their place."""


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = _first(_PLACES[name], name)
        if value is None:
            if name in _NEEDS_3_3:
                raise ImportError(_NEEDS_3_3[name])
            value = object
        globals()[name] = value
        return value


def _first(modules: tuple[str, ...], name: str) -> Any:
    for module in modules:
        try:
            return getattr(import_module(module), name)
        except (ImportError, AttributeError):
            continue
    return None


@cache
def _is_moved_into_sdk() -> bool:
    """Whether the Task SDK has names of its own. Airflow 3.2, which moved them there, changed what can't be asked for from here, too."""
    return hasattr(import_module("airflow.sdk"), "conf")


# Statistics


@cache
def stats() -> Any:
    """Airflow's statistics: what its configuration names, or nothing at all."""
    return _first(("airflow.sdk.observability.stats", "airflow.stats"), "Stats")


# The state of a task between its attempts


def task_state_store(context: Context) -> Any:
    """The store that survives retries (Airflow 3.3); None if there is none."""
    return context.get("task_state_store")


def counts_all_clears() -> bool:
    """Whether ``clear_number`` of a DAG run counts every clear. Before 3.2 it counts those of runs that have ended."""
    return _is_moved_into_sdk()


# Templates


def renders_natively(operator: Any) -> bool:
    """Whether the templates of an operator render to Python objects. Before 3.2 only its DAG says so."""
    dag = operator.get_dag()
    if hasattr(operator, "_should_render_native"):
        return bool(operator._should_render_native(dag))
    return dag is not None and dag.render_template_as_native_obj


# Triggers


def get_connection(conn_id: str, read: Callable[[str], Connection] | None = None) -> Connection:
    """
    A connection, in a task or outside one.

    :param read: reads it; by default Airflow's hooks do.
    :raises airflow.sdk.exceptions.AirflowNotFoundException: if there is none.
    """
    from airflow.sdk import BaseHook

    try:
        return (read or BaseHook.get_connection)(conn_id)
    except ImportError as error:  # before 3.2, outside a task, where no secrets backend has it
        if "SUPERVISOR_COMMS" not in str(error):
            raise
    from airflow_provider._compat import AirflowNotFoundException

    raise AirflowNotFoundException(f"The conn_id {conn_id!r} isn't defined")


def kills_triggers() -> bool:
    """Whether Airflow calls ``on_kill`` of a trigger (3.3). Before, it only cancels the trigger, whatever the reason."""
    return hasattr(import_module("airflow.triggers.base").BaseTrigger, "on_kill")


def starts_in_triggerer() -> bool:
    """Whether a task can start in the triggerer, where its templates are rendered (3.3)."""
    return hasattr(import_module("airflow.triggers.base").BaseTrigger, "render_template_fields")


def resumes_answered_tasks() -> bool:
    """Whether Airflow itself resumes a deferred task whose required action is answered (3.3). Before, its trigger has to ask."""
    return hasattr(import_module("airflow.sdk.execution_time.comms"), "AwaitInputTask")


def asset_state_stores(trigger: Any) -> list[Any] | None:
    """The stores of all assets that have this trigger (3.3); None if Airflow has no such stores."""
    if not hasattr(trigger, "asset_state_store"):
        return None
    store = trigger.asset_state_store
    return [] if store is None else [*store._by_name.values(), *store._by_uri.values()]


async def to_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """
    Run in a thread what may send requests to Airflow.

    Before 3.2 such a request is handed to the event loop that the thread knows: ``asyncio.to_thread`` does not tell it.
    """
    if _is_moved_into_sdk():
        return await asyncio.to_thread(function, *args, **kwargs)
    from asgiref.sync import sync_to_async

    return await sync_to_async(partial(function, *args, **kwargs), thread_sensitive=False)()


async def amask_secret(secret: Any) -> None:
    """Mask a secret in the logs of a triggerer."""
    from airflow.sdk import log

    if hasattr(log, "amask_secret"):
        await log.amask_secret(secret)
    else:
        await to_thread(log.mask_secret, secret)


async def aget_xcom(backend: Any, ti: Any, key: str) -> Any:
    """An XCom of a task, read in a triggerer; None if there is none."""
    if hasattr(backend, "aget_value"):
        return await backend.aget_value(ti_key=ti, key=key)
    return await to_thread(backend.get_value, ti_key=ti, key=key)


async def aset_xcom(backend: Any, key: str, value: Any, **task: Any) -> None:
    """
    Set an XCom in a triggerer.

    :param task: identifies the task instance.
    """
    if hasattr(backend, "aset"):
        await backend.aset(key, value, **task)
    else:
        await to_thread(backend.set, key, value, **task)


async def aget_asset_state(store: Any, key: str) -> Any:
    """What an asset state store, or what takes its place, keeps under a key. The stores of 3.3.0 know only how to block."""
    if hasattr(store, "aget"):
        return await store.aget(key)
    return await to_thread(store.get, key)


async def aset_asset_state(store: Any, key: str, value: Any) -> None:
    """Keep something in an asset state store."""
    if hasattr(store, "aset"):
        await store.aset(key, value)
    else:
        await to_thread(store.set, key, value)


# Files


def lines_of(file: Any) -> Iterator[str]:
    """The lines of a text file of an ``ObjectStoragePath``. Not every version can iterate over it."""
    return iter(file.readline, "")


# Connections


def look_up_stored_connections() -> None:
    """Let a command find connections that are stored in Airflow's database, as a server does (3.1.8; before only those elsewhere)."""
    os.environ.setdefault("_AIRFLOW_PROCESS_CONTEXT", "server")


def reads_forms_from_hooks() -> bool:
    """Whether connection forms come from methods of the hook. Since 3.2 they come from the provider's description."""
    return not _is_moved_into_sdk()
