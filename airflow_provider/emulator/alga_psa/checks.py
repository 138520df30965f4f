"""Validation of request data with the error messages of zod 3, the library that the vendor uses.

A check reads a value and returns it with defaults added and unknown keys removed; errors are added to a list of issues.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

Issues = list[dict[str, Any]]
Path = tuple["str | int", ...]

MISSING: Any = object()
"""The value of a key that is not there."""

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_FORMS = {
    "uuid": _UUID,
    "datetime": re.compile(r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?Z"),
    "email": re.compile(r"(?<![\w'+.-])[\w'+.-]*[\w+-]@([A-Za-z0-9][A-Za-z0-9-]*\.)+[A-Za-z]{2,}"),
    "url": re.compile(r"(?<![A-Za-z0-9+.-])[A-Za-z][A-Za-z0-9+.-]*:\S+"),
}
_FATAL = {"invalid_type", "invalid_enum_value", "invalid_union"}


def is_uuid(text: str) -> bool:
    """Return whether ``text`` has the form of an id."""
    return _UUID.fullmatch(text) is not None


class Check(Protocol):
    """Validates one value."""

    def read(self, value: Any, path: Path, issues: Issues) -> Any:
        """Return the validated ``value``; add what is wrong with it to ``issues``."""
        ...


@dataclass(frozen=True)
class Text:
    """A string, optionally of a length or a format: ``uuid``, ``datetime``, ``email``, ``url``."""

    least: int | None = None
    most: int | None = None
    form: str | None = None

    def read(self, value: Any, path: Path, issues: Issues) -> Any:
        """Return the string."""
        if not isinstance(value, str):
            return _wrong_type("string", value, path, issues)
        _check_size("string", len(value), self.least, self.most, path, issues)
        if self.form and not _has_form(value, self.form):
            issues.append({"validation": self.form, "code": "invalid_string", "message": f"Invalid {self.form}", "path": list(path)})
        return value


@dataclass(frozen=True)
class Number:
    """A number within limits."""

    least: float | None = None
    most: float | None = None

    def read(self, value: Any, path: Path, issues: Issues) -> Any:
        """Return the number."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value):
            return _wrong_type("number", value, path, issues)
        _check_size("number", value, self.least, self.most, path, issues)
        return value


@dataclass(frozen=True)
class ParsedNumber:
    """A number of a query, parsed from the leading digits."""

    least: float
    most: float | None = None

    def read(self, value: Any, path: Path, issues: Issues) -> Any:
        """Return the number."""
        match = re.match(r"\s*([+-]?\d+)", value)
        return Number(self.least, self.most).read(int(match[1]) if match else math.nan, path, issues)


@dataclass(frozen=True)
class Flag:
    """true or false."""

    def read(self, value: Any, path: Path, issues: Issues) -> Any:
        """Return it."""
        return value if isinstance(value, bool) else _wrong_type("boolean", value, path, issues)


@dataclass(frozen=True)
class ParsedFlag:
    """A flag of a query; unless ``strict``, every value other than ``true`` is false."""

    strict: bool = True

    def read(self, value: Any, path: Path, issues: Issues) -> Any:
        """Return it."""
        if self.strict and value not in ("true", "false"):
            issues.append({"code": "custom", "message": "Invalid boolean value", "path": list(path)})
        return value == "true"


@dataclass(frozen=True)
class OneOf:
    """One of several strings."""

    options: Sequence[str]

    def read(self, value: Any, path: Path, issues: Issues) -> Any:
        """Return it."""
        expected = " | ".join(f"'{option}'" for option in self.options)
        if not isinstance(value, str):
            return _wrong_type(expected, value, path, issues)
        if value not in self.options:
            message = f"Invalid enum value. Expected {expected}, received '{value}'"
            issue = {"received": value, "code": "invalid_enum_value", "options": list(self.options), "path": list(path), "message": message}
            issues.append(issue)
        return value


@dataclass(frozen=True)
class Anything:
    """Any value."""

    def read(self, value: Any, path: Path, issues: Issues) -> Any:
        """Return it."""
        return value


@dataclass(frozen=True)
class Listed:
    """An array."""

    item: Check
    least: int | None = None
    most: int | None = None

    def read(self, value: Any, path: Path, issues: Issues) -> Any:
        """Return its validated items."""
        if not isinstance(value, list):
            return _wrong_type("array", value, path, issues)
        _check_size("array", len(value), self.least, self.most, path, issues)
        return [self.item.read(item, (*path, number), issues) for number, item in enumerate(value)]


@dataclass(frozen=True)
class Named:
    """An object with any keys."""

    value: Check

    def read(self, value: Any, path: Path, issues: Issues) -> Any:
        """Return its validated values."""
        if not isinstance(value, dict):
            return _wrong_type("object", value, path, issues)
        return {key: self.value.read(item, (*path, key), issues) for key, item in value.items()}


@dataclass(frozen=True)
class Maybe:
    """A key that may be missing; ``default`` is its value then."""

    check: Check
    default: Any = MISSING

    def read(self, value: Any, path: Path, issues: Issues) -> Any:
        """Return the value or the default."""
        return self.default if value is MISSING else self.check.read(value, path, issues)


@dataclass(frozen=True)
class Fields:
    """An object with known keys; others are removed."""

    checks: Mapping[str, Check]

    def read(self, value: Any, path: Path, issues: Issues) -> Any:
        """Return the known keys that have a value."""
        if not isinstance(value, dict):
            return _wrong_type("object", value, path, issues)
        fields = {name: check.read(value.get(name, MISSING), (*path, name), issues) for name, check in self.checks.items()}
        return {name: item for name, item in fields.items() if item is not MISSING}

    def optional(self) -> Fields:
        """Return a copy with all keys optional and without defaults."""
        return Fields({name: Maybe(check.check if isinstance(check, Maybe) else check) for name, check in self.checks.items()})


@dataclass(frozen=True)
class FirstOf:
    """One of several shapes: the first that matches."""

    shapes: Sequence[Check]

    def read(self, value: Any, path: Path, issues: Issues) -> Any:
        """Return the value as validated by the first shape that matches."""
        tried: list[Issues] = []
        for shape in self.shapes:
            tried.append([])
            read = shape.read(value, path, tried[-1])
            if not tried[-1]:
                return read
        for its_issues in tried:
            # If the shape is right and a value is wrong, zod reports only the errors of that shape.
            if not any(issue["code"] in _FATAL for issue in its_issues):
                issues.extend(its_issues)
                return value
        unions = [{"issues": its_issues, "name": "ZodError"} for its_issues in tried]
        issues.append({"code": "invalid_union", "unionErrors": unions, "path": list(path), "message": "Invalid input"})
        return value


def _has_form(text: str, form: str) -> bool:
    if not _FORMS[form].fullmatch(text):
        return False
    if form == "datetime":
        try:
            datetime.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")  # noqa: DTZ007 - only whether there is such a day
        except ValueError:
            return False
    return True


def _wrong_type(expected: str, value: Any, path: Path, issues: Issues) -> Any:
    received = _type_of(value)
    message = "Required" if value is MISSING else f"Expected {expected}, received {received}"
    issues.append({"code": "invalid_type", "expected": expected, "received": received, "path": list(path), "message": message})
    return value


def _type_of(value: Any) -> str:
    if value is MISSING:
        return "undefined"
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        return "nan" if math.isnan(value) else "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


_SIZES = {
    "string": "String must contain {} {} character(s)",
    "array": "Array must contain {} {} element(s)",
    "number": "Number must be {} than or equal to {}",
}


def _check_size(kind: str, size: float, least: float | None, most: float | None, path: Path, issues: Issues) -> None:
    shared = {"type": kind, "inclusive": True, "exact": False, "path": list(path)}
    low, high = ("greater", "less") if kind == "number" else ("at least", "at most")
    if least is not None and size < least:
        issues.append({"code": "too_small", "minimum": least, "message": _SIZES[kind].format(low, least), **shared})
    if most is not None and size > most:
        issues.append({"code": "too_big", "maximum": most, "message": _SIZES[kind].format(high, most), **shared})
