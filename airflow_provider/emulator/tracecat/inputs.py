"""Inputs held against the schema that a workflow expects."""

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
    for name, wanted in expects.items():
        if wanted.get("type", "any") not in TYPES:
            raise ValueError(f"unknown type of input {name!r}: one of {', '.join(TYPES)}")


def with_defaults(expects: Schema, inputs: Any) -> Any:
    """Return the inputs with what the schema adds."""
    if not isinstance(inputs, (dict, type(None))):
        return inputs
    defaults = {name: wanted["default"] for name, wanted in expects.items() if "default" in wanted}
    return defaults | (inputs or {})


def mismatch(expects: Schema, inputs: Any) -> Failure | None:
    """Return how the inputs do not fit; None if they do."""
    from pydantic import TypeAdapter, ValidationError

    values = inputs if isinstance(inputs, dict) else {}
    problems, roots = [], []
    for name, wanted in expects.items():
        if name not in values:
            continue
        try:
            TypeAdapter(TYPES[wanted.get("type", "any")]).validate_python(values[name])
        except ValidationError as error:
            first = error.errors()[0]
            problems.append(f"The attribute '{name}' does not match the input schema:\n{first['msg']}.\n(pydantic.{first['type']})")
            roots.append(f"{name}\n  {first['msg']}")
    missing = [name for name, wanted in expects.items() if name not in values and "default" not in wanted]
    if missing:
        problems.append(f"Missing required field(s): {', '.join(map(repr, missing))}.")
        roots += [f"{name}\n  Field required" for name in missing]
    if not problems:
        return None
    listed = "\n".join(f"{number}. {problem}" for number, problem in enumerate(problems, 1))
    root = f"{len(roots)} validation error(s)\n" + "\n".join(roots)
    return Failure(f"Failed to validate trigger inputs:\n\n{listed}", root)


def json_schema(expects: Schema) -> dict[str, Any]:
    """Return the schema as JSON schema."""
    properties: dict[str, dict[str, Any]] = {}
    for name, wanted in expects.items():
        kind, _, inner = str(wanted.get("type", "any")).partition("[")
        properties[name] = {"title": name} | ({"type": _JSON[kind]} if kind in _JSON else {})
        if inner:
            properties[name]["items"] = {"type": _JSON[inner.rstrip("]")]}
        if "default" in wanted:
            properties[name]["default"] = wanted["default"]
    required = [name for name, wanted in expects.items() if "default" not in wanted]
    return {"title": "Inputs", "type": "object", "properties": properties, "required": required}
