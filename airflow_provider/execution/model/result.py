"""What a task hands on: one plain, JSON-able dict, the same shape for every system."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, TypedDict


class StepResult(TypedDict):
    """One step of an execution: a Buddy action execution, a Tracecat action, an AlgaPSA action."""

    id: str
    name: str
    type: str | None
    """The vendor's word for the kind of step, such as ``RUN_DOCKER_CONTAINER``."""
    phase: str
    """One of :class:`~airflow_provider.execution.model.phase.Phase`."""
    status: str
    """The vendor's own status, as it came."""
    started_at: str | None
    """ISO 8601, UTC."""
    finished_at: str | None
    duration: float | None
    """Seconds."""
    url: str | None
    error: str | None
    actor: dict[str, Any] | None
    """Who approved or cancelled the step, and when, as far as the API tells."""
    outputs: dict[str, Any]
    """What this step alone put out."""


class ExecutionResult(TypedDict):
    """An execution at its end, as returned by every operator and sensor that follows one."""

    system: str
    conn_id: str
    ref: str
    """Accepted by every operator and sensor of the system."""
    url: str | None
    """The execution's page in the vendor's web interface."""
    phase: str
    status: str
    started_at: str | None
    finished_at: str | None
    duration: float | None
    error: str | None
    actor: dict[str, Any] | None
    """Who started, approved or cancelled it, as far as the API tells."""
    progress: float | None
    """Percent."""
    steps: list[StepResult]
    """At most 200."""
    outputs: dict[str, Any]
    """
    Name to value: what the execution put out as a whole (Buddy: of all steps, later ones win). Secrets and large values are not in it,
    see ``outputs_omitted``.
    """
    outputs_omitted: dict[str, str]
    """Name to the reason why the output is not in ``outputs``."""
    log_tail: list[str]
    """The last lines, at most 50."""
    log_file: str | None
    """Where ``log_path`` put the whole log."""
    system_fields: dict[str, Any]
    """What only this system has."""


def iso(moment: datetime | None) -> str | None:
    """ISO 8601 in UTC, or None."""
    return None if moment is None else utc(moment).isoformat()


def utc(moment: datetime) -> datetime:
    """The same moment in UTC; a time without zone is taken as UTC, and one that is out of all range there."""
    try:
        return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
    except OverflowError:
        return moment.replace(tzinfo=timezone.utc)


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Seconds from ``start`` to ``end``, never negative (the remote clock may step back), or None."""
    return None if start is None or end is None else max((utc(end) - utc(start)).total_seconds(), 0.0)
