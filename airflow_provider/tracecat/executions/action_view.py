"""One action of an execution as a snapshot of its own."""

from __future__ import annotations

from collections.abc import Callable

from airflow_provider.execution.model.adapter import Overview
from airflow_provider.execution.model.phase import Phase, decisive
from airflow_provider.execution.model.request import Flow
from airflow_provider.execution.model.snapshot import Snapshot
from airflow_provider.tracecat.api import models, requests
from airflow_provider.tracecat.executions.adapter import TracecatAdapter
from airflow_provider.tracecat.executions.logs import line_of
from airflow_provider.tracecat.executions.mapping import snapshot_of
from airflow_provider.tracecat.ref import TracecatRef


class ActionView(TracecatAdapter):
    """
    Gives the snapshots of one action of an execution, all its streams together.

    :param action: its ``action_ref``.
    """

    def __init__(self, workspace: Callable[[], str], api: Callable[[], str], action: str) -> None:
        super().__init__(workspace, api)
        self._action = action

    def overview(self, ref: str) -> Overview | None:
        """None: lists show no actions."""
        return None

    def read(self, ref: str) -> Flow[Snapshot]:
        """``GET .../workflow-executions/:id/compact``, and the part of it about the action."""
        parsed = TracecatRef.parse(ref)
        state = yield from requests.get_state(self.workspace_of(parsed), ref)
        return self._seen(snapshot_of(parsed, state, (yield from self.page(parsed))), state)

    def details(self, ref: str) -> Flow[Snapshot]:
        """Like :meth:`read`, with the action's result, wherever it is stored."""
        parsed = TracecatRef.parse(ref)
        workspace = self.workspace_of(parsed)
        execution = yield from requests.get_compact(workspace, ref)
        snapshot = self._seen(snapshot_of(parsed, execution, (yield from self.page(parsed))), execution)
        rows = [row for row in execution.events if row.action_ref == self._action and row.status == "COMPLETED"]
        if rows:
            yield from self._outputs(workspace, parsed, rows[-1], snapshot)
        snapshot.log_tail = [line_of(step).text for step in snapshot.steps]
        return snapshot

    def _seen(self, snapshot: Snapshot, execution: models.State | models.CompactExecution) -> Snapshot:
        """The part of an execution's snapshot about the action. Tracecat does not show a skipped one."""
        whole = snapshot.phase
        snapshot.steps = [step for step in snapshot.steps if step.name == self._action]
        waits = any(item.status == "pending" and item.action_ref == self._action for item in execution.interactions)
        phase = decisive(step.phase for step in snapshot.steps)
        if whole is Phase.WAITING and waits:
            phase = Phase.WAITING
        if phase is None:
            phase = Phase.SKIPPED if whole.ended else Phase.QUEUED
            snapshot.error = f"the execution ended {snapshot.status} without running action {self._action}" if whole.ended else None
        else:
            if whole.ended and not phase.ended:  # cut off by the end of the execution, or nobody waited for it
                phase = whole
            snapshot.error = next((step.error for step in snapshot.steps if step.error), None)
        last = next((step for step in snapshot.steps if step.phase is phase), snapshot.steps[-1] if snapshot.steps else None)
        snapshot.phase, snapshot.status = phase, last.status if last else snapshot.status
        snapshot.started_at = min((step.started_at for step in snapshot.steps if step.started_at), default=None)
        snapshot.finished_at = max((step.finished_at for step in snapshot.steps if step.finished_at), default=None)
        if phase is not Phase.WAITING:
            snapshot.waiting_for = None
        snapshot.partial, snapshot.progress = None, None
        return snapshot
