"""What a step has produced by a given time: log lines and variables."""

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


def log_lines(step: Step, now: float) -> list[str]:
    """Return the lines that the log has at ``now``, epoch seconds."""
    return [line[:LINE_LIMIT] for line in _whole_lines(step, now)]


def _whole_lines(step: Step, now: float) -> Sequence[str]:
    action = step.action
    if step.status == "SKIPPED":
        return (not isinstance(action, Gate) and action.log) or ["Skipped: the trigger conditions do not hold"]
    if step.started_at is None:
        return []
    if isinstance(action, Gate):
        approved = step.approval is not None and step.finished_at is not None
        return [f"Approved by {step.approval.by.name}"] if approved and step.approval else []
    lines, finished_at = action.log, step.finished_at
    late = max(1, len(lines) // 4) if action.log_lag > 0 and lines else 0
    gap = action.seconds / len(lines) if lines and math.isfinite(action.seconds) else 0.0
    shown = []
    for number, line in enumerate(lines):
        if number >= len(lines) - late:
            visible = finished_at is not None and not step.cut and finished_at + action.log_lag <= now
        elif finished_at is not None and not step.cut:
            visible = True
        else:
            visible = step.started_at + gap * number <= (now if finished_at is None else finished_at)
        if visible:
            shown.append(line)
    return shown


def ciphertext(value: str) -> str:
    """Return what the vendor shows in place of an encrypted value."""
    return "!encrypted " + base64.b64encode(hashlib.sha256(value.encode()).digest()).decode()


def shown_variable(key: str, value: str, encrypted: bool) -> dict[str, object]:
    """Return a variable as answers carry it: never a secret in clear."""
    if encrypted:
        return {"key": key, "value": ciphertext(value), "encrypted": True}
    return {"key": key, "value": value}


def passed_variables(step: Step) -> list[dict[str, object]]:
    """Return the variables that came with the approval of a gate."""
    if step.approval is None or step.finished_at is None:
        return []
    return [shown_variable(str(one["key"]), str(one.get("value", "")), bool(one.get("encrypted"))) for one in step.approval.variables]


def outputted_variables(step: Step, run_variables: Mapping[str, str], now: float) -> list[dict[str, object]]:
    """Return the variables that the step has exported by ``now``, epoch seconds.

    :param run_variables: passed with the run and at its gates; ``$NAME`` in an output inserts one.
    """
    action = step.action
    if step.finished_at is None or step.started_at is None or step.cut:
        return []
    if isinstance(action, Gate):
        return [shown_variable("BUDDY_APPROVING_ACTOR", step.approval.by.name, False)] if step.approval else []
    if step.status in ("SKIPPED", "NOT_EXECUTED") or step.finished_at + action.outputs_lag > now:
        return []

    def insert(match: re.Match[str]) -> str:
        return run_variables.get(match[1], match[0])

    values = {key: re.sub(r"\$(\w+)", insert, str(value)) for key, value in action.outputs.items()}
    values |= {key: key for key in action.encrypted_outputs if key not in values}
    return [shown_variable(key, value, key in action.encrypted_outputs) for key, value in values.items()]
