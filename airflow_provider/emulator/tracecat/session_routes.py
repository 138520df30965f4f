"""The installation, who calls, workspaces, service accounts, and what only users see."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fastapi import FastAPI, Request, Response

from airflow_provider.emulator.tracecat.access import ServiceKey, User, preview
from airflow_provider.emulator.tracecat.errors import ApiError, forbidden, not_entitled, scope_missing, told
from airflow_provider.emulator.tracecat.ids import same_id
from airflow_provider.emulator.tracecat.route_parts import Access, Json, add, caller_of, fingerprint, needs, no_content, page, read_cursor
from airflow_provider.emulator.tracecat.system import Tracecat
from airflow_provider.emulator.tracecat.times import iso

_ATTACHMENTS = {
    ".csv": "text/csv",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".txt": "text/plain",
}
ACCOUNTS = "/service-accounts"
ACCOUNT = ACCOUNTS + "/{account_id}"


def add_session_routes(application: FastAPI, tracecat: Tracecat) -> None:
    """Add the routes to ``application``."""
    reads, users = needs(tracecat, "workspace:read"), needs(tracecat, users_only=True)
    inbox = needs(tracecat, "inbox:read", users_only=True)
    approves = needs(tracecat, "agent:update", users_only=True)

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

    @application.get("/health")
    async def read_health() -> Json:
        return {"status": "ok"}

    @application.post("/auth/login")
    async def sign_in(request: Request) -> Response:
        if not tracecat.password_login:
            raise told(404, "Not Found")
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode("utf-8", "replace")).items()}
        missing = [name for name in ("username", "password") if name not in form]
        if missing:
            raise told(422, [{"type": "missing", "loc": ["body", name], "msg": "Field required", "input": None} for name in missing])
        with tracecat.lock:
            for user in tracecat.users:
                if (user.email, user.password) == (form["username"], form["password"]):
                    seconds = tracecat.session_seconds
                    token = tracecat.sessions.begin(user, seconds)
                    answer = Response(status_code=204)
                    secure = urlsplit(tracecat.web_url).scheme == "https"
                    answer.set_cookie(tracecat.cookie_name, token, max_age=int(seconds), path="/", secure=secure, httponly=True)
                    return answer
        raise told(400, "LOGIN_BAD_CREDENTIALS")

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
            return _user(user) | about

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
            seen = [one for one in tracecat.workspaces if caller.workspace in (None, one.id)]
            return [{"id": one.id, "name": one.name} for one in seen]

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

    async def list_inbox(access: Access = inbox) -> Json:
        return page([], read_cursor(None, fingerprint([]), "inbox"), None)

    async def count_inbox(access: Access = inbox) -> Json:
        return {"count": 0}

    async def approve(session_id: str, access: Access = approves) -> Json:
        raise told(404, "Agent session not found")

    def accounts_of(access: Access) -> list[ServiceKey]:
        if not tracecat.entitled:
            raise not_entitled("service_accounts")
        return [one for one in tracecat.keys if one.workspace == access.workspace.id]

    def account(access: Access, account_id: str) -> ServiceKey:
        for key in accounts_of(access):
            if key.id == account_id:
                return key
        raise told(404, "Service account not found")

    async def list_accounts(access: Access = users) -> Json:
        with tracecat.lock:
            rows = [_account(tracecat, one) for one in accounts_of(access)]
            return page(rows, read_cursor(None, fingerprint([]), "service accounts"), None) | {"total_estimate": len(rows)}

    async def disable(account_id: str, access: Access = users) -> Response:
        account(access, account_id).disabled = True
        return no_content()

    async def enable(account_id: str, access: Access = users) -> Response:
        account(access, account_id).disabled = False
        return no_content()

    async def revoke(account_id: str, key_id: str, access: Access = users) -> Response:
        key = account(access, account_id)
        if key.key_id != key_id:
            raise told(404, "API key not found")
        key.revoked = True
        return no_content()

    add(application, "GET", "/inbox/items", list_inbox, legacy=False)
    add(application, "GET", "/inbox/items/pending-count", count_inbox, legacy=False)
    add(application, "POST", "/approvals/{session_id}", approve, legacy=False)
    add(application, "GET", ACCOUNTS, list_accounts, legacy=False)
    add(application, "POST", ACCOUNT + "/disable", disable, 204, legacy=False)
    add(application, "POST", ACCOUNT + "/enable", enable, 204, legacy=False)
    add(application, "POST", ACCOUNT + "/api-keys/{key_id}/revoke", revoke, 204, legacy=False)


def _user(user: User) -> Json:
    return {"id": user.id, "email": user.email, "role": "basic", "first_name": user.first_name, "last_name": user.last_name}


def _account(tracecat: Tracecat, key: ServiceKey) -> Json:
    owner, made = tracecat.user, iso(key.created_at)
    active = not key.revoked
    shown: Json = {
        "id": key.key_id,
        "name": "Primary",
        "key_id": key.key.split("_")[3],
        "preview": preview(key.key),
        "created_by": owner.id,
        "created_by_user": _user(owner),
        "revoked_by": None,
        "revoked_by_user": None,
        "last_used_at": None,
        "revoked_at": None,
        "created_at": made,
        "updated_at": made,
    }
    scopes = [
        {
            "id": same_id("scope", name),
            "name": name,
            "resource": name.partition(":")[0],
            "action": name.rpartition(":")[2],
            "description": name,
        }
        for name in key.scopes
    ]
    return {
        "id": key.id,
        "organization_id": tracecat.organization,
        "workspace_id": key.workspace,
        "owner_user_id": owner.id,
        "owner_user": _user(owner),
        "name": key.name,
        "description": "",
        "disabled_at": made if key.disabled else None,
        "last_used_at": None,
        "created_at": made,
        "updated_at": made,
        "scopes": scopes,
        "active_api_key": shown if active else None,
        "api_key_counts": {"total": 1, "active": int(active), "revoked": int(not active)},
    }
