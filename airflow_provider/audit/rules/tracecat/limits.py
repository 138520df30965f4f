"""Time limits and retries of Tracecat workflows."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider.audit.analysis.scalars import number
from airflow_provider.audit.facts.workflow import WorkflowFacts
from airflow_provider.audit.rules.outcome import Outcome, fail, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity
from airflow_provider.audit.settings.model import AuditSettings

MANY = 100
"""Attempts from which on they count as endless."""


@rule(
    "TRC001",
    "Retries without end",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("actions[].retry_policy", "actions[].args.poll_max_attempts"),
    needs=("workflow:read",),
)
def retries_without_end(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    An action may be attempted without end, or a hundred times or more, and no condition ends it; or ``core.http_poll`` polls without a
    maximum. Confidence is medium if the workflow has a timeout, which Tracecat ignores by default.

    Why:
    If the remote service is gone for good, the execution never ends and calls it forever.

    Fix:
    Set a reasonable ``max_attempts``, or ``retry_until``.

    Before:
    {"retry_policy": {"max_attempts": 0}}

    After:
    {"retry_policy": {"max_attempts": 5}}
    """
    confidence = Confidence.MEDIUM if workflow.timeout else None
    for action in workflow.actions:
        if action.attempts is not None and not action.retry_until and (action.attempts < 1 or action.attempts >= MANY):
            allowed = "without end" if action.attempts < 1 else f"{action.attempts} times"
            yield fail(
                f"{action.path}.retry_policy.max_attempts",
                f"{action.ref} {action.attempts}",
                f"{action.ref} may be attempted {allowed}.",
                confidence=confidence,
            )
        polls = (action.arguments or {}).get("poll_max_attempts")
        if action.type != "core.http_poll" or polls is None:
            continue
        if (most := number(polls)) is None:
            yield not_available("the maximum number of polls is an expression, or no number")
        elif most <= 0:
            yield fail(
                f"{action.path}.args.poll_max_attempts", f"{action.ref} 0", f"{action.ref} polls without end.", confidence=confidence
            )


@rule(
    "TRC002",
    "Workflow without a timeout",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.LOW,
    confidence=Confidence.MEDIUM,
    persona=Persona.STRICT,
    reads=("config.timeout",),
    needs=("workflow:read",),
)
def workflow_without_timeout(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The workflow has no time limit for an execution. A workspace may set one for all its workflows, which can't be seen here.

    Why:
    An execution that hangs, or waits for a person who never answers, stays open until somebody notices.

    Fix:
    Set ``config.timeout`` in seconds, and switch off *unlimited timeouts* in the settings of the workspace: as long as they are on,
    Tracecat ignores the timeout.

    Before:
    {"config": {"timeout": 0}}

    After:
    {"config": {"timeout": 3600}}
    """
    if not workflow.timeout or workflow.timeout < 0:
        yield fail(f"{workflow.path}config.timeout", workflow.timeout or 0, "An execution has no time limit.")


@rule(
    "TRC010",
    "No error handler",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.INFO,
    confidence=Confidence.HIGH,
    persona=Persona.STRICT,
    reads=("error_handler",),
    needs=("workflow:read",),
)
def no_error_handler(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    No workflow is set that runs when this one fails.

    Why:
    A failure is only seen by those who look at the list of executions.

    Fix:
    Set ``error_handler`` to the alias of a workflow that tells somebody.

    Before:
    {"error_handler": null}

    After:
    {"error_handler": "tell_on_call"}
    """
    if not workflow.error_handler:
        yield fail(f"{workflow.path}error_handler", None, "Nothing runs when it fails.")


@rule(
    "TRC011",
    "Question without a time limit",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.LOW,
    confidence=Confidence.HIGH,
    reads=("actions[].interaction",),
    needs=("workflow:read",),
)
def question_without_limit(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    An action asks a person and waits for the answer without a time limit.

    Why:
    If nobody answers, the execution stays open forever, and an approval that comes months later still has its effect.

    Fix:
    Set ``timeout`` of the interaction, in seconds.

    Before:
    {"interaction": {"type": "approval", "timeout": null}}

    After:
    {"interaction": {"type": "approval", "timeout": 86400}}
    """
    for action in workflow.actions:
        if action.interaction is not None and (action.interaction.get("timeout") or 0) <= 0:
            message = f"{action.ref} waits for an answer without a time limit."
            yield fail(f"{action.path}.interaction.timeout", action.ref, message)


@rule(
    "TRC012",
    "Timeout of an action too long",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.LOW,
    confidence=Confidence.HIGH,
    reads=("actions[].retry_policy.timeout",),
    needs=("workflow:read",),
    uses=("limits.action_timeout",),
)
def action_timeout_too_long(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The time limit of an action is above ``limits.action_timeout``, or 0. Without one, Tracecat's default of 300 s applies.

    Why:
    An action that hangs keeps its worker busy for that time, once for each attempt.

    Fix:
    Set a timeout of a few times the usual duration. Let long work run elsewhere, and poll for its result.

    Before:
    {"retry_policy": {"timeout": 86400}}

    After:
    {"retry_policy": {"timeout": 600}}
    """
    most = settings.limits.action_timeout.total_seconds()
    for action in workflow.actions:
        if action.timeout is not None and (action.timeout <= 0 or action.timeout > most):
            told = f"{action.timeout:.0f}"
            message = f"The time limit of {action.ref} is {told} s; the allowed maximum is {most:.0f} s."
            yield fail(f"{action.path}.retry_policy.timeout", f"{action.ref} {told}", message)
    if not workflow.actions and not workflow.has_fields("actions"):
        yield not_available("the actions are not visible")
