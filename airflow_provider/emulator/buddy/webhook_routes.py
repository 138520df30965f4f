"""Route 16: webhooks."""

# No postponed annotations here: FastAPI reads them at run time, inside a function.
import dataclasses
from typing import Any

from fastapi import FastAPI, Request, Response

from airflow_provider.emulator.buddy.errors import ApiError
from airflow_provider.emulator.buddy.route_parts import WORKSPACE, Json, Lookup, bad_request, needs, read_object
from airflow_provider.emulator.buddy.system import Buddy
from airflow_provider.emulator.buddy.webhook_views import WebhookViews
from airflow_provider.emulator.buddy.webhooks import Webhook

_WEBHOOKS = WORKSPACE + "/webhooks"


def add_webhook_routes(application: FastAPI, buddy: Buddy) -> None:
    """Add the routes to ``application``."""
    lookup = Lookup(buddy)

    def find(workspace: str, webhook_id: str) -> Webhook:
        lookup.workspace(workspace)
        for webhook in buddy.webhooks:
            if webhook.workspace == workspace and str(webhook.id) == webhook_id:
                return webhook
        raise ApiError(404, "Webhook not found")

    @application.get(_WEBHOOKS, dependencies=needs(buddy, "WEBHOOK_INFO"))
    async def list_webhooks(workspace: str) -> Json:
        with buddy.lock:
            views, name = WebhookViews(buddy), lookup.workspace(workspace)
            webhooks = [webhook for webhook in buddy.webhooks if webhook.workspace == name]
            return {**views.list_urls(name), "webhooks": [views.webhook(webhook, single=False) for webhook in webhooks]}

    @application.post(_WEBHOOKS, status_code=201, dependencies=needs(buddy, "WEBHOOK_ADD"))
    async def add_webhook(request: Request, workspace: str) -> Json:
        body = await read_object(request)
        with buddy.lock:
            fields = {"target_url": "", **_fields(body)}
            if not fields.get("events"):
                raise ApiError(400, "Field events is required")
            webhook = Webhook(**fields, workspace=lookup.workspace(workspace))
            with bad_request():
                added = buddy.add_webhook(webhook)
            return WebhookViews(buddy).webhook(added, single=True)

    @application.get(_WEBHOOKS + "/{webhook_id}", dependencies=needs(buddy, "WEBHOOK_INFO"))
    async def get_webhook(workspace: str, webhook_id: str) -> Json:
        with buddy.lock:
            return WebhookViews(buddy).webhook(find(workspace, webhook_id), single=True)

    @application.patch(_WEBHOOKS + "/{webhook_id}", dependencies=needs(buddy, "WEBHOOK_MANAGE"))
    async def patch_webhook(request: Request, workspace: str, webhook_id: str) -> Json:
        body = await read_object(request)
        with buddy.lock:
            webhook, fields = find(workspace, webhook_id), _fields(body)
            with bad_request():
                dataclasses.replace(webhook, **fields).check()
            for name, value in fields.items():
                setattr(webhook, name, value)
            return WebhookViews(buddy).webhook(webhook, single=True)

    @application.delete(_WEBHOOKS + "/{webhook_id}", status_code=204, dependencies=needs(buddy, "WEBHOOK_MANAGE"))
    async def delete_webhook(workspace: str, webhook_id: str) -> Response:
        with buddy.lock:
            buddy.delete_webhook(find(workspace, webhook_id).id or 0)
            return Response(status_code=204)


def _fields(body: Json) -> dict[str, Any]:
    """Return the fields of a webhook from a body.

    :raises ApiError: 400.
    """
    fields: dict[str, Any] = {}
    for name in ("target_url", "secret_key", "project_filter"):
        if body.get(name) is not None:
            if not isinstance(body[name], str):
                raise ApiError(400, f"Field {name} must be a string")
            fields[name] = body[name]
    for name in ("events", "projects"):
        if body.get(name) is not None:
            if not isinstance(body[name], list) or not all(isinstance(item, str) for item in body[name]):
                raise ApiError(400, f"Field {name} must be a list of strings")
            fields[name] = body[name]
    return fields
