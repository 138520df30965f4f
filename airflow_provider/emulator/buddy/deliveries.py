"""The thread that delivers to webhooks."""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any
from urllib.parse import urlsplit

from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.installation import Installation
from airflow_provider.emulator.buddy.webhook_views import WebhookViews
from airflow_provider.emulator.buddy.webhooks import Delivery, Webhook

_LOOK_EVERY = 0.02
_TIMEOUT = 5.0


class Deliveries:
    """Looks every few milliseconds for what has happened on the emulator's clock, and tells the webhooks.

    It runs from the first webhook on. What happened before that nobody hears of. An event is delivered when it is noticed:
    if a run has started and ended between two looks, both events go out one after the other, with the run as it is then.
    """

    def __init__(self, buddy: Installation) -> None:
        self._buddy = buddy
        self._told: set[tuple[int, int, str]] = set()
        self._state = threading.Condition()
        self._stopping = False
        self._asked = self._looked = 0
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start to look, unless it does so already; call it with the lock held."""
        if self._thread is None:
            self._news()
            self._thread = threading.Thread(target=self._run, name="airflow-provider-emulator-webhooks", daemon=True)
            self._thread.start()

    def settle(self, seconds: float = 30.0) -> bool:
        """Look now, and wait until what has happened so far is delivered; whether it is, after ``seconds`` of the machine's clock."""
        with self._state:
            self._asked += 1
            look = self._asked
            self._state.notify_all()
            return self._state.wait_for(lambda: self._looked >= look or self._stopping, seconds) and not self._stopping

    def stop(self) -> None:
        """Deliver nothing more."""
        with self._state:
            self._stopping = True
            self._state.notify_all()
        if self._thread is not None:
            self._thread.join(1.0)

    def _run(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._stopping or self._asked > self._looked, _LOOK_EVERY)
                if self._stopping:
                    return
                look = self._asked
            with self._buddy.lock:
                due = self._due() if self._buddy.serves else []
            for webhook, event, payload in due:
                if not self._stopping:
                    self._deliver(webhook, event, payload)
            with self._state:
                self._looked = look
                self._state.notify_all()

    def _due(self) -> list[tuple[Webhook, str, dict[str, Any]]]:
        views = WebhookViews(self._buddy)
        return [
            (webhook, event, views.payload(webhook, execution))
            for execution, event in self._news()
            for webhook in self._buddy.webhooks
            if webhook.hears(event, execution)
        ]

    def _news(self) -> list[tuple[Execution, str]]:
        """Return what has happened since the last look."""
        news = []
        for execution in self._buddy.executions:
            for event in _events_of(execution):
                # A run that is tried again starts and ends once more.
                key = (id(execution), len(execution.attempts), event)
                if key not in self._told:
                    self._told.add(key)
                    news.append((execution, event))
        return news

    def _deliver(self, webhook: Webhook, event: str, payload: dict[str, Any]) -> None:
        body = json.dumps(payload)
        parts = urlsplit(webhook.target_url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        status: int | None = None
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_TIMEOUT)
        try:
            connection.request("POST", path, body.encode(), {"Content-Type": "application/json"})
            status = connection.getresponse().status
        except (OSError, http.client.HTTPException):
            pass
        finally:
            connection.close()
        with self._buddy.lock:
            webhook.requests.append(Delivery(self._buddy.clock.now(), event, status, body))


def _events_of(execution: Execution) -> list[str]:
    state = execution.state
    events = ["EXECUTION_STARTED"] if state.started_at is not None else []
    if state.over:
        events += [f"EXECUTION_{state.status}"] if state.status in ("SUCCESSFUL", "FAILED") else []
        events.append("EXECUTION_FINISHED")
    return events
