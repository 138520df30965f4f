"""The gates of a Buddy execution: which one waits, and which operation opens it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider.buddy.api import models

Operation = Literal["APPLY", "APPLY_VARIABLES", "SET_VARIABLES", "APPROVE_VT", "RUN_DELAYED"]
OPERATIONS = {
    "WAITING_FOR_APPLY": "APPLY",
    "WAITING_FOR_VARIABLES": "APPLY_VARIABLES",
    "WAITING_FOR_SETTABLE_VARIABLES": "SET_VARIABLES",
    "WAITING_FOR_VT_SESSION": "APPROVE_VT",
}
"""Status of a gate to the operation that opens it."""


@dataclass(frozen=True)
class ApprovePlan:
    """What :class:`BuddyApproveExecutionOperator` approves: the execution, its waiting gates that match, and the variables."""

    execution: models.Execution
    gates: Sequence[models.ActionExecution]
    variables: list[dict[str, Any]]


def waiting_gate(plan: ApprovePlan, ref: str, *, named: bool) -> models.ActionExecution | None:
    """
    The gate to approve; None if only the status of the execution shows it.

    :param ref: the execution, for messages.
    :param named: whether the task names the gate.
    :raises ConfigurationError: if no gate waits, or several do.
    """
    execution, gates = plan.execution, plan.gates
    if len(gates) == 1:
        return gates[0]
    if not gates and execution.status.startswith("WAITING_FOR_") and not named:
        return None
    waiting = [item for item in execution.action_executions if item.status.startswith("WAITING_FOR_")]
    names = ", ".join(f"{item.action.name!r} ({item.id})" for item in waiting) or "none"
    problem = "several gates wait; name one with approve_action_id" if gates else "no such gate waits"
    raise ConfigurationError(
        f"Buddy execution {ref} is {execution.status}: {problem}. Waiting: {names}. See {execution.html_url}",
        system="buddy",
        ref=ref,
        url=execution.html_url,
    )


def requested_operation(plan: ApprovePlan, ref: str, *, named: bool) -> str:
    """
    The operation that the gate needs. Parameters: see :func:`waiting_gate`.

    :raises ConfigurationError: if no gate needs one.
    """
    gate = waiting_gate(plan, ref, named=named)
    status = gate.status if gate else plan.execution.status
    if status not in OPERATIONS:
        raise ConfigurationError(f"Buddy execution {ref} is {status}: set the operation to send.", system="buddy")
    return OPERATIONS[status]
