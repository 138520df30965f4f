"""Route 15: variables."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
import dataclasses
from typing import Any

from fastapi import FastAPI, Request, Response

from airflow_provider.emulator.buddy.errors import ApiError
from airflow_provider.emulator.buddy.route_parts import WORKSPACE, Json, Lookup, bad_request, needs, read_object
from airflow_provider.emulator.buddy.system import Buddy
from airflow_provider.emulator.buddy.variable_views import VariableViews
from airflow_provider.emulator.buddy.variables import Variable

_VARIABLES = WORKSPACE + "/variables"

# Query parameters, in both of the vendor's spellings, and the scope that each selects; the narrowest wins.
_FILTERS = (
    ("sandbox", ("sandbox_id", "sandboxId")),
    ("environment", ("environment_id", "environmentId")),
    ("action", ("action_id", "actionId")),
    ("pipeline", ("pipeline_id", "pipelineId")),
    ("project", ("project_name", "projectName")),
)
_TEXTS = ("key", "value", "type", "description")
_FLAGS = ("encrypted", "settable", "run_only_settable")
# Scope object of a body, and the field that names its object.
_SCOPES = {"project": "name", "pipeline": "id", "action": "id", "environment": "id", "sandbox": "id"}
_MORE = ("defaults", "init_path", "file_path", "file_chmod", "file_place")


def add_variable_routes(application: FastAPI, buddy: Buddy) -> None:
    """Add the routes to ``application``."""
    lookup = Lookup(buddy)

    def find(workspace: str, variable_id: str) -> Variable:
        for variable in buddy.shown_variables(lookup.workspace(workspace)):
            if str(variable.id) == variable_id:
                return variable
        raise ApiError(404, "Variable not found")

    @application.get(_VARIABLES, dependencies=needs(buddy, "VARIABLE_INFO"))
    async def list_variables(request: Request, workspace: str) -> Json:
        with buddy.lock:
            scopes = _asked_scope(request)
            views, name = VariableViews(buddy), lookup.workspace(workspace)
            variables = [variable for variable in buddy.shown_variables(name) if _as_text(variable.scopes) == scopes]
            return {**views.list_urls(name), "variables": [views.variable(variable) for variable in variables]}

    @application.post(_VARIABLES, status_code=201, dependencies=needs(buddy, "VARIABLE_ADD"))
    async def add_variable(request: Request, workspace: str) -> Json:
        body = await read_object(request)
        with buddy.lock:
            fields = {"key": "", **_fields(body)}
            variable = Variable(**fields, workspace=lookup.workspace(workspace))
            with bad_request():
                added = buddy.add_variable(variable)
            return VariableViews(buddy).variable(added)

    @application.get(_VARIABLES + "/{variable_id}", dependencies=needs(buddy, "VARIABLE_INFO"))
    async def get_variable(workspace: str, variable_id: str) -> Json:
        with buddy.lock:
            return VariableViews(buddy).variable(find(workspace, variable_id))

    @application.patch(_VARIABLES + "/{variable_id}", dependencies=needs(buddy, "VARIABLE_MANAGE"))
    async def patch_variable(request: Request, workspace: str, variable_id: str) -> Json:
        body = await read_object(request)
        with buddy.lock:
            variable, fields = find(workspace, variable_id), _fields(body)
            fields["definition"] = {**variable.definition, **fields["definition"]}
            with bad_request():
                dataclasses.replace(variable, **fields).check()
            for name, value in fields.items():
                setattr(variable, name, value)
            return VariableViews(buddy).variable(variable)

    @application.delete(_VARIABLES + "/{variable_id}", status_code=204, dependencies=needs(buddy, "VARIABLE_MANAGE"))
    async def delete_variable(workspace: str, variable_id: str) -> Response:
        with buddy.lock:
            buddy.delete_variable(find(workspace, variable_id).id or 0)
            return Response(status_code=204)


def _asked_scope(request: Request) -> dict[str, str]:
    for scope, names in _FILTERS:
        for name in names:
            if request.query_params.get(name):
                return {scope: request.query_params[name]}
    return {}


def _as_text(scopes: dict[str, str | int]) -> dict[str, str]:
    return {name: str(value) for name, value in scopes.items()}


def _fields(body: Json) -> dict[str, Any]:
    """Return the fields of a variable from a body.

    :raises ApiError: 400.
    """
    fields: dict[str, Any] = {}
    for names, kind, description in ((_TEXTS, str, "a string"), (_FLAGS, bool, "true or false")):
        for name in names:
            if body.get(name) is None:
                continue
            if not isinstance(body[name], kind):
                raise ApiError(400, f"Field {name} must be {description}")
            fields[name] = body[name]
    for scope, field in _SCOPES.items():
        value = body.get(scope)
        if value is None:
            continue
        if not isinstance(value, dict) or not isinstance(value.get(field), (str, int)):
            raise ApiError(400, f"Field {scope} must be an object with {field}")
        fields[scope] = value[field]
    fields["definition"] = {name: body[name] for name in _MORE if name in body}
    return fields
