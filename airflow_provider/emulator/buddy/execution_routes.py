"""Routes 5 to 8: list, start, read and operate on executions."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from fastapi import FastAPI, Request

from airflow_provider.emulator.buddy import operations
from airflow_provider.emulator.buddy.route_parts import EXECUTION, EXECUTIONS, Json, Lookup, needs, page_of, read_body, urls_below
from airflow_provider.emulator.buddy.run_request import parse_run
from airflow_provider.emulator.buddy.system import Buddy
from airflow_provider.emulator.buddy.views import Views


def add_execution_routes(application: FastAPI, buddy: Buddy) -> None:
    """Add the routes to ``application``."""
    reads, runs = needs(buddy, "EXECUTION_INFO"), needs(buddy, "EXECUTION_RUN")
    lookup = Lookup(buddy)

    @application.get(EXECUTIONS, dependencies=reads)
    async def list_executions(request: Request, workspace: str, project: str, pipeline_id: str) -> Json:
        with buddy.lock:
            views, pipeline = Views(buddy), lookup.pipeline(workspace, project, pipeline_id)
            listed_by = buddy.clock.now() - buddy.list_lag
            executions = [run for run in reversed(buddy.executions_of(pipeline)) if run.plan.created_at <= listed_by]
            if statuses := {status for text in request.query_params.getlist("status") for status in text.split(",") if status}:
                executions = [run for run in executions if views.status_of(run) in statuses]
            page, number, size = page_of(request, executions, buddy.max_per_page)
            return {
                **urls_below(views.pipeline(pipeline, single=False), "executions"),
                "page": number,
                "page_size": size,
                "total_page_count": -(-len(executions) // size),
                "element_count": len(page),
                "total_element_count": len(executions),
                "executions": [views.listed_execution(execution) for execution in page],
            }

    @application.post(EXECUTIONS, status_code=201, dependencies=runs)
    async def run_pipeline(request: Request, workspace: str, project: str, pipeline_id: str) -> Json:
        body = await read_body(request)
        with buddy.lock:
            pipeline = lookup.pipeline(workspace, project, pipeline_id)
            run_request = parse_run(body, pipeline, needs_revision=buddy.era == "E1")
            return Views(buddy).execution(buddy.start(pipeline, run_request, buddy.caller(request.headers.get("authorization"))))

    @application.get(EXECUTION, dependencies=reads)
    async def get_execution(workspace: str, project: str, pipeline_id: str, execution_id: str) -> Json:
        with buddy.lock:
            return Views(buddy).execution(lookup.execution(workspace, project, pipeline_id, execution_id))

    @application.patch(EXECUTION, dependencies=runs)
    async def patch_execution(request: Request, workspace: str, project: str, pipeline_id: str, execution_id: str) -> Json:
        body = await read_body(request)
        with buddy.lock:
            execution = lookup.execution(workspace, project, pipeline_id, execution_id)
            return Views(buddy).execution(operations.operate(buddy, execution, body, buddy.caller(request.headers.get("authorization"))))
