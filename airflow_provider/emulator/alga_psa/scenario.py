"""Rules as tests and demonstrations describe them: the script of their executions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class LogEntry:
    """An entry of an execution's log.

    :ivar level: ``debug``, ``info``, ``warn`` or ``error``.
    :ivar metadata: any JSON object; None: the entry has none.
    """

    message: str
    level: str = "info"
    metadata: dict[str, Any] | None = None


@dataclass
class Action:
    """One action of a rule, and its outcome.

    :ivar type: one of the vendor's action types.
    :ivar seconds: how long it runs.
    :ivar log: its log entries, spread evenly over that time; a string is an entry of level ``info``.
    :ivar output: merged into ``execution_context`` when it succeeds; ``$NAME`` in a string inserts a value of ``trigger_data``.
    :ivar error: the message with which it fails; None: it succeeds. Several values apply to the first, second, ...
        attempt, and the last value repeats.
    :ivar error_stack: stack trace of the error.
    :ivar continue_on_error: if it fails, the failure is counted and the next action runs.
    :ivar skipped: it takes no time and counts neither as successful nor as failed.
    :ivar config: the vendor's object; default: an example for the type.
    :ivar order: default: its position in the list, from 1.
    :ivar timeout_seconds: shown only.
    :ivar retry_attempts: shown only.
    """

    type: str = "custom_script"
    seconds: float = 1.0
    log: Sequence[str | LogEntry] = ()
    output: dict[str, Any] = field(default_factory=dict)
    error: str | Sequence[str | None] | None = None
    error_stack: str | None = None
    continue_on_error: bool = False
    skipped: bool = False
    config: dict[str, Any] | None = None
    order: float | None = None
    timeout_seconds: float | None = None
    retry_attempts: int = 0


@dataclass
class Rule:
    """An automation rule and the script of its executions.

    Fields that the vendor's rule has as well are not explained here; None omits a field.

    :ivar pending_seconds: seconds that an execution is ``pending``; ``math.inf``: it never runs. Several values apply to the
        first, second, ... attempt.
    :ivar conditions_met: False: executions end ``skipped`` instead of running, unless the start overrides the conditions.
    :ivar final_status: how an execution ends, regardless of its actions; several values apply to the first, second, ... attempt. Only
        ``completed`` removes the error of an action.
    :ivar times_out_after: seconds after which a running execution ends as ``timeout``; None: never.
    :ivar id: default: assigned when the rule is added.
    """

    name: str
    actions: Sequence[Action] = ()
    id: str | None = None
    status: str = "active"
    trigger_type: str = "manual"
    trigger_config: dict[str, Any] = field(default_factory=lambda: {"schedule_type": "once", "skip_if_running": False})
    description: str | None = None
    priority: str = "normal"
    conditions: list[dict[str, Any]] | None = None
    condition_logic: str = "and"
    max_concurrent_executions: float = 1
    execution_timeout_minutes: float = 60
    retry_failed_executions: bool = False
    is_template: bool = False
    template_category: str | None = None
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    notification_settings: dict[str, Any] | None = None
    pending_seconds: float | Sequence[float] = 0.0
    conditions_met: bool = True
    final_status: str | Sequence[str] | None = None
    times_out_after: float | None = None
    created_by: str | None = None
    created_at: float | None = None
    updated_at: float | None = None
    execution_count: int = 0
    last_executed: float | None = None


def of_attempt(values: str | Sequence[str | None] | None, attempt: int) -> str | None:
    """Return the value for an attempt, counted from 0; the last value repeats."""
    if values is None or isinstance(values, str):
        return values
    return values[min(attempt, len(values) - 1)] if values else None


def seconds_of_attempt(values: float | Sequence[float], attempt: int) -> float:
    """Return the seconds for an attempt, counted from 0; the last value repeats."""
    return values[min(attempt, len(values) - 1)] if isinstance(values, Sequence) else values
