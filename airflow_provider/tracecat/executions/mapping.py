"""Maps Tracecat's answers to snapshots: the status table, executions, rows of the compact view."""

from __future__ import annotations

from typing import Any

from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.result import iso
from airflow_provider.execution.model.snapshot import Snapshot, Step
from airflow_provider.tracecat.api import models
from airflow_provider.tracecat.ref import TracecatRef

PHASES = {
    "RUNNING": Phase.RUNNING,
    "CONTINUED_AS_NEW": Phase.RUNNING,
    "COMPLETED": Phase.SUCCEEDED,
    "FAILED": Phase.FAILED,
    "CANCELED": Phase.CANCELLED,
    "TERMINATED": Phase.CANCELLED,
    "TIMED_OUT": Phase.TIMED_OUT,
}
ROW_PHASES = {
    **PHASES,
    "SCHEDULED": Phase.QUEUED,
    "STARTED": Phase.RUNNING,
    "DETACHED": Phase.SUCCEEDED,  # a child that nobody waits for
}
COMPLETED = "__workflow_completed__"
FAILED = "__workflow_failure__"
SYNTHETIC = ("__workflow_trigger__", COMPLETED, FAILED)


def phase_of(status: str | None) -> Phase:
    """The phase of an execution's status. None of them means waiting; null means running."""
    return Phase.RUNNING if status is None else PHASES.get(status, Phase.UNKNOWN)


def snapshot_of(ref: TracecatRef, execution: models.Summary, url: str | None = None) -> Snapshot:
    """
    The snapshot of an execution. Only the top level's status counts: after its end, some rows may still say STARTED.

    It waits for a person if it runs and an interaction is pending: Tracecat has no status for that.
    """
    rows = execution.events if isinstance(execution, (models.State, models.CompactExecution)) else []
    interactions = execution.interactions if isinstance(execution, (models.State, models.CompactExecution)) else []
    pending = [interaction for interaction in interactions if interaction.status == "pending"]
    phase = phase_of(execution.status)
    if phase is Phase.RUNNING and pending:
        phase = Phase.WAITING
    steps = [_step(row, phase) for row in rows if row.action_ref not in SYNTHETIC]
    failed = [step.name for step in steps if step.phase in (Phase.FAILED, Phase.TIMED_OUT)]
    failure = next((row.action_error.text for row in rows if row.action_ref == FAILED and row.action_error), None)
    ended = [step for step in steps if step.phase.ended]
    return Snapshot(
        ref=str(ref),
        phase=phase,
        status=execution.status or "RUNNING",
        url=url,
        run=execution.run_id,
        started_at=execution.start_time,
        finished_at=execution.close_time,
        error=(next((step.error for step in steps if step.error and not step.tolerated), None) or failure) if phase.ended else None,
        progress=_progress(phase, len(ended), len(steps)),
        steps=steps,
        waiting_for=", ".join(f"{item.action_ref} ({item.type})" for item in pending) or None if phase is Phase.WAITING else None,
        gates=[item.id for item in pending if item.id] if phase is Phase.WAITING else [],
        partial=f"handled errors of {', '.join(failed)}" if phase is Phase.SUCCEEDED and failed else None,
        system_fields=_fields(execution, interactions),
    )


def _progress(phase: Phase, ended: int, begun: int) -> float | None:
    """Percent of the actions that have begun: those that follow do not show. None where that says nothing."""
    if phase.ended:
        return 100.0
    return round(100 * ended / begun, 1) if ended < begun else None


def _step(row: models.RowState, of: Phase) -> Step:
    status = row.status or "UNKNOWN"
    phase = ROW_PHASES.get(status, Phase.UNKNOWN)
    if of.ended and phase in (Phase.QUEUED, Phase.RUNNING):
        phase = Phase.CANCELLED if of is not Phase.SUCCEEDED else phase  # cut off by the end of the execution
    return Step(
        id=f"{row.action_ref} {row.stream_id}",
        name=row.action_ref or row.action_name or "child workflow",
        type=row.action_name,
        phase=phase,
        status=status,
        started_at=row.start_time or row.schedule_time,
        finished_at=row.close_time,
        error=row.action_error.text if row.action_error else None,
        tolerated=of is Phase.SUCCEEDED,
    )


def _fields(execution: models.Summary, interactions: list[models.Interaction]) -> dict[str, Any]:
    fields = {
        "run_id": execution.run_id,
        "workflow_id": execution.workflow_id,
        "workflow_title": execution.workflow_title,
        "workflow_alias": execution.workflow_alias,
        "workflow_type": execution.workflow_type,
        "task_queue": execution.task_queue,
        "trigger_type": execution.trigger_type,
        "execution_type": execution.execution_type,
        "execution_time": iso(execution.execution_time),
        "parent_wf_exec_id": execution.parent_wf_exec_id,
        "history_length": execution.history_length,
        "interactions": [
            {
                "id": item.id,
                "type": item.type,
                "status": item.status,
                "action_ref": item.action_ref,
                "action_type": item.action_type,
                "actor": item.actor,
                "created_at": iso(item.created_at),
                "updated_at": iso(item.updated_at),
                "expires_at": iso(item.expires_at),
            }
            for item in interactions[:50]
        ],
    }
    return {name: value for name, value in fields.items() if value is not None}
