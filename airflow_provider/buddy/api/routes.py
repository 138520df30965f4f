"""The routes of Buddy's REST API that this package uses. See https://buddy.works/docs/api."""

from __future__ import annotations

from airflow_provider.buddy.api import action_models, models
from airflow_provider.execution.model.request import MAX_BODY_BYTES, Route

_WORKSPACE = "/workspaces/{workspace}"
_PROJECT = f"{_WORKSPACE}/projects/{{project}}"
_PIPELINES = f"{_PROJECT}/pipelines"
_PIPELINE = f"{_PIPELINES}/{{pipeline}}"
_EXECUTIONS = f"{_PIPELINE}/executions"
_EXECUTION = f"{_EXECUTIONS}/{{execution}}"
_SAME_EXECUTION = ("execution", "id")
_ACTION_EXECUTION = f"{_EXECUTION}/action_executions/{{action_execution}}"

LIST_WORKSPACES: Route[models.WorkspaceList] = Route("GET", "/workspaces", models.WorkspaceList)
GET_WORKSPACE: Route[models.Workspace] = Route("GET", _WORKSPACE, models.Workspace)
GET_IDENTIFIERS: Route[models.Identifiers] = Route("GET", f"{_WORKSPACE}/identifiers", models.Identifiers)
LIST_PROJECTS: Route[models.ProjectList] = Route("GET", f"{_WORKSPACE}/projects", models.ProjectList)
GET_PROJECT: Route[models.Project] = Route("GET", _PROJECT, models.Project)
LIST_VARIABLES: Route[models.VariableList] = Route("GET", f"{_WORKSPACE}/variables", models.VariableList)
GET_VARIABLE: Route[models.Variable] = Route("GET", f"{_WORKSPACE}/variables/{{variable}}", models.Variable)

LIST_PIPELINES: Route[models.PipelineList] = Route("GET", _PIPELINES, models.PipelineList)
GET_PIPELINE: Route[models.Pipeline] = Route("GET", _PIPELINE, models.Pipeline, same=("pipeline", "id"))
LIST_ACTIONS: Route[action_models.ActionList] = Route("GET", f"{_PIPELINE}/actions", action_models.ActionList)
GET_ACTION: Route[action_models.ActionDefinition] = Route(
    "GET", f"{_PIPELINE}/actions/{{action}}", action_models.AnyAction, same=("action", "id")
)

LIST_EXECUTIONS: Route[models.ExecutionList] = Route("GET", _EXECUTIONS, models.ExecutionList)
LIST_GLANCES: Route[models.GlanceList] = Route("GET", _EXECUTIONS, models.GlanceList)
RUN_PIPELINE: Route[models.Execution] = Route("POST", _EXECUTIONS, models.Execution)
GET_EXECUTION: Route[models.Execution] = Route("GET", _EXECUTION, models.Execution, same=_SAME_EXECUTION)
CANCEL_EXECUTION: Route[models.Execution] = Route("PATCH", _EXECUTION, models.Execution, repeatable=True, urgent=True, same=_SAME_EXECUTION)
# Retry and approvals: what a second one would do is not known.
CHANGE_EXECUTION: Route[models.Execution] = Route("PATCH", _EXECUTION, models.Execution, same=_SAME_EXECUTION)
RETRY_EXECUTION: Route[models.Execution] = Route("PATCH", _EXECUTION, models.Execution)  # whether the id stays is not documented

# Its answer carries the whole log inline.
GET_ACTION_EXECUTION: Route[models.ActionExecution] = Route(
    "GET", _ACTION_EXECUTION, models.ActionExecution, max_body=2 * MAX_BODY_BYTES, same=("action_execution", "action_execution_id")
)
GET_LOGS: Route[models.LogPage] = Route("GET", f"{_ACTION_EXECUTION}/logs", models.LogPage)
# Older installations know neither of the two; these go by the id of the action.
GET_ACTION_LOG: Route[models.ActionExecution] = Route(
    "GET", f"{_EXECUTION}/action/{{action}}", models.ActionExecution, max_body=2 * MAX_BODY_BYTES
)
GET_ACTIONS_LOG: Route[models.ActionExecution] = Route(
    "GET", f"{_EXECUTION}/actions/{{action}}", models.ActionExecution, max_body=2 * MAX_BODY_BYTES
)
GET_LOG_URL: Route[bytearray] = Route("GET", "(log_url)", bytearray)

GET_TOKEN: Route[models.Token] = Route("GET", "/user/token", models.Token)
GET_USER: Route[models.User] = Route("GET", "/user", models.User)
