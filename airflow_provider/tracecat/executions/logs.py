"""Makes log lines from changes of actions: Tracecat has no log."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.result import seconds_between, utc
from airflow_provider.execution.model.snapshot import Cursor, LogLine, Snapshot, Step

TAIL = 50


def new_lines(snapshot: Snapshot, cursor: Cursor, limit: int) -> list[LogLine]:
    """At most ``limit`` lines, one for each step that has changed since ``cursor``, which is advanced."""
    lines: list[LogLine] = []
    for step in snapshot.steps:
        key, number = f"{snapshot.run} {step.id}", _state_number(step)
        if cursor.get(key) != number and len(lines) < limit:
            cursor[key] = number
            lines.append(line_of(step))
    return lines


def tail_of(steps: Sequence[Step]) -> list[str]:
    """The last lines, each with the name of its step."""
    return [f"[{line.step}] {line.text}" for line in map(line_of, steps)][-TAIL:]


def line_of(step: Step) -> LogLine:
    """The line that tells a step's status, duration and error."""
    took = seconds_between(step.started_at, step.finished_at)
    duration = "" if took is None else f" after {took:.1f} s"
    error = f": {step.error}" if step.error else ""
    level = "error" if step.phase in (Phase.FAILED, Phase.TIMED_OUT) else "info"
    return LogLine(step.name, f"{step.type} {step.status}{duration}{error}", step.finished_at or step.started_at, level)


def _state_number(step: Step) -> int:
    """A number that changes with a step's status, and with the start of another attempt or iteration."""
    states = ("SCHEDULED", "STARTED", "COMPLETED", "FAILED", "CANCELED", "TERMINATED", "TIMED_OUT", "DETACHED")
    number = states.index(step.status) if step.status in states else len(states)
    return int(utc(step.started_at).timestamp() * 1000 if step.started_at else 0) * 10 + number
