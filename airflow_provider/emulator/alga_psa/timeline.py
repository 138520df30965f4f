"""The state of an execution at a given time: a pure function of its script, of what was done to it, and of the time.

Nothing runs in the background. Whatever happens at time t has happened once the clock shows t.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from airflow_provider.emulator.alga_psa.scenario import Action, LogEntry, of_attempt, seconds_of_attempt
from airflow_provider.emulator.alga_psa.vocabulary import TERMINAL


@dataclass(frozen=True)
class Act:
    """Something that was done to an execution from outside.

    :ivar kind: ``status`` (sets the status; a final one ends the execution) or ``log``.
    :ivar at: epoch seconds.
    :ivar entry: the entry of a ``log``.
    :ivar error: error message of the status ``failed``.
    :ivar action_index: the action that the entry or the error belongs to.
    :ivar counted: number of actions that succeeded and failed; None: according to the script.
    """

    kind: str
    at: float
    status: str = ""
    error: str | None = None
    action_index: int | None = None
    entry: LogEntry | None = None
    counted: tuple[int, int] | None = None


@dataclass
class Attempt:
    """An execution from its start, or from a retry, to its end; ``at``: epoch seconds."""

    at: float
    acts: list[Act] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """What is fixed when an execution is created.

    :ivar runs: False: it stays pending.
    :ivar dry_run: it completes immediately without running actions.
    :ivar skipped: its conditions are not met.
    """

    script: tuple[Action, ...]
    context: Mapping[str, Any]
    trigger_data: Mapping[str, Any]
    pending_seconds: float | Sequence[float] = 0.0
    final_status: str | Sequence[str] | None = None
    times_out_after: float | None = None
    runs: bool = True
    dry_run: bool = False
    skipped: bool = False


@dataclass(frozen=True)
class Logged:
    """A log entry with its time, in epoch seconds, and its action."""

    at: float
    entry: LogEntry
    action_index: int | None


@dataclass
class State:
    """An execution at the requested time; times are epoch seconds.

    :ivar failed_action_index: action of the last failure, even if a retry followed.
    """

    status: str
    started_at: float
    completed_at: float | None = None
    duration: float | None = None
    successful: int = 0
    failed: int = 0
    error_message: str | None = None
    error_stack: str | None = None
    failed_action_index: int | None = None
    context: dict[str, Any] = field(default_factory=dict)
    logs: list[Logged] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether the status is final."""
        return self.status in TERMINAL


def play(plan: Plan, attempts: Sequence[Attempt], now: float, *, taken_up: bool = True) -> State:
    """Return the state of an execution at ``now``: that of its last attempt, with the logs and context of earlier ones.

    :param taken_up: False: the last attempt is still pending.
    """
    state = State("pending", attempts[0].at, context=dict(plan.context))
    for number, attempt in enumerate(attempts):
        later = attempts[number + 1].at if number + 1 < len(attempts) else math.inf
        last = number + 1 == len(attempts)
        its_plan = plan if taken_up or not last else replace(plan, runs=False)
        state = _play_attempt(its_plan, number, attempt, min(now, later), state)
    return state


def _play_attempt(plan: Plan, number: int, attempt: Attempt, now: float, before: State) -> State:
    state = State(
        "pending",
        attempt.at,
        failed_action_index=before.failed_action_index,
        context=dict(before.context),
        logs=list(before.logs),
    )
    acts = [act for act in attempt.acts if act.at <= now]
    ended = next((act for act in acts if act.kind == "status" and act.status in TERMINAL), None)
    _run(plan, number, state, ended.at if ended else now)
    status_acts = [act for act in acts if act.kind == "status" and act.status not in TERMINAL]
    if ended is not None and (not state.over or (state.completed_at or 0.0) >= ended.at):
        _end(state, ended.status, ended.at)
        if ended.status == "failed":
            _blame(state, ended.error, None, ended.action_index)
        if ended.counted is not None:
            state.successful, state.failed = ended.counted
    elif status_acts and not state.over:
        state.status = status_acts[-1].status
    state.logs += [Logged(act.at, act.entry, act.action_index) for act in acts if act.entry is not None]
    state.logs.sort(key=lambda logged: logged.at)
    return state


def _run(plan: Plan, number: int, state: State, now: float) -> None:
    """Run the script until ``now``."""
    if plan.dry_run:
        _end(state, "completed", state.started_at)
        return
    run_start = state.started_at + seconds_of_attempt(plan.pending_seconds, number)
    if not plan.runs or run_start > now:
        return
    if plan.skipped:
        _end(state, "skipped", run_start)
        return
    limit = math.inf if plan.times_out_after is None else run_start + plan.times_out_after
    state.status = "running"
    at, until = run_start, min(now, limit)
    for index, action in enumerate(plan.script):
        if action.skipped:
            continue
        action_end = at + action.seconds
        _log(state, index, action, at, until)
        if action_end > until:
            break
        at = action_end
        error = of_attempt(action.error, number)
        if error is None:
            state.successful += 1
            state.context.update(_filled(action.output, plan.trigger_data))
            continue
        state.failed += 1
        if not action.continue_on_error:
            _end(state, "failed", at)
            _blame(state, error, action.error_stack, index)
            break
    else:
        _end(state, "completed", at)
    if state.over:
        forced = of_attempt(plan.final_status, number)
        if forced == "failed" and state.error_message is None:
            _blame(state, "Execution failed", None, None)
        if forced == "completed":
            state.error_message = state.error_stack = state.failed_action_index = None
        if forced is not None:
            state.status = forced
        if not state.over:
            state.completed_at = state.duration = None
    elif limit <= now:
        _end(state, "timeout", limit)


def _end(state: State, status: str, at: float) -> None:
    state.status, state.completed_at, state.duration = status, at, at - state.started_at
    if status != "failed":
        state.error_message = state.error_stack = None


def _blame(state: State, message: str | None, stack: str | None, action_index: int | None) -> None:
    state.error_message, state.error_stack = message, stack
    if action_index is not None:
        state.failed_action_index = action_index


def _log(state: State, index: int, action: Action, at: float, now: float) -> None:
    for number, line in enumerate(action.log):
        seconds = action.seconds if math.isfinite(action.seconds) else float(len(action.log))
        logged_at = at + seconds * number / len(action.log)
        if logged_at <= now:
            state.logs.append(Logged(logged_at, line if isinstance(line, LogEntry) else LogEntry(line), index))


def _filled(value: Any, trigger_data: Mapping[str, Any]) -> Any:
    if isinstance(value, dict):
        return {key: _filled(item, trigger_data) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, trigger_data) for item in value]
    if isinstance(value, str) and "$" in value:
        for name in sorted(trigger_data, key=len, reverse=True):
            value = value.replace(f"${name}", str(trigger_data[name]))
    return value
