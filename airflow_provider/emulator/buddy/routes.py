"""The vendor's routes."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from airflow_provider.emulator.buddy import operations
from airflow_provider.emulator.buddy.access import check_scopes, check_token, scope_headers
from airflow_provider.emulator.buddy.errors import ApiError, error_body
from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.run_request import parse_run
from airflow_provider.emulator.buddy.scenario import Pipeline
from airflow_provider.emulator.buddy.system import Buddy
from airflow_provider.emulator.buddy.timeline import Step
from airflow_provider.emulator.buddy.views import Views

_T = TypeVar("_T")
_Json = dict[str, Any]

_PROJECTS = "/workspaces/{workspace}/projects"
_PIPELINES = _PROJECTS + "/{project}/pipelines"
_PIPELINE = _PIPELINES + "/{pipeline_id}"
_EXECUTION = _PIPELINE + "/executions/{execution_id}"
_ACTION_EXECUTION = _EXECUTION + "/action_executions/{action_execution_id}"


def build_application(buddy: Buddy) -> FastAPI:
    """Return the application that serves the API of ``buddy``."""
    application = FastAPI(openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    application.add_exception_handler(ApiError, _refuse)
    application.add_exception_handler(HTTPException, _refuse_route)
    reads = [Depends(_access(buddy, "EXECUTION_INFO"))]
    runs = [Depends(_access(buddy, "EXECUTION_RUN"))]
    discovers = [Depends(_access(buddy, "WORKSPACE"))]
    look = _Lookup(buddy)

    @application.get(_PIPELINES, dependencies=reads)
    async def list_pipelines(request: Request, workspace: str, project: str) -> _Json:
        with buddy.lock:
            views, found = Views(buddy), look.pipelines(workspace, project)
            if request.query_params.get("sort_by") == "name":
                found.sort(key=lambda pipeline: pipeline.name)
            if request.query_params.get("sort_direction", "").upper() == "DESC":
                found.reverse()
            page, _, _ = _page(request, found, buddy.max_per_page)
            urls = {key: f"{url}/pipelines" for key, url in views.project(workspace, project).items() if "url" in key}
            return {**urls, "pipelines": [views.pipeline(pipeline, single=False) for pipeline in page]}

    @application.get(_PIPELINE, dependencies=reads)
    async def get_pipeline(workspace: str, project: str, pipeline_id: str) -> _Json:
        with buddy.lock:
            return Views(buddy).pipeline(look.pipeline(workspace, project, pipeline_id), single=True)

    @application.get(_PIPELINE + "/actions", dependencies=reads)
    async def list_actions(workspace: str, project: str, pipeline_id: str) -> _Json:
        with buddy.lock:
            views, pipeline = Views(buddy), look.pipeline(workspace, project, pipeline_id)
            urls = {key: f"{url}/actions" for key, url in views.pipeline(pipeline, single=False).items() if "url" in key}
            return {**urls, "actions": [views.action(pipeline, action, None) for action in pipeline.actions]}

    @application.get(_PIPELINE + "/actions/{action_id}", dependencies=reads)
    async def get_action(workspace: str, project: str, pipeline_id: str, action_id: str) -> _Json:
        with buddy.lock:
            pipeline = look.pipeline(workspace, project, pipeline_id)
            for action in pipeline.actions:
                if str(action.id) == action_id:
                    return Views(buddy).action(pipeline, action, None)
            raise ApiError(404, "Action not found")

    @application.get(_PIPELINE + "/executions", dependencies=reads)
    async def list_executions(request: Request, workspace: str, project: str, pipeline_id: str) -> _Json:
        with buddy.lock:
            views, pipeline = Views(buddy), look.pipeline(workspace, project, pipeline_id)
            listed_by = buddy.clock.now() - buddy.list_lag
            found = [run for run in reversed(buddy.executions_of(pipeline)) if run.plan.created_at <= listed_by]
            page, number, size = _page(request, found, buddy.max_per_page)
            urls = {key: f"{url}/executions" for key, url in views.pipeline(pipeline, single=False).items() if "url" in key}
            return {
                **urls,
                "page": number,
                "page_size": size,
                "total_page_count": -(-len(found) // size),
                "element_count": len(page),
                "total_element_count": len(found),
                "executions": [views.listed_execution(execution) for execution in page],
            }

    @application.post(_PIPELINE + "/executions", status_code=201, dependencies=runs)
    async def run_pipeline(request: Request, workspace: str, project: str, pipeline_id: str) -> _Json:
        body = await _body(request)
        with buddy.lock:
            pipeline = look.pipeline(workspace, project, pipeline_id)
            asked = parse_run(body, pipeline, needs_revision=buddy.era == "E1")
            return Views(buddy).execution(buddy.start(pipeline, asked, buddy.token_user))

    @application.get(_EXECUTION, dependencies=reads)
    async def get_execution(workspace: str, project: str, pipeline_id: str, execution_id: str) -> _Json:
        with buddy.lock:
            return Views(buddy).execution(look.execution(workspace, project, pipeline_id, execution_id))

    @application.patch(_EXECUTION, dependencies=runs)
    async def patch_execution(request: Request, workspace: str, project: str, pipeline_id: str, execution_id: str) -> _Json:
        body = await _body(request)
        with buddy.lock:
            execution = look.execution(workspace, project, pipeline_id, execution_id)
            return Views(buddy).execution(operations.operate(buddy, execution, body, buddy.token_user))

    @application.get(_ACTION_EXECUTION, dependencies=reads)
    async def get_action_execution(workspace: str, project: str, pipeline_id: str, execution_id: str, action_execution_id: str) -> _Json:
        with buddy.lock:
            execution = look.execution(workspace, project, pipeline_id, execution_id)
            return Views(buddy).action_execution(execution, look.step(execution, action_execution_id))

    @application.get(_ACTION_EXECUTION + "/logs", dependencies=reads)
    async def get_log(
        request: Request,
        workspace: str,
        project: str,
        pipeline_id: str,
        execution_id: str,
        action_execution_id: str,
    ) -> _Json:
        with buddy.lock:
            if not buddy.has_logs_route:
                raise ApiError(404, "Not found")
            execution = look.execution(workspace, project, pipeline_id, execution_id)
            step = look.step(execution, action_execution_id)
            limit = min(1_000, max(1, _number(request, "limit", 100)))
            return Views(buddy).log_page(execution, step, max(0, _number(request, "offset", 0)), limit)

    @application.get("/workspaces", dependencies=discovers)
    async def list_workspaces() -> _Json:
        with buddy.lock:
            views, names = Views(buddy), sorted({pipeline.workspace for pipeline in buddy.pipelines})
            urls = {"url": f"{buddy.url}/workspaces", "html_url": buddy.web_url}
            return {**urls, "workspaces": [views.workspace(name) for name in names]}

    @application.get("/workspaces/{workspace}", dependencies=discovers)
    async def get_workspace(workspace: str) -> _Json:
        with buddy.lock:
            look.projects(workspace)
            return Views(buddy).workspace(workspace)

    @application.get(_PROJECTS, dependencies=discovers)
    async def list_projects(workspace: str) -> _Json:
        with buddy.lock:
            views, names = Views(buddy), look.projects(workspace)
            urls = {key: f"{url}/projects" for key, url in views.workspace(workspace).items() if "url" in key}
            return {**urls, "projects": [views.project(workspace, name) for name in names]}

    @application.get(_PROJECTS + "/{project}", dependencies=discovers)
    async def get_project(workspace: str, project: str) -> _Json:
        with buddy.lock:
            look.pipelines(workspace, project)
            return Views(buddy).project(workspace, project)

    @application.get("/user", dependencies=[Depends(_access(buddy, "USER_INFO"))])
    async def get_user() -> _Json:
        with buddy.lock:
            return Views(buddy).person(buddy.token_user)

    @application.get("/user/token", dependencies=[Depends(_access(buddy))])
    async def get_token() -> _Json:
        with buddy.lock:
            return Views(buddy).token()

    return application


def _access(buddy: Buddy, *scopes: str) -> Callable[[Request, Response], Coroutine[Any, Any, None]]:
    """Return the check that a route makes first; it also sets the headers of every answer."""

    async def check(request: Request, response: Response) -> None:
        with buddy.lock:
            needed = scopes
            if buddy.era == "E1" and scopes and "WORKSPACE" not in scopes:
                needed = ("WORKSPACE", *scopes)
            headers: dict[str, str] = {}
            # Where a refusal finds them.
            request.state.headers = headers
            check_token(request.headers.get("authorization"), buddy.token)
            if buddy.era == "E1":
                headers["X-Buddy-Media-Type"] = "buddy.v1.1.0"
                # The numbers that the vendor's old pages print; they make no sense together.
                headers |= {"X-Rate-Limit-Limit": "1", "X-Rate-Limit-Remaining": "999"}
            else:
                headers.update(scope_headers(buddy.scopes, needed))
            if buddy.rate_limit is not None:
                headers.update(buddy.limiter.count(*buddy.rate_limit, buddy.send_retry_after))
            check_scopes(buddy.scopes, needed)
            response.headers.update(headers)

    return check


async def _refuse(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    headers = getattr(request.state, "headers", {}) | error.headers
    return JSONResponse(error_body(error.message), error.status, headers)


async def _refuse_route(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse(error_body(str(error.detail)), error.status_code)


class _Lookup:
    """Finds what a path names, or answers 404."""

    def __init__(self, buddy: Buddy) -> None:
        self._buddy = buddy

    def projects(self, workspace: str) -> list[str]:
        names = {pipeline.project for pipeline in self._buddy.pipelines if pipeline.workspace == workspace}
        if not names:
            raise ApiError(404, "Workspace not found")
        return sorted(names)

    def pipelines(self, workspace: str, project: str) -> list[Pipeline]:
        if project not in self.projects(workspace):
            raise ApiError(404, "Project not found")
        return [one for one in self._buddy.pipelines if one.workspace == workspace and one.project == project]

    def pipeline(self, workspace: str, project: str, pipeline_id: str) -> Pipeline:
        for pipeline in self.pipelines(workspace, project):
            if str(pipeline.id) == pipeline_id:
                return pipeline
        raise ApiError(404, "Pipeline not found")

    def execution(self, workspace: str, project: str, pipeline_id: str, execution_id: str) -> Execution:
        for execution in self._buddy.executions_of(self.pipeline(workspace, project, pipeline_id)):
            if str(execution.id) == execution_id:
                return execution
        raise ApiError(404, "Execution not found")

    def step(self, execution: Execution, action_execution_id: str) -> Step:
        state = execution.state
        for step in (*state.steps, *state.replaced):
            if step.id == action_execution_id:
                return step
        raise ApiError(404, "Action execution not found")


async def _body(request: Request) -> Any:
    text = await request.body()
    try:
        return json.loads(text) if text else None
    except ValueError:
        raise ApiError(400, "The body is not valid JSON") from None


def _number(request: Request, name: str, default: int) -> int:
    try:
        return int(request.query_params.get(name, default))
    except ValueError:
        return default


def _page(request: Request, found: Sequence[_T], most: int) -> tuple[Sequence[_T], int, int]:
    """Return the page asked for, its number, and the size of pages."""
    number = max(1, _number(request, "page", 1))
    size = min(most, max(1, _number(request, "per_page", 20)))
    return found[(number - 1) * size : number * size], number, size
