"""Templates: create them from rules, and rules from them."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
import re
import uuid
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request

from airflow_provider.emulator.alga_psa import schemas
from airflow_provider.emulator.alga_psa.route_parts import (
    READS,
    TEMPLATE,
    TEMPLATES,
    body_of,
    check_id,
    find_rule,
    needs,
    page,
    query_of,
    within,
)
from airflow_provider.emulator.alga_psa.rule_routes import rule_of
from airflow_provider.emulator.alga_psa.system import AlgaPsa
from airflow_provider.emulator.alga_psa.views import BASE, Json, Views, linked, links

_EQUAL = ("category", "author", "is_featured")


def add_template_routes(application: FastAPI, alga: AlgaPsa) -> None:
    """Add the routes to ``application``. A template is stored as the vendor's JSON object, with times as epoch seconds."""
    views = Views(alga)

    def view(template: Json) -> Json:
        times = {name: views.date(template[name]) for name in ("last_used",) if template.get(name) is not None}
        return {key: value for key, value in template.items() if not key.startswith("_")} | times

    def find(id: str) -> Json:
        alga.require_storage()
        if id.lower() not in alga.templates:
            raise alga.refusal(404, "Automation template not found")
        return alga.templates[id.lower()]

    @application.api_route(TEMPLATES, methods=READS, dependencies=needs(alga, "read"))
    async def list_templates(request: Request) -> Json:
        query = query_of(request, schemas.TEMPLATES_QUERY)
        with alga.lock:
            alga.require_storage()
            templates = [template for template in reversed(alga.templates.values()) if _fits(template, query)]
            return page(templates, query, "automation_template", view, nested=alga.nested_lists)

    @application.post(TEMPLATES, status_code=201, dependencies=needs(alga, "create"))
    async def create_template(request: Request) -> Json:
        body = await body_of(request, schemas.TEMPLATE)
        with alga.lock:
            rule, id = find_rule(alga, body["automation_rule_id"]), str(uuid.uuid4())
            template = {
                "template_id": id,
                "name": body["template_name"],
                **({"description": body["template_description"]} if "template_description" in body else {}),
                "category": body["category"],
                "template_config": views.rule_fields(rule),
                "version": "1.0.0",
                "author": request.state.key.user_id,
                "compatible_versions": [],
                "required_permissions": [],
                "usage_count": 0,
                "template_variables": [_variable(variable) for variable in body.get("template_variables", [])],
                "is_active": True,
                "is_featured": False,
                "tenant": alga.tenant,
                "_created_at": alga.clock.now(),
            }
            alga.templates[id] = template
            return linked(view(template), links("templates", id))

    @application.api_route(TEMPLATE, methods=READS, dependencies=needs(alga, "read"))
    async def get_template(id: str) -> Json:
        check_id(id)
        with alga.lock:
            template = find(id)
            template_id = template["template_id"]
            return linked(view(template), {**links("templates", template_id), "use": f"{TEMPLATES}/{template_id}/use"})

    @application.post(TEMPLATE + "/use", status_code=201, dependencies=needs(alga, "create"))
    async def use_template(request: Request, id: str) -> Json:
        body = await body_of(request, schemas.TEMPLATE_USE)
        with alga.lock:
            template = find(id)
            fields = _filled(template["template_config"], body["variables"])
            schemas.check_rule(fields)
            rule = alga.add_rule(rule_of(fields, request.state.key.user_id))
            template["usage_count"] += 1
            template["last_used"] = alga.clock.now()
            paths = {"rule": f"{BASE}/rules/{rule.id}", "template": f"{TEMPLATES}/{template['template_id']}"}
            return linked(views.rule(rule), paths)


def _variable(variable: Json) -> Json:
    view = {
        "name": variable["variable_name"],
        "type": variable["type"],
        "display_name": variable["display_name"],
        "required": variable["required"],
    }
    return view | ({"description": variable["description"]} if "description" in variable else {})


def _filled(value: Any, variables: Mapping[str, Any]) -> Any:
    """Replace ``{{name}}`` by variables in all strings; unknown ones stay."""
    if isinstance(value, dict):
        return {key: _filled(item, variables) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, variables) for item in value]
    if isinstance(value, str):
        return re.sub(r"\{\{(\w+)\}\}", lambda match: str(variables.get(match[1], match[0])), value)
    return value


def _fits(template: Json, query: Json) -> bool:
    if any(name in query and template[name] != query[name] for name in _EQUAL):
        return False
    if "compatible_version" in query and query["compatible_version"] not in template["compatible_versions"]:
        return False
    if query.get("search", "").lower() not in template["name"].lower():
        return False
    return within(query, "created", template["_created_at"])
