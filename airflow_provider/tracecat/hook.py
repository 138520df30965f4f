"""Hook for Tracecat: from an Airflow connection to its REST API."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from airflow_provider._connection_form import with_connection_form
from airflow_provider._lazy import Lazy
from airflow_provider.errors import ConfigurationError, ExecutionApiError, Forbidden
from airflow_provider.execution.http.api_errors import ApiErrors
from airflow_provider.execution.http.endpoint import Login
from airflow_provider.execution.http.hook import ExecutionHook
from airflow_provider.execution.model.request import Flow
from airflow_provider.tracecat.api.error_texts import TracecatApiErrors
from airflow_provider.tracecat.ref import TracecatRef

if TYPE_CHECKING:
    from datetime import datetime

    from airflow.sdk import Connection
    from typing_extensions import Unpack

    from airflow_provider.tracecat.api import models, requests
    from airflow_provider.tracecat.executions.adapter import TracecatAdapter
else:
    requests = Lazy("airflow_provider.tracecat.api.requests")


@with_connection_form
class TracecatHook(ExecutionHook):
    """
    Reads and changes things in Tracecat by its REST API.

    ``get_x`` reads one thing, ``list_x`` a list or its first page, ``iter_x`` all of a list, page by page as items are taken.
    Each method that sends a request has an async twin: its name with an ``a`` in front, such as ``aget_execution``.

    The ref of an execution is its id, such as ``wf_.../exec_...``, with ``<workspace uuid>:`` before it if its workspace is not the
    hook's.

    All methods raise subclasses of :class:`~airflow_provider.errors.ExecutionApiError`, such as
    :class:`~airflow_provider.errors.Forbidden` if the credential lacks a scope, and
    :class:`~airflow_provider.errors.ConfigurationError` if the connection is missing or unusable.

    :param tracecat_conn_id: connection of type ``tracecat``: the API's address as host (``https://HOST/api``); a service account key as
        password, or a login and its password; in extra ``workspace_id``, ``ca_bundle``, ``verify_tls``, ``request_timeout`` (seconds),
        ``max_concurrent_requests``, ``secret_headers``.
    :param workspace_id: workspace (UUID); by default the connection's.
    """

    conn_name_attr = "tracecat_conn_id"
    default_conn_name = "tracecat_default"
    conn_type = "tracecat"
    hook_name = "Tracecat"
    title = "Tracecat"
    settings: ClassVar[Collection[str]] = ("workspace_id",)
    api_errors: ClassVar[ApiErrors] = TracecatApiErrors()

    def __init__(self, tracecat_conn_id: str = default_conn_name, *, workspace_id: str | None = None) -> None:
        super().__init__(tracecat_conn_id)
        self.tracecat_conn_id = tracecat_conn_id
        self.workspace_id = workspace_id

    def arguments(self) -> dict[str, object]:
        """Keyword arguments that rebuild this hook in a trigger."""
        return {"tracecat_conn_id": self.tracecat_conn_id, "workspace_id": self.workspace_id}

    def adapter(self, **view: Any) -> TracecatAdapter:
        """
        The flows that give snapshots of executions.

        :param view: ``action``, to look at one action of an execution only.
        """
        if view:
            from airflow_provider.tracecat.executions.action_view import ActionView

            return ActionView(self.namespace, self._api, **view)
        from airflow_provider.tracecat.executions.adapter import TracecatAdapter

        return TracecatAdapter(self.namespace, self._api)

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
        return Login("/auth/login", (("username", connection.login), ("password", (connection.password or "").strip("\r\n"))))

    @property
    def logs_in(self) -> bool:
        """Whether the connection's credential is a login rather than a key."""
        self.open()
        assert self._endpoint is not None
        return self._endpoint.login is not None

    def namespace(self, ref: str | None = None) -> str:
        """
        The workspace, of the hook or else of the connection. Reads the connection on first use; async code awaits :meth:`aopen` before.

        :param ref: an execution, whose own workspace takes precedence.
        :returns: the workspace's UUID.
        :raises ConfigurationError: if neither names one, or it is not a UUID.
        """
        if ref is not None and (own := TracecatRef.parse(ref).workspace):
            return own
        if self._endpoint is None:
            self.open()
        workspace = str(self.workspace_id or self._extra.get("workspace_id") or "").strip()
        if not re.fullmatch(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}", workspace):
            problem = f"workspace_id {workspace!r} is no UUID" if workspace else "no workspace_id is given, and its extra names none"
            raise ConfigurationError(
                f"Tracecat connection {self.conn_id!r}: {problem}. Testing the connection lists those that it may see."
            )
        return workspace.lower()

    def _api(self) -> str:
        assert self._endpoint is not None
        return self._endpoint.base_url

    def get_execution(self, ref: str) -> models.Execution:
        """
        Read the whole history of an execution's latest run. The inputs of its actions are left out: they make the answer grow with the
        square of the number of actions. :meth:`get_compact_execution` has them, unevaluated.

        Source: ``GET /workspaces/:workspace_id/workflow-executions/:execution_id``.

        :param ref: the execution, such as ``wf_.../exec_...``.
        :raises ConfigurationError: if it is not a ref.
        :raises NotFound: if there is none, or it is another workspace's.
        """
        return self.run_flow(requests.get_execution(self.namespace(ref), ref))

    async def aget_execution(self, ref: str) -> models.Execution:
        """Async twin of :meth:`get_execution`."""
        await self.aopen()
        return await self.arun_flow(requests.get_execution(self.namespace(ref), ref))

    def get_compact_execution(self, ref: str) -> models.CompactExecution:
        """
        Read an execution with one row for each action, and their inputs and results.

        Source: ``GET .../workflow-executions/:execution_id/compact``.

        :param ref: the execution, such as ``wf_.../exec_...``.
        :raises ConfigurationError: if it is not a ref.
        :raises NotFound: if there is none, or it is another workspace's.
        """
        return self.run_flow(requests.get_compact(self.namespace(ref), ref))

    async def aget_compact_execution(self, ref: str) -> models.CompactExecution:
        """Async twin of :meth:`get_compact_execution`."""
        await self.aopen()
        return await self.arun_flow(requests.get_compact(self.namespace(ref), ref))

    def list_executions(self, limit: int = 100, **filters: Unpack[requests.ExecutionFilters]) -> list[models.Summary]:
        """
        List the first published executions: running ones first, then by their end, latest first. One that was reset is listed with each
        of its runs.

        Source: ``GET .../workflow-executions/search``.

        :param limit: maximum number of executions, 1 to 1,000.
        :param filters: ``workflow`` (id or alias); ``trigger_type`` (``manual``, ``scheduled``, ``webhook`` or ``case``, or a list);
            ``user_id``; ``status`` (such as ``FAILED``, or a list) and ``status_mode`` (``include`` or ``exclude``);
            ``start_time_from``, ``start_time_to``, ``close_time_from`` and ``close_time_to`` (datetime or ISO 8601);
            ``duration_gte_seconds`` and ``duration_lte_seconds``; ``search_term`` (part of the workflow's title or alias);
            ``relation`` (``all``, ``root`` or ``child``).
        :raises ConfigurationError: if no workflow has that alias, or for an unknown filter.
        """
        return self.run_flow(requests.page_of_executions(self.namespace(), limit, **filters))

    async def alist_executions(self, limit: int = 100, **filters: Unpack[requests.ExecutionFilters]) -> list[models.Summary]:
        """Async twin of :meth:`list_executions`."""
        await self.aopen()
        return await self.arun_flow(requests.page_of_executions(self.namespace(), limit, **filters))

    def iter_executions(self, page_size: int = 100, **filters: Unpack[requests.ExecutionFilters]) -> Iterator[models.Summary]:
        """
        Iterate over all published executions, in the order of :meth:`list_executions`.

        Source: ``GET .../workflow-executions/search``.

        :param page_size: executions that one request reads, 1 to 1,000.
        :param filters: see :meth:`list_executions`.
        :raises ConfigurationError: if no workflow has that alias, or for an unknown filter.
        """
        yield from self.each(requests.executions(self.namespace(), page_size, **filters))

    async def aiter_executions(self, page_size: int = 100, **filters: Unpack[requests.ExecutionFilters]) -> AsyncIterator[models.Summary]:
        """Async twin of :meth:`iter_executions`."""
        await self.aopen()
        async for item in self.aeach(requests.executions(self.namespace(), page_size, **filters)):
            yield item

    def list_recent_executions(
        self,
        workflow: str | None = None,
        *,
        trigger_type: str | Sequence[str] | None = None,
        user_id: str | None = None,
        limit: int = 100,
    ) -> list[models.Summary]:
        """
        List the latest executions, drafts included: running ones first, then by their end. There is no next page. One that was reset is
        listed with each of its runs.

        Source: ``GET .../workflow-executions``.

        :param workflow: only this workflow's, by id or alias.
        :param trigger_type: only those started so: ``manual``, ``scheduled``, ``webhook`` or ``case``, or a list of these.
        :param user_id: only those that this user (UUID, or ``current``) has started; not for service account keys.
        :param limit: maximum number of executions, 1 to 1,000.
        :raises ConfigurationError: if no workflow has that alias.
        """
        return self.run_flow(requests.recent_executions(self.namespace(), workflow, trigger_type, user_id, limit))

    async def alist_recent_executions(
        self,
        workflow: str | None = None,
        *,
        trigger_type: str | Sequence[str] | None = None,
        user_id: str | None = None,
        limit: int = 100,
    ) -> list[models.Summary]:
        """Async twin of :meth:`list_recent_executions`."""
        await self.aopen()
        return await self.arun_flow(requests.recent_executions(self.namespace(), workflow, trigger_type, user_id, limit))

    def list_reset_points(self, ref: str, limit: int = 100) -> list[models.ResetPoint]:
        """
        List the events from which an execution can be run again, the start first.

        Source: ``GET .../workflow-executions/:execution_id/reset-points``.

        :param ref: the execution, such as ``wf_.../exec_...``.
        :param limit: maximum number of events, 1 to 500.
        :raises ConfigurationError: if it is not a ref.
        :raises NotFound: if there is none, or it is another workspace's.
        """
        return self.run_flow(requests.reset_points(self.namespace(ref), ref, limit))

    async def alist_reset_points(self, ref: str, limit: int = 100) -> list[models.ResetPoint]:
        """Async twin of :meth:`list_reset_points`."""
        await self.aopen()
        return await self.arun_flow(requests.reset_points(self.namespace(ref), ref, limit))

    def list_workflows(self, limit: int = 100) -> list[models.Workflow]:
        """
        List the first workflows of the workspace. Their fields are fewer than those of :meth:`get_workflow`.

        Source: ``GET .../workflows``.

        :param limit: maximum number of workflows, 1 to 200.
        """
        return self.run_flow(requests.page_of_workflows(self.namespace(), limit))

    async def alist_workflows(self, limit: int = 100) -> list[models.Workflow]:
        """Async twin of :meth:`list_workflows`."""
        await self.aopen()
        return await self.arun_flow(requests.page_of_workflows(self.namespace(), limit))

    def iter_workflows(self) -> Iterator[models.Workflow]:
        """
        Iterate over all workflows of the workspace. Their fields are fewer than those of :meth:`get_workflow`.

        Source: ``GET .../workflows``.
        """
        yield from self.each(requests.workflows(self.namespace()))

    async def aiter_workflows(self) -> AsyncIterator[models.Workflow]:
        """Async twin of :meth:`iter_workflows`."""
        await self.aopen()
        async for item in self.aeach(requests.workflows(self.namespace())):
            yield item

    def get_workflow(self, workflow: str) -> models.Workflow:
        """
        Read a workflow. It holds the secret of its webhook: never log it as a whole.

        Source: ``GET .../workflows/:workflow_id``.

        :param workflow: id or alias.
        :raises ConfigurationError: if no workflow has that alias.
        :raises NotFound: if none has that id.
        """
        return self.run_flow(requests.get_workflow(self.namespace(), workflow))

    async def aget_workflow(self, workflow: str) -> models.Workflow:
        """Async twin of :meth:`get_workflow`."""
        await self.aopen()
        return await self.arun_flow(requests.get_workflow(self.namespace(), workflow))

    def get_workflow_id(self, workflow: str) -> str:
        """
        Find a workflow's id. No request is sent if an id is given.

        Source: ``GET .../workflows``.

        :param workflow: id or alias.
        :raises ConfigurationError: if no workflow has that alias.
        """
        return self.run_flow(requests.resolve_workflow(self.namespace(), workflow))

    async def aget_workflow_id(self, workflow: str) -> str:
        """Async twin of :meth:`get_workflow_id`."""
        await self.aopen()
        return await self.arun_flow(requests.resolve_workflow(self.namespace(), workflow))

    def list_schedules(self, workflow: str | None = None) -> list[models.Schedule]:
        """
        List the schedules of the workspace, all at once.

        Source: ``GET .../schedules``.

        :param workflow: only this workflow's, by id or alias.
        :raises ConfigurationError: if no workflow has that alias.
        """
        return self.run_flow(requests.schedules(self.namespace(), workflow))

    async def alist_schedules(self, workflow: str | None = None) -> list[models.Schedule]:
        """Async twin of :meth:`list_schedules`."""
        await self.aopen()
        return await self.arun_flow(requests.schedules(self.namespace(), workflow))

    def list_workspaces(self) -> list[models.Workspace]:
        """
        List the workspaces that the credential may see, all at once.

        Source: ``GET /workspaces``.
        """
        return self.run_flow(requests.list_workspaces())

    async def alist_workspaces(self) -> list[models.Workspace]:
        """Async twin of :meth:`list_workspaces`."""
        return await self.arun_flow(requests.list_workspaces())

    def get_info(self) -> models.Info:
        """
        Read the server's version and public address. The server needs no credential for it.

        Source: ``GET /info``.
        """
        return self.run_flow(requests.get_info())

    async def aget_info(self) -> models.Info:
        """Async twin of :meth:`get_info`."""
        return await self.arun_flow(requests.get_info())

    def run_workflow(self, workflow: str, inputs: Any = None, time_anchor: datetime | str | None = None) -> models.Started:
        """
        Run a published workflow. The request is sent once, and nothing protects from a second run: tasks use
        :class:`~airflow_provider.tracecat.operators.TracecatRunWorkflowOperator`.

        Source: ``POST .../workflow-executions``.

        :param workflow: id or alias.
        :param inputs: the workflow's trigger inputs, any JSON value; None for none.
        :param time_anchor: the moment from which the workflow counts its own time, by default its start; without a zone it is UTC.
        :returns: the id of an execution that may appear some seconds later.
        :raises ConfigurationError: if no workflow has that alias, or ``time_anchor`` is no moment.
        :raises NotFound: if none has that id, or it was never published.
        """
        return self.run_flow(requests.run_workflow(self.namespace(), workflow, inputs, time_anchor))

    async def arun_workflow(self, workflow: str, inputs: Any = None, time_anchor: datetime | str | None = None) -> models.Started:
        """Async twin of :meth:`run_workflow`."""
        await self.aopen()
        return await self.arun_flow(requests.run_workflow(self.namespace(), workflow, inputs, time_anchor))

    def call_webhook(self, workflow: str, payload: Any = None) -> models.Started:
        """
        Run a workflow by its webhook, whose answer comes when the execution exists. The request is sent once.

        Source: ``POST /webhooks/:workflow_id/:secret``.

        :param workflow: id or alias.
        :param payload: any JSON value; the workflow reads it as its trigger inputs.
        :returns: the id of the execution.
        :raises ConfigurationError: if no workflow has that alias, or its webhook is missing or offline.
        :raises NotFound: if no workflow has that id.
        """
        return self.run_flow(requests.call_webhook(self.namespace(), workflow, payload))

    async def acall_webhook(self, workflow: str, payload: Any = None) -> models.Started:
        """Async twin of :meth:`call_webhook`."""
        await self.aopen()
        return await self.arun_flow(requests.call_webhook(self.namespace(), workflow, payload))

    def cancel_execution(self, ref: str) -> None:
        """
        Cancel an execution. Its workers stop it some time later; one that has ended stays as it is, which is no error.

        Source: ``POST .../workflow-executions/:execution_id/cancel``.

        :param ref: the execution, such as ``wf_.../exec_...``.
        :raises ConfigurationError: if it is not a ref.
        :raises NotFound: if there is none, or it is another workspace's.
        """
        self.run_flow(requests.cancel(self.namespace(ref), ref))

    async def acancel_execution(self, ref: str) -> None:
        """Async twin of :meth:`cancel_execution`."""
        await self.aopen()
        await self.arun_flow(requests.cancel(self.namespace(ref), ref))

    def terminate_execution(self, ref: str, reason: str | None = None) -> None:
        """
        End an execution at once, without its workers.

        Source: ``POST .../workflow-executions/:execution_id/terminate``.

        :param ref: the execution, such as ``wf_.../exec_...``.
        :param reason: shown in the history.
        :raises ConfigurationError: if it is not a ref.
        :raises NotFound: if there is none, or it is another workspace's.
        """
        self.run_flow(requests.terminate(self.namespace(ref), ref, reason))

    async def aterminate_execution(self, ref: str, reason: str | None = None) -> None:
        """Async twin of :meth:`terminate_execution`."""
        await self.aopen()
        await self.arun_flow(requests.terminate(self.namespace(ref), ref, reason))

    def reset_execution(
        self,
        ref: str,
        event_id: int | None = None,
        reason: str | None = None,
        reapply_type: Literal["all_eligible", "signal_only", "none"] | None = None,
    ) -> models.Reset:
        """
        Run an execution again under the same id. The request is sent once.

        Source: ``POST .../workflow-executions/:execution_id/reset``.

        :param ref: the execution, such as ``wf_.../exec_...``.
        :param event_id: event to go back to, of :meth:`list_reset_points`; by default the start.
        :param reason: shown in the history.
        :param reapply_type: what becomes of signals behind that event: ``all_eligible``, ``signal_only`` or ``none``.
        :returns: the id of the new run.
        :raises ConfigurationError: if it is not a ref.
        :raises NotFound: if there is none, or it is another workspace's.
        """
        return self.run_flow(requests.reset(self.namespace(ref), ref, event_id, reason, reapply_type))

    async def areset_execution(
        self,
        ref: str,
        event_id: int | None = None,
        reason: str | None = None,
        reapply_type: Literal["all_eligible", "signal_only", "none"] | None = None,
    ) -> models.Reset:
        """Async twin of :meth:`reset_execution`."""
        await self.aopen()
        return await self.arun_flow(requests.reset(self.namespace(ref), ref, event_id, reason, reapply_type))

    def test_connection(self) -> tuple[bool, str]:
        """
        Check the credential, and tell whose it is, the workspace, the server's version, and what may be missing.

        Source: ``GET /info``, ``GET /workspaces``; with a login ``GET /users/me`` and ``GET /users/me/scopes``.

        :returns: whether the connection works, and a text for the user.
        """
        try:
            with self:
                return True, self.run_flow(self._introduce())
        except ExecutionApiError as error:
            return False, str(error)

    def _introduce(self) -> Flow[str]:
        info = yield from requests.get_info()
        try:
            workspaces: Sequence[models.Workspace] = yield from requests.list_workspaces()
        except Forbidden as error:
            if "Missing scopes" not in (error.reason or ""):
                raise
            workspaces = []  # workspace:read is not among the scopes that are needed
            yield from requests.list_executions(self.namespace(), {"limit": 1})
        names = ", ".join(f"{item.name} ({item.id})" for item in workspaces) or "none"
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
            workspace = self.namespace()
        except ConfigurationError as error:
            raise ConfigurationError(f"{error} It may see: {names}.") from None
        if workspaces and workspace not in [item.id for item in workspaces]:
            raise ConfigurationError(f"Tracecat: workspace {workspace} is none that the credential may see: {names}.")
        return f"{text}; workspace {next((item.name for item in workspaces if item.id == workspace), workspace)}."
