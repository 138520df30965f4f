"""The operations of PATCH on an execution: cancel, retry, approve, start a delayed run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider.emulator.buddy.errors import ApiError
from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.installation import Installation
from airflow_provider.emulator.buddy.run_request import parse_variables
from airflow_provider.emulator.buddy.scenario import Gate
from airflow_provider.emulator.buddy.statuses import OPERATIONS, RETRYABLE
from airflow_provider.emulator.buddy.timeline import Act, Person, Step


def operate(buddy: Installation, execution: Execution, body: Any, by: Person) -> Execution:
    """Carry out the operation that ``body`` names and return the execution to answer with.

    :param by: the user who does it.
    :raises ApiError: 400 if the state does not allow it, 403 if ``by`` may not.
    """
    if not isinstance(body, dict):
        raise ApiError(400, "The body must be a JSON object")
    operation = body.get("operation")
    if operation == "CANCEL":
        return cancel(buddy, execution, by)
    if operation == "RETRY":
        if execution.status not in RETRYABLE:
            raise ApiError(400, f"Cannot retry: the execution is {execution.status}")
        if buddy.wildcard_retry_status is not None and execution.pipeline.has_wildcard:
            raise ApiError(buddy.wildcard_retry_status, "The execution could not be retried")
        return buddy.retry(execution)
    if operation == "RUN_DELAYED":
        return run_now(buddy, execution, by)
    if operation in OPERATIONS.values():
        return approve(buddy, execution, body, by)
    raise ApiError(400, f"Unknown operation {operation!r}")


def cancel(buddy: Installation, execution: Execution, by: Person) -> Execution:
    """Cancel a run that has not ended and is not being cancelled.

    :raises ApiError: 400.
    """
    state = execution.state
    if state.over or state.status == "TERMINATING":
        raise ApiError(400, f"Cannot cancel: the execution is {state.status}")
    execution.attempts[-1].acts.append(Act("cancel", buddy.clock.now(), by, seconds=buddy.cancel_seconds))
    return execution


def run_now(buddy: Installation, execution: Execution, by: Person) -> Execution:
    """Start a delayed run now.

    :raises ApiError: 400.
    """
    now, state = buddy.clock.now(), execution.state
    if state.over or state.started_at is not None or (execution.plan.delay_until or 0.0) <= now:
        raise ApiError(400, "Cannot start now: the execution is not delayed")
    execution.attempts[-1].acts.append(Act("run_now", now, by))
    return execution


def approve(buddy: Installation, execution: Execution, body: dict[str, Any], by: Person) -> Execution:
    """Pass the gate that a run waits at, if ``body`` matches it.

    :raises ApiError: 400 if the run does not wait or the operation is wrong, or if several gates wait and ``body`` names none;
        403 if ``by`` may not approve.
    """
    step, gate = waiting_step(execution, body.get("approve_action_id"))
    operation = body["operation"]
    if operation != OPERATIONS[gate.type]:
        raise ApiError(400, f"The action {gate.name!r} takes {OPERATIONS[gate.type]}, not {operation}")
    variables = parse_variables(body)
    if operation in ("APPLY_VARIABLES", "SET_VARIABLES") and not variables:
        raise ApiError(400, "Field variables is required")
    return pass_gate(buddy, execution, step, gate, variables, by)


def waiting_step(execution: Execution, wanted: Any = None) -> tuple[Step, Gate]:
    """Return the step at whose gate the run waits, and the gate.

    :param wanted: id of the action execution or of the action, as text or number; None: the only one.
    :raises ApiError: 400 if no gate waits, not that one, or several.
    """
    waiting = [(step, step.action) for step in execution.state.steps if step.waiting and isinstance(step.action, Gate)]
    if not waiting:
        raise ApiError(400, "The execution waits for nothing")
    if wanted is None and len(waiting) > 1:
        raise ApiError(400, "Several actions wait: field approve_action_id is required")
    for step, gate in waiting:
        if wanted is None or str(wanted) in (step.id, str(gate.id)):
            return step, gate
    raise ApiError(400, "The action to approve does not wait")


def pass_gate(
    buddy: Installation, execution: Execution, step: Step, gate: Gate, variables: tuple[Mapping[str, Any], ...], by: Person
) -> Execution:
    """Pass a waiting gate.

    :raises ApiError: 403 if ``by`` may not.
    """
    if gate.prevent_self_approval and by == execution.creator:
        raise ApiError(403, "The user who started the execution may not approve it")
    if not _may_approve(gate, by):
        raise ApiError(403, f"You are not allowed to approve the action {gate.name!r}")
    act = Act("approve", buddy.clock.now(), by, step_id=step.id, variables=variables)
    execution.attempts[-1].acts.append(act)
    return execution


def _may_approve(gate: Gate, by: Person) -> bool:
    if gate.approvers is not None:
        return by.name in gate.approvers
    permissions = gate.permissions or {}
    levels = {user.get("id"): user.get("access_level") for user in permissions.get("users") or []}
    return levels.get(by.id, permissions.get("others")) != "DENIED"
