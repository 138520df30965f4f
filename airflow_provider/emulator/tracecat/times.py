"""Times in the vendor's formats."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def iso(seconds: float) -> str:
    """Return epoch seconds as ISO 8601 in UTC, ``Z`` at the end; a whole second has no fraction."""
    return plain(seconds) + "Z"


def plain(seconds: float) -> str:
    """Return epoch seconds as ISO 8601 in UTC without a zone."""
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None).isoformat()


def microseconds(seconds: float) -> int:
    """Return epoch seconds as epoch microseconds."""
    return round(seconds * 1_000_000)


def microseconds_of(moment: datetime) -> int:
    """Return a moment as epoch microseconds; without a zone it is in UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def exact(epoch_microseconds: int) -> str:
    """Return epoch microseconds as ISO 8601 in UTC without a zone."""
    return (_EPOCH + timedelta(microseconds=epoch_microseconds)).replace(tzinfo=None).isoformat()


def iso_or_none(seconds: float | None) -> str | None:
    """Return epoch seconds as ISO 8601; None for None."""
    return None if seconds is None else iso(seconds)


def duration(seconds: float | None) -> str | None:
    """Return seconds as an ISO duration; None for None."""
    return None if seconds is None else f"PT{seconds:g}S"
