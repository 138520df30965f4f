"""Webhooks, and what was delivered to them."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from airflow_provider.emulator.buddy.execution import Execution

EVENTS = ("PUSH", "EXECUTION_STARTED", "EXECUTION_SUCCESSFUL", "EXECUTION_FAILED", "EXECUTION_FINISHED")


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
