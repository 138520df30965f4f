"""What must survive a crash: notes in Airflow's task state store, which outlives retries (XComs don't)."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow_provider.execution.attempt.termination import was_ended_by_person

if TYPE_CHECKING:
    from airflow.sdk import Context

NOTE_KEY = "execution"
PROGRESS_KEY = "execution_progress"
"""XCom key under which a trigger notes how far it is, so that another triggerer goes on there."""


@dataclass
class Note:
    """
    Which execution belongs to this task, written before its start (the intent) and after it.

    :param generation: counts clears by a person. :param sequence: counts starts within a generation.
    :param marker: travels with the start request, so that the execution can be found again.
    :param max_tries, clear_number, try_number: Airflow's counters at that time, which tell a retry from a clear.
    :param started_at: epoch seconds of the start request, or of the beginning of a sensor's wait.
    :param resumes: the execution that the request is to run again, if it starts no new one.
    :param ref: the execution, once known. :param refused: the API said that nothing was started.
    :param done: the task has concluded on it.
    :param waited, waiting_since: time spent waiting for a person, see :class:`~airflow_provider.execution.waiting.wait.WaitState`.
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
    waited: float = 0.0
    waiting_since: float | None = None


def load_note(context: Context) -> Note | None:
    """The note of an earlier try, or None. A note that this version can't read counts as none."""
    stored = context["task_state_store"].get(NOTE_KEY)
    if not isinstance(stored, dict):
        return None
    try:
        return Note(**{name: value for name, value in stored.items() if name in Note.__dataclass_fields__})  # type: ignore[arg-type]
    except TypeError:
        return None


def save_note(context: Context, note: Note) -> None:
    """
    Write the note.

    :raises airflow.sdk.exceptions.AirflowRuntimeError: if Airflow refuses, since a newer try has taken over.
    """
    context["task_state_store"].set(NOTE_KEY, asdict(note))


def cleared_since(note: Note, context: Context) -> bool:
    """
    Whether a person cleared the task since ``note``; otherwise this is a retry.

    Airflow does not say so directly. A clear counts up the run's ``clear_number`` (also when other tasks are cleared) and sets the
    task's ``max_tries`` to its tries so far and its ``retries``. That raises it, unless fewer ``retries`` are in the DAG by now: then
    it may be the same as before. With unchanged ``retries`` no retry has a ``max_tries`` that a clear would have set. Nor does a
    retry follow a try which knew that it was ended (:func:`~airflow_provider.execution.attempt.termination.mark_ended_by_person`).
    """
    ti: Any = context["ti"]
    run_clears = getattr(context["dag_run"], "clear_number", None)
    if run_clears is not None and run_clears == note.clear_number:
        return False
    if ti.max_tries != note.max_tries or ti.try_number > note.max_tries + 1 or note.done or was_ended_by_person(ti):
        return True
    return bool(0 < note.try_number < ti.try_number and ti.max_tries == ti.try_number - 1 + context["task"].retries)


def next_note(context: Context, before: Note | None, *, cleared: bool, now: float) -> Note:
    """The intent for a new start, whose marker the next try can work out or find here."""
    ti: Any = context["ti"]
    generation = (before.generation + cleared) if before else 0
    sequence = 0 if before is None or cleared else before.sequence + 1
    identity = "\x1f".join(map(str, (ti.dag_id, ti.run_id, ti.task_id, ti.map_index, generation, sequence)))
    return Note(
        generation=generation,
        sequence=sequence,
        marker="airflow-" + hashlib.sha256(identity.encode()).hexdigest()[:20],
        max_tries=ti.max_tries,
        clear_number=getattr(context["dag_run"], "clear_number", None),
        started_at=now,
        try_number=ti.try_number,
    )
