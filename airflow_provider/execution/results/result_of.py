"""Makes the result that a task returns of a snapshot."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider.execution.model.result import ExecutionResult, iso, seconds_between
from airflow_provider.execution.results.redaction import clean, secrets_in

if TYPE_CHECKING:
    from airflow_provider.execution.model.adapter import ExecutionAdapter
    from airflow_provider.execution.model.snapshot import Snapshot
    from airflow_provider.execution.results.outputs import OutputPolicy

MAX_STEPS = 200
"""Maximum number of steps in a result."""


def make_result(adapter: ExecutionAdapter, conn_id: str, snapshot: Snapshot, policy: OutputPolicy) -> ExecutionResult:
    """
    The result that a task returns.

    :param conn_id: connection of the task.
    :param snapshot: the execution, read in full.
    :param policy: selects the outputs; afterwards it knows which were left out.
    """
    outputs = policy.select(snapshot.outputs)
    hidden = secrets_in(snapshot)
    return {
        "system": adapter.name,
        "conn_id": conn_id,
        "ref": snapshot.ref,
        "url": snapshot.url,
        "phase": snapshot.phase.value,
        "status": snapshot.status,
        "started_at": iso(snapshot.started_at),
        "finished_at": iso(snapshot.finished_at),
        "duration": seconds_between(snapshot.started_at, snapshot.finished_at),
        "error": snapshot.error and clean(snapshot.error, hidden),
        "actor": snapshot.actor,
        "progress": snapshot.progress,
        "steps": [
            {
                "id": step.id,
                "name": step.name,
                "type": step.type,
                "phase": step.phase.value,
                "status": step.status,
                "started_at": iso(step.started_at),
                "finished_at": iso(step.finished_at),
                "duration": seconds_between(step.started_at, step.finished_at),
                "url": step.url,
                "error": step.error and clean(step.error, hidden),
                "actor": step.actor,
                "outputs": policy.select(step.outputs, step.name),
            }
            for step in snapshot.steps[:MAX_STEPS]
        ],
        "outputs": outputs,
        "outputs_omitted": {**snapshot.outputs_omitted, **policy.omitted},
        "log_tail": [clean(line, hidden) for line in snapshot.log_tail[-50:]],
        "log_file": None,
        "system_fields": snapshot.system_fields,
    }
