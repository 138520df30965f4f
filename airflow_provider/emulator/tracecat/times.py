"""Times in the vendor's formats."""

from __future__ import annotations

from datetime import datetime, timezone


def iso(seconds: float) -> str:
    """Return epoch seconds as ISO 8601 in UTC, ``Z`` at the end; a whole second has no fraction."""
    return plain(seconds) + "Z"


def plain(seconds: float) -> str:
    """Return epoch seconds as ISO 8601 in UTC without a zone."""
    return datetime.fromtimestamp(seconds, timezone.utc).replace(tzinfo=None).isoformat()


def iso_or_none(seconds: float | None) -> str | None:
    """Return epoch seconds as ISO 8601; None for None."""
    return None if seconds is None else iso(seconds)


def duration(seconds: float | None) -> str | None:
    """Return seconds as an ISO duration; None for None."""
    return None if seconds is None else f"PT{seconds:g}S"
