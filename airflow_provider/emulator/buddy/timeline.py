"""Where a run stands at a given time: a pure function of its script, of what people did to it, and of the time.

Nothing runs in the background. Whatever happens at time t has happened once the clock shows t.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from airflow_provider.emulator.buddy.scenario import Action, Gate, of_attempt
from airflow_provider.emulator.buddy.statuses import TERMINAL, WAITING


@dataclass(frozen=True)
class Person:
    """A user of the vendor's workspace."""

    id: int
    name: str


SOMEBODY = Person(2, "Mike")
"""The person who acts when a scenario names nobody."""


@dataclass(frozen=True)
class Act:
    """Something a person did to a run.

    :ivar kind: ``cancel``, ``end`` (to ``status``, at once), ``show`` (``status`` although it goes on), ``approve`` (the
        step ``step_id``), ``run_now`` (a delayed run).
    :ivar at: epoch seconds.
    :ivar seconds: from a cancel to its end.
    """

    kind: str
    at: float
    by: Person
    status: str = ""
    seconds: float = 0.0
    step_id: str = ""
    variables: tuple[Mapping[str, object], ...] = ()


@dataclass
class Attempt:
    """A run from its start, or from a retry, to its end.

    :ivar at: epoch seconds of the start or the retry.
    :ivar step_ids: action execution id of each step of the script, for those that this attempt plays.
    """

    at: float
    step_ids: Sequence[str]
    acts: list[Act] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """What is known of a run when it is created; times are epoch seconds."""

    created_at: float
    script: tuple[Action | Gate, ...]
    queue_seconds: float = 0.0
    final_status: str | Sequence[str] | None = None
    delay_until: float | None = None
    only: frozenset[int] | None = None
    first_attempt: int = 0


@dataclass
class Step:
    """One action execution at the time asked for; times are epoch seconds.

    :ivar passed: it finished in a way that let the run go on, so a retry does not play it again.
    :ivar approval: what passed the gate; ``stop``: the cancel that ended it.
    :ivar cut: it ended before its time, so log and outputs are not whole.
    """

    id: str
    position: int
    action: Action | Gate
    status: str = "ENQUEUED"
    started_at: float | None = None
    finished_at: float | None = None
    passed: bool = False
    approval: Act | None = None
    stop: Act | None = None
    cut: bool = False

    @property
    def name(self) -> str:
        """Of its action."""
        return self.action.name

    @property
    def live(self) -> bool:
        """Whether it has started and not finished."""
        return self.started_at is not None and self.finished_at is None

    @property
    def waiting(self) -> bool:
        """Whether it waits for a person."""
        return isinstance(self.action, Gate) and self.live and self.status.startswith("WAITING_")


@dataclass
class State:
    """A run at the time asked for; times are epoch seconds.

    :ivar steps: of the script, in its order.
    :ivar replaced: steps of earlier attempts that were played again.
    :ivar first_finished_at: end of the first attempt.
    """

    status: str
    started_at: float | None
    finished_at: float | None
    steps: list[Step]
    replaced: list[Step] = field(default_factory=list)
    first_finished_at: float | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.finished_at is not None


def leaves_queue_at(plan: Plan, attempt: Attempt, free_at: float) -> float:
    """Return when the run's first step may begin; ``free_at``: when the pipeline has a place for it."""
    delay = plan.delay_until if plan.delay_until is not None else plan.created_at
    for act in attempt.acts:
        if act.kind == "run_now":
            delay = min(delay, act.at)
    return max(plan.created_at, delay, free_at) + plan.queue_seconds


def play(plan: Plan, attempts: Sequence[Attempt], now: float, free_at: float = 0.0) -> State:
    """Return where the run stands at ``now``.

    :param attempts: the start, and every retry.
    :param now: epoch seconds.
    :param free_at: when the pipeline has a place for the run; infinity: not yet known.
    """
    # A clock may be set back: what people did is undone then, too.
    attempts = [attempts[0], *(attempt for attempt in attempts[1:] if attempt.at <= now)]
    begins = leaves_queue_at(plan, attempts[0], free_at)
    state = _play_attempt(plan, 0, attempts[0], {}, begins, _end_of(attempts, 0, now))
    first_finished_at, started_at = state.finished_at, state.started_at
    replaced: list[Step] = []
    for number in range(1, len(attempts)):
        kept = {} if state.status == "SUCCESSFUL" else {step.position: step for step in state.steps if step.passed}
        replaced += [step for step in state.steps if step.position not in kept and step.started_at is not None]
        attempt = attempts[number]
        state = _play_attempt(plan, number, attempt, kept, attempt.at, _end_of(attempts, number, now))
        started_at = started_at if started_at is not None else state.started_at
    state.replaced, state.first_finished_at, state.started_at = replaced, first_finished_at, started_at
    return state


def _end_of(attempts: Sequence[Attempt], number: int, now: float) -> float:
    return attempts[number + 1].at if number + 1 < len(attempts) else now


def _play_attempt(plan: Plan, number: int, attempt: Attempt, kept: Mapping[int, Step], begins: float, until: float) -> State:
    attempt = replace(attempt, acts=[act for act in attempt.acts if act.at <= until])
    halt = next((act for act in attempt.acts if act.kind in ("cancel", "end")), None)
    horizon = min(until, halt.at) if halt else until
    steps, outcome, ended_at = _walk(plan, plan.first_attempt + number, attempt, kept, begins, horizon)
    started = begins <= horizon
    state = State("ENQUEUED", begins if started else None, None, steps)
    if started and ended_at is not None:
        state.status = outcome
        state.finished_at = ended_at if outcome in TERMINAL else None
    elif started:
        state.status = next((step.status for step in steps if step.live), "INPROGRESS")
    if state.finished_at is None:
        if halt:
            _halt(state, halt, attempt.acts, until)
        if state.finished_at is None and state.status != "TERMINATING":
            shown = [act.status for act in attempt.acts if act.kind == "show"]
            state.status = shown[-1] if shown else state.status
    return state


def _walk(
    plan: Plan, number: int, attempt: Attempt, kept: Mapping[int, Step], begins: float, horizon: float
) -> tuple[list[Step], str, float | None]:
    """Play the script up to ``horizon``; return its steps, how it ends, and when, if it has."""
    steps: list[Step] = []
    time, outcome, blocked = begins, "", begins > horizon
    for position, action in enumerate(plan.script):
        if position in kept:
            steps.append(kept[position])
            continue
        step = Step(attempt.step_ids[position], position, action)
        steps.append(step)
        if plan.only is not None and action.id not in plan.only:
            step.status, step.passed = "SKIPPED", True
            continue
        if blocked or outcome:
            continue
        step.started_at = time
        status, end = _outcome_of(step, number, attempt, time)
        if end > horizon:
            step.status = WAITING.get(action.type, "INPROGRESS") if isinstance(action, Gate) else "INPROGRESS"
            step.approval, blocked = None, True
            continue
        step.status, step.finished_at, time = status, end, end
        ignored = isinstance(action, Action) and action.ignore_errors
        if status == "TERMINATED" or (status == "FAILED" and not ignored):
            outcome = status
        else:
            step.passed = True
    if plan.final_status is not None:
        outcome = of_attempt(plan.final_status, number)
    return steps, outcome or "SUCCESSFUL", None if blocked else time


def _outcome_of(step: Step, number: int, attempt: Attempt, time: float) -> tuple[str, float]:
    action = step.action
    if isinstance(action, Action):
        status = of_attempt(action.status, number)
        return status, time if status in ("SKIPPED", "NOT_EXECUTED") else time + action.seconds
    approval = next((act for act in attempt.acts if act.kind == "approve" and act.step_id == step.id), None)
    if action.auto_after is not None and (approval is None or approval.at > time + action.auto_after):
        approval = Act("approve", time + action.auto_after, SOMEBODY, step_id=step.id)
    step.approval = approval
    return "SUCCESSFUL", approval.at if approval else math.inf


def _halt(state: State, halt: Act, acts: Sequence[Act], until: float) -> None:
    """Let a cancel, or a sudden end, take hold of the run."""
    status, ends_at = halt.status, halt.at
    if halt.kind == "cancel":
        status, ends_at = "TERMINATED", halt.at + halt.seconds
        for later in acts:
            # A run that is stopping may still come to another end.
            if later.kind == "end" and halt.at <= later.at < ends_at:
                status, ends_at = later.status, later.at
    over = ends_at <= until
    state.status = status if over else "TERMINATING"
    state.finished_at = ends_at if over else None
    for step in _hit(state.steps, halt.kind == "cancel"):
        step.status = state.status
        step.finished_at = state.finished_at
        step.cut = status != "SUCCESSFUL"
        step.stop = halt if halt.kind == "cancel" else None
    if over and status != "FAILED":
        # After a failure later steps stay ENQUEUED, an oddity of the vendor's.
        for step in state.steps:
            if step.status == "ENQUEUED":
                step.status = "NOT_EXECUTED" if status == "TERMINATED" else "SKIPPED"


def _hit(steps: Sequence[Step], cancelled: bool) -> Iterator[Step]:
    """Give the step under way; of a cancelled run that was between steps or queued, the next one: it tells by whom."""
    live = [step for step in steps if step.live]
    if not live and cancelled:
        live = [step for step in steps if step.status == "ENQUEUED"][:1]
    return iter(live)
