"""Service accounts, the inbox and approvals: routes for users only."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
from fastapi import FastAPI, Response

from airflow_provider.emulator.tracecat.access import ServiceKey, preview
from airflow_provider.emulator.tracecat.errors import not_entitled, refusal
from airflow_provider.emulator.tracecat.ids import same_id
from airflow_provider.emulator.tracecat.route_parts import (
    Access,
    Json,
    add_route,
    fingerprint,
    needs,
    no_content,
    page,
    read_cursor,
    user_view,
)
from airflow_provider.emulator.tracecat.system import Tracecat
from airflow_provider.emulator.tracecat.times import iso

ACCOUNTS = "/service-accounts"
ACCOUNT = ACCOUNTS + "/{account_id}"


def add_account_routes(application: FastAPI, tracecat: Tracecat) -> None:
    """Add the routes to ``application``."""
    users = needs(tracecat, users_only=True)
    inbox = needs(tracecat, "inbox:read", users_only=True)
    approves = needs(tracecat, "agent:update", users_only=True)

    async def list_inbox(access: Access = inbox) -> Json:
        return page([], read_cursor(None, fingerprint([]), "inbox"), None)

    async def count_inbox(access: Access = inbox) -> Json:
        return {"count": 0}

    async def approve(session_id: str, access: Access = approves) -> Json:
        raise refusal(404, "Agent session not found")

    def accounts_of(access: Access) -> list[ServiceKey]:
        if not tracecat.entitled:
            raise not_entitled("service_accounts")
        return [key for key in tracecat.keys if key.workspace == access.workspace.id]

    def account(access: Access, account_id: str) -> ServiceKey:
        for key in accounts_of(access):
            if key.id == account_id:
                return key
        raise refusal(404, "Service account not found")

    async def list_accounts(access: Access = users) -> Json:
        with tracecat.lock:
            rows = [_account(tracecat, key) for key in accounts_of(access)]
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
            raise refusal(404, "API key not found")
        key.revoked = True
        return no_content()

    add_route(application, "GET", "/inbox/items", list_inbox, legacy=False)
    add_route(application, "GET", "/inbox/items/pending-count", count_inbox, legacy=False)
    add_route(application, "POST", "/approvals/{session_id}", approve, legacy=False)
    add_route(application, "GET", ACCOUNTS, list_accounts, legacy=False)
    add_route(application, "POST", ACCOUNT + "/disable", disable, 204, legacy=False)
    add_route(application, "POST", ACCOUNT + "/enable", enable, 204, legacy=False)
    add_route(application, "POST", ACCOUNT + "/api-keys/{key_id}/revoke", revoke, 204, legacy=False)


def _account(tracecat: Tracecat, key: ServiceKey) -> Json:
    owner, created = tracecat.user, iso(key.created_at)
    active = not key.revoked
    api_key: Json = {
        "id": key.key_id,
        "name": "Primary",
        "key_id": key.key.split("_")[3],
        "preview": preview(key.key),
        "created_by": owner.id,
        "created_by_user": user_view(owner),
        "revoked_by": None,
        "revoked_by_user": None,
        "last_used_at": None,
        "revoked_at": None,
        "created_at": created,
        "updated_at": created,
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
        "owner_user": user_view(owner),
        "name": key.name,
        "description": "",
        "disabled_at": created if key.disabled else None,
        "last_used_at": None,
        "created_at": created,
        "updated_at": created,
        "scopes": scopes,
        "active_api_key": api_key if active else None,
        "api_key_counts": {"total": 1, "active": int(active), "revoked": int(not active)},
    }
