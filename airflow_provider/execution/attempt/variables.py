"""
What Airflow's state stores keep, in Airflow Variables: for versions without such stores.

One Variable a value, since Variables can't be changed atomically. They hold no secret.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType

from airflow_provider import _clock, _compat
from airflow_provider.execution.attempt.termination import TaskKey, Verdict, ask

if TYPE_CHECKING:
    from airflow.sdk import Context

NOTE_PREFIX = "execution_note_"
"""How the names of Variables with the state of a task begin."""
WATCH_PREFIX = "execution_watch_"
"""How the names of Variables with the memory of a watcher begin."""


class VariableState:
    """
    The state of a task instance: like Airflow's task state store, except that a superseded attempt is refused as well as can be.

    :param context: Airflow's context of the task.
    """

    def __init__(self, context: Context) -> None:
        ti: Any = context["ti"]
        self._key, self._try_number = TaskKey.of(ti), int(ti.try_number)

    def get(self, key: str) -> Any:
        """The value, or None."""
        return self._record(key).get("value")

    def set(self, key: str, value: Any) -> None:
        """
        Store a value, and read it back: Variables can't be changed atomically.

        :param value: JSON.
        :raises airflow.sdk.exceptions.AirflowRuntimeError: if a newer attempt has taken over, or the value was not stored.
        """
        before = self._record(key)
        # A newer attempt that has ended has deleted its note.
        if before.get("try_number", 0) > self._try_number or (not before and ask(self._key) is Verdict.CANCEL):
            raise _refused(f"a newer attempt of {self._key.task_id} has taken over")
        record = {"try_number": self._try_number, "saved_at": round(_clock.now(), 3), "value": value}
        _write(self._name(key), record, f"Written by task {self._key.task_id} of {self._key.dag_id}, run {self._key.run_id}")
        if self._record(key) != json.loads(json.dumps(record)):
            raise _refused(f"Variable {self._name(key)} was not stored, or a newer attempt has changed it")

    def delete(self, key: str) -> None:
        """Delete a value, unless a newer attempt has set it."""
        before = self._record(key)
        if before and before.get("try_number", 0) <= self._try_number:
            _delete(self._name(key))

    def _record(self, key: str) -> dict[str, Any]:
        return _read(self._name(key))

    def _name(self, key: str) -> str:
        return NOTE_PREFIX + _digest([*self._key, key])


class VariableAssetState:
    """
    The memory of a watcher: like the asset state store, except that it belongs to the trigger instead of an asset.

    :param trigger: class path and arguments of the trigger. With other ones it has another memory.
    """

    def __init__(self, trigger: tuple[str, Mapping[str, Any]]) -> None:
        self._trigger = trigger

    async def aget(self, key: str) -> Any:
        """The value, or None."""
        return (await _compat.to_thread(_read, self._name(key))).get("value")

    async def aset(self, key: str, value: Any) -> None:
        """Store a value (JSON)."""
        record = {"saved_at": round(_clock.now(), 3), "value": value}
        await _compat.to_thread(_write, self._name(key), record, f"Written by {self._trigger[0]}")

    def _name(self, key: str) -> str:
        return WATCH_PREFIX + _digest([*self._trigger, key])


def _digest(identity: Any) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def _send(message: Any) -> Any:
    """
    Send a request to Airflow, past ``airflow.sdk.Variable``: that takes any error for a missing Variable, and asks secrets backends first.

    :raises airflow.sdk.exceptions.AirflowRuntimeError: if Airflow can't answer.
    """
    from airflow.sdk.execution_time import task_runner

    return task_runner.SUPERVISOR_COMMS.send(message)


def _read(name: str) -> dict[str, Any]:
    """What a Variable holds; empty if there is none, or none of ours."""
    from airflow.sdk.execution_time.comms import ErrorResponse, GetVariable, VariableResult

    try:
        answer = _send(GetVariable(key=name))
    except AirflowRuntimeError as error:
        answer = error.error
    if isinstance(answer, ErrorResponse) and answer.error is ErrorType.VARIABLE_NOT_FOUND:
        return {}
    if not isinstance(answer, VariableResult) or answer.key != name:
        # Before 3.2 the answers of two threads can be swapped, such as that of on_kill.
        raise _refused(f"it can't be read: {getattr(answer, 'error', type(answer).__name__)}")
    try:
        record = json.loads(answer.value or "{}")
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _write(name: str, record: dict[str, Any], description: str) -> None:
    from airflow.sdk.execution_time.comms import PutVariable

    _send(PutVariable(key=name, value=json.dumps(record), description=description))


def _delete(name: str) -> None:
    from airflow.sdk.execution_time.comms import DeleteVariable

    _send(DeleteVariable(key=name))


def _refused(why: str) -> AirflowRuntimeError:
    from airflow.sdk.execution_time.comms import ErrorResponse

    return AirflowRuntimeError(ErrorResponse(error=ErrorType.GENERIC_ERROR, detail={"message": f"The note was refused: {why}."}))
