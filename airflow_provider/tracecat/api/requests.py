"""Flows that read and change things in Tracecat, one for each use."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, TypedDict

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.arguments import moment, plain_json
from airflow_provider.execution.model.paging import by_cursor
from airflow_provider.execution.model.request import Flow, Pages, send
from airflow_provider.execution.model.result import utc
from airflow_provider.tracecat.api import models, routes
from airflow_provider.tracecat.api.without_compact import either
from airflow_provider.tracecat.ref import TracecatRef, in_path, is_workflow_id

if TYPE_CHECKING:
    from typing_extensions import Unpack

PAGE = 100
MANY = 500
MAX_PAGES = 50
"""Maximum number of pages that one search reads."""


def _at(ref: TracecatRef, workspace: str) -> tuple[str, str]:
    return ref.workspace or workspace, in_path(ref.execution)


# Executions


def get_execution(workspace: str, ref: str) -> Flow[models.Execution]:
    """``GET .../workflow-executions/:id``: the history of the latest run."""
    place, path = _at(parsed := TracecatRef.parse(ref), workspace)
    return (yield from routes.GET_EXECUTION(place, ref=str(parsed), execution=path))


def get_compact(workspace: str, ref: str) -> Flow[models.CompactExecution]:
    """``GET .../workflow-executions/:id/compact``: one row for each action; if only that fails, what ``GET .../:id`` tells."""
    place, path = _at(parsed := TracecatRef.parse(ref), workspace)
    compact = routes.GET_COMPACT(place, ref=str(parsed), execution=path)
    return (yield from either((place, path), compact, lambda: get_execution(workspace, ref), models.CompactExecution, again=True))


def get_state(workspace: str, ref: str) -> Flow[models.State]:
    """``GET .../workflow-executions/:id/compact``, without inputs and results; if only that fails, what ``GET .../:id`` tells."""
    place, path = _at(parsed := TracecatRef.parse(ref), workspace)
    state = routes.GET_STATE(place, ref=str(parsed), execution=path)
    return (yield from either((place, path), state, lambda: get_execution(workspace, ref), models.State))


class ExecutionFilters(TypedDict, total=False):
    """Filters of a search of published executions; a list matches any of its values."""

    workflow: str | None
    """Id or alias."""
    trigger_type: str | Sequence[str] | None
    """``manual``, ``scheduled``, ``webhook`` or ``case``."""
    user_id: str | None
    """UUID of the user who started them, or ``current`` for the session's user; not for service account keys."""
    status: str | Sequence[str] | None
    """The vendor's word, such as ``FAILED``."""
    status_mode: str | None
    """``include`` or ``exclude`` executions with that status."""
    start_time_from: datetime | str | None
    start_time_to: datetime | str | None
    close_time_from: datetime | str | None
    close_time_to: datetime | str | None
    duration_gte_seconds: float | None
    duration_lte_seconds: float | None
    search_term: str | None
    """Part of the title or the alias of their workflow, in any case."""
    relation: str | None
    """``all``, ``root`` or ``child``."""


def list_executions(workspace: str, query: Mapping[str, Any]) -> Flow[list[models.Summary]]:
    """``GET .../workflow-executions``: running ones first, then by their end; with drafts, without pages."""
    return (yield from routes.LIST_EXECUTIONS(workspace, query=query))


def search(workspace: str, query: Mapping[str, Any]) -> Pages[models.Summary]:
    """``GET .../workflow-executions/search``: published ones, page by page."""

    def page(cursor: str | None) -> Flow[tuple[list[models.Summary], str | None]]:
        answer = yield from routes.SEARCH_EXECUTIONS(workspace, query={"limit": PAGE, **query, "cursor": cursor})
        return answer.items, answer.next_cursor if answer.has_more is not False else None

    return by_cursor(page, "Tracecat: the search of executions")


def executions(workspace: str, page_size: int, **filters: Unpack[ExecutionFilters]) -> Pages[models.Summary]:
    """:func:`search` by the hook's filters, whose workflow may be an alias."""
    query: dict[str, Any] = {}

    def page(position: Any) -> Flow[tuple[list[models.Summary], Any]]:
        if not query:
            query.update((yield from _query(workspace, **filters)), limit=page_size)
        return (yield from search(workspace, query)(position))

    return page


def page_of_executions(workspace: str, limit: int, **filters: Unpack[ExecutionFilters]) -> Flow[list[models.Summary]]:
    """The first page of :func:`executions`."""
    items, _ = yield from executions(workspace, limit, **filters)(None)
    return items


def _query(workspace: str, workflow: str | None = None, trigger_type: Any = None, **filters: Any) -> Flow[dict[str, Any]]:
    """The query parameters of the filters."""
    if unknown := set(filters).difference(ExecutionFilters.__annotations__):
        raise ConfigurationError(f"Tracecat: executions can't be filtered by {', '.join(sorted(unknown))}.", system="tracecat")
    for name in ("start_time_from", "start_time_to", "close_time_from", "close_time_to"):
        if (bound := moment(filters.get(name), f"Tracecat: {name}")) is not None:
            filters[name] = bound.isoformat().replace("+00:00", "Z")
    workflow_id = None if workflow is None else (yield from resolve_workflow(workspace, workflow))
    return {"workflow_id": workflow_id, "trigger": trigger_type, **filters}


def recent_executions(
    workspace: str, workflow: str | None, trigger_type: str | Sequence[str] | None, user_id: str | None, limit: int
) -> Flow[list[models.Summary]]:
    """:func:`list_executions` by the hook's filters, whose workflow may be an alias."""
    workflow_id = None if workflow is None else (yield from resolve_workflow(workspace, workflow))
    query = {"workflow_id": workflow_id, "trigger": trigger_type, "user_id": user_id, "limit": limit}
    return (yield from list_executions(workspace, query))


def running(workspace: str) -> Pages[models.Glance]:
    """``GET .../workflow-executions/search``: the running ones, with the status only."""

    def page(cursor: str | None) -> Flow[tuple[list[models.Glance], str | None]]:
        query = {"limit": MANY, "status": "RUNNING", "cursor": cursor}
        answer = yield from routes.SEARCH_GLANCES(workspace, query=query)
        return answer.items, answer.next_cursor if answer.has_more is not False else None

    return by_cursor(page, "Tracecat: the list of running executions")


def latest_runs(workspace: str, query: Mapping[str, Any]) -> Flow[tuple[list[models.Summary], bool]]:
    """The executions that a search finds, newest start first, each with its latest run only; and whether these are all."""
    latest: dict[str, models.Summary] = {}
    pages, cursor = search(workspace, query), None
    for _ in range(MAX_PAGES):
        items, cursor = yield from pages(cursor)
        for item in items:
            previous = latest.get(item.id)
            if previous is None or _start(item) > _start(previous):
                latest[item.id] = item
        if cursor is None:
            break
    return sorted(latest.values(), key=_start, reverse=True), cursor is None


def newest_start(workspace: str, query: Mapping[str, Any], since: float) -> Flow[tuple[float, frozenset[str]]]:
    """
    The newest start of what a search finds, in epoch seconds, 0 if it finds nothing; and the ids of what was seen on the way.

    A search that has several pages is not read to its end, since it is not sorted by start: what started later than the newest so far is
    asked for instead.

    :param since: only starts of this moment or later.
    """
    ids: set[str] = set()
    newest, pages, cursor = 0.0, None, None
    for _ in range(MAX_PAGES):
        if pages is None:
            pages = search(workspace, {**query, "start_time_from": started_after(since)})
        items, cursor = yield from pages(cursor)
        ids.update(item.id for item in items)
        newest = max(newest, *map(_start, items), 0.0)
        if cursor is None:
            break
        if newest >= since + 1.0:
            since, pages, cursor = newest, None, None
    return newest, frozenset(ids)


def _start(item: models.Summary) -> float:
    return utc(item.start_time).timestamp() if item.start_time else 0.0


def started_by_us(execution: models.Execution, *, session: bool) -> Flow[bool]:
    """
    Whether an execution was started by this credential, as far as Tracecat tells: by the session's user, or by a service account.

    ``GET /users/me`` of a session.
    """
    role = execution.role
    if role is None:
        return True
    if not session:
        return role.get("type") == "service_account"
    return role.get("user_id") == (yield from get_me()).id


def run_workflow(workspace: str, workflow: str, inputs: Any, time_anchor: datetime | str | None = None) -> Flow[models.Started]:
    """``POST .../workflow-executions``. Never repeated; its answer comes before the execution exists."""
    workflow_id = yield from resolve_workflow(workspace, workflow)
    body = {"workflow_id": workflow_id, **({} if inputs is None else {"inputs": plain_json(inputs, "Tracecat: inputs")})}
    if (anchor := moment(time_anchor, "Tracecat: time_anchor")) is not None:
        body["time_anchor"] = anchor.isoformat(timespec="microseconds")
    return (yield from routes.RUN_WORKFLOW(workspace, body=body))


def takes_time_anchor() -> Flow[bool]:
    """``GET /openapi.json``: whether a start may set the time anchor. Servers before 0.53.12 ignore it."""
    return (yield from send(routes.GET_OPENAPI())).takes("workflow_id", "time_anchor")


def cancel(workspace: str, ref: str) -> Flow[None]:
    """``POST .../workflow-executions/:id/cancel``."""
    place, path = _at(parsed := TracecatRef.parse(ref), workspace)
    yield from routes.CANCEL(place, ref=str(parsed), execution=path)


def terminate(workspace: str, ref: str, reason: str | None = None) -> Flow[None]:
    """``POST .../workflow-executions/:id/terminate``: at once, without the workers."""
    place, path = _at(parsed := TracecatRef.parse(ref), workspace)
    yield from routes.TERMINATE(place, ref=str(parsed), body={"reason": reason} if reason else {}, execution=path)


def reset_points(workspace: str, ref: str, limit: int = 100) -> Flow[list[models.ResetPoint]]:
    """``GET .../workflow-executions/:id/reset-points``."""
    place, path = _at(parsed := TracecatRef.parse(ref), workspace)
    return (yield from routes.RESET_POINTS(place, ref=str(parsed), query={"limit": limit}, execution=path))


def reset(
    workspace: str, ref: str, event_id: int | None = None, reason: str | None = None, reapply: str | None = None
) -> Flow[models.Reset]:
    """``POST .../workflow-executions/:id/reset``: a new run under the same id."""
    place, path = _at(parsed := TracecatRef.parse(ref), workspace)
    body = {name: value for name, value in (("event_id", event_id), ("reason", reason), ("reapply_type", reapply)) if value is not None}
    return (yield from routes.RESET(place, ref=str(parsed), body=body, execution=path))


# Workflows and schedules


def workflows(workspace: str, page_size: int | None = None) -> Pages[models.Workflow]:
    """``GET .../workflows``."""

    def page(cursor: str | None) -> Flow[tuple[list[models.Workflow], str | None]]:
        answer = yield from routes.LIST_WORKFLOWS(workspace, query={"limit": page_size or PAGE, "cursor": cursor})
        return answer.items, answer.next_cursor

    return by_cursor(page, "Tracecat: the list of workflows")


def page_of_workflows(workspace: str, limit: int) -> Flow[list[models.Workflow]]:
    """The first page of :func:`workflows`."""
    items, _ = yield from workflows(workspace, limit)(None)
    return items


def get_workflow(workspace: str, workflow: str) -> Flow[models.Workflow]:
    """``GET .../workflows/:id``, by id or alias. The answer holds the webhook's secret."""
    workflow_id = yield from resolve_workflow(workspace, workflow)
    return (yield from routes.GET_WORKFLOW(workspace, workflow=workflow_id))


def resolve_workflow(workspace: str, workflow: str) -> Flow[str]:
    """
    Find a workflow's id by its id or alias (``GET .../workflows``: there is no filter by alias).

    :raises ConfigurationError: if no workflow has that alias.
    """
    text = str(workflow).strip()
    if is_workflow_id(text):
        return text
    aliases: list[str] = []
    pages, cursor = workflows(workspace), None
    for _ in range(MAX_PAGES):
        items, cursor = yield from pages(cursor)
        for item in items:
            if text and item.alias == text:
                return item.id
            if item.alias:
                aliases.append(item.alias)
        if cursor is None:
            break
    cut = "" if cursor is None else f" Only the first {MAX_PAGES} pages of the list were looked at: give its id."
    raise ConfigurationError(
        f"Tracecat: {text!r} is neither the id nor the alias of a workflow that the credential may see. Aliases: "
        f"{', '.join(aliases[:20]) or 'none'}.{cut}",
        system="tracecat",
    )


def schedules(workspace: str, workflow: str | None = None) -> Flow[list[models.Schedule]]:
    """``GET .../schedules``."""
    workflow_id = None if workflow is None else (yield from resolve_workflow(workspace, workflow))
    return (yield from routes.LIST_SCHEDULES(workspace, query={"workflow_id": workflow_id}))


# Webhooks and interactions


def call_webhook(workspace: str, workflow: str, payload: Any) -> Flow[models.Started]:
    """``POST /webhooks/:workflow_id/:secret``: a start by the workflow's webhook; its answer comes when the execution exists."""
    target = yield from get_workflow(workspace, workflow)
    return (yield from send(routes.CALL_WEBHOOK(body=plain_json(payload, "Tracecat: payload"), workflow=target.id, secret=_secret(target))))


def answer_interaction(workspace: str, ref: str, interaction: models.Interaction, response: Mapping[str, Any]) -> Flow[None]:
    """``POST /webhooks/:workflow_id/:secret/interactions/slack``: the only route that answers an interaction."""
    parsed = TracecatRef.parse(ref)
    target = yield from get_workflow(parsed.workspace or workspace, parsed.workflow)
    event = {"interaction_id": interaction.id, "execution_id": parsed.execution, "action_ref": interaction.action_ref}
    metadata = {"event_type": "interaction_created", "event_payload": {"interaction": event}}
    payload = {**plain_json(response, "Tracecat: response"), "message": {"metadata": metadata}}
    request = routes.ANSWER_INTERACTION(form={"payload": json.dumps(payload)}, ref=str(parsed), workflow=target.id, secret=_secret(target))
    yield from send(request)


def check_answerable(workspace: str, ref: str) -> Flow[None]:
    """
    Check that interactions of an execution can be answered; nothing is sent to the webhook.

    :raises ConfigurationError: if the workflow's webhook can't be called.
    """
    parsed = TracecatRef.parse(ref)
    _secret((yield from get_workflow(parsed.workspace or workspace, parsed.workflow)))


def _secret(workflow: models.Workflow) -> str:
    if workflow.webhook is None or not workflow.webhook.secret:
        raise ConfigurationError(
            f"Tracecat: workflow {workflow.alias or workflow.id} has no webhook that could be called.", system="tracecat"
        )
    if workflow.webhook.status == "offline":
        raise ConfigurationError(
            f"Tracecat: the webhook of workflow {workflow.alias or workflow.id} is offline. Switch it on in Tracecat.", system="tracecat"
        )
    return workflow.webhook.secret


def started_after(epoch: float) -> str:
    """A moment, in seconds since the epoch, as Tracecat's filters take it; they are cut to whole seconds. Nothing started before 1970."""
    return datetime.fromtimestamp(max(epoch, 0.0), timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z")


# Who am I


def list_workspaces() -> Flow[list[models.Workspace]]:
    """``GET /workspaces``."""
    return (yield from send(routes.LIST_WORKSPACES()))


def get_info() -> Flow[models.Info]:
    """``GET /info``: needs no credential."""
    return (yield from send(routes.GET_INFO()))


def get_me() -> Flow[models.Person]:
    """``GET /users/me``: the session's user."""
    return (yield from send(routes.GET_ME()))


def get_my_scopes() -> Flow[models.Scopes]:
    """``GET /users/me/scopes``: the scopes of the session's user."""
    return (yield from send(routes.GET_MY_SCOPES()))
