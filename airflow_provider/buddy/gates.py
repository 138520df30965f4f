"""Gates of a Buddy execution: which one waits, and which operation lets it go on."""

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
"""Status of a gate to the operation that lets it go on."""


@dataclass(frozen=True)
class ApprovePlan:
    """What :class:`BuddyApproveExecutionOperator` answers: the execution, its gates that wait and are meant, and the variables."""

    execution: models.Execution
    gates: Sequence[models.ActionExecution]
    variables: list[dict[str, Any]]


def waiting_gate(plan: ApprovePlan, ref: str, *, named: bool) -> models.ActionExecution | None:
    """
    The gate to answer; None if only the execution's own status shows it.

    :param named: whether the task names the gate.
    :raises ConfigurationError: if none waits, or several do.
    """
    execution, gates = plan.execution, plan.gates
    if len(gates) == 1:
        return gates[0]
    if not gates and execution.status.startswith("WAITING_FOR_") and not named:
        return None
    waiting = [item for item in execution.action_executions if item.status.startswith("WAITING_FOR_")]
    there = ", ".join(f"{item.action.name!r} ({item.id})" for item in waiting) or "none"
    what = "several gates wait; name one by approve_action_id" if gates else "no such gate waits"
    raise ConfigurationError(
        f"Buddy execution {ref} is {execution.status}: {what}. Waiting: {there}. See {execution.html_url}",
        system="buddy",
        ref=ref,
        url=execution.html_url,
    )


def requested_operation(plan: ApprovePlan, ref: str, *, named: bool) -> str:
    """
    The operation that the gate asks for.

    :raises ConfigurationError: if there is no gate that asks for one.
    """
    gate = waiting_gate(plan, ref, named=named)
    status = gate.status if gate else plan.execution.status
    if status not in OPERATIONS:
        raise ConfigurationError(f"Buddy execution {ref} is {status}: give the operation that lets it go on.", system="buddy")
    return OPERATIONS[status]
