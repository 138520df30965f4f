"""Workflows that a client describes in the vendor's own form: the definition that the UI exports and that ``POST /workflows`` takes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from email.parser import BytesParser
from typing import Any

from airflow_provider.emulator.tracecat.errors import ApiError, refusal
from airflow_provider.emulator.tracecat.scenario import NOTHING, Action, Workflow

SECONDS = 0.05
"""How long each action takes."""
_YAML = ("application/yaml", "text/yaml", "application/x-yaml", "application/octet-stream")
_LATER = re.compile(r"\$\{\{ *FN\.to_timestamp\(FN\.wall_clock\(\)\) *>=? *(\d+) *\}\}")
_NEVER_TRUE = re.compile(r"\$\{\{ *False *\}\}")


def read_form(content_type: str, body: bytes) -> dict[str, tuple[str, bytes]]:
    """Return the parts of a form by name: the content type and the content of each."""
    message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + body)
    parts = [part for part in message.walk() if not part.is_multipart()]
    named = ((part.get_param("name", header="content-disposition"), part) for part in parts)
    return {str(name): (part.get_content_type(), bytes(part.get_payload(decode=True) or b"")) for name, part in named if name}


def read_file(content_type: str, content: bytes) -> Workflow:
    """Return the workflow that a file describes, not committed yet.

    :raises ApiError: 400, the file can't be read or its definition is invalid.
    """
    if content_type not in (*_YAML, "application/json"):
        raise refusal(400, f"Invalid file type {content_type}. Only YAML and JSON files are supported.")
    try:
        described = json.loads(content) if content_type == "application/json" else _from_yaml(content)
    except ValueError as error:
        raise refusal(400, f"Error parsing {'JSON' if content_type == 'application/json' else 'YAML'} file: {error}") from None
    try:
        return workflow_of(described["definition"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        text = {"status": "failure", "message": "Error validating external workflow definition", "errors": [str(error)]}
        raise ApiError(400, {"detail": json.dumps(text, indent=2)}) from None


def _from_yaml(content: bytes) -> Any:
    import yaml

    try:
        return yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise ValueError(repr(error)) from None


def workflow_of(definition: Mapping[str, Any]) -> Workflow:
    """Return the workflow that a definition describes.

    ``core.transform.reshape`` gives its value. ``core.require`` fails if a condition is false: conditions are constants, or compare
    ``FN.to_timestamp(FN.wall_clock())`` with a number. All other actions succeed without a result.

    :raises ValueError: the definition is invalid.
    """
    statements = definition["actions"]
    if not statements:
        raise ValueError("At least one action must be defined.")
    handled = {name.removesuffix(".error") for item in statements for name in item.get("depends_on", ()) if name.endswith(".error")}
    config = definition.get("config") or {}
    returns = definition.get("returns")
    return Workflow(
        str(definition["title"]),
        description=str(definition.get("description") or ""),
        actions=[_action(item, handled) for item in statements],
        returns=NOTHING if returns is None else returns,
        expects=(definition.get("entrypoint") or {}).get("expects"),
        timeout=float(config.get("timeout") or 0.0) or None,
        environment=str(config.get("environment") or "default"),
        committed=False,
    )


def _action(item: Mapping[str, Any], handled: set[str]) -> Action:
    ref, kind, arguments = str(item["ref"]), str(item["action"]), dict(item.get("args") or {})
    if not re.fullmatch(r"[a-z0-9_]+", ref):
        raise ValueError(f"{ref!r}: String should match pattern '^[a-z0-9_]+$'")
    policy = item.get("retry_policy") or {}
    action = Action(
        ref,
        kind,
        SECONDS,
        depends_on=[name.removesuffix(".error").removesuffix(".success") for name in item.get("depends_on", ())],
        start_delay=float(item.get("start_delay") or 0.0),
        max_attempts=int(policy.get("max_attempts", 1)),
        mask_output=bool(item.get("mask_output")),
        skipped=bool(_NEVER_TRUE.fullmatch(str(item.get("run_if") or ""))),
        handled=ref in handled,
        args=arguments,
        description=str(item.get("description") or ""),
    )
    if kind == "core.transform.reshape":
        action.result = arguments["value"]
    elif kind == "core.require":
        _require(action, arguments["conditions"])
    return action


def _require(action: Action, conditions: Any) -> None:
    listed = conditions if isinstance(conditions, list) else [conditions]
    until = [_false_until(condition) for condition in listed]
    action.result = True
    if any(until):
        values = ", ".join(str(not moment) for moment in until)
        action.error_type, action.error = "ValueError", f"All condition must evaluate to true. Got values: {values}"
        action.error_until = max(until)


def _false_until(condition: Any) -> float:
    """Return the epoch seconds until which a condition is false; 0: it is true."""
    if isinstance(condition, bool) or (found := _LATER.fullmatch(str(condition))) is None:
        return 0.0 if condition in (True, "${{ True }}") else math.inf
    return float(found[1])
