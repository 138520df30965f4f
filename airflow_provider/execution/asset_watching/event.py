"""The event of an execution that has ended."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from airflow_provider.execution.results.outputs import OutputPolicy
from airflow_provider.execution.results.redaction import secrets_in
from airflow_provider.execution.results.result_of import make_result

if TYPE_CHECKING:
    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.model.snapshot import Snapshot

FIELDS = (
    *("system", "conn_id", "ref", "url", "phase", "status", "started_at", "finished_at", "duration", "error"),
    *("outputs", "outputs_omitted", "system_fields"),
)
"""Fields of the result that are part of an event."""
MAX_OUTPUTS = 16 * 1024
"""Maximum bytes of all outputs in an event, as JSON."""
MAX_FIELD = 1_000
"""Maximum characters of a text among the system's own fields, such as a comment. A longer one is left out."""
MAX_EVENT = 48 * 1024
"""Maximum bytes of an event as JSON: it is stored with the asset, and shown in the web interface."""


def event_of(hook: ExecutionHook, snapshot: Snapshot) -> dict[str, Any]:
    """The event of an end: small JSON, without secrets."""
    short = replace(snapshot, steps=[], log_tail=[], hidden=secrets_in(snapshot))
    short.system_fields = {
        name: value
        for name, value in snapshot.system_fields.items()
        if isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= MAX_FIELD)
    }
    result: Mapping[str, Any] = make_result(hook.adapter(), hook.conn_id, short, OutputPolicy((), None, total=MAX_OUTPUTS))
    event = {name: result[name] for name in FIELDS}
    # The values are limited already, their names are not.
    substitutes: tuple[tuple[str, Any], ...] = (
        ("outputs_omitted", {"*": "too many to be named"}),
        ("outputs", {}),
        ("system_fields", {}),
    )
    for name, substitute in substitutes:
        if len(json.dumps(event)) > MAX_EVENT:
            event[name] = substitute
    return event
