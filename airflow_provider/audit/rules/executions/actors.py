"""The people and services that act on an execution."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider.audit.facts.execution import Event, ExecutionFacts
from airflow_provider.audit.facts.fact import Person
from airflow_provider.audit.rules.outcome import Outcome, fail, not_applicable, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.execution.model.phase import Phase

END_EVENTS = ("WORKFLOW_EXECUTION_TERMINATED", "WORKFLOW_EXECUTION_CANCELED")


@rule(
    "EXE005",
    "Terminated by an unexpected or unknown person",
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
    The execution was terminated by somebody who is not in ``people.terminators``, or it is unknown by whom.

    Why:
    Terminating an execution can stop a scan, or leave a migration or a deployment half done. It must be traceable.

    Fix:
    Ask the person; add the ids of those who are allowed to ``people.terminators``; revoke the run permission of others.

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
            yield fail(path, None, "It was terminated, and the record does not say by whom.", severity=Severity.HIGH)
        else:
            yield not_available("the person who terminated it was not read")
    for path, person in acts:
        allowed = settings.people.terminators
        if allowed and not person.is_one_of(allowed):
            who = person.name or person.id
            yield fail(path, person.id or who, f"It was terminated by {who}, who is not in people.terminators.", severity=severity)


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
    return execution.detailed and bool(execution.steps)  # a missing field means null there


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
    The execution was started by somebody who is not in ``people.starters``, by a service that is not in ``people.services``, or by a person
    using an account that is; or it acted with administrator access. Empty lists are not checked.

    Why:
    A person using a service account, or a service using a person's key, can't be traced, and has more permissions than needed.

    Fix:
    Give each service its own account with the permissions that it needs, and list it in ``people.services``.

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
        yield not_applicable("people.starters and people.services are empty")
        return
    if starter is None or (starter.id is None and starter.name is None):
        yield not_available("the person who started it is unknown")
        return
    path = {"buddy": "creator", "tracecat": "events[].role", "alga_psa": "execution_context.triggered_by"}[execution.system]
    who = starter.name or starter.id
    service = (starter.kind or "").startswith("service")
    if people.starters and not starter.is_one_of(people.starters | people.services):
        yield fail(path, starter.id or who, f"It was started by {who}, who is not in people.starters.")
    elif people.services and service and not starter.is_one_of(people.services):
        yield fail(path, starter.id or who, f"It was started by the service {who}, which is not in people.services.")
    elif starter.kind == "user" and starter.is_one_of(people.services):
        yield fail(path, starter.id or who, f"It was started by a person as {who}, which is a service account.")


def _privileged(event: Event) -> bool:
    return (event.access_level or "").upper() in ("ADMIN", "ADMINISTRATOR", "OWNER", "SUPERUSER", "ROOT")
