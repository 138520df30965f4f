"""Waits that share a poller, against a model of the remote side that lies in every way a list can, in virtual time."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from contextlib import aclosing, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider import _clock, errors
from airflow_provider.buddy.api.error_texts import BuddyApiErrors
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.senders import AsyncSender
from airflow_provider.execution.model.adapter import ExecutionAdapter, Glance, Overview
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Flow, Pages, Sleep
from airflow_provider.execution.model.snapshot import Cursor, LogLine, Snapshot
from airflow_provider.execution.waiting.shared_polling import (
    DEPTH_SEARCH_SECONDS,
    MAX_FALSE_ALARMS,
    MAX_PAGES,
    OWN_POLL_SECONDS,
    OWN_POLLS_PER_ROUND,
    Poller,
    polls,
)
from airflow_provider.execution.waiting.wait import MIN_POLL_SECONDS, POLL_BACKOFF, Wait, WaitPolicy, WaitState
from tests import virtual_clock
from tests.virtual_clock import VirtualClock

LATENCY = 0.2
HOUR = 3_600.0
WHO: ContextVar[str] = ContextVar("who", default="nobody")
ERRORS: dict[str, Callable[[], Exception]] = {
    "500": lambda: errors.ServerError("500", status=500),
    "refused": lambda: errors.TransportError("refused", sent=False),
    "429": lambda: errors.RateLimited("429", retry_after=15.0),
    "timeout": lambda: errors.TransportError("no answer within 30 s"),
    "401": lambda: errors.Unauthorized("401", status=401),
    "html": lambda: errors.ProtocolError("an HTML page"),
    "bug": lambda: ZeroDivisionError("not foreseen"),
}
SLOW = 30.0


def now() -> float:
    return virtual_clock.current().passed


def run(work: Coroutine[Any, Any, None], limit: float = 100 * HOUR) -> None:
    """On a clock of its own, on which no time has passed; no task may be left."""
    clock = VirtualClock()

    async def bounded() -> None:
        with _clock.deadline(limit):  # whatever was lost, and would be waited for without end
            await work

    with _clock.use(clock.local):
        clock.run(bounded(), to_the_end=True)


# A model of the remote side


@dataclass
class Execution:
    """What it is from a moment on; a status of None: it is gone. It runs anew each time it is ``RUNNING`` behind an end."""

    ref: str
    states: list[tuple[float, Phase | None]]
    hidden: bool = False
    frozen_at: float = float("inf")
    """From then on the list shows what it was then."""

    def at(self, moment: float) -> tuple[Phase | None, str]:
        last: Phase | None = Phase.QUEUED
        ended, run = False, 0
        for since, phase in self.states:
            if since > moment:
                break
            run += ended
            last, ended = phase, phase is not None and phase.ended
        return last, f"run {run}"

    def ended_for_good(self) -> float:
        """Since when it has its last state; that is an end, or that it is gone."""
        return self.states[-1][0]


class Poison(str):
    """A status that nothing can be compared with."""

    __slots__ = ()

    def __ne__(self, other: object) -> bool:
        raise ZeroDivisionError("not foreseen")

    __hash__ = str.__hash__


@dataclass
class Outage:
    start: float
    seconds: float
    kind: str
    of: str
    """``list`` or ``all``."""
    unanswered: float = SLOW
    """Seconds that a request without answer takes."""

    def hits(self, what: str) -> bool:
        return self.start <= now() < self.start + self.seconds and self.of in (what, "all")


@dataclass
class Remote:
    """Executions, and a list of them."""

    executions: dict[str, Execution]
    chance: random.Random = field(default_factory=lambda: random.Random(6))
    lag: float = 0.0
    disorder: bool = False
    twice: float = 0.0
    lost: float = 0.0
    active_only: bool = False
    with_runs: bool = True
    page: int = 50
    poisoned: tuple[float, float] = (0.0, 0.0)
    """From when to when the list breaks the round that looks at it."""
    outages: list[Outage] = field(default_factory=list)
    reads: list[tuple[float, str]] = field(default_factory=list)
    pages: list[tuple[float, int]] = field(default_factory=list)
    """Time and number of each page of the list that was asked for."""
    asked_by: set[str] = field(default_factory=set)

    def fail(self, what: str) -> Flow[None]:
        yield Sleep(LATENCY)
        for outage in self.outages:
            if outage.hits(what):
                if outage.kind == "timeout":
                    yield Sleep(outage.unanswered)
                raise ERRORS[outage.kind]()

    def shown(self) -> list[Glance]:
        items = []
        moment = now() - self.lag
        for execution in self.executions.values():
            if execution.hidden or (self.lost and self.chance.random() < self.lost):
                continue
            phase, run = execution.at(min(moment, execution.frozen_at))
            if phase is None or (self.active_only and phase.ended):
                continue
            status = Poison(phase.value) if self.poisoned[0] <= now() < self.poisoned[1] else phase.value
            items.append(Glance(execution.ref, status, run if self.with_runs else None))
            if self.twice and self.chance.random() < self.twice:  # once more, as it was a while ago
                before, run = execution.at(moment - self.chance.uniform(0, 100))
                if before is not None:
                    items.append(Glance(execution.ref, before.value, run if self.with_runs else None))
        if self.disorder:
            self.chance.shuffle(items)
        return items


class Model(ExecutionAdapter):
    """The system of a remote side; each scope has its own list."""

    name, title = "model", "Model"

    def __init__(self, remote: Remote, scope: str = "all") -> None:
        self.remote, self.scope = remote, scope

    def read(self, ref: str) -> Flow[Snapshot]:
        self.remote.reads.append((now(), ref))
        yield from self.remote.fail("read")
        phase, run = self.remote.executions[ref].at(now())
        if phase is None:
            raise errors.NotFound("404")
        return Snapshot(ref, phase, phase.value, run=run)

    def overview(self, ref: str) -> Overview | None:
        remote = self.remote

        def page(at: Any) -> Flow[tuple[list[Glance], Any]]:
            number = at or 0
            remote.pages.append((now(), number))
            remote.asked_by.add(WHO.get())
            yield from remote.fail("list")
            items = remote.shown()
            first = number * remote.page
            return items[first : first + remote.page], number + 1 if first + remote.page < len(items) else None

        pages: Pages[Glance] = page
        return Overview((self.scope,), ref, pages)

    def new_lines(self, snapshot: Snapshot, cursor: Cursor, limit: int) -> Flow[list[LogLine]]:
        raise AssertionError("no wait here shows a log")

    details = cancel = resume = new_lines  # type: ignore[assignment]


# The waits


class Log:
    def __init__(self) -> None:
        self.said: list[str] = []

    def info(self, event: str, *arguments: Any) -> None:
        self.said.append(event % arguments)

    warning = error = info


def policy(**given: Any) -> WaitPolicy:
    return {  # type: ignore[return-value]
        "timeout": 30 * HOUR, "deadline": None, "waiting_timeout": None, "waiting_counts": True, "stop_on_waiting": False,
        "poll_interval": 30.0, "poll_failure_budget": 10 * HOUR, "vanish_grace": 60.0, "start_grace": None, "log_lines": 0, **given,
    }  # fmt: skip


def a_sender(conn_id: str = "one") -> AsyncSender:
    endpoint = Endpoint("model", "Model", conn_id, "https://model.invalid", (), BuddyApiErrors())
    return AsyncSender(endpoint, None)  # type: ignore[arg-type]  # the model's flows send nothing


@dataclass
class SimulatedWait:
    """One wait, and what came of it."""

    ref: str
    starts: float = 0.0
    interval: float = 30.0
    leaves: float | None = None
    """Seconds after which it is cancelled."""
    more: dict[str, Any] = field(default_factory=dict)
    end: str | None = None
    ended: float = 0.0
    error: Exception | None = None
    read_at: float = 0.0
    log: Log = field(default_factory=Log)

    async def follow(self, system: ExecutionAdapter, sender: AsyncSender) -> None:
        await _clock.asleep(self.starts)
        WHO.set(self.ref)
        state = WaitState(since=_clock.now())
        wait = Wait(system, self.ref, policy(poll_interval=self.interval, **self.more), state, self.log)
        try:
            async with aclosing(polls(sender, wait)) as results:
                async for self.end in results:
                    pass
        except errors.ExecutionApiError as error:
            self.error = error
        self.ended = now()

    async def run(self, system: ExecutionAdapter, sender: AsyncSender) -> None:
        task = asyncio.create_task(self.follow(system, sender))
        if self.leaves is not None:
            with suppress(TimeoutError), _clock.deadline(self.starts + self.leaves):
                await asyncio.wait([task])
            task.cancel()
        await asyncio.gather(task, return_exceptions=self.leaves is not None)

    def polls_of_its_own(self, until: float) -> float:
        """How often it would look by its own gaps, at their shortest."""
        age, count = 0.0, 1.0
        while age < until - self.starts:
            age += 0.9 * self.gap(age)
            count += 1
        return count

    def gap(self, age: float) -> float:
        return min(max(POLL_BACKOFF * age, MIN_POLL_SECONDS), self.interval)


def follow(remote: Remote, waits: list[SimulatedWait]) -> None:
    """Run all waits to their ends."""

    async def work() -> None:
        system, sender = Model(remote), a_sender()
        await asyncio.gather(*(wait.run(system, sender) for wait in waits))
        assert len(Poller._registry) == 0, "a poller is left behind its last wait"

    run(work())


MOMENTS = st.integers(10, 3_000).map(float)


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[float, Phase | None]]:
    """It runs; may wait, end and be revived; in the end it ends, or is gone."""
    moments = iter(sorted(draw(st.lists(MOMENTS, min_size=6, max_size=6))))
    states: list[tuple[float, Phase | None]] = [(draw(st.sampled_from([0.0, 5.0])), Phase.RUNNING)]
    for phase in draw(st.lists(st.sampled_from([Phase.WAITING, Phase.RUNNING, Phase.UNKNOWN, Phase.FAILED]), max_size=4)):
        states.append((next(moments), phase))
        if phase.ended:
            states.append((next(moments), Phase.RUNNING))
            break
    last: Phase | None = draw(st.sampled_from([Phase.SUCCEEDED, Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, None]))
    return [*states, (next(moments), last)]


OUTAGES = st.one_of(
    st.builds(Outage, MOMENTS, st.integers(1, 400), st.sampled_from(sorted(ERRORS)), st.just("list")),
    st.builds(Outage, MOMENTS, st.integers(1, 400), st.sampled_from(["500", "refused", "429", "timeout"]), st.just("all")),
)
REMOTES = st.builds(
    Remote,
    executions=st.lists(
        st.builds(Execution, ref=st.just(""), states=histories(), hidden=st.booleans(), frozen_at=st.just(float("inf")) | MOMENTS),
        min_size=1,
        max_size=10,
    ).map(
        lambda items: {str(number): Execution(str(number), item.states, item.hidden, item.frozen_at) for number, item in enumerate(items)}
    ),
    chance=st.randoms(use_true_random=False).map(lambda chance: random.Random(chance.random())),
    lag=st.sampled_from([0.0, 0.0, 3.0, 60.0]),
    disorder=st.booleans(),
    twice=st.sampled_from([0.0, 0.3, 1.0]),
    lost=st.sampled_from([0.0, 0.3]),
    active_only=st.booleans(),
    with_runs=st.booleans(),
    page=st.integers(1, 10),
    outages=st.lists(OUTAGES, max_size=2),
)


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Remote, list[SimulatedWait]]:
    remote = draw(REMOTES)
    waits = [
        SimulatedWait(
            ref,
            starts=draw(st.just(0.0) | st.floats(0, 600)),
            interval=draw(st.sampled_from([5.0, 30.0, 30.0, 300.0])),
            leaves=draw(st.none() | st.none() | st.floats(0, 500)),
            more=draw(st.just({}) | st.fixed_dictionaries({"timeout": st.floats(1, 2_000)})),
        )
        for ref in remote.executions
    ]
    return remote, waits


@pytest.mark.long
@given(scenes())
@settings(max_examples=80)
def test_no_wait_is_lost_whatever_the_list_shows(scene: tuple[Remote, list[SimulatedWait]]) -> None:
    remote, waits = scene
    follow(remote, waits)
    trouble = sum(outage.seconds + SLOW for outage in remote.outages)
    for wait in waits:
        if wait.leaves is not None and wait.end is None:
            continue
        execution = remote.executions[wait.ref]
        read_at = max(moment for moment, ref in remote.reads if ref == wait.ref)
        phase, _ = execution.at(read_at + LATENCY)
        since = max([wait.starts, *(moment for moment, _ in execution.states if moment <= wait.ended)])
        late = wait.ended - since
        # How long a list may say that there is no news although there is: until the wait looks for itself in any case.
        untrue = 1.2 * OWN_POLL_SECONDS + len(waits) / OWN_POLLS_PER_ROUND * 30 if execution.frozen_at < wait.ended else 0.0
        bound = 1.1 * wait.gap(wait.ended - wait.starts) + remote.lag + untrue + trouble + 15.0 + 30 * LATENCY
        assert wait.error is None
        if wait.end == "ended":  # as it has read itself, and not before
            assert phase is not None
            assert phase.ended
            assert late <= bound
        elif wait.end == "vanished":
            assert phase is None
            assert 60.0 <= late <= 60.0 + 2 * bound
        else:
            assert wait.end == "timeout"
            over = wait.ended - wait.starts - wait.more["timeout"]
            assert -1e-6 <= over <= trouble + 30 * LATENCY
            assert remote.outages or phase is None or not phase.ended


@pytest.mark.long
@given(scenes())
@settings(max_examples=60)
def test_requests_are_no_more_than_waits_alone_would_send_and_a_few_pages(scene: tuple[Remote, list[SimulatedWait]]) -> None:
    remote, waits = scene
    follow(remote, waits)
    last = max(wait.ended or wait.starts + (wait.leaves or 0.0) for wait in waits)
    allowed = 0.0
    for wait in waits:
        until = wait.ended or wait.starts + (wait.leaves or 0.0)
        alone = wait.polls_of_its_own(until)
        news = len(remote.executions[wait.ref].states) + len(remote.outages)
        assert sum(ref == wait.ref for _, ref in remote.reads) <= (MAX_FALSE_ALARMS + 1) * (alone + news)
        allowed += alone
    firsts = sum(number == 0 for _, number in remote.pages)
    assert firsts <= allowed + len(waits)
    assert len(remote.pages) <= 2 * firsts + min(MAX_PAGES, len(waits)) * (last / DEPTH_SEARCH_SECONDS + 1)
    assert remote.asked_by <= {"nobody"}, "the poller runs in the context of a wait"


# One thing at a time


def running(*ends: float, **fields: Any) -> dict[str, Execution]:
    """Executions that run until then."""
    return {
        str(number): Execution(str(number), [(0.0, Phase.RUNNING), (end, Phase.SUCCEEDED)], **fields) for number, end in enumerate(ends)
    }


def first_pages(remote: Remote) -> int:
    return sum(number == 0 for _, number in remote.pages)


def test_one_request_a_round_answers_for_all() -> None:
    remote = Remote(running(*[2 * HOUR] * 50))
    waits = [SimulatedWait(ref, interval=30.0) for ref in remote.executions]
    follow(remote, waits)
    assert [wait.end for wait in waits] == ["ended"] * 50
    alone = waits[0].polls_of_its_own(2 * HOUR)
    assert len(remote.pages) <= alone + 5
    # At first, at the end, and now and then, since a list need not show all that there is to know.
    assert len(remote.reads) <= 50 * (2 + 2 * HOUR / OWN_POLL_SECONDS / 0.8)


def test_a_lone_wait_looks_for_itself() -> None:
    remote = Remote(running(HOUR))
    follow(remote, [SimulatedWait("0")])
    assert remote.pages == []


def test_a_wait_that_is_left_alone_looks_for_itself() -> None:
    remote = Remote(running(600.0, 2 * HOUR))
    follow(remote, [SimulatedWait("0"), SimulatedWait("1")])
    assert max(moment for moment, _ in remote.pages) <= 600.0 + 35.0


def test_waits_that_the_list_does_not_show_ask_for_no_list() -> None:
    end = 1_200.0
    remote = Remote(
        running(*[end] * 2) | {str(n): Execution(str(n), [(0.0, Phase.RUNNING), (end, Phase.FAILED)], True) for n in range(2, 40)}
    )
    waits = [SimulatedWait(ref, starts=0.7 * int(ref)) for ref in remote.executions]
    follow(remote, waits)
    alone = waits[0].polls_of_its_own(end)
    assert first_pages(remote) <= alone + end / DEPTH_SEARCH_SECONDS + 10
    assert len(remote.reads) <= 40 * (alone + 3)


def test_a_list_that_shows_no_wait_is_left_alone() -> None:
    remote = Remote(running(*[HOUR] * 20, hidden=True), page=10)
    follow(remote, [SimulatedWait(ref) for ref in remote.executions])
    assert len(remote.pages) <= 10


def test_pages_are_read_as_far_as_they_save_requests() -> None:
    others = {f"other{n}": Execution(f"other{n}", [(0.0, Phase.RUNNING)]) for n in range(40)}
    remote = Remote(running(*[HOUR] * 20) | others | running(*[HOUR] * 20) | {"last": running(HOUR)["0"]}, page=10)
    remote.executions["last"].ref = "last"  # on the seventh page, where no other is
    waits = [SimulatedWait(str(n)) for n in range(20)] + [SimulatedWait("last")]
    follow(remote, waits)
    deep = [moment for moment, number in remote.pages if number > 1]
    assert all(number < 7 for _, number in remote.pages)
    assert len(deep) <= 5 * (HOUR / DEPTH_SEARCH_SECONDS + 1)
    assert sum(ref == "last" for _, ref in remote.reads) > 100


def test_further_pages_that_save_nothing_are_read_by_searches_only() -> None:
    others = {f"other{n}": Execution(f"other{n}", [(0.0, Phase.RUNNING)]) for n in range(40)}
    far = {f"far{n}": Execution(f"far{n}", [(0.0, Phase.RUNNING), (HOUR, Phase.SUCCEEDED)]) for n in range(3)}
    remote = Remote(running(*[HOUR] * 20) | others | far, page=10)
    follow(remote, [SimulatedWait(ref) for ref in remote.executions if ref not in others])
    first, second, *further = (sum(page == number for _, page in remote.pages) for number in range(7))
    assert first == second
    assert len(set(further)) == 1
    assert HOUR / DEPTH_SEARCH_SECONDS / 2 < further[0] < 0.7 * first


def test_many_that_come_at_once_are_looked_for_on_further_pages_soon() -> None:
    """Not by the next search only, that is a minute later: until then, each would ask for itself."""
    remote = Remote(running(*[600.0] * 300), page=30)
    follow(remote, [SimulatedWait(ref, starts=0.0 if int(ref) < 60 else 15.0) for ref in remote.executions])
    assert sum(45.0 <= moment < 0.9 * DEPTH_SEARCH_SECONDS for moment, _ in remote.reads) < MAX_PAGES


@pytest.mark.long
def test_few_that_no_page_shows_are_not_searched_for_in_every_round() -> None:
    end = 1_200.0
    others = {f"other{n}": Execution(f"other{n}", [(0.0, Phase.RUNNING)]) for n in range(300)}
    hidden = {str(n): Execution(str(n), [(0.0, Phase.RUNNING), (end, Phase.SUCCEEDED)], True) for n in range(20, 50)}
    remote = Remote(running(*[end] * 20) | hidden | others, page=15)
    follow(remote, [SimulatedWait(str(n)) for n in range(50)])
    assert sum(number > 1 for _, number in remote.pages) <= MAX_PAGES * (end / DEPTH_SEARCH_SECONDS + 1)


def test_an_execution_that_is_shown_twice_has_news_if_either_says_so() -> None:
    remote = Remote(running(*[1_000.0] * 5), twice=1.0)
    waits = [SimulatedWait(ref) for ref in remote.executions]
    shown = remote.shown
    remote.shown = lambda: [*shown(), *(Glance(ref, "RUNNING", "run 0") for ref in remote.executions)]  # type: ignore[method-assign]
    follow(remote, waits)
    assert all(wait.ended <= 1_000.0 + 35.0 for wait in waits)


def test_a_list_that_is_wrong_about_an_execution_is_not_believed_for_long() -> None:
    """Else each of the others' rounds would have it looked at; so only some do, behind each look of its own."""
    remote = Remote(running(HOUR, HOUR) | {"2": Execution("2", [(0.0, Phase.QUEUED), (2.0, Phase.RUNNING), (HOUR, Phase.SUCCEEDED)])})
    remote.executions["2"].frozen_at = 1.0
    waits = [SimulatedWait("0", interval=10.0), SimulatedWait("1", interval=10.0), SimulatedWait("2", starts=5.0, interval=600.0)]
    follow(remote, waits)
    assert sum(ref == "2" for _, ref in remote.reads) <= (1 + MAX_FALSE_ALARMS) * waits[2].polls_of_its_own(HOUR)


def test_a_list_that_is_refused_ends_no_wait() -> None:
    remote = Remote(running(*[1_000.0] * 5), outages=[Outage(0.0, HOUR, "401", "list")])
    waits = [SimulatedWait(ref) for ref in remote.executions]
    follow(remote, waits)
    assert [(wait.end, wait.error) for wait in waits] == [("ended", None)] * 5


def test_a_login_that_is_refused_ends_each_wait_by_its_own_look() -> None:
    remote = Remote(running(*[1_000.0] * 5), outages=[Outage(300.0, HOUR, "401", "all")])
    waits = [SimulatedWait(ref) for ref in remote.executions]
    follow(remote, waits)
    assert all(isinstance(wait.error, errors.Unauthorized) for wait in waits)


@pytest.mark.parametrize("kind", ["429", "refused"])
def test_while_nobody_is_answered_few_ask(kind: str) -> None:
    outage = Outage(1_000.0, 500.0, kind, "all")
    remote = Remote(running(*[2_000.0] * 100), outages=[outage])
    waits = [SimulatedWait(ref) for ref in remote.executions]
    follow(remote, waits)
    assert all(wait.end == "ended" and wait.ended <= 2_040.0 for wait in waits)
    rounds = 500.0 / 25.0
    meanwhile = sum(1_000.0 <= moment < 1_500.0 for moment, _ in remote.reads)
    assert meanwhile <= OWN_POLLS_PER_ROUND * 2 * rounds
    assert all(any(kind in line for line in wait.log.said) for wait in waits), "each wait says what keeps it waiting"
    afterwards = sum(1_500.0 <= moment < 1_990.0 for moment, _ in remote.reads)
    assert afterwards <= (0 if kind == "429" else 100) + 100


@pytest.mark.parametrize("kind", ["refused", "500", "timeout"])
def test_trouble_that_passed_does_not_count_any_longer(kind: str) -> None:
    remote = Remote(running(*[6_000.0] * 10), outages=[Outage(1_000.0, 450.0, kind, "all"), Outage(3_000.0, 450.0, kind, "all")])
    waits = [SimulatedWait(ref, more={"poll_failure_budget": 600.0}) for ref in remote.executions]
    follow(remote, waits)
    assert [wait.end for wait in waits] == ["ended"] * 10
    assert all(sum("answers again" in line for line in wait.log.said) == 2 for wait in waits)


def test_who_is_not_answered_for_too_long_gives_up() -> None:
    remote = Remote(running(*[HOUR] * 10), outages=[Outage(1_000.0, HOUR, "refused", "all")])
    waits = [SimulatedWait(ref, more={"poll_failure_budget": 600.0}) for ref in remote.executions]
    follow(remote, waits)
    assert all(wait.end == "unreachable" and 1_600.0 <= wait.ended <= 1_700.0 for wait in waits)


@pytest.mark.long
@pytest.mark.parametrize("kind", sorted(ERRORS))
def test_a_list_that_fails_is_read_again_some_time_later(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    remote = Remote(running(*[4 * HOUR] * 20), outages=[Outage(100.0, 900.0, kind, "list")])
    waits = [SimulatedWait(ref) for ref in remote.executions]
    follow(remote, waits)
    assert [wait.end for wait in waits] == ["ended"] * 20
    meanwhile = [ref for moment, ref in remote.reads if 200.0 <= moment <= 1_000.0]
    assert set(meanwhile) == set(remote.executions), "waits looked for themselves"
    again = [moment for moment, _ in remote.pages if moment > 1_000.0]
    assert min(again) <= 1_700.0
    assert sum(moment > 2_000.0 for moment, _ in remote.reads) <= 20 * (1 + 3.5 * HOUR / OWN_POLL_SECONDS / 0.8)
    assert len(caplog.records) == (2 if kind == "bug" else 0)


def test_a_list_that_hangs_holds_its_waits_no_longer_than_a_look_of_their_own_may_be_late() -> None:
    remote = Remote(running(*[400.0] * 20), outages=[Outage(100.0, HOUR, "timeout", "list", unanswered=HOUR)])
    waits = [SimulatedWait(ref) for ref in remote.executions]
    follow(remote, waits)
    assert [wait.end for wait in waits] == ["ended"] * 20
    assert max(wait.ended for wait in waits) <= 400.0 + 30.0 + 2 * 33.0


def test_a_round_that_breaks_ends_no_wait(caplog: pytest.LogCaptureFixture) -> None:
    remote = Remote(running(*[4 * HOUR] * 20), poisoned=(100.0, 1_000.0))
    waits = [SimulatedWait(ref) for ref in remote.executions] + [SimulatedWait(ref, starts=400.0) for ref in remote.executions]
    follow(remote, waits)
    assert [wait.end for wait in waits] == ["ended"] * 40
    assert max(wait.ended for wait in waits) <= 4 * HOUR + 35.0
    meanwhile = [ref for moment, ref in remote.reads if 200.0 <= moment <= 1_000.0]
    assert set(meanwhile) == set(remote.executions), "waits looked for themselves"
    assert len(meanwhile) <= 40 * 800.0 / 20.0, "no more often than each alone would"
    assert any(moment > 1_000.0 for moment, _ in remote.pages)
    assert sum(moment > 2_000.0 for moment, _ in remote.reads) <= 40 * (1 + 3.5 * HOUR / OWN_POLL_SECONDS / 0.8)
    assert caplog.records
    assert all("is started again" in record.message for record in caplog.records)


@pytest.mark.parametrize("trouble", ["it hangs", "it breaks"])
def test_a_deadline_is_kept_whatever_the_list_does(trouble: str) -> None:
    remote = Remote(running(*[HOUR] * 20))
    if trouble == "it hangs":
        remote.outages.append(Outage(100.0, HOUR, "timeout", "list", unanswered=HOUR))
    else:
        remote.poisoned = (100.0, HOUR)
    waits = [SimulatedWait(ref, more={"timeout": 140.0 + number}) for number, ref in enumerate(remote.executions)]
    follow(remote, waits)
    assert [wait.end for wait in waits] == ["timeout"] * 20
    assert max(wait.ended - wait.more["timeout"] for wait in waits) <= 2 * LATENCY


def test_each_wait_is_told_of_a_refusal_by_an_error_of_its_own() -> None:
    told: list[Exception] = []

    class Told(Wait):
        def poll(self, error: errors.ExecutionApiError | None = None) -> Any:
            told.extend([error] if error is not None else [])
            return super().poll(error)

    async def work() -> None:
        sender, system = a_sender(), Model(Remote(running(*[500.0] * 20), outages=[Outage(100.0, 200.0, "refused", "all")]))

        async def follow(ref: str) -> None:
            wait = Told(system, ref, policy(), WaitState(since=_clock.now()), Log())
            async with aclosing(polls(sender, wait)) as results:
                async for _ in results:
                    pass

        await asyncio.gather(*map(follow, system.remote.executions))

    run(work())
    assert len(told) > 20
    assert len({id(error) for error in told}) == len(told)


def test_a_list_that_fails_affects_its_own_waits_only() -> None:
    sound, broken = Remote(running(*[HOUR] * 20)), Remote(running(*[HOUR] * 20), outages=[Outage(0.0, 2 * HOUR, "500", "list")])

    async def work() -> None:
        sender = a_sender()
        waits = [(SimulatedWait(ref), Model(remote, scope)) for remote, scope in ((sound, "a"), (broken, "b")) for ref in remote.executions]
        await asyncio.gather(*(wait.run(system, sender) for wait, system in waits))
        assert [wait.end for wait, _ in waits] == ["ended"] * 40

    run(work())
    assert len(sound.reads) < 20 * 12
    assert len(broken.reads) > 20 * 80


def test_a_poller_comes_again_after_its_last_wait() -> None:
    remote = Remote(running(300.0, 300.0, 2_000.0, 2_000.0))
    waits = [SimulatedWait("0"), SimulatedWait("1"), SimulatedWait("2", starts=1_000.0), SimulatedWait("3", starts=1_000.0)]
    follow(remote, waits)
    assert [wait.end for wait in waits] == ["ended"] * 4
    moments = [moment for moment, _ in remote.pages]
    assert min(moments) < 300.0
    assert max(moments) > 1_000.0
    assert not [moment for moment in moments if 340.0 < moment < 1_000.0]


def test_who_was_first_may_leave_first() -> None:
    remote = Remote(running(*[2_000.0] * 4))
    waits = [SimulatedWait("0", leaves=50.0), *(SimulatedWait(str(number), starts=1.0) for number in range(1, 4))]
    follow(remote, waits)
    assert [wait.end for wait in waits[1:]] == ["ended"] * 3
    assert max(moment for moment, _ in remote.pages) > 1_900.0
    assert remote.asked_by == {"nobody"}


def test_a_poller_goes_by_a_sender_that_its_waits_hold_open() -> None:
    """Two senders may lead to the same place, such as after a credential was renewed; the first may be closed."""
    remote = Remote(running(300.0, 2_000.0, 2_000.0))
    closed: list[AsyncSender] = []

    class Closing(AsyncSender):
        async def run(self, flow: Flow[Any], send: Any = None, within: float | None = None) -> Any:
            assert self not in closed
            return await super().run(flow, send, within)

    async def work() -> None:
        first, second = (Closing(a_sender().endpoint, None) for _ in range(2))  # type: ignore[arg-type]
        waits = [SimulatedWait("0"), SimulatedWait("1", starts=1.0), SimulatedWait("2", starts=1.0)]
        others = [asyncio.create_task(wait.run(Model(remote), second)) for wait in waits[1:]]
        await waits[0].run(Model(remote), first)
        closed.append(first)
        await asyncio.gather(*others)
        assert [wait.end for wait in waits] == ["ended"] * 3

    run(work())
    assert max(moment for moment, _ in remote.pages) > 1_900.0


def test_connections_and_event_loops_do_not_share() -> None:
    remote = Remote(running(HOUR, HOUR))

    async def work() -> None:
        await asyncio.gather(
            *(SimulatedWait(ref).run(Model(remote), a_sender(conn_id)) for ref, conn_id in zip("01", ("one", "two"), strict=True))
        )

    run(work())
    assert remote.pages == []


def test_who_must_see_gates_or_shows_a_log_looks_for_itself() -> None:
    for more in ({"stop_on_waiting": True}, {"waiting_timeout": 60.0}, {"waiting_timeout": 60.0, "waiting_counts": False}):
        remote = Remote(running(HOUR, HOUR))
        waits = [SimulatedWait(ref, more=more) for ref in remote.executions]
        follow(remote, waits)
        assert [wait.end for wait in waits] == ["ended"] * 2
        assert remote.pages == [], more


def test_a_gate_that_only_a_look_shows_is_seen_in_time() -> None:
    """Time in WAITING does not count for an operator, although the list shows nothing of it."""
    states: list[tuple[float, Phase | None]] = [
        (0.0, Phase.RUNNING),
        (400.0, Phase.WAITING),
        (3_000.0, Phase.RUNNING),
        (3_100.0, Phase.SUCCEEDED),
    ]
    remote = Remote({ref: Execution(ref, states, frozen_at=300.0) for ref in "01"})
    waits = [SimulatedWait(ref, more={"waiting_counts": False, "timeout": 900.0}) for ref in "01"]
    follow(remote, waits)
    assert [wait.end for wait in waits] == ["ended"] * 2


def test_the_log_of_other_code_stays_clean(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    follow(
        Remote(running(*[600.0] * 5), outages=[Outage(100.0, 200.0, "500", "list")]), [SimulatedWait(str(number)) for number in range(5)]
    )
    assert [record for record in caplog.records if record.name != "asyncio"] == []
