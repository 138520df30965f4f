"""The machine's clock may be put on or back, and the machine may sleep: no wait ends early for it, none lasts for ever, nothing is lost."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider._compat import AirflowSensorTimeout
from airflow_provider.buddy.triggers import BuddyPipelineFinishedTrigger
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Action, Pipeline
from tests.harness import NOTES, PlayedApi, Triggerer
from tests.integration.conftest import Bench
from tests.integration.systems import Adapter
from tests.integration.test_start_once import crash_at, crashed_try
from tests.virtual_clock import VirtualClock

DAY = 86_400.0
JUMPS = pytest.mark.parametrize("seconds", [DAY, -DAY], ids=["on", "back"])


def at_the_second_look(bench: Bench, clock: VirtualClock, act: Any) -> None:
    clock.when(lambda: bench.system.count("read") >= 2, act)


@JUMPS
def test_a_wait_goes_on_when_the_clock_jumps(bench: Bench, clock: VirtualClock, seconds: float) -> None:
    task = bench.task("", script=bench.system.script("succeeded", seconds=600), timeout=3_000, **bench.every(30))
    at_the_second_look(bench, clock, lambda: clock.jump(seconds))
    ended = task.run()
    if bench.mode == "sensor-reschedule":  # each poke is a process of its own: all that they share is the machine's clock
        assert ended.state == ("failed" if seconds > 0 else "success")
    else:
        assert ended.state == "success", ended.text
        assert clock.passed < 900
    assert bench.system.cancels == 0


@JUMPS
def test_a_timeout_lasts_as_long_as_it_says_when_the_clock_jumps(bench: Bench, clock: VirtualClock, seconds: float) -> None:
    task = bench.task("", script=bench.system.script("succeeded", seconds=2 * DAY), timeout=3_600, **bench.every(300))
    at_the_second_look(bench, clock, lambda: clock.jump(seconds / 12))
    ended = task.run()
    assert type(ended.error) is (AirflowSensorTimeout if bench.sensor else errors.ExecutionDeadlineExceeded), ended.text
    if bench.mode == "sensor-reschedule":  # each poke is a process of its own: all that they share is the machine's clock
        assert (clock.passed < 3_600) == (seconds > 0)
    else:
        assert 3_599 < clock.passed < 3_800


def test_an_execution_that_ends_while_the_machine_sleeps_is_collected(bench: Bench, clock: VirtualClock) -> None:
    task = bench.task("", script=bench.system.script("succeeded", seconds=7_200), timeout=DAY, push_outputs=["IMAGE"], **bench.every(30))
    at_the_second_look(bench, clock, lambda: clock.suspend(7_200))
    ended = task.run()
    assert ended.state == "success", ended.text
    assert ended.xcoms["IMAGE"] == "shop:1.2.3"
    assert bench.system.cancels == 0


def test_a_start_is_not_repeated_because_the_clock_jumps_while_it_is_looked_up(operator_bench: Bench, clock: VirtualClock) -> None:
    """Nothing found counts as a proof only some time after the start: a clock that is put on must not bring that forward."""
    system = operator_bench.system
    system.list_lags(8.0)
    system.fault("drop_after", "start")
    clock.when(lambda: system.starts >= 1, lambda: clock.jump(DAY))
    ended = operator_bench.run("succeeded")
    assert len(system.refs) == 1, ended.text
    assert ended.state == "success" or type(ended.error) is errors.StartUnknown, ended.text


@pytest.mark.parametrize("crashes", [True, False], ids=["crash", "lost answer"])
@pytest.mark.parametrize("hours", [1.0, 25.0, -25.0])
def test_a_clock_that_is_wrong_starts_nothing_twice(operator_bench: Bench, clock: VirtualClock, hours: float, crashes: bool) -> None:
    """What others start meanwhile fills the first page of the list, and by the machine's clock all of it is from before the request."""
    system = operator_bench.system
    script = system.script("succeeded", seconds=900)
    system.start_elsewhere(script)
    clock.advance(1_000)
    clock.jump(hours * 3_600)
    task = operator_bench.task("", script=script, wait_for_completion=False)

    def others() -> None:
        for _ in range(60):
            system.start_elsewhere(script)

    if crashes:
        crash_at(task, "PUT", NOTES, before=True)
        crashed_try(task)
        clock.advance(5)
        others()
        clock.advance(60)
    else:
        system.list_lags(1.0)
        lost = system.fault("drop_after", "start")
        clock.when(lambda: lost.hits, others)
    ended = task.run()
    assert system.starts == 1, ended.text
    assert ended.state == "success" or type(ended.error) is errors.StartUnknown, ended.text


@JUMPS
@pytest.mark.parametrize("mode", ["operator", "operator-deferrable"])
def test_a_pause_that_the_api_asks_for_is_kept_when_the_clock_jumps(
    system: Adapter, mode: str, clock: VirtualClock, seconds: float
) -> None:
    bench = Bench(system, mode)
    task = bench.task("", script=system.script("succeeded", seconds=100), poll_interval=5)
    refused: list[float] = []

    class Refusal(Fault):
        def strikes(self, method: str, path: str) -> bool:
            if not super().strikes(method, path):
                return False
            refused.append(clock.now())
            clock.jump(seconds)
            return True

    route = system.routes["read"]
    system.emulator.faults.add(Refusal("rate_limit", retry_after="40", after=1, method=route["method"], path=route["path"]))
    ended = task.run()
    assert ended.state == "success", ended.text
    pauses = [entry.at - refused[0] for entry in system.emulator.ledger.entries]
    assert 40 <= min(pause for pause in pauses if pause > 1) < 50


@JUMPS
def test_a_watcher_tells_each_end_when_the_clock_jumps(emulator: Emulator, clock: VirtualClock, seconds: float) -> None:
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", seconds=5)]))
    assert pipeline.id is not None
    watcher = BuddyPipelineFinishedTrigger(pipeline=pipeline.id, poll_interval=60)
    api = PlayedApi({"buddy_default": _fields(emulator)})
    refs = []

    async def watch() -> list[dict[str, Any]]:
        async with Triggerer(api) as triggerer:
            triggerer.add(watcher, "asset")
            await clock.until(lambda: emulator.ledger.count(method="GET", path_re="/executions$") >= 2)
            for number in range(6):
                if number in (2, 4):
                    clock.jump(seconds if number == 2 else -seconds)
                refs.append(emulator.buddy.add_execution(pipeline).ref)
                await clock.until(partial(_has_passed, clock, clock.passed + 400))
            await clock.until(partial(_has_passed, clock, clock.passed + 2_000))  # a sweep
            return [event for _, event in triggerer.events]

    told = [event["ref"] for event in clock.run(watch())]
    assert set(told) == set(refs)
    assert len(told) == len(refs)


@pytest.mark.parametrize("ahead", [False, True], ids=["right at first", "ahead at first"])
def test_a_watcher_heeds_the_remote_clock(emulator: Emulator, clock: VirtualClock, ahead: bool) -> None:
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", seconds=5)]))
    assert pipeline.id is not None
    watcher = BuddyPipelineFinishedTrigger(pipeline=pipeline.id, poll_interval=60)
    if ahead:
        clock.jump(1.25 * DAY)

    async def watch() -> list[dict[str, Any]]:
        async with Triggerer(PlayedApi({"buddy_default": _fields(emulator)})) as triggerer:
            triggerer.add(watcher, "asset")
            await clock.until(lambda: emulator.ledger.count(method="GET", path_re="/executions$") >= 2)
            clock.jump(-1.25 * DAY if ahead else 0.0)
            for _ in range(5):
                emulator.buddy.add_execution(pipeline)
            for jump in (0.0, 0.0) if ahead else (1.25 * DAY, -1.25 * DAY):
                await clock.until(partial(_has_passed, clock, clock.passed + 600))
                clock.jump(jump)
            await clock.until(partial(_has_passed, clock, clock.passed + 2_000))
            return [event for _, event in triggerer.events]

    assert len(clock.run(watch())) == 5


def _has_passed(clock: VirtualClock, seconds: float) -> bool:
    return clock.passed >= seconds


def _fields(emulator: Emulator) -> dict[str, Any]:
    from tests.integration.systems import SYSTEMS

    return SYSTEMS["buddy"](emulator).connections["buddy_default"]


def test_the_clock_that_tests_drive_starts_where_the_emulators_does(emulator: Emulator, clock: VirtualClock) -> None:
    assert emulator.clock.now() == datetime(2026, 1, 1, tzinfo=timezone.utc).timestamp() == clock.now()
