"""All events of a run's history. The API omits some of them, which leaves gaps in the ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from airflow_provider.emulator.tracecat.timeline import Place, Plan, Run, State, Step

_ENDS = {
    "COMPLETED": "WORKFLOW_EXECUTION_COMPLETED",
    "FAILED": "WORKFLOW_EXECUTION_FAILED",
    "CANCELED": "WORKFLOW_EXECUTION_CANCELED",
    "TERMINATED": "WORKFLOW_EXECUTION_TERMINATED",
    "TIMED_OUT": "WORKFLOW_EXECUTION_TIMED_OUT",
}


@dataclass(frozen=True)
class Event:
    """One event.

    :ivar shown: whether the API shows it.
    :ivar group: id of the event that scheduled its action or child.
    :ivar child: number of the child that it belongs to.
    """

    id: int
    at: float
    type: str
    shown: bool = False
    step: Step | None = None
    group: int | None = None
    child: int = 0


class History:
    """The events of a run so far.

    :param first_started_at: epoch seconds of the first run's start, which the first event still shows after a reset.
    """

    def __init__(self, plan: Plan, run: Run, state: State, first_started_at: float, scheduled: bool) -> None:
        self._state = state
        self._groups: dict[tuple[Place, int], int] = {}
        self._reset_at = run.at if run.number else None
        self.events: list[Event] = []
        self._begin(plan, run, first_started_at, scheduled)
        if state.begun_at is not None:
            moments = sorted(self._moments(), key=lambda moment: moment[:3])
            for at, _, _, write in moments:
                if self._reset_at is not None and at >= self._reset_at:
                    self._reset(self._reset_at)
                write()
            if self._reset_at is not None:
                self._reset(self._reset_at)
        if state.closed_at is not None:
            self._end(plan, state.closed_at)
        else:
            self._cancels(run)

    @property
    def horizon(self) -> float:
        """The time of the state, epoch seconds."""
        return self._state.horizon

    def group_of(self, step: Step, child: int = 0) -> int | None:
        """Return the id of the event that scheduled a step; None: the step is not scheduled."""
        return self._groups.get((step.place, child))

    def closing(self, event_id: int) -> Event | None:
        """Return the completion event for an id: its own, or that of the event that scheduled it."""
        for event in self.events:
            completed = event.shown and event.type.endswith("_COMPLETED")
            if completed and event_id in (event.id, event.group):
                return event
        return None

    def _add(self, at: float, kind: str, shown: bool = False, step: Step | None = None, group: int | None = None, child: int = 0) -> Event:
        event = Event(len(self.events) + 1, at, kind, shown, step, group, child)
        self.events.append(event)
        return event

    def _workflow_task(self, at: float) -> None:
        """Add the events of the workflow's own code."""
        for kind in ("WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED", "WORKFLOW_TASK_COMPLETED"):
            self._add(at, kind)

    def _internal_activity(self, at: float) -> None:
        """Add the events of an activity that belongs to no action."""
        for kind in ("ACTIVITY_TASK_SCHEDULED", "ACTIVITY_TASK_STARTED", "ACTIVITY_TASK_COMPLETED"):
            self._add(at, kind)
        self._workflow_task(at)

    def _begin(self, plan: Plan, run: Run, first_started_at: float, scheduled: bool) -> None:
        self._add(first_started_at, "WORKFLOW_EXECUTION_STARTED", shown=True)
        began = self._state.begun_at
        if began is None:
            self._add(run.at, "WORKFLOW_TASK_SCHEDULED")
            return
        before = first_started_at if run.kept else began
        if self._reset_at is not None and not run.kept:
            for kind in ("WORKFLOW_TASK_SCHEDULED", "WORKFLOW_TASK_STARTED", "WORKFLOW_TASK_FAILED"):
                self._add(before, kind)
            self._reset_at = None
        self._workflow_task(before)
        self._add(before, "UPSERT_WORKFLOW_SEARCH_ATTRIBUTES")
        if scheduled:
            self._internal_activity(before)
            self._internal_activity(before)
            self._add(before, "MARKER_RECORDED")
        if plan.checks_inputs:
            self._internal_activity(before)

    def _reset(self, at: float) -> None:
        self._add(at, "WORKFLOW_TASK_FAILED")
        self._workflow_task(at)
        self._reset_at = None

    def _moments(self) -> Iterator[tuple[float, int, int, partial[Any]]]:
        for number, step in enumerate(self._state.steps):
            if step.action.start_delay:
                yield step.ready_at, 2, number, partial(self._add, step.ready_at, "TIMER_STARTED")
            if not step.scheduled:
                continue
            # An end without duration directly follows its beginning.
            at_once = [partial(self._schedule, step)]
            for at, order, write in self._ends_of(step):
                if at > step.scheduled_at:
                    yield at, order, number, write
                else:
                    at_once.append(write)
            yield step.scheduled_at, 3, number, partial(_in_turn, at_once)

    def _ends_of(self, step: Step) -> Iterator[tuple[float, int, partial[None]]]:
        if step.action.workflow is None and step.closed_at is not None:
            yield step.closed_at, 0, partial(self._close, step)
        for index, child in enumerate(step.children):
            if step.action.wait == "wait" and child.closed_at is not None and child.closed_at <= self._state.horizon:
                yield child.closed_at, 0, partial(self._close_child, step, index)
        if step.answered_at is not None:
            yield step.answered_at, 1, partial(self._answer, step)

    def _schedule(self, step: Step) -> None:
        at = step.scheduled_at
        if step.action.start_delay:
            self._add(at, "TIMER_FIRED")
            self._workflow_task(at)
        if step.action.workflow is None:
            if step.action.interaction is not None:
                self._internal_activity(at)
            event = self._add(at, "ACTIVITY_TASK_SCHEDULED", True, step, len(self.events) + 1)
            self._groups[step.place, 0] = event.id
            return
        self._internal_activity(at)
        if step.action.loop is None:
            self._internal_activity(at)
        for index in range(len(step.children)):
            event = self._add(at, "START_CHILD_WORKFLOW_EXECUTION_INITIATED", True, step, len(self.events) + 1, index)
            self._groups[step.place, index] = event.id
        for index in range(len(step.children)):
            self._add(at, "CHILD_WORKFLOW_EXECUTION_STARTED", True, step, self._groups[step.place, index], index)
            self._workflow_task(at)

    def _close(self, step: Step) -> None:
        group = self._groups[step.place, 0]
        # Both are written at the end: until then the history does not show that it runs.
        self._add(step.started_at or 0.0, "ACTIVITY_TASK_STARTED", True, step, group)
        self._add(step.closed_at or 0.0, f"ACTIVITY_TASK_{step.status}", True, step, group)
        self._workflow_task(step.closed_at or 0.0)
        if step.interaction_id is not None:
            self._internal_activity(step.closed_at or 0.0)

    def _close_child(self, step: Step, index: int) -> None:
        child = step.children[index]
        at = child.closed_at or 0.0
        self._add(at, f"CHILD_WORKFLOW_EXECUTION_{child.status}", True, step, self._groups[step.place, index], index)
        self._workflow_task(at)

    def _answer(self, step: Step) -> None:
        at = step.answered_at or 0.0
        self._workflow_task(at)
        event = self._add(at, "WORKFLOW_EXECUTION_UPDATE_ACCEPTED", True, step, len(self.events) + 1)
        self._add(at, "WORKFLOW_EXECUTION_UPDATE_COMPLETED", True, step, event.id)
        self._internal_activity(at)

    def _cancels(self, run: Run) -> None:
        requests = [act.at for act in run.acts if act.kind == "cancel" and act.at <= self._state.horizon]
        if requests:
            self._add(requests[0], "WORKFLOW_EXECUTION_CANCEL_REQUESTED")

    def _end(self, plan: Plan, at: float) -> None:
        status = self._state.status
        if status == "CANCELED":
            self._add(at, "WORKFLOW_EXECUTION_CANCEL_REQUESTED")
            self._workflow_task(at)
        elif status == "FAILED" or (status == "COMPLETED" and plan.returns_something):
            self._internal_activity(at)
        self._add(at, _ENDS[status], shown=True)


def _in_turn(writes: Sequence[partial[None]]) -> None:
    for write in writes:
        write()
