"""HTTP requests of Tracecat workflows."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from unicodedata import normalize

from airflow_provider.audit.analysis.scalars import flag
from airflow_provider.audit.analysis.shell.parsing import parse
from airflow_provider.audit.analysis.shell.script import Command, Word
from airflow_provider.audit.analysis.shell.unchecked_tls import by_command
from airflow_provider.audit.facts.origin import FieldPath
from airflow_provider.audit.facts.workflow import WorkflowAction, WorkflowFacts, leaves
from airflow_provider.audit.rules.outcome import Outcome, cut_off, fail, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings

_VERIFY = frozenset({"verify_ssl", "ssl_verify", "verify_tls", "tls_verify", "verify_certs", "verify_certificate", "verify"})
_INSECURE = frozenset({"insecure", "insecure_skip_verify", "skip_tls_verify", "skip_ssl_verify", "disable_ssl_verification"})
_USES = frozenset({"use_ssl", "use_tls", "enable_ssl", "enable_tls", "ssl_enabled"})
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}:(?://|/(?!/)|(?![/\d]))|//")
_HOST = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63}){0,20}|[0-9a-f:.]{2,45}")
_EXPRESSION = re.compile(r"\$\{\{((?:(?!\$\{\{).)*?)\}\}", re.DOTALL)
_LOCAL = ("localhost", ".local", ".internal", ".localhost", ".svc", ".lan", ".test", ".example")
_SERVER = re.compile(r"(?:base|api|server|instance|webhook|host|tenant|cluster)_(?:url|uri)|(?:api_)?endpoint")
"""Arguments of other actions that are the address of the server that they call; their ``url`` may be what they look up."""


def addresses(action: WorkflowAction) -> Iterator[tuple[str, str]]:
    """The addresses that an action calls, each with its path."""
    for path, name, value in leaves(action.arguments, f"{action.path}.args"):
        direct = path == f"{action.path}.args.{name}"
        is_address = name in ("url", "base_url") if action.is_http else _SERVER.fullmatch(name) and direct
        if is_address and isinstance(value, str) and (direct or "://" in value or "${{" in value):
            yield path, value


def _is_path(name: str, value: object) -> bool:
    """Whether a value is the file of a certificate authority, or no value, which ``verify`` may be as well as a flag."""
    return str(value).lower() == "none" or (name == "verify" and isinstance(value, str) and "/" in value and "${{" not in value)


def host_of(address: str) -> str | None:
    """
    The host of an address, with or without a scheme.

    It is what stands in the place of a host, even if it is none, see :func:`is_host`.

    :returns: None if an expression determines it, or nothing stands there.
    """
    address = address.strip()
    scheme = _SCHEME.match(address)
    host = re.split(r"[/?#]", address[scheme.end() if scheme else 0 :], maxsplit=1)[0].rpartition("@")[2]
    if "${{" in host or ("}}" in host and "${{" in address):
        return None
    match = _WITH_PORT.fullmatch(host)
    return ((match["six"] or match["name"]) if match else host).lower() or None


_WITH_PORT = re.compile(r"(?:\[(?P<six>[^\]]{0,64})\]|(?P<name>[^\[:]{0,300}))(?::\d{0,5})?")


def is_host(text: str) -> bool:
    """Whether a text is a host that all programs read alike, without a character that some take for its end."""
    return text.isprintable() and _HOST.fullmatch(text.lower().removesuffix(".")) is not None and normalize("NFKC", text) == text


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
    reads=("actions[].args.verify_ssl", "actions[].args.use_ssl", "actions[].args.script"),
    needs=("workflow:read",),
)
def http_tls_checks_off(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    An action, or the Python code or a command in its script, does not check the certificate of the server that it calls, or connects
    without TLS (``use_ssl: false``).

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
            uses = name in _USES and not action.is_http and path == f"{action.path}.args.{name}"
            if name not in _VERIFY | _INSECURE and not uses:
                continue
            if flag(value) is None and not _is_path(name, value):
                yield not_available("whether certificates are checked is an expression, or unclear")
            elif flag(value) is (name in _INSECURE) or str(value).lower() == "none":
                how = "connects without TLS" if uses else "does not check the server's certificate"
                yield fail(path, f"{action.ref} {name}", f"{action.ref} {how}.")
        yield from _in_script(action)


def _in_script(action: WorkflowAction) -> Iterator[Outcome]:
    """Where the Python code of an action, or a command that it starts, does not check certificates."""
    script = (action.arguments or {}).get("script") if action.type.startswith("core.script") else None
    if not isinstance(script, str):
        return
    if len(script) > MAX_SCRIPT:
        yield cut_off(f"script: it has more than {MAX_SCRIPT:,} characters")
    for number, line in enumerate(script[:MAX_SCRIPT].split("\n")):
        if line.lstrip().startswith("#"):
            continue
        shown = list(by_command(Command((Word("python"), Word("-c"), Word(line)), 1)))
        if match := _STARTS.search(line):
            command = " ".join(literal[1:-1] for literal in _LITERAL.findall(line[match.end() :]))
            shown += [item for part in parse(command).every_command() for item in by_command(part)]
        for text, confidence in shown[:1]:
            message = f"{action.ref} does not check the server's certificate."
            yield fail(FieldPath(f"{action.path}.args.script", number), f"{action.ref} {text}", message, confidence=confidence)


MAX_SCRIPT = 64 * 1024
"""Maximum number of characters of a script that are checked."""
_STARTS = re.compile(r"\b(?:os\.(?:system|popen)|subprocess\.\w{1,20}|(?:check_)?(?:output|call|run)|Popen)\(")
_LITERAL = re.compile(r"'[^'\n]{1,1000}'|\"[^\"\n]{1,1000}\"")


@rule(
    "TRC005",
    "HTTP without TLS",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("actions[].args.url", "actions[].args.base_url"),
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
            if address.lstrip().lower().startswith("http://") and (host := host_of(address)) and not is_local(host):
                yield fail(path, f"{action.ref} http://{host}", f"{action.ref} calls {host} without TLS.")


@rule(
    "TRC006",
    "Host not on the list",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("actions[].args.url", "actions[].args.base_url"),
    needs=("workflow:read",),
    uses=("workflows.hosts",),
)
def unlisted_host(workflow: WorkflowFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    An action calls a host that is not in ``workflows.hosts``. Without a list, all hosts are allowed. A host that an expression determines
    is not known before the workflow runs. What stands in the place of a host and is none, such as one with a backslash, is on no list.

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
                yield not_available("the host is an expression, or can't be read")
            elif not is_host(host) or not settings.workflows.allows(host.removesuffix(".")):
                shown = host if is_host(host) else ascii(host)[1:101]
                yield fail(path, f"{action.ref} {shown}", f"{action.ref} calls {shown}, which is not on the list of hosts.")


@rule(
    "TRC013",
    "Host taken from the trigger",
    on=WorkflowFacts,
    systems=("tracecat",),
    severity=Severity.MEDIUM,
    confidence=Confidence.MEDIUM,
    reads=("actions[].args.url", "actions[].args.base_url"),
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
