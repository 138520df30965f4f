"""Sensors that wait for Tracecat executions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.arguments import one_of
from airflow_provider.execution.tasks.search_sensor import ExecutionSearchSensor
from airflow_provider.execution.tasks.sensor import ExecutionSensor
from airflow_provider.execution.tasks.target import Target
from airflow_provider.tracecat.base import TracecatTask
from airflow_provider.tracecat.ref import TracecatRef

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from airflow_provider.execution.tasks.signatures import SearchArguments, SensorArguments
    from airflow_provider.execution.waiting.search import Search
    from airflow_provider.tracecat.hook import TracecatHook


class TracecatExecutionSensor(TracecatTask, ExecutionSensor["TracecatHook"]):
    """
    Wait for a Tracecat execution that somebody or something else started.

    Source: ``GET /workspaces/:workspace_id/workflow-executions/:execution_id/compact``.

    .. seealso:: :class:`~airflow_provider.execution.tasks.sensor.ExecutionSensor` for everything about waiting and outputs.

    :param ref: the execution, such as ``wf_.../exec_...``.
    :param tracecat_conn_id: connection of type ``tracecat``.
    """

    template_fields: Sequence[str] = ("ref", "tracecat_conn_id", *ExecutionSensor.template_fields)

    def __init__(self, *, ref: str, tracecat_conn_id: str = "tracecat_default", **kwargs: Unpack[SensorArguments]) -> None:
        super().__init__(**kwargs)
        self.ref = ref
        self.tracecat_conn_id = tracecat_conn_id

    def _target(self, hook: TracecatHook) -> Target:
        """The execution."""
        return Target(str(TracecatRef.parse(self.ref)))


class TracecatActionSensor(TracecatExecutionSensor):
    """
    Wait for one action of a Tracecat execution, without waiting for the rest of it.

    Source: ``GET .../workflow-executions/:execution_id/compact``.

    All streams of the action, such as those of a scatter, count together. For a loop, Tracecat shows the latest iteration. An action that
    did not run before the execution ended counts as skipped: Tracecat has no record of it.

    :param ref: the execution, such as ``wf_.../exec_...``.
    :param action: ref of the action.
    :param tracecat_conn_id: connection of type ``tracecat``.
    """

    template_fields: Sequence[str] = ("action", *TracecatExecutionSensor.template_fields)

    def __init__(self, *, ref: str, action: str, tracecat_conn_id: str = "tracecat_default", **kwargs: Unpack[SensorArguments]) -> None:
        super().__init__(ref=ref, tracecat_conn_id=tracecat_conn_id, **kwargs)
        self.action = action

    def _target(self, hook: TracecatHook) -> Target:
        """The execution."""
        if not self.action:
            raise ConfigurationError("Tracecat: action is empty. Set the ref of the action to wait for.", system="tracecat", ref=self.ref)
        return super()._target(hook)

    def _view(self) -> dict[str, object]:
        """One action."""
        return {"action": self.action}


class TracecatWorkflowSensor(TracecatTask, ExecutionSearchSensor["TracecatHook"]):
    """
    Wait for an execution of a workflow that somebody else, a schedule or a webhook starts: find it, then wait for its end.

    Source: ``GET .../workflow-executions/search``, which shows published executions, then ``.../compact``.

    .. seealso:: :class:`~airflow_provider.execution.tasks.search_sensor.ExecutionSearchSensor` for ``match`` and the bounds.

    :param workflow: id or alias.
    :param trigger_type: only executions that were started in this way: ``manual``, ``scheduled``, ``webhook`` or ``case``.
    :param workspace_id: workspace (UUID); by default the connection's.
    :param tracecat_conn_id: connection of type ``tracecat``.
    """

    template_fields: Sequence[str] = (
        "workflow",
        "trigger_type",
        "workspace_id",
        "tracecat_conn_id",
        *ExecutionSearchSensor.template_fields,
    )

    def __init__(
        self,
        *,
        workflow: str,
        trigger_type: Literal["manual", "scheduled", "webhook", "case"] | None = None,
        workspace_id: str | None = None,
        tracecat_conn_id: str = "tracecat_default",
        **kwargs: Unpack[SearchArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.workflow = workflow
        self.trigger_type = trigger_type
        self.workspace_id = workspace_id
        self.tracecat_conn_id = tracecat_conn_id

    def _search(self, hook: TracecatHook) -> Search:
        """The search. Tracecat also limits the list by the start time."""
        search = super()._search(hook)
        search["where"]["started_after"] = search["started_after"]
        return search

    def _where(self, hook: TracecatHook) -> tuple[str, dict[str, object]]:
        """The workflow, and the criteria for its executions."""
        if self.trigger_type:
            try:
                one_of(self.trigger_type, ("manual", "scheduled", "webhook", "case"), "trigger_type")
            except ValueError as error:
                raise ConfigurationError(f"Tracecat: {error}.", system="tracecat") from None
        about = f", trigger type {self.trigger_type}" if self.trigger_type else ""
        where: dict[str, object] = {"workspace": self.workspace_id or None, "workflow": self.workflow, "trigger": self.trigger_type or None}
        return f"workflow {self.workflow!r} in {hook.namespace()}{about}", where
