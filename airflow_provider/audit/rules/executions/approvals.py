"""Approvals of executions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from airflow_provider.audit.facts.execution import ExecutionFacts, StepFacts
from airflow_provider.audit.facts.fact import Person, seconds
from airflow_provider.audit.rules.outcome import Outcome, fail, not_applicable, not_available
from airflow_provider.audit.rules.purpose import APPROVALS
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity
from airflow_provider.audit.settings.model import DAYS, AuditSettings, WorkingHours
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.required_action import ANSWERED_BY, TRIGGERED_BY


@dataclass(frozen=True, slots=True)
class Approval:
    """An answered approval."""

    place: str
    field: str
    what: str
    person: Person | None
    asked_at: datetime | None
    answered_at: datetime | None
    in_airflow: str | None = None
    """Who answered in Airflow, if the gate was opened from there: for Buddy it was the user of the connection."""
    triggered_by: str | None = None
    """Who triggered the DAG run."""

    @property
    def path(self) -> str:
        """Field path of the person."""
        return f"{self.place}.{self.field}"


def approvals(execution: ExecutionFacts) -> list[Approval]:
    """The approvals of an execution."""
    answered = [
        Approval(
            step.path,
            "approver_id",
            step.name,
            step.approver,
            step.started_at,
            step.approved_at,
            in_airflow=_passed(step, ANSWERED_BY),
            triggered_by=_passed(step, TRIGGERED_BY),
        )
        for step in execution.steps
        if step.approver or step.approved_at
    ]
    if execution.tracecat is not None:
        answered += [
            Approval(item.path, "actor", item.action_ref or "interaction", item.actor, item.created_at, item.answered_at)
            for item in execution.tracecat.interactions
            if item.status == "completed"
        ]
    return answered


def _passed(step: StepFacts, key: str) -> str | None:
    return next((str(variable.value) for variable in step.passed if variable.key == key and variable.value), None)


@rule(
    "EXE006",
    "Self-approved approval",
    on=ExecutionFacts,
    systems=("buddy", "tracecat"),
    severity=Severity.HIGH,
    confidence=Confidence.MEDIUM,
    reads=(
        "approver_id",
        "outputted_variables[].BUDDY_APPROVING_ACTOR",
        "passed_variables[].AIRFLOW_ANSWERED_BY",
        "passed_variables[].AIRFLOW_TRIGGERED_BY",
        "creator",
        "interactions[].actor",
        "events[].role",
    ),
    needs=("EXECUTION_INFO", "workflow:read"),
    uses=("people.approvers",),
)
def self_approved(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The execution was approved by the person who started it, or by somebody who is not in ``people.approvers``, if that list is not empty.
    Confidence is low if only the names are known and are equal.
    If the gate was opened from Airflow with ``name_answer=True``, the person who answered there counts too: it must not be the one who
    triggered the DAG run. This never makes up for an approval by the user who started the execution, since whoever has the token can
    pass any name.

    Why:
    A second person catches mistakes; with self-approval a single stolen account is enough for a release.

    Fix:
    Tick *prevent self-approval* in the approval action, or set its approvers; start with a service account and approve as a person.

    Before:
    {"creator": {"id": 7}, "action_executions": [{"approver_id": 7}]}

    After:
    {"creator": {"id": 7}, "action_executions": [{"approver_id": 9}]}
    """
    answered = [approval for approval in approvals(execution) if approval.person is not None]
    if not answered:
        if execution.detailed:
            yield not_applicable("nothing was approved")
        else:
            yield not_available("the approver was not read")
    for approval in answered:
        person = approval.person
        assert person is not None
        who = person.name or person.id
        allowed = settings.people.approvers
        if execution.starter is None:
            yield not_available("the person who started it is unknown")
        elif (confidence := _same(person, execution.starter)) is not None:
            yield fail(approval.path, person.id or who, f"{who} started the execution and approved {approval.what}.", confidence=confidence)
            continue
        if (named := approval.in_airflow) is not None and _equal(named, approval.triggered_by):
            message = f"{named} triggered the DAG run and approved {approval.what} in Airflow."
            yield fail(approval.path, named, message, confidence=Confidence.LOW)
            continue
        if allowed and not person.is_one_of(allowed):
            yield fail(approval.path, person.id or who, f"{who} approved {approval.what}, but is not in people.approvers.")
        if allowed and named is not None and named not in allowed:
            yield fail(approval.path, named, f"{named} approved {approval.what} in Airflow, but is not in people.approvers.")


def _same(first: Person, other: Person) -> Confidence | None:
    if first.id is not None and other.id is not None:
        return Confidence.MEDIUM if first.id.casefold() == other.id.casefold() else None
    return Confidence.LOW if _equal(first.name, other.name) else None


def _equal(first: str | None, other: str | None) -> bool:
    return bool(first and other and first.casefold() == other.casefold())


@rule(
    "EXE007",
    "Approval faster than a person reads, or outside working hours",
    on=ExecutionFacts,
    systems=("buddy", "tracecat"),
    severity=Severity.LOW,
    confidence=Confidence.MEDIUM,
    persona=Persona.FORENSIC,
    reads=("approval_date", "start_date", "interactions[].created_at", "interactions[].updated_at"),
    needs=("EXECUTION_INFO", "workflow:read"),
    uses=("limits.approval_least", "working_hours", "time_zone"),
)
def hasty_approval(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The approval came faster than a person can review (``limits.approval_least``), or outside working hours (confidence low).

    Why:
    An approval without a review is worthless; an approval at night may come from somebody else.

    Fix:
    Ask the approver. Give approvers something to review in the action's comment, such as the changes and the test results.

    Before:
    {"start_date": "2026-03-10T10:00:00Z", "approval_date": "2026-03-10T10:00:01Z"}

    After:
    {"start_date": "2026-03-10T10:00:00Z", "approval_date": "2026-03-10T10:04:30Z"}
    """
    answered = approvals(execution)
    if not answered:
        yield not_applicable("nothing was approved")
    zone = ZoneInfo(settings.time_zone)
    for approval in answered:
        path = f"{approval.place}.approval_date" if approval.field == "approver_id" else f"{approval.place}.updated_at"
        if approval.answered_at is None:
            yield not_available("the time of the approval is unknown")
            continue
        took = seconds(approval.asked_at, approval.answered_at)
        if took is not None and 0 <= took < settings.limits.approval_least.total_seconds():
            yield fail(path, f"{approval.what} at once", f"{approval.what} was approved after {took:.1f} s.")
        if not _at_work(approval.answered_at.astimezone(zone), settings.working_hours):
            message = f"{approval.what} was approved outside working hours."
            yield fail(path, f"{approval.what} outside working hours", message, confidence=Confidence.LOW)


def _at_work(when: datetime, hours: WorkingHours) -> bool:
    if DAYS[when.weekday()] not in hours.days:
        return False
    if hours.start <= hours.end:
        return hours.start <= when.time() < hours.end
    return when.time() >= hours.start or when.time() < hours.end  # past midnight


@rule(
    "EXE008",
    "Approval bypassed",
    on=ExecutionFacts,
    systems=("buddy",),
    severity=Severity.MEDIUM,
    confidence=Confidence.LOW,
    reads=("action_executions[].status", "action_executions[].action.type", "approver_id", "approval_date"),
    needs=("EXECUTION_INFO",),
)
def approval_skipped(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    An approval action did not run but the following actions did; or it succeeded without an approver.

    Why:
    A condition, or a selection of actions at the start (``actions_to_run``), bypasses the approval.

    Fix:
    Check the conditions of the approval action: it must run whenever the actions that it guards run.

    Before:
    [{"action": {"type": "WAIT_FOR_APPLY"}, "status": "SKIPPED"}, {"action": {"name": "Deploy"}, "status": "SUCCESSFUL"}]

    After:
    [{"action": {"type": "WAIT_FOR_APPLY"}, "status": "SUCCESSFUL", "approver_id": 9}, {"action": {"name": "Deploy"}}]
    """
    gates = [(number, step) for number, step in enumerate(execution.steps) if step.type in APPROVALS]
    if not gates:
        if execution.steps or execution.detailed:
            yield not_applicable("there is no approval")
        else:
            yield not_available("the steps were not read")
    for number, step in gates:
        failed = any(other.phase in (Phase.FAILED, Phase.TIMED_OUT, Phase.CANCELLED) for other in execution.steps[:number])
        went_on = any(other.phase not in (Phase.SKIPPED, Phase.QUEUED, Phase.UNKNOWN) for other in execution.steps[number + 1 :])
        if step.phase is Phase.SKIPPED and went_on and not failed:
            yield fail(f"{step.path}.status", f"{step.name} {step.status}", f"{step.name} is {step.status}, but following steps ran.")
        elif step.phase is Phase.SUCCEEDED and not step.approver and not step.approved_at:
            if execution.detailed:
                yield fail(f"{step.path}.approver_id", step.name, f"{step.name} succeeded without an approver.")
            else:
                yield not_available("the approver was not read")
