"""The thread that delivers to webhooks."""

from __future__ import annotations

import http.client
import json
import threading
from typing import Any
from urllib.parse import urlsplit

from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.installation import Installation
from airflow_provider.emulator.buddy.webhooks import Delivery, Webhook

_CHECK_INTERVAL = 0.02
_TIMEOUT = 5.0


class Deliveries:
    """Checks every few milliseconds what has happened on the emulator's clock, and delivers it to the webhooks.

    It runs from the first webhook on; earlier events are not delivered. An event is delivered when it is noticed: if a run
    has started and ended between two checks, both events are sent one after the other, with the run in its present state.
    """

    def __init__(self, buddy: Installation) -> None:
        self._buddy = buddy
        self._known: set[tuple[int, int, str]] = set()
        self._state = threading.Condition()
        self._stopping = False
        self._checks_requested = self._checks_done = 0
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Start checking, unless already started; call it with the lock held."""
        if self._thread is None:
            self._new_events()
            self._thread = threading.Thread(target=self._run, name="airflow-provider-emulator-webhooks", daemon=True)
            self._thread.start()

    def settle(self, seconds: float = 30.0) -> bool:
        """Check now, and wait until everything that has happened so far is delivered.

        :param seconds: how long to wait, on the machine's clock.
        :return: whether everything was delivered in time.
        """
        with self._state:
            self._checks_requested += 1
            check = self._checks_requested
            self._state.notify_all()
            return self._state.wait_for(lambda: self._checks_done >= check or self._stopping, seconds) and not self._stopping

    def stop(self) -> None:
        """Stop delivering."""
        with self._state:
            self._stopping = True
            self._state.notify_all()
        if self._thread is not None:
            self._thread.join(1.0)

    def _run(self) -> None:
        while True:
            with self._state:
                self._state.wait_for(lambda: self._stopping or self._checks_requested > self._checks_done, _CHECK_INTERVAL)
                if self._stopping:
                    return
                check = self._checks_requested
            with self._buddy.lock:
                due = self._due() if self._buddy.is_served else []
            for webhook, event, payload in due:
                if not self._stopping:
                    self._deliver(webhook, event, payload)
            with self._state:
                self._checks_done = check
                self._state.notify_all()

    def _due(self) -> list[tuple[Webhook, str, dict[str, Any]]]:
        from airflow_provider.emulator.buddy.webhook_views import WebhookViews

        views = WebhookViews(self._buddy)
        return [
            (webhook, event, views.payload(webhook, execution))
            for execution, event in self._new_events()
            for webhook in self._buddy.webhooks
            if webhook.receives(event, execution)
        ]

    def _new_events(self) -> list[tuple[Execution, str]]:
        """Return what has happened since the last check."""
        events = []
        for execution in self._buddy.executions:
            for event in _events_of(execution):
                # A run that is retried starts and ends again.
                key = (id(execution), len(execution.attempts), event)
                if key not in self._known:
                    self._known.add(key)
                    events.append((execution, event))
        return events

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
