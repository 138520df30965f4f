"""Executions: list, search, start, read, stop and reset."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from collections.abc import Sequence
from datetime import datetime, timezone
from enum import Enum
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Response
from pydantic import BaseModel, Field

from airflow_provider.emulator.tracecat import ids
from airflow_provider.emulator.tracecat.errors import ApiError, refusal, unexpected
from airflow_provider.emulator.tracecat.execution import Execution
from airflow_provider.emulator.tracecat.execution_views import ExecutionViews
from airflow_provider.emulator.tracecat.route_parts import (
    SCOPED,
    Access,
    Json,
    add_route,
    check_suffix,
    check_workflow_id,
    execution_of,
    fingerprint,
    needs,
    no_content,
    page,
    read_cursor,
    workflow_of,
)
from airflow_provider.emulator.tracecat.system import Tracecat
from airflow_provider.emulator.tracecat.timeline import Run
from airflow_provider.emulator.tracecat.times import iso, microseconds_of

EXECUTIONS = "/workflow-executions"
EXECUTION = EXECUTIONS + "/{execution_id}"
BELOW = EXECUTIONS + "/{execution_id:path}"

Status = Literal["RUNNING", "COMPLETED", "FAILED", "CANCELED", "TERMINATED", "CONTINUED_AS_NEW", "TIMED_OUT"]


class Trigger(str, Enum):
    """What started an execution."""

    MANUAL = "manual"
    SCHEDULED = "scheduled"
    WEBHOOK = "webhook"
    CASE = "case"


class Relation(str, Enum):
    """Which executions a search returns: those with or without parent."""

    ALL = "all"
    ROOT = "root"
    CHILD = "child"


class StatusMode(str, Enum):
    """Whether a filter includes or excludes statuses."""

    INCLUDE = "include"
    EXCLUDE = "exclude"


class Reapply(str, Enum):
    """Which of a run's signals a reset keeps."""

    ALL_ELIGIBLE = "all_eligible"
    SIGNAL_ONLY = "signal_only"
    NONE = "none"


class StartBody(BaseModel):
    """The body of a start."""

    workflow_id: Any
    inputs: Any = None
    time_anchor: datetime | None = None


class TerminateBody(BaseModel):
    """The body of a termination."""

    reason: str | None = None


class ResetBody(BaseModel):
    """The body of a reset."""

    event_id: int | None = Field(None, ge=1)
    reason: str | None = Field(None, max_length=1024)
    reapply_type: Reapply = Reapply.ALL_ELIGIBLE


class BulkResetBody(ResetBody):
    """The body of several resets."""

    execution_ids: list[str] = Field(min_length=1, max_length=100)


def add_execution_routes(application: FastAPI, tracecat: Tracecat) -> None:
    """Add the routes to ``application``."""
    reads, runs, stops = (needs(tracecat, f"workflow:{verb}") for verb in ("read", "execute", "terminate"))
    drafts = needs(tracecat, "workflow:execute", users_only=True)
    views = ExecutionViews(tracecat)

    async def list_executions(
        access: Access = reads,
        workflow_id: str | None = None,
        trigger: Annotated[list[Trigger] | None, Query()] = None,
        user_id: str | None = None,
        limit: Annotated[int | None, Query(ge=1, le=1000)] = None,
    ) -> list[Json]:
        with tracecat.lock:
            rows = _rows(tracecat, access, workflow_id, trigger, user_id)
            return [views.minimal(*row) for row in rows[: limit or tracecat.query_limit]]

    async def search_executions(
        access: Access = reads,
        workflow_id: str | None = None,
        trigger: Annotated[list[Trigger] | None, Query()] = None,
        user_id: str | None = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: str | None = None,
        status: Annotated[list[Status] | None, Query()] = None,
        status_mode: StatusMode = StatusMode.INCLUDE,
        start_time_from: datetime | None = None,
        start_time_to: datetime | None = None,
        close_time_from: datetime | None = None,
        close_time_to: datetime | None = None,
        duration_gte_seconds: Annotated[float | None, Query(ge=0)] = None,
        duration_lte_seconds: Annotated[float | None, Query(ge=0)] = None,
        search_term: str | None = None,
        relation: Relation = Relation.ALL,
    ) -> Json:
        starts = _window("start_time", start_time_from, start_time_to)
        closes = _window("close_time", close_time_from, close_time_to)
        lengths = (duration_gte_seconds, duration_lte_seconds)
        if None not in lengths and (lengths[0] or 0.0) > (lengths[1] or 0.0):
            raise refusal(400, "duration_gte_seconds must be <= duration_lte_seconds")
        filters = [workflow_id, trigger, user_id, status, status_mode, starts, closes, lengths, search_term, relation]
        position = read_cursor(cursor, fingerprint(filters), "workflow executions")

        def fits(execution: Execution, run: Run) -> bool:
            state = execution.state_of(run)
            names = (execution.workflow.title, execution.workflow.alias or "")
            took = None if state.closed_at is None else state.closed_at - run.at
            return (
                execution.execution_type == "published"
                and (not status or (state.status in status) == (status_mode is StatusMode.INCLUDE))
                and _within(run.at, starts)
                and _within(state.closed_at, closes)
                and _within(took, lengths)
                and (search_term is None or any(search_term.lower() in name.lower() for name in names))
            )

        with tracecat.lock:
            rows = [row for row in _rows(tracecat, access, workflow_id, trigger, user_id) if fits(*row)]
            if position.token is not None:
                rows = [row for row in rows if _order(*row) > position.token]
            page_rows, has_more = rows[:limit], len(rows) > limit
            # The relation is applied after pagination, a quirk of the vendor's: pages may be short.
            related = [row for row in page_rows if relation is Relation.ALL or (row[0].parent is not None) == (relation is Relation.CHILD)]
            return page([views.searched(*row) for row in related], position, _order(*page_rows[-1]) if has_more else None)

    async def start(body: StartBody, access: Access = runs) -> Json:
        return _start(tracecat, access, body, draft=False)

    async def start_draft(body: StartBody, access: Access = drafts) -> Json:
        return _start(tracecat, access, body, draft=True)

    async def read(execution_id: str, access: Access = reads) -> Json:
        with tracecat.lock:
            return views.full(execution_of(tracecat, access, execution_id))

    async def read_by_workflow(workflow_id: str, execution_id: str, access: Access = reads) -> Json:
        check_workflow_id(workflow_id, "path")
        check_suffix(execution_id)
        with tracecat.lock:
            return views.full(execution_of(tracecat, access, f"{workflow_id}/{execution_id}"))

    async def read_compact(execution_id: str, access: Access = reads) -> Json:
        with tracecat.lock:
            execution = execution_of(tracecat, access, execution_id)
            if views.inputs_are_gone(execution):
                raise unexpected()
            return views.compact(execution)

    async def cancel(execution_id: str, access: Access = stops) -> Response:
        with tracecat.lock:
            tracecat.cancel(execution_of(tracecat, access, execution_id, named=True))
        return no_content()

    async def terminate(execution_id: str, body: TerminateBody, access: Access = stops) -> Response:
        with tracecat.lock:
            tracecat.terminate(execution_of(tracecat, access, execution_id, named=True), body.reason)
        return no_content()

    async def list_reset_points(execution_id: str, access: Access = reads, limit: Annotated[int, Query(ge=1, le=500)] = 100) -> list[Json]:
        with tracecat.lock:
            execution = execution_of(tracecat, access, execution_id, named=True)
            events = tracecat.history_of(execution, execution.state).events
            first = next((event.id for event in events if event.type == "WORKFLOW_TASK_COMPLETED"), None)
            return [
                {
                    "event_id": event.id,
                    "event_time": iso(event.at),
                    "event_type": event.type,
                    "label": f"Event {event.id}",
                    "is_start": event.id == first,
                    "is_resettable": event.type == "WORKFLOW_TASK_COMPLETED",
                }
                for event in events[:limit]
            ]

    async def reset(execution_id: str, body: ResetBody, access: Access = stops) -> Json:
        with tracecat.lock:
            execution = execution_of(tracecat, access, execution_id, named=True)
            return {"execution_id": execution.id, "new_run_id": _reset(tracecat, execution, body).id}

    async def reset_several(body: BulkResetBody, access: Access = stops) -> Json:
        results = []
        with tracecat.lock:
            for execution_id in body.execution_ids:
                result: Json = {"execution_id": execution_id, "ok": False, "new_run_id": None, "error": None}
                try:
                    run = _reset(tracecat, execution_of(tracecat, access, execution_id, named=True), body)
                    result |= {"ok": True, "new_run_id": run.id}
                except ApiError as error:
                    result["error"] = error.body.get("detail", error.body.get("message"))
                results.append(result)
        return {"results": results}

    add_route(application, "GET", EXECUTIONS, list_executions)
    add_route(application, "POST", EXECUTIONS, start)
    add_route(application, "GET", EXECUTIONS + "/search", search_executions)
    add_route(application, "POST", EXECUTIONS + "/draft", start_draft)
    add_route(application, "POST", EXECUTIONS + "/reset/bulk", reset_several)
    add_route(application, "GET", BELOW + "/compact", read_compact)
    add_route(application, "GET", BELOW + "/reset-points", list_reset_points)
    add_route(application, "POST", BELOW + "/reset", reset)
    add_route(application, "POST", EXECUTION + "/cancel", cancel)
    add_route(application, "POST", EXECUTION + "/terminate", terminate)
    add_route(application, "GET", EXECUTION, read)
    application.add_api_route(SCOPED + "/workflows/{workflow_id}/executions/{execution_id}", read_by_workflow, response_model=None)


Row = tuple[Execution, Run]
Bounds = tuple[float | None, float | None]


def _rows(tracecat: Tracecat, access: Access, workflow_id: str | None, trigger: Sequence[Trigger] | None, user_id: str | None) -> list[Row]:
    """Return the listed runs: running ones first, then by end, latest first."""
    workflow_number = None
    if workflow_id is not None:
        workflow_number = str(ids.workflow_uuid(check_workflow_id(workflow_id, "query")))
    if user_id is not None and access.caller.kind != "user":
        raise refusal(400, "user_id filter is not supported for service accounts")
    user = access.caller.id if user_id == "current" else user_id
    if tracecat.temporal_down:
        raise unexpected()
    now = tracecat.clock.now()
    rows = [
        (execution, run)
        for execution in tracecat.executions
        if execution.workspace == access.workspace.id
        and execution.listed_at <= now
        and workflow_number in (None, execution.workflow.id)
        and (not trigger or execution.trigger_type in trigger)
        and user in (None, execution.started_by.id)
        for run in execution.runs
    ]
    return sorted(rows, key=lambda row: _order(*row))


def _order(execution: Execution, run: Run) -> list[Any]:
    closed_at = execution.state_of(run).closed_at
    return [0.0 if closed_at is None else 1.0, -(closed_at or 0.0), -run.at, run.id]


def _window(name: str, since: datetime | None, until: datetime | None) -> Bounds:
    bounds = _seconds(since), _seconds(until)
    if bounds[0] is not None and bounds[1] is not None and bounds[0] > bounds[1]:
        raise refusal(400, f"{name}_from must be before {name}_to")
    return bounds


def _seconds(moment: datetime | None) -> float | None:
    """Return whole epoch seconds; a time without a zone is in UTC."""
    if moment is None:
        return None
    return float(int((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()))


def _within(value: float | None, bounds: Bounds) -> bool:
    least, most = bounds
    if value is None:
        return least is None and most is None
    return (least is None or value >= least) and (most is None or value <= most)


def _start(tracecat: Tracecat, access: Access, body: StartBody, draft: bool) -> Json:
    number = check_workflow_id(body.workflow_id, "body")
    with tracecat.lock:
        workflow = workflow_of(tracecat, access, number, "Workflow not found" if draft else "Invalid workflow ID")
        if draft and not workflow.script:
            message = "Workflow has no actions. Please add an action to the workflow before saving."
            raise refusal(400, {"type": "TracecatValidationError", "message": message, "detail": None})
        if not draft and not workflow.committed:
            raise refusal(404, "Invalid workflow ID")
        kind = "draft" if draft else "published"
        anchor = None if body.time_anchor is None else microseconds_of(body.time_anchor)
        execution = tracecat.start(workflow, body.inputs, access.caller, execution_type=kind, time_anchor=anchor)
        return started(execution)


def started(execution: Execution) -> Json:
    """Return the answer to a start; it has the long form of the workflow's id."""
    kind = "Draft workflow" if execution.execution_type == "draft" else "Workflow"
    return {"message": f"{kind} execution started", "wf_id": execution.workflow.id, "wf_exec_id": execution.id}


def _reset(tracecat: Tracecat, execution: Execution, body: ResetBody) -> Run:
    try:
        return tracecat.reset(execution, body.event_id)
    except ValueError as error:
        raise refusal(400, str(error)) from None
