"""The installation, login and logout, the calling user, and workspaces."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import FastAPI, Request, Response

from airflow_provider.emulator.tracecat.access import User
from airflow_provider.emulator.tracecat.errors import ApiError, forbidden, refusal, scope_missing
from airflow_provider.emulator.tracecat.route_parts import Access, Json, caller_of, needs, user_view
from airflow_provider.emulator.tracecat.system import Tracecat

_ATTACHMENTS = {
    ".csv": "text/csv",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".txt": "text/plain",
}


def add_session_routes(application: FastAPI, tracecat: Tracecat) -> None:
    """Add the routes to ``application``."""
    reads = needs(tracecat, "workspace:read")

    @application.get("/info")
    async def read_info() -> Json:
        return {
            "version": tracecat.version,
            "public_app_url": tracecat.web_url,
            "auth_allowed_types": ["basic"] if tracecat.password_login else ["oidc"],
            "saml_enabled": True,
            "saml_enforced": False,
            "ee_multi_tenant": tracecat.entitled,
        }

    @application.get("/openapi.json")
    async def read_openapi() -> Json:
        """Only what tells whether a start takes a time anchor."""
        if not tracecat.openapi:
            raise refusal(404, "Not Found")
        fields = ["workflow_id", "inputs", *(["time_anchor"] if tracecat.takes_time_anchor else [])]
        start = {"title": "WorkflowExecutionCreate", "type": "object", "properties": {name: {} for name in fields}}
        return {"openapi": "3.1.0", "info": {"title": "Tracecat API", "version": "1"}, "components": {"schemas": {start["title"]: start}}}

    @application.get("/health")
    async def read_health() -> Json:
        return {"status": "ok"}

    @application.post("/auth/login")
    async def sign_in(request: Request) -> Response:
        if not tracecat.password_login:
            raise refusal(404, "Not Found")
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode("utf-8", "replace")).items()}
        missing = [name for name in ("username", "password") if name not in form]
        if missing:
            raise refusal(422, [{"type": "missing", "loc": ["body", name], "msg": "Field required", "input": None} for name in missing])
        with tracecat.lock:
            for user in tracecat.users:
                if (user.email, user.password) == (form["username"], form["password"]):
                    seconds = tracecat.session_seconds
                    token = tracecat.sessions.begin(user, seconds)
                    answer = Response(status_code=204)
                    secure = urlsplit(tracecat.web_url).scheme == "https"
                    answer.set_cookie(tracecat.cookie_name, token, max_age=int(seconds), path="/", secure=secure, httponly=True)
                    return answer
        raise refusal(400, "LOGIN_BAD_CREDENTIALS")

    @application.post("/auth/logout")
    async def sign_out(request: Request) -> Response:
        with tracecat.lock:
            signed_in(request)
            tracecat.sessions.end(request.cookies.get(tracecat.cookie_name))
        answer = Response(status_code=204)
        answer.delete_cookie(tracecat.cookie_name, path="/", httponly=True)
        return answer

    def signed_in(request: Request) -> User:
        user = tracecat.sessions.user(request.cookies.get(tracecat.cookie_name))
        if user is None:
            raise ApiError(401, {"detail": "Unauthorized"})
        return user

    @application.get("/users/me")
    async def read_me(request: Request) -> Json:
        with tracecat.lock:
            user = signed_in(request)
            about = {"is_active": True, "is_superuser": True, "is_verified": False, "settings": {}}
            return user_view(user) | about

    @application.get("/users/me/scopes")
    async def read_my_scopes(request: Request) -> Json:
        with tracecat.lock:
            caller = caller_of(tracecat, request)
            if caller.kind != "user":
                raise forbidden()
            return {"scopes": list(caller.scopes)}

    @application.get("/workspaces")
    async def list_workspaces(request: Request) -> list[Json]:
        with tracecat.lock:
            caller = caller_of(tracecat, request)
            if not any(caller.may(scope) for scope in ("workspace:read", "org:workspace:read", "org:read")):
                raise scope_missing(["workspace:read"])
            visible = [workspace for workspace in tracecat.workspaces if caller.workspace in (None, workspace.id)]
            return [{"id": workspace.id, "name": workspace.name} for workspace in visible]

    @application.get("/workspaces/{workspace_id}")
    async def read_workspace(access: Access = reads) -> Json:
        settings: dict[str, Any] = dict.fromkeys(
            (
                "git_provider",
                "git_repo_url",
                "workflow_default_timeout_seconds",
                "allowed_attachment_extensions",
                "allowed_attachment_mime_types",
                "validate_attachment_magic_number",
            )
        )
        settings |= {
            "workflow_unlimited_timeout_enabled": False,
            "effective_allowed_attachment_extensions": list(_ATTACHMENTS),
            "effective_allowed_attachment_mime_types": list(_ATTACHMENTS.values()),
        }
        workspace = access.workspace
        return {"id": workspace.id, "name": workspace.name, "settings": settings, "organization_id": tracecat.organization}
