"""Why was the task terminated? ``on_kill`` does not prove that a person ended it, so Airflow is asked for the task's state."""

from __future__ import annotations

from contextlib import suppress
from enum import Enum
from threading import Thread
from typing import Any, NamedTuple

from airflow_provider import _clock

ENDED_BY_KEY = "ended_by"
"""XCom key of the marker that tells the next attempt that a person ended this one."""

_STOPPED = {"failed", "success", "skipped", "upstream_failed", "removed", "restarting", None}
_GOING_ON = {"deferred", "running", "queued", "scheduled", "up_for_retry", "up_for_reschedule"}

KILL_SECONDS = 3.5
"""Time for all of ``on_kill``: Airflow kills a worker 5 seconds after it told it to stop."""
ASK_SECONDS = 2.0
"""Part of it for asking why the task is terminated. The cancel request is worth sending although its answer may come too late."""
MARK_SECONDS = 0.5
"""Part of it for the marker for the next attempt."""
LOOKS = (0.0, 0.5, 1.0)
"""Seconds before each look for an execution that was started just now: it may not appear at once."""


class Verdict(Enum):
    """Whether to cancel the execution, by the task's state."""

    CANCEL = "a person or Airflow ended the task"
    KEEP = "the task continues elsewhere"
    UNKNOWN = "the task's state is not known"


class TaskKey(NamedTuple):
    """Identifies a task instance, as Airflow's API for task states does. ``map_index``: -1 if the task is not mapped."""

    dag_id: str
    run_id: str
    task_id: str
    map_index: int

    @classmethod
    def of(cls, ti: Any) -> TaskKey:
        """The key of a task instance of any of Airflow's classes."""
        return cls(ti.dag_id, ti.run_id, ti.task_id, -1 if ti.map_index is None else ti.map_index)


def ask(key: TaskKey) -> Verdict:
    """Ask Airflow for the task's state. It blocks: call it in a side thread, in a worker as well as in a triggerer."""
    from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance

    mapped = key.map_index >= 0
    try:
        states = RuntimeTaskInstance.get_task_states(
            dag_id=key.dag_id,
            task_ids=[key.task_id],
            run_ids=[key.run_id],
            map_index=key.map_index if mapped else None,
        )
        state = states[key.run_id][f"{key.task_id}_{key.map_index}" if mapped else key.task_id]
    except Exception:
        return Verdict.UNKNOWN
    state = getattr(state, "value", state)
    return Verdict.CANCEL if state in _STOPPED else Verdict.KEEP if state in _GOING_ON else Verdict.UNKNOWN


def mark_ended_by_person(key: TaskKey) -> None:
    """
    Leave a marker for the next attempt: this one was ended by a person or Airflow, so the next one is no retry. It blocks.

    Airflow's counters do not always say so: if several running tasks are cleared at once, 3.3 raises ``max_tries`` of only one. The marker
    is an XCom, since the task state store refuses writes of an attempt that is over. The next attempt deletes it, but gets its key before.
    """
    from airflow.sdk.execution_time.xcom import XCom

    with suppress(Exception):
        XCom.set(ENDED_BY_KEY, Verdict.CANCEL.value, **key._asdict())


def was_ended_by_person(ti: Any) -> bool:
    """Whether the previous attempt left that marker."""
    server_context = getattr(ti, "_ti_context_from_server", None)
    return ENDED_BY_KEY in (getattr(server_context, "xcom_keys_to_clear", None) or ())


def within(seconds: float, function: Any, default: Any) -> Any:
    """
    Run ``function`` in a thread: a signal handler must neither block nor take a lock.

    :returns: its result, or ``default`` if it takes longer than ``seconds``, or fails.
    """
    results: list[Any] = []

    def run() -> None:
        results.append(function())

    ended = _clock.run_thread(Thread(target=run, daemon=True), seconds)
    return results[0] if ended and results else default
