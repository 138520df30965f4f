"""What an end means for the task: the outcome table, once for all systems and modes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypedDict

from airflow_provider.errors import (
    ExecutionCancelled,
    ExecutionDeadlineExceeded,
    ExecutionError,
    ExecutionFailed,
    ExecutionTimedOut,
    ExecutionUnreachable,
    ExecutionVanished,
    ExecutionWaiting,
)
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.snapshot import Snapshot, Step, see
from airflow_provider.execution.results.redaction import clean, secrets_in

End = Literal["ended", "timeout", "waiting", "waiting_timeout", "vanished", "unreachable"]
"""Why a wait is over."""


class Choices(TypedDict):
    """What the author of the DAG decides about the ends that are neither good nor bad."""

    on_skipped: Literal["skip", "fail", "succeed"]
    on_waiting: Literal["wait", "fail", "succeed"]
    on_partial: Literal["succeed", "fail"]


@dataclass(frozen=True)
class Outcome:
    """
    The task's end.

    :param text: what happened, in sentences.
    :param error: what the task fails with; None for success.
    :param skip: whether it ends with AirflowSkipException.
    :param url: the execution's page, if the message should point at it.
    """

    text: str
    error: type[ExecutionError] | None = None
    skip: bool = False
    url: str | None = None

    @property
    def message(self) -> str:
        """The text, and where to look."""
        return f"{self.text}{see(self.url)}"

    def adding(self, sentence: str) -> Outcome:
        """The same outcome with one more sentence."""
        return replace(self, text=f"{self.text} {sentence}")


def judge(title: str, end: End, snapshot: Snapshot, choices: Choices, problem: str | None = None) -> Outcome:
    """
    Decide how the task ends.

    :param end: why the wait was over. An execution that has ended by now is judged by its own end, whatever ended the wait.
    :param problem: the last error of the API, for an end without an answer.
    """
    what = f"{title} execution {snapshot.ref}"
    url = snapshot.url
    status = clean(snapshot.status)
    phase = snapshot.phase
    if end == "vanished":
        why = problem or "deleted, or hidden from this connection."
        return Outcome(f"{what} answers 404 and did so for a while: {why}", ExecutionVanished, url=url)
    if end == "unreachable":
        return Outcome(
            f"{what}: the API could not be reached for too long, so its end is not known. It was left alone; "
            f"a retry of the task re-attaches to it. Last error: {problem}",
            ExecutionUnreachable,
            url=url,
        )
    if phase is Phase.SUCCEEDED:
        if snapshot.partial is None:
            return Outcome(f"{what} ended {status}.")
        text = f"{what} ended {status}, but in part: {clean(snapshot.partial)}."
        return Outcome(text, ExecutionFailed if choices["on_partial"] == "fail" else None, url=url)
    if phase is Phase.SKIPPED:
        text = f"{what} was skipped by {title} ({status}).{_cause(snapshot)}"
        if choices["on_skipped"] == "succeed":
            return Outcome(text)
        return Outcome(text, ExecutionFailed if choices["on_skipped"] == "fail" else None, choices["on_skipped"] == "skip", url)
    if phase.ended:
        kind = {Phase.CANCELLED: ExecutionCancelled, Phase.TIMED_OUT: ExecutionTimedOut}.get(phase, ExecutionFailed)
        return Outcome(f"{what} ended {status}.{_by_whom(snapshot)}{_cause(snapshot)}", kind, url=url)
    if end in ("waiting", "waiting_timeout"):
        for_what = f" for {clean(snapshot.waiting_for)}" if snapshot.waiting_for else ""
        long = " for longer than waiting_timeout" if end == "waiting_timeout" else ""
        wanted = end == "waiting" and choices["on_waiting"] == "succeed"
        return Outcome(f"{what} waits for a person{long} ({status}){for_what}.", None if wanted else ExecutionWaiting, url=url)
    return Outcome(f"{what} was still {status} when the task's timeout had passed.", ExecutionDeadlineExceeded, url=url)


def failing_step(snapshot: Snapshot) -> Step | None:
    """The step that made the execution fail: the first that failed and was not tolerated, else the first that failed."""
    failed = [step for step in snapshot.steps if step.phase in (Phase.FAILED, Phase.TIMED_OUT)]
    return next((step for step in failed if not step.tolerated), failed[0] if failed else None)


def _cause(snapshot: Snapshot) -> str:
    parts = []
    hide = secrets_in(snapshot)
    if step := failing_step(snapshot):
        kind = f" ({clean(step.type)})" if step.type else ""
        why = f": {clean(step.error, hide)}" if step.error else ""
        parts.append(f" Step {clean(step.name)!r}{kind} ended {clean(step.status)}{why}.")
    if snapshot.error and not (step and step.error == snapshot.error):
        parts.append(f" Reason: {clean(snapshot.error, hide)}.")
    if snapshot.log_tail:
        parts.append(" Last log lines: " + " | ".join(clean(line, hide)[:300] for line in snapshot.log_tail[-5:]) + ".")
    return "".join(parts)


def _by_whom(snapshot: Snapshot) -> str:
    actor = snapshot.actor or {}
    who, when = actor.get("cancelled_by"), actor.get("cancelled_at")
    if snapshot.phase is not Phase.CANCELLED or not (who or when):
        return ""
    return " Cancelled" + (f" by {clean(who)}" if who else "") + (f" at {clean(when)}" if when else "") + "."
