"""Triggers for asset watchers: an event for each Tracecat execution that ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider.execution.asset_watching.trigger import ExecutionFinishedTrigger
from airflow_provider.execution.model.arguments import one_of

if TYPE_CHECKING:
    from airflow_provider.tracecat.hook import TracecatHook


class TracecatWorkflowFinishedTrigger(ExecutionFinishedTrigger):
    """
    Emit an event for each published execution of a Tracecat workflow that ends, whoever started it.

    Source: ``GET .../workflow-executions/search``, then ``.../compact`` for those that have ended.

    .. seealso:: :class:`~airflow_provider.execution.asset_watching.trigger.ExecutionFinishedTrigger` for the event,
        ``phases``, ``catch_up`` and ``poll_interval``.

    :param workflow: id or alias.
    :param trigger_type: only executions that were started in this way: ``manual``, ``scheduled``, ``webhook`` or ``case``.
    :param workspace_id: workspace (UUID); by default the connection's.
    :param tracecat_conn_id: connection of type ``tracecat``.
    """

    target: ClassVar[Sequence[str]] = ("workflow", "trigger_type", "workspace_id", "tracecat_conn_id")

    def __init__(
        self,
        *,
        workflow: str,
        trigger_type: Literal["manual", "scheduled", "webhook", "case"] | None = None,
        workspace_id: str | None = None,
        tracecat_conn_id: str = "tracecat_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.check_texts(workflow=workflow, trigger_type=trigger_type, workspace_id=workspace_id, tracecat_conn_id=tracecat_conn_id)
        if trigger_type:
            one_of(trigger_type, ("manual", "scheduled", "webhook", "case"), "trigger_type")
        self.workflow = workflow
        self.trigger_type = trigger_type
        self.workspace_id = workspace_id
        self.tracecat_conn_id = tracecat_conn_id

    def make_hook(self) -> TracecatHook:
        """The hook for this watcher's connection."""
        from airflow_provider.tracecat.hook import TracecatHook

        return TracecatHook(self.tracecat_conn_id, workspace_id=self.workspace_id)

    def where(self, hook: TracecatHook) -> dict[str, Any]:
        """The workflow, and how its executions were started."""
        return {"workspace": self.workspace_id or None, "workflow": self.workflow, "trigger": self.trigger_type or None}
