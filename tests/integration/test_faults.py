"""The table of faults in the documentation (faults): each row on each system in each mode, at each moment."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider._compat import AirflowException, AirflowSensorTimeout
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.execution.http import retrying
from airflow_provider.tracecat.executions import adapter as tracecat_system
from tests.harness import Ended, TaskRun
from tests.integration.conftest import ALL_MODES, OPERATOR_MODES, SENSOR_MODES, Bench
from tests.integration.faults import LONG, ROWS, SPECIAL, Faults, Network, Play, Row, connections, played_network
from tests.integration.systems import SYSTEMS, Adapter
from tests.virtual_clock import VirtualClock

NAMES = ["buddy", "tracecat", "alga_psa"]


@pytest.fixture(autouse=True)
def _fewer_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "MAX_ATTEMPTS", 2)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    with played_network(monkeypatch) as network:
        yield network


@pytest.fixture(params=NAMES)
def system(request: pytest.FixtureRequest, emulator: Emulator) -> Adapter:
    return SYSTEMS[request.param](emulator)


@pytest.fixture
def faults(system: Adapter, network: Network, clock: VirtualClock) -> Faults:
    return Faults(system, network, clock)


def task_of(bench: Bench, play: Play, seconds: float = LONG, **arguments: Any) -> TaskRun:
    task = bench.task("", script=bench.system.script("succeeded", seconds=seconds), **bench.every(20.0), **arguments)
    task.api.connections = connections(bench.system, play)
    return task


def check(ended: Ended, system: Adapter, started: int = 1, cancelled: int = 0) -> None:
    """What holds whatever happens: an error of ours or none, nothing started twice, nothing cancelled because of an error."""
    problem = ended.error
    while problem is not None:
        assert isinstance(problem, AirflowException), f"{problem!r}\n{ended.text}"
        assert len(str(problem).splitlines()) == 1
        problem = problem.__cause__ or (None if problem.__suppress_context__ else problem.__context__)
    libraries = r"\b(httpx|httpcore|aiohttp|yarl|pydantic\w*|h11|json|ssl|zlib)\.\w+"
    assert not re.search(rf"{libraries}|Traceback|ValidationError", ended.text), ended.text
    assert len(system.refs) == started, ended.text
    assert system.cancels == cancelled, ended.text


def turns(modes: Iterable[str], *parts: int | str) -> list[tuple[str, Any]]:
    """Each mode, and the marks of its case: ``make test`` runs one mode after the other over rows and systems, ``make long`` the rest."""
    modes = list(modes)
    turn = sum(NAMES.index(part) if isinstance(part, str) else part for part in parts) % len(modes)
    return [(mode, () if number == turn else pytest.mark.long) for number, mode in enumerate(modes)]


def cases(*, moment: str, outcome: str | None = None, modes: Iterable[str] = ALL_MODES, names: Iterable[str] = NAMES) -> list[Any]:
    """Each row on each system in each mode."""
    return [
        pytest.param(row, name, mode, id=f"{row.fault}-{name}-{mode}", marks=marks)
        for number, row in enumerate(ROWS)
        if outcome is None or getattr(row, moment) == outcome
        for name in names
        for mode, marks in turns(modes, number, name)
    ]


def all_modes(*short: str) -> list[Any]:
    """All modes: those that are named for ``make test``, the others for ``make long``."""
    return [pytest.param(mode, marks=() if mode in short else pytest.mark.long) for mode in ALL_MODES]


# The documentation

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"


def cells(lines: list[str]) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines if line.startswith("|")]


def test_the_documentation_has_a_row_for_each_fault() -> None:
    table, meanings = (part.splitlines() for part in PAGE.read_text().split("## What the words mean"))
    assert [row[:-1] for row in cells(table)[2:]] == [row.cells for row in [*ROWS, *SPECIAL]]  # the last one names tests
    explained = {word.strip("`") for row in cells(meanings)[2:] for word in row[0].split(", ")}
    used = {word for row in [*ROWS, *SPECIAL] for cell in row.cells[1:] for word in re.split(r": \w+$| \(\w+: |\)$", cell) if word}
    assert used - {"-"} == explained


# A fault that passes: at all moments of one task


def going_on(bench: Bench, task: TaskRun, row: Row) -> bool:
    """Whether the wait has begun; of a sensor that would give up at a 404, whether it has seen the execution."""
    if bench.sensor:
        return row.wait != "ExecutionVanished" or bench.system.count("read") > 1  # this one is counted
    return bool(task.api.store.get("execution", {}).get("ref"))


def passing(row: Row, mode: str, system: Adapter, faults: Faults, **arguments: Any) -> Ended:
    bench = Bench(system, mode)
    task = task_of(bench, row.plays[0], **arguments)
    if not bench.sensor and row.start in ("sent again", "looked up") and not row.plays[0].hides:
        faults.add(row.plays[0], "start", 1) if row.plays[0].kind not in ("refused", "unresolved") else faults.network.spoil(
            row.plays[0].kind, 1
        )
    going = lambda: going_on(bench, task, row)  # noqa: E731
    if "log" in system.routes and not bench.sensor:
        faults.add(row.plays[0], "log", 1 if row.plays[0].hides else 2)
    for play in row.plays:
        times = 1 if play.hides else 2
        faults.add(play, "read", times, when=going, moment="wait")
    faults.add(row.plays[0], "read", 1 if row.plays[0].hides else 2, when=faults.last)
    return task.run()


PASSING = [
    case
    for case in cases(moment="wait", modes=OPERATOR_MODES) + cases(moment="wait", modes=SENSOR_MODES)
    if case.values[0].wait not in ("Unauthorized", "Forbidden", "pauses long")
]


@pytest.mark.parametrize(("row", "system", "mode"), PASSING, indirect=["system"])
def test_a_fault_that_passes_does_no_harm(row: Row, system: Adapter, mode: str, faults: Faults) -> None:
    ended = passing(row, mode, system, faults, push_outputs=["IMAGE"])
    assert ended.state == "success", ended.text
    assert all(fault.hits for fault in faults.all), (faults.all, ended.text)
    check(ended, system)
    assert ended.xcoms["IMAGE"] == "shop:1.2.3"
    assert ended.result["phase"] == "SUCCEEDED"


# A fault that lasts


def lasting(row: Row, mode: str, system: Adapter, faults: Faults, moment: str, **arguments: Any) -> tuple[TaskRun, Ended]:
    bench = Bench(system, mode)
    play = replace(row.plays[-1], lasts=row.plays[-1].lasts or 100)
    task = task_of(bench, play, **arguments)
    going = lambda: going_on(bench, task, row)  # noqa: E731
    when = going if moment == "wait" else faults.last
    fault = faults.add(play, "read", None, when=when, moment=moment)
    ended = task.run()
    assert fault.hits, ended.text
    return task, ended


FATAL = {"Unauthorized": errors.Unauthorized, "Forbidden": errors.Forbidden, "ExecutionVanished": errors.ExecutionVanished}


@pytest.mark.parametrize(
    ("row", "system", "mode"),
    cases(moment="wait", outcome="goes on") + cases(moment="wait", outcome="ExecutionVanished"),
    indirect=["system"],
)
def test_a_fault_that_lasts_while_waiting_leaves_the_execution_alone(row: Row, system: Adapter, mode: str, faults: Faults) -> None:
    _, ended = lasting(row, mode, system, faults, "wait")
    assert type(ended.error) is FATAL.get(row.wait, errors.ExecutionUnreachable), ended.text
    assert ended.state == "up_for_retry"
    check(ended, system)


@pytest.mark.parametrize(
    ("row", "system", "mode"),
    cases(moment="last", outcome="read again") + cases(moment="last", outcome="ExecutionVanished"),
    indirect=["system"],
)
def test_a_fault_that_lasts_at_the_last_look_is_collected_by_the_retry(
    row: Row, system: Adapter, mode: str, faults: Faults, network: Network
) -> None:
    task, ended = lasting(row, mode, system, faults, "last")
    assert type(ended.error) is FATAL.get(row.last, errors.ExecutionUnreachable), ended.text
    assert ended.state == "up_for_retry"
    check(ended, system)
    system.emulator.faults.clear()
    network.left = 0
    ended = task.run()
    assert ended.state == "success", ended.text
    check(ended, system)


@pytest.mark.parametrize("moment", ["wait", "last"])
@pytest.mark.parametrize("mode", ALL_MODES)
@pytest.mark.parametrize("row", [row for row in ROWS if row.wait in ("Unauthorized", "Forbidden")], ids=lambda row: row.fault)
def test_a_refused_credential_ends_the_task_at_once(row: Row, system: Adapter, mode: str, faults: Faults, moment: str) -> None:
    _, ended = lasting(row, mode, system, faults, moment)
    assert type(ended.error) is FATAL[row.wait], ended.text
    assert ended.state == "failed"
    check(ended, system)


@pytest.mark.parametrize(("row", "system", "mode"), cases(moment="wait", outcome="pauses"), indirect=["system"])
def test_a_rate_limit_is_no_failure_however_long_it_lasts(row: Row, system: Adapter, mode: str, faults: Faults) -> None:
    bench = Bench(system, mode)
    play = replace(row.plays[0], lasts=100)
    task = task_of(bench, play)
    faults.add(play, "read", 12, moment="wait", when=lambda: bench.sensor or bool(task.api.store.get("execution", {}).get("ref")))
    ended = task.run()
    assert ended.state == "success", ended.text
    assert faults.clock.passed > 1_200
    check(ended, system)


@pytest.mark.parametrize("mode", ALL_MODES)
@pytest.mark.parametrize("row", [row for row in ROWS if row.wait == "pauses long"])
def test_a_long_pause_that_the_server_asks_for_is_kept_but_not_beyond_the_timeout(
    row: Row, system: Adapter, mode: str, faults: Faults
) -> None:
    faults.keep_running()
    for play in row.plays:
        bench = Bench(system, mode)
        task = task_of(bench, play, timeout=40.0)
        started = len(system.refs) + (0 if bench.sensor else 1)
        fault = faults.add(play, "read", 1)
        ended = task.run()
        assert fault.hits == 1
        assert type(ended.error) is (AirflowSensorTimeout if bench.sensor else errors.ExecutionDeadlineExceeded), ended.text
        check(ended, system, started, 0 if bench.sensor or not system.can_cancel else started)


# The start request


def at_start(name: str) -> list[Any]:
    """Each way in which each fault shows, on each system in each mode."""
    return [
        pytest.param(row, play, system, mode, id=f"{row.fault}-{number}-{system}-{mode}", marks=marks)
        for index, row in enumerate(ROWS)
        if row.start.partition(":")[0] == name
        for number, play in enumerate(row.plays)
        for system in NAMES
        for mode, marks in turns(OPERATOR_MODES, index, number, system)
    ]


@pytest.mark.parametrize(("row", "play", "system", "mode"), at_start("looked up"), indirect=["system"])
def test_a_start_that_may_have_worked_is_looked_up(row: Row, play: Play, system: Adapter, mode: str, faults: Faults) -> None:
    fault = faults.add(play, "start", 1)
    ended = task_of(Bench(system, mode), play, seconds=0.05).run()
    assert fault.hits == 1
    assert ended.state == "success", ended.text
    assert "Checking whether it took effect" in ended.text
    check(ended, system)


@pytest.mark.parametrize(("row", "play", "system", "mode"), at_start("sent again"), indirect=["system"])
def test_a_start_that_can_not_have_worked_is_sent_again(
    row: Row, play: Play, system: Adapter, mode: str, faults: Faults, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, by the sender itself; and if the fault lasts, by a retry."""
    task = task_of(Bench(system, mode), play, seconds=0.05)
    quick = play.kind in ("refused", "unresolved")
    if quick and system.name == "tracecat":  # where its pages are is asked first, once a process
        host = connections(system, play)[system.conn_id]["host"]
        monkeypatch.setitem(tracecat_system._PUBLIC, host, "http://pages.example")
    fault = None if quick else faults.add(play, "start", 2)
    if quick:
        network.spoil(play.kind, 2)
    ended = task.run()
    assert type(ended.error) is (errors.TransportError if quick else errors.RateLimited), ended.text
    assert ended.state == "up_for_retry"
    check(ended, system, started=0)
    if fault:
        fault.times = 3
    else:
        network.spoil(play.kind, 1)
    ended = task.run()
    assert ended.state == "success", ended.text
    assert "Checking whether" not in ended.text
    check(ended, system)
    assert (fault or network).hits == 3


@pytest.mark.parametrize(("row", "play", "system", "mode"), at_start("refused"), indirect=["system"])
def test_a_start_that_is_refused_started_nothing(row: Row, play: Play, system: Adapter, mode: str, faults: Faults) -> None:
    fault = faults.add(play, "start", 1)
    task = task_of(Bench(system, mode), play, seconds=0.05)
    ended = task.run()
    assert fault.hits == 1
    assert type(ended.error) is getattr(errors, row.start.partition(": ")[2]), ended.text
    assert ended.state == ("failed" if row.wait in FATAL and row.wait != "ExecutionVanished" else "up_for_retry")
    check(ended, system, started=0)
    ended = task.run()
    assert ended.state == "success"
    check(ended, system)


# The cancel request

CANCELS = cases(moment="cancel", modes=OPERATOR_MODES, names=["buddy", "tracecat"])


def cancel_cell(row: Row, system: Adapter) -> str:
    special = re.search(r"\((\w+): (.*)\)", row.cancel)
    return special[2] if special and special[1].lower() == system.name else row.cancel.partition(" (")[0]


@pytest.mark.parametrize(("row", "system", "mode"), CANCELS, indirect=["system"])
def test_a_cancel_request_that_goes_wrong(row: Row, system: Adapter, mode: str, faults: Faults, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the task's timeout: it is sent again where that may help, else the error says that the execution may go on."""
    monkeypatch.setattr(retrying, "MAX_ATTEMPTS", 3)
    faults.keep_running()
    cell = cancel_cell(row, system)
    play = row.plays[-1]
    fault = faults.add(play, "cancel", 1)
    ended = task_of(Bench(system, mode), play, timeout=0.3).run()
    assert fault.hits == 1
    assert type(ended.error) is errors.ExecutionDeadlineExceeded, ended.text
    text = str(ended.error)
    done = system.status(system.refs[0]) == system.statuses["CANCELLED"]
    assert ("It was cancelled." in text) == (cell in ("sent again", "fine") and done), text
    assert ("that it has stopped was not seen" in text) == (cell == "fine" and not done), text
    assert ("could not be cancelled" in text) == (cell == "said"), text
    assert done or cell != "sent again"
    check(ended, system, cancelled=system.cancels)
    assert 1 <= system.cancels <= 2


# More than an answer


@pytest.mark.parametrize(("mode", "moment"), [
    *((mode, "wait") for mode in ("operator", "operator-deferrable", "sensor-deferrable", "sensor-from-trigger")),
    *((mode, "last") for mode in ("operator", "sensor-poke", "sensor-reschedule", "sensor-from-trigger")),
])  # fmt: skip
def test_a_credential_that_was_rotated_is_read_again(system: Adapter, mode: str, moment: str, faults: Faults) -> None:
    """By a sender that goes on; a poke and a resumed task read the connection anyway."""
    task = task_of(Bench(system, mode), NOTHING)

    def rotate() -> bool:
        system.use_credential()
        task.api.connections = system.connections
        return True

    first = faults.add(NOTHING, "read", 2, moment="wait")
    at = (lambda: first.hits == 2 and rotate()) if moment == "wait" else (lambda: faults.last() and rotate())
    rotates = faults.add(NOTHING, "read", 1, when=at)
    system.emulator.faults.clear()
    for fault in (faults.course, rotates, first):  # the one that rotates is to see every look
        system.emulator.faults.add(fault)
    ended = task.run()
    assert rotates.hits == 1
    assert ended.state == "success", ended.text
    assert system.emulator.ledger.count(status=401) >= 1
    check(ended, system)


def over_tls(task: TaskRun, on: bool = True) -> None:
    """The connection's address begins with https, which the server does not speak."""
    for fields in task.api.connections.values():
        fields["host"] = re.sub("^https?:", "https:" if on else "http:", str(fields["host"]))


@pytest.mark.parametrize("mode", list(OPERATOR_MODES))
def test_a_tls_failure_at_the_start_has_started_nothing(system: Adapter, mode: str) -> None:
    task = task_of(Bench(system, mode), NOTHING, seconds=0.05)
    over_tls(task)
    ended = task.run()
    assert type(ended.error) is errors.TransportError
    assert "Check the certificate" in str(ended.error)
    check(ended, system, started=0)
    over_tls(task, on=False)
    assert task.run().state == "success"
    check(ended, system)


@pytest.mark.parametrize("mode", ["operator-deferrable", *SENSOR_MODES])
def test_a_tls_failure_while_waiting_leaves_the_execution_alone(system: Adapter, mode: str, faults: Faults) -> None:
    bench = Bench(system, mode)
    task = task_of(bench, NOTHING)
    task.on_defer = lambda _: over_tls(task)
    if bench.sensor:
        over_tls(task)
    ended = task.run()
    assert type(ended.error) is errors.ExecutionUnreachable, ended.text
    check(ended, system)
    task.on_defer = None
    over_tls(task, on=False)
    assert task.run().state == "success"
    check(ended, system)


NOTHING = Play("altered", {"changes": {}})


def altered(system: Adapter, **fields: Any) -> Play:
    return Play("altered", {"changes": {system.fields[name]: value for name, value in fields.items()}})


@pytest.mark.parametrize("mode", ALL_MODES)
def test_a_status_that_is_not_known_is_no_end_and_said_once(system: Adapter, mode: str, faults: Faults) -> None:
    task = task_of(Bench(system, mode), NOTHING)
    faults.add(altered(system, status="HIBERNATING {{ ds }} %s"), "read", 3, moment="wait")
    ended = task.run()
    assert ended.state == "success", ended.text
    assert ended.text.count("a status that this version does not know: 'HIBERNATING {{ ds }} %s'") == 1
    check(ended, system)


@pytest.mark.parametrize("mode", ALL_MODES)
def test_an_execution_that_had_ended_and_runs_again_is_followed(system: Adapter, mode: str, faults: Faults) -> None:
    task = task_of(Bench(system, mode), NOTHING)
    faults.add(NOTHING, "read", 1, moment="wait")
    faults.add(altered(system, status=system.statuses["FAILED"]), "read", 1, moment="wait")
    faults.add(NOTHING, "read", 2, moment="wait")
    ended = task.run()
    assert ended.state == "success", ended.text
    assert "runs again" in ended.text
    check(ended, system)


TIMES = {
    "ends before it starts": ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"),
    "starts in the future": ("2999-01-01T00:00:00Z", None),
    "out of range": ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"),
}


@pytest.mark.parametrize("mode", all_modes("operator", "operator-deferrable", "sensor-reschedule"))
@pytest.mark.parametrize("times", list(TIMES))
def test_times_that_can_not_be_true_do_no_harm(system: Adapter, times: str, mode: str, faults: Faults) -> None:
    task = task_of(Bench(system, mode), NOTHING)
    started, finished = TIMES[times]
    play = altered(system, started_at=started, finished_at=finished)
    faults.add(play, "read", 2, moment="wait")
    faults.add(play, "read", None, when=lambda: faults.course.over)
    ended = task.run()
    assert ended.state == "success", ended.text
    assert (ended.result["duration"] or 0.0) >= 0
    check(ended, system)


@pytest.mark.parametrize("mode", ALL_MODES)
def test_a_servers_clock_may_be_put_back(system: Adapter, mode: str, faults: Faults, clock: VirtualClock) -> None:
    task = task_of(Bench(system, mode), NOTHING, seconds=LONG - 3_600)
    back: list[float] = []

    def put_back() -> bool:
        if not back:
            back.append(clock.set(clock.now() - 3_600))
        return True

    faults.add(NOTHING, "read", 1, moment="wait")
    faults.add(NOTHING, "read", 3, moment="wait", when=put_back)
    ended = task.run()
    assert back
    assert ended.state == "success", ended.text
    check(ended, system)


@pytest.mark.parametrize("mode", all_modes(*OPERATOR_MODES))
@pytest.mark.parametrize("status", [None, 401, 403, 404, 200])
def test_what_another_origin_says_is_not_the_apis_word_and_it_gets_no_credential(
    system: Adapter, mode: str, status: int | None, faults: Faults
) -> None:
    """Such as the page of a proxy that wants a login: a 401 there says nothing of our token."""
    system.use_credential()
    bench = Bench(system, mode)
    task = task_of(bench, NOTHING)
    play = next(row for row in ROWS if row.fault == "redirect to another origin").plays[0]
    if status:
        system.emulator.faults.add(Fault("status", status=status, path="^/elsewhere", times=None))
    faults.add(play, "read", 2, moment="wait", when=lambda: bench.sensor or bool(task.api.store.get("execution", {}).get("ref")))
    faults.add(play, "read", 1, when=faults.last)
    ended = task.run()
    assert ended.state == "success", ended.text
    there = system.emulator.ledger.select(system="storage")
    assert len(there) == 3
    for entry in there:
        assert system.credential not in f"{entry.path} {entry.query} {entry.headers} {entry.body!r}"
        assert not {"authorization", "cookie", "x-api-key"} & entry.headers.keys()
    check(ended, system)
