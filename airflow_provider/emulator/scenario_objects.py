"""Plain objects of a scenario file as the systems' dataclasses, checked; each error names the place."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from airflow_provider.emulator.system import ScenarioError

_T = TypeVar("_T")


def build(kind: type[_T], place: str, values: Mapping[str, Any]) -> _T:
    """Return a dataclass made of ``values``.

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
    """Refuse keys that are not ``known``."""
    for key in values:
        if key not in known:
            raise ScenarioError(f"{place}: unknown key {key!r} (known: {', '.join(sorted(known))})")


def mapping(place: str, value: Any) -> Mapping[str, Any]:
    """Refuse what is no mapping."""
    if not isinstance(value, dict):
        raise ScenarioError(f"{place}: must be a mapping")
    return value


def listed(place: str, value: Any) -> list[Any]:
    """Refuse what is no list."""
    if not isinstance(value, list):
        raise ScenarioError(f"{place}: must be a list")
    return value
