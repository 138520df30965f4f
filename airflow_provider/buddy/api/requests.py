"""Flows that read and change things in Buddy, one for each use. See https://buddy.works/docs/api."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, TypeVar

from airflow_provider.buddy.api import action_models, models, routes
from airflow_provider.buddy.api.bodies import name_list, run_body
from airflow_provider.buddy.ref import BuddyRef, action_execution_of, is_number
from airflow_provider.errors import ConfigurationError, ProtocolError, RateLimited, StatusError, TransportError, Unauthorized
from airflow_provider.execution.model.paging import numbered
from airflow_provider.execution.model.request import Flow, Pages, send

T = TypeVar("T", bound=models.Model)

PER_PAGE = 50
MAX_LIST_PAGES = 20
"""Maximum number of pages that a look-up reads."""


def _page(number: int) -> dict[str, int]:
    return {"page": number, "per_page": PER_PAGE}


# Workspaces and projects


def list_workspaces() -> Flow[list[models.Workspace]]:
    """``GET /workspaces``."""
    return (yield from send(routes.LIST_WORKSPACES())).workspaces


def get_workspace(workspace: str) -> Flow[models.Workspace]:
    """``GET /workspaces/:workspace``."""
    return (yield from send(routes.GET_WORKSPACE(workspace=workspace)))


def projects(workspace: str) -> Pages[models.Project]:
    """``GET /workspaces/:workspace/projects``."""

    def get(number: int) -> Flow[tuple[list[models.Project], bool]]:
        return (yield from page_of_projects(workspace, number)), False

    return numbered(get, lambda project: project.name)


def page_of_projects(workspace: str, page: int) -> Flow[list[models.Project]]:
    """``GET /workspaces/:workspace/projects``: one page."""
    return (yield from send(routes.LIST_PROJECTS(workspace=workspace, query=_page(page)))).projects


def get_project(workspace: str, project: str) -> Flow[models.Project]:
    """``GET /workspaces/:workspace/projects/:project_name``."""
    return (yield from send(routes.GET_PROJECT(workspace=workspace, project=project)))


# Variables


class VariableScope(TypedDict, total=False):
    """The part of a workspace whose variables are listed."""

    project_name: str
    pipeline_id: int
    action_id: int
    environment_id: str
    sandbox_id: str


def list_variables(workspace: str, scope: Mapping[str, Any]) -> Flow[list[models.Variable]]:
    """
    ``GET /workspaces/:workspace/variables``; each filter is sent in the spelling of both documentation eras.

    :raises ConfigurationError: for an unknown filter, which the API would ignore.
    """
    if unknown := set(scope).difference(scopes := list(VariableScope.__annotations__)):
        raise ConfigurationError(f"Buddy: variables can't be filtered by {', '.join(sorted(unknown))}, only by {', '.join(scopes)}.")
    old = {"project_name": "projectName", "pipeline_id": "pipelineId", "action_id": "actionId"}
    query = {**scope, **{old[name]: value for name, value in scope.items() if name in old}}
    return (yield from send(routes.LIST_VARIABLES(workspace=workspace, query=query))).variables


def get_variable(workspace: str, variable: int) -> Flow[models.Variable]:
    """``GET /workspaces/:workspace/variables/:variable_id``."""
    return (yield from send(routes.GET_VARIABLE(workspace=workspace, variable=variable)))


# Pipelines and their actions


def pipelines(workspace: str, project: str) -> Pages[models.Pipeline]:
    """``GET .../pipelines``."""

    def get(number: int) -> Flow[tuple[list[models.Pipeline], bool]]:
        return (yield from page_of_pipelines(workspace, project, number)), False

    return numbered(get, lambda pipeline: pipeline.id)


def page_of_pipelines(workspace: str, project: str, page: int) -> Flow[list[models.Pipeline]]:
    """``GET .../pipelines``: one page."""
    return (yield from send(routes.LIST_PIPELINES(workspace=workspace, project=project, query=_page(page)))).pipelines


def resolve_pipeline(workspace: str, project: str, pipeline: int | str) -> Flow[int]:
    """
    Find a pipeline's id by its id, identifier or name.

    ``GET /workspaces/:workspace/identifiers`` knows identifiers only, and is missing on older installations: all else is looked up in
    ``GET .../pipelines``.

    :raises ConfigurationError: if none has that name, or several have it.
    """
    text = str(pipeline).strip()
    if is_number(text):
        return int(text)
    if text.isascii() and text.isdecimal():
        raise ConfigurationError(f"Buddy: {text[:30]}… is too long for the id of a pipeline.", system="buddy")
    known = (yield from _id_of_identifier(workspace, project, text)) if text else None
    if known is not None:
        return known
    named: list[models.Pipeline] = []
    labels: list[str] = []
    page, cursor = pipelines(workspace, project), None
    for _ in range(MAX_LIST_PAGES):
        items, cursor = yield from page(cursor)
        for item in items:
            if item.identifier == text:
                return item.id
            labels.append(f"{item.identifier or item.name} ({item.id})")
            if item.name == text:
                named.append(item)
        if cursor is None:
            break
    if len(named) == 1:
        return named[0].id
    problem = "names several pipelines" if named else "names no pipeline that the token may see"
    shown = [f"{item.identifier} ({item.id})" for item in named] or labels[:20]
    cut = "" if cursor is None else f" Only the first {len(labels)} were looked at."
    raise ConfigurationError(
        f"Buddy: {text[:200]!r} {problem} in {workspace}/{project}: {', '.join(shown) or 'there are none'}.{cut} Give its id.",
        system="buddy",
    )


def _id_of_identifier(workspace: str, project: str, identifier: str) -> Flow[int | None]:
    """Return the id of the pipeline with that identifier; None: there is none, or the API does not tell."""
    query = {"project": project, "pipeline": identifier}
    try:
        found = yield from send(routes.GET_IDENTIFIERS(workspace=workspace, query=query))
    except (Unauthorized, RateLimited):
        raise
    except (StatusError, ProtocolError, TransportError):
        return None  # the list of pipelines tells what is wrong, if anything is
    # An unknown project is left out of the answer, not refused.
    return found.pipeline_id if found.project_identifier == project else None


def get_pipeline(workspace: str, project: str, pipeline: int | str) -> Flow[models.Pipeline]:
    """``GET .../pipelines/:pipeline_id``, by id, identifier or name."""
    pipeline_id = yield from resolve_pipeline(workspace, project, pipeline)
    return (yield from send(routes.GET_PIPELINE(workspace=workspace, project=project, pipeline=pipeline_id)))


def list_actions(workspace: str, project: str, pipeline: int | str) -> Flow[list[action_models.ActionDefinition]]:
    """``GET .../pipelines/:pipeline_id/actions``; items may have fewer fields than those of :func:`get_action`."""
    pipeline_id = yield from resolve_pipeline(workspace, project, pipeline)
    return list((yield from send(routes.LIST_ACTIONS(workspace=workspace, project=project, pipeline=pipeline_id))).actions)


def get_action(workspace: str, project: str, pipeline: int | str, action: int | str) -> Flow[action_models.ActionDefinition]:
    """``GET .../pipelines/:pipeline_id/actions/:action_id``, both by id or name."""
    pipeline_id = yield from resolve_pipeline(workspace, project, pipeline)
    [action_id] = yield from resolve_actions(workspace, project, pipeline_id, [action])
    return (yield from send(routes.GET_ACTION(workspace=workspace, project=project, pipeline=pipeline_id, action=action_id)))


def resolve_actions(workspace: str, project: str, pipeline: int, actions: Sequence[int | str]) -> Flow[list[int]]:
    """
    Find the ids of actions by their ids or names (``GET .../actions``, only if a name is among them).

    :raises ConfigurationError: for a name that no action has, or that several have.
    """
    if all(is_number(str(action).strip()) for action in actions):
        return [int(action) for action in actions]
    definitions = yield from list_actions(workspace, project, pipeline)
    return [pick_action(action, [(item.id, item.name) for item in definitions]) for action in actions]


def pick_action(action: int | str, candidates: Sequence[tuple[int | None, str | None]]) -> int:
    """
    Pick an action by its id or name.

    :param candidates: id and name of each action.
    :raises ConfigurationError: if none has that name, or several have it.
    """
    text = str(action).strip()
    ids = {number for number, _ in candidates if number is not None}
    if is_number(text) and int(text) in ids:
        return int(text)
    matches = sorted({number for number, name in candidates if name == text and number is not None})
    if len(matches) == 1:
        return matches[0]
    problem = "names several actions" if matches else "names no action"
    labels = [f"{name!r} ({number})" for number, name in candidates if not matches or name == text]
    raise ConfigurationError(
        f"Buddy: {text[:200]!r} {problem} of the pipeline: {', '.join(labels[:20]) or 'it has none'}. Give its id.", system="buddy"
    )


# Executions


def executions(workspace: str, project: str, pipeline: int | str) -> Pages[models.Execution]:
    """``GET .../pipelines/:pipeline_id/executions``, newest first. Items are summaries."""
    resolved: list[int] = []

    def get(number: int) -> Flow[tuple[list[models.Execution], bool]]:
        if not resolved:
            resolved.append((yield from resolve_pipeline(workspace, project, pipeline)))
        answer = yield from send(routes.LIST_EXECUTIONS(workspace=workspace, project=project, pipeline=resolved[0], query=_page(number)))
        return answer.executions, answer.total_page_count == number

    return numbered(get, lambda execution: execution.id)


def glances(workspace: str, project: str, pipeline: int) -> Pages[models.Glance]:
    """Like :func:`executions`, with the status only."""

    def get(number: int) -> Flow[tuple[list[models.Glance], bool]]:
        answer = yield from send(routes.LIST_GLANCES(workspace=workspace, project=project, pipeline=pipeline, query=_page(number)))
        return answer.executions, answer.total_page_count == number

    return numbered(get, lambda glance: glance.id)


def page_of_executions(workspace: str, project: str, pipeline: int | str, page: int) -> Flow[list[models.Execution]]:
    """``GET .../pipelines/:pipeline_id/executions``: one page."""
    pipeline_id = yield from resolve_pipeline(workspace, project, pipeline)
    return (
        yield from send(routes.LIST_EXECUTIONS(workspace=workspace, project=project, pipeline=pipeline_id, query=_page(page)))
    ).executions


def get_execution(ref: str) -> Flow[models.Execution]:
    """``GET .../executions/:execution_id``."""
    return (yield from send(routes.GET_EXECUTION(ref=ref, **BuddyRef.parse(ref).path)))


def run_pipeline(workspace: str, project: str, pipeline: int | str, body: Mapping[str, Any]) -> Flow[models.Execution]:
    """``POST .../executions``. Never repeated: a marker in the comment tells later whether it took effect."""
    pipeline_id = yield from resolve_pipeline(workspace, project, pipeline)
    return (yield from send(routes.RUN_PIPELINE(body=dict(body), workspace=workspace, project=project, pipeline=pipeline_id)))


def run_pipeline_with(
    workspace: str,
    project: str,
    pipeline: int | str,
    *,
    comment: str | None = None,
    actions_to_run: Sequence[int | str] = (),
    **arguments: Any,
) -> Flow[models.Execution]:
    """
    :func:`run_pipeline` with the arguments of an operator instead of a body.

    :param arguments: see :func:`~airflow_provider.buddy.api.bodies.run_body`.
    """
    body = run_body(**arguments)
    actions = name_list(actions_to_run, "actions_to_run")
    pipeline_id = yield from resolve_pipeline(workspace, project, pipeline)
    if actions:
        body["actions_to_run"] = yield from resolve_actions(workspace, project, pipeline_id, actions)
    return (yield from run_pipeline(workspace, project, pipeline_id, {**body, **({"comment": comment} if comment else {})}))


def retry_execution(ref: str) -> Flow[models.Execution]:
    """
    ``PATCH .../executions/:execution_id``, ``RETRY``. Not repeated.

    :raises ProtocolError: if the answer is about an execution that is neither this one nor a newer one.
    """
    parsed = BuddyRef.parse(ref)
    again = yield from send(routes.RETRY_EXECUTION(ref=ref, body={"operation": "RETRY"}, **parsed.path))
    if again.id < parsed.execution:
        raise ProtocolError(f"Buddy: the retry of execution {ref} was answered with execution {again.id}.", system="buddy", ref=ref)
    return again


def change_execution(
    ref: str, operation: str, variables: Sequence[Mapping[str, Any]] = (), approve_action_id: str | None = None
) -> Flow[models.Execution]:
    """``PATCH .../executions/:execution_id``. Not repeated."""
    body: dict[str, Any] = {"operation": operation}
    if variables:
        body["variables"] = [dict(variable) for variable in variables]
    if approve_action_id is not None:
        body["approve_action_id"] = approve_action_id
    return (yield from send(routes.CHANGE_EXECUTION(ref=ref, body=body, **BuddyRef.parse(ref).path)))


# Action executions


def get_action_execution(ref: str) -> Flow[models.ActionExecution]:
    """``GET .../action_executions/:action_execution_id``."""
    parsed, step = action_execution_of(ref)
    return (yield from send(routes.GET_ACTION_EXECUTION(ref=ref, action_execution=step, **parsed.path)))


def asked_variables(ref: str, action: int) -> Flow[list[models.Variable]]:
    """``GET .../actions/:id``: the variables that a gate asks for. None, if its definition can't be read."""
    parsed = BuddyRef.parse(ref)
    try:
        definition = yield from send(
            routes.GET_ACTION(action=action, workspace=parsed.workspace, project=parsed.project, pipeline=parsed.pipeline)
        )
    except (StatusError, ProtocolError):
        return []
    return list(definition.variables)


# Who am I


def get_token() -> Flow[models.Token]:
    """``GET /user/token``."""
    return (yield from send(routes.GET_TOKEN()))


def get_user() -> Flow[models.User]:
    """``GET /user``."""
    return (yield from send(routes.GET_USER()))
