"""Checks of a task's arguments: a clear error before anything is started."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from airflow_provider.errors import ConfigurationError


def seconds(value: timedelta | float, name: str) -> float:
    """
    A duration in seconds.

    :param value: timedelta, or seconds.
    :param name: of the argument, for the message.
    :raises ValueError: if it is not a duration above 0.
    """
    number = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 < number < float("inf"):
        raise ValueError(f"{name} must be a timedelta or a number of seconds above 0, not {value!r}")
    return float(number)


def one_of(value: str, choices: Sequence[str], name: str) -> None:
    """
    Check that an argument is one of several choices.

    :param name: of the argument, for the message.
    :raises ValueError: if it is not.
    """
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")


def moment(value: datetime | str | None, name: str) -> datetime | None:
    """
    A moment in UTC. Without a time zone it counts as UTC.

    :param value: datetime, or ISO 8601 text. None and an empty text, which a template may render to, give None.
    :param name: of the argument, for the message.
    :raises ConfigurationError: if it is not a moment.
    """
    if value is None or value == "":
        return None
    from airflow.sdk import timezone

    from airflow_provider.execution.model.result import utc

    try:
        parsed = value if isinstance(value, datetime) else timezone.parse(value, timezone="UTC", strict=True)
        if not isinstance(parsed, datetime) or not (parsed is value or str(value)[:4].isdecimal()):
            raise ValueError  # a duration, an interval or a time of day
    except (TypeError, ValueError):
        raise ConfigurationError(f"{name} must be a moment such as 2026-11-18T12:38:16Z, not {value!r}.") from None
    return utc(parsed)
