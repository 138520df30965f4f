"""
The note that an attempt leaves for the next one. It survives retries, as XComs do not: in Airflow's task state store, or in Variables where
there is no such store.
"""

from __future__ import annotations

import hashlib
import secrets
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider import _compat
from airflow_provider.execution.attempt.stored import FORMAT, FORMAT_KEY, check_format
from airflow_provider.execution.attempt.termination import was_ended_by_person

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider.execution.attempt.variables import VariableState

NOTE_KEY = "execution"
WAIT_KEY = "wait"
"""Key of the state of a sensor's wait between pokes."""
PROGRESS_KEY = "execution_progress"
"""XCom key of a trigger's progress, from which another triggerer continues."""


@dataclass
class Note:
    """
    The execution that belongs to this task. Written before its start (the intent) and after it.

    :param generation: number of clears by a person.
    :param sequence: number of starts within a generation.
    :param marker: text that travels with the start request, by which the execution is found again.
    :param max_tries, clear_number, try_number: Airflow's counters at that time, which tell a retry from a clear.
    :param started_at: epoch seconds of the start request, or of the beginning of a sensor's wait.
    :param resumes: ref of the execution that the request runs again, if it starts no new one.
    :param ref: the execution, once known.
    :param url: its page.
    :param refused: whether the API said that nothing was started.
    :param done: whether the task has finished with this execution.
    :param gate: the gate that a person was asked to open.
    :param answer: what the person answered in Airflow, see :class:`~airflow_provider.execution.model.required_action.Answer`.
    :param place: where the start request went, such as a workspace and a pipeline: the arguments may lead elsewhere by now.
    :param guessed: whether only circumstances say that ``ref`` is what a lost request started: then it is never cancelled.
    :param waited, waiting_since: time spent waiting for manual approval, see :class:`~airflow_provider.execution.waiting.wait.WaitState`.
    """

    generation: int
    sequence: int
    marker: str
    max_tries: int
    clear_number: int | None
    started_at: float
    try_number: int = 0
    resumes: str | None = None
    ref: str | None = None
    url: str | None = None
    refused: bool = False
    done: bool = False
    gate: str | None = None
    answer: dict[str, Any] | None = None
    waited: float = 0.0
    waiting_since: float | None = None
    guessed: bool = False
    place: dict[str, Any] | None = None


def task_state(context: Context) -> Any:
    """What keeps the state of a task between its attempts; it has ``get`` and ``set``."""
    store = _compat.task_state_store(context)
    return _variables(context) if store is None else store


def forget_task_state(context: Context, *keys: str) -> bool:
    """
    The task is over: delete what is kept about it, where Airflow does not do so in time itself.

    :returns: whether it is deleted.
    """
    if _compat.task_state_store(context) is not None:
        return False
    from airflow.sdk.exceptions import AirflowRuntimeError

    for key in keys:
        with suppress(AirflowRuntimeError):  # left behind, no reason to fail
            _variables(context).delete(key)
    return True


def _variables(context: Context) -> VariableState:
    from airflow_provider.execution.attempt.variables import VariableState

    return VariableState(context)


def load_note(context: Context) -> Note | None:
    """
    The note of an earlier attempt, or None. What is no note counts as none.

    :raises ExecutionInterrupted: if a later version of this package has written it, in a form that this one would misread.
    """
    stored = task_state(context).get(NOTE_KEY)
    if not isinstance(stored, dict):
        return None
    check_format(stored, "The note of an earlier attempt", stored.get("ref"))
    try:
        return Note(**{name: value for name, value in stored.items() if name in Note.__dataclass_fields__})
    except TypeError:
        return None


def save_note(context: Context, note: Note) -> None:
    """
    Store the note.

    :raises airflow.sdk.exceptions.AirflowRuntimeError: if Airflow refuses because a newer attempt has taken over.
    """
    task_state(context).set(NOTE_KEY, {FORMAT_KEY: FORMAT, **asdict(note)})


def cleared_since(note: Note, context: Context) -> bool:
    """
    Whether a person cleared the task since ``note``; otherwise this is a retry.

    Airflow does not say so directly. A clear increments the run's ``clear_number`` (as does a clear of another task; before 3.2 only if
    the run has ended) and sets the task's ``max_tries`` to its attempts so far plus its ``retries``. This is a higher number, unless the
    DAG has fewer ``retries`` by now: then it may be the same as before. With unchanged ``retries`` no retry has a ``max_tries`` that a
    clear would have set. And no retry follows an attempt that knew that it was ended
    (:func:`~airflow_provider.execution.attempt.termination.mark_ended_by_person`). That an attempt had finished tells a clear only where
    ``clear_number`` counts them all: Airflow may not have heard of its end.
    """
    ti: Any = context["ti"]
    run_clears, counts_all = getattr(context["dag_run"], "clear_number", None), _compat.counts_all_clears()
    if run_clears is not None and run_clears == note.clear_number and counts_all:
        return False
    finished = note.done and counts_all
    if ti.max_tries != note.max_tries or ti.try_number > note.max_tries + 1 or finished or was_ended_by_person(ti):
        return True
    return bool(0 < note.try_number < ti.try_number and ti.max_tries == ti.try_number - 1 + context["task"].retries)


def next_note(context: Context, previous: Note | None, *, cleared: bool, now: float) -> Note:
    """
    The note for a new start. Its marker is partly random: another Airflow may have the same DAG, run and task, and the same pipeline.

    The next attempt finds the marker in the note; it can't be computed again.

    :param previous: note of the previous start, if any.
    :param cleared: whether a person cleared the task since.
    :param now: epoch seconds.
    """
    ti: Any = context["ti"]
    generation = (previous.generation + cleared) if previous else 0
    sequence = 0 if previous is None or cleared else previous.sequence + 1
    identity = "\x1f".join(map(str, (ti.dag_id, ti.run_id, ti.task_id, ti.map_index, generation, sequence)))
    return Note(
        generation=generation,
        sequence=sequence,
        marker=f"airflow-{hashlib.sha256(identity.encode()).hexdigest()[:8]}{secrets.token_hex(6)}",
        max_tries=ti.max_tries,
        clear_number=getattr(context["dag_run"], "clear_number", None),
        started_at=now,
        try_number=ti.try_number,
    )
