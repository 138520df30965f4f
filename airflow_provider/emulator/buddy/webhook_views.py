"""Webhooks and their payloads as the vendor's JSON objects."""

from __future__ import annotations

from typing import Any

from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.installation import Installation
from airflow_provider.emulator.buddy.views import Views, date
from airflow_provider.emulator.buddy.webhooks import Webhook


class WebhookViews:
    """Renders webhooks and payloads."""

    def __init__(self, buddy: Installation) -> None:
        self._buddy = buddy
        self._views = Views(buddy)

    def list_urls(self, workspace: str) -> dict[str, Any]:
        """Return ``url`` and ``html_url`` of the list."""
        view = self._views.workspace(workspace, single=False)
        return {key: f"{view[key]}/webhooks" for key in ("url", "html_url")}

    def webhook(self, webhook: Webhook, *, single: bool) -> dict[str, Any]:
        """Route 16: a webhook, as a list item, or alone with its deliveries."""
        urls = self.list_urls(webhook.workspace)
        view: dict[str, Any] = {
            "url": f"{urls['url']}/{webhook.id}",
            "html_url": f"{urls['html_url']}/{webhook.id}",
            "id": webhook.id,
            "target_url": webhook.target_url,
            "secret_key": webhook.secret_key,
            "projects": list(webhook.projects),
            "events": list(webhook.events),
        }
        if webhook.project_filter is not None:
            view["project_filter"] = webhook.project_filter
        if single:
            view["requests"] = [
                self._views.without_nulls({"post_date": date(delivery.at), "response_status": delivery.status, "body": delivery.body})
                for delivery in webhook.requests
            ]
        return view

    def payload(self, webhook: Webhook, execution: Execution) -> dict[str, Any]:
        """The payload of a delivery. In the vendor's sample it does not name the event, and addresses lack their ``/workspaces`` part."""
        views, buddy = self._views, self._buddy
        run = views.listed_execution(execution)
        short = f"{views.api}/projects/{execution.project}"
        branch = run.get("branch")
        return {
            "workspace": views.workspace(execution.workspace, single=False),
            "invoker": {**views.person(execution.creator), "email": None},
            "project": {**views.project(execution.workspace, execution.project, single=False), "url": short},
            "current_date": date(buddy.clock.now()),
            "secret_key": webhook.secret_key,
            "execution": {
                "url": f"{short}/pipelines/{execution.pipeline.id}/executions/{execution.id}",
                "html_url": run["html_url"],
                "id": execution.id,
                "start_date": run.get("start_date"),
                "finish_date": run.get("finish_date"),
                # An outdated field of the vendor's.
                "mode": "MANUAL" if execution.triggered_on == "CLICK" else execution.triggered_on,
                "refresh": execution.request.refresh,
                "status": run["status"],
                "comment": execution.comment,
                "branch": branch and branch["name"],
                "creator": views.person(execution.creator),
            },
        }
