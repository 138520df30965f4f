"""Builds the systems' dataclasses from the plain objects of a scenario file; each error names the place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from airflow_provider.emulator.system import ScenarioError

_T = TypeVar("_T")


def build(kind: type[_T], place: str, values: Mapping[str, Any]) -> _T:
    """Build a dataclass from ``values``.

    :param place: where the values stand in the file, for error messages.

    :raises ScenarioError: a key is unknown or missing, or a value of the wrong type.
    """
    from pydantic import TypeAdapter, ValidationError

    check_keys(place, values, {field.name for field in dataclasses.fields(kind)})  # type: ignore[arg-type]
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join([place, *(str(part) for part in first["loc"])])
        raise ScenarioError(f"{where}: {first['msg']}") from None


def check_keys(place: str, values: Mapping[str, Any], known: set[str]) -> None:
    """Check that all keys are ``known``.

    :raises ScenarioError: a key is unknown.
    """
    for key in values:
        if key not in known:
            raise ScenarioError(f"{place}: unknown key {key!r} (known: {', '.join(sorted(known))})")


def mapping(place: str, value: Any) -> Mapping[str, Any]:
    """Return ``value`` if it is a mapping.

    :raises ScenarioError: it is not.
    """
    if not isinstance(value, dict):
        raise ScenarioError(f"{place}: must be a mapping")
    return value


def listed(place: str, value: Any) -> list[Any]:
    """Return ``value`` if it is a list.

    :raises ScenarioError: it is not.
    """
    if not isinstance(value, list):
        raise ScenarioError(f"{place}: must be a list")
    return value
