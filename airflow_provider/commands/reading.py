"""From a ref to its hook, and what is read there."""

from __future__ import annotations

from importlib import import_module
from pkgutil import resolve_name
from typing import BinaryIO

from airflow_provider import provider_info
from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.http.connection_settings import type_of
from airflow_provider.execution.http.hook import ExecutionHook
from airflow_provider.execution.model.result import ExecutionResult
from airflow_provider.execution.model.snapshot import Snapshot
from airflow_provider.execution.results.known_secrets import hide_in
from airflow_provider.execution.results.log_file import LogFile
from airflow_provider.execution.results.outputs import OutputPolicy
from airflow_provider.execution.results.redaction import secrets_in, tail_without_keys
from airflow_provider.execution.results.result_of import make_result
from airflow_provider.execution.waiting.log_batches import whole_log

_PARSERS = {
    "tracecat": "airflow_provider.tracecat.ref:TracecatRef.parse",
    "alga_psa": "airflow_provider.alga_psa.ref:parse_ref",
    "buddy": "airflow_provider.buddy.ref:BuddyRef.parse",
}
"""How each system reads a ref. No text is a ref of two systems."""


def system_of(ref: str) -> str | None:
    """The system that a ref is of; None for a text that is none."""
    for system, path in _PARSERS.items():
        try:
            resolve_name(path)(ref)
        except ConfigurationError:
            continue
        return system
    return None


def hook_for(ref: str, conn_id: str | None) -> ExecutionHook:
    """
    The hook of the system that an execution is in.

    :param conn_id: connection; None for the system's default.
    :raises ConfigurationError: if ``ref`` is no ref, or is of a part of an execution, or the connection is of another system.
    :raises ConnectionMissing: if Airflow has no such connection.
    """
    system = system_of(ref)
    if system is None:
        raise ConfigurationError(f"{ref[:200]!r} is not the ref of an execution in {', '.join(provider_info.SYSTEMS.values())}.")
    if (part := getattr(resolve_name(_PARSERS[system])(ref), "action_execution", None)) is not None:
        raise ConfigurationError(f"{ref[:200]!r} is the ref of an action execution. Give that of its execution, without {part[:100]!r}.")
    if conn_id is not None:
        found = type_of(conn_id, f"Create it, with type {system!r}.")
        if found != system:
            raise ConfigurationError(
                f"Connection {conn_id!r} has the type {found!r}, but this is a ref of {provider_info.SYSTEMS[system]}."
            )
    for kind in provider_info.get_provider_info()["connection-types"]:
        if kind["connection-type"] == system:
            module, _, name = kind["hook-class-name"].rpartition(".")
            hook_class: type[ExecutionHook] = getattr(import_module(module), name)
    return hook_class() if conn_id is None else hook_class(conn_id)  # type: ignore[call-arg]  # each has a default of its own


def result_of(hook: ExecutionHook, snapshot: Snapshot) -> ExecutionResult:
    """An execution as tasks return it: cleaned, without secrets."""
    snapshot.log_tail = tail_without_keys(snapshot.log_tail)
    snapshot.hidden = list(hook.secrets)
    hide_in(snapshot, secrets_in(snapshot))
    return make_result(hook.adapter(), hook.conn_id, snapshot, OutputPolicy((), None, hidden=snapshot.hidden))


def write_log(hook: ExecutionHook, snapshot: Snapshot, out: BinaryIO) -> None:
    """Write the whole log, cleaned, block by block; of an execution that goes on, up to now."""
    adapter = hook.adapter()
    snapshot.hidden = list(hook.secrets)
    log = LogFile(out, secrets_in(snapshot))
    for step, block in whole_log(hook.run_flow, adapter, snapshot):
        log.write(step, block)
