"""Shared parts of the routes: access checks, lookup by path, bodies, pages."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
import contextlib
import json
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

from fastapi import Depends, Request, Response
from starlette.exceptions import HTTPException

from airflow_provider.emulator.buddy.access import accepted_scopes, check_scopes, check_token, scope_headers
from airflow_provider.emulator.buddy.errors import ApiError, error_body
from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.scenario import Action, Gate, Pipeline
from airflow_provider.emulator.buddy.system import Buddy
from airflow_provider.emulator.buddy.timeline import Step
from airflow_provider.emulator.json_text import JsonResponse

_T = TypeVar("_T")
Json = dict[str, Any]

WORKSPACES = "/workspaces"
WORKSPACE = WORKSPACES + "/{workspace}"
PROJECTS = WORKSPACE + "/projects"
PROJECT = PROJECTS + "/{project}"
PIPELINES = PROJECT + "/pipelines"
PIPELINE = PIPELINES + "/{pipeline_id}"
ACTIONS = PIPELINE + "/actions"
EXECUTIONS = PIPELINE + "/executions"
EXECUTION = EXECUTIONS + "/{execution_id}"
ACTION_EXECUTION = EXECUTION + "/action_executions/{action_execution_id}"


def needs(buddy: Buddy, *scopes: str) -> list[Any]:
    """Return the dependencies of a route that requires these scopes, by their names in E2."""
    return [Depends(_access(buddy, *scopes))]


def _access(buddy: Buddy, *scopes: str) -> Callable[[Request, Response], Coroutine[Any, Any, None]]:
    """Return the access check of a route; it also sets the headers of every answer."""

    async def check(request: Request, response: Response) -> None:
        with buddy.lock:
            accepted = accepted_scopes(buddy.era, scopes)
            headers: dict[str, str] = {}
            # An error answer takes them from here.
            request.state.headers = headers
            check_token(request.headers.get("authorization"), buddy.token, buddy.approver_token)
            if buddy.era == "E1":
                headers["X-Buddy-Media-Type"] = "buddy.v1.1.0"
                # The numbers in the vendor's old documentation, although they contradict each other.
                headers |= {"X-Rate-Limit-Limit": "1", "X-Rate-Limit-Remaining": "999"}
            else:
                headers.update(scope_headers(buddy.scopes, accepted))
            if buddy.rate_limit is not None:
                headers.update(buddy.limiter.count(*buddy.rate_limit, buddy.send_retry_after))
            if buddy.api_disabled:
                raise ApiError(403, "API is disabled in this workspace")
            check_scopes(buddy.era, buddy.scopes, accepted)
            response.headers.update(headers)

    return check


async def refuse(request: Request, error: Exception) -> JsonResponse:
    """Answer an :class:`ApiError`."""
    assert isinstance(error, ApiError)
    headers = getattr(request.state, "headers", {}) | error.headers
    return JsonResponse(error_body(error.message), error.status, headers)


async def refuse_route(request: Request, error: Exception) -> JsonResponse:
    """Answer a request that no route matches."""
    assert isinstance(error, HTTPException)
    return JsonResponse(error_body(str(error.detail)), error.status_code)


class Lookup:
    """Finds the objects that a path names, or raises a 404."""

    def __init__(self, buddy: Buddy) -> None:
        self._buddy = buddy

    def workspaces(self) -> list[str]:
        """Return the handles of all workspaces."""
        others = {variable.workspace for variable in self._buddy.variables} | {webhook.workspace for webhook in self._buddy.webhooks}
        return sorted(others | {pipeline.workspace for pipeline in self._buddy.pipelines})

    def workspace(self, workspace: str) -> str:
        """Return the handle of a workspace that exists."""
        if workspace not in self.workspaces():
            raise ApiError(404, "Workspace not found")
        return workspace

    def projects(self, workspace: str) -> list[str]:
        """Return the handles of all projects of a workspace."""
        self.workspace(workspace)
        return sorted({pipeline.project for pipeline in self._buddy.pipelines if pipeline.workspace == workspace})

    def pipelines(self, workspace: str, project: str) -> list[Pipeline]:
        """Return the pipelines of a project."""
        if project not in self.projects(workspace):
            raise ApiError(404, "Project not found")
        return [pipeline for pipeline in self._buddy.pipelines if pipeline.workspace == workspace and pipeline.project == project]

    def pipeline(self, workspace: str, project: str, pipeline_id: str) -> Pipeline:
        """Return a pipeline by its integer id."""
        for pipeline in self.pipelines(workspace, project):
            if str(pipeline.id) == pipeline_id:
                return pipeline
        raise ApiError(404, "Pipeline not found")

    def action(self, pipeline: Pipeline, action_id: str) -> Action | Gate:
        """Return an action by its integer id; names may not be unique."""
        for action in pipeline.actions:
            if str(action.id) == action_id:
                return action
        raise ApiError(404, "Action not found")

    def execution(self, workspace: str, project: str, pipeline_id: str, execution_id: str) -> Execution:
        """Return an execution by its integer id; the vendor's routes do not accept the hex id."""
        for execution in self._buddy.executions_of(self.pipeline(workspace, project, pipeline_id)):
            if str(execution.id) == execution_id:
                return execution
        raise ApiError(404, "Execution not found")

    def step(self, execution: Execution, action_execution_id: str) -> Step:
        """Return an action execution by its opaque id."""
        state = execution.state
        for step in (*state.steps, *state.replaced):
            if step.id == action_execution_id:
                return step
        raise ApiError(404, "Action execution not found")

    def step_of_action(self, execution: Execution, action_id: str) -> Step:
        """Return the last started action execution of an action, or its first one if none has started."""
        steps = [step for step in execution.state.steps if str(step.action.id) == action_id]
        if not steps:
            raise ApiError(404, "Action execution not found")
        return next((step for step in reversed(steps) if step.started_at is not None), steps[0])


async def read_body(request: Request) -> Any:
    """Return the JSON of a body; None if the body is empty."""
    text = await request.body()
    try:
        return json.loads(text) if text else None
    except ValueError:
        raise ApiError(400, "The body is not valid JSON") from None


async def read_object(request: Request) -> Json:
    """Return the JSON object of a body."""
    body = await read_body(request)
    if not isinstance(body, dict):
        raise ApiError(400, "The body must be a JSON object")
    return body


@contextlib.contextmanager
def bad_request() -> Iterator[None]:
    """Answer a ``ValueError`` with 400 and its message."""
    try:
        yield
    except ValueError as error:
        raise ApiError(400, str(error)) from None


def number_of(request: Request, name: str, default: int) -> int:
    """Return a positive number of the query; ``default`` if it is missing or no such number."""
    try:
        number = int(request.query_params.get(name, default))
    except ValueError:
        return default
    return number if number > 0 else default


def page_of(request: Request, items: Sequence[_T], max_size: int) -> tuple[Sequence[_T], int, int]:
    """Return the requested page, its number, and the page size.

    :param max_size: maximum page size.
    """
    number = number_of(request, "page", 1)
    size = min(max_size, number_of(request, "per_page", 20))
    return items[(number - 1) * size : number * size], number, size


def urls_below(view: Json, name: str) -> Json:
    """Return the addresses of a list that belongs to an object."""
    return {key: f"{view[key]}/{name}" for key in ("url", "html_url")}
