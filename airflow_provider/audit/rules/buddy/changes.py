"""Changes in Buddy since the last audit."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider.audit.facts.change import ChangeFacts, changed
from airflow_provider.audit.rules.outcome import Outcome, fail, not_applicable, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings


@rule(
    "BDY027",
    "Configuration changed since the last audit",
    on=ChangeFacts,
    systems=("buddy",),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("all fields of pipelines and actions, except times, addresses and those that a run sets",),
    needs=("EXECUTION_INFO",),
)
def configuration_drift(definition: ChangeFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The configuration of a pipeline or an action differs from the last audit, or the pipeline is new. An added or deleted action is reported
    for its pipeline. Each change is reported once: the next audit compares with the new configuration. Values of encrypted variables are
    not compared.

    Why:
    Most faults come with a change. A review of the day's changes finds faults that no rule knows.

    Fix:
    Find out who changed it and why: Buddy's history names the person. An intended change needs no action.

    Before:
    {"before": {"docker_image_tag": "22.11.0"}, "data": {"docker_image_tag": "23.1.0"}}

    After:
    {"before": {"docker_image_tag": "23.1.0"}, "data": {"docker_image_tag": "23.1.0"}}
    """
    if not definition.compared:
        yield not_available("there is no previous audit to compare with")
    elif definition.before is None:
        if definition.subject.kind == "pipeline":
            yield fail("id", definition.subject.id, "The last audit did not know this pipeline.")
        else:
            yield not_applicable("it is new, which is reported for its pipeline")
    elif names := changed(definition.before, definition.now):
        text = ", ".join(names)
        yield fail(names[0] if len(names) == 1 else "", text, f"Changed since the last audit: {text}.")
