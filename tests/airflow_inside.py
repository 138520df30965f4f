"""
What the harness uses of Airflow's inside, in all versions of Airflow: none of it is a promised interface, and much has moved.

Where a version lacks something, its name is None here, and the harness plays what Airflow does there.
"""

from __future__ import annotations

import json
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.api.datamodels._generated import TaskInstance
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.execution_time.comms import DeferTask
from airflow.sdk.execution_time.supervisor import InProcessTestSupervisor
from airflow.triggers.base import TriggerEvent
from pydantic import BaseModel

USER_ACTION: str | None
"""What a triggerer tells a trigger that it takes away because a person ended the task."""
AssetStateStoreAccessors: Any
DagSerialization: Any
deserialize_xcom: Any

try:
    from airflow.executors.workloads.task import TaskInstanceDTO
except ImportError:  # before 3.2
    from airflow.executors.workloads import TaskInstance as TaskInstanceDTO  # type: ignore[attr-defined, no-redef]

try:
    from airflow.jobs.triggerer_job_runner import _USER_ACTION_CANCEL_MSG as USER_ACTION
    from airflow.sdk.execution_time.context import AssetStateStoreAccessors
except ImportError:  # before 3.3
    USER_ACTION = AssetStateStoreAccessors = None

try:
    from airflow.sdk.serde import deserialize, serialize
    from airflow.serialization.decoders import smart_decode_trigger_kwargs
    from airflow.serialization.encoders import encode_trigger
    from airflow.serialization.serialized_objects import DagSerialization
except ImportError:  # before 3.2
    from airflow.serialization.serde import deserialize as deserialize_xcom  # type: ignore[no-redef]
    from airflow.serialization.serialized_objects import BaseSerialization, smart_decode_trigger_kwargs  # type: ignore[attr-defined, no-redef]

    deserialize, serialize, DagSerialization, encode_trigger = BaseSerialization.deserialize, BaseSerialization.serialize, None, None
else:
    deserialize_xcom = deserialize


def natively(arguments: dict[str, Any]) -> bool:
    """
    Whether the DAG is to render templates natively: before 3.2 a task has no argument for it.

    :param arguments: of the task. It is taken out there.
    """
    if hasattr(BaseOperator, "_should_render_native"):
        return False
    return bool(arguments.pop("render_template_as_native_obj", False))


def known(model: type[BaseModel], fields: dict[str, Any]) -> dict[str, Any]:
    """Those fields that a version's model has: it refuses others."""
    return {name: value for name, value in fields.items() if name in model.model_fields}


def as_stored(deferral: DeferTask) -> DeferTask:
    """A deferral as Airflow stores it. Its arguments can be read by their names."""
    if DagSerialization is not None:
        return deferral
    stored = json.loads(deferral.model_dump_json())  # before 3.2 they are encoded on their way
    kwargs = {name: deserialize(stored[name]) if stored[name] else stored[name] for name in ("trigger_kwargs", "next_kwargs")}
    return deferral.model_copy(update=kwargs)


def decoded(kwargs: Any) -> Any:
    """The arguments of a stored deferral."""
    return kwargs if DagSerialization is None else deserialize(json.loads(json.dumps(kwargs)))


def told(entry: Any) -> TriggerEvent:
    """The event of an entry in a triggerer's queue: before 3.3 that is the second of a pair."""
    event: TriggerEvent = entry.event if hasattr(entry, "event") else entry[1]
    return event


def run_task(ti: TaskInstance, task: BaseOperator | MappedOperator, client: Any) -> Any:
    """Run a task in this process, with this client of the Execution API."""

    class Supervisor(InProcessTestSupervisor):
        @staticmethod
        def _api_client(dag: Any = None) -> Any:
            return client

        def send_msg(self, msg: Any, *args: Any, **kwargs: Any) -> None:
            if DagSerialization is None and msg is not None:  # as on the wire: before 3.2 the types of some fields only come there
                msg = type(msg).model_validate_json(msg.model_dump_json(warnings=False))
            super().send_msg(msg, *args, **kwargs)

    return Supervisor.start(what=ti, task=task)


__all__ = [
    "USER_ACTION", "AssetStateStoreAccessors", "DagSerialization", "TaskInstanceDTO", "as_stored", "decoded", "deserialize_xcom",
    "encode_trigger", "known", "natively", "run_task", "serialize", "smart_decode_trigger_kwargs", "told",
]  # fmt: skip
