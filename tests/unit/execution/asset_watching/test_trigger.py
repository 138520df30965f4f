"""Which events a watcher sends, whatever the remote side, the list of it, and the triggerer do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from airflow_provider.errors import Forbidden, NotFound
from airflow_provider.execution.asset_watching.event import MAX_EVENT, event_of
from airflow_provider.execution.asset_watching.listing import Listing
from airflow_provider.execution.asset_watching.memory import MAX_ACTIVE, MAX_MISSES, MAX_SEEN, EndMemory, mark
from airflow_provider.execution.asset_watching.trigger import LAST_EVENT_DELAY, MAX_AGE, MAX_READS, ExecutionFinishedTrigger
from airflow_provider.execution.model.adapter import ExecutionAdapter, Memo
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Flow, Pages, Sleep
from airflow_provider.execution.model.snapshot import Cursor, LogLine, Output, Snapshot
from airflow_provider.execution.waiting.search import START_SKEW_SECONDS
from tests import virtual_clock
from tests.virtual_clock import VirtualClock

START = 1_800_000_000.0
HOUR = 3600.0
CATCH_UP = 24 * HOUR
LAG = 120.0
"""Seconds by which the list may lag."""
PAGE = 5


def at(moment: float | None) -> datetime | None:
    return None if moment is None else datetime.fromtimestamp(moment, timezone.utc)


def snapshot(
    ref: str, phase: Phase = Phase.SUCCEEDED, started: float | None = START, finished: float | None = None, **more: Any
) -> Snapshot:
    return Snapshot(ref, phase, phase.value.lower(), started_at=at(started), finished_at=at(finished), **more)


# A model of the remote side


@dataclass
class State:
    """What an execution is from a moment on."""

    since: float
    phase: Phase
    finished: float | None = None


@dataclass
class Execution:
    ref: str
    started: float
    states: list[State]

    def as_of(self, moment: float) -> Snapshot | None:
        then = [state for state in self.states if state.since <= moment]
        return snapshot(self.ref, then[-1].phase, self.started, then[-1].finished) if then else None


@dataclass
class Remote:
    """Executions, and a list of them that may lag, be out of order, and give some of them twice."""

    now: float = START
    executions: dict[str, Execution] = field(default_factory=dict)
    lag: float = 0.0
    disorder: int = 0
    twice: bool = False
    broken: set[str] = field(default_factory=set)
    """What can't be asked: ``list``, ``read``, ``details``."""
    undated: bool = False
    """Whether the list leaves out when they ended."""
    asked: list[str] = field(default_factory=list)

    def listing(self) -> list[list[Snapshot]]:
        shown = []
        for number, execution in enumerate(sorted(self.executions.values(), key=lambda one: -one.started)):
            lags = self.lag if (number + self.disorder) % 2 else 0.0
            if (item := execution.as_of(self.now - lags)) is not None:
                shown.append(replace(item, finished_at=None) if self.undated else item)
        if self.disorder and len(shown) > 2:
            for position in range(self.disorder % 3, len(shown) - 1, 3):
                one, other = shown[position : position + 2]
                assert one.started_at
                assert other.started_at
                if (one.started_at - other.started_at).total_seconds() < START_SKEW_SECONDS:
                    shown[position : position + 2] = other, one
        pages = [shown[start : start + PAGE] for start in range(0, len(shown), PAGE)] or [[]]
        if self.twice:
            pages = [[*([] if number == 0 else pages[number - 1][-1:]), *page] for number, page in enumerate(pages)]
        return pages

    def ask(self, what: str) -> None:
        self.asked.append(what)
        if what in self.broken:
            raise Forbidden(f"{what} is broken")

    def find(self, ref: str) -> Snapshot:
        if ref not in self.executions:
            raise NotFound("gone")
        item = self.executions[ref].as_of(self.now)
        assert item is not None
        return item


class Model(ExecutionAdapter):
    name = "model"
    title = "Model"

    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    def read(self, ref: str) -> Flow[Snapshot]:
        self.remote.ask("read")
        return self.remote.find(ref)
        yield Sleep(0)

    def details(self, ref: str) -> Flow[Snapshot]:
        self.remote.ask("details")
        return self.remote.find(ref)
        yield Sleep(0)

    def listed(self, where: Mapping[str, Any], memo: Memo) -> Pages[Snapshot]:
        def page(number: int | None) -> Flow[tuple[list[Snapshot], int | None]]:
            self.remote.ask("list")
            pages, number = self.remote.listing(), number or 0
            return pages[number], number + 1 if number + 1 < len(pages) else None
            yield Sleep(0)

        return page

    def new_lines(self, snapshot: Snapshot, cursor: Cursor, limit: int) -> Flow[list[LogLine]]:
        raise NotImplementedError

    def cancel(self, ref: str) -> Flow[None]:
        raise NotImplementedError

    def resume(self, ref: str) -> Flow[Snapshot]:
        raise NotImplementedError


class ModelHook:
    """A hook whose flows ask nothing over any socket."""

    conn_id = "model_default"
    title = "Model"

    def __init__(self, remote: Remote) -> None:
        self.remote = remote

    def adapter(self) -> Model:
        return Model(self.remote)

    async def arun_flow(self, flow: Flow[Any]) -> Any:
        try:
            while True:
                next(flow)  # pauses take no time
        except StopIteration as done:
            return done.value


class Watcher(ExecutionFinishedTrigger):
    target = ("of",)

    def __init__(self, of: str = "all", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.of = of


# A model of the triggerer


class Store:
    """Asset state stores, which survive triggerers."""

    def __init__(self, *assets: str) -> None:
        self._by_name = {name: Kept() for name in assets or ("asset",)}
        self._by_uri: dict[str, Kept] = {}


class Kept:
    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.broken = False

    async def aget(self, key: str) -> Any:
        if self.broken:
            raise RuntimeError("API server away")
        return json.loads(self.values[key]) if key in self.values else None

    async def aset(self, key: str, value: Any) -> None:
        if self.broken:
            raise RuntimeError("API server away")
        self.values[key] = json.dumps(value)


class Triggerer:
    """One that hands a look to a watcher, collects the events, and says when they are stored."""

    def __init__(self, remote: Remote, store: Store, trigger: Watcher | None = None) -> None:
        self.remote = remote
        self.trigger = trigger or Watcher()
        self.trigger.asset_state_store = store  # type: ignore[assignment]
        self.events: list[dict[str, Any]] = []
        self._looks: asyncio.Queue[Listing] = asyncio.Queue()
        self._idle = asyncio.Event()
        self._upto: float | None = None
        self._memo: Memo = {}
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        async for event in self.trigger.filter_shared_stream(self._stream()):
            self.events.append(event.payload)

    async def _stream(self) -> AsyncIterator[Listing]:
        while True:
            self._idle.set()
            yield await self._looks.get()

    async def look(self, *, deep: bool = False) -> tuple[list[dict[str, Any]], Listing]:
        """One look; the events that come of it."""
        now, before = self.remote.now, len(self.events)
        bound = now - CATCH_UP - START_SKEW_SECONDS if deep or self._upto is None else self._upto
        look = Listing(ModelHook(self.remote), {}, self._memo, bound, now)  # type: ignore[arg-type]
        self._upto = now
        await self._idle.wait()
        self._idle.clear()
        self._looks.put_nowait(look)
        await self._idle.wait()
        return self.events[before:], look

    async def stop(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])


ENDS = st.sampled_from([Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED])
WHICH = st.integers(0, 30)
STEPS = st.one_of(
    st.tuples(st.just("start")),
    st.tuples(st.just("end"), WHICH, ENDS),
    st.tuples(st.just("again"), WHICH),
    st.tuples(st.just("delete"), WHICH),
    st.tuples(st.just("pass"), st.sampled_from([1.0, 30.0, 90.0, 700.0, HOUR])),
    st.tuples(st.just("list"), st.sampled_from([0.0, 20.0, LAG]), st.integers(0, 5), st.booleans()),
    st.tuples(st.just("broken"), st.sets(st.sampled_from(["list", "read", "details", "store"]))),
    st.tuples(st.just("look"), st.booleans()),
    st.tuples(st.just("look"), st.just(False)),
    st.tuples(st.just("start")),
    st.tuples(st.just("die"), st.booleans(), st.sampled_from([0.0, 30.0, 20 * HOUR])),
)


class Play:
    """Plays steps, and keeps account of what had to be told, and what was."""

    def __init__(self) -> None:
        self.remote, self.store = Remote(), Store()
        self.told: list[tuple[str, str, str | None]] = []
        self.excused: list[tuple[str, str, str | None]] = []
        """Told, but a triggerer died before that was noted."""
        self.away = 0.0
        self.began: float | None = None
        self.triggerer = Triggerer(self.remote, self.store)

    async def step(self, what: str, *how: Any) -> None:
        remote, executions = self.remote, list(self.remote.executions.values())
        one = executions[how[0] % len(executions)] if executions and how and isinstance(how[0], int) else None
        if what == "start":
            remote.now += 1.0
            ref = f"run/{len(remote.executions)}-{remote.now}"
            remote.executions[ref] = Execution(ref, remote.now, [State(remote.now, Phase.RUNNING)])
        elif what == "end" and one and not one.states[-1].phase.ended:
            remote.now += 1.0
            one.states.append(State(remote.now, how[1], remote.now))
        elif what == "again" and one and one.states[-1].phase.ended:
            remote.now += 1.0
            one.states.append(State(remote.now, Phase.RUNNING))
        elif what == "delete" and one:
            del remote.executions[one.ref]
        elif what == "pass":
            remote.now += how[0]
        elif what == "list":
            remote.lag, remote.disorder, remote.twice = how
        elif what == "broken":
            remote.broken = how[0]
            self.store._by_name["asset"].broken = "store" in how[0]
        elif what == "look":
            await self.look(deep=how[0])
        elif what == "die":
            await self.die(*how)

    async def look(self, *, deep: bool = False) -> None:
        self.remote.now += 10.0
        events, look = await self.triggerer.look(deep=deep)
        self.account(events)
        await look.persisted()
        if self.began is None and self.store._by_name["asset"].values:
            self.began = self.remote.now

    async def die(self, stored: bool, away: float) -> None:
        """The triggerer dies behind a look, whose events Airflow may have stored by then; another one comes."""
        events, _ = await self.triggerer.look()
        if stored:
            self.account(events)
            self.excused += [identity(event) for event in events]
        await self.triggerer.stop()
        self.remote.now += away if self.away + away < CATCH_UP - 2 * HOUR else 0.0
        self.away += away
        self.triggerer = Triggerer(self.remote, self.store)

    def account(self, events: Sequence[dict[str, Any]]) -> None:
        for event in events:
            truth = self.remote.executions[event["ref"]].as_of(self.remote.now)
            assert truth is not None
            assert (event["phase"], event["finished_at"]) == (truth.phase.value, truth.finished_at and truth.finished_at.isoformat())
            self.told.append(identity(event))

    async def settle(self) -> None:
        """All works again, and the watcher has time."""
        self.remote.lag, self.remote.broken = 0.0, set()
        self.store._by_name["asset"].broken = False
        self.remote.now += LAG
        for _ in range(2 + len(self.remote.executions) // MAX_READS):
            await self.look(deep=True)


def identity(event: Mapping[str, Any]) -> tuple[str, str, str | None]:
    return event["ref"], event["phase"], event["finished_at"]


@given(st.lists(STEPS, max_size=40))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@example([("look", False), ("start",), ("start",), ("end", 1, Phase.SUCCEEDED), ("look", False), ("end", 0, Phase.FAILED), ("look", False)])
@example([("start",), ("look", False), ("end", 0, Phase.SUCCEEDED), ("die", False, 30.0), ("look", False)])
@example([("start",), ("look", False), ("end", 0, Phase.FAILED), ("look", False), ("again", 0), ("end", 0, Phase.FAILED), ("look", False)])
def test_no_end_is_lost_and_none_told_twice(steps: list[tuple[Any, ...]]) -> None:
    async def play() -> None:
        played = Play()
        for step in steps:
            await played.step(*step)
        await played.settle()
        await played.triggerer.stop()
        due = [
            (one.ref, one.states[-1].phase.value, moment.isoformat())
            for one in played.remote.executions.values()
            if played.began is not None and (moment := at(one.states[-1].finished)) and moment.timestamp() > played.began
        ]
        assert [end for end in due if end not in played.told] == []
        for end in set(played.told):
            assert played.told.count(end) <= 1 + played.excused.count(end), end

    virtual_clock.run(play())


# Single cases


def run(play: Any) -> None:
    virtual_clock.run(play())


class Case:
    """A remote side, and a triggerer that has had its first look."""

    def __init__(self, *refs: str, **arguments: Any) -> None:
        self.remote, self.store = Remote(), Store()
        self.arguments = arguments
        for ref in refs:
            self.start(ref)
        self.triggerer = self.restart()

    def start(self, ref: str, *, ago: float = 0.0) -> None:
        moment = self.remote.now - ago
        self.remote.executions[ref] = Execution(ref, moment, [State(moment, Phase.RUNNING)])

    def end(self, ref: str, phase: Phase = Phase.SUCCEEDED) -> None:
        self.remote.now += 1.0
        self.remote.executions[ref].states.append(State(self.remote.now, phase, self.remote.now))

    def again(self, ref: str) -> None:
        self.remote.now += 1.0
        self.remote.executions[ref].states.append(State(self.remote.now, Phase.RUNNING))

    def restart(self) -> Triggerer:
        self.triggerer = Triggerer(self.remote, self.store, Watcher(**self.arguments))
        return self.triggerer

    async def look(self, *, persisted: bool = True, deep: bool = False) -> list[str]:
        self.remote.now += 10.0
        events, look = await self.triggerer.look(deep=deep)
        if persisted:
            await look.persisted()
        return [event["ref"] for event in events]


def test_what_ended_before_the_first_look_is_never_told() -> None:
    async def play() -> None:
        case = Case("a", "b")
        case.end("a")
        assert await case.look() == []
        case.end("b")
        assert await case.look() == ["b"]
        case.restart()
        assert await case.look() == []

    run(play)


def test_an_event_that_airflow_did_not_store_comes_again() -> None:
    async def play() -> None:
        case = Case("a")
        await case.look()
        case.end("a")
        assert await case.look(persisted=False) == ["a"]
        case.restart()
        assert await case.look() == ["a"]
        case.restart()
        assert await case.look() == []

    run(play)


def test_one_seen_running_is_told_however_long_nobody_looked() -> None:
    async def play() -> None:
        case = Case("a")
        await case.look()
        case.start("short")
        case.end("a")
        case.end("short")
        case.remote.now += 3 * CATCH_UP
        case.restart()
        assert await case.look() == ["a"], "of one never seen, the end lies too far back"

    run(play)


def test_one_that_the_list_shows_no_longer_is_read_by_itself() -> None:
    async def play() -> None:
        case = Case("a")
        await case.look()
        case.remote.now += 2 * CATCH_UP
        for number in range(3 * PAGE):
            case.start(f"other/{number}")
        await case.look()
        case.end("a")
        assert await case.look() == ["a"]

    run(play)


def test_a_deleted_one_is_given_up_after_some_looks() -> None:
    async def play() -> None:
        case = Case("a")
        await case.look()
        del case.remote.executions["a"]
        for _ in range(MAX_MISSES):
            assert "a" in dict(case.triggerer.trigger._memory.active)  # type: ignore[union-attr]
            assert await case.look() == []
        assert case.triggerer.trigger._memory.active == {}  # type: ignore[union-attr]

    run(play)


def test_the_list_lags_behind_the_end_of_one_that_ran_again() -> None:
    async def play() -> None:
        case = Case("a")
        await case.look()
        case.end("a")
        assert await case.look() == ["a"]
        case.again("a")
        assert await case.look() == []
        case.remote.lag, case.remote.disorder = LAG, 1  # shows the first end again
        assert await case.look() == []
        case.end("a")
        assert await case.look() == ["a"]

    run(play)


def test_where_list_and_execution_differ_the_execution_decides() -> None:
    async def play() -> None:
        case = Case("a")
        await case.look()
        case.remote.undated = True
        case.end("a")
        assert await case.look() == ["a"]
        case.remote.asked.clear()
        assert await case.look() == []
        assert case.remote.asked == ["list"], "known in the form of the list, too"
        case.remote.undated = False
        case.start("b")
        case.end("b")
        assert await case.look() == ["b"]
        case.remote.undated = True
        assert await case.look() == []

    run(play)


def test_an_end_that_is_over_by_the_time_it_is_read_is_none() -> None:
    async def play() -> None:
        case = Case("a")
        await case.look()
        case.end("a")
        case.again("a")
        case.remote.lag, case.remote.disorder = 10.5, 1  # still shows the end
        assert await case.look() == []
        assert "a" in case.triggerer.trigger._memory.active  # type: ignore[union-attr]
        case.end("a")
        case.remote.lag = 0.0
        assert await case.look() == ["a"]

    run(play)


def test_an_end_that_can_not_be_read_is_not_lost_however_many_others_begin() -> None:
    async def play() -> None:
        case = Case()
        await case.look()
        case.start("a")
        case.end("a")
        case.remote.broken = {"details"}
        assert await case.look() == []
        case.remote.now += HOUR
        for number in range(3 * PAGE):
            case.start(f"other/{number}", ago=2 * START_SKEW_SECONDS)
        assert await case.look() == []
        case.remote.broken = set()
        assert await case.look() == ["a"]

    run(play)


def test_a_watcher_that_joins_the_looks_of_others_looks_back_by_itself() -> None:
    async def play() -> None:
        case = Case("a")
        await case.look()
        case.start("short")
        case.end("short")
        case.remote.now += HOUR
        for number in range(3 * PAGE):
            case.start(f"other/{number}", ago=2 * START_SKEW_SECONDS)
        case.restart()._upto = case.remote.now  # the others are that far
        assert await case.look() == ["short"]

    run(play)


def test_the_last_of_several_events_comes_later(clock: VirtualClock) -> None:
    async def play() -> None:
        case = Case("a", "b", "c")
        await case.look()
        for ref in ("b", "c", "a"):
            case.end(ref)
        looking = asyncio.create_task(case.look())
        await clock.until(lambda: case.triggerer.events)
        assert [event["ref"] for event in case.triggerer.events] == ["b", "c"]
        assert clock.passed == 0.0
        assert await looking == ["b", "c", "a"]
        assert clock.passed == LAST_EVENT_DELAY

    run(play)


def test_a_look_that_waited_long_is_passed_over_for_the_next_one() -> None:
    async def play() -> None:
        case = Case("a")
        await case.look()
        case.end("a")
        stale = Listing(ModelHook(case.remote), {}, {}, START, case.remote.now)  # type: ignore[arg-type]
        stale.shown_at -= 2 * MAX_AGE
        case.remote.asked.clear()
        case.triggerer._idle.clear()
        case.triggerer._looks.put_nowait(stale)
        assert await case.look() == ["a"]
        assert case.remote.asked == ["list", "details"]

    run(play)


def test_a_watcher_that_is_taken_away_ends_whatever_it_is_doing() -> None:
    async def play() -> None:
        for steps in range(60):
            case = Case("a", "b")
            await case.look()
            case.end("a")
            del case.remote.executions["b"]
            looking = asyncio.create_task(case.look())
            for _ in range(steps):
                await asyncio.sleep(0)
            task = case.triggerer._task
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled(), steps
            looking.cancel()

    run(play)


def test_phases_choose() -> None:
    async def play() -> None:
        case = Case("a", "b", phases=["FAILED"])
        await case.look()
        case.end("a")
        case.end("b", Phase.FAILED)
        assert await case.look() == ["b"]

    run(play)


def test_a_memory_that_can_not_be_read_is_no_first_look() -> None:
    async def play() -> None:
        case = Case("a")
        await case.look()
        case.end("a")
        case.store._by_name["asset"].broken = True
        case.restart()
        assert await case.look() == []
        case.store._by_name["asset"].broken = False
        assert await case.look() == ["a"]

    run(play)


def test_two_assets_of_one_trigger_share_its_memory() -> None:
    async def play() -> None:
        case = Case("a")
        case.store = Store("one", "other")
        case.restart()
        await case.look()
        assert len({*(tuple(kept.values.items()) for kept in case.store._by_name.values())}) == 1
        case.end("a")
        case.store._by_name["other"].broken = True  # its note is left behind
        assert await case.look() == ["a"]
        case.store._by_name["other"].broken = False
        case.restart()
        assert await case.look() == []

    run(play)


def test_another_watcher_of_the_same_asset_has_a_memory_of_its_own() -> None:
    async def play() -> None:
        case = Case("a")
        await case.look()
        case.end("a")
        case.arguments = {"phases": ["SUCCEEDED"]}
        case.restart()
        assert await case.look() == [], "its first look"
        assert len(case.store._by_name["asset"].values) == 2
        assert {key for key in case.store._by_name["asset"].values if len(key) < 40} == set(case.store._by_name["asset"].values)

    run(play)


def test_a_look_is_asked_once_whoever_wants_it_and_survives_who_asked_first() -> None:
    async def play() -> None:
        asked: list[str] = []

        class Counting(ModelHook):
            async def arun_flow(self, flow: Flow[Any]) -> Any:
                asked.append("asked")
                await asyncio.sleep(0)
                return await super().arun_flow(flow)

        look = Listing(Counting(Remote()), {}, {}, START, START)  # type: ignore[arg-type]
        first = asyncio.create_task(look.items(START))
        await asyncio.sleep(0)
        first.cancel()
        assert await look.items(START) == await look.items(START + 5.0) == []
        assert len(asked) == 1
        await look.items(START - 5.0)
        assert len(asked) == 2, "further back"

    run(play)


# The memory


def test_the_memory_is_json_and_bounded() -> None:
    ends = EndMemory(START)
    for number in range(MAX_SEEN + 10):
        ends.mark_reported(snapshot(f"workspace/project/89/{number}", finished=START + number), now=START)
    news, _ = ends.take_list((snapshot(f"run/{number}", Phase.RUNNING) for number in range(MAX_ACTIVE + 10)), START, CATCH_UP)
    assert news == []
    assert ends.forget(START, CATCH_UP) == 10
    assert (len(ends.seen), len(ends.active)) == (MAX_SEEN, MAX_ACTIVE)
    again = EndMemory.load(json.loads(json.dumps(ends.dump())))
    assert again == ends
    assert len(json.dumps(ends.dump())) < 64 * 1024 + 100 * MAX_ACTIVE
    old = [snapshot(f"workspace/project/89/{number}", finished=START + number) for number in range(MAX_SEEN + 10)]
    assert ends.take_list(old, START, CATCH_UP)[0] == [], "what was forgotten is no news"
    assert ends.take_list([snapshot("new", finished=START + MAX_SEEN + 11)], START, CATCH_UP)[0] != []


@pytest.mark.parametrize(
    "stored",
    [
        None,
        "text",
        {},
        {"since": "then"},
        {"seen": {}},
        {"since": True},
        {"since": float("nan")},
        {"since": 10**400},
        {"since": 1, "seen": [1]},
        {"since": 1, "seen": {"a": None}},
        {"since": 1, "active": {"a": "b"}},
    ],
)
def test_a_strange_memory_is_none(stored: Any) -> None:
    assert EndMemory.load(stored) is None


def test_one_that_still_runs_is_awaited_and_no_news() -> None:
    ends, item = EndMemory(START), snapshot("a", Phase.RUNNING)
    assert ends.take_list([item], START, CATCH_UP) == ([], [])
    assert ends.take(item, START, CATCH_UP) is False
    assert list(ends.active) == ["a"]


def test_an_end_without_times_is_told_once_for_as_long_as_it_is_shown() -> None:
    ends, item = EndMemory(START), snapshot("a", Phase.SKIPPED, None)
    assert ends.take_list([item], START, CATCH_UP)[0] == [item]
    ends.mark_reported(item, now=START)
    for day in range(1, 5):
        now = START + day * CATCH_UP / 2
        assert ends.take_list([item], now, CATCH_UP)[0] == []
        ends.forget(now, CATCH_UP)
    assert mark(item) in ends.seen


# What is told


def test_an_event_is_small_and_without_secrets() -> None:
    told = snapshot(
        "a",
        Phase.FAILED,
        finished=START + 90,
        error="no route for hunter2-secret",
        outputs={
            "IMAGE": Output("shop:1"),
            "TOKEN": Output("hunter2-secret"),
            "FLAGGED": Output("sesame", secret=True),
            "BIG": Output("x" * 20_000),
        },
        system_fields={"branch": "main", "actions": [{}], "comment": "c" * 2_000},
        log_tail=["line"],
    )
    event = event_of(ModelHook(Remote()), told)  # type: ignore[arg-type]
    assert json.loads(json.dumps(event)) == event
    assert event["outputs"] == {"IMAGE": "shop:1"}
    assert set(event["outputs_omitted"]) == {"TOKEN", "FLAGGED", "BIG"}
    assert event["system_fields"] == {"branch": "main"}
    assert (event["conn_id"], event["duration"], event["phase"]) == ("model_default", 90.0, "FAILED")
    assert "hunter2" not in json.dumps(event)


def test_an_event_stays_small_whatever_the_names_of_its_outputs() -> None:
    outputs = {f"{'n' * 1_000}{number}": Output(number) for number in range(1_000)}
    event = event_of(ModelHook(Remote()), snapshot("a", outputs=outputs, system_fields={"branch": "main"}))  # type: ignore[arg-type]
    assert len(json.dumps(event)) <= MAX_EVENT
    assert event["ref"] == "a"


# The arguments


@pytest.mark.parametrize("wrong", [{"phases": ["RUNNING"]}, {"phases": "DONE"}, {"catch_up": 0}, {"poll_interval": -1}])
def test_wrong_arguments_are_refused_where_the_dag_is_parsed(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Watcher(**wrong)
