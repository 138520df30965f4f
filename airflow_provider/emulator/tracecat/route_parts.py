"""Shared parts of the routes: access checks, lookup by path, validation errors, pages."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
import base64
import binascii
import hashlib
import json
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from fastapi import Depends, FastAPI, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError

from airflow_provider.emulator.json_text import JsonResponse
from airflow_provider.emulator.tracecat import ids
from airflow_provider.emulator.tracecat.access import Caller, User, Workspace, caller_of_key, caller_of_user
from airflow_provider.emulator.tracecat.errors import ApiError, forbidden, refusal, scope_missing, unexpected
from airflow_provider.emulator.tracecat.execution import Execution
from airflow_provider.emulator.tracecat.scenario import Workflow
from airflow_provider.emulator.tracecat.system import Tracecat

Json = dict[str, Any]

SCOPED = "/workspaces/{workspace_id}"
_UNION = "json-or-python[json=function-plain[new()],python=union[is-instance[WorkflowUUID],function-plain[new()]]]"


@dataclass(frozen=True)
class Access:
    """The caller and the workspace of a request."""

    caller: Caller
    workspace: Workspace


async def refuse(request: Request, error: Exception) -> JsonResponse:
    """Answer an :class:`ApiError`."""
    assert isinstance(error, ApiError)
    return JsonResponse(error.body, error.status, error.headers)


async def refuse_form(request: Request, error: Exception) -> JsonResponse:
    """Answer a request that has not the right form, as FastAPI does, also if what it has is no JSON, such as NaN."""
    assert isinstance(error, RequestValidationError)
    return JsonResponse({"detail": jsonable_encoder(error.errors())}, 422)


def caller_of(tracecat: Tracecat, request: Request) -> Caller:
    """Return the caller of a request; a valid session takes precedence over a key.

    :raises ApiError: 401 or 403.
    """
    user = tracecat.sessions.user(request.cookies.get(tracecat.cookie_name))
    if user is not None:
        return caller_of_user(user)
    return caller_of_key(request.headers.get("authorization"), tracecat.keys, tracecat.entitled)


def needs(tracecat: Tracecat, scope: str | None = None, *, users_only: bool = False) -> Any:
    """Return the access check of a route below a workspace, as a dependency.

    :param scope: the scope that the route requires.
    :param users_only: whether the route refuses service accounts.
    """

    async def check(request: Request) -> Access:
        with tracecat.lock:
            workspace_id = _workspace_of(tracecat, request)
            caller = caller_of(tracecat, request)
            if users_only and caller.kind != "user":
                raise forbidden()
            if caller.workspace is not None and caller.workspace != workspace_id:
                raise forbidden()
            workspace = next((candidate for candidate in tracecat.workspaces if candidate.id == workspace_id), None)
            if workspace is None:
                raise refusal(404, "Workspace not found")
            if scope is not None and not caller.may(scope):
                raise scope_missing([scope])
            return Access(caller, workspace)

    return Depends(check)


def _workspace_of(tracecat: Tracecat, request: Request) -> str:
    """Return the id of the workspace that a request is about: from its path or, in the old form, from its query."""
    path, query = request.path_params.get("workspace_id"), request.query_params.get("workspace_id")
    if tracecat.workspace_in == ("query" if path is not None else "path"):
        raise refusal(404, "Not Found")
    text = path if path is not None else query
    if text is None:
        raise refusal(422, "workspace_id is required")
    try:
        workspace_id = str(uuid.UUID(text))
    except ValueError:
        raise refusal(422, f"Invalid workspace_id {'path' if path is not None else 'query'} parameter") from None
    if path is not None and query is not None and query != path:
        raise refusal(400, "Path and query workspace_id values must match")
    return workspace_id


def add_route(
    application: FastAPI, method: str, path: str, endpoint: Callable[..., Any], status: int = 200, *, legacy: bool = True
) -> None:
    """Add a route of a workspace in its present form and in its old one, which has ``workspace_id`` in the query.

    :param legacy: whether there is an old form.
    """
    for form in (SCOPED + path, path) if legacy else (SCOPED + path,):
        application.add_api_route(form, endpoint, methods=[method], status_code=status, response_model=None)


def execution_of(tracecat: Tracecat, access: Access, text: str, named: bool = False) -> Execution:
    """Return the execution that a path names; the id may be percent-encoded twice.

    :param named: whether the error message contains the id.
    :raises ApiError: 404, or 500 if the orchestrator is down.
    """
    if tracecat.temporal_down:
        raise unexpected()
    execution_id = unquote(text)
    execution = tracecat.existing(execution_id)
    if execution is not None and execution.workspace == access.workspace.id:
        return execution
    raise refusal(404, "Workflow execution not found" + (f": {execution_id}" if named else ""))


def workflow_of(tracecat: Tracecat, access: Access, text: str, missing: str = "Workflow not found") -> Workflow:
    """Return the workflow with that id, in any of its forms.

    :raises ApiError: 404.
    """
    number = str(ids.workflow_uuid(text))
    for workflow in tracecat.workflows:
        if workflow.id == number and workflow.workspace == access.workspace.id:
            return workflow
    raise refusal(404, missing)


def check_workflow_id(value: Any, place: str) -> str:
    """Return a workflow's id, in any of its forms.

    :param place: ``body``, ``query`` or ``path``.
    :raises RequestValidationError: it has none of them.
    """
    loc = [place, "workflow_id"]
    if isinstance(value, str):
        try:
            ids.workflow_uuid(value)
            return value
        except ValueError:
            pass
    reason = "badly formed hexadecimal UUID string"
    errors: list[Json] = [
        {
            "type": "is_instance_of",
            "loc": [*loc, _UNION, "is-instance[WorkflowUUID]"],
            "msg": "Input should be an instance of WorkflowUUID",
            "input": value,
            "ctx": {"class": "WorkflowUUID"},
        },
        {
            "type": "value_error",
            "loc": [*loc, _UNION, "function-plain[new()]"],
            "msg": f"Value error, {reason}",
            "input": value,
            "ctx": {"error": reason},
        },
    ]
    errors += [_no_match([*loc, "constrained-str"], pattern, value) for pattern in ("wf_[0-9a-zA-Z]+", "wf-[0-9a-f]{32}")]
    raise RequestValidationError(errors)


def check_suffix(value: str) -> str:
    """Return the part of an execution's id after the slash.

    :raises RequestValidationError: it does not have the right form.
    """
    if not re.match(ids.SUFFIX, value):
        raise RequestValidationError([_no_match(["path", "execution_id"], ids.SUFFIX, value)])
    return value


def _no_match(loc: list[str], pattern: str, value: Any) -> Json:
    message = f"String should match pattern '{pattern}'"
    return {"type": "string_pattern_mismatch", "loc": loc, "msg": message, "input": value, "ctx": {"pattern": pattern}}


def user_view(user: User) -> Json:
    """Return a user as the vendor's object."""
    return {"id": user.id, "email": user.email, "role": "basic", "first_name": user.first_name, "last_name": user.last_name}


def no_content() -> Response:
    """Return an answer without a body; as the vendor's, it has a content type."""
    return Response(status_code=204, media_type="application/json")


def fingerprint(filters: Any) -> str:
    """Return the hash by which a cursor recognizes its filters."""
    return hashlib.sha256(json.dumps(filters, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class Cursor:
    """The position of a page, and those of the pages before it: a key, or None at the start."""

    fingerprint: str
    token: Any = None
    history: tuple[Any, ...] = ()

    def text(self) -> str:
        """Return it as an opaque string for clients."""
        content = {"fingerprint": self.fingerprint, "history": self.history, "token": self.token}
        return base64.urlsafe_b64encode(json.dumps(content).encode()).decode()


def read_cursor(text: str | None, expected: str, what: str) -> Cursor:
    """Return the cursor that a client sent.

    :raises ApiError: 400.
    """
    if text is None:
        return Cursor(expected)
    try:
        content = json.loads(base64.urlsafe_b64decode(text.encode()))
        cursor = Cursor(content["fingerprint"], content["token"], tuple(content["history"]))
    except (ValueError, KeyError, TypeError, binascii.Error):
        raise refusal(400, f"Invalid {what} cursor") from None
    if cursor.fingerprint != expected:
        raise refusal(400, "Cursor no longer matches current filters. Retry without cursor.")
    return cursor


def page(items: list[Json], cursor: Cursor, next_token: Any) -> Json:
    """Return a page as an object.

    :param next_token: position of the next page; None: there is none.
    """
    later = Cursor(cursor.fingerprint, next_token, (*cursor.history, cursor.token))
    earlier = Cursor(cursor.fingerprint, cursor.history[-1], cursor.history[:-1]) if cursor.history else None
    return {
        "items": items,
        "next_cursor": later.text() if next_token is not None else None,
        "prev_cursor": earlier.text() if earlier else None,
        "has_more": next_token is not None,
        "has_previous": earlier is not None,
        "total_estimate": None,
    }
