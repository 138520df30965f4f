"""Routes 17 and 18: workspaces and projects, the calling user, and tokens for web identities."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from fastapi import FastAPI, Request

from airflow_provider.emulator.buddy.errors import ApiError
from airflow_provider.emulator.buddy.route_parts import (
    PROJECT,
    PROJECTS,
    WORKSPACE,
    WORKSPACES,
    Json,
    Lookup,
    needs,
    page_of,
    read_object,
    urls_below,
)
from airflow_provider.emulator.buddy.system import Buddy
from airflow_provider.emulator.buddy.views import Views


def add_discovery_routes(application: FastAPI, buddy: Buddy) -> None:
    """Add the routes to ``application``."""
    discovers = needs(buddy, "WORKSPACE")
    lookup = Lookup(buddy)

    @application.get(WORKSPACES, dependencies=discovers)
    async def list_workspaces() -> Json:
        with buddy.lock:
            views = Views(buddy)
            urls = {"url": f"{views.api}/workspaces", "html_url": buddy.web_url}
            return {**urls, "workspaces": [views.workspace(name, single=False) for name in lookup.workspaces()]}

    @application.get(WORKSPACE, dependencies=discovers)
    async def get_workspace(workspace: str) -> Json:
        with buddy.lock:
            return Views(buddy).workspace(lookup.workspace(workspace), single=True)

    @application.get(WORKSPACE + "/identifiers", dependencies=discovers)
    async def get_identifiers(request: Request, workspace: str) -> Json:
        with buddy.lock:
            if not buddy.has_identifiers_route:
                raise ApiError(404, "Not Found")
            name, query = lookup.workspace(workspace), request.query_params
            urls = urls_below(Views(buddy).workspace(name, single=False), "identifiers")
            found: Json = {**urls, "domain": name}
            # What is not found is left out, a quirk of the vendor's API: without its project a pipeline can't be found either.
            if query.get("project") in lookup.projects(name):
                found["project_identifier"] = query["project"]
                for pipeline in lookup.pipelines(name, query["project"]):
                    if pipeline.identifier == query.get("pipeline"):
                        found["pipeline_id"] = pipeline.id
            return found

    @application.get(PROJECTS, dependencies=discovers)
    async def list_projects(request: Request, workspace: str) -> Json:
        with buddy.lock:
            views = Views(buddy)
            page, _, _ = page_of(request, lookup.projects(workspace), buddy.max_per_page)
            urls = urls_below(views.workspace(workspace, single=False), "projects")
            return {**urls, "projects": [views.project(workspace, name, single=False) for name in page]}

    @application.get(PROJECT, dependencies=discovers)
    async def get_project(workspace: str, project: str) -> Json:
        with buddy.lock:
            lookup.pipelines(workspace, project)
            return Views(buddy).project(workspace, project, single=True)

    @application.get("/user", dependencies=needs(buddy, "USER_INFO"))
    async def get_user(request: Request) -> Json:
        with buddy.lock:
            return Views(buddy).person(buddy.caller(request.headers.get("authorization")))

    @application.get("/user/token", dependencies=needs(buddy))
    async def get_token() -> Json:
        with buddy.lock:
            return Views(buddy).token()

    @application.post("/user/oidc/tokens")
    async def issue_token(request: Request) -> str:
        body = await read_object(request)
        for name in ("provider_id", "web_identity_token"):
            if not isinstance(body.get(name), str):
                raise ApiError(400, f"Field {name} is required")
        with buddy.lock:
            # A bare JSON string, a quirk of the vendor's API.
            return buddy.token
