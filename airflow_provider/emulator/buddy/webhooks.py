"""Webhooks and their deliveries."""

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
    """One request to a webhook. ``at``: epoch seconds; ``status``: HTTP status of the answer, None without an answer; ``body``: as sent."""

    at: float
    event: str
    status: int | None
    body: str


@dataclass
class Webhook:
    """An address that receives events of executions.

    :ivar target_url: address on loopback; the emulator calls no other host.
    :ivar events: the events that it receives.
    :ivar projects: handles of projects; if empty, all of the workspace.
    :ivar project_filter: ``ALL``: all of the workspace, whatever ``projects`` says; other values are only shown.
    :ivar secret_key: included in each payload.
    :ivar requests: its deliveries, oldest first.
    :ivar id: default: assigned when it is added.
    """

    target_url: str
    events: Sequence[str] = EVENTS
    projects: Sequence[str] = ()
    secret_key: str = field(default_factory=lambda: secrets.token_hex(8))
    workspace: str = "demo"
    requests: list[Delivery] = field(default_factory=list)
    id: int | None = None
    project_filter: str | None = None

    def check(self) -> None:
        """Check address and events.

        :raises ValueError: the address is not plain HTTP on loopback, or an event is unknown.
        """
        if not _is_loopback(self.target_url):
            raise ValueError("Field target_url must be an http address on loopback: the emulator calls nobody else")
        for event in self.events:
            if event not in EVENTS:
                raise ValueError(f"unknown event {event!r}: one of {', '.join(EVENTS)}")

    def receives(self, event: str, execution: Execution) -> bool:
        """Return whether it receives an event of an execution."""
        everywhere = not self.projects or self.project_filter == "ALL"
        in_scope = self.workspace == execution.workspace and (everywhere or execution.project in self.projects)
        return in_scope and event in self.events


def _is_loopback(url: str) -> bool:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
        return parts.scheme == "http" and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
    except ValueError:
        return False
