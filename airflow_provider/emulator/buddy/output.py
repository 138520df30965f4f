"""The log lines and output variables of a step at a given time."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections.abc import Mapping, Sequence

from airflow_provider.emulator.buddy.scenario import Gate
from airflow_provider.emulator.buddy.timeline import Step

LINE_LIMIT = 2_000
"""Characters after which the vendor cuts a log line."""


def log_lines(step: Step, now: float, offset: int = 0, limit: int | None = None) -> list[str]:
    """Return lines of the log at ``now``, epoch seconds.

    :param offset: first line, from 0.
    :param limit: maximum number of lines; None: all.
    """
    lines, end = _whole_lines(step), log_length(step, now)
    if limit is not None:
        end = min(end, offset + limit)
    # One by one, because a sequence that is used as log may not support slices.
    picked_lines = (lines[number] for number in range(offset, end))
    if step.loop_value is not None:
        picked_lines = (line.replace("$LOOP", step.loop_value) for line in picked_lines)
    return [line[:LINE_LIMIT] for line in picked_lines]


def log_length(step: Step, now: float) -> int:
    """Return the number of lines of the log at ``now``, epoch seconds, without reading any."""
    lines, action = _whole_lines(step), step.action
    count = len(lines)
    if not count or step.started_at is None or step.status == "SKIPPED" or isinstance(action, Gate):
        return count
    over = step.finished_at is not None and not step.cut
    held_back = max(1, count // 4) if action.log_lag > 0 else 0
    if over and step.finished_at is not None and step.finished_at + action.log_lag <= now:
        return count
    return count - held_back if over else min(count - held_back, _lines_begun(step, action.seconds, count, now))


def _lines_begun(step: Step, seconds: float, count: int, now: float) -> int:
    """Return how many of ``count`` lines, spread over the action's duration, exist at ``now`` or at its end."""
    started_at = step.started_at or 0.0
    until = now if step.finished_at is None else step.finished_at
    gap = seconds / count if math.isfinite(seconds) else 0.0
    if until < started_at:
        return 0
    if gap <= 0:
        return count
    guess = min(count, int((until - started_at) / gap) + 1)
    # The quotient is rounded, so compare with the time of each line.
    while guess > 0 and started_at + gap * (guess - 1) > until:
        guess -= 1
    while guess < count and started_at + gap * guess <= until:
        guess += 1
    return guess


def _whole_lines(step: Step) -> Sequence[str]:
    action = step.action
    if step.status == "SKIPPED":
        return (not isinstance(action, Gate) and action.whole_log) or ["Skipped: the trigger conditions do not hold"]
    if step.started_at is None:
        return []
    if isinstance(action, Gate):
        approved = step.approval is not None and step.finished_at is not None
        return [f"Approved by {step.approval.by.name}"] if approved and step.approval else []
    return action.whole_log


def ciphertext(value: str) -> str:
    """Return what the vendor shows in place of an encrypted value."""
    return "!encrypted " + base64.b64encode(hashlib.sha256(value.encode()).digest()).decode()


def shown_variable(key: str, value: str, encrypted: bool) -> dict[str, object]:
    """Return a variable as it stands in answers: secrets only as ciphertext."""
    if encrypted:
        return {"key": key, "value": ciphertext(value), "encrypted": True}
    return {"key": key, "value": value}


def passed_variables(step: Step) -> list[dict[str, object]]:
    """Return the variables that came with the approval of a gate."""
    if step.approval is None or step.finished_at is None:
        return []
    return [
        shown_variable(str(variable["key"]), str(variable.get("value", "")), bool(variable.get("encrypted")))
        for variable in step.approval.variables
    ]


def outputted_variables(step: Step, run_variables: Mapping[str, str], now: float) -> list[dict[str, object]]:
    """Return the variables that the step has exported by ``now``, epoch seconds.

    :param run_variables: variables of the run; ``$NAME`` in an output inserts one.
    """
    action = step.action
    if step.finished_at is None or step.started_at is None or step.cut:
        return []
    if isinstance(action, Gate):
        return [shown_variable("BUDDY_APPROVING_ACTOR", step.approval.by.name, False)] if step.approval else []
    if step.status in ("SKIPPED", "NOT_EXECUTED") or step.finished_at + action.outputs_lag > now:
        return []

    if step.loop_value is not None:
        run_variables = {**run_variables, "LOOP": step.loop_value}

    def insert(match: re.Match[str]) -> str:
        return run_variables.get(match[1], match[0])

    values = {key: re.sub(r"\$(\w+)", insert, str(value)) for key, value in action.outputs.items()}
    values |= {key: key for key in action.encrypted_outputs if key not in values}
    return [shown_variable(key, value, key in action.encrypted_outputs) for key, value in values.items()]
