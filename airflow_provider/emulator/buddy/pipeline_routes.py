"""Routes 1, 2 and 13: pipelines and their actions."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from fastapi import FastAPI, Request

from airflow_provider.emulator.buddy.route_parts import ACTIONS, PIPELINE, PIPELINES, Json, Lookup, needs, page_of, urls_below
from airflow_provider.emulator.buddy.system import Buddy
from airflow_provider.emulator.buddy.views import Views


def add_pipeline_routes(application: FastAPI, buddy: Buddy) -> None:
    """Add the routes to ``application``."""
    reads = needs(buddy, "EXECUTION_INFO")
    lookup = Lookup(buddy)

    @application.get(PIPELINES, dependencies=reads)
    async def list_pipelines(request: Request, workspace: str, project: str) -> Json:
        with buddy.lock:
            views, pipelines = Views(buddy), lookup.pipelines(workspace, project)
            if request.query_params.get("sort_by") == "name":
                pipelines.sort(key=lambda pipeline: pipeline.name)
            if request.query_params.get("sort_direction", "").upper() == "DESC":
                pipelines.reverse()
            page, _, _ = page_of(request, pipelines, buddy.max_per_page)
            urls = urls_below(views.project(workspace, project, single=False), "pipelines")
            return {**urls, "pipelines": [views.pipeline(pipeline, single=False) for pipeline in page]}

    @application.get(PIPELINE, dependencies=reads)
    async def get_pipeline(workspace: str, project: str, pipeline_id: str) -> Json:
        with buddy.lock:
            return Views(buddy).pipeline(lookup.pipeline(workspace, project, pipeline_id), single=True)

    @application.get(ACTIONS, dependencies=reads)
    async def list_actions(workspace: str, project: str, pipeline_id: str) -> Json:
        with buddy.lock:
            views, pipeline = Views(buddy), lookup.pipeline(workspace, project, pipeline_id)
            render = views.action if buddy.listed_actions_are_whole else views.listed_action
            urls = urls_below(views.pipeline(pipeline, single=False), "actions")
            return {**urls, "actions": [render(pipeline, action) for action in pipeline.actions]}

    @application.get(ACTIONS + "/{action_id}", dependencies=reads)
    async def get_action(workspace: str, project: str, pipeline_id: str, action_id: str) -> Json:
        with buddy.lock:
            pipeline = lookup.pipeline(workspace, project, pipeline_id)
            return Views(buddy).action(pipeline, lookup.action(pipeline, action_id))
