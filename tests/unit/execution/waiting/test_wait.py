"""One look at a time: what ends a wait, how long to the next look, what is said, what is remembered."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider import _clock, errors
from airflow_provider.execution.model.adapter import ExecutionAdapter
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Flow, LastAnswer, Sleep
from airflow_provider.execution.model.snapshot import Cursor, LogLine, Snapshot
from airflow_provider.execution.waiting.wait import HEARTBEAT_SECONDS, MAX_WAITING_SECONDS, Wait, WaitPolicy, WaitState
from tests.virtual_clock import VirtualClock

REF = "w/1"
URL = "https://remote.example/1"


def snapshot(phase: Phase = Phase.RUNNING, status: str | None = None, **fields: Any) -> Snapshot:
    return Snapshot(REF, phase, phase.value if status is None else status, URL, **fields)


class Scripted(ExecutionAdapter):
    """Answers one look after the other from a list; an exception is raised."""

    name = "scripted"
    title = "Scripted"

    def __init__(self, *answers: Snapshot | Exception) -> None:
        self.answers = list(answers)
        self.lines: list[LogLine | Exception] = []
        self.asked: list[tuple[Cursor, int]] = []

    def read(self, ref: str) -> Flow[Snapshot]:
        assert ref == REF
        yield Sleep(0)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def new_lines(self, snapshot: Snapshot, cursor: Cursor, limit: int) -> Flow[list[LogLine]]:
        yield Sleep(0)
        self.asked.append((dict(cursor), limit))
        lines = self.lines[:limit]
        del self.lines[:limit]
        for line in lines:
            if isinstance(line, Exception):
                raise line
        cursor["s"] = cursor.get("s", 0) + len(lines)
        return [line for line in lines if isinstance(line, LogLine)]

    def details(self, ref: str) -> Flow[Snapshot]:
        raise AssertionError("not for a wait")

    cancel = resume = explain_ref = details  # type: ignore[assignment]


class Log:
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    def info(self, event: str, *arguments: Any, **fields: Any) -> None:
        self.said.append(("info", event % arguments if arguments else event))

    def warning(self, event: str, *arguments: Any, **fields: Any) -> None:
        self.said.append(("warning", event % arguments if arguments else event))

    def error(self, event: str, *arguments: Any, **fields: Any) -> None:
        self.said.append(("error", event % arguments if arguments else event))

    def of(self, level: str, part: str) -> list[str]:
        return [text for said, text in self.said if said == level and part in text]


class Bench:
    """A wait on a clock of its own."""

    def __init__(self, *answers: Snapshot | Exception, state: WaitState | None = None, at: float = 0.0, **policy: Any) -> None:
        self.clock = VirtualClock(1_000_000.0 + at)
        self.system = Scripted(*answers)
        self.log = Log()
        self.state = state or WaitState(since=self.clock.now())
        self.policy: WaitPolicy = {
            "timeout": 1_000.0,
            "waiting_timeout": None,
            "waiting_counts": False,
            "stop_on_waiting": False,
            "poll_interval": 30.0,
            "poll_failure_budget": 100.0,
            "vanish_grace": 60.0,
            "log_lines": 100,
        }
        self.policy.update(policy)  # type: ignore[typeddict-item]
        with _clock.use(self.clock.local):
            self.wait = Wait(self.system, REF, self.policy, self.state, self.log)

    def look(self, after: float = 0.0) -> str | None:
        """Look once, ``after`` seconds; the flow is driven by hand."""
        self.clock.advance(after)
        flow = self.wait.poll()
        with _clock.use(self.clock.local):
            try:
                while True:
                    assert isinstance(next(flow), Sleep)
            except StopIteration as end:
                return end.value  # type: ignore[no-any-return]

    def gap(self) -> float:
        with _clock.use(self.clock.local):
            return self.wait.gap()


# Ends


@pytest.mark.parametrize("phase", list(Phase))
def test_only_ended_phases_end_the_wait(phase: Phase) -> None:
    ended = phase in {Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.TIMED_OUT, Phase.SKIPPED}
    assert phase.ended == ended
    bench = Bench(snapshot(phase))
    assert bench.look() == ("ended" if ended else None)
    assert bench.wait.snapshot is not None
    assert bench.wait.snapshot.phase is phase


@pytest.mark.parametrize("phase", [Phase.QUEUED, Phase.RUNNING, Phase.STOPPING, Phase.UNKNOWN])
def test_the_timeout_ends_every_phase_that_goes_on(phase: Phase) -> None:
    bench = Bench(snapshot(phase), timeout=100.0)
    assert bench.look(99.0) is None
    assert bench.look(1.0) == "timeout"


def test_an_end_beyond_the_timeout_is_an_end() -> None:
    assert Bench(snapshot(Phase.SUCCEEDED), timeout=100.0).look(500.0) == "ended"


@pytest.mark.parametrize("error", [errors.Unauthorized("no"), errors.Forbidden("no"), errors.ConfigurationError("no")], ids=repr)
def test_what_waiting_does_not_mend_is_raised_at_once(error: Exception) -> None:
    with pytest.raises(type(error)):
        Bench(error).look()


# Timeout and waiting for a person


@pytest.mark.parametrize("waiting_counts", [False, True])
def test_waiting_for_a_person_counts_against_the_timeout_of_sensors_only(waiting_counts: bool) -> None:
    running, waiting = snapshot(), snapshot(Phase.WAITING)
    bench = Bench(running, waiting, waiting, running, running, timeout=100.0, waiting_counts=waiting_counts)
    assert bench.look() is None
    assert bench.look(50.0) is None  # waits from here on
    assert bench.look(40.0) is None
    assert bench.look(40.0) == ("timeout" if waiting_counts else None)  # 130 s, 80 s of them waiting
    assert bench.look(60.0) == "timeout"  # 190 s, 80 s of them waiting


def test_every_wait_for_a_person_is_taken_off_the_timeout() -> None:
    running, waiting = snapshot(), snapshot(Phase.WAITING)
    bench = Bench(*[running, waiting] * 5, running, timeout=100.0)
    ends = [bench.look(10.0) for _ in range(10)]
    assert ends == [None] * 10
    assert bench.look(10.0) is None
    assert bench.state.waited == 50.0
    assert bench.look(39.0) is None  # 149 s, 50 s of them waiting
    assert bench.look(1.0) == "timeout"


def test_a_person_that_never_comes_does_not_pass_the_operators_timeout() -> None:
    bench = Bench(snapshot(Phase.WAITING), timeout=100.0)
    assert bench.look() is None
    assert [bench.look(60_000.0) for _ in range(10)] == [None] * 10
    assert bench.look(MAX_WAITING_SECONDS - 600_000.0 - 1) is None
    assert bench.look(1.0) == "waiting_timeout"


def test_the_waiting_timeout_adds_up_all_waits() -> None:
    running, waiting = snapshot(), snapshot(Phase.WAITING)
    bench = Bench(waiting, waiting, running, waiting, waiting, waiting_timeout=30.0)
    assert [bench.look(20.0) for _ in range(3)] == [None] * 3  # waited 40 s by the third look, but it runs
    assert bench.state.waited == 40.0
    assert bench.look(5.0) == "waiting_timeout"


def test_a_short_wait_for_a_person_is_within_the_waiting_timeout() -> None:
    bench = Bench(snapshot(Phase.WAITING), waiting_timeout=30.0)
    assert [bench.look(), bench.look(29.0), bench.look(1.0)] == [None, None, "waiting_timeout"]


def test_waiting_may_end_the_wait_at_once() -> None:
    assert Bench(snapshot(Phase.WAITING), stop_on_waiting=True).look() == "waiting"


def test_a_rate_limit_while_a_person_is_waited_for_takes_nothing_off_the_timeout() -> None:
    bench = Bench(snapshot(Phase.WAITING), errors.RateLimited("slow down"), timeout=100.0)
    assert [bench.look(), bench.look(500.0)] == [None, None]


# Unreachable, vanished, rate limited

PROBLEMS = [
    errors.TransportError("no answer"),
    errors.ServerError("502", status=502),
    errors.ProtocolError("html"),
    errors.StatusError("400"),
]


@pytest.mark.parametrize("problem", PROBLEMS, ids=repr)
def test_poll_errors_have_a_budget_of_their_own(problem: Exception) -> None:
    bench = Bench(snapshot(), problem)
    assert [bench.look(), bench.look(10.0), bench.look(99.0), bench.look(1.0)] == [None, None, None, "unreachable"]
    assert bench.state.problem == str(problem)
    assert len(bench.log.of("warning", "The execution continues, and so does the wait.")) == 3


def test_an_answer_renews_the_budget() -> None:
    down = errors.TransportError("no answer")
    bench = Bench(down, down, snapshot(), down, down, down)
    assert [bench.look(after) for after in (0.0, 90.0, 10.0, 10.0, 99.0)] == [None] * 5
    assert bench.log.of("info", "answers again")
    assert bench.look(1.0) == "unreachable"


def test_an_answer_forgets_the_problem() -> None:
    bench = Bench(errors.TransportError("no answer"), snapshot())
    bench.look()
    bench.look(1.0)
    assert (bench.state.problem, bench.state.failing_since, bench.state.missing_since) == (None, None, None)


def test_the_timeout_bounds_the_poll_errors_too() -> None:
    bench = Bench(errors.TransportError("no answer"), timeout=50.0)
    assert [bench.look(), bench.look(50.0)] == [None, "timeout"]


def test_a_404_counts_when_it_is_said_again_after_the_grace_time() -> None:
    bench = Bench(snapshot(), errors.NotFound("404"))
    assert [bench.look(), bench.look(5.0), bench.look(59.0), bench.look(1.0)] == [None, None, None, "vanished"]
    assert len(bench.log.of("warning", "404")) == 1


def test_an_execution_that_comes_back_has_not_vanished() -> None:
    gone = errors.NotFound("404")
    bench = Bench(gone, snapshot(), gone, gone)
    assert [bench.look(), bench.look(59.0), bench.look(1.0), bench.look(59.0), bench.look(1.0)] == [None] * 4 + ["vanished"]


def test_a_404_is_an_answer_and_renews_the_failure_budget() -> None:
    down = errors.TransportError("no answer")
    bench = Bench(down, errors.NotFound("404"), down, vanish_grace=1_000.0)
    assert [bench.look(), bench.look(90.0), bench.look(90.0)] == [None] * 3


def test_a_rate_limit_is_not_unreachable() -> None:
    bench = Bench(errors.RateLimited("slow down"), timeout=10_000.0)
    assert [bench.look(after) for after in (0.0, 99.0, 1.0, 5_000.0)] == [None] * 4
    assert bench.state.failing_since is None
    assert bench.look(4_900.0) == "timeout"


def test_a_rate_limit_says_when_to_look_again() -> None:
    bench = Bench(errors.RateLimited("slow down", retry_after=200.0), snapshot(), timeout=100_000.0)
    bench.look()
    assert bench.gap() == 200.0
    bench.look(200.0)
    assert bench.gap() < 33.0


# Gaps


@pytest.mark.parametrize(
    ("age", "interval", "least", "most"),
    [
        (0.0, 30.0, 9.0, 11.0),
        (100.0, 30.0, 9.0, 11.0),
        (200.0, 30.0, 18.0, 22.0),
        (300.0, 30.0, 27.0, 33.0),
        (50_000.0, 30.0, 27.0, 33.0),
        (50_000.0, 600.0, 540.0, 660.0),
        (0.0, 0.05, 0.045, 0.055),
        (50_000.0, 0.05, 0.045, 0.055),
    ],
)
def test_gaps_grow_with_the_age_of_the_wait_up_to_the_poll_interval(age: float, interval: float, least: float, most: float) -> None:
    bench = Bench(snapshot(), timeout=100_000.0, poll_interval=interval)
    bench.look(age)
    gaps = [bench.gap() for _ in range(50)]
    assert all(least <= gap <= most for gap in gaps)
    assert len(set(gaps)) > 1  # not all at once, where many wait


@pytest.mark.parametrize("retry_after", [None, 500.0])
def test_no_gap_reaches_beyond_the_timeout(retry_after: float | None) -> None:
    bench = Bench(errors.RateLimited("slow down", retry_after=retry_after), timeout=1_000.0)
    bench.look(993.0)
    assert bench.gap() <= 7.0


def test_gaps_stay_positive_beyond_the_timeout() -> None:
    bench = Bench(snapshot())
    bench.look(5_000.0)
    assert 0 < bench.gap() <= 0.05


@given(
    age=st.floats(0, 1e7),
    interval=st.floats(0.05, 1e5),
    timeout=st.floats(0.1, 1e7),
    retry_after=st.none() | st.floats(0, 3_600),
    waited=st.floats(0, 1e6),
)
def test_every_gap_is_a_time_that_can_be_slept(
    age: float, interval: float, timeout: float, retry_after: float | None, waited: float
) -> None:
    bench = Bench(errors.RateLimited("x", retry_after=retry_after), poll_interval=interval, timeout=timeout)
    bench.state.waited = waited
    bench.look(age)
    gap = bench.gap()
    assert math.isfinite(gap)
    assert 0 < gap <= max(1.1 * interval, retry_after or 0.0) + 1e-9


# What is said


def test_a_change_is_said_once() -> None:
    queued, running = snapshot(Phase.QUEUED, "ENQUEUED"), snapshot(Phase.RUNNING, "INPROGRESS", progress=12.5)
    bench = Bench(queued, queued, running, running, running)
    for _ in range(5):
        bench.look(1.0)
    assert [text for _, text in bench.log.said] == [
        f"Scripted execution {REF} is QUEUED (ENQUEUED).",
        f"Scripted execution {REF} is RUNNING (INPROGRESS, 12.5 %).",
    ]


def test_a_wait_without_news_says_so_now_and_then() -> None:
    bench = Bench(snapshot(), timeout=1e6)
    for _ in range(int(HEARTBEAT_SECONDS) + 100):
        bench.look(2.0)
    assert len(bench.log.of("info", "is still RUNNING")) == 2


def test_an_unknown_status_is_warned_of_once() -> None:
    bench = Bench(snapshot(Phase.UNKNOWN, "HIBER\x1b[31mNATING"))
    for _ in range(5):
        assert bench.look(1.0) is None
    assert bench.log.of("warning", "does not know") == [
        f"Scripted execution {REF} has a status that this version does not know: 'HIBERNATING'. Still waiting."
    ]


def test_a_gate_is_said_with_its_link_once_and_the_next_gate_again() -> None:
    first, second = (snapshot(Phase.WAITING, "WAITING_FOR_APPLY", waiting_for=what) for what in ("Approve", "Release"))
    bench = Bench(first, first, second, second)
    for _ in range(4):
        bench.look(1.0)
    said = bench.log.of("warning", "waits for a person")
    assert [("Approve" in text, "Release" in text, URL in text) for text in said] == [(True, False, True), (False, True, True)]


def test_a_revived_execution_is_followed_and_said() -> None:
    bench = Bench(snapshot(Phase.FAILED), snapshot(), snapshot())
    assert [bench.look(), bench.look(1.0), bench.look(1.0)] == ["ended", None, None]
    assert len(bench.log.of("warning", "somebody revived it")) == 1


def test_a_revival_is_noticed_by_the_next_triggerer_too() -> None:
    before = Bench(snapshot(Phase.FAILED))
    before.look()
    after = Bench(snapshot(), state=WaitState.load(json.loads(json.dumps(before.state.dump()))))
    after.look()
    assert after.log.of("warning", "somebody revived it")


# The remote log


def test_remote_lines_are_forwarded_up_to_the_limit() -> None:
    bench = Bench(snapshot(), log_lines=5)
    bench.system.lines = [LogLine("Build", f"line {number}") for number in range(9)]
    bench.look()
    bench.look(1.0)
    assert [text for _, text in bench.log.said if text.startswith("line ")] == [f"line {number}" for number in range(5)]
    assert bench.log.of("info", "5 lines of the remote log were shown")
    assert bench.system.asked == [({}, 5)]  # and not asked for again
    assert bench.state.forwarded == 5


def test_no_remote_lines_are_asked_for_where_none_are_wanted() -> None:
    bench = Bench(snapshot(), log_lines=0)
    bench.look()
    assert bench.system.asked == []


def test_lines_go_on_behind_the_cursor() -> None:
    bench = Bench(snapshot())
    bench.system.lines = [LogLine("Build", "one"), LogLine("Build", "two")]
    bench.look()
    bench.system.lines = [LogLine("Build", "three")]
    bench.look(1.0)
    assert bench.system.asked == [({}, 100), ({"s": 2}, 98)]
    assert bench.state.cursor == {"s": 3}


def test_the_last_lines_are_forwarded_at_the_end() -> None:
    bench = Bench(snapshot(Phase.FAILED))
    bench.system.lines = [LogLine("Build", "the cause")]
    assert bench.look() == "ended"
    assert bench.log.of("info", "the cause")


def test_a_log_that_can_not_be_read_does_not_disturb_the_wait() -> None:
    bench = Bench(snapshot(), snapshot(), snapshot(Phase.SUCCEEDED))
    bench.system.lines = [errors.Forbidden("no logs for you"), errors.ServerError("500")]
    assert [bench.look(), bench.look(1.0), bench.look(1.0)] == [None, None, "ended"]
    assert len(bench.log.of("warning", "The remote log can't be read at the moment")) == 1
    assert bench.state.failing_since is None


# What is remembered

TIMES = st.floats(allow_nan=False, allow_infinity=False)
STATES = st.builds(
    WaitState,
    since=TIMES,
    waited=TIMES,
    waiting_since=st.none() | TIMES,
    failing_since=st.none() | TIMES,
    missing_since=st.none() | TIMES,
    status=st.text(),
    said_at=TIMES,
    cursor=st.dictionaries(st.text(), st.integers()),
    forwarded=st.integers(),
    problem=st.none() | st.text(),
    ended_before=st.booleans(),
)


@given(STATES, st.dictionaries(st.text().filter(lambda name: name not in WaitState.__dataclass_fields__), st.integers()))
def test_a_state_survives_the_way_through_json(state: WaitState, unknown: dict[str, int]) -> None:
    stored = json.loads(json.dumps({**state.dump(), **unknown}))
    assert WaitState.load(stored) == state


@given(STATES)
def test_a_dumped_state_is_a_copy(state: WaitState) -> None:
    dumped = state.dump()
    dumped["cursor"]["another"] = 1
    assert "another" not in state.cursor or state.cursor["another"] == 1
    assert state.dump()["cursor"] == state.cursor


@pytest.mark.parametrize("stored", [None, [], "text", 5, {}, {"unknown": 1}], ids=repr)
def test_what_is_no_state_is_a_fresh_wait(stored: Any) -> None:
    state = WaitState.load(stored)
    assert state.since > 1e9
    assert state == WaitState(since=state.since)


def test_a_wait_goes_on_where_another_triggerer_left_it() -> None:
    running, waiting = snapshot(), snapshot(Phase.WAITING, waiting_for="Approve")
    one = Bench(running, waiting, timeout=100.0)
    one.look()
    one.look(50.0)
    state = WaitState.load(json.loads(json.dumps(one.state.dump())))
    other = Bench(waiting, running, running, state=state, at=150.0, timeout=100.0)
    assert other.look() is None
    assert not other.log.of("warning", "waits for a person")
    assert other.look(10.0) is None  # 160 s, 110 s of them waiting
    assert other.state.waited == 110.0
    assert other.look(50.0) == "timeout"


FAULTS = pytest.mark.parametrize(
    ("fault", "end"),
    [(errors.TransportError("x"), "unreachable"), (errors.NotFound("x"), "vanished"), (errors.ProtocolError("x"), "unreachable")],
    ids=["unreachable", "vanished", "unreadable"],
)
TIMES = {"poll_failure_budget": 300.0, "vanish_grace": 300.0, "timeout": 1_000_000.0}


def resumed(one: Bench, *answers: Snapshot | Exception, at: float, **policy: Any) -> Bench:
    """The same wait in another process, by whose clock so many seconds have passed since the beginning."""
    return Bench(*answers, state=WaitState.load(json.loads(json.dumps(one.state.dump()))), at=at, **{**TIMES, **policy})


@FAULTS
def test_budget_and_grace_go_on_in_another_triggerer(fault: Exception, end: str) -> None:
    one = Bench(fault, **TIMES)
    one.look()
    assert one.look(250.0) is None
    assert resumed(one, fault, at=300.0).look() == end


@FAULTS
@pytest.mark.parametrize("away", [700.0, 86_400.0, 30 * 86_400.0])
def test_time_without_polls_is_not_taken_for_time_that_failed(fault: Exception, end: str, away: float) -> None:
    """The triggerer was away, or the clock was put on: one more failed poll is one more, not an hour of them."""
    one = Bench(fault, **TIMES)
    one.look()
    one.look(100.0)
    other = resumed(one, fault, at=100.0 + away, timeout=1e9)
    assert other.look() is None
    assert other.look(130.0) is None  # 100, 60 of those away, 130
    assert other.look(10.0) == end


@FAULTS
@pytest.mark.parametrize("back", [700.0, 86_400.0, 30 * 86_400.0])
def test_a_clock_that_was_put_back_between_two_processes_does_not_renew_the_budget(fault: Exception, end: str, back: float) -> None:
    one = Bench(fault, **TIMES)
    one.look()
    one.look(200.0)
    other = resumed(one, fault, at=200.0 - back)
    assert other.look() is None
    assert other.look(100.0) == end


@pytest.mark.parametrize("back", [700.0, 86_400.0, 30 * 86_400.0])
def test_a_clock_that_was_put_back_between_two_processes_makes_no_wait_longer(back: float) -> None:
    one = Bench(snapshot(), **TIMES)
    one.look()
    one.look(600.0)
    other = resumed(one, snapshot(), at=600.0 - back, timeout=1_000.0)
    assert other.look(390.0) is None
    assert other.look(10.0) == "timeout"


@pytest.mark.parametrize("back", [700.0, 86_400.0, 30 * 86_400.0])
def test_a_clock_that_was_put_back_while_a_person_is_waited_for(back: float) -> None:
    waiting = snapshot(Phase.WAITING, waiting_for="Approve")
    one = Bench(waiting, **TIMES, waiting_timeout=500.0)
    one.look()
    one.look(300.0)
    other = resumed(one, waiting, at=300.0 - back, waiting_timeout=500.0)
    assert other.look(190.0) is None
    assert other.look(10.0) == "waiting_timeout"


# The same answer once more


class Recognising(Scripted):
    """Knows an answer again; counts how often that was so."""

    known = 0

    def read_again(self, ref: str, last: LastAnswer) -> Flow[Snapshot | None]:
        found = yield from self.read(ref)
        body = bytearray(repr(found).encode())
        if last.is_same(body):
            self.known += 1
            return None
        last.note(body)
        return found


GATE = {"waiting_for": "approve"}
ANSWERS = st.sampled_from(
    [
        snapshot(), snapshot(), snapshot(), snapshot(Phase.QUEUED), snapshot(progress=50.0), snapshot(run="2"),
        snapshot(Phase.WAITING, **GATE), snapshot(Phase.SUCCEEDED),
        errors.NotFound("gone"), errors.ServerError("busy"), errors.RateLimited("slow", retry_after=20.0),
    ]
)  # fmt: skip
LOOKS = st.lists(st.tuples(ANSWERS, st.sampled_from([1.0, 30.0, 30.0, 90.0, HEARTBEAT_SECONDS])), min_size=1, max_size=12)
POLICIES = st.fixed_dictionaries(
    {
        "log_lines": st.sampled_from([0, 0, 3]), "stop_on_waiting": st.booleans(), "waiting_counts": st.booleans(),
        "waiting_timeout": st.sampled_from([None, 100.0]), "timeout": st.sampled_from([1_000.0, 1e6]),
    }
)  # fmt: skip


@given(LOOKS, POLICIES)
def test_a_wait_that_knows_answers_again_goes_as_one_that_reads_them_all(looks: list[tuple[Any, float]], policy: dict[str, Any]) -> None:
    def course(kind: type[Scripted]) -> tuple[list[Any], Bench]:
        bench = Bench(*(answer for answer, _ in looks), **policy)
        bench.system = bench.wait.system = kind(*bench.system.answers)
        bench.system.lines = [LogLine("Build", f"line {number}") for number in range(5)]
        steps = []
        for _, gap in looks:
            steps.append((bench.look(gap), bench.state.dump(), bench.wait.last_read))
            if steps[-1][0] == "ended":
                break
        return steps, bench

    (expected, plain), (steps, bench) = course(Scripted), course(Recognising)
    assert steps == expected
    assert bench.log.said == plain.log.said


def test_the_same_answer_once_more_is_not_read() -> None:
    bench = Bench(snapshot(), log_lines=0)
    bench.system = bench.wait.system = system = Recognising(snapshot())
    for _ in range(10):
        assert bench.look(30.0) is None
    assert system.known == 9


LONG_LINES = {
    "a long line": ["a" * 1_000_000],
    "many long lines": ["word " * 4_000] * 40,
    "a key that does not end": ["-----BEGIN PRIVATE KEY-----", *["MIIEpAIBAAKCAQEA0m" * 900] * 40],
    "tokens": [f"ghp_{'a' * 36} " * 500] * 40,
    "blanks": ["-----BEGIN PRIVATE KEY-----", *[" " * 16_000 + "!"] * 40],
    "base64": ["Ab1+" * 5_000 + "="] * 40,
}


@pytest.mark.parametrize("kind", LONG_LINES)
def test_others_get_a_turn_before_much_of_a_log_is_worked(kind: str) -> None:
    """However long the lines are: what is worked in one go is bounded."""
    bench = Bench(snapshot(), log_lines=1_000)
    bench.system.lines = [LogLine("Build", text) for text in LONG_LINES[kind]]
    with _clock.use(bench.clock.local):
        shown = [0, *(len(bench.log.of("info", "")) for _ in bench.wait.poll())]
    assert max(after - before for before, after in pairwise(shown)) <= 3
    assert bench.state.forwarded == len(LONG_LINES[kind])
