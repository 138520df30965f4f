"""Service containers of Buddy actions, such as databases."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider.audit.analysis.scalars import may_be_set
from airflow_provider.audit.analysis.secrets.values import is_reference, secret_in
from airflow_provider.audit.facts.action import ActionFacts
from airflow_provider.audit.rules.buddy.images import VARIABLE, floats, pinned
from airflow_provider.audit.rules.evidence import hidden
from airflow_provider.audit.rules.outcome import Fail, Outcome, fail, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity
from airflow_provider.audit.settings.model import AuditSettings


@rule(
    "BDY022",
    "Service container unpinned, or with a default password",
    on=ActionFacts,
    systems=("buddy",),
    severity=Severity.MEDIUM,
    confidence=Confidence.MEDIUM,
    reads=("services[].type", "services[].version", "services[].variables", "services[].password"),
    needs=("EXECUTION_INFO",),
    uses=("images.floating_tags",),
)
def service_unpinned_or_default_password(action: ActionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A service container, such as a database, has no fixed version, or a default password, or a password in plain text. The fields of
    services are not documented, so all of them are checked.

    Why:
    Tests may run against another version tomorrow; a default password lets anything in the same network in.

    Fix:
    Set a version; pass the password in an encrypted variable.

    Before:
    {"services": [{"type": "MYSQL", "version": "latest", "password": "root"}]}

    After:
    {"services": [{"type": "MYSQL", "version": "8.0.36", "password": "$MYSQL_PASSWORD"}]}
    """
    if not action.has_fields("services"):
        yield not_available("services is not visible")
    compose = "COMPOSE" in (action.config.type or "")  # whose services are names in its own file
    for number, service in enumerate(action.config.services):
        path = f"services[{number}]"
        if isinstance(service, str):
            if compose:
                continue
            yield from (item for item in pinned(service, None, settings, path) if not _only_strict(item))
        elif isinstance(service, Mapping):
            yield from _version_of_service(service, path, settings)
            yield from _passwords_of_service(service, path)


def _only_strict(item: Outcome) -> bool:
    return isinstance(item, Fail) and item.persona is Persona.STRICT


def _version_of_service(service: Mapping[str, Any], path: str, settings: AuditSettings) -> Iterator[Outcome]:
    key = next((key for key in ("version", "docker_image_tag", "image_tag", "tag") if service.get(key)), None)
    name = next((str(service[key]) for key in ("image", "docker_image_name", "docker_image", "image_name") if service.get(key)), None)
    if name and (":" in name.rpartition("/")[2] or "@" in name) and key is None:
        yield from (item for item in pinned(name, None, settings, f"{path}.image") if not _only_strict(item))
    elif key is None:
        number = path.rpartition("[")[2].rstrip("]")
        yield fail(f"{path}.version", None, f"The service {service.get('type') or name or number} has no version.")
    elif VARIABLE.search(version := str(service[key]).strip()):
        yield not_available("the version of a service contains a variable")
    elif floats(version, "", settings):
        yield fail(f"{path}.{key}", version, f"The version {version} of the service {service.get('type') or name} moves.")


_OPEN = frozenset({"mysql_allow_empty_password", "mariadb_allow_empty_root_password", "allow_empty_password", "allow_anonymous_login"})
_COMMON = frozenset({
    "root", "admin", "password", "passwd", "pass", "postgres", "mysql", "mariadb", "guest", "test", "testing", "secret",
    "changeme", "change_me", "example", "default", "user", "rabbitmq", "mongo", "redis", "elastic", "minio", "minioadmin", "sa",
    "toor", "qwerty", "letmein", "welcome", "admin123", "password1", "password123", "root123", "test123", "12345", "123456",
    "1234", "12345678", "123456789",
})  # fmt: skip
_PASSWORD = re.compile(r"(?:^|[_.-])(?:pass(?:word|wd)?|pwd|secret)$|password$", re.IGNORECASE)


def _passwords_of_service(service: Mapping[str, Any], path: str) -> Iterator[Outcome]:
    for key, place, value in _values(service, path):
        text = str(value).strip()
        if (key.lower() in _OPEN and text.lower() in ("yes", "true", "1")) or (
            key.lower() == "postgres_host_auth_method" and text.lower() == "trust"
        ):
            yield fail(place, f"{key} {text}", "The service accepts connections without a password.")
        elif not text or text.lower() in ("true", "false") or is_reference(text):
            continue
        elif _PASSWORD.search(key) and text.lower() in _COMMON:
            yield fail(place, hidden("default password", text), "The service has a default password.")
        elif secret := secret_in(key, text, entropy=False):
            shaped = secret.kind != "Value of a secret's name"
            yield fail(
                place,
                hidden(secret.kind, secret.value),
                "The service has a password in plain text.",
                confidence=secret.confidence if shaped else Confidence.LOW,
                severity=None if shaped else Severity.LOW,
            )


def _values(item: Any, path: str, key: str = "", depth: int = 0) -> Iterator[tuple[str, str, Any]]:
    """Every value with its name: members of objects, ``{"key": ..., "value": ...}``, and ``NAME=value`` in lists."""
    if depth > 6 or item is None:
        return
    if isinstance(item, Mapping):
        if isinstance(item.get("key"), str) and "value" in item:
            if not may_be_set(item.get("encrypted")):
                yield item["key"], f"{path}.value", item["value"] if item["value"] is not None else ""
            return
        for name, value in item.items():
            yield from _values(value, f"{path}.{name}", str(name), depth + 1)
    elif isinstance(item, (list, tuple)):
        for number, value in enumerate(item):
            if isinstance(value, str) and (match := re.fullmatch(r"(\w+)=(.*)", value, re.DOTALL)):
                yield match[1], f"{path}[{number}]", match[2]
            else:
                yield from _values(value, f"{path}[{number}]", key, depth + 1)
    else:
        yield key, path, item
