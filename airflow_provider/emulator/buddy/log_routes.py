"""Routes 9 to 12: action executions and their logs, in all forms that the vendor has had."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from fastapi import FastAPI, Request, Response

from airflow_provider.emulator.buddy.errors import ApiError
from airflow_provider.emulator.buddy.route_parts import ACTION_EXECUTION, EXECUTION, Json, Lookup, needs, number_of
from airflow_provider.emulator.buddy.storage_routes import log_file
from airflow_provider.emulator.buddy.system import Buddy
from airflow_provider.emulator.buddy.views import Views


def add_log_routes(application: FastAPI, buddy: Buddy) -> None:
    """Add the routes to ``application``."""
    reads = needs(buddy, "EXECUTION_INFO")
    lookup = Lookup(buddy)

    @application.get(ACTION_EXECUTION, dependencies=reads)
    async def get_action_execution(workspace: str, project: str, pipeline_id: str, execution_id: str, action_execution_id: str) -> Json:
        with buddy.lock:
            _require(buddy.has_action_execution_route)
            execution = lookup.execution(workspace, project, pipeline_id, execution_id)
            return Views(buddy).action_execution(execution, lookup.step(execution, action_execution_id))

    @application.get(ACTION_EXECUTION + "/logs", dependencies=reads)
    async def get_log(
        request: Request,
        workspace: str,
        project: str,
        pipeline_id: str,
        execution_id: str,
        action_execution_id: str,
    ) -> Json:
        with buddy.lock:
            _require(buddy.has_logs_route)
            execution = lookup.execution(workspace, project, pipeline_id, execution_id)
            step = lookup.step(execution, action_execution_id)
            limit = min(1_000, number_of(request, "limit", 100))
            return Views(buddy).log_page(execution, step, number_of(request, "offset", 0), limit)

    @application.get(ACTION_EXECUTION + "/log-file", dependencies=reads)
    async def get_log_file(
        request: Request,
        workspace: str,
        project: str,
        pipeline_id: str,
        execution_id: str,
        action_execution_id: str,
    ) -> Response:
        with buddy.lock:
            _require(buddy.log_url_on_api_origin)
            execution = lookup.execution(workspace, project, pipeline_id, execution_id)
            return log_file(buddy, lookup.step(execution, action_execution_id), request)

    @application.get(EXECUTION + "/action/{action_id}", dependencies=reads)
    @application.get(EXECUTION + "/actions/{action_id}", dependencies=reads)
    async def get_by_action(workspace: str, project: str, pipeline_id: str, execution_id: str, action_id: str) -> Json:
        with buddy.lock:
            _require(buddy.has_legacy_log_routes)
            execution = lookup.execution(workspace, project, pipeline_id, execution_id)
            return Views(buddy).legacy_action_execution(execution, lookup.step_of_action(execution, action_id))


def _require(route_exists: bool) -> None:
    if not route_exists:
        raise ApiError(404, "Not Found")
