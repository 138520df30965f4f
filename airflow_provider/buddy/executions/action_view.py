"""One action of an execution as a snapshot of its own, so that waiting, outcomes, outputs and logs work as for an execution."""

from __future__ import annotations

from typing import Any

from airflow_provider.buddy.api import models, requests
from airflow_provider.buddy.executions.adapter import BuddyAdapter
from airflow_provider.buddy.executions.mapping import phase_of, snapshot_of
from airflow_provider.buddy.ref import BuddyRef
from airflow_provider.execution.model.adapter import Overview
from airflow_provider.execution.model.phase import Phase, decisive
from airflow_provider.execution.model.request import Flow, LastAnswer
from airflow_provider.execution.model.snapshot import Snapshot

_BEFORE = (Phase.QUEUED, Phase.SKIPPED)


class ActionView(BuddyAdapter):
    """
    Gives the snapshots of one action of an execution.

    :param action: its id or name; None if the ref names an action execution.
    :param which: which of several action executions, such as of a loop or a retry: the ``"last"``, the ``"first"`` or ``"all"``.
    """

    def __init__(self, action: int | str | None, which: str) -> None:
        super().__init__()
        self._action = None if action is None else str(action).strip()
        self._which = which
        self._defined: list[tuple[int | None, str | None]] = []

    def overview(self, ref: str) -> Overview | None:
        """None: lists show no actions."""
        return None

    def read(self, ref: str) -> Flow[Snapshot]:
        """``GET .../executions/:id``, and the part of it about the action."""
        parsed = BuddyRef.parse(ref)
        execution = yield from requests.get_execution(ref)
        chosen = yield from self._chosen(parsed, execution)
        yield from self.add_gate_comments(parsed, chosen)
        return self._seen(parsed, execution, chosen)

    def read_again(self, ref: str, last: LastAnswer) -> Flow[Snapshot | None]:
        """Always reads: the execution's answer alone does not tell whether the action has changed."""
        return (yield from self.read(ref))

    def details(self, ref: str) -> Flow[Snapshot]:
        """Like :meth:`read`, then ``GET .../action_executions/:id``: variables, error, actor, log."""
        parsed = BuddyRef.parse(ref)
        execution = yield from requests.get_execution(ref)
        chosen, omitted, unread = yield from self.in_detail(parsed, (yield from self._chosen(parsed, execution)))
        yield from self.add_gate_comments(parsed, chosen)
        snapshot = self._seen(parsed, execution, chosen)
        snapshot.unread = unread
        return (yield from self.completed(parsed, snapshot, chosen, omitted))

    def _chosen(self, ref: BuddyRef, execution: models.Execution) -> Flow[list[models.ActionExecution]]:
        """
        The action's executions; none if the action has not been reached.

        :raises ConfigurationError: if no action of the pipeline has that name, or several have it.
        """
        executions = execution.action_executions
        if ref.action_execution is not None:
            listed = [item for item in executions if item.id == ref.action_execution]
            if not listed:  # replaced by a retry, or by an installation that does not tell the ids
                listed = [(yield from requests.get_action_execution(str(ref)))]
                listed[0].action_execution_id = ref.action_execution
            return listed
        assert self._action is not None
        chosen = [item for item in executions if self._action in (str(item.action.id), item.action.name)]
        if not chosen:
            if not self._defined:
                actions = yield from requests.list_actions(ref.workspace, ref.project, ref.pipeline)
                self._defined = [(item.id, item.name) for item in actions]
            requests.pick_action(self._action, self._defined)
            return []
        if len({item.action.id for item in chosen}) > 1:
            number = requests.pick_action(self._action, [(item.action.id, item.action.name) for item in executions])
            chosen = [item for item in chosen if item.action.id == number]
        return chosen if self._which == "all" else chosen[:1] if self._which == "first" else chosen[-1:]

    def _seen(self, ref: BuddyRef, execution: models.Execution, chosen: list[models.ActionExecution]) -> Snapshot:
        snapshot = snapshot_of(ref, execution.model_copy(update={"action_executions": chosen}))
        over = phase_of(execution.status).ended
        steps = snapshot.steps
        phase = decisive(step.phase for step in steps) or Phase.QUEUED
        decisive_step = next((step for step in steps if step.phase is phase), None)
        status = decisive_step.status if decisive_step else "INITIAL"
        if over and phase is Phase.QUEUED:  # actions behind a failed one stay as they were
            phase = Phase.SKIPPED
        elif phase.ended and not over and self._may_run_again(ref, execution, chosen, phase):
            phase = Phase.RUNNING
        snapshot.phase, snapshot.status = phase, status
        snapshot.error = decisive_step.error if decisive_step else None
        if phase is Phase.SKIPPED and over:
            snapshot.error = f"the execution ended {execution.status} without running it"
        snapshot.started_at = min((step.started_at for step in steps if step.started_at), default=None)
        snapshot.finished_at = max((step.finished_at for step in steps if step.finished_at), default=None) if phase.ended else None
        snapshot.waiting_for = snapshot.waiting_for if phase is Phase.WAITING else None
        snapshot.partial, snapshot.settled = None, True
        if len(steps) == 1 and steps[0].id:
            snapshot.ref = str(BuddyRef(ref.workspace, ref.project, ref.pipeline, ref.execution, steps[0].id))
            snapshot.url = steps[0].url or snapshot.url
        return snapshot

    def _may_run_again(self, ref: BuddyRef, execution: models.Execution, chosen: list[models.ActionExecution], phase: Phase) -> bool:
        """
        Whether another action execution of the same action may follow, by a loop or a retry of the action.

        Not if a later action of the list has begun.
        """
        if ref.action_execution is not None or self._which == "first" or (self._which == "last" and phase is not Phase.FAILED):
            return False
        executions: list[Any] = execution.action_executions
        behind = executions[max(i for i, item in enumerate(executions) if item.action.id == chosen[-1].action.id) + 1 :]
        return all(phase_of(item.status) in _BEFORE for item in behind)
