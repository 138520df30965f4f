"""Workflows: lists, definitions, and changes."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from typing import Annotated, Any, Literal

from fastapi import FastAPI, Query, Request, Response
from pydantic import BaseModel

from airflow_provider.emulator.tracecat.definitions import read_file, read_form
from airflow_provider.emulator.tracecat.errors import refusal
from airflow_provider.emulator.tracecat.ids import short_id
from airflow_provider.emulator.tracecat.route_parts import (
    Access,
    Json,
    add_route,
    check_workflow_id,
    fingerprint,
    needs,
    no_content,
    page,
    read_cursor,
    workflow_of,
)
from airflow_provider.emulator.tracecat.scenario import Workflow
from airflow_provider.emulator.tracecat.system import Tracecat
from airflow_provider.emulator.tracecat.workflow_views import WorkflowViews

WORKFLOWS = "/workflows"
WORKFLOW = WORKFLOWS + "/{workflow_id}"


class WorkflowPatch(BaseModel):
    """The body of a change; fields that the emulator does not have are ignored."""

    title: str | None = None
    alias: str | None = None
    description: str | None = None
    status: Literal["online", "offline"] | None = None


def add_workflow_routes(application: FastAPI, tracecat: Tracecat) -> None:
    """Add the routes to ``application``."""
    reads, creates, updates, deletes = (needs(tracecat, f"workflow:{verb}") for verb in ("read", "create", "update", "delete"))
    views = WorkflowViews(tracecat)

    def find(access: Access, workflow_id: str) -> Workflow:
        return workflow_of(tracecat, access, check_workflow_id(workflow_id, "path"))

    async def list_workflows(
        access: Access = reads,
        tag: Annotated[list[str] | None, Query()] = None,
        limit: Annotated[int, Query(ge=0, le=200)] = 20,
        cursor: str | None = None,
        reverse: bool = False,
    ) -> Json:
        position = read_cursor(cursor, fingerprint([tag, reverse]), "workflows")
        with tracecat.lock:
            workflows = [workflow for workflow in tracecat.workflows if workflow.workspace == access.workspace.id]
            workflows = [workflow for workflow in workflows if not tag or set(tag) & set(workflow.tags)]
            # Newest first.
            workflows = workflows if reverse else workflows[::-1]
            begin = int(position.token or 0)
            end = begin + limit if limit else len(workflows)
            rows = [views.workflow_row(workflow) for workflow in workflows[begin:end]]
            return page(rows, position, end if end < len(workflows) else None)

    async def create(request: Request, access: Access = creates) -> Json:
        form = read_form(request.headers.get("content-type", ""), await request.body())
        title, description = (form[name][1].decode() if name in form else "" for name in ("title", "description"))
        blank = Workflow(title or "Workflow", description=description, actions=[], committed=False)
        workflow = read_file(*form["file"]) if "file" in form else blank
        workflow.workspace = access.workspace.id
        with tracecat.lock:
            try:
                return views.workflow_row(tracecat.add_workflow(workflow))
            except ValueError as error:
                raise refusal(400, str(error)) from None

    async def delete(workflow_id: str, access: Access = deletes) -> Response:
        with tracecat.lock:
            tracecat.remove_workflow(find(access, workflow_id))
        return no_content()

    async def read(workflow_id: str, access: Access = reads) -> Json:
        with tracecat.lock:
            return views.workflow(find(access, workflow_id))

    async def patch(workflow_id: str, body: WorkflowPatch, access: Access = updates) -> Response:
        with tracecat.lock:
            workflow = find(access, workflow_id)
            others = [other for other in tracecat.workflows if other is not workflow and other.workspace == workflow.workspace]
            if body.alias is not None and any(other.alias == body.alias for other in others):
                raise refusal(409, "Workflow alias must be unique within the workspace.")
            for name in body.model_fields_set:
                setattr(workflow, name, getattr(body, name))
        return no_content()

    async def commit(workflow_id: str, access: Access = updates) -> Json:
        with tracecat.lock:
            workflow = find(access, workflow_id)
            answer: Json = {"workflow_id": short_id(workflow), "status": "success", "message": "Committed", "errors": None}
            if not workflow.script:
                problem = {"type": "dsl", "status": "error", "msg": "Workflow has no actions", "detail": None, "ref": None}
                return answer | {"status": "failure", "message": "Not committed", "errors": [problem], "metadata": None}
            workflow.version += 1 if workflow.committed else 0
            workflow.committed = True
            return answer | {"metadata": {"version": workflow.version}}

    def committed(access: Access, workflow_id: str) -> Workflow:
        workflow = find(access, workflow_id)
        if not workflow.committed:
            raise refusal(404, "Workflow definition not found")
        return workflow

    async def read_definition(workflow_id: str, access: Access = reads, version: int | None = None) -> Json:
        with tracecat.lock:
            workflow = committed(access, workflow_id)
            if version not in (None, workflow.version):
                raise refusal(404, "Workflow definition not found")
            return views.definition(workflow)

    async def list_definitions(workflow_id: str, access: Access = reads) -> list[Json]:
        with tracecat.lock:
            workflow = find(access, workflow_id)
            return [views.definition(workflow)] if workflow.committed else []

    routes: list[tuple[str, str, Any, int]] = [
        ("GET", WORKFLOWS, list_workflows, 200),
        ("POST", WORKFLOWS, create, 201),
        ("GET", WORKFLOW, read, 200),
        ("PATCH", WORKFLOW, patch, 204),
        ("DELETE", WORKFLOW, delete, 204),
        ("POST", WORKFLOW + "/commit", commit, 200),
        ("GET", WORKFLOW + "/definition", read_definition, 200),
        ("GET", WORKFLOW + "/definitions", list_definitions, 200),
    ]
    for method, path, endpoint, status in routes:
        add_route(application, method, path, endpoint, status)
