"""What a rule does when it is executed: the description that a test or a demonstration writes."""

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
    """One action of a rule, and what comes of it.

    :ivar type: one of the vendor's action types.
    :ivar seconds: how long it runs.
    :ivar log: its entries, spread evenly over that time; a string is an entry of level ``info``.
    :ivar output: merged into ``execution_context`` when it succeeds; ``$NAME`` in a string inserts a value of ``trigger_data``.
    :ivar error: the message with which it fails; None: it does not. Several values are those of the first, second, ...
        attempt, the last one repeats.
    :ivar error_stack: told with the error.
    :ivar continue_on_error: its failure is counted and the next action runs.
    :ivar skipped: it takes no time and is counted neither as successful nor as failed.
    :ivar config: the vendor's object; default: one that fits the type.
    :ivar order: default: its place in the list, from 1.
    :ivar timeout_seconds: shown, no more.
    :ivar retry_attempts: shown, no more.
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

    What the vendor's rule has under the same name is not explained here; None leaves a field out.

    :ivar pending_seconds: time that an execution spends ``pending``; ``math.inf``: it stays so for ever. Several values: of the
        first, second, ... attempt.
    :ivar conditions_met: False: executions end ``skipped`` instead of running, unless they override the conditions.
    :ivar final_status: how an execution ends, whatever the actions give; several values: of the first, second, ... attempt. Only
        ``completed`` drops the error of an action.
    :ivar times_out_after: seconds after which an execution that still runs ends as ``timeout``; None: none does.
    :ivar id: given when the rule is added, if not set; so are the fields after it.
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
    """Return what holds for an attempt, counted from 0; the last value given repeats."""
    if values is None or isinstance(values, str):
        return values
    return values[min(attempt, len(values) - 1)] if values else None


def seconds_of_attempt(values: float | Sequence[float], attempt: int) -> float:
    """Return the same of a number of seconds."""
    return values[min(attempt, len(values) - 1)] if isinstance(values, Sequence) else values
