"""Executions that make no progress."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from airflow_provider.audit.facts.execution import ExecutionFacts
from airflow_provider.audit.rules.outcome import Outcome, fail, not_applicable, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.execution.model.phase import Phase


@rule(
    "EXE001",
    "Stuck execution",
    on=ExecutionFacts,
    severity=Severity.HIGH,
    confidence=Confidence.HIGH,
    reads=("status", "start_date", "delay_until", "termination_date", "started_at", "start_time", "close_time", "events[].event_time"),
    needs=("EXECUTION_INFO", "workflow:read", "automation:read"),
    uses=("limits.running", "limits.queued", "limits.stopping", "limits.no_progress"),
)
def stuck_execution(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The execution has been running, queued or stopping for longer than its limit. Confidence is medium or low if it is within the limit, but
    shows no progress; a single long step looks the same.

    Why:
    It blocks workers and the executions queued behind it. Tasks that wait for its end wait forever.

    Fix:
    Cancel it, find out what it waits for, and give its actions a time limit. Raise ``limits.running`` if such a duration is normal.

    Before:
    {"status": "INPROGRESS", "start_date": "2026-03-01T01:00:00Z", "finish_date": null}

    After:
    {"status": "FAILED", "start_date": "2026-03-01T01:00:00Z", "finish_date": "2026-03-01T01:30:00Z"}
    """
    if execution.phase.ended or (execution.tracecat is not None and execution.finished_at is not None):
        yield not_applicable("it has ended")
    elif execution.phase is Phase.WAITING:
        yield not_applicable("it waits for a person")
    elif execution.phase is Phase.UNKNOWN:
        yield not_available("its status is unknown")
    elif (began := _began(execution)) is None:
        yield not_available("its start time is not reported")
    elif execution.phase is Phase.STOPPING:
        yield from _stopping(execution, began, settings.limits.stopping, settings.limits.running)
    elif execution.phase is Phase.QUEUED:
        if execution.seen_at - began > settings.limits.queued:
            yield fail("status", execution.status, f"It has been queued for {_age(execution, began)}.")
    elif execution.seen_at - began > settings.limits.running:
        yield fail("status", execution.status, f"It has been running for {_age(execution, began)}.")
    else:
        moved = execution.progressed_at or began
        if execution.seen_at - moved > settings.limits.no_progress:
            message = f"It has made no progress for {_age(execution, moved)}."
            yield fail("status", execution.status, message, confidence=_sure(execution))


def _began(execution: ExecutionFacts) -> datetime | None:
    delayed = execution.buddy.delay_until if execution.buddy else None
    return max((time for time in (execution.started_at, delayed) if time), default=None)


def _stopping(execution: ExecutionFacts, began: datetime, limit: timedelta, most: timedelta) -> Iterator[Outcome]:
    stopped_at = max((step.terminated_at for step in execution.steps if step.terminated_at), default=None)
    since = stopped_at or max(execution.progressed_at or began, began)
    if execution.seen_at - since > limit:
        sure = stopped_at is not None or (execution.detailed and execution.seen_at - began > most)  # a long step makes no progress either
        message = (
            f"It has been stopping for {_age(execution, since)}."
            if stopped_at
            else "It is being stopped, but has made no progress for long."
        )
        yield fail("status", execution.status, message, confidence=None if sure else Confidence.MEDIUM)


def _sure(execution: ExecutionFacts) -> Confidence:
    """A long step in Buddy shows no progress, nor does an AlgaPSA execution without a log."""
    if execution.buddy is not None:
        works = not execution.detailed or any(step.phase is Phase.RUNNING for step in execution.steps)
        return Confidence.LOW if works else Confidence.MEDIUM
    return Confidence.LOW if execution.progressed_at is None else Confidence.MEDIUM


def _age(execution: ExecutionFacts, since: datetime) -> str:
    return str(timedelta(seconds=int((execution.seen_at - since).total_seconds())))


@rule(
    "EXE002",
    "Waiting for a person too long",
    on=ExecutionFacts,
    systems=("buddy", "tracecat"),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("status", "action_executions[].status", "action_executions[].start_date", "interactions[]"),
    needs=("EXECUTION_INFO", "workflow:read"),
    uses=("limits.waiting",),
)
def waiting_too_long(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The execution waits for a person to approve, to set variables or to answer, and nobody did in time.

    Why:
    Work is not done: a release is not published, an alert is not handled. The queue behind it grows.

    Fix:
    Answer or cancel it; notify people when something waits (a sensor with ``on_waiting="succeed"`` tells that it does), and name more than
    one approver.

    Before:
    {"status": "WAITING_FOR_APPLY", "start_date": "2026-03-01T01:00:00Z"}

    After:
    {"status": "SUCCESSFUL", "approver_id": 7, "approval_date": "2026-03-01T01:20:00Z"}
    """
    waits = [] if execution.phase.ended else list(_waits(execution))
    if not waits:
        yield not_applicable("it does not wait for a person")
    for path, kind, since, until in waits:
        if since is not None and execution.seen_at - since > settings.limits.waiting:
            yield fail(path, kind, f"It has been waiting for a person ({kind}) for {_age(execution, since)}.")
        elif until is not None and execution.seen_at > until:
            yield fail(path, kind, f"It waits for a person ({kind}), but the time to answer has expired.", confidence=Confidence.MEDIUM)
        elif since is None:
            yield not_available("the begin of the wait is not reported")


def _waits(execution: ExecutionFacts) -> Iterator[tuple[str, str, datetime | None, datetime | None]]:
    """Path, kind, since, until."""
    before = execution.progressed_at or execution.started_at
    gates = [step for step in execution.steps if step.phase is Phase.WAITING]
    for step in gates:
        yield f"{step.path}.status", step.status, step.started_at or before, None
    if execution.tracecat is not None:
        for item in execution.tracecat.interactions:
            if item.status == "pending":
                yield f"{item.path}.status", item.type or "interaction", item.created_at or before, item.expires_at
    elif execution.phase is Phase.WAITING and not gates:
        yield "status", execution.status, before, None
