"""The result that a task returns: a JSON dict of the same shape for every system."""

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
    """The vendor's own status, unchanged."""
    started_at: str | None
    """ISO 8601, UTC."""
    finished_at: str | None
    duration: float | None
    """Seconds."""
    url: str | None
    error: str | None
    actor: dict[str, Any] | None
    """Who approved or cancelled the step, and when, as far as the API says."""
    outputs: dict[str, Any]
    """The outputs of this step alone."""
    tolerated: bool
    """Whether its failure does not fail the execution."""
    run: int
    """Which run of the same step it is, from 1: a retry, or one more value of a loop."""


class ExecutionResult(TypedDict):
    """An execution at its end, as every operator and sensor returns it."""

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
    """Who started, approved or cancelled it, as far as the API says."""
    progress: float | None
    """Percent."""
    waiting_for: str | None
    """What a person has to do, while the phase is ``WAITING``: the gates, with their texts."""
    steps: list[StepResult]
    """At most 200."""
    outputs: dict[str, Any]
    """
    Name to value: the outputs of the whole execution (Buddy: of all steps, later ones win). Secrets and large values are left out,
    see ``outputs_omitted``.
    """
    outputs_omitted: dict[str, str]
    """Name to the reason why the output is not in ``outputs``."""
    log_tail: list[str]
    """The last lines, at most 50."""
    log_file: str | None
    """Path of the file with the whole log, if ``log_path`` is set."""
    system_fields: dict[str, Any]
    """Fields that only this system has."""


def iso(moment: datetime | None) -> str | None:
    """A moment as ISO 8601 text in UTC; None stays None."""
    return None if moment is None else utc(moment).isoformat()


def utc(moment: datetime) -> datetime:
    """The same moment in UTC. A time without a zone counts as UTC, and so does one that UTC can't represent."""
    if type(moment) is not datetime:  # in arithmetic, those of pendulum with this time zone lose it
        moment = datetime.combine(moment.date(), moment.time(), moment.tzinfo)
    try:
        return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
    except OverflowError:
        return moment.replace(tzinfo=timezone.utc)


def seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    """Seconds from ``start`` to ``end``, never negative (the remote clock may step back); None if one of them is missing."""
    return None if start is None or end is None else max((utc(end) - utc(start)).total_seconds(), 0.0)
