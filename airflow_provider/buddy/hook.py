"""Hook for Buddy: from an Airflow connection to its REST API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider._connection_form import with_connection_form
from airflow_provider._lazy import Lazy
from airflow_provider.buddy.api.error_texts import BuddyApiErrors
from airflow_provider.errors import ConfigurationError, ExecutionApiError, NotFound
from airflow_provider.execution.http.api_errors import ApiErrors
from airflow_provider.execution.http.hook import ExecutionHook
from airflow_provider.execution.model.request import is_segment

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from typing_extensions import Unpack

    from airflow_provider.buddy.api import action_models, bodies, models, requests
    from airflow_provider.buddy.executions import logs
    from airflow_provider.buddy.executions.adapter import BuddyAdapter
else:
    bodies = Lazy("airflow_provider.buddy.api.bodies")
    logs = Lazy("airflow_provider.buddy.executions.logs")
    requests = Lazy("airflow_provider.buddy.api.requests")

REGIONS = {"us": "https://api.buddy.works", "eu": "https://api.eu.buddy.works", "asia": "https://api.asia.buddy.works"}
REGION_KEYS = {"as": "asia", "ap": "asia"}
"""Other names of regions, as the vendor's own clients know them."""


@with_connection_form
class BuddyHook(ExecutionHook):
    """
    Reads and changes things in Buddy by its REST API.

    ``get_x`` reads one thing, ``list_x`` a list or a page of it, ``iter_x`` all of a list, page by page as items are taken.
    Each method that sends a request has an async twin: its name with an ``a`` in front, such as ``aget_execution``.

    The ref of an execution is ``workspace/project/<pipeline id>/<execution id>``, such as ``acme/shop/89/4098``; the ref of an action
    execution has ``/<action execution id>`` behind it.

    All methods raise subclasses of :class:`~airflow_provider.errors.ExecutionApiError`, such as
    :class:`~airflow_provider.errors.Forbidden` if the token lacks a scope, and
    :class:`~airflow_provider.errors.ConfigurationError` if the connection is missing or unusable.

    :param buddy_conn_id: connection of type ``buddy``: the API's address as host (empty: the region's), a personal access token as
        password, and in extra ``workspace``, ``project``, ``region``, ``ca_bundle``, ``verify_tls``,
        ``request_timeout`` (seconds), ``max_concurrent_requests``, ``secret_headers``.
    :param workspace: workspace handle; by default the connection's.
    :param project: project handle; by default the connection's.
    """

    conn_name_attr = "buddy_conn_id"
    default_conn_name = "buddy_default"
    conn_type = "buddy"
    hook_name = "Buddy"
    title = "Buddy"
    settings: ClassVar[Collection[str]] = ("workspace", "project", "region")
    api_errors: ClassVar[ApiErrors] = BuddyApiErrors()

    def __init__(self, buddy_conn_id: str = default_conn_name, *, workspace: str | None = None, project: str | None = None) -> None:
        super().__init__(buddy_conn_id)
        self.buddy_conn_id = buddy_conn_id
        self.workspace = workspace
        self.project = project

    def arguments(self) -> dict[str, object]:
        """Keyword arguments that rebuild this hook in a trigger."""
        return {"buddy_conn_id": self.buddy_conn_id, "workspace": self.workspace, "project": self.project}

    def adapter(self, **view: Any) -> BuddyAdapter:
        """
        The flows that give snapshots of executions.

        :param view: ``action`` and ``which``, to look at one action of an execution only.
        """
        if view:
            from airflow_provider.buddy.executions.action_view import ActionView

            return ActionView(**view)
        from airflow_provider.buddy.executions.adapter import BuddyAdapter

        return BuddyAdapter()

    def default_host(self, extra: Mapping[str, Any]) -> str | None:
        """The region's address."""
        region = str(extra.get("region") or "us").lower()
        region = REGION_KEYS.get(region, region)
        if region not in REGIONS:
            raise ConfigurationError(f"Connection {self.conn_id!r}: region must be one of {', '.join(REGIONS)}, not {region!r}.")
        return REGIONS[region]

    def credentials(self, connection: Connection, extra: Mapping[str, Any]) -> dict[str, str]:
        """The token, as a bearer."""
        token = (connection.password or "").strip()
        if not token:
            raise ConfigurationError(f"Connection {self.conn_id!r} has no token. Put a personal access token into its password field.")
        if not token.isascii() or not token.isprintable() or " " in token:
            raise ConfigurationError(f"Connection {self.conn_id!r}: the token in its password field holds spaces or control characters.")
        return {"authorization": f"Bearer {token}"}

    def namespace(self) -> tuple[str, str]:
        """
        Workspace and project, of the hook or else of the connection. Reads the connection on first use; async code awaits
        :meth:`aopen` before.

        :returns: both handles.
        :raises ConfigurationError: if neither names them.
        """
        return self.handle("workspace"), self.handle("project")

    def handle(self, kind: Literal["workspace", "project"]) -> str:
        """
        One part of :meth:`namespace`.

        :raises ConfigurationError: if neither hook nor connection names it, or it is no handle.
        """
        if self._endpoint is None:
            self.open()
        handle = getattr(self, kind) or self._extra.get(kind)
        if handle is None or handle == "":
            raise ConfigurationError(f"Buddy: no {kind} is given, and connection {self.conn_id!r} names none in its extra.")
        text = "" if isinstance(handle, bool) or not isinstance(handle, (str, int)) else str(handle)
        if not is_segment(text) or "/" in text:
            raise ConfigurationError(
                f"Buddy connection {self.conn_id!r}: {kind} {handle!r:.200} is no handle, such as the last part of its address in Buddy."
            )
        return text

    def list_workspaces(self) -> list[models.Workspace]:
        """
        List the workspaces that the token may see, all at once.

        Source: ``GET /workspaces``.
        """
        return self.run_flow(requests.list_workspaces())

    async def alist_workspaces(self) -> list[models.Workspace]:
        """Async twin of :meth:`list_workspaces`."""
        return await self.arun_flow(requests.list_workspaces())

    def get_workspace(self, workspace: str | None = None) -> models.Workspace:
        """
        Read a workspace.

        Source: ``GET /workspaces/:workspace``.

        :param workspace: its handle; by default the hook's.
        :raises StatusError: if there is none, or the token may not see it.
        """
        return self.run_flow(requests.get_workspace(workspace or self.handle("workspace")))

    async def aget_workspace(self, workspace: str | None = None) -> models.Workspace:
        """Async twin of :meth:`get_workspace`."""
        await self.aopen()
        return await self.arun_flow(requests.get_workspace(workspace or self.handle("workspace")))

    def list_projects(self, page: int = 1) -> list[models.Project]:
        """
        List a page of the projects of the hook's workspace.

        Source: ``GET /workspaces/:workspace/projects``.

        :param page: number of the page, from 1; each has 50 projects.
        """
        return self.run_flow(requests.page_of_projects(self.handle("workspace"), page))

    async def alist_projects(self, page: int = 1) -> list[models.Project]:
        """Async twin of :meth:`list_projects`."""
        await self.aopen()
        return await self.arun_flow(requests.page_of_projects(self.handle("workspace"), page))

    def iter_projects(self) -> Iterator[models.Project]:
        """
        Iterate over all projects of the hook's workspace.

        Source: ``GET /workspaces/:workspace/projects``.
        """
        yield from self.each(requests.projects(self.handle("workspace")))

    async def aiter_projects(self) -> AsyncIterator[models.Project]:
        """Async twin of :meth:`iter_projects`."""
        await self.aopen()
        async for item in self.aeach(requests.projects(self.handle("workspace"))):
            yield item

    def get_project(self) -> models.Project:
        """
        Read the hook's project.

        Source: ``GET /workspaces/:workspace/projects/:project_name``.

        :raises NotFound: if there is none, or the token may not see it.
        """
        return self.run_flow(requests.get_project(*self.namespace()))

    async def aget_project(self) -> models.Project:
        """Async twin of :meth:`get_project`."""
        await self.aopen()
        return await self.arun_flow(requests.get_project(*self.namespace()))

    def list_variables(self, **scope: Unpack[requests.VariableScope]) -> list[models.Variable]:
        """
        List the variables of the hook's workspace, or of a part of it, all at once. The values of encrypted ones are ciphertext.

        Source: ``GET /workspaces/:workspace/variables``.

        :param scope: one of ``project_name``, ``pipeline_id``, ``action_id``, ``environment_id`` and ``sandbox_id``; without it, the
            variables of the workspace alone.
        :raises ConfigurationError: for another scope, which the API would ignore.
        """
        return self.run_flow(requests.list_variables(self.handle("workspace"), scope))

    async def alist_variables(self, **scope: Unpack[requests.VariableScope]) -> list[models.Variable]:
        """Async twin of :meth:`list_variables`."""
        await self.aopen()
        return await self.arun_flow(requests.list_variables(self.handle("workspace"), scope))

    def get_variable(self, variable_id: int) -> models.Variable:
        """
        Read a variable of the hook's workspace.

        Source: ``GET /workspaces/:workspace/variables/:variable_id``.

        :param variable_id: its id, as :meth:`list_variables` gives it.
        :raises NotFound: if there is none, or the token may not see it.
        """
        return self.run_flow(requests.get_variable(self.handle("workspace"), variable_id))

    async def aget_variable(self, variable_id: int) -> models.Variable:
        """Async twin of :meth:`get_variable`."""
        await self.aopen()
        return await self.arun_flow(requests.get_variable(self.handle("workspace"), variable_id))

    def list_pipelines(self, page: int = 1) -> list[models.Pipeline]:
        """
        List a page of the pipelines of the hook's project that the token may see. Their fields are fewer than those of
        :meth:`get_pipeline`.

        Source: ``GET /workspaces/:workspace/projects/:project_name/pipelines``.

        :param page: number of the page, from 1; each has 50 pipelines.
        """
        return self.run_flow(requests.page_of_pipelines(*self.namespace(), page))

    async def alist_pipelines(self, page: int = 1) -> list[models.Pipeline]:
        """Async twin of :meth:`list_pipelines`."""
        await self.aopen()
        return await self.arun_flow(requests.page_of_pipelines(*self.namespace(), page))

    def iter_pipelines(self) -> Iterator[models.Pipeline]:
        """
        Iterate over all pipelines of the hook's project that the token may see.

        Source: ``GET /workspaces/:workspace/projects/:project_name/pipelines``.
        """
        yield from self.each(requests.pipelines(*self.namespace()))

    async def aiter_pipelines(self) -> AsyncIterator[models.Pipeline]:
        """Async twin of :meth:`iter_pipelines`."""
        await self.aopen()
        async for item in self.aeach(requests.pipelines(*self.namespace())):
            yield item

    def get_pipeline(self, pipeline: int | str) -> models.Pipeline:
        """
        Read a pipeline.

        Source: ``GET .../pipelines/:pipeline_id``.

        :param pipeline: id, identifier or name.
        :raises ConfigurationError: if no pipeline has that name, or several have it.
        :raises NotFound: if none has that id.
        """
        return self.run_flow(requests.get_pipeline(*self.namespace(), pipeline))

    async def aget_pipeline(self, pipeline: int | str) -> models.Pipeline:
        """Async twin of :meth:`get_pipeline`."""
        await self.aopen()
        return await self.arun_flow(requests.get_pipeline(*self.namespace(), pipeline))

    def get_pipeline_id(self, pipeline: int | str) -> int:
        """
        Find a pipeline's id. No request is sent if an id is given.

        Source: ``GET /workspaces/:workspace/projects/:project_name/pipelines``.

        :param pipeline: id, identifier or name.
        :raises ConfigurationError: if no pipeline has that name, or several have it.
        """
        return self.run_flow(requests.resolve_pipeline(*self.namespace(), pipeline))

    async def aget_pipeline_id(self, pipeline: int | str) -> int:
        """Async twin of :meth:`get_pipeline_id`."""
        await self.aopen()
        return await self.arun_flow(requests.resolve_pipeline(*self.namespace(), pipeline))

    def list_actions(self, pipeline: int | str) -> list[action_models.ActionDefinition]:
        """
        List the definitions of a pipeline's actions, all at once. They hold secrets, and may have fewer fields than those of
        :meth:`get_action`.

        Source: ``GET .../pipelines/:pipeline_id/actions``.

        :param pipeline: id, identifier or name.
        :raises ConfigurationError: if no pipeline has that name, or several have it.
        :raises NotFound: if none has that id.
        """
        return self.run_flow(requests.list_actions(*self.namespace(), pipeline))

    async def alist_actions(self, pipeline: int | str) -> list[action_models.ActionDefinition]:
        """Async twin of :meth:`list_actions`."""
        await self.aopen()
        return await self.arun_flow(requests.list_actions(*self.namespace(), pipeline))

    def get_action(self, pipeline: int | str, action: int | str) -> action_models.ActionDefinition:
        """
        Read the definition of an action. It holds secrets (``login``, ``password``): never log it as a whole.

        Source: ``GET .../pipelines/:pipeline_id/actions/:action_id``.

        :param pipeline: id, identifier or name.
        :param action: id or name.
        :returns: by the action's type, a :class:`~airflow_provider.buddy.api.action_models.RunDockerContainer` or a general definition.
        :raises ConfigurationError: if no pipeline or action has that name, or several have it.
        :raises NotFound: if none has that id.
        """
        return self.run_flow(requests.get_action(*self.namespace(), pipeline, action))

    async def aget_action(self, pipeline: int | str, action: int | str) -> action_models.ActionDefinition:
        """Async twin of :meth:`get_action`."""
        await self.aopen()
        return await self.arun_flow(requests.get_action(*self.namespace(), pipeline, action))

    def list_executions(self, pipeline: int | str, page: int = 1) -> list[models.Execution]:
        """
        List a page of a pipeline's executions, newest first. Their fields are fewer than those of :meth:`get_execution`.

        Source: ``GET .../pipelines/:pipeline_id/executions``.

        :param pipeline: id, identifier or name.
        :param page: number of the page, from 1; each has 50 executions.
        :raises ConfigurationError: if no pipeline has that name, or several have it.
        :raises NotFound: if none has that id.
        """
        return self.run_flow(requests.page_of_executions(*self.namespace(), pipeline, page))

    async def alist_executions(self, pipeline: int | str, page: int = 1) -> list[models.Execution]:
        """Async twin of :meth:`list_executions`."""
        await self.aopen()
        return await self.arun_flow(requests.page_of_executions(*self.namespace(), pipeline, page))

    def iter_executions(self, pipeline: int | str) -> Iterator[models.Execution]:
        """
        Iterate over all executions of a pipeline, newest first. Their fields are fewer than those of :meth:`get_execution`.

        Source: ``GET .../pipelines/:pipeline_id/executions``.

        :param pipeline: id, identifier or name.
        :raises ConfigurationError: if no pipeline has that name, or several have it.
        :raises NotFound: if none has that id.
        """
        yield from self.each(requests.executions(*self.namespace(), pipeline))

    async def aiter_executions(self, pipeline: int | str) -> AsyncIterator[models.Execution]:
        """Async twin of :meth:`iter_executions`."""
        await self.aopen()
        async for item in self.aeach(requests.executions(*self.namespace(), pipeline)):
            yield item

    def get_execution(self, ref: str) -> models.Execution:
        """
        Read an execution with its action executions.

        Source: ``GET /workspaces/:workspace/projects/:project_name/pipelines/:pipeline_id/executions/:execution_id``.

        :param ref: the execution, such as ``acme/shop/89/4098``.
        :raises ConfigurationError: if it is not a ref.
        :raises NotFound: if there is none, or the token may not see it.
        """
        return self.run_flow(requests.get_execution(ref))

    async def aget_execution(self, ref: str) -> models.Execution:
        """Async twin of :meth:`get_execution`."""
        return await self.arun_flow(requests.get_execution(ref))

    def get_action_execution(self, ref: str) -> models.ActionExecution:
        """
        Read an action execution with its log and variables.

        Source: ``GET .../executions/:execution_id/action_executions/:action_execution_id``.

        :param ref: the action execution, such as ``acme/shop/89/4098/<action execution id>``.
        :raises ConfigurationError: if it is not the ref of an action execution.
        :raises NotFound: if there is none, or the token may not see it.
        """
        return self.run_flow(requests.get_action_execution(ref))

    async def aget_action_execution(self, ref: str) -> models.ActionExecution:
        """Async twin of :meth:`get_action_execution`."""
        return await self.arun_flow(requests.get_action_execution(ref))

    def list_log_lines(self, ref: str, offset: int = 0, limit: int = 1_000) -> list[str]:
        """
        List a part of the lines of an action execution's log.

        Source: ``GET .../action_executions/:action_execution_id/logs``; older installations: the route of :meth:`get_action_execution`,
        or the address that it gives (``log_url``).

        :param ref: the action execution, such as ``acme/shop/89/4098/<action execution id>``.
        :param offset: first line, from 0.
        :param limit: maximum number of lines.
        :raises ConfigurationError: if it is not the ref of an action execution.
        :raises NotFound: if there is none, or the token may not see it.
        """
        return self.run_flow(logs.list_log_lines(ref, offset, limit))

    async def alist_log_lines(self, ref: str, offset: int = 0, limit: int = 1_000) -> list[str]:
        """Async twin of :meth:`list_log_lines`."""
        return await self.arun_flow(logs.list_log_lines(ref, offset, limit))

    def iter_log_lines(self, ref: str, offset: int = 0) -> Iterator[str]:
        """
        Iterate over the lines of an action execution's log, in bounded memory.

        Source: see :meth:`list_log_lines`.

        :param ref: the action execution, such as ``acme/shop/89/4098/<action execution id>``.
        :param offset: first line, from 0.
        :raises ConfigurationError: if it is not the ref of an action execution.
        :raises NotFound: if there is none, or the token may not see it.
        """
        yield from self.each(logs.log_lines(ref, offset))

    async def aiter_log_lines(self, ref: str, offset: int = 0) -> AsyncIterator[str]:
        """Async twin of :meth:`iter_log_lines`."""
        async for item in self.aeach(logs.log_lines(ref, offset)):
            yield item

    def get_token(self) -> models.Token:
        """
        Read the name, the scopes and the expiry of the token in use.

        Source: ``GET /user/token``.

        :raises NotFound: on older installations, which have no such route.
        """
        return self.run_flow(requests.get_token())

    async def aget_token(self) -> models.Token:
        """Async twin of :meth:`get_token`."""
        return await self.arun_flow(requests.get_token())

    def get_user(self) -> models.User:
        """
        Read who owns the token.

        Source: ``GET /user``.
        """
        return self.run_flow(requests.get_user())

    async def aget_user(self) -> models.User:
        """Async twin of :meth:`get_user`."""
        return await self.arun_flow(requests.get_user())

    def run_pipeline(self, pipeline: int | str, **run: Unpack[bodies.RunArguments]) -> models.Execution:
        """
        Run a pipeline. The request is sent once, and nothing protects from a second run: tasks use
        :class:`~airflow_provider.buddy.operators.BuddyRunPipelineOperator`.

        Source: ``POST .../pipelines/:pipeline_id/executions``.

        :param pipeline: id, identifier or name.
        :param run: arguments of the operator: ``branch``, ``tag`` or ``pull_request``; ``revision`` (default ``HEAD``); ``variables`` and
            ``secret_variables`` (dicts, name to value); ``comment``; ``priority`` (``LOW``, ``NORMAL`` or ``HIGH``); ``refresh`` and
            ``clear_cache`` (bool); ``delay_until`` (datetime or ISO 8601); ``actions_to_run`` (list of ids or names); ``environment``.
        :returns: the execution, just begun.
        :raises ConfigurationError: for arguments that Buddy would refuse; if no pipeline or action has the given name, or several have it.
        :raises NotFound: if no pipeline has that id.
        """
        return self.run_flow(requests.run_pipeline_with(*self.namespace(), pipeline, **run))

    async def arun_pipeline(self, pipeline: int | str, **run: Unpack[bodies.RunArguments]) -> models.Execution:
        """Async twin of :meth:`run_pipeline`."""
        await self.aopen()
        return await self.arun_flow(requests.run_pipeline_with(*self.namespace(), pipeline, **run))

    def cancel_execution(self, ref: str) -> None:
        """
        Cancel an execution. It stops some time later; one that has ended stays as it is, which is no error.

        Source: ``PATCH .../executions/:execution_id`` with ``CANCEL``.

        :param ref: the execution, such as ``acme/shop/89/4098``.
        :raises ConfigurationError: if it is not a ref.
        :raises NotFound: if there is none, or the token may not see it.
        """
        self.run_flow(self.adapter().cancel(ref))

    async def acancel_execution(self, ref: str) -> None:
        """Async twin of :meth:`cancel_execution`."""
        await self.arun_flow(self.adapter().cancel(ref))

    def retry_execution(self, ref: str) -> models.Execution:
        """
        Run an ended execution again, from where it failed. The request is sent once.

        Source: ``PATCH .../executions/:execution_id`` with ``RETRY``.

        :param ref: the execution, such as ``acme/shop/89/4098``.
        :returns: the execution; whether it has a new id is not documented.
        :raises ConfigurationError: if it is not a ref.
        :raises StatusError: if Buddy refuses, such as for an execution that has not failed.
        """
        return self.run_flow(requests.retry_execution(ref))

    async def aretry_execution(self, ref: str) -> models.Execution:
        """Async twin of :meth:`retry_execution`."""
        return await self.arun_flow(requests.retry_execution(ref))

    def approve_execution(
        self,
        ref: str,
        operation: str = "APPLY",
        *,
        variables: Mapping[str, Any] | None = None,
        secret_variables: Mapping[str, Any] | None = None,
        approve_action_id: str | None = None,
    ) -> models.Execution:
        """
        Let an execution go on that waits for a person, or run a delayed one now. The request is sent once.

        Source: ``PATCH .../executions/:execution_id``.

        :param ref: the execution, such as ``acme/shop/89/4098``.
        :param operation: ``APPLY``, ``APPLY_VARIABLES``, ``SET_VARIABLES``, ``APPROVE_VT`` or ``RUN_DELAYED``.
        :param variables: values for the variables that the gate asks for, name to value.
        :param secret_variables: the same for variables that Buddy keeps encrypted.
        :param approve_action_id: id of the gate's action execution, if several wait at once.
        :returns: the execution.
        :raises ConfigurationError: if it is not a ref, or for variables that Buddy would refuse.
        :raises StatusError: if Buddy refuses, such as because nothing waits.
        """
        values = bodies.variable_list(variables, secret_variables)
        return self.run_flow(requests.change_execution(ref, operation, values, approve_action_id))

    async def aapprove_execution(
        self,
        ref: str,
        operation: str = "APPLY",
        *,
        variables: Mapping[str, Any] | None = None,
        secret_variables: Mapping[str, Any] | None = None,
        approve_action_id: str | None = None,
    ) -> models.Execution:
        """Async twin of :meth:`approve_execution`."""
        values = bodies.variable_list(variables, secret_variables)
        return await self.arun_flow(requests.change_execution(ref, operation, values, approve_action_id))

    def test_connection(self) -> tuple[bool, str]:
        """
        Check the token and the handles in the connection, and tell the token's name and scopes.

        Source: ``GET /user/token``; older installations: ``GET /user``.

        :returns: whether the connection works, and a text for the user.
        """
        try:
            with self:
                self.open()
                if self.workspace or self._extra.get("workspace"):
                    self.handle("workspace")
                if self.project or self._extra.get("project"):
                    self.handle("project")
                try:
                    token = self.run_flow(requests.get_token())
                except NotFound:  # older installations
                    user = self.run_flow(requests.get_user())
                    who = user.name or user.id or "somebody that it does not name"
                    return True, f"Connected to {self._address()} as {who}. (This installation does not tell the token's scopes.)"
        except ExecutionApiError as error:
            return False, str(error)
        if not (token.id or token.name or token.scopes):
            return False, f"{self._address()} answers, but not as Buddy does. Check the host of connection {self.conn_id!r}."
        until = f", valid until {token.expires_at:%Y-%m-%d %H:%M} UTC" if token.expires_at else ""
        return True, f"Connected to {self._address()} with token {token.name!r}{until}; scopes: {', '.join(token.scopes) or 'not told'}."

    def _address(self) -> str:
        return self._endpoint.base_url if self._endpoint else ""
