"""Triggers for asset watchers: an event for each Buddy execution that ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider.buddy.ref import MIN_REVISION_CHARACTERS
from airflow_provider.errors import ArgumentError
from airflow_provider.execution.asset_watching.trigger import ExecutionFinishedTrigger

if TYPE_CHECKING:
    from airflow_provider.buddy.hook import BuddyHook


class BuddyPipelineFinishedTrigger(ExecutionFinishedTrigger):
    """
    Emit an event for each execution of a Buddy pipeline that ends, whoever started it.

    Source: ``GET .../pipelines/:pipeline_id/executions``, then ``GET .../executions/:execution_id`` for those that have ended.

    .. seealso:: :class:`~airflow_provider.execution.asset_watching.trigger.ExecutionFinishedTrigger` for the event,
        ``phases``, ``catch_up`` and ``poll_interval``.

    :param pipeline: id, identifier or name.
    :param workspace: workspace handle; by default the connection's.
    :param project: project handle; by default the connection's.
    :param branch: only executions on this branch.
    :param tag: only executions on this tag.
    :param revision: only executions of this commit: its full hash, or at least its first 7 characters.
    :param comment: only executions whose comment contains this text.
    :param buddy_conn_id: connection of type ``buddy``.
    """

    target: ClassVar[Sequence[str]] = ("pipeline", "workspace", "project", "buddy_conn_id")
    filters: ClassVar[Sequence[str]] = ("branch", "tag", "revision", "comment")

    def __init__(
        self,
        *,
        pipeline: int | str,
        workspace: str | None = None,
        project: str | None = None,
        branch: str | None = None,
        tag: str | None = None,
        revision: str | None = None,
        comment: str | None = None,
        buddy_conn_id: str = "buddy_default",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.check_texts(
            pipeline=pipeline,
            workspace=workspace,
            project=project,
            branch=branch,
            tag=tag,
            revision=revision,
            comment=comment,
            buddy_conn_id=buddy_conn_id,
        )
        if revision and len(str(revision)) < MIN_REVISION_CHARACTERS:
            raise ArgumentError(f"revision {revision!r} is too short: give at least {MIN_REVISION_CHARACTERS} characters")
        self.pipeline = pipeline
        self.workspace = workspace
        self.project = project
        self.branch = branch
        self.tag = tag
        self.revision = revision
        self.comment = comment
        self.buddy_conn_id = buddy_conn_id

    def make_hook(self) -> BuddyHook:
        """The hook for this watcher's connection."""
        from airflow_provider.buddy.hook import BuddyHook

        return BuddyHook(self.buddy_conn_id, workspace=self.workspace, project=self.project)

    def where(self, hook: BuddyHook) -> dict[str, Any]:
        """The pipeline."""
        workspace, project = hook.namespace()
        return {"workspace": workspace, "project": project, "pipeline": self.pipeline}
