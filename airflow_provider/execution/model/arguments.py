"""Checks of a task's arguments: a clear error before anything is started."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

from airflow_provider.errors import ArgumentError, ConfigurationError

MAX_COUNT = 1_000_000_000
"""Maximum of a number of things: more than any memory holds."""
MAX_SECONDS = 10 * 365 * 24 * 3600
"""Maximum of a duration: far longer than any wait."""
MAX_JSON_DEPTH = 100
"""Maximum number of dicts and lists within each other: far more than anybody writes, fewer than JSON parsers take."""
NO_LISTS = (str, bytes, bytearray, memoryview)
"""Sequences that are no lists."""
MAX_INTEGER_BITS = 8_192
"""Maximum size of an integer: Python refuses to write much longer ones as text."""


def seconds(value: timedelta | float, name: str) -> float:
    """
    A duration in seconds.

    :param value: timedelta, or seconds.
    :param name: of the argument, for the message.
    :raises ArgumentError: if it is not a duration above 0 and up to ``MAX_SECONDS``.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number < float("inf"):
        raise ArgumentError(f"{name} must be a timedelta or a number of seconds above 0, not {value!r}")
    check_bound(number, name)
    return float(number)


def check_bound(number: float, name: str) -> None:
    """
    Check that a duration is not too long: dates end in the year 9999.

    :param number: seconds.
    :param name: of the argument, for the message.
    :raises ArgumentError: if it is longer than ``MAX_SECONDS``.
    """
    if number > MAX_SECONDS:
        raise ArgumentError(f"{name} must not be longer than 10 years ({MAX_SECONDS} seconds)")


def flag(value: bool, name: str) -> bool:
    """
    A yes or no.

    :param name: of the argument, for the message.
    :raises ArgumentError: for anything but True and False: the text ``"false"`` would count as true.
    """
    if value is True or value is False:
        return value
    raise ArgumentError(
        f"{name} must be True or False, not {value!r:.200}. It is not templated: text, a template or the output of another task would "
        "count as true"
    )


def count(value: int, name: str) -> int:
    """
    A number of things.

    :param name: of the argument, for the message.
    :raises ArgumentError: if it is not a whole number from 0 to ``MAX_COUNT``.
    """
    if type(value) is not int or not 0 <= value <= MAX_COUNT:
        raise ArgumentError(f"{name} must be a whole number from 0 to {MAX_COUNT}, not {value!r}")
    return value


def texts(value: Collection[str] | str | None, name: str) -> list[str]:
    """
    Texts, such as names.

    :param value: them, or one; None counts as none.
    :param name: of the argument, for the message.
    :raises ArgumentError: if it is anything else.
    """
    if value is None or isinstance(value, str):
        return [] if value is None else [value]
    if isinstance(value, (bytes, Mapping)) or not isinstance(value, Collection) or not all(isinstance(item, str) for item in value):
        raise ArgumentError(f"{name} must be a list of texts, not {value!r:.200}")
    return list(value)


def one_of(value: str, choices: Sequence[str], name: str) -> None:
    """
    Check that an argument is one of several choices.

    :param name: of the argument, for the message.
    :raises ArgumentError: if it is not.
    """
    if value not in choices:
        raise ArgumentError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")


def moment(value: date | str | None, name: str) -> datetime | None:
    """
    A moment in UTC. Without a time zone it counts as UTC; a date is its midnight.

    :param value: datetime, date, or ISO 8601 text. None and an empty text, which a template may render to, give None.
    :param name: of the argument, for the message.
    :raises ConfigurationError: if it is not a moment.
    """
    if value is None or value == "":
        return None
    from airflow_provider.execution.model.result import utc

    if isinstance(value, datetime):
        return utc(value)
    if isinstance(value, date):
        value = value.isoformat()
    from airflow.sdk import timezone

    try:
        parsed = timezone.parse(value, timezone="UTC", strict=True)
        if not isinstance(parsed, datetime) or not str(value).isascii() or not str(value)[:4].isdecimal():
            raise ValueError  # a duration, an interval or a time of day
    except (TypeError, ValueError):
        raise ConfigurationError(f"{name} must be a moment such as 2026-11-18T12:38:16Z, not {value!r}.") from None
    return utc(parsed)


def plain_text(value: object, name: str) -> None:
    """
    Check a text argument of something that renders no templates.

    :param name: of the argument, for the message.
    :raises ArgumentError: if it is a template, an empty text, or of another type than text, a whole number or None.
    """
    if value is None or type(value) is int:
        return
    problem = None
    if not isinstance(value, str):
        problem = f"must be text, not {type(value).__name__}: a number, such as 1.10, does not keep how it was written"
    elif not value.strip():
        problem = "is an empty text: give it a value, or leave it out"
    elif "{{" in value or "{%" in value:
        problem = f"is {value[:200]!r}: no template is rendered here, since there is no DAG run yet"
    elif not is_unicode(value):
        problem = "contains half a surrogate pair, which can't be sent"
    if problem:
        raise ArgumentError(f"{name} {problem}")


def is_unicode(text: str) -> bool:
    """Whether a text can be sent: half a surrogate pair can't."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def plain_json(value: object, name: str) -> Any:
    """
    A value as plain JSON. A datetime or date becomes ISO 8601 text, a UUID its text; an enum member counts as its value. Any sequence
    becomes a list, such as the results of a mapped task, which Airflow reads one by one.

    :param name: of the argument, for the message.
    :raises ConfigurationError: for anything else that JSON has no form for. It names the place.
    """
    return _plain_json(value, name, 0)


def json_object(value: object, name: str) -> dict[str, Any]:
    """
    A dict as plain JSON. Only None counts as not given, and gives an empty dict.

    :param name: of the argument, for the message.
    :raises ConfigurationError: for anything else, also for an empty list, 0 or False, and for what JSON has no form for.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        advice = "A template renders to text, unless the DAG or the task has render_template_as_native_obj=True."
        shown = f" {value!r}" if not value else ""
        raise ConfigurationError(f"{name} must be a dict, not {type(value).__name__}{shown}. {advice}")
    return dict(plain_json(value, name))


def scalar_text(value: object) -> str | None:
    """A text, a number or a yes or no as text, such as ``true``; None for anything else."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (str, int, float)) else None


def as_sent(value: object) -> Any:
    """A single value as it is sent; others, such as dicts, unchanged. What can't be sent is left to :func:`plain_json`."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, date):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _plain_json(value: object, path: str, depth: int) -> Any:
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (Mapping, Sequence)) and not isinstance(value, NO_LISTS):
        if depth >= MAX_JSON_DEPTH:
            raise ConfigurationError(f"{path[:200]} is nested deeper than {MAX_JSON_DEPTH} levels, or contains itself.")
        if not isinstance(value, Mapping):
            return [_plain_json(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value)]
        for key in value:
            if not isinstance(key, str) or not is_unicode(key):
                raise ConfigurationError(f"{path} has the key {key!r} ({type(key).__name__}): keys must be texts that can be sent as JSON.")
        return {str.__str__(key): _plain_json(item, f"{path}[{key!r}]", depth + 1) for key, item in value.items()}
    return _plain_scalar(value, path)


def _plain_scalar(value: object, path: str) -> Any:
    if isinstance(value, str):
        if not is_unicode(value):
            raise ConfigurationError(f"{path} contains half a surrogate pair, which can't be sent. Remove or replace it.")
        return str.__str__(value)
    if isinstance(value, int):
        if value.bit_length() > MAX_INTEGER_BITS:
            raise ConfigurationError(f"{path} is an integer of {value.bit_length()} bits, which is too long to be sent.")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ConfigurationError(f"{path} is {value!r}: JSON has no such number.")
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise ConfigurationError(f"{path} is of type {type(value).__name__}, which JSON has no form for. Turn it into text or plain values.")


def shown_ref(ref: object) -> str:
    """The argument ``ref``, for a message."""
    return f"ref={None if ref is None else str(ref)[:200]!r}"
