"""Maps AlgaPSA's answers to snapshots: the status table, executions, and what is known about their actions."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from airflow_provider.alga_psa.api import models
from airflow_provider.execution.http.reading import as_sent
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.result import iso, utc
from airflow_provider.execution.model.snapshot import LogLine, Output, Snapshot, Step
from airflow_provider.execution.results.outputs import MAX_OUTPUT_BYTES
from airflow_provider.execution.results.redaction import clean, looks_secret

PHASES = {
    "pending": Phase.QUEUED,
    "running": Phase.RUNNING,
    "completed": Phase.SUCCEEDED,
    "failed": Phase.FAILED,
    "cancelled": Phase.CANCELLED,
    "timeout": Phase.TIMED_OUT,
    "skipped": Phase.SKIPPED,
}
MARKER_KEY = "airflow_marker"
"""Key of ``execution_data`` that holds the marker."""
STACK_LINES = 100
TAIL = 50


@dataclass
class AlgaPsaSnapshot(Snapshot):
    """A snapshot that keeps its answer, which holds the log and the data that a search compares."""

    execution: models.Execution | None = field(default=None, repr=False)


def phase_of(status: str) -> Phase:
    """The phase of a status; UNKNOWN if the status is unknown."""
    return PHASES.get(status, Phase.UNKNOWN)


def snapshot_of(execution: models.Execution) -> AlgaPsaSnapshot:
    """
    The snapshot of an execution.

    Only its status says whether it has ended: after a retry, times, error and index may be those of the previous run.
    """
    phase, partial, bad = _end(execution)
    return AlgaPsaSnapshot(
        ref=execution.execution_id,
        run=iso(execution.started_at),
        phase=phase,
        status=execution.status,
        started_at=execution.started_at,
        finished_at=_finished_at(execution) if phase.ended else None,
        error=(execution.error_message or None) if bad else None,
        actor=_actor(execution),
        progress=_progress(execution),
        steps=_steps(execution, phase, bad),
        partial=partial,
        system_fields=_fields(execution, bad),
        execution=execution,
    )


def steps_of(execution: models.Execution) -> list[Step]:
    """The steps of :func:`snapshot_of` alone."""
    phase, _, bad = _end(execution)
    return _steps(execution, phase, bad)


def in_detail(execution: models.Execution) -> AlgaPsaSnapshot:
    """Like :func:`snapshot_of`, with outputs and the tail of the log."""
    snapshot = snapshot_of(execution)
    snapshot.outputs = {str(name): Output(value) for name, value in execution.execution_context.items()}
    if "execution_context" in as_sent(execution):
        snapshot.outputs_omitted["execution_context"] = "it is not an object, as the API's contract says"
    tail = log_lines(_of_this_run(execution)[-TAIL:])
    snapshot.log_tail = [f"{line.step}: {line.text}" if line.step else line.text for line in tail]
    return snapshot


def log_lines(entries: list[models.LogEntry]) -> list[LogLine]:
    """Entries of a log as lines, with their metadata after the text."""
    return [
        LogLine(
            step="" if entry.action_index is None else _name(entry.action_index),
            text=f"{entry.message} {_json(without_secrets(entry.metadata)[0])}" if entry.metadata else entry.message,
            time=entry.timestamp if isinstance(entry.timestamp, datetime) else None,
            level=entry.level,
        )
        for entry in entries
    ]


def without_secrets(value: Any, path: str = "") -> tuple[Any, list[str]]:
    """A JSON value without the parts that are secret by name or shape, and the paths of those parts."""
    omitted: list[str] = []
    if isinstance(value, Mapping):
        kept = {}
        for name, item in value.items():
            place = f"{path}.{name}" if path else str(name)
            if looks_secret(str(name), item):
                omitted.append(place)
                continue
            kept[name], more = without_secrets(item, place)
            omitted += more
        return kept, omitted
    if isinstance(value, list):
        items = []
        for position, item in enumerate(value):
            place = f"{path}.{position}" if path else str(position)
            if looks_secret("", item):
                omitted.append(place)
                continue
            shown, more = without_secrets(item, place)
            items.append(shown)
            omitted += more
        return items, omitted
    return value, omitted


def is_dry_run(execution: models.Execution) -> bool:
    """Whether it was simulated: completed at once, without counting any action."""
    return execution.execution_context.get("dry_run") is True


def _end(execution: models.Execution) -> tuple[Phase, str | None, bool]:
    """The phase, what a completed execution left undone, and whether it ended badly."""
    phase = phase_of(execution.status)
    partial = _partial(execution) if phase is Phase.SUCCEEDED else None
    return phase, partial, partial is not None or (phase.ended and phase is not Phase.SUCCEEDED)


def _partial(execution: models.Execution) -> str | None:
    """What a completed execution left undone; None for a dry run, which does nothing."""
    if is_dry_run(execution):
        return None
    total, done, failed = execution.actions_total, execution.actions_successful, execution.actions_failed or 0
    of = "" if total is None else f" of {_digits(total)}"
    if failed > 0:
        return f"{_digits(failed)}{of} actions failed"
    if total is not None and done is not None and done + failed < total:
        return f"only {_digits(done)}{of} actions succeeded"
    return None


def _finished_at(execution: models.Execution) -> datetime | None:
    if execution.completed_at is not None or execution.started_at is None or execution.duration_ms is None:
        return execution.completed_at
    try:
        return execution.started_at + timedelta(milliseconds=execution.duration_ms)
    except OverflowError:
        return None


def _progress(execution: models.Execution) -> float | None:
    total = execution.actions_total
    if not total or is_dry_run(execution):
        return None
    return round(min(((execution.actions_successful or 0) + (execution.actions_failed or 0)) / total, 1.0) * 100, 1)


def _actor(execution: models.Execution) -> dict[str, Any] | None:
    starter = execution.execution_context.get("triggered_by")
    return {"starter_id": starter} if isinstance(starter, str) and starter else None


def _of_this_run(execution: models.Execution) -> list[models.LogEntry]:
    """The entries of this run: after a retry, those of the previous run are still in the log."""
    since = execution.started_at
    return [
        entry
        for entry in execution.logs
        if since is None or not isinstance(entry.timestamp, datetime) or utc(entry.timestamp) >= utc(since)
    ]


def _steps(execution: models.Execution, phase: Phase, bad: bool) -> list[Step]:
    """
    The actions that the answer names: the failed one, and those that wrote to the log.

    The answer does not tell how the others went: they are missing here, or UNKNOWN, unless all succeeded.
    """
    entries = _of_this_run(execution)
    culprit = execution.failed_action_index if bad else None
    numbers = {entry.action_index for entry in entries if entry.action_index is not None} | ({culprit} if culprit is not None else set())
    fine = phase is Phase.SUCCEEDED and not bad and not is_dry_run(execution) and bool(execution.actions_successful)
    steps = []
    for number in sorted(numbers):
        if number == culprit:
            ended = Phase.TIMED_OUT if phase is Phase.TIMED_OUT else Phase.FAILED
            errors = [entry.message for entry in entries if entry.action_index == number and entry.level == "error" and entry.message]
            error = errors[-1] if errors else execution.error_message or None
        else:
            ended, error = (Phase.SUCCEEDED if fine else Phase.UNKNOWN), None
        status = {Phase.TIMED_OUT: "timeout", Phase.FAILED: "failed", Phase.SUCCEEDED: "completed"}.get(ended, "unknown")
        tolerated = ended is Phase.FAILED and phase is Phase.SUCCEEDED
        steps.append(Step(_digits(number), _name(number), ended, status, error=error, tolerated=tolerated))
    return steps


def _digits(number: float) -> str:
    return f"{number:.12g}"


def _name(index: float) -> str:
    return f"action {_digits(index)}"


def _fields(execution: models.Execution, bad: bool) -> dict[str, Any]:
    """Fields that only AlgaPSA has. The marker is kept apart from the user's data; unknown fields may be secrets."""
    data, omitted = without_secrets({name: value for name, value in execution.trigger_data.items() if name != MARKER_KEY})
    if len(_json(data).encode()) > MAX_OUTPUT_BYTES:
        data, omitted = {}, [*omitted, f"all of it: over {MAX_OUTPUT_BYTES} bytes"]
    fields = {
        "rule_id": execution.automation_rule_id,
        "trigger_data": data,
        "trigger_data_omitted": omitted or None,
        "marker": execution.trigger_data.get(MARKER_KEY),
        "dry_run": is_dry_run(execution),
        "actions_total": execution.actions_total,
        "actions_successful": execution.actions_successful,
        "actions_failed": execution.actions_failed,
        "failed_action_index": execution.failed_action_index if bad else None,
        "error_stack": _stack(execution.error_stack) if bad else None,
        "duration_ms": execution.duration_ms if phase_of(execution.status).ended else None,
        "tenant": execution.tenant,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _stack(text: str | None) -> str | None:
    lines = (text or "").splitlines()
    cut = [f"… ({len(lines) - STACK_LINES} more lines)"] if len(lines) > STACK_LINES else []
    return "\n".join([*(clean(line) for line in lines[:STACK_LINES]), *cut]) or None


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
