"""
Waits whose executions one list shows share a poller: one request a round answers for all of them.

The list only tells who has news. What the news is, the end of an execution included, each wait reads for itself; so nothing depends on
the list being complete, in order or up to date.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import weakref
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from contextvars import Context

from airflow_provider import _clock
from airflow_provider.errors import ExecutionApiError, RateLimited, TransportError
from airflow_provider.execution.http.transport import AsyncSender
from airflow_provider.execution.model.adapter import Glance
from airflow_provider.execution.model.request import Pages
from airflow_provider.execution.results.outcome import End
from airflow_provider.execution.waiting.shared_requests import Searches
from airflow_provider.execution.waiting.wait import Known, Watch

MAX_PAGES = 20
"""Pages of a list that one round reads at most."""
SEARCH_SECONDS = 60.0
"""Between two rounds that read on to find out how many pages are worth reading."""
NO_USE_SECONDS = 600.0
"""For how long a list that can't be read, or that shows none of the waits, is left alone."""
LONGEST = 30.0
"""Seconds that a round waits for its list at most: meanwhile all its waits do, whatever they are due for."""
DETAIL_SECONDS = 600.0
"""After which a wait looks for itself although the list shows no news: gates may not show in it, and it may be stuck."""
DETAILS_PER_ROUND = 5
AT_ONCE = 25
"""Waits that are woken before the event loop is given to others."""
FALSE_NEWS = 3
"""Times in a row that news turned out to be none, until the list is ignored for an execution up to the wait's next look of its own."""


async def looks(sender: AsyncSender, watch: Watch) -> AsyncGenerator[End | None]:
    """
    Look again and again until the wait is over; together with others, where a list shows what all of them wait for.

    :returns: what each look gave: why the wait is over, or None.
    """
    seat: Seat | None = None
    searches: Searches | None = None
    of: str | None = None
    error: ExecutionApiError | None = None
    try:
        while True:
            if watch.ref is None:
                searches = searches or Searches.join(sender)
                end = await searches.run(watch.look(error), watch, watch.gap() / 2)
            else:
                end = await sender.run(watch.look(error))
            yield end
            if end is not None:
                return
            if watch.ref != of:  # a search has found what is to be followed, or passed over it
                if seat is not None:
                    seat.leave()
                seat, of = Poller.join(sender, watch), watch.ref
            if seat is not None and not seat.alone and watch.told_by_lists:
                error = await seat.news()
            else:
                error = None
                await _clock.asleep(watch.gap())
    finally:
        if seat is not None:
            seat.leave()
        if searches is not None:
            searches.leave()


class Seat:
    """
    One wait's place at a poller.

    :param key: the execution's ref as the list shows it.
    """

    __slots__ = (
        "_false_news",
        "_known",
        "_news",
        "_poller",
        "_timer",
        "_told",
        "_watch",
        "deadline",
        "due",
        "key",
        "listed",
        "looked_at",
        "stale_at",
        "suspected",
    )

    def __init__(self, poller: Poller, key: str, watch: Watch) -> None:
        self.key = key
        self.due = self.deadline = self.looked_at = self.stale_at = 0.0
        self.listed = True
        """Whether the list showed it last, as far as known."""
        self.suspected = False
        self._poller = poller
        self._watch = watch
        self._known: Known | None = None
        self._false_news = 0
        self._told = False
        self._timer: _clock.Timer | None = None
        self._news: asyncio.Future[ExecutionApiError | None] | None = None

    def news(self) -> asyncio.Future[ExecutionApiError | None]:
        """
        Wait until it is worth looking at the execution. A future, not a coroutine: thousands of waits hold one each.

        :returns: why no look at all can succeed for now, if that is so.
        """
        loop = asyncio.get_running_loop()
        now, known, left = _clock.monotonic(), self._watch.known, self._watch.left
        self._false_news = self._false_news + 1 if self.suspected and known == self._known else 0
        self._known, self.suspected = known, False
        self.due, self.deadline = now + min(self.gap(), left), now + left
        if not self._told:
            self.looked_at, self.stale_at = now, now + DETAIL_SECONDS * random.uniform(0.8, 1.2)  # noqa: S311
        self._told = False
        self._news = loop.create_future()
        # Of its own: the end of a wait does not depend on rounds, which may take long, or fail.
        self._timer = _clock.call_later(left, self.wake)
        self._poller.expect(self.due)
        return self._news

    def gap(self) -> float:
        """Seconds until the next look."""
        return self._watch.gap()

    @property
    def pages(self) -> Pages[Glance]:
        """The list; made when it is asked for, since most of what it holds is the same for all."""
        assert self._watch.ref is not None
        overview = self._watch.system.overview(self._watch.ref)
        assert overview is not None
        return overview.pages

    def leave(self) -> None:
        """Give the place up."""
        if self._timer is not None:
            self._timer.cancel()
        self._poller.leave(self)

    @property
    def alone(self) -> bool:
        """Whether nobody else waits by the same list for now: then the list saves nothing."""
        return self._poller.serves_one

    @property
    def waiting(self) -> bool:
        """Whether it waits for news; otherwise its wait is looking for itself."""
        return self._news is not None and not self._news.done()

    def differs(self, glances: Iterable[Glance]) -> bool:
        """Whether the list shows something else than the wait has read, if only once of several times."""
        assert self._known is not None
        status, run = self._known
        return any(glance.status != status or (glance.run is not None and run is not None and glance.run != run) for glance in glances)

    @property
    def believes(self) -> bool:
        """Whether the list can tell it anything, and has told the truth so far."""
        return self._known is not None and self._false_news < FALSE_NEWS

    def put_off(self, now: float) -> None:
        """There is no news for now."""
        self.due = min(now + self.gap(), self.deadline)

    def wake(self, error: ExecutionApiError | None = None) -> None:
        """Let the wait look for itself."""
        if self.waiting:
            assert self._news is not None
            if self._timer is not None:
                self._timer.cancel()
            self._told = error is not None
            self._news.set_result(error and error.anew())


class Poller:
    """Polls one list for all waits on an event loop whose executions it shows. It ends with the last of them."""

    __slots__ = (
        "_again_at",
        "_depth",
        "_key",
        "_next",
        "_no_use_until",
        "_refusal",
        "_search_at",
        "_seats",
        "_sender",
        "_sooner",
        "_task",
        "_unseen",
    )
    _shared: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[AsyncSender, tuple[str, ...]], Poller]] = (
        weakref.WeakKeyDictionary()
    )

    def __init__(self, sender: AsyncSender, scope: tuple[str, ...]) -> None:
        self._sender = sender
        self._key = sender, scope
        self._seats: dict[Seat, None] = {}  # in the order in which they came
        self._next = float("inf")
        self._sooner: asyncio.Event | None = None
        self._depth = MAX_PAGES
        self._unseen = 0
        self._no_use_until = self._search_at = self._again_at = 0.0
        self._refusal: ExecutionApiError | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def serves_one(self) -> bool:
        """Whether there is a single wait."""
        return len(self._seats) == 1

    @classmethod
    def join(cls, sender: AsyncSender, watch: Watch) -> Seat | None:
        """
        Take a place at the poller of the list that shows a wait's execution, if there is one; the first to come brings it to life.

        :param sender: shared by all waits of the connection, and held open by each of them.
        """
        if watch.ref is None or (overview := watch.system.overview(watch.ref)) is None:
            return None
        pollers = cls._shared.setdefault(asyncio.get_running_loop(), {})
        if (poller := pollers.get((sender, overview.scope))) is None:
            poller = cls(sender, overview.scope)
            pollers[poller._key] = poller
        seat = Seat(poller, watch.ref if watch.ref == overview.key else overview.key, watch)
        poller._seats[seat] = None
        return seat

    def leave(self, seat: Seat) -> None:
        """Go on without a wait; the last to leave ends the poller."""
        self._seats.pop(seat, None)
        pollers = self._shared[asyncio.get_running_loop()]
        if not self._seats and pollers.pop(self._key, None) is not None and self._task is not None:
            self._task.cancel()

    def expect(self, due: float) -> None:
        """Have the next round no later than ``due``."""
        if self._task is None or self._sooner is None:
            self._sooner = asyncio.Event()
            # Without the context of the trigger that happens to be first: it would outlive that one, and log in its name.
            self._task = Context().run(asyncio.get_running_loop().create_task, self._run(self._sooner))
            self._task.add_done_callback(self._ended)
        if due < self._next:
            self._next = due
            self._sooner.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """After a fault of its own: the waits look for themselves, and the next one that waits for news begins anew."""
        if task.cancelled() or (fault := task.exception()) is None:
            return
        logging.getLogger(__name__).error("Polling for several waits failed; it begins anew.", exc_info=fault)
        self._task, self._next = None, float("inf")
        for seat in self._seats:
            seat.wake()

    async def _run(self, sooner: asyncio.Event) -> None:
        while True:
            self._next = min((seat.due for seat in self._seats if seat.waiting), default=float("inf"))
            sooner.clear()
            with suppress(TimeoutError), _clock.deadline(self._next - _clock.monotonic()):
                await sooner.wait()
                continue
            await self._round([seat for seat in self._seats if seat.waiting])

    async def _round(self, waiting: list[Seat]) -> None:
        """Ask for all; wake those that have news, or that the list can't tell about and that are due."""
        shown = await self._ask(waiting)
        now = _clock.monotonic()
        if self._refusal is not None:
            if shown is not None:  # some try for themselves: perhaps the list alone is refused
                able = [seat for seat in waiting if seat.looked_at + seat.gap() <= now]
                await self._wake(heapq.nsmallest(DETAILS_PER_ROUND, able, key=lambda seat: seat.looked_at))
            await self._wake([seat for seat in waiting if seat.due <= now], self._refusal)
            return
        stale: list[Seat] = []
        news: list[Seat] = []
        for seat in waiting:
            glances = (shown or {}).get(seat.key) if seat.believes else None
            if glances is None or seat.deadline <= now:
                if seat.due <= now:
                    news.append(seat)
            elif seat.differs(glances):
                seat.suspected = True
                news.append(seat)
            else:
                seat.put_off(now)
                if seat.stale_at <= now:
                    stale.append(seat)
        news += heapq.nsmallest(DETAILS_PER_ROUND, stale, key=lambda seat: seat.stale_at)
        await self._wake(news)

    @staticmethod
    async def _wake(seats: Iterable[Seat], error: ExecutionApiError | None = None) -> None:
        for number, seat in enumerate(seats, 1):
            seat.wake(error)
            if number % AT_ONCE == 0:
                await _clock.asleep(0)

    def _worth(self, waiting: list[Seat], now: float) -> bool:
        """Whether it is worth asking for the list: not by those that it does not show."""
        if len(waiting) < 2 or now < max(self._no_use_until, self._again_at):
            return False
        listed = any(seat.due <= now and seat.listed and seat.believes for seat in waiting)
        return listed or self._refusal is not None or self._search_at <= now

    async def _ask(self, waiting: list[Seat]) -> dict[str, list[Glance]] | None:
        """Give what the list shows, or None if it is not asked for; ``_refusal`` says if nobody is answered for now."""
        began = _clock.monotonic()
        if not self._worth(waiting, began):
            self._refusal = self._refusal if began < self._again_at else None
            return None
        self._refusal = None
        try:
            with _clock.deadline(LONGEST):
                return await self._look(waiting)
        except TimeoutError:
            self._no_use_until = _clock.monotonic() + 5 * LONGEST
        except ExecutionApiError as error:
            if isinstance(error, RateLimited) or (isinstance(error, TransportError) and not error.sent):
                self._refusal = error
                self._again_at = _clock.monotonic() + min(seat.gap() for seat in waiting)
            else:
                # It may be slow, or refused, where an execution of its own is not. What takes long to fail is tried less often.
                self._no_use_until = _clock.monotonic() + max(SEARCH_SECONDS, 5 * (_clock.monotonic() - began))
        except Exception:
            logging.getLogger(__name__).exception("A list of executions can't be read; its waits look for themselves.")
            self._no_use_until = _clock.monotonic() + NO_USE_SECONDS
        return {}

    async def _look(self, waiting: list[Seat]) -> dict[str, list[Glance]]:
        """
        Read the list, as many pages as save more requests than they cost.

        How many these are is found out by reading on, now and then, and once many more waits than before are on no page that is read:
        those ask one by one.
        """
        now = _clock.monotonic()
        pages = waiting[0].pages
        believing = [seat for seat in waiting if seat.believes]
        hidden = {seat.key for seat in believing}
        asked = len(hidden)
        search = asked > 1 and self._search_at <= now
        depth = min(MAX_PAGES, asked) if search else self._depth
        shown: dict[str, list[Glance]] = {}
        costs: list[int] = []
        at = None
        while len(costs) < depth:
            items, at = await self._sender.run(pages(at))
            for item in items:
                shown.setdefault(item.ref, []).append(item)
                hidden.discard(item.ref)
            costs.append(len(costs) + 1 + len(hidden))
            if at is None or len(hidden) < 2:
                break
        for seat in believing:
            seat.listed = seat.key in shown
        if len(hidden) >= self._unseen + MAX_PAGES and not search:
            self._search_at = now
        if search:
            self._unseen = len(hidden)
            self._search_at = now + SEARCH_SECONDS
            self._depth = costs.index(min(costs)) + 1
            if min(costs) > asked:
                self._no_use_until = now + NO_USE_SECONDS
        return shown
