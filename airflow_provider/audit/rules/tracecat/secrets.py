"""Secrets in definitions of Tracecat workflows."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider.audit.analysis.secrets.shapes import MAX_CHARACTERS
from airflow_provider.audit.analysis.secrets.values import secret_in
from airflow_provider.audit.facts.workflow import WorkflowFacts, leaves
from airflow_provider.audit.rules.evidence import hidden
from airflow_provider.audit.rules.outcome import Outcome, cut_off, fail, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings


@rule(
    "TRC003",
    "Plain-text secret in arguments",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.CRITICAL,
    confidence=Confidence.HIGH,
    reads=("actions[].args",),
    needs=("workflow:read",),
    uses=("secrets.names",),
)
def secret_in_arguments(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    An argument of an action contains a secret: in a known format, or as the value of a name such as ``password`` or ``Authorization``.
    Expressions such as ``${{ SECRETS.siem.API_KEY }}`` are not reported. Confidence is low for weak values.

    Why:
    Everyone who can read the workflow can read it, it is part of every export, and of the history of every execution.

    Fix:
    Revoke the secret, store a new one in Tracecat's credentials, and use ``${{ SECRETS.name.KEY }}``.

    Before:
    {"args": {"headers": {"Authorization": "Bearer aP9x-7Kq2mZ4tRw8"}}}

    After:
    {"args": {"headers": {"Authorization": "Bearer ${{ SECRETS.siem.API_KEY }}"}}}
    """
    for action in workflow.actions:
        if action.arguments is None:
            yield not_available("arguments could not be read")
        for path, name, value in leaves(action.arguments, f"{action.path}.args"):
            if not isinstance(value, str) or settings.secrets.excludes(name):
                continue
            if len(value) > MAX_CHARACTERS:
                yield cut_off(f"args: a value has more than {MAX_CHARACTERS:,} characters")
            if secret := secret_in(name, value, entropy=False):
                message = f"{action.ref} has a secret in {name}."
                yield fail(path, hidden(secret.kind, secret.value), message, confidence=secret.confidence)
