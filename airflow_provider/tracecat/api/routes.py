"""The routes of Tracecat's REST API that this package uses. See https://docs.tracecat.com."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Generic, TypeVar

from airflow_provider.errors import NotFound
from airflow_provider.execution.http.fields import PageOf
from airflow_provider.execution.model.request import Flow, Route, send
from airflow_provider.tracecat.api import models

T = TypeVar("T")


class InWorkspace(Generic[T]):
    """
    A route below a workspace, in both of its forms: the workspace in the path, or, on older servers, in the query.

    :param path: below the workspace.
    :param options: see :class:`~airflow_provider.execution.model.request.Route`.
    """

    def __init__(self, method: str, path: str, answer: object = None, **options: Any) -> None:
        self._current: Route[T] = Route(method, f"/workspaces/{{workspace}}{path}", answer, **options)
        self._older: Route[T] = Route(method, path, answer, **options)

    def __call__(
        self,
        workspace: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = None,
        ref: str | None = None,
        **path: Any,
    ) -> Flow[T]:
        """Ask the current form; the older one if the server lacks that route."""
        pairs = _pairs(query or {})
        try:
            return (yield from send(replace(self._current(workspace=workspace, body=body, ref=ref, **path), query=pairs)))
        except NotFound as error:
            if error.reason != NO_SUCH_ROUTE:
                raise
            missing = error
        try:
            return (yield from send(replace(self._older(body=body, ref=ref, **path), query=(*pairs, ("workspace_id", workspace)))))
        except NotFound as error:
            raise missing if error.reason == NO_SUCH_ROUTE else error from None


def _pairs(query: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    """Query parameters; ``status`` and ``trigger`` may have several values."""
    many = ((name, value if isinstance(value, (list, tuple)) else (value,)) for name, value in query.items())
    return tuple((name, str(value)) for name, values in many for value in values if value is not None)


NO_SUCH_ROUTE = "Not Found"
"""Text of a 404 if the server lacks the route, unlike one for a missing object."""

_EXECUTIONS = "/workflow-executions"
_EXECUTION = f"{_EXECUTIONS}/{{execution}}"
_SAME = ("execution", "id")
LARGE = 64 * 1024 * 1024
"""Bytes: Temporal limits a history to about 50 MB."""

LIST_EXECUTIONS: InWorkspace[list[models.Summary]] = InWorkspace("GET", _EXECUTIONS, PageOf[models.Summary])
SEARCH_EXECUTIONS: InWorkspace[models.SummaryPage] = InWorkspace("GET", f"{_EXECUTIONS}/search", models.SummaryPage)
SEARCH_GLANCES: InWorkspace[models.GlancePage] = InWorkspace("GET", f"{_EXECUTIONS}/search", models.GlancePage)
RUN_WORKFLOW: InWorkspace[models.Started] = InWorkspace("POST", _EXECUTIONS, models.Started)
GET_EXECUTION: InWorkspace[models.Execution] = InWorkspace("GET", _EXECUTION, models.Execution, max_body=LARGE, same=_SAME)
GET_COMPACT: InWorkspace[models.CompactExecution] = InWorkspace(
    "GET", f"{_EXECUTION}/compact", models.CompactExecution, max_body=LARGE, same=_SAME
)
GET_STATE: InWorkspace[models.State] = InWorkspace("GET", f"{_EXECUTION}/compact", models.State, max_body=LARGE, same=_SAME)
CANCEL: InWorkspace[None] = InWorkspace("POST", f"{_EXECUTION}/cancel", repeatable=True, urgent=True)
TERMINATE: InWorkspace[None] = InWorkspace("POST", f"{_EXECUTION}/terminate", repeatable=True, urgent=True)
RESET_POINTS: InWorkspace[list[models.ResetPoint]] = InWorkspace("GET", f"{_EXECUTION}/reset-points", list[models.ResetPoint])
RESET: InWorkspace[models.Reset] = InWorkspace("POST", f"{_EXECUTION}/reset", models.Reset)
DOWNLOAD: InWorkspace[models.Download] = InWorkspace("POST", f"{_EXECUTION}/objects/download", models.Download, repeatable=True)
COLLECTION_PAGE: InWorkspace[models.CollectionPage] = InWorkspace(
    "POST", f"{_EXECUTION}/objects/collection/page", models.CollectionPage, repeatable=True
)
STORED_OBJECT: Route[bytearray] = Route("GET", "(download_url)", bytearray)

LIST_WORKFLOWS: InWorkspace[models.WorkflowPage] = InWorkspace("GET", "/workflows", models.WorkflowPage)
GET_WORKFLOW: InWorkspace[models.Workflow] = InWorkspace("GET", "/workflows/{workflow}", models.Workflow)
LIST_SCHEDULES: InWorkspace[list[models.Schedule]] = InWorkspace("GET", "/schedules", PageOf[models.Schedule])
# Their paths hold the webhook's secret, so no credential is needed; errors name the route, never the path.
CALL_WEBHOOK: Route[models.Started] = Route("POST", "/webhooks/{workflow}/{secret}", models.Started)
ANSWER_INTERACTION: Route[None] = Route("POST", "/webhooks/{workflow}/{secret}/interactions/slack")

LIST_WORKSPACES: Route[list[models.Workspace]] = Route("GET", "/workspaces", PageOf[models.Workspace])
GET_INFO: Route[models.Info] = Route("GET", "/info", models.Info)
GET_OPENAPI: Route[models.OpenApi] = Route("GET", "/openapi.json", models.OpenApi, max_body=LARGE)
GET_ME: Route[models.Person] = Route("GET", "/users/me", models.Person)
GET_MY_SCOPES: Route[models.Scopes] = Route("GET", "/users/me/scopes", models.Scopes)
