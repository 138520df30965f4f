"""The definition, tenant and host that executions belong to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import unquote

from airflow_provider.audit.facts.execution import BuddyPart, ExecutionFacts
from airflow_provider.audit.facts.fact import Connection
from airflow_provider.audit.rules.outcome import Outcome, fail, not_available
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.execution.model.phase import Phase

_AT_WORK = (Phase.RUNNING, Phase.WAITING, Phase.STOPPING)


@rule(
    "EXE012",
    "Execution without a parent rule, workflow or pipeline",
    on=ExecutionFacts,
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("automation_rule_id", "workflow_id", "pipeline", "pipeline.disabled", "action.disabled"),
    needs=("EXECUTION_INFO", "workflow:read", "automation:read"),
)
def orphaned_execution(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The definition of the execution no longer exists; or the definition or an action is disabled, but still runs. Confidence is low if the
    action is disabled now, but its step has ended.

    Why:
    Nobody maintains an execution without a definition: nobody is notified of failures, and nobody can change what it does.

    Fix:
    Cancel it if it is still running. Only delete definitions that have no running executions.

    Before:
    {"status": "running", "automation_rule_id": "a rule that is not there"}

    After:
    {"status": "cancelled", "automation_rule_id": "a rule that is not there"}
    """
    definition, field = (
        execution.definition,
        {"buddy": "pipeline", "tracecat": "workflow_id", "alga_psa": "automation_rule_id"}[execution.system],
    )
    if definition is None:
        yield fail(field, None, "The record names no definition.")
    elif definition.exists is False:
        yield fail(field, definition.id, f"There is no {field.partition('_id')[0].replace('_', ' ')} {definition.id} anymore.")
    elif definition.exists is None:
        yield not_available("its definition was not looked up")
    if execution.buddy is None:
        if definition is not None and definition.disabled and execution.system == "alga_psa" and execution.phase is Phase.RUNNING:
            yield fail("status", definition.id, f"{definition.name} is disabled, but runs.", confidence=Confidence.MEDIUM)
        return  # an offline workflow may run: only its webhook is off
    if definition is not None and definition.disabled and execution.phase in _AT_WORK:
        yield fail("status", definition.id, f"{definition.name} is disabled, but runs.")
    for step in execution.steps:
        if step.disabled and step.phase not in (Phase.SKIPPED, Phase.QUEUED, Phase.UNKNOWN):
            works = step.phase in _AT_WORK
            confidence = None if works else Confidence.LOW
            message = f"{step.name} is switched off, and {'works' if works else 'did work'}."
            yield fail(f"{step.path}.action.disabled", step.definition, message, confidence=confidence)
        elif execution.detailed and step.definition is None:
            yield fail(f"{step.path}.action", None, f"The action of {step.name} is gone.", confidence=Confidence.MEDIUM)


_API = re.compile(r"/workspaces/([^/?#]+)/projects/([^/?#]+)/pipelines/")
_WEB = re.compile(r"^https?://[^/?#]+/(?:[^?#]*/)?([^/?#]+)/([^/?#]+)/pipelines/pipeline/")


@rule(
    "EXE019",
    "Tenant or workspace mismatch",
    on=ExecutionFacts,
    severity=Severity.CRITICAL,
    confidence=Confidence.HIGH,
    reads=("tenant", "url", "html_url", "action_executions[].url", "events[].role.workspace_id"),
    needs=("EXECUTION_INFO", "workflow:read", "automation:read"),
)
def foreign_tenant(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The answer belongs to another tenant, workspace or project than the connection is configured for.

    Why:
    The key is wrong, or the remote system mixes up customers: foreign data is read, and perhaps others read yours.

    Fix:
    Compare the key with the tenant or workspace of the connection. If they match, report it to the vendor.

    Before:
    {"connection": {"tenant": "11bb..."}, "data": {"tenant": "99ff..."}}

    After:
    {"connection": {"tenant": "11bb..."}, "data": {"tenant": "11bb..."}}
    """
    compared, any_named = 0, set()
    for path, actual, expected in _places(execution):
        if actual is None or expected is None:
            continue
        compared += 1
        if _plain(actual) != _plain(expected) and _plain(actual) not in any_named:
            any_named.add(_plain(actual))
            yield fail(path, actual, f"The answer belongs to {actual}, the connection is configured for {expected}.")
    if not compared:
        yield not_available("the answer or the connection has no tenant or workspace")


def _places(execution: ExecutionFacts) -> Iterator[tuple[str, str | None, str | None]]:
    """Path, value in the answer, expected value."""
    connection = execution.connection or Connection()
    if execution.alga_psa is not None:
        yield "tenant", execution.alga_psa.tenant, connection.tenant
    elif execution.tracecat is not None:
        expected = connection.workspace or execution.tracecat.workspace
        for event in execution.tracecat.events or ():
            yield f"events[{event.id}].role.workspace_id", event.workspace, expected
    elif execution.buddy is not None:
        yield from _buddy_places(execution, execution.buddy, connection)


def _buddy_places(execution: ExecutionFacts, place: BuddyPart, connection: Connection) -> Iterator[tuple[str, str | None, str | None]]:
    workspace, project = connection.workspace or place.workspace, connection.project or place.project
    urls = [("url", execution.api_url), ("html_url", execution.url)]
    for step in execution.steps:
        urls += [(f"{step.path}.url", step.api_url), (f"{step.path}.html_url", step.url)]
    for path, url in urls:
        match = (_WEB if path.endswith("html_url") else _API).search(url or "")
        if match:
            yield path, unquote(f"{match[1]}/{match[2]}"), f"{workspace}/{project}"


def _plain(place: str) -> str:
    return unquote(place).casefold()


_VENDOR = ".buddy.works"
_STORES = (
    ".amazonaws.com", ".googleapis.com", ".blob.core.windows.net", ".digitaloceanspaces.com", ".r2.cloudflarestorage.com",
    ".backblazeb2.com", ".wasabisys.com",
)  # fmt: skip
"""Object stores that may hold logs, at URLs that need no credential."""


@rule(
    "EXE021",
    "Response host differs from the configured host",
    on=ExecutionFacts,
    systems=("buddy",),
    severity=Severity.HIGH,
    confidence=Confidence.HIGH,
    reads=("url", "html_url", "log_url"),
    needs=("EXECUTION_INFO",),
)
def foreign_host(execution: ExecutionFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A URL in the answer has a host that is neither that of the connection, nor of its web pages, nor of the vendor; for logs also not a
    well-known object store.

    Why:
    There may be a malicious proxy between Airflow and the vendor. A client that follows such a URL discloses its token.

    Fix:
    Set the connection to the vendor's host, and replace the token. This provider never sends it to another host.

    Before:
    {"connection": {"host": "api.buddy.works"}, "data": {"url": "https://api-buddy.example.net/workspaces/..."}}

    After:
    {"connection": {"host": "api.buddy.works"}, "data": {"url": "https://api.buddy.works/workspaces/..."}}
    """
    home = execution.connection.host if execution.connection else None
    if not home:
        yield not_available("the host of the connection is unknown")
        return
    reported = set()
    for path, host in execution.log_hosts.items():
        field = path.rpartition(".")[2]
        if host and (field, host) not in reported and not _at_home(_name(host), _name(home), field):
            reported.add((field, host))
            yield fail(path, host, f"{field} has the host {host}, the connection {home}.")


def _name(host: str) -> str:
    name, _, port = host.rpartition(":")
    return (name if name and port.isdigit() else host).lower().rstrip(".")


def _at_home(host: str, home: str, field: str) -> bool:
    if host == home or host.endswith(_VENDOR):
        return True
    if field == "log_url" and host.endswith(_STORES):
        return True
    return field != "url" and _site(host) is not None and _site(host) == _site(home)


def _site(host: str) -> str | None:
    """``example.com`` of ``api.example.com``; of ``api.example.co.uk`` three parts. None for addresses and single names."""
    parts = host.split(".")
    if len(parts) < 3 or parts[-1].isdigit() or ":" in host:
        return host if len(parts) == 2 else None
    return ".".join(parts[-3 if len(parts[-1]) == 2 and len(parts[-2]) <= 3 else -2 :])
