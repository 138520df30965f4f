"""The routes of AlgaPSA's automation API that this package uses. See ``/api/docs`` of an installation."""

from __future__ import annotations

from airflow_provider.alga_psa.api import models
from airflow_provider.execution.model.request import MAX_BODY_BYTES, Route

_AUTOMATION = "/api/v1/automation"
_RULE = f"{_AUTOMATION}/rules/{{rule}}"
_EXECUTION = f"{_AUTOMATION}/executions/{{execution}}"
_SAME_EXECUTION = ("execution", "data.execution_id")

GET_META: Route[models.MetaAnswer] = Route("GET", f"{_AUTOMATION}/meta", models.MetaAnswer)

LIST_RULES: Route[models.RuleList] = Route("GET", f"{_AUTOMATION}/rules", models.RuleList)
GET_RULE: Route[models.RuleAnswer] = Route("GET", _RULE, models.RuleAnswer, same=("rule", "data.rule_id"))
EXECUTE_RULE: Route[models.ExecutionAnswer] = Route(
    "POST", f"{_RULE}/execute", models.ExecutionAnswer, same=("rule", "data.automation_rule_id")
)

# An execution carries its whole log, in a list too.
LIST_EXECUTIONS: Route[models.ExecutionList] = Route("GET", f"{_AUTOMATION}/executions", models.ExecutionList, max_body=4 * MAX_BODY_BYTES)
LIST_GLANCES: Route[models.GlanceList] = Route("GET", f"{_AUTOMATION}/executions", models.GlanceList, max_body=4 * MAX_BODY_BYTES)
GET_EXECUTION: Route[models.ExecutionAnswer] = Route(
    "GET", _EXECUTION, models.ExecutionAnswer, max_body=2 * MAX_BODY_BYTES, same=_SAME_EXECUTION
)
RETRY_EXECUTION: Route[models.ExecutionAnswer] = Route("POST", f"{_EXECUTION}/retry", models.ExecutionAnswer, same=_SAME_EXECUTION)
