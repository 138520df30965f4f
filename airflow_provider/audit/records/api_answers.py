"""
Answers of the APIs as they are: one object, a list, or a page of a list.

Workspace, project and pipeline are read from the addresses in an answer (``url``, ``html_url``). What an answer does not have, such as the
actions beside a pipeline, counts as not visible.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider.audit.records.tracecat_workflows import is_workflow, title_of

Record = dict[str, Any]
LISTS = ("pipelines", "actions", "executions", "variables", "items", "data", "workflows")
_API = re.compile(r"/workspaces/([^/?#]+)/projects/([^/?#]+)(?:/pipelines/(\d+))?")
_OF_WORKSPACE = re.compile(r"/workspaces/([^/?#]+)/variables(?:/\d+)?(?:[?#]|$)")
_PAGE = re.compile(r"https?://[^/]+/([^/?#]+)/([^/?#]+)/pipelines/(?:pipeline/(\d+))?")


def records_of(data: Any) -> Iterator[Record] | None:
    """
    The records of an answer.

    :returns: None if it is not recognised.
    """
    if isinstance(data, Mapping):
        if (variables := _variables(data)) is not None:
            return iter(variables)
        for name in LISTS:
            if isinstance(data.get(name), list) and not _record(data):
                of_all = {"project": data.get("project")} if name == "actions" else {}
                made = [_record({**of_all, **item}) if isinstance(item, Mapping) else None for item in data[name]]
                if made and not any(made):
                    return None
                return (record or _unknown(f"{name}[{number}]") for number, record in enumerate(made))
        if isinstance(data.get("data"), Mapping):
            data = data["data"]
        record = _record(data)
        return iter([record]) if record else None
    return None


def _unknown(place: str) -> Record:
    """What stands for an item that is not recognised, so that the audit counts as incomplete."""
    return {"kind": "gap", "subject": place, "system": "audit", "reason": "It is not recognised, so it was not judged."}


def _variables(data: Mapping[str, Any]) -> list[Record] | None:
    """
    The variables of a workspace, or one of them, by the project or pipeline that they belong to; None if this is something else.

    Their address has the workspace only. Whose they are is in each of them, and not in the answer if they are the workspace's own.
    """
    items = data.get("variables") if "key" not in data else [data]
    if not isinstance(items, list) or ("id" in data and "key" not in data):  # a pipeline or an action has variables, too
        return None
    addresses = (one.get("url") for one in (data, *items) if isinstance(one, Mapping))
    workspace = next((match[1] for url in addresses if isinstance(url, str) and (match := _OF_WORKSPACE.search(url))), None)
    if workspace is None:
        return None
    records: dict[tuple[str, str], Record] = {}
    for item in items:
        project, pipeline = (item.get(name) if isinstance(item, Mapping) else None for name in ("project", "pipeline"))
        handle = str(project.get("name") or "") if isinstance(project, Mapping) else ""
        known = pipeline if isinstance(pipeline, Mapping) and "id" in pipeline else None
        record = records.setdefault((handle, str(known and known["id"])), _of_variables(workspace, handle or None, known))
        record["data"]["variables"].append(item)
    return list(records.values()) or [_of_variables(workspace, None, None)]


def _of_variables(workspace: str, project: str | None, pipeline: Mapping[str, Any] | None) -> Record:
    return {"kind": "buddy.variables", "workspace": workspace, "project": project, "pipeline": pipeline, "data": {"variables": []}}


def _record(data: Mapping[str, Any]) -> Record | None:
    if is_workflow(data):
        return {"kind": "tracecat.workflow", "data": data}
    if "execution_id" in data and "status" in data:
        return {"kind": "alga_psa.execution", "data": data}
    if "id" in data and ("history_length" in data or "workflow_type" in data):
        return _tracecat_execution(data)
    return _buddy(data)


def _tracecat_execution(data: Mapping[str, Any]) -> Record:
    events = data.get("events")
    full = isinstance(events, list) and any(isinstance(event, Mapping) and "event_type" in event for event in events)
    if not full:
        return {"kind": "tracecat.execution", "data": data}
    return {"kind": "tracecat.execution", "data": {name: value for name, value in data.items() if name != "events"}, "history": data}


def _buddy(data: Mapping[str, Any]) -> Record | None:
    place = _place(data)
    if place is None:
        return None
    workspace, project, pipeline = place
    about = {"workspace": workspace, "project": project}
    if "action_execution_id" in data:
        return None  # a part of an execution
    owner = data.get("pipeline")
    named = dict(owner) if isinstance(owner, Mapping) and "id" in owner else {"id": int(pipeline)} if pipeline else None
    if "status" in data and ("start_date" in data or "to_revision" in data or "triggered_on" in data):
        return {"kind": "buddy.execution", **about, "pipeline": named, "data": data} if named else None
    if "type" in data and "id" in data:
        return {"kind": "buddy.action", **about, "pipeline": named, "data": data} if named else None
    if "id" in data and "name" in data and ("refs" in data or "events" in data or "last_execution_status" in data or "actions" in data):
        return {"kind": "buddy.pipeline", **about, "data": data, "short": "actions" not in data and "events" not in data}
    return None


def _place(data: Mapping[str, Any]) -> tuple[str, str, str | None] | None:
    for name, pattern in (("url", _API), ("html_url", _PAGE)):
        if isinstance(data.get(name), str) and (match := pattern.search(data[name])):
            return match[1], match[2], match[3]
    return None


def workflow_title(data: Mapping[str, Any]) -> str:
    """The title of a workflow, or its id."""
    return title_of(data) or str(data.get("id") or data.get("workflow_id") or "workflow")
