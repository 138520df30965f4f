"""Validation of inputs against the schema that a workflow expects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider.emulator.tracecat.timeline import Failure

TYPES: dict[str, Any] = {
    "str": str,
    "int": int,
    "float": float,
    "bool": bool,
    "any": Any,
    "list": list[Any],
    "dict": dict[str, Any],
    "list[str]": list[str],
    "list[int]": list[int],
}
_JSON = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"}

Schema = Mapping[str, Mapping[str, Any]]


def check_schema(expects: Schema) -> None:
    """Check that a schema can be applied.

    :raises ValueError: it names an unknown type.
    """
    for name, field in expects.items():
        if field.get("type", "any") not in TYPES:
            raise ValueError(f"unknown type of input {name!r}: one of {', '.join(TYPES)}")


def with_defaults(expects: Schema, inputs: Any) -> Any:
    """Return the inputs with the defaults of the schema."""
    if not isinstance(inputs, (dict, type(None))):
        return inputs
    defaults = {name: field["default"] for name, field in expects.items() if "default" in field}
    return defaults | (inputs or {})


def mismatch(expects: Schema, inputs: Any) -> Failure | None:
    """Return the validation failure of the inputs; None if they are valid."""
    from pydantic import TypeAdapter, ValidationError

    values = inputs if isinstance(inputs, dict) else {}
    messages, roots = [], []
    for name, field in expects.items():
        if name not in values:
            continue
        try:
            TypeAdapter(TYPES[field.get("type", "any")]).validate_python(values[name])
        except ValidationError as error:
            first = error.errors()[0]
            messages.append(f"The attribute '{name}' does not match the input schema:\n{first['msg']}.\n(pydantic.{first['type']})")
            roots.append(f"{name}\n  {first['msg']}")
    missing = [name for name, field in expects.items() if name not in values and "default" not in field]
    if missing:
        messages.append(f"Missing required field(s): {', '.join(map(repr, missing))}.")
        roots += [f"{name}\n  Field required" for name in missing]
    if not messages:
        return None
    listed = "\n".join(f"{number}. {problem}" for number, problem in enumerate(messages, 1))
    root = f"{len(roots)} validation error(s)\n" + "\n".join(roots)
    return Failure(f"Failed to validate trigger inputs:\n\n{listed}", root)


def json_schema(expects: Schema) -> dict[str, Any]:
    """Return the schema as JSON schema."""
    properties: dict[str, dict[str, Any]] = {}
    for name, field in expects.items():
        kind, _, inner = str(field.get("type", "any")).partition("[")
        properties[name] = {"title": name} | ({"type": _JSON[kind]} if kind in _JSON else {})
        if inner:
            properties[name]["items"] = {"type": _JSON[inner.rstrip("]")]}
        if "default" in field:
            properties[name]["default"] = field["default"]
    required = [name for name, field in expects.items() if "default" not in field]
    return {"title": "Inputs", "type": "object", "properties": properties, "required": required}
