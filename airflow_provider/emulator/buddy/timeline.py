"""The state of a run at a given time: a pure function of its script, of what people did to it, and of the time.

Nothing runs in the background. Whatever happens at time t has happened once the clock shows t.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from airflow_provider.emulator.buddy.scenario import Action, Gate, of_attempt
from airflow_provider.emulator.buddy.statuses import TERMINAL, WAITING


@dataclass(frozen=True)
class Person:
    """A user of the vendor's workspace."""

    id: int
    name: str


SOMEBODY = Person(2, "Mike")
"""The person who acts if the caller names nobody."""


@dataclass(frozen=True)
class Act:
    """Something that a person did to a run.

    :ivar kind: ``cancel``, ``end`` (with ``status``, immediately), ``show`` (``status``, but the run continues), ``approve`` (the
        step ``step_id``), ``run_now`` (start a delayed run).
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
    :ivar step_ids: action execution id for each of :func:`slots`.
    """

    at: float
    step_ids: Sequence[str]
    acts: list[Act] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """What is fixed when a run is created; times are epoch seconds.

    :ivar runners: how many actions of a soft parallel may run at the same time; None: any number.
    """

    created_at: float
    script: tuple[Action | Gate, ...]
    queue_seconds: float = 0.0
    final_status: str | Sequence[str] | None = None
    delay_until: float | None = None
    only: frozenset[int] | None = None
    first_attempt: int = 0
    initial_seconds: float = 0.0
    runners: int | None = None


@dataclass(frozen=True)
class Slot:
    """A place for an action execution: ``turn`` of a loop, ``retry`` of that turn, both from 0."""

    position: int
    turn: int
    retry: int


def slots(script: Sequence[Action | Gate]) -> list[Slot]:
    """Return the places for all action executions that an attempt can have, in the order of the script."""
    return [
        Slot(position, turn, retry)
        for position, action in enumerate(script)
        for turn in range(_turns(action))
        for retry in range(1 + _retries(action))
    ]


def _turns(action: Action | Gate) -> int:
    return max(1, len(action.loop)) if isinstance(action, Action) else 1


def _retries(action: Action | Gate) -> int:
    return max(0, action.retry_count) if isinstance(action, Action) else 0


@dataclass
class Step:
    """One action execution at the requested time; times are epoch seconds.

    :ivar position: position of its action in the script.
    :ivar turn: number of its turn in the loop, from 0.
    :ivar retry: number of its automatic retry in that turn, from 0.
    :ivar passed: it ended in a way that let the run continue, so a retry does not run it again.
    :ivar approval: the act that passed the gate.
    :ivar stop: the cancel that ended it.
    :ivar cut: it was ended early, so log and outputs are incomplete.
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
    turn: int = 0
    retry: int = 0

    @property
    def place(self) -> tuple[int, int]:
        """Position and turn: the unit that a retry runs again, or not."""
        return self.position, self.turn

    @property
    def loop_value(self) -> str | None:
        """The value that this turn of a loop is for."""
        loop = self.action.loop if isinstance(self.action, Action) else ()
        return loop[self.turn] if loop else None

    @property
    def name(self) -> str:
        """Name of its action."""
        return self.action.name

    @property
    def live(self) -> bool:
        """Whether it has started and not finished."""
        return self.started_at is not None and self.finished_at is None

    @property
    def waiting(self) -> bool:
        """Whether it waits for manual approval."""
        return isinstance(self.action, Gate) and self.live and self.status.startswith("WAITING_")


@dataclass
class State:
    """A run at the requested time; times are epoch seconds.

    :ivar steps: action executions, in the order of the script, its loops and its automatic retries.
    :ivar replaced: steps of earlier attempts that were run again.
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
    """Return when the run's first step may begin; ``free_at``: when the pipeline has room for it."""
    delay = plan.delay_until if plan.delay_until is not None else plan.created_at
    for act in attempt.acts:
        if act.kind == "run_now":
            delay = min(delay, act.at)
    return max(plan.created_at + plan.initial_seconds, delay, free_at) + plan.queue_seconds


def play(plan: Plan, attempts: Sequence[Attempt], now: float, free_at: float = 0.0) -> State:
    """Return the state of a run at ``now``.

    :param attempts: the first attempt, and one for each retry.
    :param now: epoch seconds.
    :param free_at: when the pipeline has room for the run; infinity: not yet known.
    """
    # If the clock is set back, what people did after that time is undone.
    attempts = [attempts[0], *(attempt for attempt in attempts[1:] if attempt.at <= now)]
    start = leaves_queue_at(plan, attempts[0], free_at)
    state = _play_attempt(plan, 0, attempts[0], {}, start, _end_of(attempts, 0, now))
    first_finished_at, started_at = state.finished_at, state.started_at
    replaced: list[Step] = []
    for number in range(1, len(attempts)):
        kept = {} if state.status == "SUCCESSFUL" else _passed(state.steps)
        replaced += [step for step in state.steps if step.place not in kept and step.started_at is not None]
        attempt = attempts[number]
        state = _play_attempt(plan, number, attempt, kept, attempt.at, _end_of(attempts, number, now))
        started_at = started_at if started_at is not None else state.started_at
    state.replaced, state.first_finished_at, state.started_at = replaced, first_finished_at, started_at
    return state


def _passed(steps: Iterable[Step]) -> dict[tuple[int, int], list[Step]]:
    """Return the completed places with all their action executions; failed ones come before the successful one."""
    places = {place: list(same_place) for place, same_place in groupby(steps, lambda step: step.place)}
    return {place: same_place for place, same_place in places.items() if same_place[-1].passed}


def _end_of(attempts: Sequence[Attempt], number: int, now: float) -> float:
    return attempts[number + 1].at if number + 1 < len(attempts) else now


def _play_attempt(
    plan: Plan, number: int, attempt: Attempt, kept: Mapping[tuple[int, int], list[Step]], begins: float, until: float
) -> State:
    attempt = replace(attempt, acts=[act for act in attempt.acts if act.at <= until])
    halt = next((act for act in attempt.acts if act.kind in ("cancel", "end")), None)
    horizon = min(until, halt.at) if halt else until
    steps, outcome, ended_at = _walk(plan, plan.first_attempt + number, attempt, kept, begins, horizon)
    started = begins <= horizon
    queued = "INITIAL" if until < plan.created_at + plan.initial_seconds else "ENQUEUED"
    state = State(queued, begins if started else None, None, steps)
    if started and ended_at is not None:
        state.status = outcome
        state.finished_at = ended_at if outcome in TERMINAL else None
    elif started:
        # A gate shows in the run's status only if nothing else runs.
        live = sorted((step for step in steps if step.live), key=lambda step: step.waiting)
        state.status = live[0].status if live else "INPROGRESS"
    if state.finished_at is None:
        if halt:
            _halt(state, halt, attempt.acts, until)
        if state.finished_at is None and state.status != "TERMINATING":
            shown_statuses = [act.status for act in attempt.acts if act.kind == "show"]
            state.status = shown_statuses[-1] if shown_statuses else state.status
    return state


def _walk(
    plan: Plan, number: int, attempt: Attempt, kept: Mapping[tuple[int, int], list[Step]], begins: float, horizon: float
) -> tuple[list[Step], str, float | None]:
    """Simulate the script up to ``horizon``; return its steps, its final status, and the time of its end, if it has ended."""
    ids = dict(zip(slots(plan.script), attempt.step_ids, strict=True))
    steps: list[Step] = []
    outcome = ""
    time: float | None = begins if begins <= horizon else None
    for group in _groups(plan):
        # The actions of a group begin together; the next group begins when all of them have succeeded.
        start = None if outcome else time
        branches = [_branch(plan, position, number, attempt, ids, kept, start, horizon) for position in group]
        steps += [step for branch in branches for step in branch.steps]
        if start is not None:
            end_times = [branch.ended_at for branch in branches if branch.ended_at is not None]
            time = max(end_times) if len(end_times) == len(branches) else None
            outcome = next((branch.outcome for branch in branches if branch.outcome), "")
    if plan.final_status is not None:
        outcome = of_attempt(plan.final_status, number)
    return steps, outcome or "SUCCESSFUL", time


def _groups(plan: Plan) -> list[list[int]]:
    """Return the positions of the actions that run at the same time, in the order of the script."""
    groups: list[list[int]] = []
    joined = ""
    for position, action in enumerate(plan.script):
        if joined:
            groups[-1].append(position)
        else:
            groups.append([position])
        joined = action.run_next if action.run_next != "WAIT_ON_SUCCESS" else ""
    return [part for group in groups for part in _by_runners(plan, group)]


def _by_runners(plan: Plan, group: list[int]) -> list[list[int]]:
    """Split a soft parallel if there are too few runners; a hard one always runs together."""
    hard = any(plan.script[position].run_next == "IN_HARD_PARALLEL" for position in group[:-1])
    if hard or plan.runners is None or len(group) <= plan.runners:
        return [group]
    return [[position] for position in group]


@dataclass
class _Branch:
    """The result of one action of the script; ``ended_at``: None while it runs or has not begun."""

    steps: list[Step]
    ended_at: float | None
    outcome: str = ""


def _branch(
    plan: Plan,
    position: int,
    number: int,
    attempt: Attempt,
    ids: Mapping[Slot, str],
    kept: Mapping[tuple[int, int], list[Step]],
    start: float | None,
    horizon: float,
) -> _Branch:
    """Simulate one action, with its loop and its automatic retries, from ``start``; None: it is not reached."""
    action = plan.script[position]
    branch = _Branch([], start)
    for turn in range(_turns(action)):
        if (position, turn) in kept:
            branch.steps += kept[position, turn]
            continue
        for retry in range(1 + _retries(action)):
            step = Step(ids[Slot(position, turn, retry)], position, action, turn=turn, retry=retry)
            branch.steps.append(step)
            if plan.only is not None and action.id not in plan.only:
                step.status, step.passed = "SKIPPED", True
                break
            if not _play_step(branch, step, number, attempt, horizon):
                break
    return branch


def _play_step(branch: _Branch, step: Step, number: int, attempt: Attempt, horizon: float) -> bool:
    """Simulate one action execution; return whether it is retried."""
    action, time = step.action, branch.ended_at
    if branch.outcome or time is None:
        return False
    retries = _retries(action)
    if isinstance(action, Action) and step.retry:
        time += action.retry_interval
    branch.ended_at = None
    if time > horizon:
        return False
    step.started_at = time
    status, end = _outcome_of(step, number * (1 + retries) + step.retry, attempt, time)
    if end > horizon:
        step.status = WAITING.get(action.type, "INPROGRESS") if isinstance(action, Gate) else "INPROGRESS"
        step.approval = None
        return False
    step.status, step.finished_at, branch.ended_at = status, end, end
    if status == "FAILED" and step.retry < retries:
        return True
    ignored = isinstance(action, Action) and action.ignore_errors
    if status == "TERMINATED" or (status == "FAILED" and not ignored):
        branch.outcome = status
    else:
        step.passed = True
    return False


def _outcome_of(step: Step, number: int, attempt: Attempt, time: float) -> tuple[str, float]:
    action = step.action
    if isinstance(action, Action):
        value = step.loop_value
        outcome = action.status if value is None else action.loop_status.get(value, action.status)
        status = of_attempt(outcome, number)
        return status, time if status in ("SKIPPED", "NOT_EXECUTED") else time + action.seconds
    approval = next((act for act in attempt.acts if act.kind == "approve" and act.step_id == step.id), None)
    if action.auto_after is not None and (approval is None or approval.at > time + action.auto_after):
        approval = Act("approve", time + action.auto_after, SOMEBODY, step_id=step.id)
    step.approval = approval
    return "SUCCESSFUL", approval.at if approval else math.inf


def _halt(state: State, halt: Act, acts: Sequence[Act], until: float) -> None:
    """Apply a cancel, or a sudden end, to the run."""
    status, ends_at = halt.status, halt.at
    if halt.kind == "cancel":
        status, ends_at = "TERMINATED", halt.at + halt.seconds
        for later in acts:
            # A run that is being cancelled can still end otherwise.
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
        # After a failure later steps stay ENQUEUED, a quirk of the vendor's.
        for step in state.steps:
            if step.status == "ENQUEUED":
                step.status = "NOT_EXECUTED" if status == "TERMINATED" else "SKIPPED"


def _hit(steps: Sequence[Step], cancelled: bool) -> Iterator[Step]:
    """Yield the running steps; if a cancelled run was queued or between steps, the next step, which shows who cancelled it."""
    live = [step for step in steps if step.live]
    if not live and cancelled:
        live = [step for step in steps if step.status == "ENQUEUED"][:1]
    return iter(live)
