"""Sensors for Tracecat."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.tasks.arguments import one_of
from airflow_provider.execution.tasks.search_sensor import ExecutionSearchSensor
from airflow_provider.execution.tasks.sensor import ExecutionSensor
from airflow_provider.tracecat.base import TracecatTask
from airflow_provider.tracecat.ref import TracecatRef

if TYPE_CHECKING:
    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.waiting.search import Match, Search


class TracecatExecutionSensor(TracecatTask, ExecutionSensor):
    """
    Wait for a Tracecat execution that somebody, or something, else started.

    Source: ``GET /workspaces/:workspace_id/workflow-executions/:execution_id/compact``.

    .. seealso:: :class:`~airflow_provider.execution.tasks.sensor.ExecutionSensor` for all that concerns waiting and outputs.

    :param ref: the execution, such as ``wf_.../exec_...``.
    :param tracecat_conn_id: connection of type ``tracecat``.
    """

    template_fields: Sequence[str] = ("ref", "tracecat_conn_id", *ExecutionSensor.template_fields)

    def __init__(self, *, ref: str, tracecat_conn_id: str = "tracecat_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ref = ref
        self.tracecat_conn_id = tracecat_conn_id

    def target(self, hook: ExecutionHook) -> str:
        """The execution."""
        return str(TracecatRef.parse(self.ref))


class TracecatActionSensor(TracecatExecutionSensor):
    """
    Wait for one action of a Tracecat execution, without waiting for the rest of it.

    Source: ``GET .../workflow-executions/:execution_id/compact``.

    All its streams count together, as a scatter makes them; of a loop Tracecat shows the latest iteration. An action that the execution
    ended without running counts as skipped: Tracecat leaves no trace of it.

    :param ref: the execution, such as ``wf_.../exec_...``.
    :param action_ref: the action.
    :param tracecat_conn_id: connection of type ``tracecat``.
    """

    template_fields: Sequence[str] = ("action_ref", *TracecatExecutionSensor.template_fields)

    def __init__(self, *, ref: str, action_ref: str, **kwargs: Any) -> None:
        super().__init__(ref=ref, **kwargs)
        self.action_ref = action_ref

    def target(self, hook: ExecutionHook) -> str:
        """The execution."""
        if not self.action_ref:
            raise ConfigurationError("Tracecat: action_ref is empty: name the action to wait for.", system="tracecat", ref=self.ref)
        return super().target(hook)

    def view(self) -> dict[str, Any]:
        """One action."""
        return {"action": self.action_ref}


class TracecatWorkflowSensor(TracecatTask, ExecutionSearchSensor):
    """
    Wait for an execution of a workflow that somebody else, a schedule or a webhook starts: find it, then follow it to its end.

    Source: ``GET .../workflow-executions/search``, which shows published executions, then ``.../compact``.

    .. seealso:: :class:`~airflow_provider.execution.tasks.search_sensor.ExecutionSearchSensor` for ``match`` and the bounds.

    :param workflow: id or alias.
    :param trigger: only executions started so: ``manual``, ``scheduled``, ``webhook`` or ``case``.
    :param workspace_id: workspace (UUID); by default the connection's.
    :param tracecat_conn_id: connection of type ``tracecat``.
    """

    template_fields: Sequence[str] = ("workflow", "trigger", "workspace_id", "tracecat_conn_id", *ExecutionSearchSensor.template_fields)

    def __init__(
        self,
        *,
        workflow: str,
        trigger: Literal["manual", "scheduled", "webhook", "case"] | None = None,
        workspace_id: str | None = None,
        started_after: datetime | str | None = None,
        started_before: datetime | str | None = None,
        finished_after: datetime | str | None = None,
        match: Match = "first",
        tracecat_conn_id: str = "tracecat_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(started_after=started_after, started_before=started_before, finished_after=finished_after, match=match, **kwargs)
        self.workflow = workflow
        self.trigger = trigger
        self.workspace_id = workspace_id
        self.tracecat_conn_id = tracecat_conn_id

    def target(self, hook: ExecutionHook) -> Search:
        """The search; the list is bounded by its start already."""
        search = super().target(hook)
        search["where"]["started_after"] = search["started_after"]
        return search

    def where(self, hook: Any) -> tuple[str, dict[str, Any]]:
        """Which workflow, and which of its executions."""
        if self.trigger:
            try:
                one_of(self.trigger, ("manual", "scheduled", "webhook", "case"), "trigger")
            except ValueError as error:
                raise ConfigurationError(f"Tracecat: {error}.", system="tracecat") from None
        about = f", trigger {self.trigger}" if self.trigger else ""
        where = {"workspace": self.workspace_id or None, "workflow": self.workflow, "trigger": self.trigger or None}
        return f"workflow {self.workflow!r} in {hook.namespace()}{about}", where
