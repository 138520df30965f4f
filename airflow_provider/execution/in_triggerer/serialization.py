"""A sensor as JSON, so that the triggerer can rebuild it and render its templates as a worker does."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from pkgutil import resolve_name
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypedDict, cast

from airflow.sdk import DAG, BaseSensorOperator
from airflow.sdk.definitions.xcom_arg import PlainXComArg

if TYPE_CHECKING:
    from airflow_provider.execution.in_triggerer.portable_sensor import PortableSensor

_BASE_ARGUMENTS = ("poke_interval", "timeout", "do_xcom_push", "render_template_as_native_obj")
"""Arguments of Airflow's own classes that matter in a triggerer."""
_OMITTED_ARGUMENTS = {"self", "deferrable", "start_from_trigger"}
_CONTEXT_FIELDS = (
    "conn", "dag", "data_interval_end", "data_interval_start", "ds", "ds_nodash", "logical_date", "macros", "params", "partition_date",
    "partition_key", "run_id", "task", "task_instance_key_str", "ts", "ts_nodash", "ts_nodash_with_tz", "var",
)  # fmt: skip
_DAG_RUN_FIELDS = (
    "conf", "dag_id", "data_interval_end", "data_interval_start", "end_date", "logical_date", "partition_date", "partition_key",
    "run_after", "run_id", "run_type", "start_date", "state",
)  # fmt: skip
_TASK_INSTANCE_FIELDS = ("dag_id", "map_index", "run_id", "task_id", "try_number")
_UNSET = object()


class NotPortable(ValueError):
    """Raised with the reason why a sensor can't be rebuilt in the triggerer."""


class Portable(TypedDict):
    """
    A sensor as JSON.

    :param sensor: its class, as ``module:class``.
    :param arguments: its arguments, with unrendered templates, without defaults.
    :param pulled: arguments that are an XCom of another task: name to task id and key.
    """

    sensor: str
    arguments: dict[str, Any]
    pulled: dict[str, list[str]]


def pack(sensor: BaseSensorOperator) -> Portable:
    """
    Convert a sensor to JSON.

    :raises NotPortable: if an argument is not JSON, or has another meaning in a triggerer.
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
    Rebuild the sensor, and render its templates. It blocks.

    :param ti: the task instance, as the triggerer has it for tasks that start there. Its DAG is removed: Airflow loads the whole DAG for
        each of them, and would keep it during the wait.
    :raises NotPortable: if the class is not a sensor of this package, or an XCom is missing or can be read by workers only.
    :raises Exception: any other error of an import or a template.
    """
    cls = resolve_name(packed["sensor"])
    if not (isinstance(cls, type) and issubclass(cls, BaseSensorOperator) and hasattr(cls, "wait_in_triggerer")):
        raise NotPortable(f"{packed['sensor']} is not a sensor of this package")
    full = ti.get_template_context()
    context = _context(ti, full)
    dag = DAG(ti.dag_id, schedule=None, render_template_as_native_obj=context["dag"].render_template_as_native_obj)
    sensor = cls(task_id=ti.task_id, dag=dag, **{**packed["arguments"], **dict.fromkeys(packed["pulled"])})
    sensor.render_template_fields(context)
    for name, (task_id, key) in packed["pulled"].items():  # after rendering: XComs of other tasks are not templates
        value = context["ti"].xcom_pull(task_id, key=key, default=_UNSET)
        if value is _UNSET:
            raise NotPortable(f"task {task_id!r} has not pushed an XCom {key!r}")
        if value is None or isinstance(value, float) or (isinstance(value, str) and not value.strip()):
            raise NotPortable(f"{name} is {value!r} in an XCom, which a worker refuses or reads")
        setattr(sensor, name, value)
    full.clear()
    ti.task = None
    return cast("PortableSensor", sensor)


def _context(ti: Any, full: Any) -> Any:
    """
    The context for templates: what a triggerer knows as well as a worker.

    The rest is left out, so that a template that uses it fails to render. In Airflow 3.3 some of it would be empty, and some would make a
    request that the triggerer's supervisor never answers, so that the thread would hang.
    """
    run = SimpleNamespace(**{name: getattr(full["dag_run"], name) for name in _DAG_RUN_FIELDS})
    fields = {name: full[name] for name in _CONTEXT_FIELDS if name in full}
    instance = _TaskInstance(ti, full["dag"])
    return {**fields, "dag_run": run, "ti": instance, "task_instance": instance}


class _TaskInstance:
    """The part of the task instance that templates may use."""

    def __init__(self, ti: Any, dag: Any) -> None:
        self._ti = ti
        self._dag = dag
        for name in _TASK_INSTANCE_FIELDS:
            setattr(self, name, getattr(ti, name))

    def xcom_pull(self, task_ids: str | Sequence[str], dag_id: str | None = None, key: str = "return_value", default: Any = None) -> Any:
        """One XCom of each task, by the one request that a triggerer's supervisor answers."""
        for task_id in [task_ids] if isinstance(task_ids, str) else task_ids:
            if dag_id not in (None, self._ti.dag_id) or _mapped(self._dag.get_task(task_id)):
                raise NotPortable(f"only a worker can read XComs of {task_id!r}, which may be mapped")
        return self._ti.xcom_pull(task_ids=task_ids, key=key, default=default, map_indexes=None)


def _mapped(operator: Any) -> bool:
    return operator.is_mapped or operator.get_closest_mapped_task_group() is not None


@cache
def _parameters(cls: type[BaseSensorOperator]) -> dict[str, Any]:
    """Arguments of the class and its bases in this package, name to default."""
    parameters = dict.fromkeys(_BASE_ARGUMENTS, _UNSET)
    for base in reversed(cls.__mro__):
        if issubclass(base, BaseSensorOperator) and base is not BaseSensorOperator and "__init__" in vars(base):
            for parameter in inspect.signature(base.__init__).parameters.values():
                if parameter.kind is not parameter.VAR_KEYWORD and parameter.name not in _OMITTED_ARGUMENTS:
                    parameters[parameter.name] = parameter.default
    return parameters


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
    raise NotPortable(f"{name} contains {type(value).__name__}, which can't be stored as JSON")
