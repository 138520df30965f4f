"""
What this package adds to Airflow's own statistics (StatsD, Datadog, OpenTelemetry): each function is a metric, its arguments are the tags.

Tags have few values: no ref, no DAG, no task, no connection. ``docs/monitoring.md`` says when each is sent.
"""

from __future__ import annotations

import logging
import socket
from collections import Counter
from datetime import timedelta
from functools import cache
from typing import Any, Literal

from airflow_provider import _compat

PREFIX = "executions"
NOT_READ = "NOT_READ"
"""Tag ``phase`` of a wait that has not read its execution yet, or still searches for it."""

CancelReason = Literal["killed", "timeout", "cleared", "superseded", "requested", "declined"]
PollResult = Literal["read", "unchanged", "searching", "missing", "rate_limited", "failed"]

_deferred: Counter[tuple[str, str]] = Counter()
"""Waits in this triggerer, by system and phase."""


def starts(system: str) -> None:
    """A start, or a retry by the system itself, took effect."""
    _send("incr", "starts", system=system)


def start_lookups(system: str, verdict: Literal["found", "none", "unknown"]) -> None:
    """Whether a request without a known answer, of a start for instance, took effect was looked up."""
    _send("incr", "start_lookups", system=system, verdict=verdict)


def waits(system: str, phase: str, end: str) -> None:
    """A wait is over."""
    _send("incr", "waits", system=system, phase=phase, end=end)


def deferred_waits(system: str, before: str | None, after: str | None) -> None:
    """
    A wait in this triggerer began, ended, or saw its execution in another phase.

    :param before, after: its phase; None before it began, and once it is over. Sent are all waits in these phases, with the tag ``phase``.
    """
    for phase, change in ((before, -1), (after, 1)):
        if phase is not None and before != after:
            _deferred[system, phase] += change
            _send("gauge", "deferred_waits", _deferred[system, phase], system=system, phase=phase, hostname=_hostname())


def polls(system: str, result: PollResult) -> None:
    """A wait looked at its execution."""
    _send("incr", "polls", system=system, result=result)


def requests(system: str, status: int | None) -> None:
    """A request was answered, or not (None)."""
    _send("incr", "requests", system=system, status=str(status or "none"))


def rate_limit_pauses(system: str, seconds: float) -> None:
    """The API refused a request because of its rate limit, which pauses the connection."""
    _send("timing", "rate_limit_pauses", timedelta(seconds=seconds), system=system)


def cancels(system: str, reason: CancelReason, result: Literal["asked", "failed"]) -> None:
    """An execution was asked to cancel."""
    _send("incr", "cancels", system=system, reason=reason, result=result)


def detection_delay(system: str, seconds: float) -> None:
    """A wait saw the end of its execution so long after it."""
    _send("timing", "detection_delay", timedelta(seconds=max(seconds, 0.0)), system=system)


@cache
def _hostname() -> str:
    return socket.gethostname()


def _send(kind: str, name: str, *value: Any, **tags: str) -> None:
    try:
        getattr(_compat.stats(), kind)(f"{PREFIX}.{name}", *value, tags=tags)
    except Exception:  # statistics never fail a task
        logging.getLogger(__name__).debug("The metric %s could not be sent.", name, exc_info=True)
