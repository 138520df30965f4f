"""HTTP requests of Tracecat workflows."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from airflow_provider.audit.analysis.scalars import flag
from airflow_provider.audit.facts.workflow import WorkflowAction, WorkflowFacts, leaves
from airflow_provider.audit.rules.outcome import Outcome, fail, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings

_VERIFY = frozenset({"verify_ssl", "ssl_verify", "verify_tls", "tls_verify", "verify_certs", "verify_certificate", "verify"})
_INSECURE = frozenset({"insecure", "insecure_skip_verify", "skip_tls_verify", "skip_ssl_verify", "disable_ssl_verification"})
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_EXPRESSION = re.compile(r"\$\{\{((?:(?!\$\{\{).)*?)\}\}", re.DOTALL)
_LOCAL = ("localhost", ".local", ".internal", ".localhost", ".svc", ".lan", ".test", ".example")


def addresses(action: WorkflowAction) -> Iterator[tuple[str, str]]:
    """The addresses that an HTTP action calls, each with its path."""
    if action.is_http:
        for path, name, value in leaves(action.arguments, f"{action.path}.args"):
            if name in ("url", "base_url") and isinstance(value, str):
                yield path, value


def _is_path(name: str, value: object) -> bool:
    """Whether a value is the file of a certificate authority, or no value, which ``verify`` may be as well as a flag."""
    return str(value).lower() == "none" or (name == "verify" and isinstance(value, str) and "/" in value and "${{" not in value)


def host_of(address: str) -> str | None:
    """The host of an address; None if an expression determines it."""
    if not _ADDRESS.match(address):
        return None
    host = re.split(r"[/?#]", address.split("://", 1)[1], maxsplit=1)[0].rpartition("@")[2]
    if "${{" in address and ("${{" in host or "}}" in host):
        return None
    try:
        return (urlsplit(f"//{host}").hostname or "").lower() or None
    except ValueError:
        return None


def is_local(host: str) -> bool:
    """Whether a host is on the same machine or in a private network."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_LOCAL)


@rule(
    "TRC004",
    "TLS checks switched off",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.HIGH,
    confidence=Confidence.HIGH,
    reads=("actions[].args.verify_ssl",),
    needs=("workflow:read",),
)
def http_tls_checks_off(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    An action does not check the certificate of the server that it calls.

    Why:
    Anyone on the network path can pretend to be the server, read what is sent, credentials included, and choose the answer.

    Fix:
    Leave ``verify_ssl`` at its default. For a private certificate authority, store its certificate as a CA secret in Tracecat.

    Before:
    {"action": "core.http_request", "args": {"url": "https://siem.acme.io", "verify_ssl": false}}

    After:
    {"action": "core.http_request", "args": {"url": "https://siem.acme.io"}}
    """
    for action in workflow.actions:
        if action.arguments is None:
            yield not_available("arguments could not be read")
        for path, name, value in leaves(action.arguments, f"{action.path}.args"):
            if name not in _VERIFY | _INSECURE:
                continue
            if flag(value) is None and not _is_path(name, value):
                yield not_available("whether certificates are checked is an expression, or unclear")
            elif flag(value) is (name in _INSECURE) or str(value).lower() == "none":
                yield fail(path, f"{action.ref} {name}", f"{action.ref} does not check the server's certificate.")


@rule(
    "TRC005",
    "HTTP without TLS",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("actions[].args.url",),
    needs=("workflow:read",),
)
def http_in_plain_text(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    An action calls an ``http://`` address outside private networks.

    Why:
    Anyone on the network path can read the request, credentials included, and choose the answer.

    Fix:
    Use ``https://``.

    Before:
    {"action": "core.http_request", "args": {"url": "http://api.acme.io/alerts"}}

    After:
    {"action": "core.http_request", "args": {"url": "https://api.acme.io/alerts"}}
    """
    for action in workflow.actions:
        for path, address in addresses(action):
            if address.lower().startswith("http://") and (host := host_of(address)) and not is_local(host):
                yield fail(path, f"{action.ref} http://{host}", f"{action.ref} calls {host} without TLS.")


@rule(
    "TRC006",
    "Host not on the list",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("actions[].args.url",),
    needs=("workflow:read",),
    uses=("workflows.hosts",),
)
def unlisted_host(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    An action calls a host that is not in ``workflows.hosts``. Without a list, all hosts are allowed. A host that an expression determines
    is not known before the workflow runs.

    Why:
    Workflows handle alerts, credentials and personal data; a new host is a new place where they may go.

    Fix:
    Add the host to ``workflows.hosts`` after a review, or remove the request.

    Before:
    {"action": "core.http_request", "args": {"url": "https://paste.example.net/api"}}

    After:
    {"action": "core.http_request", "args": {"url": "https://siem.acme.io/api"}}
    """
    if not settings.workflows.hosts:
        return
    for action in workflow.actions:
        for path, address in addresses(action):
            host = host_of(address)
            if host is None:
                yield not_available("the host is an expression")
            elif not settings.workflows.allows(host):
                yield fail(path, f"{action.ref} {host}", f"{action.ref} calls {host}, which is not on the list of hosts.")


@rule(
    "TRC013",
    "Host taken from the trigger",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.MEDIUM,
    confidence=Confidence.MEDIUM,
    reads=("actions[].args.url",),
    needs=("workflow:read",),
)
def host_from_trigger(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The host that an action calls comes from the data that started the workflow.

    Why:
    Whoever sends that data chooses where requests go: to internal services, or to a server that collects the headers with their
    credentials.

    Fix:
    Write the host into the definition or into a workspace variable, and take only the path or an id from the trigger.

    Before:
    {"action": "core.http_request", "args": {"url": "https://${{ TRIGGER.host }}/alerts"}}

    After:
    {"action": "core.http_request", "args": {"url": "https://siem.acme.io/alerts/${{ TRIGGER.id }}"}}
    """
    for action in workflow.actions:
        for path, address in addresses(action):
            start = address.find("://")
            end = re.search(r"[/?#]", _EXPRESSION.sub(lambda match: "x" * len(match[0]), address)[start + 3 if start >= 0 else 0 :])
            authority = address[: (start + 3 if start >= 0 else 0) + end.start()] if end else address
            if any("TRIGGER" in expression for expression in _EXPRESSION.findall(authority)):
                yield fail(path, action.ref, f"{action.ref} calls a host that the trigger's data determines.")
