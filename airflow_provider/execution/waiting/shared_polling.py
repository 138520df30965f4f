"""
Polling shared by waits whose executions are in the same list: one request per round serves all of them.

The list only shows which executions have changed. Each wait then reads its own execution, and only that can end it. So nothing depends on
the list being complete, in order or up to date.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from contextvars import Context
from typing import ClassVar

from airflow_provider import _clock
from airflow_provider.errors import ExecutionApiError, RateLimited, TransportError
from airflow_provider.execution.http.per_loop_registry import PerLoopRegistry
from airflow_provider.execution.http.senders import AsyncSender
from airflow_provider.execution.model.adapter import Glance
from airflow_provider.execution.model.request import Pages
from airflow_provider.execution.results.outcome import End
from airflow_provider.execution.waiting.shared_searches import SharedSearches
from airflow_provider.execution.waiting.wait import StatusAndRun, Wait

MAX_PAGES = 20
"""Maximum number of pages that one round reads."""
DEPTH_SEARCH_SECONDS = 60.0
"""Interval between rounds that read more pages than usual, to find out how many are worth reading."""
LIST_IGNORED_SECONDS = 600.0
"""How long a list is ignored after it could not be read, or showed too few of the executions."""
MAX_LIST_SECONDS = 30.0
"""Maximum time to read a list: it delays all waits of the round."""
OWN_POLL_SECONDS = 600.0
"""Interval at which a wait reads its execution although the list shows no change: a list may not show gates, or be outdated."""
OWN_POLLS_PER_ROUND = 5
"""Maximum number of waits per round that read their execution for this reason."""
WAKE_BATCH = 25
"""Number of waits to wake before other tasks of the event loop get a turn."""
MAX_FALSE_ALARMS = 3
"""After this many false changes in a row the list is ignored for an execution, until the wait reads it for another reason."""


async def polls(sender: AsyncSender, wait: Wait) -> AsyncGenerator[End | None]:
    """
    Poll an execution until the wait is over. Shares requests with other waits where possible.

    :param sender: sender of the connection, shared by all its waits.
    :returns: the result of each poll: why the wait is over, or None.
    :raises Unauthorized, Forbidden, ConfigurationError: see :meth:`.Wait.poll`.
    """
    seat: Seat | None = None
    requests: SharedSearches | None = None
    seat_ref: str | None = None
    error: ExecutionApiError | None = None
    try:
        while True:
            if wait.ref is None:
                requests = requests or SharedSearches.join(sender)
                end = await requests.run(wait.poll(error), wait, wait.gap() / 2)
            else:
                end = await sender.run(wait.poll(error), within=wait.poll_limit)
            yield end
            if end is not None:
                return
            if wait.ref != seat_ref:  # a search has found an execution, or has passed over one
                if seat is not None:
                    seat.leave()
                seat, seat_ref = Poller.join(sender, wait), wait.ref
            if seat is not None and not seat.is_alone and wait.list_suffices:
                error = await seat.next_poll()
            else:
                error = None
                await _clock.asleep(wait.gap())
    finally:
        if seat is not None:
            seat.leave()
        if requests is not None:
            requests.leave()


class Seat:
    """
    The place of one wait at a poller.

    :param key: the execution's ref, as the list shows it.
    """

    __slots__ = (
        "_false_alarms",
        "_last_read",
        "_poller",
        "_timer",
        "_wait",
        "_wake_up",
        "_woken_by_error",
        "alarmed",
        "deadline",
        "due",
        "key",
        "listed",
        "own_poll_at",
        "polled_at",
    )

    def __init__(self, poller: Poller, key: str, wait: Wait) -> None:
        self.key = key
        # By the monotonic clock: the next poll by the wait's own gap; its timeout; its last poll; when it polls whatever the list shows.
        self.due = self.deadline = self.polled_at = self.own_poll_at = 0.0
        self.listed = True
        """Whether the list showed the execution in the last round."""
        self.alarmed = False
        """Whether the list has shown a change since the last poll."""
        self._poller = poller
        self._wait = wait
        self._last_read: StatusAndRun | None = None
        self._false_alarms = 0
        self._woken_by_error = False
        self._timer: _clock.Timer | None = None
        self._wake_up: asyncio.Future[ExecutionApiError | None] | None = None

    def next_poll(self) -> asyncio.Future[ExecutionApiError | None]:
        """
        Wait until the next poll is due. This is a future, not a coroutine: that takes less memory for thousands of waits.

        :returns: an error that any request would get now; usually None.
        """
        loop = asyncio.get_running_loop()
        now, last_read, left = _clock.monotonic(), self._wait.last_read, self._wait.left
        self._false_alarms = self._false_alarms + 1 if self.alarmed and last_read == self._last_read else 0
        self._last_read, self.alarmed = last_read, False
        self.due, self.deadline = now + min(self.gap(), left), now + left
        if not self._woken_by_error:
            self.polled_at, self.own_poll_at = now, now + OWN_POLL_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311
        self._woken_by_error = False
        self._wake_up = loop.create_future()
        # The timeout of a wait does not depend on rounds, which may take long, or fail.
        self._timer = _clock.call_later(left, self.wake)
        self._poller.expect(self.due)
        return self._wake_up

    def gap(self) -> float:
        """Seconds until the next poll."""
        return self._wait.gap()

    @property
    def pages(self) -> Pages[Glance]:
        """The list. Not kept, to save memory: it is the same for all seats of a poller."""
        assert self._wait.ref is not None
        overview = self._wait.system.overview(self._wait.ref)
        assert overview is not None
        return overview.pages

    def leave(self) -> None:
        """Give up the place. Doing so twice is allowed."""
        if self._timer is not None:
            self._timer.cancel()
        self._poller.leave(self)

    @property
    def is_alone(self) -> bool:
        """Whether no other wait uses the list at the moment, so that reading it saves nothing."""
        return self._poller.has_one_seat

    @property
    def is_waiting(self) -> bool:
        """Whether the wait is idle; otherwise it is polling its execution."""
        return self._wake_up is not None and not self._wake_up.done()

    def differs(self, entries: Iterable[Glance]) -> bool:
        """Whether the list shows another state than the wait has read, in at least one of the execution's entries."""
        assert self._last_read is not None
        status, run = self._last_read
        return any(glance.status != status or (glance.run is not None and run is not None and glance.run != run) for glance in entries)

    @property
    def trusts_list(self) -> bool:
        """Whether the list can be used for this execution, and has been right so far."""
        return self._last_read is not None and self._false_alarms < MAX_FALSE_ALARMS

    def postpone(self, now: float) -> None:
        """Wait for one more gap: nothing has changed."""
        self.due = min(now + self.gap(), self.deadline)

    def wake(self, error: ExecutionApiError | None = None) -> None:
        """Let the wait poll its execution. With ``error``, the poll fails with this error instead of a request."""
        if self.is_waiting:
            assert self._wake_up is not None
            if self._timer is not None:
                self._timer.cancel()
            self._woken_by_error = error is not None
            self._wake_up.set_result(error and error.copied())


class Poller:
    """Polls one list for all waits on an event loop whose executions are in it, until the last of these waits is over."""

    __slots__ = (
        "_depth",
        "_depth_search_at",
        "_ignored_until",
        "_key",
        "_next_round_at",
        "_refusal",
        "_rescheduled",
        "_retry_at",
        "_seats",
        "_sender",
        "_task",
        "_unlisted",
    )
    _registry: ClassVar[PerLoopRegistry[tuple[AsyncSender, tuple[str, ...]], Poller]] = PerLoopRegistry()

    def __init__(self, sender: AsyncSender, scope: tuple[str, ...]) -> None:
        self._sender = sender
        self._key = sender, scope
        self._seats: dict[Seat, None] = {}  # in the order of joining
        self._next_round_at = float("inf")
        self._rescheduled: asyncio.Event | None = None
        self._depth = MAX_PAGES  # number of pages worth reading
        self._unlisted = 0  # number of executions on none of these pages
        self._ignored_until = self._depth_search_at = self._retry_at = 0.0
        self._refusal: ExecutionApiError | None = None  # why no request succeeds at the moment
        self._task: asyncio.Task[None] | None = None

    @property
    def has_one_seat(self) -> bool:
        """Whether it serves a single wait."""
        return len(self._seats) == 1

    @classmethod
    def join(cls, sender: AsyncSender, wait: Wait) -> Seat | None:
        """
        Join the poller of the list that shows the wait's execution.

        :param sender: sender of the connection, held by each of its waits.
        :returns: None if there is no such list.
        """
        if wait.ref is None or (overview := wait.system.overview(wait.ref)) is None:
            return None
        scope = overview.scope
        poller = cls._registry.hold((sender, scope), lambda: cls(sender, scope))
        seat = Seat(poller, wait.ref if wait.ref == overview.key else overview.key, wait)
        poller._seats[seat] = None
        return seat

    def leave(self, seat: Seat) -> None:
        """Remove a seat. The last one to leave ends the poller."""
        if seat not in self._seats:
            return
        del self._seats[seat]
        if self._registry.release(self._key) and self._task is not None:
            self._task.cancel()

    def expect(self, due: float) -> None:
        """Make sure that the next round is no later than ``due``."""
        if self._task is None or self._rescheduled is None:
            self._rescheduled = asyncio.Event()
            # Not in the context of the first trigger: the task may outlive it, and would log in its name.
            self._task = Context().run(asyncio.get_running_loop().create_task, self._run(self._rescheduled))
            self._task.add_done_callback(self._ended)
        if due < self._next_round_at:
            self._next_round_at = due
            self._rescheduled.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """After an unexpected error all waits poll on their own, and the next one that is done starts a new task."""
        if task.cancelled() or (error := task.exception()) is None:
            return
        logging.getLogger(__name__).error("Shared polling failed. It is started again.", exc_info=error)
        self._task, self._next_round_at = None, float("inf")
        for seat in self._seats:
            seat.wake()

    async def _run(self, rescheduled: asyncio.Event) -> None:
        while True:
            self._next_round_at = min((seat.due for seat in self._seats if seat.is_waiting), default=float("inf"))
            rescheduled.clear()
            with suppress(TimeoutError), _clock.deadline(self._next_round_at - _clock.monotonic()):
                await rescheduled.wait()
                continue
            await self._round([seat for seat in self._seats if seat.is_waiting])

    async def _round(self, waiting: list[Seat]) -> None:
        """Read the list; wake the waits whose execution has changed, and those that are due and not in the list."""
        glances = await self._glances(waiting)
        now = _clock.monotonic()
        if self._refusal is not None:
            if glances is not None:  # some waits poll: perhaps only the list is refused
                eligible = [seat for seat in waiting if seat.polled_at + seat.gap() <= now]
                await self._wake(heapq.nsmallest(OWN_POLLS_PER_ROUND, eligible, key=lambda seat: seat.polled_at))
            await self._wake([seat for seat in waiting if seat.due <= now], self._refusal)
            return
        stale: list[Seat] = []
        due: list[Seat] = []
        for seat in waiting:
            entries = (glances or {}).get(seat.key) if seat.trusts_list else None
            if entries is None or seat.deadline <= now:
                if seat.due <= now:
                    due.append(seat)
            elif seat.differs(entries):
                seat.alarmed = True
                due.append(seat)
            else:
                seat.postpone(now)
                if seat.own_poll_at <= now:
                    stale.append(seat)
        due += heapq.nsmallest(OWN_POLLS_PER_ROUND, stale, key=lambda seat: seat.own_poll_at)
        await self._wake(due)

    @staticmethod
    async def _wake(seats: Iterable[Seat], error: ExecutionApiError | None = None) -> None:
        for number, seat in enumerate(seats, 1):
            seat.wake(error)
            if number % WAKE_BATCH == 0:
                await _clock.asleep(0)

    def _is_useful(self, waiting: list[Seat], now: float) -> bool:
        """Whether reading the list may save requests. It can't for waits that the list does not show."""
        if len(waiting) < 2 or now < max(self._ignored_until, self._retry_at):
            return False
        listed = any(seat.due <= now and seat.listed and seat.trusts_list for seat in waiting)
        return listed or self._refusal is not None or self._depth_search_at <= now

    async def _glances(self, waiting: list[Seat]) -> dict[str, list[Glance]] | None:
        """The list, by ref; None if it is not read, empty if that fails. Sets ``_refusal`` if no request at all can succeed."""
        began = _clock.monotonic()
        if not self._is_useful(waiting, began):
            self._refusal = self._refusal if began < self._retry_at else None
            return None
        self._refusal = None
        try:
            with _clock.deadline(MAX_LIST_SECONDS):
                return await self._read_list(waiting)
        except TimeoutError:
            self._ignored_until = _clock.monotonic() + 5 * MAX_LIST_SECONDS
        except ExecutionApiError as error:
            if isinstance(error, RateLimited) or (isinstance(error, TransportError) and not error.sent):
                self._refusal = error
                self._retry_at = _clock.monotonic() + min(seat.gap() for seat in waiting)
            else:
                # The list may be slow, or refused, where a single execution is not. The longer it takes to fail, the less often it is read.
                self._ignored_until = _clock.monotonic() + max(DEPTH_SEARCH_SECONDS, 5 * (_clock.monotonic() - began))
        except Exception:
            logging.getLogger(__name__).exception("A list of executions can't be read; each wait reads its own execution.")
            self._ignored_until = _clock.monotonic() + LIST_IGNORED_SECONDS
        return {}

    async def _read_list(self, waiting: list[Seat]) -> dict[str, list[Glance]]:
        """
        Read as many pages of the list as save more requests than they cost: waits that are on none of them poll on their own.

        From time to time, and once many more waits than before are on none of these pages, more pages are read to find the best number.
        """
        now = _clock.monotonic()
        pages = waiting[0].pages
        trusting = [seat for seat in waiting if seat.trusts_list]
        hidden = {seat.key for seat in trusting}
        total = len(hidden)
        is_search = total > 1 and self._depth_search_at <= now
        depth = min(MAX_PAGES, total) if is_search else self._depth
        shown: dict[str, list[Glance]] = {}
        costs: list[int] = []
        position = None
        while len(costs) < depth:
            items, position = await self._sender.run(pages(position))
            for item in items:
                shown.setdefault(item.ref, []).append(item)
                hidden.discard(item.ref)
            costs.append(len(costs) + 1 + len(hidden))
            if position is None or len(hidden) < 2:
                break
        for seat in trusting:
            seat.listed = seat.key in shown
        if len(hidden) >= self._unlisted + MAX_PAGES and not is_search:
            self._depth_search_at = now
        if is_search:
            self._unlisted = len(hidden)
            self._depth_search_at = now + DEPTH_SEARCH_SECONDS
            self._depth = costs.index(min(costs)) + 1
            if min(costs) > total:
                self._ignored_until = now + LIST_IGNORED_SECONDS
        return shown
