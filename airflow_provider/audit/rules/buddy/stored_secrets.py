"""Secrets in fields of Buddy pipelines and actions that are neither variables of the action nor commands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider.audit.analysis.scalars import may_be_set
from airflow_provider.audit.analysis.secrets.shapes import MAX_CHARACTERS, Secret
from airflow_provider.audit.analysis.secrets.values import is_reference, names_secret, secrets_by_line
from airflow_provider.audit.facts.action import ActionFacts
from airflow_provider.audit.facts.fact import Configuration
from airflow_provider.audit.facts.origin import FieldPath
from airflow_provider.audit.facts.pipeline import PipelineFacts
from airflow_provider.audit.facts.variables import VariablesFacts
from airflow_provider.audit.rules.evidence import hidden
from airflow_provider.audit.rules.outcome import Outcome, fail, not_applicable, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings

MAX_DEPTH = 12
_SHARED = ("variables", "remote_parameters")
_TARGETS = ("targets", "target", "server", "auth")
_REQUEST = re.compile(r"headers?|.*(?:url|uri|webhook|address|endpoint)s?|query_params|params|body|content|payload|blocks")
_SKIPPED = frozenset({*_SHARED, "services", "permissions", "trigger_conditions", "creator", "project", "git_config"})
_PAIR = re.compile(r"([A-Za-z_][\w.-]{0,100})=(.*)", re.DOTALL)


def _leaves(value: Any, path: str, name: str, depth: int = 0) -> Iterator[tuple[str, str, str]]:
    """Path, name and value of all texts. The name of ``{name: X, value: y}`` and of ``X=y`` is ``X``."""
    if depth > MAX_DEPTH or value is None or isinstance(value, bool):
        return
    if isinstance(value, Mapping):
        label = value.get("name") or value.get("key")
        for key, item in value.items():
            if may_be_set(value.get("encrypted")) and key in ("value", "defaults"):
                continue
            named = str(label) if key in ("value", "defaults") and isinstance(label, str) else str(key)
            yield from _leaves(item, f"{path}.{key}", named, depth + 1)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _leaves(item, f"{path}[{number}]", name, depth + 1)
    else:
        text = str(value)
        if match := _PAIR.fullmatch(text):
            yield path, match[1], match[2]
            if not names_secret(match[1]):
                yield path, name, text
        else:
            yield path, name, text


def _secrets(value: Any, path: str, settings: AuditSettings) -> Iterator[tuple[FieldPath, str, Secret]]:
    reported: set[tuple[str, int]] = set()
    for place, name, text in _leaves(value, path, path):
        if settings.secrets.excludes(name) or is_reference(text):
            continue
        found = [(FieldPath(place, line), secret) for line, secret in secrets_by_line(name, text[:MAX_CHARACTERS])]
        yield from ((at, name, secret) for at, secret in found if at.place not in reported)
        reported.update(at.place for at, _ in found)


def _fields(facts: Configuration) -> Iterator[tuple[str, Any]]:
    if isinstance(facts, (ActionFacts, PipelineFacts)):
        yield from ((name, value) for name, value in facts.other.items() if name not in _SKIPPED)
    if isinstance(facts, ActionFacts):
        yield "login", facts.config.login  # where services ask for a token in place of a user
        if not facts.names_image:
            yield "password", facts.config.password


def _found(facts: Configuration, settings: AuditSettings, kind: str) -> Iterator[Outcome]:
    if not isinstance(facts, (ActionFacts, PipelineFacts)):
        yield not_applicable("variables")
        return
    if not facts.detailed:
        yield not_available("the whole definition is not visible")
    for field, value in _fields(facts):
        group = "target" if field in _TARGETS else "request" if _REQUEST.fullmatch(field) else "field"
        if group == kind:
            for path, name, secret in _secrets(value, field, settings):
                message = f"{name} contains a secret in plain text." if name != field else f"It contains a secret: {secret.kind}."
                yield fail(path, hidden(secret.kind, secret.value), message, confidence=secret.confidence)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


@rule(
    "BDY028",
    "Plain-text secret in a shared variable",
    on=Configuration,
    systems=("buddy",),
    severity=Severity.CRITICAL,
    confidence=Confidence.HIGH,
    reads=("variables[].key", "variables[].value", "variables[].encrypted", "remote_parameters[].value"),
    needs=("VARIABLE_INFO", "EXECUTION_INFO"),
    uses=("secrets.names", "secrets.entropy"),
)
def secret_in_shared_variable(facts: Configuration, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A variable of a workspace, a project or a pipeline, or a parameter that a pipeline passes to a template, contains a secret and is not
    encrypted. It is recognised as in [BDY008](#bdy008).

    Why:
    It is visible to everyone who can read the variables, is passed to each action below, and appears unmasked in logs and exports.

    Fix:
    Revoke the secret, set a new one, and tick *encrypted*. In ``buddy.yml`` leave it out and set it in Buddy, or store the encrypted value.

    Before:
    {"variables": [{"key": "API_TOKEN", "value": "correct-h0rse", "encrypted": false}]}

    After:
    {"variables": [{"key": "API_TOKEN", "value": "secure!kQ...", "encrypted": true}]}
    """
    if isinstance(facts, ActionFacts):
        yield not_applicable("an action: see BDY008")
        return
    if isinstance(facts, VariablesFacts):
        if not facts.has_fields("variables"):
            yield not_available(f"the variables of a {facts.scope} are not visible")
        named = [("variables", number, item.key, item.value, item.encrypted, item.type) for number, item in enumerate(facts.variables)]
    elif isinstance(facts, PipelineFacts):
        if not facts.detailed and not facts.has_fields("variables"):
            yield not_available("the variables of the pipeline are not visible")
        named = [
            (field, number, str(item.get("key")), item.get("value"), item.get("encrypted"), item.get("type"))
            for field in _SHARED
            for number, item in enumerate(_list(facts.other.get(field)))
            if isinstance(item, Mapping)
        ]
    for field, number, key, value, encrypted, kind in named:
        if value is None or may_be_set(encrypted) or kind == "SSH_PUBLIC_KEY" or settings.secrets.excludes(key):
            continue
        if isinstance(value, (bool, int, float)) and not names_secret(key):
            continue
        for line, secret in secrets_by_line(key, str(value), entropy=settings.secrets.entropy):
            message = f"{key} contains a secret and is not encrypted."
            yield fail(
                FieldPath(f"{field}[{number}].value", line), hidden(secret.kind, secret.value), message, confidence=secret.confidence
            )


@rule(
    "BDY029",
    "Plain-text secret in a target",
    on=Configuration,
    systems=("buddy",),
    severity=Severity.CRITICAL,
    confidence=Confidence.HIGH,
    reads=("targets[].auth.password", "targets[].auth.key", "targets[].auth.passphrase"),
    needs=("EXECUTION_INFO",),
    uses=("secrets.names",),
)
def secret_in_target(facts: Configuration, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A target of a pipeline or an action, such as a server, holds its password or key in plain text.

    Why:
    Everyone who can read the pipeline, or its repository, can log in to that server.

    Fix:
    Change the password, and use a target that is stored in Buddy, an SSH key of the workspace, or an encrypted variable.

    Before:
    {"targets": [{"target": "db", "host": "db.acme.io", "auth": {"username": "app", "password": "correct-h0rse"}}]}

    After:
    {"targets": [{"target": "db", "host": "db.acme.io", "auth": {"username": "app", "password": "$DB_PASSWORD"}}]}
    """
    yield from _found(facts, settings, "target")


@rule(
    "BDY030",
    "Plain-text secret in a request",
    on=Configuration,
    systems=("buddy",),
    severity=Severity.CRITICAL,
    confidence=Confidence.HIGH,
    reads=("headers[].value", "url", "webhook_url", "content"),
    needs=("EXECUTION_INFO",),
    uses=("secrets.names",),
)
def secret_in_request(facts: Configuration, settings: AuditSettings) -> Iterator[Outcome]:
    """
    An action sends a request or a message whose headers, address or body hold a secret. Addresses of webhooks count: whoever has one may
    send.

    Why:
    Everyone who can read the pipeline can use the secret, and servers on the way log addresses.

    Fix:
    Revoke the secret, and put a new one into an encrypted variable: ``Authorization: Bearer $API_TOKEN``.

    Before:
    {"type": "HTTP", "headers": [{"name": "Authorization", "value": "Bearer aP9x-7Kq2mZ4tRw8"}]}

    After:
    {"type": "HTTP", "headers": [{"name": "Authorization", "value": "Bearer $API_TOKEN"}]}
    """
    yield from _found(facts, settings, "request")


@rule(
    "BDY031",
    "Plain-text secret in another field",
    on=Configuration,
    systems=("buddy",),
    severity=Severity.CRITICAL,
    confidence=Confidence.HIGH,
    reads=("private_key", "build_args", "inputs", "password", "other fields"),
    needs=("EXECUTION_INFO",),
    uses=("secrets.names",),
)
def secret_in_field(facts: Configuration, settings: AuditSettings) -> Iterator[Outcome]:
    """
    Any other field of an action or a pipeline holds a secret: a private key, a build argument, an input of a custom action, the password of
    a server.

    Why:
    Everyone who can read the pipeline can read it. Build arguments also stay in the history of the image.

    Fix:
    Revoke the secret, and use an integration, a key that is stored in Buddy, or an encrypted variable. Pass secrets to image builds as
    build secrets.

    Before:
    {"type": "DOCKERFILE", "build_args": ["NPM_TOKEN=aP9x-7Kq2mZ4tRw8"]}

    After:
    {"type": "DOCKERFILE", "build_args": ["NODE_ENV=production"], "secrets": ["NPM_TOKEN"]}
    """
    yield from _found(facts, settings, "field")
