"""Who did what in an execution."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider.audit.facts import ExecutionFacts, Person
from airflow_provider.audit.levels import Confidence, Severity
from airflow_provider.audit.outcome import Outcome, fail, not_applicable, not_available
from airflow_provider.audit.rule import rule
from airflow_provider.audit.settings import AuditSettings
from airflow_provider.execution.phase import Phase

END_EVENTS = ("WORKFLOW_EXECUTION_TERMINATED", "WORKFLOW_EXECUTION_CANCELED")


@rule(
    "EXE005",
    "terminated-by-whom",
    "Terminated by somebody unexpected, or by nobody known",
    on=ExecutionFacts,
    systems=("buddy", "tracecat"),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("terminator_id", "termination_date", "events[].role", "events[].event_type"),
    needs=("EXECUTION_INFO", "workflow:read"),
    uses=("people.terminators", "production"),
)
def terminated_by_whom(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The execution was cut off by somebody who is not among ``people.terminators``, or nobody knows by whom.

    Why:
    Who can stop a run can stop a scan, a migration halfway, or a deployment between two servers. It has to be known who did.

    Mend:
    Ask the person; add the ids of those who may to ``people.terminators``; take the right to run from others.

    Before:
    {"status": "TERMINATED", "terminator_id": null}

    After:
    {"status": "TERMINATED", "terminator_id": 17}
    """
    if execution.phase is not Phase.CANCELLED:
        yield not_applicable("it was not terminated")
        return
    severity = Severity.HIGH if execution.definition and settings.is_production(execution.definition.name) else Severity.MEDIUM
    acts = list(_terminators(execution))
    if not acts:
        if _could_tell(execution):
            path = "terminator_id" if execution.buddy else "events"
            yield fail(path, None, "It was terminated, and nobody knows by whom.", severity=Severity.HIGH)
        else:
            yield not_available("who terminated it was not read")
    for path, person in acts:
        allowed = settings.people.terminators
        if allowed and not person.is_one_of(allowed):
            who = person.name or person.id
            yield fail(path, person.id or who, f"It was terminated by {who}, who is not among those allowed to.", severity=severity)


def _terminators(execution: ExecutionFacts) -> Iterator[tuple[str, Person]]:
    for step in execution.steps:
        if step.terminator:
            yield f"{step.path}.terminator_id", step.terminator
    for event in (execution.tracecat and execution.tracecat.events) or ():
        if event.type in END_EVENTS and event.actor and event.actor.id:
            yield f"events[{event.id}].role", event.actor


def _could_tell(execution: ExecutionFacts) -> bool:
    if execution.tracecat is not None:
        return any(event.type in END_EVENTS and event.actor for event in execution.tracecat.events or ())
    return execution.detailed and bool(execution.steps)  # a field that is missing is null there
