"""Watching for the end of executions that somebody else starts: the trigger behind an asset, for every system."""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from airflow.triggers.shared_stream import AdvanceItem, SharedStreamProducer

from airflow_provider import _clock
from airflow_provider.errors import ConfigurationError, ExecutionApiError, NotFound, RateLimited, one_line
from airflow_provider.execution.asset_watching.listing import Look
from airflow_provider.execution.asset_watching.memory import Ends, ended_at, mark
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.results.outputs import OutputPolicy
from airflow_provider.execution.results.redaction import clean, secrets_in
from airflow_provider.execution.results.result_of import make_result
from airflow_provider.execution.tasks.arguments import one_of, seconds
from airflow_provider.execution.waiting.search import SKEW

if TYPE_CHECKING:
    from airflow.sdk.execution_time.context import AssetStateStoreAccessor

    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.model.adapter import Memo
    from airflow_provider.execution.model.snapshot import Snapshot

T = TypeVar("T")

SWEEP = 900.0
"""Seconds after which the list is read back over the whole catch-up time: an old execution may have run again where it stood."""
MAX_GAP = 600.0
"""Seconds between two looks at most while the API fails, unless ``poll_interval`` is longer."""
MAX_READS = 20
"""Executions that one look reads one by one at most, since the list shows them no longer."""
AT_ONCE = 10
"""Ended executions that are read side by side."""
LONGEST = 45.0
"""Seconds that one step of a look may take. Airflow ends a trigger that leaves a look undone for 5 minutes."""
STALE = 30.0
"""Seconds after which a look that nobody has begun is passed over."""
APART = 10.0
"""Seconds between the last event of a look and the one before. Airflow (3.3.2) makes no run for an event that comes before its scheduler
has seen the one before: that waits for the next event. So the last one comes later, and takes the others along."""
MAX_OUTPUTS = 16 * 1024
"""Bytes of JSON that the outputs of an event have at most."""
MAX_FIELD = 1_000
"""Characters of a text that only the system has, such as a comment, with which it is part of an event."""
MAX_EVENT = 48 * 1024
"""Bytes of JSON from which on an event is cut down. It is stored with the asset, and shown in the web interface."""
FIELDS = (
    *("system", "conn_id", "ref", "url", "phase", "status", "started_at", "finished_at", "duration", "error"),
    *("outputs", "outputs_omitted", "system_fields"),
)
ENDS = tuple(phase.value for phase in Phase if phase.ended)


class ExecutionFinishedTrigger(BaseEventTrigger):
    """
    Base of the triggers that watch for executions which have ended, for an asset's watcher.

    Each end is an event: ``{system, conn_id, ref, url, phase, status, started_at, finished_at, duration, error, outputs,
    outputs_omitted, system_fields}``, as of :class:`~airflow_provider.execution.model.result.ExecutionResult`. Secret outputs are left out.
    Events begin with the first look; what ended before is never told. Watchers of the same target share their requests.

    An event comes at least once, also if no triggerer ran for up to ``catch_up``. It comes twice only if the triggerer dies between
    the event and its note in the asset state store, so a consumer that must not act twice compares ``ref`` and ``finished_at``.

    The arguments are stored in Airflow's database, so none of them may be a secret. They are no templates.

    :param phases: how an execution has to end: some of ``SUCCEEDED, FAILED, CANCELLED, TIMED_OUT, SKIPPED``. None: however it ends.
    :param catch_up: how far back ends are looked for after a time without triggerer, or without the DAG being active.
    :param poll_interval: seconds between two looks.
    """

    target: ClassVar[Sequence[str]]
    """Names of the arguments that say whose executions are listed: watchers that agree in them share their looks."""
    filters: ClassVar[Sequence[str]] = ()
    """Names of the arguments that pick among them."""

    def __init__(
        self,
        *,
        phases: Sequence[str] | None = None,
        catch_up: timedelta | float = timedelta(hours=24),
        poll_interval: timedelta | float = 60.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.phases = None if phases is None else sorted({phases} if isinstance(phases, str) else {str(phase) for phase in phases})
        for phase in self.phases or ():
            one_of(phase, ENDS, "phases")
        self.catch_up = seconds(catch_up, "catch_up")
        self.poll_interval = seconds(poll_interval, "poll_interval")
        self._ends: Ends | None = None
        self._upto: float | None = None
        self._saved: dict[str, Any] | None = None
        self._sent_at = float("-inf")

    def make_hook(self) -> ExecutionHook:
        """The system's hook. Reads nothing yet."""
        raise NotImplementedError

    def where(self, hook: Any) -> dict[str, Any]:
        """
        What of ``where`` says whose executions are listed; asks nothing. The hook has read its connection.

        :raises ConfigurationError: if the connection lacks something.
        """
        raise NotImplementedError

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores and compares them."""
        names = (*self.target, *self.filters, "phases", "catch_up", "poll_interval")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    def shared_stream_key(self) -> Hashable:
        """One poll for all that list the same, equally often and equally far back."""
        return self._identity(*self.target, "catch_up", "poll_interval")

    @classmethod
    def create_shared_stream_producer(cls, kwargs: dict[str, Any]) -> SharedStreamProducer:
        """The looks; how far they came is noted once Airflow has stored their events."""
        return _Looks(cls(**kwargs))

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch alone. Airflow shares the looks instead; here, events count as stored by the time of the next look."""

        async def looks() -> AsyncIterator[Look]:
            before: Look | None = None
            async for look in self.looks():
                if before is not None:
                    await before.persisted()
                yield look
                before = look

        async for event in self.filter_shared_stream(looks()):
            yield event

    async def looks(self) -> AsyncIterator[Look]:
        """Look again and again, for ever. What goes wrong is said, and the next look comes later."""
        upto, swept_at, failures = _clock.now(), float("-inf"), 0
        hook: ExecutionHook | None = None
        memo: Memo = {}
        said: set[str] = set()
        while True:
            now, gap = _clock.now(), self.poll_interval
            bound = min(upto, now)  # the machine's clock may have been put back
            if _clock.monotonic() - swept_at >= SWEEP:
                bound, swept_at = now - self.catch_up - SKEW, _clock.monotonic()
            try:
                if hook is None:
                    hook, memo = await asyncio.to_thread(self._load), {}
                await hook.aopen()
                look = Look(hook, self.where(hook), memo, bound, now)
                async with hook.asender():
                    self._warn_of_unknown(await look.items(bound), said)
                    if failures:
                        self.log.info("%s: %s can be listed again.", hook.title, self.what)
                    failures, upto, look.shown_at = 0, now, _clock.monotonic()
                    yield look
                    await _clock.asleep(gap * random.uniform(0.9, 1.1))  # noqa: S311
                continue
            except ExecutionApiError as error:
                failures += 1
                gap = self._gap(failures, error)
                self.log.warning("%s Still watching %s; next look in %.0f s.", error, self.what, gap)
            except Exception as error:
                failures += 1
                gap = self._gap(failures, error)
                self.log.exception("Looking for %s went wrong; next look in %.0f s.", self.what, gap)
            hook = None  # what was wrong may be the connection, or a pipeline that has another id by now
            await _clock.asleep(gap)

    @property
    def what(self) -> str:
        """What is watched, for texts."""
        given = {name: getattr(self, name) for name in self.target}
        return ", ".join(f"{name} {value!r}" for name, value in given.items() if value is not None)

    async def filter_shared_stream(self, shared_stream: AsyncIterator[Look]) -> AsyncIterator[TriggerEvent]:
        """The events of this watcher: each end that is news and that it is meant to tell."""
        async for look in shared_stream:
            if _clock.monotonic() - look.shown_at > STALE:
                continue  # newer ones wait behind it
            try:
                news = await self._news(look)
            except Exception as error:
                self._say(error)
                continue
            ends, until = self._ends, _clock.monotonic() + LONGEST
            assert ends is not None
            last: dict[str, Any] | None = None
            for start in range(0, len(news), AT_ONCE):
                if _clock.monotonic() > until:
                    break
                for event in await self._each(partial(self._event, look, item) for item in news[start : start + AT_ONCE]):
                    if isinstance(event, Exception):
                        self._say(event)
                    elif event is not None:
                        if last is not None:
                            yield self._sent(last)
                        last = event
            if last is not None:
                await _clock.asleep(self._sent_at + APART - _clock.monotonic())
                yield self._sent(last)
            if all(mark(item) in ends.seen or item.ref in ends.active for item in news):
                self._upto = look.moment  # else the next look goes as far back again
            ends.forget(look.moment, self.catch_up)
            if (memory := ends.dump()) != self._saved:
                look.when_persisted(partial(self._save, memory))

    def _sent(self, event: dict[str, Any]) -> TriggerEvent:
        self._sent_at = _clock.monotonic()
        return TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _news(self, look: Look) -> list[Snapshot]:
        """The ends that are news, earliest first."""
        first = False
        ends = self._ends
        if ends is None:
            ends = await self._recall()
            first = ends is None
            ends = ends or Ends(since=look.moment)
        bound = look.moment - self.catch_up - SKEW if self._upto is None else self._upto
        try:
            items = await _within(2 * LONGEST, partial(look.items, bound))
        except ConfigurationError as error:
            self.log.warning("%s Watching only what begins from now on: catch_up goes too far back.", error)
            items = await look.items(look.bound)
        news, unshown = ends.listed(items, look.moment, self.catch_up)
        if first:
            ends.told(*news, now=look.moment)
            news = []
        refs = unshown[:MAX_READS]
        for ref, answer in zip(refs, await self._each(partial(look.read, ref) for ref in refs), strict=True):
            if isinstance(answer, NotFound):
                if ends.missing(ref, look.moment):
                    self.log.info("Execution %s is gone: its end can't be told.", ref)
            elif isinstance(answer, Exception):
                self._say(answer)
            elif ends.read(answer, look.moment, self.catch_up):
                news.append(answer)
        self._ends = ends
        return sorted(news, key=lambda item: (ended_at(item) or look.moment, item.ref))

    async def _each(self, asked: Iterable[Callable[[], Awaitable[T]]]) -> list[T | Exception]:
        """Await all side by side: the answer of each, or its error."""
        answers = await asyncio.gather(*(_within(LONGEST, one) for one in asked), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, Exception):
                raise answer
        return cast("list[T | Exception]", answers)

    async def _event(self, look: Look, item: Snapshot) -> dict[str, Any] | None:
        """The event of an end, or None if it is not meant, or no end. The final read decides, not the list."""
        ends = self._ends
        assert ends is not None
        filters = {name: value for name in self.filters if (value := getattr(self, name)) not in (None, "")}
        fits = self._is_meant(item) and (not filters or await look.fits(filters, item))
        if not fits:
            if fits is False:  # None: can't be told yet
                ends.told(item, now=look.moment)
            return None
        try:
            snapshot = await look.details(item.ref)
        except NotFound:
            if ends.missing(item.ref, look.moment):
                ends.told(item, now=look.moment)
                self.log.info("Execution %s has ended, and is gone: its end can't be told.", item.ref)
            return None
        if not snapshot.phase.ended:
            ends.read(snapshot, look.moment, self.catch_up)
            return None
        is_news = ends.read(snapshot, look.moment, self.catch_up) and self._is_meant(snapshot)
        event = event_of(look.hook, snapshot) if is_news else None
        ends.told(item, snapshot, now=look.moment)
        return event

    def _is_meant(self, item: Snapshot) -> bool:
        return self.phases is None or item.phase.value in self.phases

    def _say(self, error: Exception) -> None:
        if isinstance(error, TimeoutError):
            self.log.warning("A look at %s took too long. It is repeated.", self.what)
        elif isinstance(error, ExecutionApiError):
            self.log.warning("%s Still watching %s.", error, self.what)
        else:
            self.log.error("Watching %s: %s: %s", self.what, type(error).__name__, one_line(error, 300), exc_info=error)

    def _warn_of_unknown(self, items: Sequence[Snapshot], said: set[str]) -> None:
        for status in {clean(item.status) for item in items if item.phase is Phase.UNKNOWN} - said:
            if len(said) < 20:
                said.add(status)
                self.log.warning("%s: an execution has a status that this version does not know: %r. No end.", self.what, status)

    def _gap(self, failures: int, error: Exception) -> float:
        longest = max(self.poll_interval, MAX_GAP)
        told = (error.retry_after or 0.0) if isinstance(error, RateLimited) else 0.0
        return max(min(self.poll_interval * 2.0 ** min(failures, 20), longest), min(told, longest))

    def _load(self) -> ExecutionHook:
        """Import the system's hook, models and HTTP client: in a thread, since that takes too long for the loop that all triggers share."""
        import airflow_provider.execution.http.transport  # noqa: F401

        hook = self.make_hook()
        hook.adapter()
        return hook

    # Memory

    def _identity(self, *names: str) -> tuple[str, str]:
        return self.serialize()[0], json.dumps({name: getattr(self, name) for name in names}, sort_keys=True)

    @property
    def _key(self) -> str:
        """Of an asset's watchers each has its own memory; one with other arguments begins anew."""
        identity = self._identity(*self.target, *self.filters, "phases")
        return f"executions-{hashlib.sha256(repr(identity).encode()).hexdigest()[:16]}"

    def _stores(self) -> list[AssetStateStoreAccessor]:
        """Of each asset that has this trigger: Airflow gives one trigger to all that watch the same, and names them nowhere else."""
        store = self.asset_state_store
        return [] if store is None else [*store._by_name.values(), *store._by_uri.values()]

    async def _recall(self) -> Ends | None:
        """What an earlier triggerer remembered; None if this is the first look ever. Events go to all assets: the newest memory counts."""
        stores = self._stores()
        if not stores:
            self.log.warning("Airflow gives no asset state store: ends that come while no triggerer runs are lost.")
        known = [Ends.load(await store.aget(self._key)) for store in stores]
        return max((ends for ends in known if ends), key=lambda ends: ends.newest, default=None)

    async def _save(self, memory: dict[str, Any]) -> None:
        try:
            for store in self._stores():
                await store.aset(self._key, memory)
        except Exception as error:
            self.log.warning("How far %s was watched could not be noted; done again at the next look: %s", self.what, one_line(error, 300))
        else:
            self._saved = memory


async def _within(longest: float, work: Callable[[], Awaitable[T]]) -> T:
    """Await something, for so many seconds. Not by ``asyncio.wait_for``: up to Python 3.11 that may swallow a cancel."""
    with _clock.deadline(longest):
        return await work()


class _Looks(SharedStreamProducer):
    """The looks of one shared stream, in Airflow's acknowledged mode: it tells when the events that came of a look are stored."""

    def __init__(self, trigger: ExecutionFinishedTrigger) -> None:
        self._trigger = trigger

    async def open_stream(self) -> AsyncIterator[tuple[Look, Look]]:
        """Each look, for the watchers and for :meth:`advance`."""
        async for look in self._trigger.looks():
            yield look, look

    async def advance(self, batch: Sequence[AdvanceItem]) -> None:
        """The events of these looks are stored; if some watcher failed, that can't be said, and what comes later is noted instead."""
        for item in batch:
            if not item.outcome.failed:
                await item.broker_payload.persisted()


def event_of(hook: ExecutionHook, snapshot: Snapshot) -> dict[str, Any]:
    """What is told of an end: small JSON, without secrets."""
    told = replace(snapshot, steps=[], log_tail=[], hidden=secrets_in(snapshot))
    told.system_fields = {
        name: value
        for name, value in snapshot.system_fields.items()
        if isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) <= MAX_FIELD)
    }
    result: Mapping[str, Any] = make_result(hook.adapter(), hook.conn_id, told, OutputPolicy((), None, total=MAX_OUTPUTS))
    event = {name: result[name] for name in FIELDS}
    too_much: tuple[tuple[str, Any], ...] = (("outputs_omitted", {"*": "too many to be named"}), ("outputs", {}), ("system_fields", {}))
    for name, instead in too_much:  # by their names: their values have bounds already
        if len(json.dumps(event)) > MAX_EVENT:
            event[name] = instead
    return event
