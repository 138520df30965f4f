"""Maps Buddy's answers to snapshots: the status table, executions, action executions."""

from __future__ import annotations

from typing import Any

from airflow_provider.buddy.api import models
from airflow_provider.buddy.ref import BuddyRef
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.result import iso
from airflow_provider.execution.model.snapshot import Output, Snapshot, Step
from airflow_provider.execution.results.redaction import looks_secret

PHASES = {
    "INITIAL": Phase.QUEUED,
    "ENQUEUED": Phase.QUEUED,
    "INPROGRESS": Phase.RUNNING,
    "TERMINATING": Phase.STOPPING,
    "SUCCESSFUL": Phase.SUCCEEDED,
    "FAILED": Phase.FAILED,
    "TERMINATED": Phase.CANCELLED,
    "SKIPPED": Phase.SKIPPED,
    "NOT_EXECUTED": Phase.SKIPPED,
}


def phase_of(status: str) -> Phase:
    """The phase of a status of an execution or an action execution. An unknown status is UNKNOWN, or WAITING by its prefix."""
    if status.startswith("WAITING_FOR_"):
        return Phase.WAITING
    return PHASES.get(status, Phase.UNKNOWN)


def snapshot_of(ref: BuddyRef, execution: models.Execution) -> Snapshot:
    """
    The snapshot of an execution.

    It waits for a person if its status says so, or if an action's status does while none is in progress: it is not documented
    which of the two Buddy shows.
    """
    steps = [step_of(action) for action in execution.action_executions]
    phase = phase_of(execution.status)
    gates = [step for step in steps if step.phase is Phase.WAITING]
    if phase is Phase.RUNNING and gates and not any(step.phase is Phase.RUNNING for step in steps):
        phase = Phase.WAITING
    failed = [step.name for step in steps if step.phase is Phase.FAILED]
    status = gates[0].status if phase is Phase.WAITING and gates and not execution.status.startswith("WAITING") else execution.status
    return Snapshot(
        ref=str(ref.whole),
        phase=phase,
        status=status,
        url=execution.html_url,
        started_at=execution.start_date,
        finished_at=execution.finish_date,
        error=next((step.error for step in steps if step.error and step.phase is Phase.FAILED and not step.tolerated), None),
        actor=_actor(execution, steps),
        progress=_progress(execution.action_executions),
        steps=steps,
        waiting_for=_waiting_for(execution.action_executions) if phase is Phase.WAITING else None,
        gates=[step.id for step in steps if step.phase is Phase.WAITING and step.id],
        settled=not any(step.phase in (Phase.RUNNING, Phase.STOPPING) for step in steps),
        partial=f"failed all the same: {', '.join(failed)}" if phase is Phase.SUCCEEDED and failed else None,
        system_fields=_fields(execution),
    )


def _waiting_for(actions: list[models.ActionExecution]) -> str | None:
    """What the person has to do: each gate with its type, its text and the variables it asks for."""
    texts = []
    for item in actions:
        if phase_of(item.status) is Phase.WAITING:
            gate = item.action
            keys = ", ".join(variable.key for variable in gate.variables)
            says = f" {gate.comment!r}" if gate.comment else ""
            texts.append(f"{step_of(item).name} ({gate.type}){says}" + (f", asking for {keys}" if keys else ""))
    return "; ".join(texts) or None


def step_of(execution: models.ActionExecution) -> Step:
    """The step of an action execution."""
    action = execution.action
    return Step(
        id=execution.id or "",
        name=action.name or (f"action {action.id}" if action.id is not None else "action"),
        type=action.type,
        definition=None if action.id is None else str(action.id),
        phase=phase_of(execution.status),
        status=execution.status,
        started_at=execution.start_date,
        finished_at=execution.finish_date,
        url=execution.html_url,
        error=execution.error_message,
        tolerated=bool(action.ignore_errors),
        actor=_filled(
            cancelled_by=execution.terminator_id,
            cancelled_at=iso(execution.termination_date),
            approved_by=next((v.value for v in execution.outputted_variables if v.key == "BUDDY_APPROVING_ACTOR"), None),
            approver_id=execution.approver_id,
            approved_at=iso(execution.approval_date),
        ),
        outputs={variable.key: Output(variable.value, _secret(variable)) for variable in execution.outputted_variables},
    )


def _secret(variable: models.Variable) -> bool:
    return bool(variable.encrypted) or _encrypted(variable.value)


def _encrypted(value: object) -> bool:
    """Whether a value is ciphertext, as that of an encrypted variable is, flagged or not."""
    return str(value).startswith(("!encrypted ", "secure!"))


def _actor(execution: models.Execution, steps: list[Step]) -> dict[str, Any] | None:
    creator = execution.creator
    acts: dict[str, Any] = {}
    for step in steps:
        acts.update(step.actor or {})
    return _filled(started_by=creator and creator.name, starter_id=creator and creator.id, **acts)


def _filled(**values: Any) -> dict[str, Any] | None:
    return {key: value for key, value in values.items() if value is not None} or None


def _progress(actions: list[models.ActionExecution]) -> float | None:
    percentages = [100.0 if phase_of(action.status).ended else action.progress or 0.0 for action in actions]
    return round(sum(percentages) / len(percentages), 1) if percentages else None


def _name(value: models.Named | str | int | None) -> str | int | None:
    return value.name if isinstance(value, models.Named) else value


def _fields(execution: models.Execution) -> dict[str, Any]:
    """Fields that only Buddy has, of the execution and of each action execution, without secrets."""
    fields = {
        "id": execution.id,
        "triggered_on": execution.triggered_on,
        "priority": execution.priority,
        "delay_until": iso(execution.delay_until),
        "refresh": execution.refresh,
        "clear_cache": execution.clear_cache,
        "comment": execution.comment,
        "branch": _name(execution.branch),
        "tag": _name(execution.tag),
        "pull_request": _name(execution.pull_request),
        "from_revision": execution.from_revision and execution.from_revision.revision,
        "to_revision": execution.to_revision and execution.to_revision.revision,
        "actions": [_action_fields(action) for action in execution.action_executions[:200]],
    }
    return {key: value for key, value in fields.items() if value is not None}


def _action_fields(execution: models.ActionExecution) -> dict[str, Any]:
    """The fields of an action execution that a step does not have, as far as they are set."""
    action = execution.action.model_dump(mode="json", exclude={"variables"}, exclude_none=True)
    fields = {
        "action_execution_id": execution.id,
        "api_url": execution.url,
        "progress": execution.progress,
        "action": {
            **{key: value for key, value in action.items() if key in models.Action.model_fields},  # unknown ones may be secrets
            "variables": [_declared(variable) for variable in execution.action.variables],
        },
        "passed_variables": {v.key: v.value for v in execution.passed_variables if not _hidden(v)},
        "passed_variables_omitted": [v.key for v in execution.passed_variables if _hidden(v)],
        "visual_tests_output": execution.visual_tests_output[:20],
        "sandbox_project_id": execution.sandbox_project_id,
        "sandbox_id": execution.sandbox_id,
        "target": execution.target,
        # its query may be a credential
        "log_url": execution.log_url and execution.log_url.partition("?")[0],
    }
    # What tasks read by name is always there.
    return {name: value for name, value in fields.items() if name in ("action", "passed_variables") or (value is not None and value != [])}


def _hidden(variable: models.Variable) -> bool:
    values = (variable.value, variable.defaults)
    return _secret(variable) or any(looks_secret(variable.key, value) or _encrypted(value) for value in values)


def _declared(variable: models.Variable) -> dict[str, Any]:
    fields = variable.model_dump(include={"id", "key", "type", "description", "defaults", "settable", "encrypted"}, exclude_none=True)
    if _hidden(variable):
        fields.pop("defaults", None)
    return fields
