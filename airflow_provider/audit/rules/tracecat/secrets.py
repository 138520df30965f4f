"""Secrets in definitions of Tracecat workflows."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from airflow_provider.audit.analysis.secrets.shapes import MAX_CHARACTERS, Secret
from airflow_provider.audit.analysis.secrets.values import secrets_by_line, secrets_shaped
from airflow_provider.audit.facts.origin import FieldPath
from airflow_provider.audit.facts.workflow import WorkflowFacts, leaves
from airflow_provider.audit.rules.evidence import hidden
from airflow_provider.audit.rules.outcome import Outcome, cut_off, fail, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings

_BARE = re.compile(r"(?:ACTIONS|TRIGGER|SECRETS|ENV|FN|var)\.\w")
"""An expression without the braces around it."""
_LITERAL = re.compile(r"'[^'\n]{16,300}'|\"[^\"\n]{16,300}\"")


@rule(
    "TRC003",
    "Plain-text secret in arguments",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.CRITICAL,
    confidence=Confidence.HIGH,
    reads=("actions[].args", "actions[].run_if", "actions[].for_each", "inputs", "expects.*.default", "returns", "description", "config"),
    needs=("workflow:read",),
    uses=("secrets.names",),
)
def secret_in_arguments(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    An argument, a condition or the description of an action contains a secret, or the inputs, the result, the description or the settings
    of the workflow: in a known format, or as the value of a name such as ``password`` or ``Authorization``. Expressions such as
    ``${{ SECRETS.siem.API_KEY }}`` are not reported.
    Confidence is low for weak values.

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
        for path, value in ((f"{action.path}.args", action.arguments), *action.expressions.items()):
            yield from _found(value, path, action.ref, settings)
    for path, value in workflow.values.items():
        yield from _found(value, path, path.rpartition(".")[2], settings)


def _found(whole: Any, path: str, owner: str, settings: AuditSettings) -> Iterator[Outcome]:
    for place, name, value in leaves(whole, path, path.removesuffix(".default").rpartition(".")[2]):
        if not isinstance(value, str) or settings.secrets.excludes(name) or _BARE.match(value):
            continue
        if len(value) > MAX_CHARACTERS:
            yield cut_off(f"{path.rpartition('.')[2]}: a value has more than {MAX_CHARACTERS:,} characters")
        for line, secret in secrets_by_line(name, value) or _in_expressions(value):
            message = f"{owner} has a secret in {name}."
            yield fail(FieldPath(place, line), hidden(secret.kind, secret.value), message, confidence=secret.confidence)


def _in_expressions(value: str) -> list[tuple[int, Secret]]:
    """Secrets of known formats in literals of expressions, which are no references for that, with their lines."""
    literals = _LITERAL.finditer(value[:MAX_CHARACTERS]) if "${{" in value else ()
    return [(value.count("\n", 0, literal.start()), secret) for literal in literals for secret in secrets_shaped(literal[0][1:-1])]
