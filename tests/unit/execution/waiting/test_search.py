"""Finding an execution: against a model that looks at the whole history each time."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider import _clock, errors
from airflow_provider.execution.model.adapter import ExecutionAdapter, Memo
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Flow, Pages, Route, send
from airflow_provider.execution.model.snapshot import Cursor, LogLine, Snapshot
from airflow_provider.execution.waiting.search import MAX_PAGES, MAX_REJECTED_REFS, START_SKEW_SECONDS, Match, Search, find
from tests.virtual_clock import VirtualClock

NOW = VirtualClock().now()
MATCHES: list[Match] = ["first", "latest", "first_succeeded"]
PAGE: Route[int] = Route("GET", "/page/{number}")


@dataclass
class Run:
    """An execution of the remote system. ``fits``: whether it is one that is meant; None: can't be told yet."""

    number: int
    phase: Phase = Phase.SUCCEEDED
    start: float | None = None
    finish: float | None = None
    fits: bool | None = True

    @property
    def ref(self) -> str:
        return f"run/{self.number}"

    @property
    def snapshot(self) -> Snapshot:
        def moment(at: float | None) -> datetime.datetime | None:
            return None if at is None else datetime.datetime.fromtimestamp(at, datetime.timezone.utc)

        return Snapshot(self.ref, self.phase, self.phase.name, started_at=moment(self.start), finished_at=moment(self.finish))


class Remote(ExecutionAdapter):
    """Lists its runs, newest first, and counts what is read."""

    name, title = "remote", "Remote"

    def __init__(self, runs: list[Run], per_page: int = 5) -> None:
        self.runs, self.per_page = runs, per_page
        self.pages = 0
        self.matched: list[str] = []

    def listed(self, where: Mapping[str, Any], memo: Memo) -> Pages[Snapshot]:
        newest_first = sorted(self.runs, key=lambda run: -run.number)

        def page(at: Any) -> Flow[tuple[list[Snapshot], Any]]:
            number = at or 0
            self.pages += 1
            yield from send(PAGE(number=number))
            start = number * self.per_page
            more = start + self.per_page < len(newest_first)
            return [run.snapshot for run in newest_first[start : start + self.per_page]], number + 1 if more else None

        return page

    def matches(self, where: Mapping[str, Any], snapshot: Snapshot) -> Flow[bool | None]:
        self.matched.append(snapshot.ref)
        yield from send(PAGE(number=0))
        return next(run.fits for run in self.runs if run.ref == snapshot.ref)

    def read(self, ref: str) -> Flow[Snapshot]:
        yield from send(PAGE(number=0))
        return next(run.snapshot for run in self.runs if run.ref == ref)

    details = cancel = resume = read  # type: ignore[assignment]

    def new_lines(self, snapshot: Snapshot, cursor: Cursor, limit: int) -> Flow[list[LogLine]]:
        raise NotImplementedError


def looking(match: Match = "first", **bounds: float | None) -> Search:
    times: dict[str, Any] = {"started_after": None, "started_before": None, "finished_after": None, **bounds}
    return {"what": "a run", "where": {}, "match": match, **times}  # type: ignore[typeddict-item]


def look(remote: Remote, search: Search, memo: Memo) -> tuple[str | None, list[str]]:
    """Look once, as a task does: the memo travels as JSON."""
    flow = find(remote, search, memo)
    try:
        next(flow)
        while True:
            flow.send(None)
    except StopIteration as end:
        kept = json.loads(json.dumps(memo))
        memo.clear()
        memo.update(kept)
        found, candidates = end.value
        return found and found.ref, [item.ref for item in candidates]


def model(runs: list[Run], search: Search, now: float) -> str | None:
    """The execution that is meant, over the whole history. Runs without start are as new as can be, or began when the older one did."""
    meant: list[Run] = []
    started: float | None = None
    for run in sorted(runs, key=lambda run: run.number):
        place = run.start if run.start is not None else run.finish if run.finish is not None else started
        started = run.start if run.start is not None else started
        at = now if run.start is None and not run.phase.ended else place
        after, before, finished = search["started_after"], search["started_before"], search["finished_after"]
        if run.fits is not True:
            continue
        if (after is not None and (at is None or at < after)) or (before is not None and (at is None or at >= before)):
            continue
        if finished is not None and run.phase.ended and run.finish is not None and run.finish < finished:
            continue
        meant.append(run)
    if search["match"] == "latest":
        return meant[-1].ref if meant else None
    if search["match"] == "first_succeeded":
        meant = [run for run in meant if run.phase is Phase.SUCCEEDED]
    meant = [run for run in meant if run.start is not None or run.phase is not Phase.QUEUED]  # it may be delayed for days
    first = min(meant, key=lambda run: (run.start if run.start is not None else float("inf"), run.number), default=None)
    return first.ref if first else None


ENDS = [Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.SKIPPED]


@st.composite
def histories(draw: st.DrawFn, least: int = 0) -> list[Run]:
    """Runs by number; those that have begun did so in that order, but for the skew that is allowed."""
    count = draw(st.integers(least, 25))
    runs: list[Run] = []
    at = NOW - 100_000.0
    for number in range(1, count + 1):
        at += draw(st.sampled_from([0.0, 10.0, 1_000.0, 3_000.0]))
        phase = draw(st.sampled_from([*ENDS, Phase.SUCCEEDED, Phase.FAILED, Phase.RUNNING, Phase.WAITING, Phase.QUEUED]))
        if runs and runs[-1].phase is Phase.QUEUED:  # first in, first out
            phase = Phase.QUEUED
        start = (
            None
            if phase is Phase.QUEUED
            else at + draw(st.sampled_from([0.0, 0.0, START_SKEW_SECONDS / 2 - 1, -START_SKEW_SECONDS / 2 + 1]))
        )
        finish = start + draw(st.sampled_from([0.0, 50.0, 5_000.0])) if start is not None and phase.ended else None
        runs.append(Run(number, phase, start, finish, draw(st.sampled_from([True, True, False]))))
    return runs


_BOUND = st.none() | st.integers(-110, 10).map(lambda thousands: NOW + thousands * 1_000.0)
_SEARCHES = st.builds(
    lambda match, after, before, finished: looking(match, started_after=after, started_before=before, finished_after=finished),
    st.sampled_from(MATCHES), _BOUND, _BOUND, _BOUND,
)  # fmt: skip


@settings(max_examples=150)
@given(histories(), _SEARCHES, st.integers(1, 8))
def test_one_look_finds_what_the_whole_history_says(runs: list[Run], search: Search, per_page: int) -> None:
    assert look(Remote(runs, per_page), search, {})[0] == model(runs, search, NOW)


def _goes_on(draw: st.DrawFn, runs: list[Run], now: float, revive: bool) -> list[Run]:
    """Some time later: queued ones have begun in their order, running ones have ended, ended ones may run again; new ones came."""
    later: list[Run] = []
    for run in runs:
        if run.phase is Phase.QUEUED:  # first in, first out, within the skew
            step = draw(st.sampled_from(["start", "stay", "skip"])) if not any(r.phase is Phase.QUEUED for r in later) else "stay"
            if step == "start":
                run = replace(run, phase=Phase.RUNNING, start=now - 1.0)
            elif step == "skip":
                run = replace(run, phase=Phase.SKIPPED, finish=now - 1.0)
        elif run.phase in (Phase.RUNNING, Phase.WAITING) and draw(st.booleans()):
            run = replace(run, phase=draw(st.sampled_from(ENDS[:3])), finish=now - 1.0)
        elif revive and run.phase is Phase.FAILED and draw(st.integers(0, 3)) == 0:
            run = replace(run, phase=Phase.RUNNING, finish=None)
        later.append(run)
    waits = any(run.phase is Phase.QUEUED for run in later)
    for _ in range(draw(st.integers(0, 8))):
        phase = Phase.QUEUED if waits or draw(st.integers(0, 4)) == 0 else draw(st.sampled_from([Phase.RUNNING, *ENDS]))
        waits = waits or phase is Phase.QUEUED
        start = None if phase is Phase.QUEUED else now - draw(st.sampled_from([0.0, 5.0, 100.0]))
        finish = now if phase.ended else None
        later.append(Run(len(later) + 1, phase, start, finish, draw(st.sampled_from([True, False, False]))))
    return later


@settings(max_examples=100)
@given(st.data(), histories(), st.sampled_from(MATCHES), _BOUND, _BOUND, st.integers(1, 8))
def test_later_looks_find_what_the_whole_history_says(
    data: st.DataObject, runs: list[Run], match: Match, after: float | None, before: float | None, per_page: int
) -> None:
    """Until one is found, however the remote side goes on. Queued, delayed and revived ones are not lost by the memo."""
    search = looking(match, started_after=after, started_before=before)
    memo: Memo = {}
    clock = VirtualClock()
    with _clock.use(clock.local):
        for _ in range(5):
            found, _ = look(Remote(runs, per_page), search, memo)
            assert found == model(runs, search, clock.now())
            if found and match != "first_succeeded":
                break
            now = clock.advance(data.draw(st.sampled_from([30.0, 400.0, 4_000.0])))
            runs = data.draw(st.composite(lambda draw, runs, now: _goes_on(draw, runs, now, True))(runs, now))


@settings(max_examples=12)
@given(st.integers(0, 3), st.sampled_from(MATCHES), st.booleans())
def test_later_looks_read_few_pages(undecided: int, match: Match, bounded: bool) -> None:
    """Of a long history in which nothing fits, only the new end is read again, and what was undecided."""
    runs = [Run(number, start=NOW - (500 - number) * 1_000, finish=NOW, fits=False) for number in range(1, 401)]
    for run in runs[len(runs) - undecided :]:
        run.fits = None
    search = looking(match, started_after=NOW - 10**7 if bounded else None)
    remote, memo = Remote(runs, 20), {}
    look(remote, search, memo)
    assert remote.pages == 20
    for _ in range(3):
        remote.pages = 0
        remote.runs = [*remote.runs, Run(len(remote.runs) + 1, start=NOW, finish=NOW, fits=False)]
        look(remote, search, memo)
        assert remote.pages <= 3
    remote.runs = [replace(run, fits=True) if run.fits is None else run for run in remote.runs]
    assert look(remote, search, memo)[0] == model(remote.runs, search, NOW)
    assert len(json.dumps(memo)) < 5_000


def test_what_was_rejected_is_not_asked_about_again() -> None:
    remote = Remote([Run(number, start=NOW + number, fits=False) for number in range(1, 30)])
    memo: Memo = {}
    look(remote, looking(), memo)
    assert len(remote.matched) == 29
    look(remote, looking(), memo)
    assert len(remote.matched) == 29
    remote.runs.append(Run(30, start=NOW + 30))
    assert look(remote, looking(), memo) == ("run/30", ["run/30"])
    assert remote.matched[29:] == ["run/30"]


def test_the_memo_stays_small() -> None:
    remote = Remote([Run(number, start=NOW + number / 100, fits=False) for number in range(1, 1_001)], 50)
    memo: Memo = {}
    look(remote, looking(), memo)
    assert len(memo["rejected"]) == MAX_REJECTED_REFS


@pytest.mark.parametrize("match", MATCHES)
def test_an_endless_history_needs_a_bound(match: Match) -> None:
    runs = [Run(number, start=NOW - 10_000_000 + number * 1_000, finish=NOW, fits=number % 2 == 0) for number in range(1, MAX_PAGES + 50)]
    remote = Remote(runs, 1)
    if match == "latest":
        assert look(remote, looking(match), {})[0] == runs[-1 if runs[-1].fits else -2].ref
        assert remote.pages <= 2
    else:
        with pytest.raises(errors.ConfigurationError, match="Set started_after"):
            look(remote, looking(match), {})
        assert remote.pages == MAX_PAGES
        after = runs[-10].start
        assert after is not None
        remote.pages = 0
        assert look(remote, looking(match, started_after=after), {})[0] == model(runs, looking(match, started_after=after), NOW)
        assert remote.pages < 15


@pytest.mark.parametrize("match", MATCHES)
def test_more_executions_since_the_bound_than_are_read_are_an_error(match: Match) -> None:
    """The first of them is among those that were not read: the first that was would be the wrong one."""
    remote = Remote([Run(number, start=NOW + number * 1_000, finish=NOW + number * 1_000) for number in range(1, MAX_PAGES + 50)], 1)
    if match == "latest":
        assert look(remote, looking(match, started_after=NOW), {})[0] == remote.runs[-1].ref
    else:
        with pytest.raises(errors.ConfigurationError, match=r"too many executions since .* Set a later started_after"):
            look(remote, looking(match, started_after=NOW), {})


def test_an_empty_list() -> None:
    for match in MATCHES:
        assert look(Remote([]), looking(match), {}) == (None, [])


@pytest.mark.parametrize("match", MATCHES)
def test_all_candidates_are_told_oldest_first(match: Match) -> None:
    runs = [Run(1, start=NOW), Run(2, Phase.FAILED, NOW + 1), Run(3, Phase.RUNNING, NOW + 2), Run(4, Phase.QUEUED)]
    _, candidates = look(Remote(runs, 10), looking(match), {})
    assert candidates == ["run/1", "run/2", "run/3", "run/4"]


# What has no times


def test_a_queued_execution_is_as_new_as_can_be() -> None:
    runs = [Run(1, start=NOW - 5_000, finish=NOW), Run(2, Phase.QUEUED)]
    assert look(Remote(runs), looking("latest", started_after=NOW - 100), {})[0] == "run/2"
    assert look(Remote(runs), looking(started_after=NOW - 100), {}) == (None, ["run/2"])  # till it has begun
    assert look(Remote(runs), looking(started_before=NOW - 100), {})[0] == "run/1"
    assert look(Remote(runs), looking("latest", finished_after=NOW + 100), {})[0] == "run/2"
    assert look(Remote(runs), looking(), {})[0] == "run/1"


def test_a_skipped_one_without_times_counts_from_the_one_before_it() -> None:
    runs = [Run(1, start=NOW - 5_000, finish=NOW), Run(2, Phase.SKIPPED), Run(3, start=NOW, finish=NOW)]
    assert look(Remote(runs), looking("latest", started_before=NOW - 1_000), {})[0] == "run/2"
    assert look(Remote(runs), looking(started_after=NOW - 1_000), {})[0] == "run/3"
    assert look(Remote(runs[:2]), looking("latest"), {})[0] == "run/2"


@pytest.mark.parametrize("fits", [True, None])
def test_one_that_can_not_be_told_yet_is_looked_at_until_it_can(fits: bool | None) -> None:
    queued = Run(1, Phase.QUEUED, fits=None)
    others = [Run(number, start=NOW + number * 1_000, finish=NOW, fits=False) for number in range(2, 60)]
    remote, memo = Remote([queued, *others]), {}
    for _ in range(3):
        assert look(remote, looking(), memo) == (None, [])
    queued.phase, queued.start, queued.fits = Phase.RUNNING, NOW + 100, fits
    assert look(remote, looking(), memo)[0] == ("run/1" if fits else None)


def test_one_that_failed_and_runs_again_is_still_seen() -> None:
    failed = Run(1, Phase.FAILED, NOW, NOW + 1)
    others = [Run(number, start=NOW + number * 1_000, finish=NOW, fits=False) for number in range(2, 60)]
    remote, memo = Remote([failed, *others]), {}
    for _ in range(3):
        assert look(remote, looking("first_succeeded"), memo) == (None, ["run/1"])
    failed.phase = Phase.SUCCEEDED
    assert look(remote, looking("first_succeeded"), memo)[0] == "run/1"
