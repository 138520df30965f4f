"""Time limits and retries of Buddy actions."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider.audit.facts.action import ActionFacts
from airflow_provider.audit.facts.pipeline import PipelineFacts
from airflow_provider.audit.rules.outcome import Outcome, fail, not_applicable, not_available
from airflow_provider.audit.rules.purpose import GATES, NOTICES, purposes
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity
from airflow_provider.audit.settings.model import AuditSettings


@rule(
    "BDY013",
    "No timeout",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("timeout", "type", "pipeline.name", "pipeline.on"),
    needs=("EXECUTION_INFO",),
    uses=("limits.action_timeout", "production"),
)
def no_timeout(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The action has no time limit, or one above ``limits.action_timeout``. Buddy omits null fields, so a missing timeout means none. Actions
    without a limit are reported once for each pipeline, at the first of them; those that only send a message are not. For pipelines whose
    name is not in ``production``, or that only a person starts, this is reported at persona strict only.

    Why:
    An action that hangs blocks the queue until somebody notices.

    Fix:
    Set a timeout of a few times the usual duration of the action.

    Before:
    {"name": "Build", "timeout": null}

    After:
    {"name": "Build", "timeout": 1800}
    """
    if action.config.type in GATES:
        yield not_applicable("a gate")
    elif not action.has_fields("timeout"):
        yield not_available("timeout is not visible")
    elif not action.config.timeout or action.config.timeout < 0:
        if action.config.type in NOTICES:
            yield not_applicable("it only sends a message")
            return
        endless = [found for type, found in action.pipeline.endless.items() if type not in GATES and type not in NOTICES]
        if endless and not action.config.disabled and action.id != min(endless)[1]:
            yield not_applicable("another action of its pipeline is reported for all")
            return
        count = sum(number for _, _, number in endless)
        others = f", nor in {count - 1} other actions of this pipeline" if count > 1 else ""
        told = settings.is_production(action.pipeline.name) and not _is_attended(action.pipeline)
        yield fail("timeout", action.config.timeout, f"There is no time limit{others}.", persona=None if told else Persona.STRICT)
    elif action.config.timeout > (most := settings.limits.action_timeout.total_seconds()):
        yield fail("timeout", action.config.timeout, f"The time limit of {action.config.timeout} s is above the allowed {most:.0f} s.")


def _is_attended(pipeline: PipelineFacts) -> bool:
    """Whether only a person starts it."""
    return pipeline.other.get("on") == "CLICK" or pipeline.other.get("trigger_mode") == "MANUAL"


@rule(
    "BDY016",
    "Retry storm by configuration",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.LOW,
    confidence=Confidence.HIGH,
    reads=("retry_count", "retry_interval", "timeout"),
    needs=("EXECUTION_INFO",),
    uses=("limits.retries", "limits.retry_time"),
)
def retry_storm_configured(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The action is retried too often, for too long, without a pause, or although it makes a change that a retry may make twice.

    Why:
    Constant retries keep an overloaded service down and the pipeline busy for hours. Retrying half a migration may do harm.

    Fix:
    Use few retries with a pause between them, and a timeout that limits the total time. Do not retry actions that must not run twice.

    Before:
    {"retry_count": 10, "retry_interval": 0, "timeout": 3600}

    After:
    {"retry_count": 2, "retry_interval": 60, "timeout": 600}
    """
    if not action.has_fields("retry_count", "retry_interval", "timeout"):
        yield not_available("retry_count, retry_interval or timeout is not visible")
        return
    count, pause, limit = action.config.retry_count or 0, action.config.retry_interval, action.config.timeout
    if count <= 0:
        return
    if count > settings.limits.retries:
        yield fail("retry_count", count, f"{count} retries are more than the allowed {settings.limits.retries}.")
    elif (
        action.config.timeout
        and (total := (count + 1) * action.config.timeout + count * (pause or 0)) > settings.limits.retry_time.total_seconds()
    ):
        yield fail("retry_count", f"{count} x {limit} s", f"All attempts together may take {total} s.")
    if not pause or pause < 0:
        unset = pause is None
        yield fail("retry_interval", pause, "There is no pause between retries.", confidence=Confidence.MEDIUM if unset else None)
    if "change" in purposes(action):
        message = "It seems to deploy, migrate or publish, and is retried."
        yield fail("retry_count", f"{count} for a change", message, severity=Severity.MEDIUM, confidence=Confidence.MEDIUM)
