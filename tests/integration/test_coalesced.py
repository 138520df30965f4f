"""Waits of one triggerer that share what they ask, over real sockets: what the ledger shows of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from airflow_provider.buddy.sensors import BuddyPipelineSensor
from airflow_provider.emulator import Emulator
from tests.harness import TaskRun
from tests.integration.systems import SYSTEMS, Adapter, BuddySystem
from tests.virtual_clock import VirtualClock

WITH_LISTS = ["buddy", "tracecat", "alga_psa"]


class _Deferred(Exception):
    """The task is deferred: its trigger is ours to run."""


class Waits:
    """Deferred tasks, whose triggers run on one event loop, as in a triggerer."""

    def __init__(self, system: Adapter, clock: VirtualClock) -> None:
        self.system = system
        self.clock = clock
        self.tasks: list[TaskRun] = []
        self.events: list[Any] = []
        self.logs: list[Any] = []
        self.before: list[Any] = []
        """What the workers have said."""

    def add(self, make: Callable[[], Any]) -> None:
        def stop(_: object) -> None:
            raise _Deferred

        task = TaskRun(make, {**self.system.connections, "other": self.system.connections[self.system.conn_id]})
        task.on_defer = stop
        with capture_logs() as logs, suppress(_Deferred):
            task.run()
        self.before += logs
        self.tasks.append(task)

    def sensors(self, refs: Sequence[str], **arguments: Any) -> None:
        for ref in refs:
            self.add(partial(self.system.sensor, ref, **{"deferrable": True, "poke_interval": 0.3, **arguments}))

    def operators(self, count: int, script: Any, **arguments: Any) -> None:
        for _ in range(count):
            self.add(
                lambda: self.system.operator(script, **{"deferrable": True, "poll_interval": 0.3, "cancel_on_kill": False, **arguments})
            )

    def run(self, *steps: Callable[[], bool]) -> None:
        """Run all triggers, until each has sent its event; meanwhile, take one step after the other, each as soon as it says so."""

        async def first(task: TaskRun) -> Any:
            [event] = [event async for event in task.trigger().run()]
            return event.payload

        async def direct() -> None:
            for step in steps:
                await self.clock.until(step)

        async def main() -> None:
            *self.events, _ = await asyncio.gather(*map(first, self.tasks), direct())

        with self.tasks[0].comms(), capture_logs() as self.logs:
            self.clock.run(main())

    @property
    def ends(self) -> list[str | None]:
        assert [event["error"] for event in self.events] == [None] * len(self.tasks)
        return [event["end"] for event in self.events]

    # Steps

    def asked(self, at: str, times: int) -> Callable[[], bool]:
        """A route was asked that often from now on."""
        start: list[int] = []

        def step() -> bool:
            start[:] = start or [self.system.count(at)]
            return self.system.count(at) >= start[0] + times

        return step

    def note(self, into: dict[str, int]) -> Callable[[], bool]:
        def step() -> bool:
            into.update(read=self.system.count("read"), list=self.system.count("list"))
            return True

        return step

    def all_end(self) -> bool:
        for ref in self.system.refs:
            self.system.cancel(ref)
        return True

    def looked(self) -> bool:
        """Each has looked for the first time."""
        return self.system.count("read") >= len(self.tasks)


@pytest.fixture(params=WITH_LISTS)
def waits(request: pytest.FixtureRequest, emulator: Emulator, clock: VirtualClock) -> Waits:
    return Waits(SYSTEMS[request.param](emulator), clock)


@pytest.fixture
def buddy(emulator: Emulator, clock: VirtualClock) -> Waits:
    return Waits(BuddySystem(emulator), clock)


def started(waits: Waits, count: int, kind: str = "slow", **given: Any) -> list[str]:
    script = waits.system.script(kind, **given)
    return [waits.system.start_elsewhere(script) for _ in range(count)]


def read_of(waits: Waits, ref: str) -> list[Any]:
    last = ref.rpartition("/")[2]
    route = waits.system.routes["read"]
    return [
        entry
        for entry in waits.system.emulator.ledger.select("GET", route["path"])
        if last.replace(":", "%3A") in entry.path or last in entry.path
    ]


def test_lists_stand_for_single_requests(waits: Waits) -> None:
    waits.sensors(started(waits, 10))
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    waits.run(waits.looked, waits.asked("list", 3), waits.note(before), waits.asked("list", 4), waits.note(after), waits.all_end)
    assert waits.ends == ["ended"] * 10
    assert after["list"] >= before["list"] + 4
    assert after["read"] == before["read"]


def test_the_end_is_what_the_wait_has_read_itself(waits: Waits) -> None:
    refs = started(waits, 4)
    waits.sensors(refs)
    reads: dict[str, int] = {}

    def note_all() -> bool:
        reads.update((ref, len(read_of(waits, ref))) for ref in refs)
        return True

    waits.run(waits.looked, waits.asked("list", 2), note_all, waits.all_end)
    assert waits.ends == ["ended"] * 4
    for ref in refs:
        assert waits.system.status(ref) == waits.system.statuses["CANCELLED"]
        assert len(read_of(waits, ref)) > reads[ref]


def test_a_lone_wait_asks_for_its_own_execution(waits: Waits) -> None:
    waits.sensors(started(waits, 1))
    waits.run(waits.asked("read", 4), waits.all_end)
    assert waits.ends == ["ended"]
    assert waits.system.count("list") == 0


def test_executions_that_the_list_does_not_show_are_read_one_by_one(waits: Waits) -> None:
    waits.system.list_lags(3_600)
    refs = started(waits, 3)
    waits.sensors(refs)
    waits.run(waits.asked("read", 15), waits.all_end)
    assert waits.ends == ["ended"] * 3
    assert all(len(read_of(waits, ref)) >= 3 for ref in refs)
    assert waits.system.count("list") <= 3


def test_two_connections_do_not_share(waits: Waits) -> None:
    one, other = started(waits, 2)
    waits.sensors([one])
    waits.sensors([other], **{f"{waits.system.name}_conn_id": "other"})
    waits.run(waits.asked("read", 8), waits.all_end)
    assert waits.ends == ["ended"] * 2
    assert waits.system.count("list") == 0


def test_two_pipelines_do_not_share_but_two_workflows_and_two_rules_do(waits: Waits) -> None:
    waits.sensors([started(waits, 1)[0], started(waits, 1)[0]])
    shares = waits.system.name != "buddy"
    waits.run(waits.looked, waits.asked("list" if shares else "read", 4), waits.all_end)
    assert waits.ends == ["ended"] * 2
    assert (waits.system.count("list") > 0) == shares


def test_operators_that_show_no_log_share_too(waits: Waits) -> None:
    waits.operators(3, waits.system.script("slow"), log_lines=0)
    waits.system.emulator.ledger.clear()
    waits.run(waits.looked, waits.asked("list", 3), waits.all_end)
    assert waits.ends == ["ended"] * 3


@pytest.mark.parametrize("arguments", [{}, {"log_lines": 0, "on_waiting": "fail"}], ids=["forwards its log", "ends at a gate"])
def test_who_must_see_more_than_a_list_shows_looks_for_itself(waits: Waits, arguments: dict[str, Any]) -> None:
    waits.operators(2, waits.system.script("slow"), **arguments)
    waits.system.emulator.ledger.clear()
    waits.run(waits.asked("read", 8), waits.all_end)
    assert waits.ends == ["ended"] * 2
    assert waits.system.count("list") == 0


def test_gates_are_seen(waits: Waits) -> None:
    """Also where the list does not tell, as Tracecat's: after OWN_POLL_SECONDS a wait looks for itself."""
    waits.system.need("gate")
    waits.sensors(started(waits, 3, "gate", seconds=400.0), poke_interval=60.0)

    def said() -> bool:
        return sum("waits for a person" in str(entry["event"]) for entry in [*waits.before, *waits.logs]) == 3

    def approve() -> bool:
        for ref in waits.system.refs:
            waits.system.approve(ref)
        return True

    waits.run(waits.looked, said, approve)
    assert waits.ends == ["ended"] * 3
    assert [waits.system.status(ref) for ref in waits.system.refs] == [waits.system.statuses["SUCCEEDED"]] * 3


def test_a_refusal_pauses_all_of_the_connection(waits: Waits) -> None:
    waits.sensors(started(waits, 6))

    def refuse() -> bool:
        waits.system.fault("rate_limit", "list", retry_after="2")
        return True

    waits.run(waits.looked, waits.asked("list", 2), refuse, waits.asked("list", 4), waits.all_end)
    assert waits.ends == ["ended"] * 6
    entries = waits.system.emulator.ledger.entries
    number = next(number for number, entry in enumerate(entries) if entry.status == 429)
    assert len(entries) > number + 3
    assert all(entry.at >= entries[number].at + 2.0 for entry in entries[number + 1 :])


def test_rounds_stretch_before_the_api_refuses_one(buddy: Waits) -> None:
    """Five waits of 0.05 s each: 200 requests in a window, where 20 are allowed."""
    buddy.system.emulator.buddy.rate_limit = (20, 2.0)
    for _ in range(5):
        buddy.sensors(started(buddy, 1), poke_interval=0.05)
    buddy.run(buddy.asked("read", 70), buddy.all_end)
    assert buddy.ends == ["ended"] * 5
    assert buddy.system.emulator.ledger.count(status=429) == 0


@pytest.mark.parametrize("fault", [{"kind": "status", "status": 500}, {"kind": "html"}, {"kind": "status", "status": 403}], ids=str)
def test_without_a_list_waits_go_on_by_single_requests(waits: Waits, fault: dict[str, Any]) -> None:
    """As in AlgaPSA as it is deployed: its list answers 500."""
    waits.system.fault(at="list", times=None, **fault)
    refs = started(waits, 4)
    waits.sensors(refs)
    waits.run(waits.looked, waits.asked("read", 16), waits.all_end)
    assert waits.ends == ["ended"] * 4
    assert all(len(read_of(waits, ref)) >= 3 for ref in refs)


def test_searches_through_the_same_list_share_it(buddy: Waits) -> None:
    script = buddy.system.script("succeeded")
    for number in range(10):
        arguments: dict[str, Any] = {"match": "latest"} if number % 2 else {"started_after": "2026-01-01T00:00:00Z"}
        sensor = partial(BuddyPipelineSensor, task_id="task", pipeline=str(script.id), deferrable=True, poke_interval=0.3, **arguments)
        buddy.add(sensor)
    asked = buddy.system.count("list")
    until = buddy.clock.passed + 3
    counted: list[int] = []
    buddy.run(
        lambda: buddy.clock.passed > until,
        lambda: not counted.append(buddy.system.count("list") - asked),  # type: ignore[func-returns-value]
        lambda: bool(buddy.system.start_elsewhere(script)),
    )
    assert buddy.ends == ["ended"] * 10
    assert {event["ref"] for event in buddy.events} == set(buddy.system.refs)
    assert 5 <= counted[0] <= 40  # ten rounds by ten of them


def test_nothing_is_left_behind(waits: Waits) -> None:
    waits.sensors(started(waits, 3))
    left: list[Any] = []

    def look_around() -> bool:
        left[:] = [task for task in asyncio.all_tasks() if "Poller" in repr(task.get_coro())]
        return True

    waits.run(waits.looked, waits.asked("list", 2), look_around, waits.all_end)
    assert len(left) == 1
    assert left[0].done()
