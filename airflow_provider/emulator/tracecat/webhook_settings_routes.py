"""The settings of workflows' webhooks, and their keys."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
import secrets
from typing import Literal

from fastapi import FastAPI, Response
from pydantic import BaseModel

from airflow_provider.emulator.tracecat.access import WebhookKey, preview
from airflow_provider.emulator.tracecat.errors import refusal
from airflow_provider.emulator.tracecat.route_parts import Access, Json, add_route, check_workflow_id, needs, no_content, workflow_of
from airflow_provider.emulator.tracecat.scenario import Workflow
from airflow_provider.emulator.tracecat.system import Tracecat
from airflow_provider.emulator.tracecat.times import iso
from airflow_provider.emulator.tracecat.workflow_routes import WORKFLOW
from airflow_provider.emulator.tracecat.workflow_views import WorkflowViews

_WEBHOOK = WORKFLOW + "/webhook"
_KEY = _WEBHOOK + "/api-key"


class WebhookPatch(BaseModel):
    """The body of a change of a webhook."""

    status: Literal["online", "offline"] | None = None
    methods: list[Literal["GET", "POST"]] | None = None


def add_webhook_settings_routes(application: FastAPI, tracecat: Tracecat) -> None:
    """Add the routes to ``application``."""
    updates, reads_as_user = needs(tracecat, "workflow:update"), needs(tracecat, "workflow:read", users_only=True)
    views = WorkflowViews(tracecat)

    def find(access: Access, workflow_id: str) -> Workflow:
        return workflow_of(tracecat, access, check_workflow_id(workflow_id, "path"))

    async def read_webhook(workflow_id: str, access: Access = reads_as_user) -> Json:
        with tracecat.lock:
            return views.webhook(find(access, workflow_id))

    async def patch_webhook(workflow_id: str, body: WebhookPatch, access: Access = updates) -> Response:
        with tracecat.lock:
            workflow = find(access, workflow_id)
            workflow.webhook = body.status or workflow.webhook
            workflow.webhook_methods = body.methods or workflow.webhook_methods
        return no_content()

    async def issue_key(workflow_id: str, access: Access = updates) -> Json:
        with tracecat.lock:
            key = WebhookKey("tc_sk_" + secrets.token_hex(24), tracecat.clock.now())
            tracecat.webhook_keys[find(access, workflow_id).id or ""] = key
            return {"api_key": key.key, "preview": preview(key.key), "created_at": iso(key.created_at)}

    def key_of(access: Access, workflow_id: str) -> tuple[str, WebhookKey]:
        number = find(access, workflow_id).id or ""
        if number not in tracecat.webhook_keys:
            raise refusal(404, "Webhook API key not found")
        return number, tracecat.webhook_keys[number]

    async def revoke_key(workflow_id: str, access: Access = updates) -> Response:
        with tracecat.lock:
            key_of(access, workflow_id)[1].revoked_at = tracecat.clock.now()
        return no_content()

    async def delete_key(workflow_id: str, access: Access = updates) -> Response:
        with tracecat.lock:
            del tracecat.webhook_keys[key_of(access, workflow_id)[0]]
        return no_content()

    add_route(application, "GET", _WEBHOOK, read_webhook)
    add_route(application, "PATCH", _WEBHOOK, patch_webhook, 204)
    add_route(application, "POST", _KEY, issue_key, 201)
    add_route(application, "DELETE", _KEY, delete_key, 204)
    add_route(application, "POST", _KEY + "/revoke", revoke_key, 204)
