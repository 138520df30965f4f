"""The trigger behind an asset that watches for the end of executions."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

from airflow_provider import _clock, _compat
from airflow_provider._compat import AdvanceItem, SharedStreamProducer
from airflow_provider.errors import ConfigurationError, ExecutionApiError, NotFound, RateLimited, one_line
from airflow_provider.execution.asset_watching.event import event_of
from airflow_provider.execution.asset_watching.listing import Listing
from airflow_provider.execution.asset_watching.memory import MAX_ACTIVE, MAX_AWAIT, EndMemory, ended_at, mark
from airflow_provider.execution.attempt.variables import VariableAssetState
from airflow_provider.execution.model.arguments import one_of, plain_text, seconds, texts
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.results.redaction import clean
from airflow_provider.execution.waiting.search import START_SKEW_SECONDS

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessor

    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.model.adapter import Memo
    from airflow_provider.execution.model.snapshot import Snapshot

T = TypeVar("T")

FULL_LIST_INTERVAL = 900.0
"""Seconds after which the list is read back over the whole catch-up time: an old execution may have run again at its old place."""
MAX_GAP = 600.0
"""Maximum seconds between two lists while the API fails, unless ``poll_interval`` is longer."""
MAX_READS = 20
"""Maximum number of executions that are read one by one because the list does not show them any more."""
READS_AT_ONCE = 10
"""Number of ended executions that are read at the same time."""
STEP_SECONDS = 45.0
"""Maximum duration of each step with a list. Airflow ends a trigger that takes 5 minutes for one list."""
MAX_AGE = 30.0
"""Seconds after which a watcher skips a list for a newer one."""
LAST_EVENT_DELAY = 10.0
"""Seconds between the last event of a list and the one before it. Airflow (3.3.2) makes no run for an event that arrives before its
scheduler has seen the previous one; that event waits for the next one. So the last event comes later, and takes the others along."""
MAX_WARNINGS = 20
"""Maximum number of unknown statuses that are warned of."""
END_PHASES = tuple(phase.value for phase in Phase if phase.ended)


class ExecutionFinishedTrigger(BaseEventTrigger):
    """
    Base of the triggers of asset watchers: they watch for executions that have ended.

    Each end is an event: ``{system, conn_id, ref, url, phase, status, started_at, finished_at, duration, error, outputs,
    outputs_omitted, system_fields}``, see :class:`~airflow_provider.execution.model.result.ExecutionResult`. Secret outputs are left out.
    Watching begins with the first list; executions that ended before are never reported. Watchers of the same target share their requests.

    Each end is reported at least once, even if no triggerer ran for up to ``catch_up``. It is reported twice only if the triggerer dies
    between the event and its note in the asset state store. A consumer that must not act twice compares ``ref`` and ``finished_at``.

    The arguments are stored in Airflow's database, so none of them may be a secret. They are not templated.

    :param phases: report only executions that end in one of these phases: some of ``SUCCEEDED, FAILED, CANCELLED, TIMED_OUT, SKIPPED``.
        None: all.
    :param catch_up: how far back to look for ends after a time without triggerer, or without the DAG being active.
    :param poll_interval: seconds between two reads of the list.
    """

    target: ClassVar[Sequence[str]]
    """Names of the arguments that say which list is read: watchers with the same values share it."""
    filters: ClassVar[Sequence[str]] = ()
    """Names of the arguments that select executions from the list."""

    def __init__(
        self,
        *,
        phases: Sequence[str] | None = None,
        catch_up: timedelta | float = timedelta(hours=24),
        poll_interval: timedelta | float = 60.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.phases = None if phases is None else sorted({*texts(phases, "phases")})
        for phase in self.phases or ():
            one_of(phase, END_PHASES, "phases")
        self.catch_up = seconds(catch_up, "catch_up")
        self.poll_interval = seconds(poll_interval, "poll_interval")
        self._memory: EndMemory | None = None
        self._warned: set[str] = set()
        self._saved: dict[str, Any] | None = None
        self._sent_at = float("-inf")

    def check_texts(self, **arguments: object) -> None:
        """
        Check text arguments.

        :raises ArgumentError: see :func:`~airflow_provider.execution.model.arguments.plain_text`.
        """
        for name, value in arguments.items():
            plain_text(value, name)

    def make_hook(self) -> ExecutionHook:
        """The system's hook. Reads nothing yet."""
        raise NotImplementedError

    def where(self, hook: Any) -> dict[str, Any]:
        """
        The system's own criteria for the list, see :meth:`.ExecutionAdapter.listed`. Sends no requests.

        :param hook: has read its connection.
        :raises ConfigurationError: if the connection lacks something.
        """
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores and compares them."""
        names = (*self.target, *self.filters, "phases", "catch_up", "poll_interval")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    def shared_stream_key(self) -> Hashable:
        """Watchers share a stream if they read the same list, equally often and equally far back."""
        return self._identity(*self.target, "catch_up", "poll_interval")

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """The stream of lists. The memory of a watcher is saved once Airflow has stored the events of a list."""
        return _ListingStream(cls(**kwargs))

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch without a shared stream, which Airflow uses instead. The events of a list count as stored when the next list is read."""

        async def acknowledged_listings() -> AsyncIterator[Listing]:
            previous: Listing | None = None
            async for listing in self.listings():
                if previous is not None:
                    await previous.persisted()
                yield listing
                previous = listing

        async for event in self.filter_shared_stream(acknowledged_listings()):
            yield event

    async def listings(self) -> AsyncIterator[Listing]:
        """Read the list again and again, forever. An error is logged, and the next list is read later."""
        listed_until, full_list_at, failures = _clock.now(), float("-inf"), 0
        hook: ExecutionHook | None = None
        memo: Memo = {}
        unknown_statuses: set[str] = set()
        while True:
            gap, began = self.poll_interval, _clock.monotonic()
            try:
                if hook is None:
                    hook, memo = await asyncio.to_thread(self._load), {}
                async with hook.asender() as sender:
                    bound = min(listed_until, sender.server_now())  # this machine's clock may have been wrong before
                    if began - full_list_at >= FULL_LIST_INTERVAL:
                        bound, full_list_at = bound - self.catch_up - START_SKEW_SECONDS, began
                    listing = Listing(hook, self.where(hook), memo, bound)
                    self._warn_of_unknown(await listing.items(bound), unknown_statuses)
                    # By the clock that dates the executions: this machine's may be wrong, and jump.
                    listing.moment = sender.server_now() - (_clock.monotonic() - began)
                    if failures:
                        self.log.info("%s: %s can be listed again.", hook.title, self._subject)
                    failures, listed_until, listing.shown_at = 0, listing.moment, _clock.monotonic()
                    yield listing
                    await _clock.asleep(gap * random.uniform(0.9, 1.1))  # noqa: S311
                continue
            except ExecutionApiError as error:
                failures += 1
                gap = self._gap(failures, error)
                self.log.warning("%s Still watching %s; trying again in %.0f s.", error, self._subject, gap)
            except Exception as error:
                failures += 1
                gap = self._gap(failures, error)
                self.log.exception("Watching %s failed unexpectedly; trying again in %.0f s.", self._subject, gap)
            hook = None  # the cause may be the connection, or a pipeline that has another id by now
            await _clock.asleep(gap)

    @property
    def _subject(self) -> str:
        """What is watched, for texts."""
        arguments = {name: getattr(self, name) for name in self.target}
        return ", ".join(f"{name} {value!r}" for name, value in arguments.items() if value is not None)

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Listing]) -> AsyncIterator[TriggerEvent]:
        """The events of this watcher: the ends that match its filters and that it has not reported yet."""
        async for listing in shared_stream:
            if _clock.monotonic() - listing.shown_at > MAX_AGE:
                continue  # newer ones are queued behind it
            try:
                ends = await self._unreported(listing)
            except Exception as error:
                self._log_error(error)
                continue
            memory, deadline = self._memory, _clock.monotonic() + STEP_SECONDS
            assert memory is not None
            last: dict[str, Any] | None = None
            for start in range(0, len(ends), READS_AT_ONCE):
                if _clock.monotonic() > deadline:
                    break
                for event in await self._gather(partial(self._event, listing, item) for item in ends[start : start + READS_AT_ONCE]):
                    if isinstance(event, Exception):
                        self._log_error(event)
                    elif event is not None:
                        if last is not None:
                            yield self._sent(last)
                        last = event
            if last is not None:
                await _clock.asleep(self._sent_at + LAST_EVENT_DELAY - _clock.monotonic())
                yield self._sent(last)
            if all(mark(item) in memory.seen or item.ref in memory.active for item in ends):
                memory.handled_until = listing.moment  # else the next list is read as far back again
            if memory.forget(listing.moment, self.catch_up):
                self._warn_once(
                    f"More than {MAX_ACTIVE} executions of {self._subject} run at once: those beyond are not remembered. "
                    "The end of one that runs for longer than catch_up may not be reported."
                )
            if (dump := memory.dump()) != self._saved:
                listing.when_persisted(partial(self._save, dump))

    def _sent(self, event: dict[str, Any]) -> TriggerEvent:
        self._sent_at = _clock.monotonic()
        return TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _unreported(self, listing: Listing) -> list[Snapshot]:
        """The executions whose end was not reported yet, in the order of their ends."""
        is_first = False
        memory = self._memory
        if memory is None:
            memory = await self._recall()
            is_first = memory is None
            memory = memory or EndMemory(since=listing.moment)
        memory.since = min(memory.since, listing.moment)  # the clock was ahead when watching began
        bound = memory.handled_until
        if bound > listing.moment:
            bound = memory.look_back(listing.moment, self.catch_up) - START_SKEW_SECONDS
        elif bound < (bound_limit := listing.moment - max(self.catch_up, MAX_AWAIT)):
            bound = bound_limit
            self._warn_once(
                f"Executions of {self._subject} could not be listed or read for longer than a week and catch_up: older ends are not "
                "reported, except of those that were seen running."
            )
        try:
            items = await _within(2 * STEP_SECONDS, partial(listing.items, bound))
        except ConfigurationError as error:
            self.log.warning("%s Watching only executions that start from now on: catch_up is too long.", error)
            items = await listing.items(listing.bound)
        ends, unlisted = memory.take_list(items, listing.moment, self.catch_up)
        if is_first:
            memory.mark_reported(*ends, now=listing.moment)
            ends = []
        refs = unlisted[:MAX_READS]
        for ref, result in zip(refs, await self._gather(partial(listing.read, ref) for ref in refs), strict=True):
            if isinstance(result, NotFound):
                if memory.take_miss(ref, listing.moment):
                    self.log.info("Execution %s does not exist any more: its end can't be reported.", ref)
            elif isinstance(result, Exception):
                self._log_error(result)
            elif memory.take(result, listing.moment, self.catch_up):
                ends.append(result)
        self._memory = memory
        return sorted(ends, key=lambda item: (ended_at(item) or listing.moment, item.ref))

    async def _gather(self, calls: Iterable[Callable[[], Awaitable[T]]]) -> list[T | Exception]:
        """The result of each call, or its error; all at the same time."""
        results = await asyncio.gather(*(_within(STEP_SECONDS, call) for call in calls), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException) and not isinstance(result, Exception):
                raise result
        return cast("list[T | Exception]", results)

    async def _event(self, listing: Listing, item: Snapshot) -> dict[str, Any] | None:
        """The event of an end, or None if it is not to be reported. The final read decides, not the list."""
        memory = self._memory
        assert memory is not None
        filters = {name: value for name in self.filters if (value := getattr(self, name)) not in (None, "")}
        matches = self._has_phase(item) and (not filters or await listing.fits(filters, item))
        if not matches:
            if matches is False:  # None: not known yet
                memory.mark_reported(item, now=listing.moment)
            return None
        try:
            snapshot = await listing.details(item.ref)
        except NotFound:
            if memory.take_miss(item.ref, listing.moment):
                memory.mark_reported(item, now=listing.moment)
                self.log.info("Execution %s has ended and does not exist any more: its end can't be reported.", item.ref)
            return None
        is_unreported = memory.take(snapshot, listing.moment, self.catch_up)
        if not snapshot.phase.ended:
            return None
        wanted = is_unreported and self._has_phase(snapshot)
        event = await asyncio.to_thread(event_of, listing.hook, snapshot) if wanted else None
        memory.mark_reported(item, snapshot, now=listing.moment)
        return event

    def _has_phase(self, item: Snapshot) -> bool:
        return self.phases is None or item.phase.value in self.phases

    def _log_error(self, error: Exception) -> None:
        if isinstance(error, TimeoutError):
            self.log.warning("Watching %s: a request took too long. It is repeated.", self._subject)
        elif isinstance(error, ExecutionApiError):
            self.log.warning("%s Still watching %s.", error, self._subject)
        else:
            self.log.error("Watching %s: %s: %s", self._subject, type(error).__name__, one_line(error, 300), exc_info=error)

    def _warn_once(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self.log.warning("%s", text)

    def _warn_of_unknown(self, items: Sequence[Snapshot], warned: set[str]) -> None:
        for status in {clean(item.status) for item in items if item.phase is Phase.UNKNOWN} - warned:
            if len(warned) < MAX_WARNINGS:
                warned.add(status)
                self.log.warning(
                    "%s: an execution has a status that this version does not know: %r. It does not count as ended.", self._subject, status
                )

    def _gap(self, failures: int, error: Exception) -> float:
        """Seconds until the next try: doubled after each failure, and at least what the API asks for."""
        longest = max(self.poll_interval, MAX_GAP)
        retry_after = (error.retry_after or 0.0) if isinstance(error, RateLimited) else 0.0
        return max(min(self.poll_interval * 2.0 ** min(failures, 20), longest), min(retry_after, longest))

    def _load(self) -> ExecutionHook:
        """Import the system's hook, models and HTTP client: in a thread, because it takes too long for the event loop of all triggers."""
        import airflow_provider.execution.http.senders  # noqa: F401

        hook = self.make_hook()
        hook.adapter()
        return hook

    # Memory

    def _identity(self, *names: str) -> tuple[str, str]:
        return self.serialize()[0], json.dumps({name: getattr(self, name) for name in names}, sort_keys=True)

    @property
    def _key(self) -> str:
        """Each watcher of an asset has its own memory. With other arguments it starts anew."""
        identity = self._identity(*self.target, *self.filters, "phases")
        return f"executions-{hashlib.sha256(repr(identity).encode()).hexdigest()[:16]}"

    def _stores(self) -> Sequence[AssetStateStoreAccessor | VariableAssetState]:
        """The stores of all assets that have this trigger: Airflow makes one trigger for all equal watchers."""
        stores = _compat.asset_state_stores(self)
        return [VariableAssetState(self.serialize())] if stores is None else stores

    async def _recall(self) -> EndMemory | None:
        """The memory of an earlier triggerer; None if there is none. Events go to all assets, so the newest memory counts."""
        stores = self._stores()
        if not stores:
            self.log.warning("Airflow provides no asset state store: executions that end while no triggerer runs are not reported.")
        memories: list[EndMemory | None] = []
        for store in stores:
            stored = await _compat.aget_asset_state(store, self._key)
            memories.append(EndMemory.load(stored))
            if stored is not None and memories[-1] is None:
                self.log.warning("Watching %s: the stored progress is damaged, so watching starts over.", self._subject)
        return max((memory for memory in memories if memory), key=lambda memory: memory.newest, default=None)

    async def _save(self, dump: dict[str, Any]) -> None:
        try:
            for store in self._stores():
                await _compat.aset_asset_state(store, self._key, dump)
        except Exception as error:
            self.log.warning(
                "Watching %s: the progress could not be saved. It is saved with the next list: %s", self._subject, one_line(error, 300)
            )
        else:
            self._saved = dump


async def _within(limit: float, call: Callable[[], Awaitable[T]]) -> T:
    """Await a call for so many seconds at most. Not with ``asyncio.wait_for``: before Python 3.12 it may lose a cancel."""
    with _clock.deadline(limit):
        return await call()


class _ListingStream(SharedStreamProducer):
    """The lists of one shared stream, in Airflow's acknowledged mode: Airflow says when it has stored the events of a list."""

    def __init__(self, trigger: ExecutionFinishedTrigger) -> None:
        self._trigger = trigger

    async def open_stream(self) -> AsyncIterator[tuple[Listing, Listing]]:
        """Each list twice: for the watchers and for :meth:`advance`."""
        async for listing in self._trigger.listings():
            yield listing, listing

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """The events of these lists are stored. Where a watcher failed, this is not known: the memory is saved with a later list."""
        for item in batch:
            if not item.outcome.failed:
                await item.broker_payload.persisted()
