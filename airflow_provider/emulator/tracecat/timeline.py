"""The state of an execution at a given time: a pure function of its plan, of what people did, and of its children."""

from __future__ import annotations

import math
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider.emulator.tracecat.expressions import evaluate
from airflow_provider.emulator.tracecat.ids import context_run
from airflow_provider.emulator.tracecat.scenario import NOTHING, Action
from airflow_provider.emulator.tracecat.times import plain

TERMINAL = ("COMPLETED", "FAILED", "CANCELED", "TERMINATED", "TIMED_OUT")
STATUSES = ("RUNNING", "COMPLETED", "FAILED", "CANCELED", "TERMINATED", "CONTINUED_AS_NEW", "TIMED_OUT")
ROOT = "<root>:0"
_INSTANT = 1e-6  # sums of durations are inexact

Place = tuple[int, int | None]
"""Position of an action in the script, and of the item it is played for within a stream."""


@dataclass(frozen=True)
class Failure:
    """A message and its root cause."""

    message: str
    root: str | None = None


@dataclass(frozen=True)
class Act:
    """Something that was done to a run from outside.

    :ivar kind: ``cancel``, ``end`` (with ``status``, immediately), ``answer`` (to the interaction ``target``).
    :ivar seconds: seconds from the time a worker receives a cancel to the end.
    """

    kind: str
    at: float
    status: str = ""
    seconds: float = 0.0
    target: str = ""
    payload: Any = None


@dataclass(frozen=True)
class Child:
    """A child execution as its parent sees it; times are epoch seconds."""

    id: str
    workflow: str
    status: str
    closed_at: float | None
    result: Any = None
    failure: Failure | None = None


@dataclass(frozen=True)
class PendingChild:
    """A child execution that should be started."""

    place: Place
    index: int
    at: float
    workflow: str
    inputs: Any


@dataclass(frozen=True)
class Plan:
    """What is fixed when an execution is created.

    :ivar denied: refs of actions that its starter may not execute, with the missing scope.
    :ivar mismatch: the validation failure of its inputs.
    """

    execution_id: str
    workflow_uuid: str
    script: tuple[Action, ...]
    inputs: Any = None
    returns: Any = NOTHING
    environment: str = "default"
    fails: str | None = None
    timeout: float | None = None
    mismatch: Failure | None = None
    denied: Mapping[str, str] = field(default_factory=dict)
    checks_inputs: bool = False

    @property
    def returns_something(self) -> bool:
        """Whether the workflow defines a result."""
        return self.returns is not NOTHING


@dataclass
class Step:
    """One action at the requested time; times are epoch seconds.

    :ivar ready_at: end of the actions that it waits for.
    :ivar scheduled_at: end of its own delay after that.
    :ivar attempts: start and end of each attempt.
    :ivar inputs: inputs of the children.
    :ivar answered_at: time of the answer to its interaction.
    :ivar done_at: when the actions after it may begin.
    """

    place: Place
    action: Action
    stream_id: str
    ready_at: float
    scheduled_at: float
    status: str = "SCHEDULED"
    attempts: list[tuple[float, float]] = field(default_factory=list)
    started_at: float | None = None
    closed_at: float | None = None
    result: Any = None
    failure: Failure | None = None
    children: list[Child] = field(default_factory=list)
    inputs: list[Any] = field(default_factory=list)
    interaction_id: str | None = None
    answered_at: float | None = None
    answer: Any = None
    done_at: float = math.inf

    @property
    def ref(self) -> str:
        """Ref of its action."""
        return self.action.ref

    @property
    def scheduled(self) -> bool:
        """Whether its delay is over."""
        return bool(self.status)

    @property
    def waiting(self) -> bool:
        """Whether it waits for an answer."""
        return self.interaction_id is not None and self.status == "COMPLETED" and self.answered_at is None

    @property
    def broke(self) -> bool:
        """Whether its failure fails the workflow."""
        return self.status in ("FAILED", "TIMED_OUT") and not self.action.handled


@dataclass
class Run:
    """An execution from its start, or from a reset, to its end.

    :ivar at: epoch seconds.
    :ivar kept: steps of the previous run that the reset keeps.
    """

    id: str
    at: float
    number: int = 0
    acts: list[Act] = field(default_factory=list)
    kept: dict[Place, Step] = field(default_factory=dict)


@dataclass
class State:
    """A run at the requested time; times are epoch seconds.

    :ivar begun_at: when a worker took it; None: it has not been taken.
    :ivar horizon: the requested time, or the end of the run.
    :ivar pending: children to start.
    """

    status: str
    horizon: float
    begun_at: float | None
    closed_at: float | None
    steps: list[Step]
    result: Any = None
    failure: Failure | None = None
    pending: list[PendingChild] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.closed_at is not None


Reacts = Callable[[float], float]
"""Returns when a worker is first available at or after a time."""
FindChild = Callable[[Place, int], "Child | None"]


def play(plan: Plan, run: Run, now: float, reacts: Reacts, child: FindChild) -> State:
    """Return the state of a run at ``now``, epoch seconds."""
    now += _INSTANT
    begun_at = reacts(run.at)
    play = _Play(plan, run, begun_at, child)
    if plan.mismatch is None:
        for position in range(len(plan.script)):
            play.add(position)
    ended_at, status = play.end(reacts)
    horizon = min(now, ended_at)
    over = ended_at <= now and math.isfinite(ended_at)
    state = State(status if over else "RUNNING", horizon, begun_at if begun_at <= horizon else None, ended_at if over else None, [])
    state.steps = [shown for step in play.steps if (shown := _step_at(step, horizon, over)) is not None]
    state.pending = [child for child in play.pending if child.at <= horizon] if not over else []
    if state.status == "COMPLETED":
        state.result = play.outcome()
    elif state.status == "FAILED":
        state.failure = plan.mismatch or _failure(plan, play.steps, horizon)
    return state


class _Play:
    """Simulates the whole script; cancels, timeouts and failures are applied afterwards."""

    def __init__(self, plan: Plan, run: Run, begins: float, child: FindChild) -> None:
        self._plan = plan
        self._run = run
        self._begins = begins
        self._child = child
        self._ends: dict[tuple[str, int | None], float] = {}
        self._results: dict[str, Any] = {}
        self._answers: dict[str, Any] = {}
        self._in_streams: dict[tuple[str, int], Any] = {}
        self._items: dict[str, list[Any]] = {}
        self.steps: list[Step] = []
        self.pending: list[PendingChild] = []

    def add(self, position: int) -> None:
        """Simulate one action; those that it waits for have been simulated before."""
        action = self._plan.script[position]
        before = [self._plan.script[position - 1].ref] if position else []
        depends_on = before if action.depends_on is None else list(action.depends_on)
        if action.skipped:
            self._ends[action.ref, None] = self._ready(depends_on, None)
            self._results[action.ref] = None
        elif action.stream is None:
            step = self._step(position, None, depends_on)
            self._ends[action.ref, None] = step.done_at
            self._results[action.ref] = step.result
            self._answers[action.ref] = step.answer
        else:
            steps = [self._step(position, index, depends_on) for index in range(len(self._items.get(action.stream, [])))]
            for index, step in enumerate(steps):
                self._ends[action.ref, index] = step.done_at
                self._in_streams[action.ref, index] = step.result
            self._ends[action.ref, None] = max((step.done_at for step in steps), default=self._ready(depends_on, None))
            self._results[action.ref] = [step.result for step in steps]

    def _ready(self, depends_on: Sequence[str], index: int | None) -> float:
        return max([self._begins, *(self._ends.get((ref, index), self._ends[ref, None]) for ref in depends_on)])

    def _step(self, position: int, index: int | None, depends_on: Sequence[str]) -> Step:
        action, place = self._plan.script[position], (position, index)
        ready = self._ready(depends_on, index)
        context = self.context(action.stream, index)
        if place in self._run.kept:
            # A reset keeps it unchanged.
            step = replace(self._run.kept[place])
        else:
            stream = ROOT if index is None else f"{ROOT}/{action.stream}:{index}"
            step = Step(place, action, stream, ready, ready + action.start_delay)
            if action.workflow is not None:
                self._play_children(step, context)
            else:
                self._play_attempts(step, context)
            if action.interaction is not None and step.status == "COMPLETED":
                self._ask(step)
        if action.scatter is not None:
            self._items[action.ref] = list(evaluate(action.scatter, context) or [])
        if step.broke:
            step.done_at = math.inf
        self.steps.append(step)
        return step

    def context(self, stream: str | None = None, index: int | None = None) -> dict[str, Any]:
        """Return the values that templates can refer to, inside a stream or outside."""
        results = dict(self._results)
        if stream is not None and index is not None:
            results |= {ref: result for (ref, at), result in self._in_streams.items() if at == index}
            results[stream] = self._items[stream][index]
        actions = {ref: {"result": result, "interaction": self._answers.get(ref)} for ref, result in results.items()}
        return {"TRIGGER": self._plan.inputs, "ACTIONS": actions}

    def _play_attempts(self, step: Step, context: Mapping[str, Any]) -> None:
        action, time = step.action, step.scheduled_at + step.action.queue_seconds
        denied = self._plan.denied.get(action.ref)
        error, until = action.error_of(self._run.number), math.inf if action.error_until is None else action.error_until
        for attempt in range(1, max(1, action.max_attempts) + 1):
            started_at = time
            if denied is not None:
                step.status, step.failure = "FAILED", replace(_attempt_failure(action, attempt, denied), root=_NO_PERMISSION)
            elif action.timeout is not None and action.seconds > action.timeout:
                time += action.timeout
                step.status = "TIMED_OUT"
            elif error is not None and time < until and (action.failing_attempts is None or attempt <= action.failing_attempts):
                time += action.seconds
                step.status, step.failure = "FAILED", _attempt_failure(action, attempt, error)
            else:
                time += action.seconds
                step.status, step.failure = "COMPLETED", None
            step.attempts.append((started_at, time))
            if step.status == "COMPLETED" or denied is not None:
                break
            time += action.retry_delay if attempt < action.max_attempts else 0.0
        step.closed_at = step.done_at = time
        if step.status == "COMPLETED":
            step.result = evaluate(action.scatter if action.scatter is not None else action.result, context)

    def _play_children(self, step: Step, context: Mapping[str, Any]) -> None:
        action = step.action
        items = evaluate(action.loop, context) if action.loop is not None else [None]
        children = []
        for index, item in enumerate(items or []):
            inputs = evaluate(action.inputs, {**context, "var": {"item": item}})
            step.inputs.append(inputs)
            children.append(child := self._child(step.place, index))
            if child is None:
                self.pending.append(PendingChild(step.place, index, step.scheduled_at, action.workflow or "", inputs))
        step.children = [child for child in children if child is not None]
        step.attempts = [(step.scheduled_at, math.inf)]
        step.closed_at = math.inf
        if len(step.children) < len(children):
            return
        if action.wait != "wait":
            ids = [child.id for child in step.children]
            step.result = ids if action.loop is not None else ids[0]
            step.status, step.closed_at, step.done_at = "DETACHED", None, step.scheduled_at
            return
        failed = [child for child in step.children if child.closed_at is not None and child.status != "COMPLETED"]
        if failed:
            first = min(failed, key=lambda child: child.closed_at or 0.0)
            step.failure = first.failure or Failure(f"Child workflow execution ended {first.status}")
            step.status, step.closed_at = "FAILED", first.closed_at
        elif all(child.closed_at is not None for child in step.children):
            results = [child.result for child in step.children]
            step.result = results if action.loop is not None else results[0]
            step.status, step.closed_at = "COMPLETED", max((child.closed_at or 0.0 for child in step.children), default=step.scheduled_at)
        step.done_at = math.inf if step.closed_at is None else step.closed_at

    def _ask(self, step: Step) -> None:
        interaction, asked_at = step.action.interaction, step.done_at
        assert interaction is not None
        step.interaction_id = str(uuid.uuid5(uuid.UUID(self._run.id), f"{step.ref} {step.stream_id}"))
        answers = [act for act in self._run.acts if act.kind == "answer" and act.target == step.interaction_id]
        if interaction.auto_after is not None:
            answers.append(Act("answer", asked_at + interaction.auto_after, payload=interaction.answer))
        first = min(answers, key=lambda act: act.at, default=None)
        step.done_at = first.at if first else math.inf
        if first:
            step.answered_at, step.answer = first.at, first.payload

    def end(self, reacts: Reacts) -> tuple[float, str]:
        """Return the time and the status of the end; infinity if it is not known yet."""
        plan, run = self._plan, self._run
        candidates: list[tuple[float, str]] = []
        for act in run.acts:
            if act.kind == "end":
                candidates.append((act.at, act.status))
            elif act.kind == "cancel":
                candidates.append((reacts(act.at) + act.seconds, "CANCELED"))
        if plan.timeout is not None:
            candidates.append((run.at + plan.timeout, "TIMED_OUT"))
        breaks = [step.closed_at for step in self.steps if step.broke and step.closed_at is not None]
        if plan.mismatch is not None or breaks:
            candidates.append((min(breaks, default=self._begins), "FAILED"))
        else:
            done = max([self._begins, *self._ends.values()])
            candidates.append((done, "FAILED" if plan.fails is not None else "COMPLETED"))
        return min(candidates, key=lambda candidate: candidate[0])

    def outcome(self) -> Any:
        """Return the result of the workflow."""
        plan = self._plan
        if plan.returns is not NOTHING:
            return evaluate(plan.returns, self.context())
        return {
            "wf_id": plan.workflow_uuid,
            "wf_exec_id": plan.execution_id,
            "wf_run_id": context_run(self._run.id),
            "environment": plan.environment,
            "logical_time": plain(self._run.at) + "+00:00",
        }


def _step_at(step: Step, horizon: float, over: bool) -> Step | None:
    """Return the step as of the horizon; None: it is not reached."""
    if step.ready_at > horizon or (over and step.scheduled_at > horizon):
        return None
    visible = replace(step)
    if step.scheduled_at > horizon:
        visible.status, visible.attempts = "", []
    elif step.status == "DETACHED":
        visible.started_at = step.scheduled_at
        return visible
    elif step.closed_at is not None and step.closed_at <= horizon:
        visible.started_at = step.attempts[-1][0]
        if step.answered_at is not None and step.answered_at > horizon:
            visible.answered_at = visible.answer = None
        return visible
    else:
        starts = [start for start, _ in step.attempts if start <= horizon]
        visible.status = "STARTED" if starts else "SCHEDULED"
        visible.started_at = starts[-1] if starts else None
    visible.closed_at = visible.result = visible.failure = visible.interaction_id = visible.answered_at = visible.answer = None
    return visible


_NO_PERMISSION = "You don't have permission to perform this action."
"""What the vendor's root cause says of a missing scope; only the message names it."""


def _attempt_failure(action: Action, attempt: int, error: str) -> Failure:
    return Failure(f"[ACTIONS.{action.ref} -> execute_action] (Attempt {attempt})\n\n{error}", error)


def _failure(plan: Plan, steps: Sequence[Step], at: float) -> Failure:
    """Return the failure of the workflow: one block for each action that failed or was stopped because of that."""
    blocks = []
    for step in steps:
        if step.broke and step.closed_at is not None and step.closed_at <= at:
            kind = "ApplicationError" if step.action.workflow is not None else step.action.error_type
            message = step.failure.message if step.failure else ""
            text = "TimeoutError: activity StartToClose timeout" if step.status == "TIMED_OUT" else f"{kind}: {message}"
            blocks.append((step.ref, text))
    if not blocks:
        return Failure(plan.fails or "Workflow failed", plan.fails)
    stopped = [
        step for step in steps if step.status != "DETACHED" and step.scheduled_at < at and (step.closed_at is None or step.closed_at > at)
    ]
    blocks += [(step.ref, "CancelledError: Cancelled") for step in stopped]
    count = len(blocks)
    parts = [f"========== ({number}/{count}) ACTIONS.{ref} ==========\n\n{text}" for number, (ref, text) in enumerate(blocks, 1)]
    return Failure(f"Workflow failed with {count} error(s)\n\n" + "\n".join(parts))
