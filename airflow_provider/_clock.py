"""
The only module that knows time: all others ask here what time it is, sleep here and set deadlines here.

``now`` is for moments that other processes or servers see; the machine's clock may jump, so that a duration within a process is a
difference of two ``monotonic``. What stands behind is the machine's clock, or one that tests drive (:func:`use`).
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timezone
from typing import Protocol


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Call nothing."""


class Clock(Protocol):
    """What tells the time. The functions of this module say what each method does."""

    def now(self) -> float: ...
    def monotonic(self) -> float: ...
    def sleep(self, seconds: float, /) -> None: ...
    def asleep(self, seconds: float, /) -> Awaitable[None]: ...
    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer: ...
    def run_thread(self, thread: threading.Thread, seconds: float) -> bool: ...
    def under_way(self) -> AbstractContextManager[None]: ...


class MachineClock:
    """The machine's clock."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)
    asleep: Callable[[float], Awaitable[None]] = staticmethod(asyncio.sleep)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback)

    def run_thread(self, thread: threading.Thread, seconds: float) -> bool:
        thread.start()
        thread.join(seconds)
        return not thread.is_alive()

    def under_way(self) -> AbstractContextManager[None]:
        return nullcontext()


_clock: Clock = MachineClock()


def now() -> float:
    """Seconds since the epoch, by the machine's clock."""
    return _clock.now()


def utc_now() -> datetime:
    """The same as a date, in UTC."""
    return datetime.fromtimestamp(_clock.now(), timezone.utc)


def monotonic() -> float:
    """Seconds since some moment; only the difference of two means something. Never goes back, and does not count while suspended."""
    return _clock.monotonic()


def epoch() -> float:
    """
    What :func:`monotonic` has to be added to for seconds since the epoch.

    Read once and kept, it gives moments that may be compared with those of other processes, and that no jump of the machine's clock moves.
    """
    return _clock.now() - _clock.monotonic()


def sleep(seconds: float) -> None:
    """Block this thread for ``seconds``."""
    _clock.sleep(seconds)


def asleep(seconds: float) -> Awaitable[None]:
    """Sleep on the running event loop; 0 lets others run."""
    return _clock.asleep(seconds)  # the awaitable itself: thousands of waits hold one each


def call_later(seconds: float, callback: Callable[[], object]) -> Timer:
    """Call something on the running event loop, ``seconds`` from now."""
    return _clock.call_later(seconds, callback)


def run_thread(thread: threading.Thread, seconds: float) -> bool:
    """Start a thread, and wait for its end for at most ``seconds``; whether it has ended."""
    return _clock.run_thread(thread, seconds)


def under_way() -> AbstractContextManager[None]:
    """Mark what takes real time, such as a request: a clock that tests drive stands still meanwhile. Nothing on the machine's clock."""
    return _clock.under_way()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """
    Bound a block of async code.

    :raises TimeoutError: if it takes longer than ``seconds``.
    """
    import anyio  # asyncio.wait_for may lose a cancel before Python 3.12

    with anyio.CancelScope() as scope:
        timer: Timer | None = None
        if seconds <= 0:
            scope.cancel()
        elif seconds != float("inf"):
            timer = call_later(seconds, scope.cancel)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
    if scope.cancelled_caught:
        raise TimeoutError


@contextmanager
def use(clock: Clock) -> Iterator[None]:
    """Let another clock tell the time, for the length of a ``with`` block: for tests."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield
    finally:
        _clock = before
