"""The outcome: what the end of an execution means for the task, for all systems and modes."""

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

End = Literal["ended", "timeout", "waiting", "opened", "waiting_timeout", "vanished", "unreachable"]
"""Why a wait is over. ``opened``: the gate that it was for no longer waits."""
NEVER_SEEN = "answers 404, and was never seen here: check each part of the ref, and that the connection may see it."
NEVER_LISTED = "answers 404, and was never seen here: check its id or name, and that the connection may see it."
"""The same of what is searched for an execution."""
GONE = "deleted, or hidden from this connection."
"""The problem of a wait whose ref was wrong from the beginning."""


class Choices(TypedDict):
    """The task's arguments about ends that are neither good nor bad."""

    on_skipped: Literal["skip", "fail", "succeed"]
    on_waiting: Literal["wait", "fail", "succeed"]
    on_partial: Literal["succeed", "fail"]


@dataclass(frozen=True)
class Outcome:
    """
    How the task ends.

    :param text: what happened, in sentences.
    :param error: class of the error that the task raises; None for success.
    :param skip: whether it raises AirflowSkipException.
    :param url: the execution's page, if the message should link to it.
    """

    text: str
    error: type[ExecutionError] | None = None
    skip: bool = False
    url: str | None = None

    @property
    def message(self) -> str:
        """The text, with the link."""
        return f"{self.text}{see(self.url)}"

    def adding(self, sentence: str) -> Outcome:
        """The same outcome, its text with one more sentence."""
        return replace(self, text=f"{self.text} {sentence}")


def judge(title: str, end: End, snapshot: Snapshot, choices: Choices, problem: str | None = None) -> Outcome:
    """
    Decide how the task ends.

    :param title: name of the system.
    :param end: why the wait is over. An execution that has ended by now is judged by its own end, whatever ended the wait.
    :param snapshot: the execution, as read last.
    :param choices: the task's arguments.
    :param problem: the last error of the API, for ``vanished`` and ``unreachable``.
    """
    execution = f"{title} execution {snapshot.ref}"
    url = snapshot.url
    status = clean(snapshot.status, secrets_in(snapshot))
    phase = snapshot.phase
    if end == "vanished":
        why = problem or GONE
        text = f"{execution} {why}" if why.startswith(NEVER_SEEN) else f"{execution} has answered 404 for a while: {why}"
        return Outcome(text, ExecutionVanished, url=url)
    if end == "unreachable":
        return Outcome(
            f"{execution}: the API could not be reached for too long, so its outcome is unknown. It was left alone; "
            f"a retry of the task re-attaches to it. Last error: {problem}",
            ExecutionUnreachable,
            url=url,
        )
    if phase is Phase.SUCCEEDED:
        if snapshot.partial is None:
            return Outcome(f"{execution} ended {status}.")
        text = f"{execution} ended {status}, but only in part: {clean(snapshot.partial)}."
        return Outcome(text, ExecutionFailed if choices["on_partial"] == "fail" else None, url=url)
    if phase is Phase.SKIPPED:
        text = f"{execution} was skipped by {title} ({status}).{_cause(snapshot)}"
        if choices["on_skipped"] == "succeed":
            return Outcome(text)
        return Outcome(text, ExecutionFailed if choices["on_skipped"] == "fail" else None, choices["on_skipped"] == "skip", url)
    if phase.ended:
        kind = {Phase.CANCELLED: ExecutionCancelled, Phase.TIMED_OUT: ExecutionTimedOut}.get(phase, ExecutionFailed)
        return Outcome(f"{execution} ended {status}.{_by_whom(snapshot)}{_cause(snapshot)}", kind, url=url)
    if end in ("waiting", "waiting_timeout"):
        gate = f" for {clean(snapshot.waiting_for)}" if snapshot.waiting_for else ""
        duration = " for longer than waiting_timeout" if end == "waiting_timeout" else ""
        expected = end == "waiting" and choices["on_waiting"] == "succeed"
        return Outcome(f"{execution} waits for a person{duration} ({status}){gate}.", None if expected else ExecutionWaiting, url=url)
    return Outcome(f"{execution} was still {status} when the task's timeout passed.", ExecutionDeadlineExceeded, url=url)


def failure_lines(title: str, snapshot: Snapshot, outcome: Outcome) -> list[str]:
    """
    Why the task fails, in short lines for its log: the error's single line is above a traceback, and cut at the edge of a window.

    :returns: for an execution that ended: its end, the failing step, the reason, the last log lines, the link. Otherwise text and link.
    """
    link = [f"See {outcome.url}"] if outcome.url else []
    if not snapshot.phase.ended or snapshot.phase in (Phase.SUCCEEDED, Phase.SKIPPED):
        return [outcome.text, *link]
    hide, step = secrets_in(snapshot), failing_step(snapshot)
    lines = [f"{title} execution {snapshot.ref} ended {clean(snapshot.status)}.{_by_whom(snapshot)}"]
    if step:
        lines.append(f"Failing step: {clean(step.name)}" + (f" ({clean(step.type)})" if step.type else "") + f", {clean(step.status)}")
    reasons = dict.fromkeys(text for text in (step and step.error, snapshot.error) if text)
    lines += [f"Reason: {clean(reason, hide)}" for reason in reasons]
    lines += [f"Last log lines: {clean(line, hide)}" for line in snapshot.log_tail[-1:]]
    if len(snapshot.log_tail) > 1:
        lines[-1:] = ["Last log lines:", *(f"  {clean(line, hide)}" for line in snapshot.log_tail[-5:])]
    return lines + link


def failing_step(snapshot: Snapshot) -> Step | None:
    """The step that made the execution fail: the first failed one that was not tolerated, else the first failed one. None: no step."""
    failed = [step for step in snapshot.steps if step.phase in (Phase.FAILED, Phase.TIMED_OUT)]
    return next((step for step in failed if not step.tolerated), failed[0] if failed else None)


def _cause(snapshot: Snapshot) -> str:
    parts = []
    hide = secrets_in(snapshot)
    if step := failing_step(snapshot):
        kind = f" ({clean(step.type)})" if step.type else ""
        why = f": {clean(step.error, hide)}" if step.error else ""
        parts.append(f" Step {clean(step.name)!r}{kind} ended {clean(step.status, hide)}{why}.")
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
