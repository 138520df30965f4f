"""Hook for Buddy: from an Airflow connection to its REST API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider.buddy.ref import BuddyRef
from airflow_provider.errors import ConfigurationError, ExecutionApiError, NotFound
from airflow_provider.execution.endpoint import Dialect
from airflow_provider.execution.hook import ExecutionHook

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from airflow_provider.buddy import models
    from airflow_provider.buddy.system import Buddy

REGIONS = {"us": "https://api.buddy.works", "eu": "https://api.eu.buddy.works"}


class BuddyDialect(Dialect):
    """How Buddy words its errors."""

    def error_text(self, body: bytes) -> str | None:
        """Take the messages out of ``{"errors": [{"message"}]}`` or ``{"error": text}``."""
        try:
            answer = json.loads(body)
        except ValueError:
            return None
        if not isinstance(answer, dict):
            return None
        errors = answer.get("errors")
        if isinstance(errors, list):
            texts = [str(error.get("message")) for error in errors if isinstance(error, dict) and error.get("message")]
            return "; ".join(texts) or None
        return answer["error"] if isinstance(answer.get("error"), str) else None

    def hint(self, status: int, headers: Mapping[str, str]) -> str | None:
        """A 403 names the scopes that the token has, and those that the route takes."""
        has, takes = headers.get("x-oauth-scopes"), headers.get("x-accepted-oauth-scopes")
        if status != 403 or not (has or takes):
            return None
        return (
            f"The token has the scopes {has or 'unknown'}; this route takes {takes or 'unknown'}. "
            "Give the token the missing scope, and its user access to the project."
        )


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

    def system(self) -> Buddy:
        """Buddy's flows."""
        from airflow_provider.buddy.system import Buddy

        return Buddy()

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
        workspace = self.workspace or self._extra.get("workspace")
        project = self.project or self._extra.get("project")
        if not workspace or not project:
            missing = "workspace" if not workspace else "project"
            raise ConfigurationError(f"Buddy: no {missing} is given, and connection {self.conn_id!r} names none in its extra.")
        return str(workspace), str(project)

    def get_execution(self, ref: str) -> models.Execution:
        """
        Read one execution with its action executions.

        Source: ``GET /workspaces/:workspace/projects/:project_name/pipelines/:pipeline_id/executions/:execution_id``.

        :raises NotFound: if there is none, or the token may not see it.
        """
        return self.run(self.system().get_execution(ref))

    async def aget_execution(self, ref: str) -> models.Execution:
        """Async twin of :meth:`get_execution`."""
        return await self.arun(self.system().get_execution(ref))

    def get_action_execution(self, ref: str) -> models.ActionExecution:
        """
        Read one action execution with its log and variables.

        Source: ``GET .../executions/:execution_id/action_executions/:action_execution_id``.

        :param ref: an execution's ref with ``/<action execution id>`` behind it.
        """
        return self.run(self.system().get_action_execution(ref))

    async def aget_action_execution(self, ref: str) -> models.ActionExecution:
        """Async twin of :meth:`get_action_execution`."""
        return await self.arun(self.system().get_action_execution(ref))

    def get_logs(self, ref: str, offset: int = 0, limit: int = 1_000) -> list[str]:
        """
        Read a page of an action execution's log.

        Source: ``GET .../action_executions/:action_execution_id/logs``; older installations: the route of :meth:`get_action_execution`.

        :param ref: an execution's ref with ``/<action execution id>`` behind it.
        :param offset: first line, from 0.
        :param limit: lines, at most 1,000.
        """
        return self.run(self.system().get_logs(ref, offset, limit))

    async def aget_logs(self, ref: str, offset: int = 0, limit: int = 1_000) -> list[str]:
        """Async twin of :meth:`get_logs`."""
        return await self.arun(self.system().get_logs(ref, offset, limit))

    def get_executions(self, pipeline: int | str, page: int = 1) -> list[models.Execution]:
        """
        Read a page of a pipeline's executions, newest first; they carry fewer fields than :meth:`get_execution`.

        Source: ``GET .../pipelines/:pipeline_id/executions``.

        :param pipeline: id, identifier or name.
        """
        return self.run(self.system().list_of_executions(*self.place(), pipeline, page))

    async def aget_executions(self, pipeline: int | str, page: int = 1) -> list[models.Execution]:
        """Async twin of :meth:`get_executions`."""
        async with self.asender() as sender:
            return await sender.run(self.system().list_of_executions(*self._place(), pipeline, page))

    def get_pipeline(self, pipeline: int | str) -> models.Pipeline:
        """
        Read a pipeline.

        Source: ``GET .../pipelines/:pipeline_id``.

        :param pipeline: id, identifier or name.
        """
        return self.run(self.system().get_pipeline(*self.place(), pipeline))

    async def aget_pipeline(self, pipeline: int | str) -> models.Pipeline:
        """Async twin of :meth:`get_pipeline`."""
        async with self.asender() as sender:
            return await sender.run(self.system().get_pipeline(*self._place(), pipeline))

    def get_pipeline_id(self, pipeline: int | str) -> int:
        """
        Find a pipeline's id by its id, identifier or name.

        Source: ``GET /workspaces/:workspace/projects/:project_name/pipelines``.

        :raises ConfigurationError: if there is none of that name, or several.
        """
        return self.run(self.system().resolve_pipeline(*self.place(), pipeline))

    async def aget_pipeline_id(self, pipeline: int | str) -> int:
        """Async twin of :meth:`get_pipeline_id`."""
        async with self.asender() as sender:
            return await sender.run(self.system().resolve_pipeline(*self._place(), pipeline))

    def cancel_execution(self, ref: str) -> None:
        """
        Ask for the end of an execution; one that has ended is left at that.

        Source: ``PATCH .../executions/:execution_id`` with ``CANCEL``.
        """
        BuddyRef.parse(ref)
        self.run(self.system().cancel(ref))

    def test_connection(self) -> tuple[bool, str]:
        """Prove the token, and tell its name and scopes."""
        try:
            with self:
                try:
                    token = self.run(self.system().get_token())
                except NotFound:  # older installations
                    user = self.run(self.system().get_user())
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
