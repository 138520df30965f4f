"""What has changed in Buddy since the last audit."""

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
    reads=("all fields of pipelines and actions, but for times, addresses and what running sets",),
    needs=("EXECUTION_INFO",),
)
def configuration_drift(definition: ChangeFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A pipeline or an action is not set as it was in the last audit, or that did not know the pipeline. An action that was added or deleted
    is told of its pipeline. It is told once: the next audit takes the new setting for granted. Values of encrypted variables are not
    compared.

    Why:
    Most faults come with a change. Who looks at the changes of a day sees those that no rule knows.

    Mend:
    Ask who changed it, and why: Buddy's own history names them. Nothing is to be done if it was meant.

    Before:
    {"before": {"docker_image_tag": "22.11.0"}, "data": {"docker_image_tag": "23.1.0"}}

    After:
    {"before": {"docker_image_tag": "23.1.0"}, "data": {"docker_image_tag": "23.1.0"}}
    """
    if not definition.compared:
        yield not_available("there is no last audit to compare with")
    elif definition.before is None:
        if definition.subject.kind == "pipeline":
            yield fail("id", definition.subject.id, "The last audit did not know this pipeline.")
        else:
            yield not_applicable("it is new, which is told of its pipeline")
    elif names := changed(definition.before, definition.now):
        text = ", ".join(names)
        yield fail(names[0] if len(names) == 1 else "", text, f"Changed since the last audit: {text}.")
