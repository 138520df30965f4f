"""Inconsistent, unknown and missing values in records of executions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from airflow_provider.alga_psa.executions.mapping import PHASES as ALGA_PSA
from airflow_provider.audit.facts.execution import AlgaPsaPart, ExecutionFacts, StepFacts
from airflow_provider.audit.facts.fact import seconds
from airflow_provider.audit.rules.outcome import Outcome, fail, not_applicable, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.buddy.executions.mapping import PHASES as BUDDY
from airflow_provider.execution.model.phase import Phase
from airflow_provider.tracecat.executions.mapping import PHASES as TRACECAT
from airflow_provider.tracecat.executions.mapping import ROW_PHASES

SKEW = 60.0
"""Tolerated difference of two machines' clocks, in seconds."""
ROUNDING = 1.0
"""Tolerated rounding difference of a duration, in seconds."""
_END = {"buddy": "finish_date", "tracecat": "close_time", "alga_psa": "completed_at"}


@rule(
    "EXE016",
    "Inconsistent record",
    on=ExecutionFacts,
    severity=Severity.LOW,
    confidence=Confidence.HIGH,
    reads=(
        "status",
        "start_date",
        "finish_date",
        "progress",
        "start_time",
        "close_time",
        "started_at",
        "completed_at",
        "duration_ms",
        "error_message",
        "failed_action_index",
        "actions_total",
    ),
    needs=("EXECUTION_INFO", "workflow:read", "automation:read"),
)
def inconsistent_record(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The record contradicts itself: an end before the start, an end without a time, a wrong duration, a failure without an error, counts
    that do not add up, a finished step that is still running. Confidence is low for differences that rounding or clock skew of a minute
    can explain.

    Why:
    Durations and rates derived from it are wrong. It is often the first sign of an API change or of a manipulated record.

    Fix:
    Report it to the vendor with the URL of the execution. Do not rely on the field until it is explained.

    Before:
    {"status": "completed", "started_at": "2026-03-10T01:00:00Z", "completed_at": "2026-03-09T23:00:00Z"}

    After:
    {"status": "completed", "started_at": "2026-03-10T01:00:00Z", "completed_at": "2026-03-10T01:00:05Z"}
    """
    if execution.phase.ended:  # otherwise an end may be left over from before a retry
        yield from _backwards(execution.started_at, execution.finished_at, _END[execution.system], SKEW)
        yield from _without_end(execution)
        if execution.alga_psa is not None:
            yield from _alga_psa(execution, execution.alga_psa)
        elif execution.phase is Phase.FAILED:
            yield from _says_nothing(execution)
    for step in execution.steps:
        if execution.buddy is not None:
            if step.phase.ended:
                yield from _backwards(step.started_at, step.finished_at, f"{step.path}.finish_date", SKEW)
            else:
                yield from _done(step, execution.seen_at)
        elif step.phase.ended:  # the row of a loop mixes the times of its iterations
            yield from _backwards(step.started_at, step.finished_at, f"{step.path}.close_time", float("inf"))


def _backwards(start: datetime | None, end: datetime | None, path: str, skew: float) -> Iterator[Outcome]:
    took = seconds(start, end)
    if took is not None and took < 0:
        message = f"It ended {-took:.1f} s before it began."
        yield fail(path, "before the start", message, confidence=None if -took > skew else Confidence.LOW)


def _without_end(execution: ExecutionFacts) -> Iterator[Outcome]:
    field = _END[execution.system]
    if execution.finished_at is not None or execution.phase is Phase.SKIPPED:
        return  # a skipped execution may have no times at all
    if not execution.detailed and not execution.has_fields(field):
        yield not_available("the short form has no end")
        return
    sure = execution.phase is not Phase.CANCELLED or execution.started_at is not None
    yield fail(field, None, f"It is {execution.status}, but has no end time.", confidence=None if sure else Confidence.LOW)


def _says_nothing(execution: ExecutionFacts) -> Iterator[Outcome]:
    if not execution.detailed:
        yield not_available("the short form has no errors")
    elif execution.buddy is not None and not any(step.phase in (Phase.FAILED, Phase.TIMED_OUT) for step in execution.steps):
        if not execution.error:
            yield fail("action_executions", "no failed step", "It failed, but no step failed.", confidence=Confidence.MEDIUM)
    elif not execution.error and not any(step.error for step in execution.steps):
        yield fail("error_message", None, "It failed without an error message.", confidence=Confidence.LOW)


def _done(step: StepFacts, now: datetime) -> Iterator[Outcome]:
    if step.progress is None or step.progress < 100 or step.phase is Phase.UNKNOWN:
        return
    moved = seconds(step.finished_at or step.started_at, now)  # the last moment of a step looks like this
    sure = step.phase is Phase.RUNNING and moved is not None and moved > SKEW
    message = f"{step.name} has {step.progress:g} % progress, but is {step.status}."
    yield fail(f"{step.path}.progress", f"{step.name} {step.status}", message, confidence=None if sure else Confidence.LOW)


def _alga_psa(execution: ExecutionFacts, part: AlgaPsaPart) -> Iterator[Outcome]:
    took = execution.duration
    if part.duration_ms is not None and part.duration_ms < 0:
        yield fail("duration_ms", "negative", "Its duration is negative.")
    elif part.duration_ms is not None and took is not None and took >= 0:
        off = abs(part.duration_ms / 1000 - took)
        if off > ROUNDING:
            message = f"Its duration is {part.duration_ms / 1000:g} s, but its times are {took:g} s apart."
            sure = off > 10 * ROUNDING and off > took / 10
            yield fail("duration_ms", "other than its times", message, confidence=None if sure else Confidence.LOW)
    if execution.phase is Phase.FAILED and not execution.error:
        if execution.detailed or execution.has_fields("error_message"):
            yield fail("error_message", None, "It failed without an error message.")
        else:
            yield not_available("the short form has no errors")
    elif execution.phase is Phase.FAILED and part.failed_action_index is None and part.actions_failed:
        message = "Actions failed, but the record does not say which."
        yield fail("failed_action_index", None, message, confidence=Confidence.MEDIUM)
    elif execution.phase is Phase.FAILED and (part.failed_action_index or 0) > (part.actions_total or float("inf")):
        message = f"It has {part.actions_total:g} actions, but the failed one has the index {part.failed_action_index:g}."
        yield fail("failed_action_index", "beyond the last", message)
    counts = (part.actions_total, part.actions_successful, part.actions_failed)
    total, good, bad = counts
    if any(count is not None and count < 0 for count in counts):
        yield fail("actions_total", "negative", "A number of actions is negative.")
    elif total is not None and (good or 0) + (bad or 0) > total:
        yield fail("actions_total", "too few", f"It has {total:g} actions, but {(good or 0) + (bad or 0):g} ended.")


_WAITS = ("WAITING_FOR_APPLY", "WAITING_FOR_VARIABLES", "WAITING_FOR_SETTABLE_VARIABLES", "WAITING_FOR_VT_SESSION")
_STATUSES = {"buddy": {*BUDDY, *_WAITS}, "tracecat": set(TRACECAT), "alga_psa": set(ALGA_PSA)}
_STEP_STATUSES = {"buddy": _STATUSES["buddy"], "tracecat": {*ROW_PHASES, "UNKNOWN"}}
_TRIGGERS = {"CLICK", "SCHEDULE", "EVENT", "PIPELINE", "WEBHOOK", "EMAIL", "MANUAL"}
_PRIORITIES = {"LOW", "NORMAL", "HIGH"}
_LEVELS = {"debug", "info", "warn", "error"}
_TRIGGER_TYPES = {"manual", "scheduled", "webhook", "case"}
_EXECUTION_TYPES = {"draft", "published"}
_INTERACTIONS = {"approval", "response"}
_INTERACTION_STATUSES = {"idle", "pending", "error", "timed_out", "completed"}
_ROLES = {"user", "service", "service_account"}
_EVENTS = {
    *(f"WORKFLOW_EXECUTION_{name}" for name in (
        "STARTED", "COMPLETED", "FAILED", "TERMINATED", "CANCELED", "CONTINUED_AS_NEW", "TIMED_OUT", "SIGNALED", "UPDATE_ACCEPTED",
        "UPDATE_REJECTED", "UPDATE_COMPLETED",
    )),
    *(f"ACTIVITY_TASK_{name}" for name in ("SCHEDULED", "STARTED", "COMPLETED", "FAILED", "TIMED_OUT", "CANCELED")),
    "START_CHILD_WORKFLOW_EXECUTION_INITIATED",
    *(f"CHILD_WORKFLOW_EXECUTION_{name}" for name in ("STARTED", "COMPLETED", "FAILED", "CANCELED", "TERMINATED", "TIMED_OUT")),
}  # fmt: skip


@rule(
    "EXE017",
    "Unknown status or field value",
    on=ExecutionFacts,
    severity=Severity.INFO,
    confidence=Confidence.HIGH,
    reads=(
        "status",
        "action_executions[].status",
        "triggered_on",
        "priority",
        "events[].status",
        "events[].event_type",
        "events[].role.type",
        "trigger_type",
        "execution_type",
        "interactions[].status",
        "logs[].level",
    ),
    needs=("EXECUTION_INFO", "workflow:read", "automation:read"),
)
def unknown_value(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A status, or another field with a fixed set of values, has a value that this version does not know.

    Why:
    The API has changed. An unknown status never counts as an end, so a task waits for such an execution until its timeout.

    Fix:
    Upgrade this provider, or report the value.

    Before:
    {"status": "PAUSED_BY_POLICY"}

    After:
    {"status": "INPROGRESS"}
    """
    reported = set()
    for path, value, values in _enums(execution):
        if value is not None and value not in values and (key := (path.rpartition(".")[2], value)) not in reported:
            reported.add(key)
            yield fail(path, value, f"The value {value} is unknown.")


def _enums(execution: ExecutionFacts) -> Iterator[tuple[str, str | None, set[str]]]:
    yield "status", execution.status, _STATUSES[execution.system]
    if execution.alga_psa is not None:
        for line in execution.logs:
            yield f"{line.path}.level", line.level, _LEVELS
        return
    values = _STEP_STATUSES[execution.system]
    for step in execution.steps:
        yield f"{step.path}.status", step.status, values
    if execution.buddy is not None:
        yield "triggered_on", execution.buddy.triggered_on, _TRIGGERS
        yield "priority", execution.buddy.priority, _PRIORITIES
    if (part := execution.tracecat) is not None:
        yield "trigger_type", part.trigger_type, _TRIGGER_TYPES
        yield "execution_type", part.execution_type, _EXECUTION_TYPES
        for item in part.interactions:
            yield f"{item.path}.status", item.status, _INTERACTION_STATUSES
            yield f"{item.path}.type", item.type, _INTERACTIONS
        for event in part.events or ():
            yield f"events[{event.id}].event_type", event.type, _EVENTS
            if event.actor is not None:
                yield f"events[{event.id}].role.type", event.actor.kind, _ROLES


_QUIET = ("WAIT_FOR_APPLY", "WAIT_FOR_VARIABLES", "SET_VARIABLES", "APPROVE_VT", "SLEEP")


@rule(
    "EXE026",
    "Log retention gap",
    on=ExecutionFacts,
    systems=("buddy", "alga_psa"),
    severity=Severity.LOW,
    confidence=Confidence.MEDIUM,
    reads=("log", "log_url", "logs"),
    needs=("EXECUTION_INFO", "automation:read"),
)
def log_gone(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The execution or one of its steps ran and has ended, but there is no log. Tracecat does not keep logs.

    Why:
    Other rules lack evidence, and nobody can find out later what happened.

    Fix:
    Keep logs for as long as your policy requires, or copy them in the task that waits. ``AuditReportOperator`` only keeps findings.

    Before:
    {"status": "SUCCESSFUL", "log": []}

    After:
    {"status": "SUCCESSFUL", "log": ["Uploading...", "Done"]}
    """
    if execution.phase not in (Phase.SUCCEEDED, Phase.FAILED, Phase.TIMED_OUT):
        yield not_applicable("it has not ended, or did not run")
    elif not execution.logs_read:
        yield not_available("the log was not read")
    elif execution.alga_psa is not None:
        if execution.alga_psa.dry_run:
            yield not_applicable("a dry run")
        elif not execution.logs:
            yield fail("logs", None, "There is no log.")
    else:
        logged = {line.path.rpartition(".")[0] for line in execution.logs}
        for step in execution.steps:
            worked = step.phase in (Phase.SUCCEEDED, Phase.FAILED, Phase.TIMED_OUT) and step.type not in _QUIET
            if worked and step.path not in logged and not step.log_url:
                yield fail(f"{step.path}.log", step.name, f"There is no log of {step.name}.")
