"""Who did what in an execution."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider.audit.facts.execution import Event, ExecutionFacts
from airflow_provider.audit.facts.fact import Person
from airflow_provider.audit.rules.outcome import Outcome, fail, not_applicable, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.execution.phase import Phase

END_EVENTS = ("WORKFLOW_EXECUTION_TERMINATED", "WORKFLOW_EXECUTION_CANCELED")


@rule(
    "EXE005",
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


@rule(
    "EXE020",
    "Privileged or unexpected actor",
    on=ExecutionFacts,
    severity=Severity.MEDIUM,
    confidence=Confidence.MEDIUM,
    reads=("creator", "events[].role.type", "events[].role.access_level", "events[].role.service_id", "execution_context.triggered_by"),
    needs=("EXECUTION_INFO", "workflow:read", "automation:read"),
    uses=("people.starters", "people.services"),
)
def unexpected_actor(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    Who started the execution is not among ``people.starters``; is a service that is not among ``people.services``, or a person who uses an
    account that is; or acted with an administrator's access. What nobody has named is not judged.

    Why:
    A service account in a person's hands, or a person's key in a service, leaves no trace of who it was, and has more rights than needed.

    Mend:
    Give each service an account of its own with the rights it needs, and name it in ``people.services``.

    Before:
    {"role": {"type": "user", "user_id": "ci-bot"}}

    After:
    {"role": {"type": "service_account", "service_account_id": "ci-bot"}}
    """
    starter, people = execution.starter, settings.people
    privileged = [event for event in (execution.tracecat and execution.tracecat.events) or () if _privileged(event)]
    for event in privileged[:1]:
        yield fail(f"events[{event.id}].role.access_level", event.access_level, f"It acted with the access level {event.access_level}.")
    if not people.starters and not people.services:
        yield not_applicable("nobody is named in people.starters or people.services")
        return
    if starter is None or (starter.id is None and starter.name is None):
        yield not_available("who started it is not known")
        return
    path = {"buddy": "creator", "tracecat": "events[].role", "alga_psa": "execution_context.triggered_by"}[execution.system]
    who = starter.name or starter.id
    service = (starter.kind or "").startswith("service")
    if people.starters and not starter.is_one_of(people.starters | people.services):
        yield fail(path, starter.id or who, f"It was started by {who}, who is not among those expected to.")
    elif people.services and service and not starter.is_one_of(people.services):
        yield fail(path, starter.id or who, f"It was started by the service {who}, which is not among those named.")
    elif starter.kind == "user" and starter.is_one_of(people.services):
        yield fail(path, starter.id or who, f"It was started by a person as {who}, which is an account of a service.")


def _privileged(event: Event) -> bool:
    return (event.access_level or "").upper() in ("ADMIN", "ADMINISTRATOR", "OWNER", "SUPERUSER", "ROOT")
