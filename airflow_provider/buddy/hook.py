"""Hook for Buddy: from an Airflow connection to its REST API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider._lazy import Lazy
from airflow_provider.buddy.api.error_texts import BuddyDialect
from airflow_provider.errors import ConfigurationError, ExecutionApiError, NotFound
from airflow_provider.execution.http.endpoint import Dialect
from airflow_provider.execution.http.hook import ExecutionHook

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider.buddy.api import action_models, models, requests
    from airflow_provider.buddy.executions import logs
    from airflow_provider.buddy.executions.adapter import BuddyAdapter
else:
    logs = Lazy("airflow_provider.buddy.executions.logs")
    requests = Lazy("airflow_provider.buddy.api.requests")

REGIONS = {"us": "https://api.buddy.works", "eu": "https://api.eu.buddy.works"}


class BuddyHook(ExecutionHook):
    """
    Talks to Buddy's REST API. Every ``get_x`` has an async twin ``aget_x``.

    Refs look like ``workspace/project/89/4098``.

    :param buddy_conn_id: connection of type ``buddy``: the API's address as host (empty: the region's), a personal access token as
        password, and in extra ``workspace``, ``project``, ``region``, ``ca_bundle``, ``verify_tls``,
        ``request_timeout`` (seconds), ``max_concurrent_requests``.
    :param workspace: workspace handle; by default the connection's.
    :param project: project handle; by default the connection's.
    """

    conn_name_attr = "buddy_conn_id"
    default_conn_name = "buddy_default"
    conn_type = "buddy"
    hook_name = "Buddy"
    title = "Buddy"
    dialect: ClassVar[Dialect] = BuddyDialect()

    def __init__(self, buddy_conn_id: str = default_conn_name, *, workspace: str | None = None, project: str | None = None) -> None:
        super().__init__(buddy_conn_id)
        self.workspace = workspace
        self.project = project

    def arguments(self) -> dict[str, Any]:
        """What rebuilds this hook in a trigger."""
        return {"buddy_conn_id": self.conn_id, "workspace": self.workspace, "project": self.project}

    def adapter(self, **view: Any) -> BuddyAdapter:
        """
        Buddy's flows.

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

    def place(self) -> tuple[str, str]:
        """
        Workspace and project, of the hook or else of the connection.

        :raises ConfigurationError: if neither names them.
        """
        self.open()
        return self._place()

    def _place(self) -> tuple[str, str]:
        return self._the("workspace"), self._the("project")

    def _the(self, what: str) -> str:
        given = getattr(self, what) or self._extra.get(what)
        if not given:
            raise ConfigurationError(f"Buddy: no {what} is given, and connection {self.conn_id!r} names none in its extra.")
        return str(given)

    def get_workspaces(self) -> list[models.Workspace]:
        """
        Read the workspaces that the token may see.

        Source: ``GET /workspaces``.
        """
        return self.run_flow(requests.list_workspaces())

    async def aget_workspaces(self) -> list[models.Workspace]:
        """Async twin of :meth:`get_workspaces`."""
        return await self.arun_flow(requests.list_workspaces())

    def get_workspace(self, workspace: str | None = None) -> models.Workspace:
        """
        Read a workspace.

        Source: ``GET /workspaces/:workspace``.

        :param workspace: its handle; by default the hook's.
        """
        self.open()
        return self.run_flow(requests.get_workspace(workspace or self._the("workspace")))

    async def aget_workspace(self, workspace: str | None = None) -> models.Workspace:
        """Async twin of :meth:`get_workspace`."""
        await self.aopen()
        return await self.arun_flow(requests.get_workspace(workspace or self._the("workspace")))

    def get_project(self) -> models.Project:
        """
        Read the hook's project.

        Source: ``GET /workspaces/:workspace/projects/:project_name``.
        """
        return self.run_flow(requests.get_project(*self.place()))

    async def aget_project(self) -> models.Project:
        """Async twin of :meth:`get_project`."""
        await self.aopen()
        return await self.arun_flow(requests.get_project(*self._place()))

    def get_variables(self, **scope: int | str) -> list[models.Variable]:
        """
        Read variables; the values of encrypted ones are ciphertext.

        Source: ``GET /workspaces/:workspace/variables``.

        :param scope: one of ``project_name``, ``pipeline_id``, ``action_id``, ``environment_id``, ``sandbox_id``; without it the
            variables of the workspace alone.
        """
        self.open()
        return self.run_flow(requests.list_variables(self._the("workspace"), scope))

    async def aget_variables(self, **scope: int | str) -> list[models.Variable]:
        """Async twin of :meth:`get_variables`."""
        await self.aopen()
        return await self.arun_flow(requests.list_variables(self._the("workspace"), scope))

    def get_variable(self, variable_id: int) -> models.Variable:
        """
        Read one variable.

        Source: ``GET /workspaces/:workspace/variables/:variable_id``.
        """
        self.open()
        return self.run_flow(requests.get_variable(self._the("workspace"), variable_id))

    async def aget_variable(self, variable_id: int) -> models.Variable:
        """Async twin of :meth:`get_variable`."""
        await self.aopen()
        return await self.arun_flow(requests.get_variable(self._the("workspace"), variable_id))

    def get_pipeline(self, pipeline: int | str) -> models.Pipeline:
        """
        Read a pipeline.

        Source: ``GET .../pipelines/:pipeline_id``.

        :param pipeline: id, identifier or name.
        :raises ConfigurationError: if there is none of that name, or several.
        """
        return self.run_flow(requests.get_pipeline(*self.place(), pipeline))

    async def aget_pipeline(self, pipeline: int | str) -> models.Pipeline:
        """Async twin of :meth:`get_pipeline`."""
        await self.aopen()
        return await self.arun_flow(requests.get_pipeline(*self._place(), pipeline))

    def get_pipeline_id(self, pipeline: int | str) -> int:
        """
        Find a pipeline's id by its id, identifier or name.

        Source: ``GET /workspaces/:workspace/projects/:project_name/pipelines``.

        :raises ConfigurationError: if there is none of that name, or several.
        """
        return self.run_flow(requests.resolve_pipeline(*self.place(), pipeline))

    async def aget_pipeline_id(self, pipeline: int | str) -> int:
        """Async twin of :meth:`get_pipeline_id`."""
        await self.aopen()
        return await self.arun_flow(requests.resolve_pipeline(*self._place(), pipeline))

    def get_actions(self, pipeline: int | str) -> list[action_models.ActionDefinition]:
        """
        Read the definitions of a pipeline's actions; they may carry fewer fields than :meth:`get_action`. They hold secrets.

        Source: ``GET .../pipelines/:pipeline_id/actions``.

        :param pipeline: id, identifier or name.
        """
        return self.run_flow(requests.list_actions(*self.place(), pipeline))

    async def aget_actions(self, pipeline: int | str) -> list[action_models.ActionDefinition]:
        """Async twin of :meth:`get_actions`."""
        await self.aopen()
        return await self.arun_flow(requests.list_actions(*self._place(), pipeline))

    def get_action(self, pipeline: int | str, action: int | str) -> action_models.ActionDefinition:
        """
        Read the definition of an action, by its type a :class:`~airflow_provider.buddy.api.action_models.RunDockerContainer` or a general
        one. It holds secrets (``login``, ``password``): never log it whole.

        Source: ``GET .../pipelines/:pipeline_id/actions/:action_id``.

        :param pipeline: id, identifier or name.
        :param action: id or name.
        :raises ConfigurationError: if there is none of that name, or several.
        """
        return self.run_flow(requests.get_action(*self.place(), pipeline, action))

    async def aget_action(self, pipeline: int | str, action: int | str) -> action_models.ActionDefinition:
        """Async twin of :meth:`get_action`."""
        await self.aopen()
        return await self.arun_flow(requests.get_action(*self._place(), pipeline, action))

    def get_executions(self, pipeline: int | str, page: int = 1) -> list[models.Execution]:
        """
        Read a page of a pipeline's executions, newest first; they carry fewer fields than :meth:`get_execution`.

        Source: ``GET .../pipelines/:pipeline_id/executions``.

        :param pipeline: id, identifier or name.
        """
        return self.run_flow(requests.page_of_executions(*self.place(), pipeline, page))

    async def aget_executions(self, pipeline: int | str, page: int = 1) -> list[models.Execution]:
        """Async twin of :meth:`get_executions`."""
        await self.aopen()
        return await self.arun_flow(requests.page_of_executions(*self._place(), pipeline, page))

    def get_execution(self, ref: str) -> models.Execution:
        """
        Read one execution with its action executions.

        Source: ``GET /workspaces/:workspace/projects/:project_name/pipelines/:pipeline_id/executions/:execution_id``.

        :raises NotFound: if there is none, or the token may not see it.
        """
        return self.run_flow(requests.get_execution(ref))

    async def aget_execution(self, ref: str) -> models.Execution:
        """Async twin of :meth:`get_execution`."""
        return await self.arun_flow(requests.get_execution(ref))

    def get_action_execution(self, ref: str) -> models.ActionExecution:
        """
        Read one action execution with its log and variables.

        Source: ``GET .../executions/:execution_id/action_executions/:action_execution_id``.

        :param ref: an execution's ref with ``/<action execution id>`` behind it.
        """
        return self.run_flow(requests.get_action_execution(ref))

    async def aget_action_execution(self, ref: str) -> models.ActionExecution:
        """Async twin of :meth:`get_action_execution`."""
        return await self.arun_flow(requests.get_action_execution(ref))

    def get_logs(self, ref: str, offset: int = 0, limit: int = 1_000) -> list[str]:
        """
        Read a part of an action execution's log.

        Source: ``GET .../action_executions/:action_execution_id/logs``; older installations: the route of :meth:`get_action_execution`,
        or the address that it gives (``log_url``).

        :param ref: an execution's ref with ``/<action execution id>`` behind it.
        :param offset: first line, from 0.
        :param limit: lines at most.
        """
        return self.run_flow(logs.list_log_lines(ref, offset, limit))

    async def aget_logs(self, ref: str, offset: int = 0, limit: int = 1_000) -> list[str]:
        """Async twin of :meth:`get_logs`."""
        return await self.arun_flow(logs.list_log_lines(ref, offset, limit))

    def get_token(self) -> models.Token:
        """
        Read the name, the scopes and the end of the token in use.

        Source: ``GET /user/token``.
        """
        return self.run_flow(requests.get_token())

    async def aget_token(self) -> models.Token:
        """Async twin of :meth:`get_token`."""
        return await self.arun_flow(requests.get_token())

    def get_user(self) -> models.User:
        """
        Read who the token belongs to.

        Source: ``GET /user``.
        """
        return self.run_flow(requests.get_user())

    async def aget_user(self) -> models.User:
        """Async twin of :meth:`get_user`."""
        return await self.arun_flow(requests.get_user())

    def run_pipeline(self, pipeline: int | str, body: Mapping[str, Any]) -> models.Execution:
        """
        Run a pipeline. Not repeated, and not protected from running twice: tasks use
        :class:`~airflow_provider.buddy.operators.BuddyRunPipelineOperator`.

        Source: ``POST .../pipelines/:pipeline_id/executions``.

        :param pipeline: id, identifier or name.
        :param body: as Buddy documents it, such as ``{"to_revision": {"revision": "HEAD"}, "branch": {"name": "main"}}``.
        """
        return self.run_flow(requests.run_pipeline(*self.place(), pipeline, body))

    async def arun_pipeline(self, pipeline: int | str, body: Mapping[str, Any]) -> models.Execution:
        """Async twin of :meth:`run_pipeline`."""
        await self.aopen()
        return await self.arun_flow(requests.run_pipeline(*self._place(), pipeline, body))

    def cancel_execution(self, ref: str) -> None:
        """
        Ask for the end of an execution; one that has ended is left at that.

        Source: ``PATCH .../executions/:execution_id`` with ``CANCEL``.
        """
        self.run_flow(self.adapter().cancel(ref))

    async def acancel_execution(self, ref: str) -> None:
        """Async twin of :meth:`cancel_execution`."""
        await self.arun_flow(self.adapter().cancel(ref))

    def retry_execution(self, ref: str) -> models.Execution:
        """
        Run an ended execution again. Not repeated.

        Source: ``PATCH .../executions/:execution_id`` with ``RETRY``.

        :returns: the execution; whether it has a new id is not documented.
        """
        return self.run_flow(requests.change_execution(ref, "RETRY"))

    async def aretry_execution(self, ref: str) -> models.Execution:
        """Async twin of :meth:`retry_execution`."""
        return await self.arun_flow(requests.change_execution(ref, "RETRY"))

    def approve_execution(
        self, ref: str, operation: str = "APPLY", variables: Sequence[Mapping[str, Any]] = (), approve_action_id: str | None = None
    ) -> models.Execution:
        """
        Let an execution go on that waits for a person. Not repeated.

        Source: ``PATCH .../executions/:execution_id``.

        :param operation: ``APPLY``, ``APPLY_VARIABLES``, ``SET_VARIABLES``, ``APPROVE_VT`` or ``RUN_DELAYED``.
        :param variables: objects with ``key``, ``value`` and perhaps ``encrypted``.
        :param approve_action_id: id of the gate's action execution, where several wait at once.
        """
        return self.run_flow(requests.change_execution(ref, operation, variables, approve_action_id))

    async def aapprove_execution(
        self, ref: str, operation: str = "APPLY", variables: Sequence[Mapping[str, Any]] = (), approve_action_id: str | None = None
    ) -> models.Execution:
        """Async twin of :meth:`approve_execution`."""
        return await self.arun_flow(requests.change_execution(ref, operation, variables, approve_action_id))

    def iter_projects(self) -> Iterator[models.Project]:
        """
        All projects of the hook's workspace, page by page.

        Source: ``GET /workspaces/:workspace/projects``.
        """
        self.open()
        yield from self.each(requests.projects(self._the("workspace")))

    async def aiter_projects(self) -> AsyncIterator[models.Project]:
        """Async twin of :meth:`iter_projects`."""
        await self.aopen()
        async for item in self.aeach(requests.projects(self._the("workspace"))):
            yield item

    def iter_pipelines(self) -> Iterator[models.Pipeline]:
        """
        All pipelines of the hook's project that the token may see, page by page.

        Source: ``GET /workspaces/:workspace/projects/:project_name/pipelines``.
        """
        yield from self.each(requests.pipelines(*self.place()))

    async def aiter_pipelines(self) -> AsyncIterator[models.Pipeline]:
        """Async twin of :meth:`iter_pipelines`."""
        await self.aopen()
        async for item in self.aeach(requests.pipelines(*self._place())):
            yield item

    def iter_executions(self, pipeline: int | str) -> Iterator[models.Execution]:
        """
        All executions of a pipeline, newest first, page by page; they carry fewer fields than :meth:`get_execution`.

        Source: ``GET .../pipelines/:pipeline_id/executions``.

        :param pipeline: id, identifier or name.
        """
        yield from self.each(requests.executions(*self.place(), pipeline))

    async def aiter_executions(self, pipeline: int | str) -> AsyncIterator[models.Execution]:
        """Async twin of :meth:`iter_executions`."""
        await self.aopen()
        async for item in self.aeach(requests.executions(*self._place(), pipeline)):
            yield item

    def iter_logs(self, ref: str, offset: int = 0) -> Iterator[str]:
        """
        All lines of an action execution's log, page by page, whatever its size.

        Source: as of :meth:`get_logs`.

        :param ref: an execution's ref with ``/<action execution id>`` behind it.
        :param offset: first line, from 0.
        """
        yield from self.each(logs.log_lines(ref, offset))

    async def aiter_logs(self, ref: str, offset: int = 0) -> AsyncIterator[str]:
        """Async twin of :meth:`iter_logs`."""
        async for item in self.aeach(logs.log_lines(ref, offset)):
            yield item

    def test_connection(self) -> tuple[bool, str]:
        """Prove the token, and tell its name and scopes."""
        try:
            with self:
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
