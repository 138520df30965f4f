"""
The view of an execution that its task shows in Airflow's web interface while it waits: an XCom of its own, small, and as of a moment.

At the end of the task its result takes the place of the view.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_provider import _clock
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.result import iso
from airflow_provider.execution.model.snapshot import runs_of
from airflow_provider.execution.results.known_secrets import hidden_in, parts_of
from airflow_provider.execution.results.redaction import clean, secrets_in

if TYPE_CHECKING:
    from airflow_provider.execution.model.snapshot import Snapshot, Step

VIEW_SECONDS = 15.0
"""Minimum seconds between two writes of the view."""
MAX_STEPS = 50
MAX_TEXT = 300
"""Maximum number of characters of each text of a view."""
MAX_URL = 2000
MIN_CUT = 200
"""Number of characters at the end that are left out of a text that was cut."""
MAX_SCANNED = 4096
"""Maximum number of characters of a text that are looked at: more than a secret has that begins within those shown."""
_NEWS = (Phase.FAILED, Phase.TIMED_OUT, Phase.RUNNING, Phase.WAITING, Phase.STOPPING)
"""Phases of steps that stay in the view of an execution with many steps."""


class StepView(TypedDict):
    """One step. Names and values are those of the result."""

    name: str
    phase: str
    status: str
    started_at: str | None
    finished_at: str | None
    type: str | None
    actor: dict[str, Any] | None
    tolerated: bool
    run: int


class ExecutionView(TypedDict):
    """An execution while its task waits for it. Names and values are those of the result, as far as it has them."""

    system: str
    conn_id: str
    ref: str
    url: str | None
    phase: str
    status: str
    started_at: str | None
    finished_at: str | None
    progress: float | None
    waiting_for: str | None
    error: str | None
    actor: dict[str, Any] | None
    steps: list[StepView]
    """At most 50: of more those that run, wait or have failed, and the last ones."""
    steps_left_out: int
    seen_at: str
    """When the execution was like this. ISO 8601, UTC."""


def view_of(system: str, conn_id: str, snapshot: Snapshot, secrets: Sequence[str], *, with_texts: bool = True) -> ExecutionView:
    """
    The view of an execution as it is now.

    :param system: the short name of the system.
    :param conn_id: connection of the task.
    :param secrets: values that must not be shown, besides those that the system marks.
    :param with_texts: False if what must not be shown is not known: then without what the remote side has worded, and without steps.
    """
    more = [text for text in secrets_in(snapshot) if text not in secrets]
    known = [*secrets, *more] if more else secrets
    parts = parts_of(known)
    longest = max(len(parts[0]) if parts else 0, MIN_CUT)

    def text(value: str) -> str:
        line = clean(value[:MAX_SCANNED], known, None)
        if len(value) > MAX_SCANNED:
            line = line[:-longest]  # where it was cut, there may be a part of a secret
        return line if len(line) <= MAX_TEXT else f"{line[: MAX_TEXT - 1]}…"

    url = hidden_in(snapshot.url, parts)
    steps = _selected(list(zip(snapshot.steps, runs_of(snapshot.steps), strict=True))) if with_texts else []
    return {
        "system": system,
        "conn_id": conn_id,
        "ref": snapshot.ref,
        "url": url if with_texts and len(url or "") <= MAX_URL else None,
        "phase": snapshot.phase.value,
        "status": text(snapshot.status) if with_texts else snapshot.phase.value,
        "started_at": iso(snapshot.started_at),
        "finished_at": iso(snapshot.finished_at),
        "progress": snapshot.progress,
        "waiting_for": text(snapshot.waiting_for) if snapshot.waiting_for and with_texts else None,
        "error": text(snapshot.error) if snapshot.error and with_texts else None,
        "actor": _actor(snapshot.actor, text) if snapshot.actor and with_texts else None,
        "steps": [
            {
                "name": text(step.name),
                "phase": step.phase.value,
                "status": text(step.status),
                "started_at": iso(step.started_at),
                "finished_at": iso(step.finished_at),
                "type": text(step.type) if step.type else None,
                "actor": _actor(step.actor, text) if step.actor else None,
                "tolerated": step.tolerated,
                "run": run,
            }
            for step, run in steps
        ],
        "steps_left_out": len(snapshot.steps) - len(steps),
        "seen_at": datetime.fromtimestamp(_clock.now(), timezone.utc).isoformat(timespec="seconds"),
    }


def _actor(actor: dict[str, Any], text: Callable[[str], str]) -> dict[str, Any]:
    """Who has started or approved it: plain values only, since nobody knows how large the rest is."""
    return {name: text(value) for name, value in actor.items() if isinstance(value, str)}


def _selected(steps: Sequence[tuple[Step, int]]) -> list[tuple[Step, int]]:
    if len(steps) <= MAX_STEPS:
        return list(steps)
    news = [number for number, (step, _) in enumerate(steps) if step.phase in _NEWS][-MAX_STEPS:]
    rest = [number for number in range(len(steps)) if number not in set(news)]
    chosen = sorted([*news, *rest[len(rest) - (MAX_STEPS - len(news)) :]])
    return [steps[number] for number in chosen]


class ViewWrites:
    """
    When to write the view: at the first look and when the phase of the execution or of a step has changed, at most every 15 seconds.

    It remembers a few numbers only: a triggerer holds thousands of these.
    """

    __slots__ = ("_is_due", "_phases", "_written_at")

    def __init__(self) -> None:
        self._phases: int | None = None
        self._written_at: float | None = None
        self._is_due = False

    def see(self, snapshot: Snapshot) -> None:
        """Look whether anything has changed that a view is written for."""
        phases = hash((snapshot.ref, snapshot.phase, snapshot.run, tuple(step.phase for step in snapshot.steps)))
        self._is_due = self._is_due or phases != self._phases
        self._phases = phases

    def due_in(self) -> float | None:
        """Seconds until the view is to be written, 0 for now; None if there is nothing new."""
        if not self._is_due:
            return None
        return 0.0 if self._written_at is None else max(self._written_at + VIEW_SECONDS - _clock.monotonic(), 0.0)

    def written(self) -> None:
        """The view is written now."""
        self._written_at, self._is_due = _clock.monotonic(), False

    def failed(self) -> None:
        """It could not be written: the next look writes it, after the usual time."""
        self._is_due = True
