"""Webhooks: what they are, and the thread that delivers to them."""

from __future__ import annotations

import http.client
import ipaddress
import json
import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from airflow_provider.emulator.buddy.execution import Execution

if TYPE_CHECKING:
    from airflow_provider.emulator.buddy.system import Buddy

EVENTS = ("PUSH", "EXECUTION_STARTED", "EXECUTION_SUCCESSFUL", "EXECUTION_FAILED", "EXECUTION_FINISHED")

_LOOK_EVERY = 0.02
_TIMEOUT = 5.0


@dataclass
class Delivery:
    """One request to a webhook. ``at``: epoch seconds; ``status``: of the answer, None if none came; ``body``: as sent."""

    at: float
    event: str
    status: int | None
    body: str


@dataclass
class Webhook:
    """An address that hears of executions.

    :ivar target_url: on loopback: an emulator calls nobody else.
    :ivar events: those that it hears of.
    :ivar projects: handles of projects; none: all of the workspace.
    :ivar secret_key: sent inside each payload.
    :ivar requests: what was delivered, oldest first.
    :ivar id: given when it is added, if not set.
    """

    target_url: str
    events: Sequence[str] = EVENTS
    projects: Sequence[str] = ()
    secret_key: str = field(default_factory=lambda: secrets.token_hex(8))
    workspace: str = "demo"
    requests: list[Delivery] = field(default_factory=list)
    id: int | None = None

    def check(self) -> None:
        """Check address and events.

        :raises ValueError: the address is not plain HTTP on loopback, or an event is unknown.
        """
        if not _is_loopback(self.target_url):
            raise ValueError("Field target_url must be an http address on loopback: the emulator calls nobody else")
        for event in self.events:
            if event not in EVENTS:
                raise ValueError(f"unknown event {event!r}: one of {', '.join(EVENTS)}")

    def hears(self, event: str, execution: Execution) -> bool:
        """Tell whether an event of an execution is for it."""
        in_scope = self.workspace == execution.workspace and (not self.projects or execution.project in self.projects)
        return in_scope and event in self.events


def _is_loopback(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
        return parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False


class Deliveries:
    """Looks every few milliseconds for what has happened on the emulator's clock, and tells the webhooks.

    It runs from the first webhook on. What happened before that nobody hears of. An event is delivered when it is noticed:
    if a run has started and ended between two looks, both events go out one after the other, with the run as it is then.
    """

    def __init__(self, buddy: Buddy) -> None:
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
        from airflow_provider.emulator.buddy.webhook_views import WebhookViews

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
