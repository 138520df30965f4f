"""A sensor as JSON, so that it can be made again in the triggerer, its templates rendered there as in a worker."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Protocol, TypedDict, cast

from airflow.sdk import DAG, BaseSensorOperator
from airflow.sdk.definitions.xcom_arg import PlainXComArg

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider.execution.in_triggerer.eligibility import TriggererWait

_OF_BASES = ("poke_interval", "timeout", "do_xcom_push", "render_template_as_native_obj")
"""Arguments of Airflow's own classes that matter in a triggerer."""
_NOT_CARRIED = {"self", "deferrable", "start_from_trigger"}
_KNOWN = (
    "conn", "dag", "data_interval_end", "data_interval_start", "ds", "ds_nodash", "logical_date", "macros", "params", "partition_date",
    "partition_key", "run_id", "task", "task_instance_key_str", "ts", "ts_nodash", "ts_nodash_with_tz", "var",
)  # fmt: skip
_KNOWN_OF_RUN = (
    "conf", "dag_id", "data_interval_end", "data_interval_start", "end_date", "logical_date", "partition_date", "partition_key",
    "run_after", "run_id", "run_type", "start_date", "state",
)  # fmt: skip
_KNOWN_OF_TASK = ("dag_id", "map_index", "run_id", "task_id", "try_number")
_UNSET = object()


class NotPortable(ValueError):
    """Why a sensor can't be made again in the triggerer."""


class Portable(TypedDict):
    """
    A sensor as JSON.

    :param sensor: its class, as ``module:class``.
    :param arguments: its arguments, templates unrendered, without those that have their default.
    :param pulled: arguments that are an XCom of another task: name to task id and key.
    """

    sensor: str
    arguments: dict[str, Any]
    pulled: dict[str, list[str]]


class PortableSensor(Protocol):
    """What the triggerer asks of the sensor that it has made again."""

    def wait_in_triggerer(self, context: Context) -> TriggererWait:
        """What to wait for, and how the task ends."""


def pack(sensor: BaseSensorOperator) -> Portable:
    """
    Write a sensor as JSON.

    :raises NotPortable: if an argument can't be written so, or means something else in a triggerer.
    """
    arguments: dict[str, Any] = {}
    pulled: dict[str, list[str]] = {}
    for name, default in _parameters(type(sensor)).items():
        if (value := getattr(sensor, name, _UNSET)) is _UNSET:
            raise NotPortable(f"{type(sensor).__name__} does not keep its argument {name!r}")
        if type(value) is PlainXComArg:
            if _mapped(value.operator):
                raise NotPortable(f"{name} comes from a mapped task")
            pulled[name] = [value.operator.task_id, value.key]
        elif type(value) is not type(default) or value != default:
            arguments[name] = _plain(value, name)
    return {"sensor": f"{type(sensor).__module__}:{type(sensor).__qualname__}", "arguments": arguments, "pulled": pulled}


def unpack(packed: Portable, ti: Any) -> PortableSensor:
    """
    Make the sensor again, and render its templates. It blocks.

    :param ti: the task instance, as the triggerer has it for tasks that start there. It loses its DAG: Airflow loads the whole DAG for
        each of them, and would keep it for as long as the wait takes.
    :raises Exception: whatever comes of a class that can't be imported, or of a template that can't be rendered.
    """
    cls = resolve_name(packed["sensor"])
    if not (isinstance(cls, type) and issubclass(cls, BaseSensorOperator) and hasattr(cls, "wait_in_triggerer")):
        raise NotPortable(f"{packed['sensor']} is no sensor of this package")
    full = ti.get_template_context()
    context = _context(ti, full)
    dag = DAG(ti.dag_id, schedule=None, render_template_as_native_obj=context["dag"].render_template_as_native_obj)
    sensor = cls(task_id=ti.task_id, dag=dag, **{**packed["arguments"], **dict.fromkeys(packed["pulled"])})
    sensor.render_template_fields(context)
    for name, (task_id, key) in packed["pulled"].items():  # behind the rendering: what another task has pushed is no template
        value = context["ti"].xcom_pull(task_id, key=key, default=_UNSET)
        if value is _UNSET and key != "return_value":
            raise NotPortable(f"task {task_id!r} has pushed no XCom {key!r}")
        setattr(sensor, name, None if value is _UNSET else value)
    full.clear()
    ti.task = None
    return cast("PortableSensor", sensor)


def _context(ti: Any, full: Any) -> Any:
    """
    What templates may use: what a triggerer knows as well as a worker.

    The rest is left out, and a template that wants it fails to render. Airflow 3.3 would give some of it empty, and for some it asks its
    supervisor what that never answers, so that the thread would hang.
    """
    run = SimpleNamespace(**{name: getattr(full["dag_run"], name) for name in _KNOWN_OF_RUN})
    known = {name: full[name] for name in _KNOWN if name in full}
    instance = _TaskInstance(ti, full["dag"])
    return {**known, "dag_run": run, "ti": instance, "task_instance": instance}


class _TaskInstance:
    """What templates may use of the task instance."""

    def __init__(self, ti: Any, dag: Any) -> None:
        self._ti = ti
        self._dag = dag
        for name in _KNOWN_OF_TASK:
            setattr(self, name, getattr(ti, name))

    def xcom_pull(self, task_ids: str | Sequence[str], dag_id: str | None = None, key: str = "return_value", default: Any = None) -> Any:
        """One XCom each, by the one question that a triggerer's supervisor answers."""
        for task_id in [task_ids] if isinstance(task_ids, str) else task_ids:
            if dag_id not in (None, self._ti.dag_id) or _mapped(self._dag.get_task(task_id)):
                raise NotPortable(f"XComs of {task_id!r} can be read by a worker only, since it may be mapped")
        return self._ti.xcom_pull(task_ids=task_ids, key=key, default=default, map_indexes=None)


def _mapped(operator: Any) -> bool:
    return operator.is_mapped or operator.get_closest_mapped_task_group() is not None


@cache
def _parameters(cls: type[BaseSensorOperator]) -> dict[str, Any]:
    """Argument to default, of the class and its bases down to the package's own."""
    found = dict.fromkeys(_OF_BASES, _UNSET)
    for base in reversed(cls.__mro__):
        if issubclass(base, BaseSensorOperator) and base is not BaseSensorOperator and "__init__" in vars(base):
            for parameter in inspect.signature(base.__init__).parameters.values():
                if parameter.kind is not parameter.VAR_KEYWORD and parameter.name not in _NOT_CARRIED:
                    found[parameter.name] = parameter.default
    return found


def _plain(value: Any, name: str) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, (list, tuple)):
        return [_plain(item, name) for item in value]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _plain(item, name) for key, item in value.items()}
    raise NotPortable(f"{name} holds {type(value).__name__}, which can't be stored as JSON")
