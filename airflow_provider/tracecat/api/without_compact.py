"""
Reads an execution whose compact view Tracecat can't make, from its history.

The compact view answers 500 for good once the stored inputs of an execution are gone from the blob store: its retention is 30 days, and
inputs over 128,000 bytes are stored there. A large one may take too long for a proxy, be too large for it, or be cut off, each time anew.
The full view and the search still answer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from airflow_provider.errors import ExecutionApiError, ProtocolError, ServerError, StatusError, TransportError
from airflow_provider.execution.model.request import Flow
from airflow_provider.tracecat.api import models

T = TypeVar("T")
View = TypeVar("View", models.State, models.CompactExecution)

MAX_REMEMBERED = 1_000
_GONE: OrderedDict[tuple[str, str], None] = OrderedDict()
"""Executions whose compact view failed in this process while the full view answered: polls ask for the full view at once."""
_FAILED: OrderedDict[tuple[str, str], int] = OrderedDict()
"""How often in a row the compact view of an execution has failed: once may be an accident, which is no reason to read whole histories."""
HINT = (
    "If only this execution is affected, its stored inputs or results are gone from Tracecat's blob store, or the store can't be reached; "
    "the history does not answer either."
)
_ENDS = {"COMPLETED": "__workflow_completed__", "FAILED": "__workflow_failure__"}
_STATUSES = ("SCHEDULED", "STARTED", "COMPLETED", "FAILED", "CANCELED", "TERMINATED", "TIMED_OUT")


def either(
    key: tuple[str, str], compact: Flow[View], full: Callable[[], Flow[models.Execution]], cls: type[View], *, again: bool = False
) -> Flow[View]:
    """
    The compact view, or what the full view tells of it if only the compact view fails.

    :param key: workspace and id of the execution.
    :param compact: the request for the compact view.
    :param full: makes the request for the full view.
    :param again: whether to ask for the compact view although it failed before.
    :raises ExecutionApiError: that of the compact view, if both fail.
    """
    if key in _GONE and not again:
        try:
            return made_of((yield from full()), cls)
        except ExecutionApiError:
            del _GONE[key]
    try:
        view = yield from compact
    except (TransportError, StatusError, ProtocolError) as error:
        if not _may_be_the_view(error):
            raise
        problem = error
    else:
        _GONE.pop(key, None)
        _FAILED.pop(key, None)
        return view
    _keep(_FAILED, key, _FAILED.get(key, 0) + 1)
    if isinstance(problem, TransportError) and _FAILED[key] < 2:
        raise problem  # nobody may be there: the next read sees
    inputs_are_gone = isinstance(problem, ServerError) and problem.status == 500
    try:
        execution = yield from full()
    except ExecutionApiError:
        raise (problem.adding(HINT) if inputs_are_gone else problem) from None
    if inputs_are_gone or _FAILED[key] >= 2:
        _keep(_GONE, key, None)
    return made_of(execution, cls)


def _may_be_the_view(error: ExecutionApiError) -> bool:
    """Whether the full view may answer although the compact view does not: not if the server asks for a pause, or never got the request."""
    if isinstance(error, TransportError):
        return error.sent
    if isinstance(error, ServerError):
        return not error.retry_after
    return isinstance(error, ProtocolError) or error.status == 413


def _keep(memory: OrderedDict[tuple[str, str], T], key: tuple[str, str], value: T) -> None:
    memory[key] = value
    while len(memory) > MAX_REMEMBERED:
        memory.popitem(last=False)


def made_of(execution: models.Execution, cls: type[View]) -> View:
    """The compact view as far as the history tells: it has no inputs, and shows what runs as scheduled."""
    head = {name: value for name, value in execution if name in models.Summary.model_fields}
    row = models.Row if cls is models.CompactExecution else models.RowState
    events = [row.model_validate(fields) for fields in _rows(execution)]
    return cls.model_validate({**head, "events": events, "interactions": execution.interactions})


def _rows(execution: models.Execution) -> Iterator[dict[str, Any]]:
    """A row for each action and child workflow, and one for the end."""
    rows: dict[int, dict[str, Any]] = {}
    for event in execution.events:
        kind, _, status = (event.event_type or "").rpartition("_TASK_" if "_TASK_" in (event.event_type or "") else "_EXECUTION_")
        group = event.event_group
        if group is None or kind not in ("ACTIVITY", "CHILD_WORKFLOW", "START_CHILD_WORKFLOW"):
            continue
        number = group.event_id if group.event_id is not None else event.event_id
        row = rows.setdefault(
            number,
            {
                "source_event_id": number,
                "schedule_time": event.event_time,
                "status": "SCHEDULED",
                "action_name": group.udf_key,
                "action_ref": group.action_ref or group.action_title,
                "child_wf_exec_id": group.related_wf_exec_id,
                "stream_id": str(number),
            },
        )
        row["curr_event_type"] = event.event_type
        row["status"] = status if status in _STATUSES else row["status"]
        if status == "STARTED":
            row["start_time"] = event.event_time
        elif status in _STATUSES[2:]:
            row["close_time"] = event.event_time
            row["action_error"] = event.failure
            row["action_result"] = _plain(event.result)
    yield from rows.values()
    name = _ENDS.get(execution.status or "")
    last = execution.events[-1] if execution.events else None
    if name is not None and last is not None and last.event_type == f"WORKFLOW_EXECUTION_{execution.status}":
        yield {
            "source_event_id": last.event_id,
            "close_time": last.event_time,
            "status": execution.status,
            "action_name": name,
            "action_ref": name,
            "action_error": last.failure,
            "action_result": _plain(last.result),
        }


def _plain(result: Any) -> Any:
    """A result as the compact view has it: without the envelope of one that is stored inline."""
    return result["data"] if isinstance(result, dict) and result.get("type") == "inline" and "data" in result else result
