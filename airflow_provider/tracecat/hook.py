"""Hook for Tracecat: from an Airflow connection to its REST API."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider._lazy import Lazy
from airflow_provider.errors import ConfigurationError, ExecutionApiError, Forbidden
from airflow_provider.execution.http.endpoint import Dialect, Login
from airflow_provider.execution.http.hook import ExecutionHook
from airflow_provider.tracecat.api.error_texts import TracecatDialect
from airflow_provider.tracecat.ref import TracecatRef

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider.tracecat.api import models, requests
    from airflow_provider.tracecat.executions.adapter import TracecatAdapter
else:
    requests = Lazy("airflow_provider.tracecat.api.requests")


class TracecatHook(ExecutionHook):
    """
    Talks to Tracecat's REST API. Every ``get_x`` has an async twin ``aget_x``.

    Refs look like ``wf_.../exec_...``, or ``<workspace uuid>:wf_.../exec_...``.

    :param tracecat_conn_id: connection of type ``tracecat``: the API's address as host (``https://HOST/api``); a service account key as
        password, or a login and its password; in extra ``workspace_id``, ``ca_bundle``, ``verify_tls``, ``request_timeout`` (seconds),
        ``max_concurrent_requests``.
    :param workspace_id: workspace (UUID); by default the connection's.
    """

    conn_name_attr = "tracecat_conn_id"
    default_conn_name = "tracecat_default"
    conn_type = "tracecat"
    hook_name = "Tracecat"
    title = "Tracecat"
    dialect: ClassVar[Dialect] = TracecatDialect()

    def __init__(self, tracecat_conn_id: str = default_conn_name, *, workspace_id: str | None = None) -> None:
        super().__init__(tracecat_conn_id)
        self.workspace_id = workspace_id

    def arguments(self) -> dict[str, Any]:
        """What rebuilds this hook in a trigger."""
        return {"tracecat_conn_id": self.conn_id, "workspace_id": self.workspace_id}

    def adapter(self, **view: Any) -> TracecatAdapter:
        """
        Tracecat's flows.

        :param view: ``action``, to look at one action of an execution only.
        """
        if view:
            from airflow_provider.tracecat.executions.action_view import ActionView

            return ActionView(self._workspace, self._api, **view)
        from airflow_provider.tracecat.executions.adapter import TracecatAdapter

        return TracecatAdapter(self._workspace, self._api)

    def credentials(self, connection: Connection, extra: Mapping[str, Any]) -> dict[str, str]:
        """The service account key, as a bearer; nothing for a login."""
        key = (connection.password or "").strip()
        if not key:
            raise ConfigurationError(
                f"Connection {self.conn_id!r} has no credential. Put a service account key into its password field, or a login and its "
                "password."
            )
        if connection.login:
            return {}
        if not key.isascii() or not key.isprintable() or " " in key:
            raise ConfigurationError(f"Connection {self.conn_id!r}: the key in its password field holds spaces or control characters.")
        return {"authorization": f"Bearer {key}"}

    def login(self, connection: Connection, extra: Mapping[str, Any]) -> Login | None:
        """A session, if the connection names a login."""
        if not connection.login:
            return None
        return Login("/auth/login", (("username", connection.login), ("password", connection.password or "")))

    @property
    def logs_in(self) -> bool:
        """Whether the connection logs in, rather than sending a key."""
        self.open()
        assert self._endpoint is not None
        return self._endpoint.login is not None

    def workspace(self, ref: str | None = None) -> str:
        """
        The workspace, of the hook or else of the connection.

        :param ref: an execution, whose own workspace goes before.
        :raises ConfigurationError: if none is named.
        """
        self.open()
        return self._workspace(ref)

    def _api(self) -> str:
        assert self._endpoint is not None
        return self._endpoint.base_url

    def _workspace(self, ref: str | None = None) -> str:
        if ref is not None and (own := TracecatRef.parse(ref).workspace):
            return own
        given = str(self.workspace_id or self._extra.get("workspace_id") or "").strip()
        if not re.fullmatch(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}", given):
            what = f"workspace_id {given!r} is no UUID" if given else "no workspace_id is given, and its extra names none"
            raise ConfigurationError(f"Tracecat connection {self.conn_id!r}: {what}. Testing the connection lists those that it may see.")
        return given.lower()

    def get_execution(self, ref: str) -> models.Execution:
        """
        Read the whole history of an execution's latest run. The actions' inputs, by which it grows with the square of their number, are
        left out; :meth:`get_compact_execution` has them, unevaluated.

        Source: ``GET /workspaces/:workspace_id/workflow-executions/:execution_id``.

        :raises NotFound: if there is none, or it is another workspace's.
        """
        return self.run_flow(requests.get_execution(self.workspace(ref), ref))

    async def aget_execution(self, ref: str) -> models.Execution:
        """Async twin of :meth:`get_execution`."""
        await self.aopen()
        return await self.arun_flow(requests.get_execution(self._workspace(ref), ref))

    def get_compact_execution(self, ref: str) -> models.CompactExecution:
        """
        Read an execution with one row for each action, and their inputs and results.

        Source: ``GET .../workflow-executions/:execution_id/compact``.
        """
        return self.run_flow(requests.get_compact(self.workspace(ref), ref))

    async def aget_compact_execution(self, ref: str) -> models.CompactExecution:
        """Async twin of :meth:`get_compact_execution`."""
        await self.aopen()
        return await self.arun_flow(requests.get_compact(self._workspace(ref), ref))

    def list_executions(self, **query: Any) -> list[models.Summary]:
        """
        Read executions, drafts and children too: running ones first, then by their end. One that was reset is listed with each of its runs.

        Source: ``GET .../workflow-executions``.

        :param query: ``workflow_id`` (no alias), ``trigger``, ``user_id``, ``limit`` (1 to 1,000).
        """
        return self.run_flow(requests.list_executions(self.workspace(), query))

    async def alist_executions(self, **query: Any) -> list[models.Summary]:
        """Async twin of :meth:`list_executions`."""
        await self.aopen()
        return await self.arun_flow(requests.list_executions(self._workspace(), query))

    def get_reset_points(self, ref: str, limit: int = 100) -> list[models.ResetPoint]:
        """
        Read the events from which an execution can be run again.

        Source: ``GET .../workflow-executions/:execution_id/reset-points``.
        """
        return self.run_flow(requests.reset_points(self.workspace(ref), ref, limit))

    async def aget_reset_points(self, ref: str, limit: int = 100) -> list[models.ResetPoint]:
        """Async twin of :meth:`get_reset_points`."""
        await self.aopen()
        return await self.arun_flow(requests.reset_points(self._workspace(ref), ref, limit))

    def get_workflow(self, workflow: str) -> models.Workflow:
        """
        Read a workflow. It holds the secret of its webhook: never log it whole.

        Source: ``GET .../workflows/:workflow_id``.

        :param workflow: id or alias.
        :raises ConfigurationError: if no workflow has that alias.
        """
        return self.run_flow(requests.get_workflow(self.workspace(), workflow))

    async def aget_workflow(self, workflow: str) -> models.Workflow:
        """Async twin of :meth:`get_workflow`."""
        await self.aopen()
        return await self.arun_flow(requests.get_workflow(self._workspace(), workflow))

    def get_workflow_id(self, workflow: str) -> str:
        """
        Find a workflow's id by its id or alias.

        Source: ``GET .../workflows``.

        :raises ConfigurationError: if no workflow has that alias.
        """
        return self.run_flow(requests.resolve_workflow(self.workspace(), workflow))

    async def aget_workflow_id(self, workflow: str) -> str:
        """Async twin of :meth:`get_workflow_id`."""
        await self.aopen()
        return await self.arun_flow(requests.resolve_workflow(self._workspace(), workflow))

    def get_schedules(self, workflow: str | None = None) -> list[models.Schedule]:
        """
        Read schedules.

        Source: ``GET .../schedules``.

        :param workflow: only this workflow's, by id or alias.
        """
        return self.run_flow(requests.schedules(self.workspace(), workflow))

    async def aget_schedules(self, workflow: str | None = None) -> list[models.Schedule]:
        """Async twin of :meth:`get_schedules`."""
        await self.aopen()
        return await self.arun_flow(requests.schedules(self._workspace(), workflow))

    def get_workspaces(self) -> Sequence[models.Workspace]:
        """
        Read the workspaces that the credential may see.

        Source: ``GET /workspaces``.
        """
        return self.run_flow(requests.list_workspaces())

    async def aget_workspaces(self) -> Sequence[models.Workspace]:
        """Async twin of :meth:`get_workspaces`."""
        return await self.arun_flow(requests.list_workspaces())

    def get_info(self) -> models.Info:
        """
        Read the server's version and public address.

        Source: ``GET /info``.
        """
        return self.run_flow(requests.get_info())

    async def aget_info(self) -> models.Info:
        """Async twin of :meth:`get_info`."""
        return await self.arun_flow(requests.get_info())

    def run_workflow(self, workflow: str, inputs: Any = None) -> models.Started:
        """
        Run a published workflow. Not repeated, and not protected from running twice: tasks use
        :class:`~airflow_provider.tracecat.operators.TracecatRunWorkflowOperator`.

        Source: ``POST .../workflow-executions``.

        :param workflow: id or alias.
        :param inputs: any JSON value.
        :returns: an id whose execution may be still to come.
        """
        return self.run_flow(requests.run_workflow(self.workspace(), workflow, inputs))

    async def arun_workflow(self, workflow: str, inputs: Any = None) -> models.Started:
        """Async twin of :meth:`run_workflow`."""
        await self.aopen()
        return await self.arun_flow(requests.run_workflow(self._workspace(), workflow, inputs))

    def call_webhook(self, workflow: str, payload: Any = None) -> models.Started:
        """
        Run a workflow by its webhook, whose answer comes when there is an execution. Not repeated.

        Source: ``POST /webhooks/:workflow_id/:secret``.

        :param workflow: id or alias.
        :param payload: any JSON value.
        """
        return self.run_flow(requests.call_webhook(self.workspace(), workflow, payload))

    async def acall_webhook(self, workflow: str, payload: Any = None) -> models.Started:
        """Async twin of :meth:`call_webhook`."""
        await self.aopen()
        return await self.arun_flow(requests.call_webhook(self._workspace(), workflow, payload))

    def cancel_execution(self, ref: str) -> None:
        """
        Ask for the end of an execution; its workers act on it.

        Source: ``POST .../workflow-executions/:execution_id/cancel``.
        """
        self.run_flow(requests.cancel(self.workspace(ref), ref))

    async def acancel_execution(self, ref: str) -> None:
        """Async twin of :meth:`cancel_execution`."""
        await self.aopen()
        await self.arun_flow(requests.cancel(self._workspace(ref), ref))

    def terminate_execution(self, ref: str, reason: str | None = None) -> None:
        """
        End an execution at once, without its workers.

        Source: ``POST .../workflow-executions/:execution_id/terminate``.
        """
        self.run_flow(requests.terminate(self.workspace(ref), ref, reason))

    async def aterminate_execution(self, ref: str, reason: str | None = None) -> None:
        """Async twin of :meth:`terminate_execution`."""
        await self.aopen()
        await self.arun_flow(requests.terminate(self._workspace(ref), ref, reason))

    def reset_execution(self, ref: str, event_id: int | None = None, reason: str | None = None) -> models.Reset:
        """
        Run an execution again under the same id. Not repeated.

        Source: ``POST .../workflow-executions/:execution_id/reset``.

        :param event_id: event of :meth:`get_reset_points` to go back to; by default the start.
        """
        return self.run_flow(requests.reset(self.workspace(ref), ref, event_id, reason))

    async def areset_execution(self, ref: str, event_id: int | None = None, reason: str | None = None) -> models.Reset:
        """Async twin of :meth:`reset_execution`."""
        await self.aopen()
        return await self.arun_flow(requests.reset(self._workspace(ref), ref, event_id, reason))

    def search_executions(self, **query: Any) -> Iterator[models.Summary]:
        """
        All published executions that meet ``query``, page by page.

        Source: ``GET .../workflow-executions/search``.

        :param query: ``workflow_id`` (no alias), ``trigger``, ``status``, ``status_mode``, ``start_time_from``, ``start_time_to``,
            ``close_time_from``, ``close_time_to``, ``duration_gte_seconds``, ``duration_lte_seconds``, ``search_term``, ``relation``,
            ``limit``.
        """
        yield from self.each(requests.search(self.workspace(), query))

    async def asearch_executions(self, **query: Any) -> AsyncIterator[models.Summary]:
        """Async twin of :meth:`search_executions`."""
        await self.aopen()
        async for item in self.aeach(requests.search(self._workspace(), query)):
            yield item

    def iter_workflows(self) -> Iterator[models.Workflow]:
        """
        All workflows, page by page.

        Source: ``GET .../workflows``.
        """
        yield from self.each(requests.workflows(self.workspace()))

    async def aiter_workflows(self) -> AsyncIterator[models.Workflow]:
        """Async twin of :meth:`iter_workflows`."""
        await self.aopen()
        async for item in self.aeach(requests.workflows(self._workspace())):
            yield item

    def test_connection(self) -> tuple[bool, str]:
        """Prove the credential, and tell who one is, which workspace, which version, and what may be missing."""
        try:
            with self:
                return True, self.run_flow(self._introduce())
        except ExecutionApiError as error:
            return False, str(error)

    def _introduce(self) -> Any:
        info = yield from requests.get_info()
        try:
            there = yield from requests.list_workspaces()
        except Forbidden as error:
            if "Missing scopes" not in (error.reason or ""):
                raise
            there = []  # workspace:read is not among the scopes that are needed
            yield from requests.list_executions(self._workspace(), {"limit": 1})
        names = ", ".join(f"{item.name} ({item.id})" for item in there) or "none"
        assert self._endpoint is not None
        text = f"Connected to {self._endpoint.base_url}, version {info.version or 'unknown'}"
        if self._endpoint.login is None:
            text += ", with a service account key (which does not tell its scopes)"
        else:
            me = yield from requests.get_me()
            text += f", as {me.email or me.id}"
            try:
                scopes = (yield from requests.get_my_scopes()).scopes
            except ExecutionApiError:
                scopes = ["*"]  # not known
            if "*" not in scopes:
                needed = {
                    "workflow:execute": {"workflow:execute", "workflow:*"},
                    "action:*:execute": {"action:*:execute", "action:*", "action:*:*"},
                }
                missing = [name for name, granting in needed.items() if not granting & set(scopes)]
                text += f"; lacks {' and '.join(missing)}" if missing else "; may run workflows and their actions"
        try:
            given = self._workspace()
        except ConfigurationError as error:
            raise ConfigurationError(f"{error} It may see: {names}.") from None
        if there and given not in [item.id for item in there]:
            raise ConfigurationError(f"Tracecat: workspace {given} is none that the credential may see: {names}.")
        return f"{text}; workspace {next((item.name for item in there if item.id == given), given)}."
