"""Reports: meta data, statistics, performance."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from datetime import datetime, timezone

from fastapi import FastAPI, Request

from airflow_provider.emulator.alga_psa import schemas, vocabulary
from airflow_provider.emulator.alga_psa.route_parts import EXECUTIONS, READS, RULES, TEMPLATES, needs, query_of
from airflow_provider.emulator.alga_psa.system import AlgaPsa
from airflow_provider.emulator.alga_psa.views import BASE, Json, Views, linked

_STATISTICS, _PERFORMANCE = BASE + "/statistics", BASE + "/performance"
_DAY = 86_400.0


def add_report_routes(application: FastAPI, alga: AlgaPsa) -> None:
    """Add the routes to ``application``."""

    @application.api_route(BASE + "/meta", methods=READS, dependencies=needs(alga, "read"))
    async def get_meta() -> Json:
        return {
            "data": {
                "trigger_types": vocabulary.TRIGGER_TYPES,
                "action_types": vocabulary.ACTION_TYPES,
                "rule_statuses": vocabulary.RULE_STATUSES,
                "execution_statuses": vocabulary.EXECUTION_STATUSES,
                "priority_levels": vocabulary.PRIORITIES,
                "condition_operators": vocabulary.OPERATORS,
            }
        }

    @application.api_route(_STATISTICS, methods=READS, dependencies=needs(alga, "read"))
    async def get_statistics() -> Json:
        with alga.lock:
            alga.require_storage()
            statuses = [rule.status for rule in alga.rules]
            counted = Views.statistics_of(alga.executions)
            now = alga.clock.now()
            today = datetime.fromtimestamp(now, timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
            period_starts = {"today": today.timestamp(), "this_week": now - 7 * _DAY, "this_month": today.replace(day=1).timestamp()}
            starts = [execution.attempts[-1].at for execution in alga.executions]
            view: Json = {
                "total_rules": len(statuses),
                **{f"{status}_rules": statuses.count(status) for status in vocabulary.RULE_STATUSES},
                **{name: counted[name] for name in ("total_executions", "successful_executions", "failed_executions")},
                **{f"executions_{name}": sum(at >= begin for at in starts) for name, begin in period_starts.items()},
                "success_rate_percent": round(counted["success_rate"], 2),
            }
            places = {"self": _STATISTICS, "rules": RULES, "executions": EXECUTIONS, "templates": TEMPLATES, "performance": _PERFORMANCE}
            return linked(view, places)

    @application.api_route(_PERFORMANCE, methods=READS, dependencies=needs(alga, "read"))
    async def get_performance(request: Request) -> Json:
        query = query_of(request, schemas.PERFORMANCE_QUERY)
        bounds = {"from": query.get("date_from"), "to": query.get("date_to")}
        period = {name: value for name, value in bounds.items() if value is not None}
        return linked({"period": period, "metrics": ["execution_count"], "data": []}, {"self": _PERFORMANCE, "statistics": _STATISTICS})
