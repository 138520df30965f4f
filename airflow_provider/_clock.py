"""
The only module that knows time: all others get the time, sleep and set deadlines here.

``now`` is for moments that other processes or servers see. The machine's clock may jump, so durations within a process are differences of
``monotonic``. Behind both is the machine's clock, or one that tests control (:func:`use`).
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
    """A scheduled call."""

    def cancel(self) -> None:
        """Cancel the call."""


class Clock(Protocol):
    """A source of time. The functions of this module document the methods."""

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


class FastClock:
    """
    Time that passes ``speed`` times as fast as that of another clock, from now on.

    Limits on sockets and waits for threads are real, so they are not shortened.

    :param base: the other clock.
    :param speed: how many seconds pass in each of its seconds.
    """

    def __init__(self, base: Clock, speed: float) -> None:
        self._base = base
        self._speed = speed
        self._began, self._began_monotonic = base.now(), base.monotonic()

    def _passed(self) -> float:
        return (self._base.monotonic() - self._began_monotonic) * self._speed

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._began + self._passed()

    def monotonic(self) -> float:
        """Return seconds since some moment."""
        return self._began_monotonic + self._passed()

    def sleep(self, seconds: float, /) -> None:
        """Block this thread."""
        self._base.sleep(seconds / self._speed)

    def asleep(self, seconds: float, /) -> Awaitable[None]:
        """Sleep on the running event loop."""
        return self._base.asleep(seconds / self._speed)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call a function on the running event loop later."""
        return self._base.call_later(seconds / self._speed, callback)

    def run_thread(self, thread: threading.Thread, seconds: float) -> bool:
        """Start a thread and wait for its end."""
        return self._base.run_thread(thread, seconds)

    def under_way(self) -> AbstractContextManager[None]:
        """Mark what takes real time."""
        return self._base.under_way()


_clock: Clock = MachineClock()


def now() -> float:
    """Seconds since the epoch, by the machine's clock."""
    return _clock.now()


def utc_now() -> datetime:
    """The same as a datetime in UTC."""
    return datetime.fromtimestamp(_clock.now(), timezone.utc)


def monotonic() -> float:
    """Seconds since some moment: only differences have a meaning. Never goes back, and stands still while the machine is suspended."""
    return _clock.monotonic()


def processor_time() -> float:
    """Seconds of processor time that this thread has used, for limits on work: a busy machine does not shorten them. No test moves it."""
    return time.thread_time()


def epoch() -> float:
    """
    The number that, added to :func:`monotonic`, gives seconds since the epoch.

    Read it once and keep it for moments that can be compared with other processes, and that do not follow jumps of the machine's clock.
    """
    return _clock.now() - _clock.monotonic()


def sleep(seconds: float) -> None:
    """Block this thread for ``seconds``."""
    _clock.sleep(seconds)


def asleep(seconds: float) -> Awaitable[None]:
    """Sleep on the running event loop, for ``seconds``; 0 lets other tasks run."""
    return _clock.asleep(seconds)  # the awaitable itself, to save memory: thousands of waits hold one each


def call_later(seconds: float, callback: Callable[[], object]) -> Timer:
    """Call a function on the running event loop, ``seconds`` from now."""
    return _clock.call_later(seconds, callback)


def run_thread(thread: threading.Thread, seconds: float) -> bool:
    """Start a thread, and wait at most ``seconds`` for its end. Returns whether it has ended."""
    return _clock.run_thread(thread, seconds)


def under_way() -> AbstractContextManager[None]:
    """Mark what takes real time, such as a request: a test clock stands still meanwhile. No effect on the machine's clock."""
    return _clock.under_way()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """
    Limit the duration of a block of async code.

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


def current() -> Clock:
    """Return the clock in use."""
    return _clock


@contextmanager
def use(clock: Clock) -> Iterator[None]:
    """Use another clock within a ``with`` block, for tests."""
    global _clock
    before, _clock = _clock, clock
    try:
        yield
    finally:
        _clock = before
