"""The rate limit that all requests of one sender share."""

from __future__ import annotations

import email.utils
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timezone

from airflow_provider import _clock

MAX_WAIT = 60.0
"""Seconds that one request waits at most for a rate limit or between attempts; a longer wait is the caller's to decide."""
MAX_HINT = 3_600.0
"""Seconds: a longer ``Retry-After`` is taken as this."""
FIRST_PAUSE = 1.0
"""Seconds that a connection pauses after a 429 that says nothing; twice as long after each further one in a row."""
SCARCE = 0.25
"""The part of a rate limit from which on requests are spread."""


def retry_after_seconds(value: str | None) -> float | None:
    """Read a ``Retry-After`` header: seconds, or an HTTP date."""
    if not value:
        return None
    try:
        wait = float(value)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(value)
        except (TypeError, ValueError, OverflowError):
            return None
        wait = moment.replace(tzinfo=moment.tzinfo or timezone.utc).timestamp() - _clock.now()
    return min(max(wait, 0.0), MAX_HINT) if wait == wait else None  # not a number


def seconds_until_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until ``X-Rate-Limit-Reset`` (epoch seconds), if there is one that makes sense."""
    try:
        wait = float(headers.get("x-rate-limit-reset", "")) - _clock.now()
    except ValueError:
        return None
    return min(max(wait, 0.0), MAX_HINT) if wait == wait else None


class RateLimit:
    """
    The rate limit that all requests of one sender share, as far as the answers tell of it.

    A refusal pauses all of them. Before it comes to that, they are spread over the time that is left, once little is left of the limit.
    """

    def __init__(self) -> None:
        self._paused_until = self._empty_until = self._free_at = 0.0
        self._refusals = 0
        self._most = 0
        self._spacing = 0.0
        self._under_way = 0
        self._window, self._told, self._left, self._resets_at = "", 0, 0, 0.0

    def note(self, status: int, headers: Mapping[str, str]) -> float | None:
        """Take in what an answer tells; give for how many seconds nobody should come again, if it is a refusal."""
        now, remaining, until = _clock.monotonic(), headers.get("x-rate-limit-remaining", "").strip(), seconds_until_reset(headers)
        pause = self._pause(now, retry_after_seconds(headers.get("retry-after")), until) if status == 429 else None
        if pause:
            self._paused_until = max(self._paused_until, now + pause)
        elif remaining.isdecimal():
            left, window = int(remaining), headers.get("x-rate-limit-reset", "")
            if window and window == self._window:
                left = min(left, self._told)  # answers may overtake each other
            self._window, self._told, self._resets_at = window, left, now + min(until or 0.0, MAX_WAIT)
            self._left = left - max(self._under_way - 1, 0)  # those under way may not be counted yet
            self._most = max(self._most, left)
            scarce = until is not None and 0 < left < SCARCE * self._most
            self._spacing = until / left if until is not None and scarce else 0.0
            self._empty_until = 0.0 if left else self._resets_at  # no more than a hint, some make no sense
            if not scarce:
                self._free_at = 0.0
        if status != 429 and now >= self._paused_until:
            self._refusals = 0
        return pause

    def _pause(self, now: float, hint: float | None, until: float | None) -> float:
        """As the refusal says. If it says nothing: longer each time; those refused together, that is within a pause, count as one."""
        if hint is not None or until is not None:
            return hint if hint is not None else until or 0.0
        if now < self._paused_until:
            return self._paused_until - now
        self._refusals += 1
        return min(FIRST_PAUSE * 2.0 ** min(self._refusals - 1, 10), MAX_WAIT)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Count a request as under way, from when it has taken its part of the limit: no answer counts it yet."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    def refused(self) -> float:
        """Seconds until nobody has to wait any longer. A late answer to a request from before a refusal does not end the pause."""
        return max(max(self._paused_until, self._empty_until) - _clock.monotonic(), 0.0)

    def take(self) -> float:
        """Seconds until a request is welcome. If that is no longer than :data:`MAX_WAIT`, the moment is taken."""
        now = _clock.monotonic()
        moment = max(now + self.refused(), self._free_at, self._resets_at if self._left < 1 else 0.0)
        if moment - now <= MAX_WAIT:
            self._left -= 1  # it is under way, and in no answer yet
            self._free_at = moment + self._spacing if self._spacing else self._free_at
        return moment - now
