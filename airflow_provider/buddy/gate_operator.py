"""The operator that asks a person in Airflow whether a Buddy execution may pass its gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider._lazy import Lazy
from airflow_provider.buddy.gates import ApprovePlan, requested_operation, waiting_gate
from airflow_provider.buddy.operators import BuddyApproveExecutionOperator
from airflow_provider.execution.model.arguments import flag, scalar_text
from airflow_provider.execution.model.required_action import ANSWERED_BY, TRIGGERED_BY, Answer, FormField, Question
from airflow_provider.execution.tasks.existing import ExecutionActOperator
from airflow_provider.execution.tasks.gate import ExecutionGateOperator, OnDeclined

if TYPE_CHECKING:
    from airflow.sdk import Context
    from typing_extensions import Unpack

    from airflow_provider.buddy.api import models, requests
    from airflow_provider.buddy.hook import BuddyHook
    from airflow_provider.execution.model.request import Flow
    from airflow_provider.execution.tasks.signatures import ExecutionArguments
else:
    requests = Lazy("airflow_provider.buddy.api.requests")


class BuddyGateOperator(ExecutionGateOperator["BuddyHook", ApprovePlan], BuddyApproveExecutionOperator):
    """
    Ask a person in Airflow whether a Buddy execution may pass its gate, open the gate or decline, and wait for the end of the execution.

    The question is a required action in Airflow's own web interface, with the variables that the gate asks for as form fields. Whoever
    opens the gate in Buddy meanwhile answers it as well. Declining cancels the execution: Buddy's API has no other way. One gate per
    task: at a second one the task does what ``on_waiting`` says. The execution is not this task's own: nothing but an answer cancels it.

    Source: ``GET`` and ``PATCH .../executions/:execution_id``.

    .. seealso:: :class:`~airflow_provider.execution.tasks.gate.ExecutionGateOperator` for the three waits of this task and their limits.

    :param ref: the execution, such as ``workspace/project/89/4098``. It may still be on its way to the gate.
    :param subject: headline of the required action; by default it names the execution.
    :param body: text (Markdown) above what the gate itself says.
    :param assigned_users: who may answer: dicts of ``id`` and ``name``, as Airflow's auth manager has them.
    :param on_declined: what the task does after somebody has declined: ``"skip"``, ``"fail"`` or ``"succeed"``.
    :param variables: what the form fields show at first, name to value; what the gate does not ask for is sent along.
    :param secret_variables: values for variables that Buddy encrypts. There are no form fields for them: Airflow would store what is
        entered in plain text. Airflow redacts them in rendered fields.
    :param approve_action_id: the gate, if several wait: id of its action execution or its action, or its name.
    :param name_answer: pass to Buddy who answered in Airflow, and who triggered the DAG run, as variables of the gate:
        ``AIRFLOW_ANSWERED_BY`` and ``AIRFLOW_TRIGGERED_BY``. Audits read them.
    :param buddy_conn_id: connection of type ``buddy``, whose user opens the gate in Buddy.
    """

    template_fields: Sequence[str] = (
        "subject",
        "body",
        "variables",
        "secret_variables",
        "approve_action_id",
        "buddy_conn_id",
        *ExecutionActOperator.template_fields,
    )

    def __init__(
        self,
        *,
        ref: str,
        subject: str | None = None,
        body: str | None = None,
        assigned_users: Sequence[dict[str, str]] = (),
        on_declined: OnDeclined = "skip",
        variables: Mapping[str, Any] | None = None,
        secret_variables: Mapping[str, Any] | None = None,
        approve_action_id: int | str | None = None,
        name_answer: bool = False,
        buddy_conn_id: str = "buddy_default",
        **kwargs: Unpack[ExecutionArguments],
    ) -> None:
        super().__init__(ref=ref, subject=subject, body=body, assigned_users=assigned_users, on_declined=on_declined, **kwargs)
        self.variables = variables
        self.secret_variables = secret_variables
        self.approve_action_id = approve_action_id
        self.name_answer = flag(name_answer, "name_answer")
        self.buddy_conn_id = buddy_conn_id

    def _question(self, hook: BuddyHook) -> Flow[Question | None]:
        """What the gate asks. A definition tells the variables that an execution leaves out."""
        plan = yield from self._plan(hook)
        execution = plan.execution
        if not execution.status.startswith("WAITING_FOR_") and not any(
            item.status.startswith("WAITING_FOR_") for item in execution.action_executions
        ):
            return None
        gate = waiting_gate(plan, self.ref, named=bool(self.approve_action_id))
        operation = requested_operation(plan, self.ref, named=bool(self.approve_action_id))
        asked = list(gate.action.variables) if gate else []
        if gate and gate.action.id is not None and not asked and operation in ("APPLY_VARIABLES", "SET_VARIABLES"):
            asked = yield from requests.asked_variables(self._execution(), gate.action.id)
        fields, missing = form_of(asked, self.variables or {}, self.secret_variables or {})
        return Question((gate.id if gate else None) or "", fields=fields, not_here=missing)

    def _choose(self, gate: str) -> None:
        self.approve_action_id = gate

    def _take(self, answer: Answer, values: dict[str, str], context: Context) -> None:
        """What was entered wins over what the form showed at first."""
        names = {}
        if self.name_answer:
            triggered_by = getattr(context["dag_run"], "triggering_user_name", None)
            names = {ANSWERED_BY: answer.user or answer.user_id, TRIGGERED_BY: triggered_by}
        self.variables = {**(self.variables or {}), **values, **{key: name for key, name in names.items() if name}}


def form_of(
    asked: Sequence[models.Variable], variables: Mapping[str, Any], secret_variables: Mapping[str, Any]
) -> tuple[dict[str, FormField], str | None]:
    """
    The form for the variables that a gate asks for.

    :param asked: they, as Buddy describes them. Several lines of ``defaults`` are choices.
    :param variables: what the fields show at first. :param secret_variables: what needs no field.
    :returns: name to field; and why the gate can't be opened from Airflow: it asks for a secret that the task does not have.
    """
    fields: dict[str, FormField] = {}
    missing = []
    for variable in asked:
        if variable.key in secret_variables:
            continue
        if variable.encrypted:
            missing.append(variable.key)
            continue
        choices = [line for line in (variable.defaults or "").splitlines() if line]
        value = variables.get(variable.key, variable.value if variable.value is not None else choices[0] if choices else None)
        text = scalar_text(value)
        fields[variable.key] = FormField(
            value=text,
            description=variable.description,
            choices=choices if len(choices) > 1 and (text is None or text in choices) else (),
        )
    if not missing:
        return fields, None
    names = ", ".join(missing)
    return {}, f"The gate asks for {names}, which must stay secret: approve in Buddy, or give the task secret_variables."
