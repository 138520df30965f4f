"""Shared parts of the routes: access checks, bodies, queries, pages."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from fastapi import Depends, Request

from airflow_provider.emulator.alga_psa.access import ApiKey, seconds_of
from airflow_provider.emulator.alga_psa.checks import Fields, is_uuid
from airflow_provider.emulator.alga_psa.errors import ApiError
from airflow_provider.emulator.alga_psa.execution import Execution
from airflow_provider.emulator.alga_psa.scenario import Rule
from airflow_provider.emulator.alga_psa.schemas import read
from airflow_provider.emulator.alga_psa.system import AlgaPsa
from airflow_provider.emulator.alga_psa.views import BASE, Json

READS = ["GET", "HEAD"]

RULES, EXECUTIONS, TEMPLATES = BASE + "/rules", BASE + "/executions", BASE + "/templates"
RULE, EXECUTION, TEMPLATE = RULES + "/{id}", EXECUTIONS + "/{id}", TEMPLATES + "/{id}"


def needs(alga: AlgaPsa, permission: str) -> list[Any]:
    """Return the dependencies of a route that requires this permission."""
    return [Depends(_access(alga, permission))]


def _access(alga: AlgaPsa, permission: str) -> Callable[[Request], Coroutine[Any, Any, None]]:
    async def check(request: Request) -> None:
        with alga.lock:
            key = _key_of(alga, request)
            key.count(alga.clock)
            if alga.product != "psa":
                path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
                details = {"productCode": alga.product, "path": path}
                raise ApiError(403, f"Product {alga.product} has no access to {path}", details, code="PRODUCT_ACCESS_DENIED")
            if permission not in key.permissions:
                raise ApiError(403, f"Permission denied: Cannot {permission} automation")
            request.state.key = key

    return check


def _key_of(alga: AlgaPsa, request: Request) -> ApiKey:
    text, tenant, now = request.headers.get("x-api-key"), request.headers.get("x-tenant-id") or None, alga.clock.now()
    for key in alga.keys:
        if key.text == text and key.is_valid(tenant, now):
            return key
    # The answer is the same for unknown, expired and used-up keys, and for those of another tenant.
    raise ApiError(401, "Invalid API key")


def check_id(id: str) -> None:
    """Check the form of an id in a path.

    :raises ApiError: 400.
    """
    if not is_uuid(id):
        raise ApiError(400, "Invalid ID format")


async def body_of(request: Request, schema: Fields) -> Json:
    """Return the validated body; one that is missing or not JSON counts as ``{}``.

    :raises ApiError: 400.
    """
    try:
        body = json.loads(await request.body())
    except ValueError:
        body = {}
    return read(schema, body, "Validation failed")


def query_of(request: Request, schema: Fields) -> Json:
    """Return the validated query; the last value of a repeated parameter counts.

    :raises ApiError: 400.
    """
    return read(schema, dict(request.query_params.items()), "Query validation failed")


def within(query: Json, name: str, at: float | None) -> bool:
    """Return whether a time is between ``<name>_from`` and ``<name>_to`` of a query, if given."""
    first, last = query.get(f"{name}_from"), query.get(f"{name}_to")
    if first is None and last is None:
        return True
    if at is None:
        return False
    # Compare with the precision that answers have, milliseconds.
    at = round(at, 3)
    return (first is None or seconds_of(first) <= at) and (last is None or at <= seconds_of(last))


def page(matches: Sequence[Any], query: Json, resource: str, view: Callable[[Any], Json], *, nested: bool) -> Json:
    """Return a page of a list."""
    number, limit, total = query["page"], query["limit"], len(matches)
    pages = -(-total // limit)
    items = [view(item) for item in matches[(number - 1) * limit : number * limit]]
    return {
        "data": [items] if nested else items,
        "pagination": {
            "page": number,
            "limit": limit,
            "total": total,
            "totalPages": pages,
            "hasNext": number < pages,
            "hasPrev": number > 1,
        },
        "meta": {"filters": query, "resource": resource},
    }


def find_rule(alga: AlgaPsa, id: str) -> Rule:
    """Return a rule.

    :raises ApiError: 404; 500 if there is no storage.
    """
    alga.require_storage()
    for rule in alga.rules:
        if rule.id == id.lower():
            return rule
    raise alga.refusal(404, "Automation rule not found")


def find_execution(alga: AlgaPsa, id: str) -> Execution:
    """Return an execution.

    :raises ApiError: 404; 500 if there is no storage.
    """
    alga.require_storage()
    try:
        return alga.find(id.lower())
    except LookupError:
        raise alga.refusal(404, "Automation execution not found") from None
