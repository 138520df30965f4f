"""Sensors that wait for Buddy executions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, Literal

from airflow_provider.buddy.base import BuddyTask
from airflow_provider.buddy.ref import MIN_REVISION_CHARACTERS, BuddyRef, action_target
from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.arguments import one_of
from airflow_provider.execution.tasks.search_sensor import ExecutionSearchSensor
from airflow_provider.execution.tasks.sensor import ExecutionSensor
from airflow_provider.execution.tasks.target import Target

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from airflow_provider.buddy.hook import BuddyHook
    from airflow_provider.execution.tasks.rendering import Kind
    from airflow_provider.execution.tasks.signatures import SearchArguments, SensorArguments


class BuddyExecutionSensor(BuddyTask, ExecutionSensor["BuddyHook"]):
    """
    Wait for a Buddy execution that somebody or something else started.

    Source: ``GET /workspaces/:workspace/projects/:project_name/pipelines/:pipeline_id/executions/:execution_id``.

    .. seealso:: :class:`~airflow_provider.execution.tasks.sensor.ExecutionSensor` for everything about waiting and outputs.

    :param ref: the execution, such as ``workspace/project/89/4098``.
    :param buddy_conn_id: connection of type ``buddy``.
    """

    template_fields: Sequence[str] = ("ref", "buddy_conn_id", *ExecutionSensor.template_fields)

    def __init__(self, *, ref: str, buddy_conn_id: str = "buddy_default", **kwargs: Unpack[SensorArguments]) -> None:
        super().__init__(**kwargs)
        self.ref = ref
        self.buddy_conn_id = buddy_conn_id

    def _target(self, hook: BuddyHook) -> Target:
        """The execution. For the ref of an action execution, the execution that it belongs to."""
        return Target(str(BuddyRef.parse(self.ref).whole))


class BuddyActionExecutionSensor(BuddyExecutionSensor):
    """
    Wait for one action of a Buddy execution, without waiting for the rest of it.

    Source: ``GET .../executions/:execution_id``, and ``GET .../action_executions/:action_execution_id`` at the end.

    An action that did not run before the execution ended counts as skipped. A failed action may be run again by Buddy itself
    (``retry_count``): with ``which="last"`` the sensor fails only when a later action has begun or the execution has ended.

    .. seealso:: :class:`~airflow_provider.execution.tasks.sensor.ExecutionSensor` for everything about waiting and outputs.

    :param ref: an action execution (``workspace/project/89/4098/<action execution id>``), or an execution together with ``action``.
    :param action: id or name of the action; overrides the action execution in ``ref``.
    :param which: which of several action executions, such as those of loops and retries: the ``"last"`` that has begun so far; the
        ``"first"``; or ``"all"``, which end when a later action has begun or the execution has ended, and fail if one of them failed. For
        loops: ``"all"``.
    :param buddy_conn_id: connection of type ``buddy``.
    """

    template_fields: Sequence[str] = ("action", *BuddyExecutionSensor.template_fields)
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"action": "id"}

    def __init__(
        self,
        *,
        ref: str,
        action: int | str | None = None,
        which: Literal["last", "first", "all"] = "last",
        buddy_conn_id: str = "buddy_default",
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        super().__init__(ref=ref, buddy_conn_id=buddy_conn_id, **kwargs)
        one_of(which, ("last", "first", "all"), "which")
        self.action = action
        self.which = which

    def _view(self) -> dict[str, object]:
        """One action."""
        return {"action": self.action, "which": self.which}

    def _target(self, hook: BuddyHook) -> Target:
        """The action execution, or the execution."""
        return Target(action_target(self.ref, self.action))


class BuddyPipelineSensor(BuddyTask, ExecutionSearchSensor["BuddyHook"]):
    """
    Wait for an execution of a Buddy pipeline that somebody else starts: find it, then wait for its end.

    Source: ``GET .../pipelines/:pipeline_id/executions``, then ``GET .../executions/:execution_id``.

    .. seealso:: :class:`~airflow_provider.execution.tasks.search_sensor.ExecutionSearchSensor` for ``match`` and the bounds,
        :class:`~airflow_provider.execution.tasks.sensor.ExecutionSensor` for everything about waiting and outputs.

    :param pipeline: id, identifier or name.
    :param workspace: workspace handle; by default the connection's.
    :param project: project handle; by default the connection's.
    :param branch: only executions on this branch.
    :param tag: only executions on this tag.
    :param revision: only executions of this commit: its full hash, or at least its first 7 characters.
    :param comment: only executions whose comment contains this text.
    :param buddy_conn_id: connection of type ``buddy``.
    """

    template_fields: Sequence[str] = (
        "pipeline",
        "workspace",
        "project",
        "branch",
        "tag",
        "revision",
        "comment",
        "buddy_conn_id",
        *ExecutionSearchSensor.template_fields,
    )
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"pipeline": "id"}

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
        **kwargs: Unpack[SearchArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.workspace = workspace
        self.project = project
        self.branch = branch
        self.tag = tag
        self.revision = revision
        self.comment = comment
        self.buddy_conn_id = buddy_conn_id

    def _where(self, hook: BuddyHook) -> tuple[str, dict[str, object]]:
        """The pipeline, and the criteria for its executions."""
        workspace, project = hook.namespace()
        criteria = {name: value for name in ("branch", "tag", "revision", "comment") if (value := getattr(self, name))}
        if len(str(criteria.get("revision", "0000000"))) < MIN_REVISION_CHARACTERS:
            raise ConfigurationError(f"Buddy: revision {self.revision!r} is too short: give at least {MIN_REVISION_CHARACTERS} characters.")
        about = "".join(f", {name} {value!r}" for name, value in criteria.items())
        where = {"workspace": workspace, "project": project, "pipeline": self.pipeline, **criteria}
        return f"pipeline {self.pipeline!r} in {workspace}/{project}{about}", where
