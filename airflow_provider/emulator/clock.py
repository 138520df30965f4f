"""The clock of an emulator: the machine's, or one that a test controls."""

from __future__ import annotations

import threading
from typing import Protocol

from airflow_provider import _clock


class Clock(Protocol):
    """Tells the time to every part of an emulator."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        ...


class RealClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return seconds since the epoch."""
        return _clock.now()


class ManualClock:
    """A clock that moves only when told to; safe to use from several threads.

    :param start: seconds since the epoch; default: 2026-01-01T00:00:00Z.
    """

    def __init__(self, start: float = 1_767_225_600.0) -> None:
        self._now = float(start)
        self._lock = threading.Lock()

    def now(self) -> float:
        """Return seconds since the epoch."""
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> float:
        """Move forward by ``seconds`` and return the new time.

        :raises ValueError: ``seconds`` is negative.
        """
        if seconds < 0:
            raise ValueError("advance() only moves the clock forward: use set() to move it back")
        with self._lock:
            self._now += seconds
            return self._now

    def set(self, now: float) -> float:
        """Set the clock to ``now``, seconds since the epoch, and return it."""
        with self._lock:
            self._now = float(now)
            return self._now
