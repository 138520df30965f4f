"""The base of all operators and sensors for Buddy: connection, link, colour."""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from airflow.sdk import BaseOperatorLink

from airflow_provider.buddy.link import BuddyExecutionLink
from airflow_provider.execution.tasks.execution_task import ExecutionTask

if TYPE_CHECKING:
    from airflow_provider.buddy.hook import BuddyHook


class BuddyTask(ExecutionTask["BuddyHook"]):
    """Mixin of Buddy's operators and sensors."""

    operator_extra_links: Collection[BaseOperatorLink] = (BuddyExecutionLink(),)
    link_key: ClassVar[str] = BuddyExecutionLink().xcom_key
    ui_color = "#dce9ff"

    buddy_conn_id: str
    workspace: str | None = None
    project: str | None = None

    @cached_property
    def hook(self) -> BuddyHook:
        """The hook for this task's connection."""
        from airflow_provider.buddy.hook import BuddyHook

        return BuddyHook(self.buddy_conn_id, workspace=self.workspace, project=self.project)
