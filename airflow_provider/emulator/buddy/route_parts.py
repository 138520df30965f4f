"""What the routes share: the checks before them, finding what a path names, bodies, pages."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from fastapi import Depends, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from airflow_provider.emulator.buddy.access import accepted_scopes, check_scopes, check_token, scope_headers
from airflow_provider.emulator.buddy.errors import ApiError, error_body
from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.scenario import Action, Gate, Pipeline
from airflow_provider.emulator.buddy.system import Buddy
from airflow_provider.emulator.buddy.timeline import Step

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
    """Return the dependencies of a route that takes a token with these scopes, by their names in E2."""
    return [Depends(_access(buddy, *scopes))]


def _access(buddy: Buddy, *scopes: str) -> Callable[[Request, Response], Coroutine[Any, Any, None]]:
    """Return the check that a route makes first; it also sets the headers of every answer."""

    async def check(request: Request, response: Response) -> None:
        with buddy.lock:
            accepted = accepted_scopes(buddy.era, scopes)
            headers: dict[str, str] = {}
            # Where a refusal finds them.
            request.state.headers = headers
            check_token(request.headers.get("authorization"), buddy.token)
            if buddy.era == "E1":
                headers["X-Buddy-Media-Type"] = "buddy.v1.1.0"
                # The numbers that the vendor's old pages print; they make no sense together.
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


async def refuse(request: Request, error: Exception) -> JSONResponse:
    """Answer an :class:`ApiError`."""
    assert isinstance(error, ApiError)
    headers = getattr(request.state, "headers", {}) | error.headers
    return JSONResponse(error_body(error.message), error.status, headers)


async def refuse_route(request: Request, error: Exception) -> JSONResponse:
    """Answer a request that no route fits."""
    assert isinstance(error, HTTPException)
    return JSONResponse(error_body(str(error.detail)), error.status_code)


class Lookup:
    """Finds what a path names, or answers 404."""

    def __init__(self, buddy: Buddy) -> None:
        self._buddy = buddy

    def workspaces(self) -> list[str]:
        """All handles."""
        kept = {variable.workspace for variable in self._buddy.variables} | {webhook.workspace for webhook in self._buddy.webhooks}
        return sorted(kept | {pipeline.workspace for pipeline in self._buddy.pipelines})

    def workspace(self, workspace: str) -> str:
        """Its handle."""
        if workspace not in self.workspaces():
            raise ApiError(404, "Workspace not found")
        return workspace

    def projects(self, workspace: str) -> list[str]:
        """All handles."""
        self.workspace(workspace)
        return sorted({pipeline.project for pipeline in self._buddy.pipelines if pipeline.workspace == workspace})

    def pipelines(self, workspace: str, project: str) -> list[Pipeline]:
        """Those of a project."""
        if project not in self.projects(workspace):
            raise ApiError(404, "Project not found")
        return [pipeline for pipeline in self._buddy.pipelines if pipeline.workspace == workspace and pipeline.project == project]

    def pipeline(self, workspace: str, project: str, pipeline_id: str) -> Pipeline:
        """By its integer id."""
        for pipeline in self.pipelines(workspace, project):
            if str(pipeline.id) == pipeline_id:
                return pipeline
        raise ApiError(404, "Pipeline not found")

    def action(self, pipeline: Pipeline, action_id: str) -> Action | Gate:
        """By its integer id: names need not be unique."""
        for action in pipeline.actions:
            if str(action.id) == action_id:
                return action
        raise ApiError(404, "Action not found")

    def execution(self, workspace: str, project: str, pipeline_id: str, execution_id: str) -> Execution:
        """By its integer id: the vendor's routes do not take the hex one."""
        for execution in self._buddy.executions_of(self.pipeline(workspace, project, pipeline_id)):
            if str(execution.id) == execution_id:
                return execution
        raise ApiError(404, "Execution not found")

    def step(self, execution: Execution, action_execution_id: str) -> Step:
        """By its opaque id."""
        state = execution.state
        for step in (*state.steps, *state.replaced):
            if step.id == action_execution_id:
                return step
        raise ApiError(404, "Action execution not found")

    def step_of_action(self, execution: Execution, action_id: str) -> Step:
        """The last one of an action that has started, or else its first one."""
        steps = [step for step in execution.state.steps if str(step.action.id) == action_id]
        if not steps:
            raise ApiError(404, "Action execution not found")
        return next((step for step in reversed(steps) if step.started_at is not None), steps[0])


async def read_body(request: Request) -> Any:
    """Return the JSON of a body; None if there is none."""
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


def number_of(request: Request, name: str, default: int) -> int:
    """Return a number of the query; ``default`` if it is missing or no number."""
    try:
        return int(request.query_params.get(name, default))
    except ValueError:
        return default


def page_of(request: Request, items: Sequence[_T], most: int) -> tuple[Sequence[_T], int, int]:
    """Return the page asked for, its number, and the size of pages."""
    number = max(1, number_of(request, "page", 1))
    size = min(most, max(1, number_of(request, "per_page", 20)))
    return items[(number - 1) * size : number * size], number, size


def urls_below(view: Json, name: str) -> Json:
    """Return the addresses of a list that belongs to an object."""
    return {key: f"{view[key]}/{name}" for key in ("url", "html_url")}
