"""Rules: list, read, create, change, delete, execute."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from typing import Any

from fastapi import FastAPI, Request, Response

from airflow_provider.emulator.alga_psa import schemas
from airflow_provider.emulator.alga_psa.errors import ApiError
from airflow_provider.emulator.alga_psa.execution import Execution
from airflow_provider.emulator.alga_psa.route_parts import READS, RULE, RULES, body_of, check_id, find_rule, needs, page, query_of, within
from airflow_provider.emulator.alga_psa.scenario import Action, Rule
from airflow_provider.emulator.alga_psa.system import AlgaPsa
from airflow_provider.emulator.alga_psa.views import Json, Views, linked, links

_EQUAL = ("name", "status", "trigger_type", "priority", "is_template", "template_category", "created_by")


def add_rule_routes(application: FastAPI, alga: AlgaPsa) -> None:
    """Add the routes to ``application``."""
    views = Views(alga)

    @application.api_route(RULES, methods=READS, dependencies=needs(alga, "read"))
    async def list_rules(request: Request) -> Json:
        query = query_of(request, schemas.RULES_QUERY)
        with alga.lock:
            alga.require_storage()
            rules = sorted((rule for rule in alga.rules if _fits(rule, query)), key=lambda rule: -(rule.created_at or 0.0))
            return page(rules, query, "automation_rule", views.rule, nested=False)

    @application.post(RULES, status_code=201, dependencies=needs(alga, "create"))
    async def create_rule(request: Request) -> Json:
        fields = await body_of(request, schemas.RULE)
        with alga.lock:
            schemas.check_rule(fields)
            alga.require_storage()
            rule = alga.add_rule(rule_of(fields, request.state.key.user_id))
            return linked(views.rule(rule), links("rules", rule.id or ""))

    @application.post(RULES + "/bulk-status", dependencies=needs(alga, "update"))
    async def change_statuses(request: Request) -> Json:
        body = await body_of(request, schemas.RULE_STATUS_CHANGE)
        with alga.lock:
            errors = _each(alga, body["ids"], "update", lambda rule: alga.set_rule_status(rule, body["status"]))
            failed, ids = len(errors), body["ids"]
            result: Json = {"action": "bulk_status_update", "status": body["status"], "rule_ids": ids, "updated": len(ids) - failed}
            message = f"Bulk status update completed: {len(ids) - failed} successful, {failed} failed"
            return {"data": {**result, "errors": errors, "message": message}}

    @application.post(RULES + "/bulk-execute", dependencies=needs(alga, "execute"))
    async def execute_rules(request: Request) -> Json:
        body = await body_of(request, schemas.BULK_EXECUTE)
        with alga.lock:
            ids, user = body["automation_rule_ids"], request.state.key.user_id
            errors = _each(alga, ids, "execute", lambda rule: _execute(alga, rule, body, user))
            failed = len(errors)
            return {
                "data": {
                    "action": "bulk_execute",
                    "rule_ids": ids,
                    "started": len(ids) - failed,
                    "errors": errors,
                    "sequential": body["sequential_execution"],
                    "message": f"Bulk execution completed: {len(ids) - failed} started, {failed} failed",
                }
            }

    @application.api_route(RULE, methods=READS, dependencies=needs(alga, "read"))
    async def get_rule(id: str) -> Json:
        check_id(id)
        with alga.lock:
            rule = find_rule(alga, id)
            return views.rule_with_statistics(rule, alga.executions_of(rule))

    @application.put(RULE, dependencies=needs(alga, "update"))
    async def change_rule(request: Request, id: str) -> Json:
        check_id(id)
        fields = await body_of(request, schemas.RULE_CHANGE)
        with alga.lock:
            rule = find_rule(alga, id)
            schemas.check_rule({"trigger_type": rule.trigger_type} | fields)
            if "actions" in fields:
                fields["actions"] = [Action(**action) for action in fields["actions"]]
            for name, value in fields.items():
                setattr(rule, name, value)
            rule.updated_at = alga.clock.now()
            return linked(views.rule(rule), links("rules", rule.id or ""))

    @application.delete(RULE, status_code=204, dependencies=needs(alga, "delete"))
    async def delete_rule(id: str) -> Response:
        check_id(id)
        with alga.lock:
            rule = find_rule(alga, id)
            if any(execution.status in ("pending", "running") for execution in alga.executions_of(rule)):
                raise alga.refusal(409, "Cannot delete rule with running executions")
            alga.delete_rule(rule)
            return Response(status_code=204)

    @application.post(RULE + "/execute", status_code=201, dependencies=needs(alga, "execute"))
    async def execute_rule(request: Request, id: str) -> Json:
        # The id in the body is required and ignored; the one in the path may have any form.
        body = await body_of(request, schemas.EXECUTE)
        with alga.lock:
            return views.started_execution(_execute(alga, find_rule(alga, id), body, request.state.key.user_id))


def rule_of(fields: Json, user: str) -> Rule:
    """Return a rule from a validated request; each of its actions takes a second and succeeds."""
    actions = [Action(**action) for action in fields["actions"]]
    return Rule(**{**fields, "actions": actions, "created_by": user})


def _execute(alga: AlgaPsa, rule: Rule, body: Json, user: str) -> Execution:
    if rule.status != "active" and not body["override_conditions"]:
        raise alga.refusal(409, "Automation rule is not active")
    return alga.start(
        rule,
        body.get("execution_data"),
        override_conditions=body["override_conditions"],
        dry_run=body.get("dry_run", False),
        triggered_by=user,
        request_body=body,
    )


def _each(alga: AlgaPsa, ids: list[str], verb: str, act: Any) -> list[str]:
    """Do something to each of several rules and return the error messages of the release."""
    errors = []
    for id in ids:
        try:
            act(find_rule(alga, id))
        except ApiError as error:
            hidden = alga.has_specific_errors or alga.mode == "as_deployed"
            errors.append(f"{id}: Failed to {verb} automation rule." if hidden else f"{id}: {error.reason}")
    return errors


def _fits(rule: Rule, query: Json) -> bool:
    if any(name in query and getattr(rule, name) != query[name] for name in _EQUAL):
        return False
    if "is_active" in query and (rule.status == "active") is not query["is_active"]:
        return False
    if (search := query.get("search", "").lower()) and search not in f"{rule.name}\n{rule.description or ''}".lower():
        return False
    times = {"created": rule.created_at, "updated": rule.updated_at, "last_executed": rule.last_executed}
    return all(within(query, name, at) for name, at in times.items())
