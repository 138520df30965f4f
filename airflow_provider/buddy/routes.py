"""The routes of Buddy's REST API that are used here, each said once. See https://buddy.works/docs/api."""

from __future__ import annotations

from airflow_provider.buddy import models
from airflow_provider.execution.route import MAX_BODY, Route

_PIPELINES = "/workspaces/{workspace}/projects/{project}/pipelines"
_PIPELINE = f"{_PIPELINES}/{{pipeline}}"
_EXECUTIONS = f"{_PIPELINE}/executions"
_EXECUTION = f"{_EXECUTIONS}/{{execution}}"
_ACTION_EXECUTION = f"{_EXECUTION}/action_executions/{{action_execution}}"

LIST_PIPELINES: Route[models.PipelineList] = Route("GET", _PIPELINES, models.PipelineList)
GET_PIPELINE: Route[models.Pipeline] = Route("GET", _PIPELINE, models.Pipeline)
LIST_EXECUTIONS: Route[models.ExecutionList] = Route("GET", _EXECUTIONS, models.ExecutionList)
RUN_PIPELINE: Route[models.Execution] = Route("POST", _EXECUTIONS, models.Execution)
GET_EXECUTION: Route[models.Execution] = Route("GET", _EXECUTION, models.Execution)
CANCEL_EXECUTION: Route[models.Execution] = Route("PATCH", _EXECUTION, models.Execution, repeatable=True)
RETRY_EXECUTION: Route[models.Execution] = Route("PATCH", _EXECUTION, models.Execution)
# Its answer carries the whole log inline.
GET_ACTION_EXECUTION: Route[models.ActionExecution] = Route("GET", _ACTION_EXECUTION, models.ActionExecution, max_body=2 * MAX_BODY)
GET_LOGS: Route[models.LogPage] = Route("GET", f"{_ACTION_EXECUTION}/logs", models.LogPage)
GET_TOKEN: Route[models.Token] = Route("GET", "/user/token", models.Token)
GET_USER: Route[models.User] = Route("GET", "/user", models.User)
