"""Sensors for Buddy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider.buddy.link import LINK_KEY, BuddyExecutionLink
from airflow_provider.buddy.ref import BuddyRef
from airflow_provider.execution.sensor import ExecutionSensor

if TYPE_CHECKING:
    from airflow_provider.buddy.hook import BuddyHook
    from airflow_provider.execution.hook import ExecutionHook


class BuddyExecutionSensor(ExecutionSensor):
    """
    Wait for a Buddy execution that somebody, or something, else started.

    Source: ``GET /workspaces/:workspace/projects/:project_name/pipelines/:pipeline_id/executions/:execution_id``.

    .. seealso:: :class:`~airflow_provider.execution.sensor.ExecutionSensor` for all that concerns waiting and outputs.

    :param ref: the execution, such as ``workspace/project/89/4098``.
    :param buddy_conn_id: connection of type ``buddy``.
    """

    template_fields: Sequence[str] = ("ref", "buddy_conn_id", *ExecutionSensor.template_fields)
    operator_extra_links = (BuddyExecutionLink(),)
    link_key = LINK_KEY
    ui_color = "#dce9ff"

    def __init__(self, *, ref: str, buddy_conn_id: str = "buddy_default", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ref = ref
        self.buddy_conn_id = buddy_conn_id

    def make_hook(self) -> BuddyHook:
        """The hook for this task's connection."""
        from airflow_provider.buddy.hook import BuddyHook

        return BuddyHook(self.buddy_conn_id)

    def target(self, hook: ExecutionHook) -> str:
        """The execution; of an action execution's ref, the execution that it belongs to."""
        ref = BuddyRef.parse(self.ref)
        return str(BuddyRef(ref.workspace, ref.project, ref.pipeline, ref.execution))
