"""Makes the result that a task returns of a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider.execution.model.result import ExecutionResult, iso, seconds_between
from airflow_provider.execution.model.snapshot import runs_of
from airflow_provider.execution.results.known_secrets import hidden, hidden_in, parts_of
from airflow_provider.execution.results.outputs import MAX_OUTPUT_BYTES
from airflow_provider.execution.results.redaction import clean, secrets_in

if TYPE_CHECKING:
    from airflow_provider.execution.model.adapter import ExecutionAdapter
    from airflow_provider.execution.model.snapshot import Snapshot
    from airflow_provider.execution.results.outputs import OutputPolicy

MAX_STEPS = 200
"""Maximum number of steps in a result."""


def unread_log(snapshot: Snapshot, secrets: list[str]) -> list[str]:
    """Instead of the tail of a log that could not be read: why."""
    return [f"(The log could not be read: {clean(snapshot.log_problem, secrets)})"] if snapshot.log_problem else []


def make_result(adapter: ExecutionAdapter, conn_id: str, snapshot: Snapshot, policy: OutputPolicy) -> ExecutionResult:
    """
    The result that a task returns.

    :param conn_id: connection of the task.
    :param snapshot: the execution, read in full.
    :param policy: selects the outputs; afterwards it knows which were left out.
    """
    outputs = policy.select(snapshot.outputs)
    secrets = secrets_in(snapshot)
    parts = parts_of(secrets)
    return {
        "system": adapter.name,
        "conn_id": conn_id,
        "ref": snapshot.ref,
        "url": hidden_in(snapshot.url, parts),
        "phase": snapshot.phase.value,
        "status": hidden(snapshot.status, parts),
        "started_at": iso(snapshot.started_at),
        "finished_at": iso(snapshot.finished_at),
        "duration": seconds_between(snapshot.started_at, snapshot.finished_at),
        "error": snapshot.error and clean(snapshot.error, secrets),
        "actor": hidden_in(snapshot.actor, parts),
        "progress": snapshot.progress,
        "waiting_for": snapshot.waiting_for and clean(snapshot.waiting_for, secrets),
        "steps": [
            {
                "id": step.id,
                "name": hidden(step.name, parts),
                "type": hidden_in(step.type, parts),
                "phase": step.phase.value,
                "status": hidden(step.status, parts),
                "started_at": iso(step.started_at),
                "finished_at": iso(step.finished_at),
                "duration": seconds_between(step.started_at, step.finished_at),
                "url": hidden_in(step.url, parts),
                "error": step.error and clean(step.error, secrets),
                "actor": hidden_in(step.actor, parts),
                "outputs": policy.select(step.outputs, step.name),
                "tolerated": step.tolerated,
                "run": run,
            }
            for step, run in zip(snapshot.steps[:MAX_STEPS], runs_of(snapshot.steps), strict=False)
        ],
        "outputs": outputs,
        "outputs_omitted": hidden_in({**snapshot.outputs_omitted, **policy.omitted}, parts),
        "log_tail": [clean(line, secrets) for line in snapshot.log_tail[-50:]] or unread_log(snapshot, secrets),
        "log_file": None,
        "system_fields": _without_long_texts(hidden_in(snapshot.system_fields, parts)),
    }


def _without_long_texts(value: Any) -> Any:
    """A JSON value in which a note stands for each text that is over the limit of an output: a comment has none of its own."""
    if isinstance(value, dict):
        return {name: _without_long_texts(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_long_texts(item) for item in value]
    if isinstance(value, str) and len(value) > MAX_OUTPUT_BYTES:
        return f"(left out: {len(value)} characters, over {MAX_OUTPUT_BYTES})"
    return value
