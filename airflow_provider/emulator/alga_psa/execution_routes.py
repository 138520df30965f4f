"""Executions: list, read, retry."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from fastapi import FastAPI, Request

from airflow_provider.emulator.alga_psa import schemas
from airflow_provider.emulator.alga_psa.execution import Execution
from airflow_provider.emulator.alga_psa.route_parts import (
    EXECUTION,
    EXECUTIONS,
    READS,
    check_id,
    find_execution,
    needs,
    page,
    query_of,
    within,
)
from airflow_provider.emulator.alga_psa.system import AlgaPsa
from airflow_provider.emulator.alga_psa.views import Json, Views


def add_execution_routes(application: FastAPI, alga: AlgaPsa) -> None:
    """Add the routes to ``application``."""
    views = Views(alga)

    @application.api_route(EXECUTIONS, methods=READS, dependencies=needs(alga, "read"))
    async def list_executions(request: Request) -> Json:
        query = query_of(request, schemas.EXECUTIONS_QUERY)
        with alga.lock:
            alga.require_storage()
            listed_by = alga.clock.now() - alga.list_lag
            executions = [
                execution for execution in reversed(alga.executions) if execution.created_at <= listed_by and _fits(execution, query)
            ]
            executions.sort(key=lambda execution: -execution.attempts[-1].at)
            return page(executions, query, "automation_execution", views.execution, nested=alga.nested_lists)

    @application.api_route(EXECUTION, methods=READS, dependencies=needs(alga, "read"))
    async def get_execution(id: str) -> Json:
        check_id(id)
        with alga.lock:
            return views.execution_with_links(find_execution(alga, id))

    @application.post(EXECUTION + "/retry", dependencies=needs(alga, "execute"))
    async def retry_execution(id: str) -> Json:
        check_id(id)
        with alga.lock:
            execution = find_execution(alga, id)
            if execution.status != "failed":
                raise alga.refusal(409, "Only failed executions can be retried")
            return views.started_execution(alga.revive(execution))


def _fits(execution: Execution, query: Json) -> bool:
    if query.get("automation_rule_id", execution.rule_id).lower() != execution.rule_id:
        return False
    if query.get("trigger_type", execution.rule.trigger_type) != execution.rule.trigger_type:
        return False
    if not within(query, "created", execution.created_at):
        return False
    if not query.keys() & {"status", "has_errors", "started_from", "started_to"}:
        return True
    state = execution.state  # only if needed, because there may be very many
    if query.get("status", state.status) != state.status:
        return False
    if "has_errors" in query and (state.error_message is not None or state.failed > 0) is not query["has_errors"]:
        return False
    return within(query, "started", state.started_at)
