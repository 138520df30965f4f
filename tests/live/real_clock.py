"""Real time, for tests that are written for the clock that tests drive: whoever waits really waits."""

from __future__ import annotations

import asyncio
import heapq
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.virtual_clock import VirtualClock, VirtualLoop, _Local, _Timer

SLICE = 0.02
"""Seconds after which somebody who sleeps looks whether something holds by now."""
LONGEST = 90.0
"""Seconds that a test may let pass at a time: one that needs more is for the emulator."""


class RealClock(VirtualClock):
    """
    The machine's clock, with what tests do besides: act later, or once something holds.

    What is due is done in a thread of its own, so that it is done in time whatever the others wait for; what waits for a condition is
    done by the main thread, as on the virtual clock.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        super().__init__(time.time())
        self.local = _RealLocal(self)
        self._changed = threading.Event()
        self._over = False
        self.broken: list[BaseException] = []
        """What went wrong in that thread."""

    @property
    def _passed(self) -> float:
        return time.monotonic() - self._began

    @_passed.setter
    def _passed(self, seconds: float) -> None:
        """Time can't be moved."""

    def set(self, now: float) -> float:
        raise AssertionError("only the virtual clock can be put on or back")

    def jump(self, seconds: float) -> None:
        raise AssertionError("only the virtual clock can jump")

    def suspend(self, seconds: float) -> None:
        raise AssertionError("only the virtual clock can be suspended")

    def later(self, seconds: float, act: Callable[[], object]) -> _Timer:
        timer = super().later(seconds, act)
        self._changed.set()
        return timer

    def idle(self) -> bool:
        """Nobody moves this clock on."""
        self.loop_was_idle += 1
        return self._look()

    def _pass(self, seconds: float) -> None:
        assert seconds <= LONGEST, f"a test that lets {seconds:g} s pass is for the emulator"
        until = time.monotonic() + seconds
        while True:
            self._look()
            left = until - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, SLICE))

    @contextmanager
    def running(self) -> Iterator[RealClock]:
        """Do what is due, within a ``with`` block."""
        thread = threading.Thread(target=self._keep_time, name="real clock", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._over = True
            self._changed.set()
            thread.join(LONGEST)
        if self.broken:
            raise self.broken[0]

    def _keep_time(self) -> None:
        while not self._over:
            self._changed.clear()
            with self._mutex:
                timer = self._next_due()
                pause = self._timers[0].at - self.local.monotonic() if self._timers and timer is None else None
            if timer is None:
                self._changed.wait(pause)
                continue
            try:
                timer.act()
            except BaseException as error:
                self.broken.append(error)

    def _next_due(self) -> _Timer | None:
        while self._timers and (self._timers[0].over or self._timers[0].at <= self.local.monotonic()):
            timer = heapq.heappop(self._timers)
            if not timer.over:
                return timer
        return None


class _RealLocal(_Local):
    """The same clock as the package asks it."""

    async def asleep(self, seconds: float) -> None:
        if isinstance(asyncio.get_running_loop(), VirtualLoop):
            await super().asleep(seconds)
        else:  # the proxy's
            await asyncio.sleep(seconds)

    def run_thread(self, thread: threading.Thread, seconds: float) -> bool:
        thread.start()
        thread.join(seconds)
        return not thread.is_alive()
