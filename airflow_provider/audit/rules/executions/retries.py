"""Retries of executions and steps."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from airflow_provider.audit.facts.execution import ExecutionFacts, StepFacts
from airflow_provider.audit.facts.fact import RunFacts
from airflow_provider.audit.facts.window import WindowFacts
from airflow_provider.audit.rules.outcome import Outcome, fail, not_applicable, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.execution.model.phase import Phase

MANY = 100
"""A limit of this many attempts counts as no limit."""


@rule(
    "EXE013",
    "Retry storm",
    on=RunFacts,
    severity=Severity.HIGH,
    confidence=Confidence.HIGH,
    reads=(
        "events[].action_error.message",
        "events[].event_group.current_attempt",
        "action_executions[].action.id",
        "to_revision",
        "passed_variables",
        "triggered_on",
        "automation_rule_id",
        "trigger_data",
    ),
    needs=("EXECUTION_INFO", "workflow:read", "automation:read"),
    uses=("limits.attempts", "limits.repeats"),
)
def retry_storm(facts: RunFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A step was attempted more than ``limits.attempts`` times in one execution; or a definition was started more than ``limits.repeats``
    times in the window with the same inputs. Confidence of the latter is medium unless many of its executions failed. Tracecat reports
    attempts only in the text of a failure, AlgaPSA not at all. Executions that the system's own schedule started do not count. Buddy tells
    the variables of gates only, Tracecat no inputs: starts whose inputs are not known are not available, and never equal.

    Why:
    It costs money, delays other work, and overloads a remote system that already has problems.

    Fix:
    Retry fewer times, with a growing pause, and only errors that may be temporary. Find out what starts it: two schedulers, a retried task.

    Before:
    {"action_error": {"message": "[ACTIONS.lookup -> execute_action] (Attempt 40) 503"}}

    After:
    {"action_error": {"message": "[ACTIONS.lookup -> execute_action] (Attempt 3) 503"}}
    """
    if isinstance(facts, WindowFacts):
        yield from _repeated(facts, settings.limits.repeats)
    elif isinstance(facts, ExecutionFacts):
        yield from _attempts(facts, settings.limits.attempts)


def _repeated(window: WindowFacts, most: int) -> Iterator[Outcome]:
    for key, count, first in window.current.repeats:
        if count > most:
            failing = window.current.failed * 2 >= count
            message = f"It was started {count} times with the same inputs, first as {first}."
            yield fail("current.repeats", key, message, confidence=None if failing else Confidence.MEDIUM)
    if window.current.inputs_unknown > most:
        yield not_available(f"the inputs of {window.current.inputs_unknown} executions are not known")


def _attempts(execution: ExecutionFacts, most: int) -> Iterator[Outcome]:
    if execution.alga_psa is not None:
        yield not_applicable("attempts are not reported")
        return
    if not execution.steps:
        yield not_available("the steps were not read")
    elif execution.tracecat is not None and all(step.attempt is None for step in execution.steps):
        yield not_available("attempts are only reported in failures")
    turns: defaultdict[str, list[StepFacts]] = defaultdict(list)
    for step in execution.steps:
        if step.attempt is not None and step.attempt > most:
            yield fail(f"{step.path}.current_attempt", step.name, f"{step.name} was attempted {step.attempt} times.")
        if execution.buddy is not None and step.definition is not None and step.phase in (Phase.FAILED, Phase.TIMED_OUT):
            turns[step.definition].append(step)
    for failed in turns.values():
        if len(failed) > most:
            message = f"{failed[0].name} failed {len(failed)} times in one execution."
            yield fail(
                f"{failed[0].path}.status", failed[0].name, message, confidence=Confidence.MEDIUM
            )  # or a loop, each iteration of which failed


@rule(
    "EXE014",
    "Unlimited retries allowed",
    on=ExecutionFacts,
    systems=("tracecat",),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("events[].event_group.retry_policy", "events[].workflow_timeout"),
    needs=("workflow:read",),
)
def unlimited_retries(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    An action may be retried forever: its retry policy has no maximum of attempts, or one of a hundred or more, and no end condition, and
    the workflow has no timeout.

    Why:
    If the remote service is gone for good, the execution never ends and calls it forever.

    Fix:
    Set a reasonable ``max_attempts``, or ``retry_until``.

    Before:
    {"retry_policy": {"max_attempts": 0, "timeout": 300, "retry_until": null}}

    After:
    {"retry_policy": {"max_attempts": 5, "timeout": 300, "retry_until": null}}
    """
    part = execution.tracecat
    if part is None or part.events is None:
        yield not_available("the history was not read")
        return
    for step in execution.steps:
        if step.max_attempts is None or 1 <= step.max_attempts < MANY or step.retry_until or part.workflow_timeout:
            continue
        allowed = "without end" if step.max_attempts < 1 else f"{step.max_attempts} times"
        message = f"{step.name} may be attempted {allowed}."
        yield fail(f"{step.path}.retry_policy.max_attempts", f"{step.definition} {step.max_attempts}", message)


@rule(
    "EXE023",
    "History close to its limit",
    on=ExecutionFacts,
    systems=("tracecat",),
    severity=Severity.MEDIUM,
    confidence=Confidence.MEDIUM,
    reads=("history_length",),
    needs=("workflow:read",),
    uses=("limits.history_length",),
)
def long_history(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The execution's history has more events than ``limits.history_length``.

    Why:
    A worker reads the whole history to continue, so it gets slower; at the server's limit (51,200 events by default) the execution is
    terminated.

    Fix:
    Loop over fewer items, or move parts of the work to child workflows, which have their own history.

    Before:
    {"history_length": 48211}

    After:
    {"history_length": 812}
    """
    length = execution.tracecat.history_length if execution.tracecat else None
    if length is None:
        yield not_available("the length of the history is not reported")
    elif length > settings.limits.history_length:
        yield fail("history_length", "too long", f"Its history has {length} events.")
