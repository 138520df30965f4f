"""The operator that asks a person in Airflow what a Tracecat execution waits for."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider._lazy import Lazy
from airflow_provider.errors import ConfigurationError, Forbidden, NotFound
from airflow_provider.execution.model.arguments import scalar_text, texts
from airflow_provider.execution.model.required_action import Answer, FormField, Question
from airflow_provider.execution.tasks.existing import ExecutionActOperator
from airflow_provider.execution.tasks.gate import ExecutionGateOperator, OnDeclined
from airflow_provider.tracecat.operators import AnswerPlan, TracecatAnswerInteractionOperator, check_reserved, one_waiting

if TYPE_CHECKING:
    from airflow.sdk import Context
    from typing_extensions import Unpack

    from airflow_provider.execution.model.request import Flow
    from airflow_provider.execution.tasks.rendering import Kind
    from airflow_provider.execution.tasks.signatures import ExecutionArguments
    from airflow_provider.tracecat.api import requests
    from airflow_provider.tracecat.hook import TracecatHook
else:
    requests = Lazy("airflow_provider.tracecat.api.requests")


class TracecatGateOperator(ExecutionGateOperator["TracecatHook", AnswerPlan], TracecatAnswerInteractionOperator):
    """
    Ask a person in Airflow to answer the interaction that a Tracecat execution waits for, answer it or decline, and wait for the end.

    The question is a required action in Airflow's own web interface. It can be approved there only if the workflow's webhook is online and
    the credential may read its secret (``workflow:read``): Tracecat has no other route. Otherwise the required action shows the wait and
    the link, and is closed once somebody has answered elsewhere. Declining cancels the execution. Tracecat shows interactions only if its
    setting ``app_interactions_enabled`` is on.

    Source: ``POST /webhooks/:workflow_id/:secret/interactions/slack``.

    .. seealso:: :class:`~airflow_provider.execution.tasks.gate.ExecutionGateOperator` for the three waits of this task and their limits.

    :param ref: the execution, such as ``wf_.../exec_...``. It may still be on its way to the interaction.
    :param subject: headline of the required action; by default it names the execution.
    :param body: text (Markdown) above what the execution waits for.
    :param assigned_users: who may answer: dicts of ``id`` and ``name``, as Airflow's auth manager has them.
    :param on_declined: what the task does after somebody has declined: ``"skip"``, ``"fail"`` or ``"succeed"``.
    :param response: the answer, a dict; the workflow reads it as the interaction's response.
    :param ask_for: names of entries of ``response`` that are form fields, texts; ``response`` has what they show at first, if anything.
    :param action: ref of the action whose interaction to answer, if several wait.
    :param tracecat_conn_id: connection of type ``tracecat``.
    """

    template_fields: Sequence[str] = (
        "subject",
        "body",
        "response",
        "ask_for",
        "action",
        "tracecat_conn_id",
        *ExecutionActOperator.template_fields,
    )
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"ask_for": "texts"}

    def __init__(
        self,
        *,
        ref: str,
        subject: str | None = None,
        body: str | None = None,
        assigned_users: Sequence[dict[str, str]] = (),
        on_declined: OnDeclined = "skip",
        response: Mapping[str, Any] | None = None,
        ask_for: Sequence[str] = (),
        action: str | None = None,
        tracecat_conn_id: str = "tracecat_default",
        **kwargs: Unpack[ExecutionArguments],
    ) -> None:
        super().__init__(ref=ref, subject=subject, body=body, assigned_users=assigned_users, on_declined=on_declined, **kwargs)
        self.response = response
        self.ask_for = ask_for
        self.action = action
        self.tracecat_conn_id = tracecat_conn_id

    def _check_arguments(self) -> None:
        """Check the names of the form fields too, before the wait for an interaction."""
        super()._check_arguments()
        self._asked()

    def _asked(self) -> list[str]:
        """
        The names of the form fields.

        :raises ConfigurationError: for anything but names, or for a reserved one.
        """
        names = texts(self.ask_for, "ask_for")
        if not all(name.strip() for name in names):
            raise ConfigurationError(f"Tracecat: ask_for has an empty name: {names!r:.200}.", system="tracecat")
        check_reserved(names, "ask_for")
        return names

    def _question(self, hook: TracecatHook) -> Flow[Question | None]:
        """What the interaction asks, and whether it can be answered from here."""
        plan = yield from self._plan(hook)
        if not any(item.status == "pending" for item in plan.execution.interactions):
            return None
        gate = one_waiting(plan, self.ref).id or ""
        response = self._answer()
        fields = {name: FormField(value=_as_text(response[name]) if name in response else None) for name in self._asked()}
        try:
            yield from requests.check_answerable(hook.namespace(self._execution()), self._execution())
        except (ConfigurationError, Forbidden, NotFound) as error:
            return Question(gate, not_here=f"It can't be approved here: {error}")
        return Question(gate, fields=fields)

    def _choose(self, gate: str) -> None:
        self.action = gate

    def _take(self, answer: Answer, values: dict[str, str], context: Context) -> None:
        """What was entered wins over what the form showed at first."""
        self.response = {**self._answer(), **values}


def _as_text(value: Any) -> str | None:
    """A value of the response as a field shows it; a list or a dict as JSON."""
    text = scalar_text(value)
    return text if text is not None or value is None else json.dumps(value)
