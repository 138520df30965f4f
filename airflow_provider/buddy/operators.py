"""Operators that run, resume, cancel, approve and read Buddy executions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow.sdk import BaseOperator

from airflow_provider._lazy import Lazy
from airflow_provider.buddy.base import BuddyTask
from airflow_provider.buddy.gates import OPERATIONS, ApprovePlan, Operation, requested_operation, waiting_gate
from airflow_provider.buddy.ref import BuddyRef, action_target
from airflow_provider.errors import (
    ConfigurationError,
    Forbidden,
    NotFound,
    RateLimited,
    ServerError,
    StatusError,
    Unauthorized,
)
from airflow_provider.execution.model.arguments import flag, one_of
from airflow_provider.execution.tasks.existing import (
    ExecutionActOperator,
    ExecutionCancelOperator,
    ExecutionGetOperator,
    ExecutionResumeOperator,
)
from airflow_provider.execution.tasks.operator import ExecutionOperator
from airflow_provider.execution.tasks.start_once import NotOurs

if TYPE_CHECKING:
    from airflow.sdk import Context
    from typing_extensions import Unpack

    from airflow_provider.buddy.api import bodies, requests
    from airflow_provider.buddy.executions import lost_starts, mapping
    from airflow_provider.buddy.hook import BuddyHook
    from airflow_provider.execution.model.request import Flow
    from airflow_provider.execution.model.snapshot import Snapshot
    from airflow_provider.execution.tasks.rendering import Kind
    from airflow_provider.execution.tasks.signatures import AirflowArguments, ExecutionArguments, GetArguments
else:
    bodies = Lazy("airflow_provider.buddy.api.bodies")
    requests = Lazy("airflow_provider.buddy.api.requests")
    lost_starts = Lazy("airflow_provider.buddy.executions.lost_starts")
    mapping = Lazy("airflow_provider.buddy.executions.mapping")


@dataclass(frozen=True)
class RunPlan:
    """What :class:`BuddyRunPipelineOperator` starts. ``body``: body of the request, without the comment."""

    workspace: str
    project: str
    pipeline: int
    body: dict[str, Any]


class BuddyRunPipelineOperator(BuddyTask, ExecutionOperator["BuddyHook", RunPlan]):
    """
    Run a Buddy pipeline exactly once, wait for it, and push its outputs to XCom.

    Source: ``POST /workspaces/:workspace/projects/:project_name/pipelines/:pipeline_id/executions``.

    .. seealso::
        :class:`~airflow_provider.execution.tasks.operator.ExecutionOperator` for everything about waiting, outputs and logs.

    :param pipeline: id, identifier or name.
    :param workspace: workspace handle; by default the connection's.
    :param project: project handle; by default the connection's.
    :param branch: branch to run on, for pipelines with several Git refs. At most one of branch, tag and pull_request.
    :param tag: tag to run on.
    :param pull_request: pull request to run on.
    :param revision: commit hash, or ``HEAD``.
    :param variables: variables to pass, name to value.
    :param secret_variables: variables to pass that Buddy encrypts; Airflow redacts them in rendered fields.
    :param comment: comment of the execution. A marker is appended, by which a later attempt finds the execution.
    :param priority: ``LOW``, ``NORMAL`` or ``HIGH``.
    :param refresh: deploy from scratch.
    :param clear_cache: clear the pipeline's cache first.
    :param delay_until: moment (ISO 8601 or datetime) before which Buddy does not run it.
    :param actions_to_run: ids or names of the actions to run; by default those that the pipeline defines.
    :param environment: Buddy environment.
    :param buddy_conn_id: connection of type ``buddy``.
    """

    template_fields: Sequence[str] = (
        "pipeline",
        "workspace",
        "project",
        "branch",
        "tag",
        "pull_request",
        "revision",
        "variables",
        "secret_variables",
        "comment",
        "priority",
        "delay_until",
        "actions_to_run",
        "environment",
        "buddy_conn_id",
        *ExecutionOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"variables": "json"}
    place_fields: ClassVar[Sequence[str]] = ("workspace", "project", "pipeline")
    argument_kinds: ClassVar[Mapping[str, Kind]] = {
        "pipeline": "id",
        "variables": "texts",
        "secret_variables": "texts",
        "comment": "free text",
        "delay_until": "moment",
        "actions_to_run": "some texts",
    }

    def __init__(
        self,
        *,
        pipeline: int | str,
        workspace: str | None = None,
        project: str | None = None,
        branch: str | None = None,
        tag: str | None = None,
        pull_request: str | None = None,
        revision: str = "HEAD",
        variables: Mapping[str, Any] | None = None,
        secret_variables: Mapping[str, Any] | None = None,
        comment: str | None = None,
        priority: str | None = None,
        refresh: bool = False,
        clear_cache: bool = False,
        delay_until: datetime | str | None = None,
        actions_to_run: Sequence[int | str] = (),
        environment: str | None = None,
        buddy_conn_id: str = "buddy_default",
        **kwargs: Unpack[ExecutionArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.workspace = workspace
        self.project = project
        self.branch = branch
        self.tag = tag
        self.pull_request = pull_request
        self.revision = revision
        self.variables = variables
        self.secret_variables = secret_variables
        self.comment = comment
        self.priority = priority
        self.refresh = flag(refresh, "refresh")
        self.clear_cache = flag(clear_cache, "clear_cache")
        self.delay_until = delay_until
        self.actions_to_run = actions_to_run
        self.environment = environment
        self.buddy_conn_id = buddy_conn_id

    def _secrets(self) -> list[str]:
        """The values of ``secret_variables``."""
        return _values(self.secret_variables)

    def _plan(self, hook: BuddyHook) -> Flow[RunPlan]:
        """Check the arguments, and find the pipeline and its actions."""
        body = self._body()
        workspace, project = hook.namespace()
        pipeline = yield from requests.resolve_pipeline(workspace, project, self.pipeline)
        if actions := bodies.name_list(self.actions_to_run, "actions_to_run"):
            body["actions_to_run"] = yield from requests.resolve_actions(workspace, project, pipeline, actions)
        return RunPlan(workspace, project, pipeline, body)

    def _start(self, hook: BuddyHook, plan: RunPlan, marker: str) -> Flow[Snapshot]:
        """The one request that runs the pipeline. The marker is appended to the user's comment."""
        path = plan.workspace, plan.project, plan.pipeline
        comment = lost_starts.comment_with(marker, self.comment)
        execution = yield from requests.run_pipeline(*path, {**plan.body, "comment": comment})
        answered = execution.comment or ""  # an answer may leave it out, or cut it
        if marker not in answered and not comment.startswith(answered):
            raise NotOurs(f"Buddy answered the start with execution {execution.id}, whose comment is not ours.", system="buddy")
        return mapping.snapshot_of(BuddyRef(*path, execution.id), execution)

    def _find(self, hook: BuddyHook, plan: RunPlan, marker: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """Search by the marker in the comment."""
        path = plan.workspace, plan.project, plan.pipeline
        return (yield from lost_starts.find_started(*path, marker, since, self.comment))

    def _body(self) -> dict[str, Any]:
        """
        The body of the request, without the comment.

        :raises ConfigurationError: for arguments that Buddy would refuse or misunderstand.
        """
        return bodies.run_body(
            branch=self.branch,
            tag=self.tag,
            pull_request=self.pull_request,
            revision=self.revision,
            variables=self.variables,
            secret_variables=self.secret_variables,
            priority=self.priority,
            refresh=self.refresh,
            clear_cache=self.clear_cache,
            delay_until=self.delay_until,
            environment=self.environment,
        )


class _OnExecution(BuddyTask):
    """An operator that acts on the execution ``ref``."""

    ref: str

    def _execution(self) -> str:
        """The execution. For the ref of an action execution, the execution that it belongs to."""
        return str(BuddyRef.parse(self.ref).whole)


class BuddyRetryExecutionOperator(_OnExecution, ExecutionResumeOperator["BuddyHook"]):
    """
    Run an ended Buddy execution again, from where it failed, wait for it, and push its outputs to XCom.

    Source: ``PATCH .../executions/:execution_id`` with ``RETRY``. Buddy retries executions that failed or were cancelled. Whether the
    execution keeps its id is not documented: see the result's ``ref``.

    .. seealso:: :class:`~airflow_provider.execution.tasks.operator.ExecutionOperator` for everything about waiting, outputs and logs.

    :param ref: the execution, such as ``workspace/project/89/4098``.
    :param buddy_conn_id: connection of type ``buddy``.
    """

    template_fields: Sequence[str] = ("buddy_conn_id", *ExecutionResumeOperator.template_fields)

    def __init__(self, *, ref: str, buddy_conn_id: str = "buddy_default", **kwargs: Unpack[ExecutionArguments]) -> None:
        super().__init__(ref=ref, **kwargs)
        self.buddy_conn_id = buddy_conn_id

    def _again(self, hook: BuddyHook, snapshot: Snapshot) -> Flow[Snapshot]:
        """The one request. A refusal is explained."""
        try:
            return (yield from super()._again(hook, snapshot))
        except (Unauthorized, Forbidden, NotFound, RateLimited):
            raise
        except StatusError as error:
            raise error.adding(
                f"The execution is {snapshot.status}; Buddy retries executions that failed or were cancelled, and none of a pipeline "
                "with wildcard refs: run that again with BuddyRunPipelineOperator and a branch.",
            ) from None


class BuddyCancelExecutionOperator(_OnExecution, ExecutionCancelOperator["BuddyHook"]):
    """
    Cancel a Buddy execution, and wait until it has ended.

    Source: ``PATCH .../executions/:execution_id`` with ``CANCEL``. This is also the only way to decline an approval. Nothing is sent if the
    execution has ended already; the result says how it ended.

    :param ref: the execution, such as ``workspace/project/89/4098``.
    :param buddy_conn_id: connection of type ``buddy``.
    """

    template_fields: Sequence[str] = ("buddy_conn_id", *ExecutionCancelOperator.template_fields)

    def __init__(self, *, ref: str, buddy_conn_id: str = "buddy_default", **kwargs: Unpack[ExecutionArguments]) -> None:
        super().__init__(ref=ref, **kwargs)
        self.buddy_conn_id = buddy_conn_id


class BuddyApproveExecutionOperator(_OnExecution, ExecutionActOperator["BuddyHook", ApprovePlan]):
    """
    Approve a Buddy execution that waits at a gate, or run a delayed one now, and wait for its end.

    Source: ``PATCH .../executions/:execution_id``. The execution is not this task's own: it is cancelled neither with the task nor after
    ``timeout`` (``cancel_on_kill`` has no effect). The task fails without retries if no gate waits yet: let the previous task end at the
    gate, with ``on_waiting="succeed"``.

    :param ref: the execution, such as ``workspace/project/89/4098``.
    :param operation: ``APPLY``, ``APPLY_VARIABLES``, ``SET_VARIABLES``, ``APPROVE_VT`` or ``RUN_DELAYED``; by default the
        operation that the waiting gate needs.
    :param variables: values for the variables that the gate asks for, name to value.
    :param secret_variables: the same for variables that Buddy encrypts; Airflow redacts them in rendered fields.
    :param approve_action_id: the gate, if several wait: id of its action execution or its action, or its name.
    :param buddy_conn_id: connection of type ``buddy``. A gate may require another user than the one that started the execution.
    """

    template_fields: Sequence[str] = (
        "operation",
        "variables",
        "secret_variables",
        "approve_action_id",
        "buddy_conn_id",
        *ExecutionActOperator.template_fields,
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"variables": "json"}
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"variables": "texts", "secret_variables": "texts", "approve_action_id": "id"}
    owns_execution = False
    can_start_again = False
    started_word: ClassVar[str] = "continues"

    def __init__(
        self,
        *,
        ref: str,
        operation: Operation | None = None,
        variables: Mapping[str, Any] | None = None,
        secret_variables: Mapping[str, Any] | None = None,
        approve_action_id: int | str | None = None,
        buddy_conn_id: str = "buddy_default",
        **kwargs: Unpack[ExecutionArguments],
    ) -> None:
        super().__init__(ref=ref, **kwargs)
        self.operation = operation
        self.variables = variables
        self.secret_variables = secret_variables
        self.approve_action_id = approve_action_id
        self.buddy_conn_id = buddy_conn_id

    def _secrets(self) -> list[str]:
        """The values of ``secret_variables``."""
        return _values(self.secret_variables)

    def _check_arguments(self) -> None:
        """Check the variables too, before the wait for a gate."""
        super()._check_arguments()
        bodies.variable_list(self.variables, self.secret_variables)

    def _plan(self, hook: BuddyHook) -> Flow[ApprovePlan]:
        """Check the arguments, and find the waiting gate."""
        variables = bodies.variable_list(self.variables, self.secret_variables)
        if self.operation:
            try:
                one_of(self.operation, [*OPERATIONS.values(), "RUN_DELAYED"], "operation")
            except ValueError as error:
                raise ConfigurationError(f"Buddy: {error}.", system="buddy") from None
        execution = yield from requests.get_execution(self._execution())
        gates = [item for item in execution.action_executions if item.status.startswith("WAITING_FOR_")]
        gate = self.approve_action_id
        if gate not in (None, ""):
            gates = [item for item in gates if str(gate) in (item.id, str(item.action.id), item.action.name)]
        return ApprovePlan(execution, gates, variables)

    def _mark(self, plan: ApprovePlan, marker: str) -> str:
        """The gate, or the status that shows it: once it no longer waits, somebody has approved it."""
        return f"gate {plan.gates[0].id}" if plan.gates else f"status {plan.execution.status}"

    def _start(self, hook: BuddyHook, plan: ApprovePlan, marker: str) -> Flow[Snapshot]:
        """The one request. A refusal is explained."""
        execution, variables = plan.execution, plan.variables
        operation = self.operation or requested_operation(plan, self.ref, named=bool(self.approve_action_id))
        gate = waiting_gate(plan, self.ref, named=bool(self.approve_action_id)) if operation != "RUN_DELAYED" else None
        if operation in ("APPLY_VARIABLES", "SET_VARIABLES") and not variables:
            names = ", ".join(variable.key for variable in gate.action.variables) if gate else ""
            raise ConfigurationError(
                f"Buddy execution {self.ref}: {operation} needs variables{f': the gate asks for {names}' if names else ''}.",
                system="buddy",
                ref=self.ref,
            )
        try:
            changed = yield from requests.change_execution(self._execution(), operation, variables, gate.id if gate else None)
        except (Unauthorized, NotFound, RateLimited, ServerError):
            raise
        except StatusError as error:
            raise error.adding(
                "The gate may not allow approval by the user who started the execution (prevent_self_approval), or only by some users "
                "(permissions): approve with a connection of a user who may."
                if isinstance(error, Forbidden)
                else f"The execution is {execution.status}; somebody may have approved it already.",
            ) from None
        return mapping.snapshot_of(BuddyRef.parse(self._execution()), changed)

    def _find(self, hook: BuddyHook, plan: ApprovePlan, marker: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """The execution, if the gate no longer waits."""
        execution = yield from requests.get_execution(self._execution())
        waits = {f"gate {item.id}" for item in execution.action_executions if item.status.startswith("WAITING_FOR_")}
        snapshot = mapping.snapshot_of(BuddyRef.parse(self._execution()), execution)
        return ([] if marker in {*waits, f"status {execution.status}"} else [snapshot]), True


class BuddyGetExecutionOperator(_OnExecution, ExecutionGetOperator["BuddyHook"]):
    """
    Read a Buddy execution as it is, without waiting: status, actions, variables, the tail of its log.

    Source: ``GET .../executions/:execution_id``.

    .. seealso:: :class:`~airflow_provider.execution.tasks.existing.ExecutionGetOperator` for outputs and logs.

    :param ref: the execution, such as ``workspace/project/89/4098``.
    :param buddy_conn_id: connection of type ``buddy``.
    """

    template_fields: Sequence[str] = ("buddy_conn_id", *ExecutionGetOperator.template_fields)

    def __init__(self, *, ref: str, buddy_conn_id: str = "buddy_default", **kwargs: Unpack[GetArguments]) -> None:
        super().__init__(ref=ref, **kwargs)
        self.buddy_conn_id = buddy_conn_id


class BuddyGetActionExecutionOperator(BuddyTask, ExecutionGetOperator["BuddyHook"]):
    """
    Read what one action of a Buddy execution did: details, variables, the tail of its log; with ``log_path``, the whole log.

    Source: ``GET .../executions/:execution_id/action_executions/:action_execution_id``.

    .. seealso:: :class:`~airflow_provider.execution.tasks.existing.ExecutionGetOperator` for outputs and logs.

    :param ref: an action execution (``workspace/project/89/4098/<action execution id>``), or an execution together with ``action``.
    :param action: id or name of the action; overrides the action execution in ``ref``.
    :param which: which of several action executions, such as those of loops and retries: the ``"last"``, the ``"first"`` or ``"all"``.
    :param buddy_conn_id: connection of type ``buddy``.
    """

    template_fields: Sequence[str] = ("action", "buddy_conn_id", *ExecutionGetOperator.template_fields)
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"action": "id"}

    def __init__(
        self,
        *,
        ref: str,
        action: int | str | None = None,
        which: Literal["last", "first", "all"] = "last",
        buddy_conn_id: str = "buddy_default",
        **kwargs: Unpack[GetArguments],
    ) -> None:
        super().__init__(ref=ref, **kwargs)
        one_of(which, ("last", "first", "all"), "which")
        self.action = action
        self.which = which
        self.buddy_conn_id = buddy_conn_id

    def _view(self) -> dict[str, object]:
        """One action."""
        return {"action": self.action, "which": self.which}

    def _execution(self) -> str:
        """The action execution, or the execution."""
        return action_target(self.ref, self.action)


class BuddyGetActionOperator(BuddyTask, BaseOperator):
    """
    Read the definition of one action of a pipeline, such as the commands and the image of a Run Docker Container action.

    Source: ``GET .../pipelines/:pipeline_id/actions/:action_id``.

    Secrets are left out: ``login``, ``password``, fields that are secret by their name or shape, and values of encrypted variables. For
    types that are not modelled field by field, all fields are left out that are not known to be harmless.

    :param pipeline: id, identifier or name.
    :param action: id or name.
    :param workspace: workspace handle; by default the connection's.
    :param project: project handle; by default the connection's.
    :param reveal_fields: names of fields that may go into XCom nevertheless.
    :param buddy_conn_id: connection of type ``buddy``.
    """

    template_fields: Sequence[str] = ("pipeline", "action", "workspace", "project", "reveal_fields", "buddy_conn_id")
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"pipeline": "id", "action": "id", "reveal_fields": "texts"}
    operator_extra_links = ()  # it is not about an execution

    def __init__(
        self,
        *,
        pipeline: int | str,
        action: int | str,
        workspace: str | None = None,
        project: str | None = None,
        reveal_fields: Sequence[str] = (),
        buddy_conn_id: str = "buddy_default",
        **kwargs: Unpack[AirflowArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.action = action
        self.workspace = workspace
        self.project = project
        self.reveal_fields = reveal_fields
        self.buddy_conn_id = buddy_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """
        Read the definition.

        :returns: its fields, with Buddy's names, and in ``omitted`` the names of the fields that were left out.
        :raises ConfigurationError: if there is no such pipeline or action, or several of that name.
        """
        from airflow_provider.buddy.executions.redacted_definition import without_secrets

        self._check_arguments()
        with self.hook as hook:
            action = hook.get_action(self.pipeline, self.action)
        self.log.info("Action %r (%s) of pipeline %s: %s", action.name, action.type, self.pipeline, action.html_url)
        return without_secrets(action, reveal=bodies.name_list(self.reveal_fields, "reveal_fields"))


def _values(secrets: Mapping[str, Any] | None) -> list[str]:
    """The values as they are sent."""
    from airflow_provider.execution.results.redaction import all_texts

    return list(all_texts(secrets)) if isinstance(secrets, Mapping) else []
