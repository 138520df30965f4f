"""
A clock that tests drive, behind everything in the package that asks for the time, and behind the emulator.

Whoever sleeps moves it on and returns at once. Of several waits on one event loop the earliest is woken, but only while nothing else can
run and nothing is under way: no request, none in the emulator, no thread's work (as Trio's autojump clock does). Limits on real sockets
stay real.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import selectors
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest
from typing_extensions import TypeVarTuple, Unpack

from airflow_provider import _clock
from airflow_provider.emulator import ManualClock

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

POLL = 0.005
"""Real seconds after which a loop looks again whether what was under way elsewhere has ended."""
LEAST = 1e-6
"""Seconds of the shortest sleep: less may be lost in rounding, and a loop that sleeps until a moment would never end."""
LOST = 60.0
"""Real seconds after which a thread that is waited for counts as stuck."""


@dataclass(order=True)
class _Timer:
    """A call that is due at a moment of the clock."""

    at: float
    number: int
    act: Callable[[], object] = field(compare=False)
    over: bool = field(default=False, compare=False)

    def cancel(self) -> None:
        self.over = True


@dataclass
class _Watched:
    """Something to do once a condition holds."""

    holds: Callable[[], Any]
    act: Callable[[], object]


class VirtualClock(ManualClock):
    """
    The emulator's clock is this one; ``_clock.use(clock.local)`` puts the package on it as well.

    :param start: seconds since the epoch; default: 2026-01-01T00:00:00Z.
    """

    def __init__(self, start: float = 1_767_225_600.0) -> None:
        super().__init__(start)
        self.local = _Local(self)
        """What the package asks."""
        self.pauses: list[float] = []
        """Seconds of each sleep so far."""
        self.loop_was_idle = 0
        self._start = start
        self._passed = 0.0
        self._remote_ahead = self._local_ahead = self._suspended = 0.0
        self._timers: list[_Timer] = []
        self._numbers = itertools.count()
        self._watched: list[_Watched] = []
        self._under_way = 0
        self._mutex = threading.RLock()

    # The emulator's side

    def now(self) -> float:
        """Return seconds since the epoch, as the remote systems tell them."""
        return self._start + self._passed + self._remote_ahead

    def advance(self, seconds: float) -> float:
        """Let time pass, here and there. Everything that was due by then is done on the way."""
        if seconds < 0:
            raise ValueError("a clock only moves forward: use set() to place it in the past")
        self._pass(seconds)
        return self.now()

    def set(self, now: float) -> float:
        """Put the remote systems' clock on or back; ours is not concerned."""
        self._remote_ahead += now - self.now()
        return now

    # Ours

    def jump(self, seconds: float) -> None:
        """Put the clock of this machine on or back; the remote systems' is not concerned."""
        self._local_ahead += seconds

    def suspend(self, seconds: float) -> None:
        """Let this machine sleep: time passes, but its monotonic clock stands still, and so does every wait here."""
        self._passed += seconds
        self._suspended += seconds

    # What tests do with it

    @property
    def passed(self) -> float:
        """Seconds that have passed since the beginning."""
        return self._passed

    def later(self, seconds: float, act: Callable[[], object]) -> _Timer:
        """Do something ``seconds`` from now, in the thread that moves the clock."""
        with self._mutex:
            timer = _Timer(self.local.monotonic() + seconds, next(self._numbers), act)
            heapq.heappush(self._timers, timer)
            return timer

    def when(self, holds: Callable[[], Any], act: Callable[[], object]) -> _Watched:
        """Do something as soon as ``holds``: looked at whenever somebody sleeps, and behind each request."""
        watched = _Watched(holds, act)
        self._watched.append(watched)
        return watched

    def forget(self, watched: _Watched) -> None:
        """Do nothing then."""
        with suppress(ValueError):
            self._watched.remove(watched)

    async def until(self, holds: Callable[[], Any]) -> None:
        """Wait on the event loop until something holds; time passes meanwhile as others sleep."""
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watched = self.when(holds, lambda: _wake(reached))
        try:
            await reached
        finally:
            self.forget(watched)

    def run(self, work: Coroutine[Any, Any, T], *, to_the_end: bool = False) -> T:
        """
        ``asyncio.run`` on this clock.

        :param to_the_end: whether no task may be left behind.
        """
        loop = VirtualLoop(self)
        asyncio.set_event_loop(loop)
        try:
            result = loop.run_until_complete(work)
            if to_the_end:
                loop.run_until_complete(asyncio.sleep(0))  # what was cancelled just now may end
                assert not asyncio.all_tasks(loop), "a task is left behind"
            return result
        finally:
            try:
                left = asyncio.all_tasks(loop)
                for task in left:
                    task.cancel()
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
                loop.run_until_complete(loop.shutdown_asyncgens())
                loop.run_until_complete(loop.shutdown_default_executor())
            finally:
                asyncio.set_event_loop(None)
                loop.close()

    # How it moves

    def _pass(self, seconds: float) -> None:
        self._look()
        main = threading.current_thread() is threading.main_thread()
        with nullcontext() if main else self._mutex:  # what is due later by another thread's sleep is due after that sleep
            target = self.local.monotonic() + (max(seconds, LEAST) if seconds else 0.0)
            while (timer := self._next(target)) is not None:
                timer.act()
        self._look()

    def _next(self, until: float) -> _Timer | None:
        """Move on to the next timer that is due, else to ``until``."""
        with self._mutex:
            while self._timers and self._timers[0].at <= until:
                timer = heapq.heappop(self._timers)
                if not timer.over:
                    self._move(timer.at)
                    return timer
            self._move(until)
            return None

    def _move(self, moment: float) -> None:
        self._passed += max(moment - self.local.monotonic(), 0.0)

    def _look(self) -> bool:
        """Do what was to be done once something holds; only by the main thread, as the others only help it."""
        if threading.current_thread() is not threading.main_thread():
            return False
        for watched in list(self._watched):
            if watched.holds():
                self.forget(watched)
                watched.act()
                return True
        return False

    @contextmanager
    def _counted(self) -> Iterator[None]:
        with self._mutex:
            self._under_way += 1
        try:
            yield
        finally:
            self._ended()

    def _ended(self) -> None:
        with self._mutex:
            self._under_way -= 1
        self._look()

    def idle(self) -> bool:
        """Move on to what is due next, since nothing can run now; False if something is under way, or nothing is ever due."""
        self.loop_was_idle += 1
        if self._look():
            return True
        due: list[_Timer] = []
        with self._mutex:
            while not self._under_way and self._timers:
                if self._timers[0].over:
                    heapq.heappop(self._timers)
                elif not due or self._timers[0].at == due[0].at:
                    due.append(heapq.heappop(self._timers))
                else:
                    break
            if due:
                self._move(due[0].at)
        for timer in due:
            timer.act()
        return bool(due)


class _Local:
    """The clock as the package asks it."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock

    def now(self) -> float:
        clock = self._clock
        return clock._start + clock._passed + clock._local_ahead

    def monotonic(self) -> float:
        return 1_000.0 + self._clock._passed - self._clock._suspended

    def sleep(self, seconds: float) -> None:
        assert seconds >= 0  # as time.sleep demands; also not "not a number"
        self._clock.pauses.append(seconds)
        self._clock._pass(seconds)

    async def asleep(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        self._clock.pauses.append(seconds)
        if not isinstance(loop, VirtualLoop):  # the emulator's: its client waits for it
            self._clock._pass(seconds)
            await asyncio.sleep(0)
            return
        woken: asyncio.Future[None] = loop.create_future()
        timer = self._later(seconds, lambda: _wake(woken))
        try:
            await woken
        finally:
            timer.cancel()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> _Timer:
        return self._later(seconds, callback)

    def _later(self, seconds: float, callback: Callable[[], object]) -> _Timer:
        loop, thread = asyncio.get_running_loop(), threading.get_ident()

        def act() -> None:
            if not timer.over:
                callback()

        def fire() -> None:
            with suppress(RuntimeError):  # the loop has ended
                (loop.call_soon if threading.get_ident() == thread else loop.call_soon_threadsafe)(act)

        timer = self._clock.later(seconds, fire)
        return timer

    def run_thread(self, thread: threading.Thread, seconds: float) -> bool:
        over = threading.Event()
        timer = self._clock.later(seconds, over.set)
        thread.start()
        lost = time.monotonic() + LOST
        while thread.is_alive() and not over.is_set():
            thread.join(POLL)
            assert time.monotonic() < lost, f"{thread} is stuck, and no time passes"
        timer.cancel()
        return not over.is_set()

    def under_way(self) -> AbstractContextManager[None]:
        return self._clock._counted()


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


class _Selector(selectors.DefaultSelector):
    clock: VirtualClock

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if self.clock.idle():
            return super().select(0)
        return super().select(POLL if timeout is None else min(timeout, POLL))


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop that tells the clock when it has nothing to do. Its own timers, such as limits on sockets, are real."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        selector = _Selector()
        selector.clock = clock
        super().__init__(selector)

    def run_in_executor(self, executor: Executor | None, func: Callable[[Unpack[Ts]], T], *args: Unpack[Ts]) -> asyncio.Future[T]:
        with self.clock._mutex:
            self.clock._under_way += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(lambda _: self.clock._ended())
        return future


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run async code on the clock in use, to its end."""
    clock = _clock._clock
    return clock._clock.run(work) if isinstance(clock, _Local) else asyncio.run(work)


@contextmanager
def in_use(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualClock]:
    """Put the package on the clock, and what of Airflow measures time for it: a sensor's pokes, ``execution_timeout``."""
    if sensor := sys.modules.get("airflow.sdk.bases.sensor"):
        monkeypatch.setattr(sensor, "time", SimpleNamespace(sleep=_clock.sleep, monotonic=_clock.monotonic))
        monkeypatch.setattr(sensor, "timezone", SimpleNamespace(utcnow=_clock.utc_now))
    if limits := sys.modules.get("airflow.sdk.execution_time.timeout"):
        monkeypatch.setattr(limits.TimeoutPosix, "__enter__", lambda self: _limit(self, clock))
        monkeypatch.setattr(limits.TimeoutPosix, "__exit__", lambda self, *_: self.ended())
    with _clock.use(clock.local):
        yield clock


def _limit(timeout: Any, clock: VirtualClock) -> Any:
    """Airflow's ``execution_timeout``: an alarm, as far as the task is concerned."""
    before = signal.signal(signal.SIGALRM, timeout.handle_timeout)
    main = threading.main_thread().ident
    assert main is not None
    timer = clock.later(timeout.seconds, lambda: signal.pthread_kill(main, signal.SIGALRM))

    def ended() -> None:
        timer.cancel()
        signal.signal(signal.SIGALRM, before)

    timeout.ended = ended
    return timeout


def current() -> VirtualClock:
    """The clock in use."""
    clock = _clock._clock
    assert isinstance(clock, _Local), "no test drives the time"
    return clock._clock
