"""Outcomes of executions."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider.audit.facts.execution import AlgaPsaPart, ExecutionFacts
from airflow_provider.audit.rules.outcome import Outcome, fail, not_applicable, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.execution.model.phase import Phase


@rule(
    "EXE015",
    "Partial success reported as success",
    on=ExecutionFacts,
    severity=Severity.HIGH,
    confidence=Confidence.HIGH,
    reads=(
        "status",
        "action_executions[].status",
        "action_executions[].error_message",
        "action.ignore_errors",
        "actions_total",
        "actions_successful",
        "actions_failed",
        "events[].status",
    ),
    needs=("EXECUTION_INFO", "workflow:read"),
)
def partial_success(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The execution succeeded although steps failed or did not run. In Buddy, a step with an ignored error counts too, whatever its status.
    Confidence is medium if a step was cancelled, and low if the same action succeeded later.

    Why:
    A person or a task that only checks the status assumes that the work is done.

    Fix:
    Let the failure fail the execution (Buddy: ``ignore_errors`` off), or handle it explicitly. In Airflow: ``on_partial="fail"``.

    Before:
    {"status": "completed", "actions_total": 5, "actions_successful": 3, "actions_failed": 2}

    After:
    {"status": "failed", "actions_total": 5, "actions_successful": 3, "actions_failed": 2}
    """
    if execution.phase is not Phase.SUCCEEDED:
        yield not_applicable("it did not succeed")
    elif execution.alga_psa is not None:
        yield from _counters(execution, execution.alga_psa)
    else:
        yield from _steps(execution)


def _counters(execution: ExecutionFacts, part: AlgaPsaPart) -> Iterator[Outcome]:
    failed, done, total = part.actions_failed, part.actions_successful, part.actions_total
    if part.dry_run:
        yield not_applicable("a dry run")
    elif failed is not None and failed > 0:
        yield fail("actions_failed", failed, f"It is completed, but {failed:g} actions failed.")
    elif total is None or done is None or failed is None:
        yield not_available("the counters are not visible")
    elif done + failed < total:
        yield fail("actions_successful", f"{done:g} of {total:g}", f"It is completed, but only {done:g} of {total:g} actions ran.")


def _steps(execution: ExecutionFacts) -> Iterator[Outcome]:
    later = False
    last_good = {step.definition: number for number, step in enumerate(execution.steps) if step.phase is Phase.SUCCEEDED}
    for number, step in enumerate(execution.steps):
        later = True
        if step.phase in (Phase.FAILED, Phase.TIMED_OUT, Phase.CANCELLED):
            again = execution.buddy is not None and step.definition is not None and last_good.get(step.definition, -1) > number
            confidence = Confidence.MEDIUM if step.phase is Phase.CANCELLED else None
            yield fail(
                f"{step.path}.status",
                f"{step.name} {step.status}",
                f"It succeeded although {step.name} is {step.status}.",
                confidence=Confidence.LOW if again else confidence,  # a successful retry, or another iteration of a loop
            )
        elif step.tolerated and step.error:
            yield fail(f"{step.path}.error_message", f"{step.name} {step.status}", f"{step.name} ended with an error that is ignored.")
    if not later:
        yield not_available("the steps were not read")
