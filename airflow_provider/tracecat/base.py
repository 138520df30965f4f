"""The base of all operators and sensors for Tracecat: connection, link, colour."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from airflow.sdk import BaseOperatorLink

from airflow_provider.execution.tasks.execution_task import ExecutionTask
from airflow_provider.tracecat.link import TracecatExecutionLink

if TYPE_CHECKING:
    from airflow_provider.tracecat.hook import TracecatHook


class TracecatTask(ExecutionTask["TracecatHook"]):
    """Mixin of Tracecat's operators and sensors."""

    operator_extra_links: Collection[BaseOperatorLink] = (TracecatExecutionLink(),)
    link_key: ClassVar[str] = TracecatExecutionLink().xcom_key
    ui_color = "#e3f4e1"

    tracecat_conn_id: str
    workspace_id: str | None = None

    @cached_property
    def hook(self) -> TracecatHook:
        """The hook for this task's connection."""
        from airflow_provider.tracecat.hook import TracecatHook

        return TracecatHook(self.tracecat_conn_id, workspace_id=self.workspace_id)
