"""Who kills? A person's act cancels the execution once; an eviction, a hand-over or an outage cancels nothing."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Callable, MutableMapping
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider._compat import AirflowTaskTimeout
from tests import virtual_clock
from tests.harness import TaskRun
from tests.integration.conftest import Bench
from tests.integration.systems import Adapter
from tests.integration.test_start_once import crash_at, crashed_try
from tests.virtual_clock import VirtualClock

PERSON = ["failed", "success", "skipped", "upstream_failed", "removed", "restarting", None]
GOES_ON = ["deferred", "running", "queued", "scheduled", "up_for_retry", "up_for_reschedule", "something_new"]


def looked_at(system: Adapter) -> Callable[[], bool]:
    return lambda: system.count("read") >= 2


def logged(logs: list[MutableMapping[str, Any]]) -> str:
    return "\n".join(str(entry["event"]) for entry in logs)


@pytest.mark.parametrize("state", PERSON)
def test_a_person_ends_a_running_task(system: Adapter, state: str | None) -> None:
    task = Bench(system, "operator").task("slow")
    with task.terminated(looked_at(system), state):
        ended = task.run()
    assert type(ended.error) is errors.ExecutionInterrupted
    system.check_stopped(ended.text)


@pytest.mark.parametrize("moment", ["pre_execute", "rendering"])
def test_a_person_ends_a_task_before_it_has_begun(system: Adapter, moment: str) -> None:
    """Airflow hears SIGTERM from the first moment on: before the hook is there, and anything is started."""
    task = Bench(system, "operator").task("slow")
    make = task.make

    def killed() -> None:
        task.api.states[task.state_key] = "failed"
        signal.raise_signal(signal.SIGTERM)

    def made() -> Any:
        operator: Any = make()
        if moment == "pre_execute":
            operator._pre_execute_hook = lambda context: killed()
            return operator

        class Rendered(type(operator)):  # type: ignore[misc]
            def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
                super().render_template_fields(context, jinja_env)
                killed()

        operator.__class__ = Rendered
        return operator

    task.make = made
    before = signal.getsignal(signal.SIGTERM)
    try:
        ended = task.run()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert isinstance(ended.error, errors.ExecutionInterrupted), ended.text
    assert system.starts == 0


def test_an_execution_is_asked_once_to_stop(system: Adapter) -> None:
    """The worker is told to stop while a retry reads its execution; afterwards it comes to the place that asks again."""
    system.need("cancel")
    task = crashed(system)
    system.emulator.ledger.clear()
    with task.terminated(lambda: system.count("read") >= 1, "failed"):
        ended = task.run()
    assert isinstance(ended.error, errors.ExecutionInterrupted)
    assert system.cancels == 1
    assert ended.text.count("was asked to cancel, because") == 1


@pytest.mark.parametrize("state", GOES_ON)
def test_an_evicted_worker_cancels_nothing(system: Adapter, state: str) -> None:
    task = Bench(system, "operator").task("slow")
    with task.terminated(looked_at(system), state):
        ended = task.run()
    assert type(ended.error) is errors.ExecutionInterrupted
    assert ended.state == "up_for_retry"
    assert system.cancels == 0
    assert "was left alone" in ended.text


def test_a_worker_whose_airflow_is_away_cancels_nothing(system: Adapter) -> None:
    task = Bench(system, "operator").task("slow")
    task.api.states = _Away()
    with task.terminated(looked_at(system), "failed"):
        task.run()
    assert system.cancels == 0


class _Away(dict[str, Any]):
    """States that can't be told."""

    def __setitem__(self, key: str, value: Any) -> None: ...


def test_a_running_task_may_leave_its_execution(system: Adapter) -> None:
    task = Bench(system, "operator").task("slow", cancel_on_kill=False)
    with task.terminated(looked_at(system), "failed"):
        task.run()
    assert system.cancels == 0


def test_a_mapped_task_asks_for_its_own_state(system: Adapter) -> None:
    bench = Bench(system, "operator", map_index=2)
    task = bench.task("slow")
    task.api.states["task"] = "running"
    with task.terminated(looked_at(system), "failed"):
        ended = task.run()
    system.check_stopped(ended.text)


def test_a_slow_cancel_does_not_hold_the_worker_for_longer_than_airflow_gives(system: Adapter) -> None:
    system.need("cancel")
    task = Bench(system, "operator").task("slow")
    system.fault("latency", "cancel", seconds=5.0, times=None)
    with task.terminated(looked_at(system), "failed"):
        ended = task.run()
    assert "could not be cancelled: no answer in time" in ended.text
    assert system.cancels == 1  # it had been sent


def test_a_cancel_that_takes_three_seconds_is_waited_for(system: Adapter) -> None:
    system.need("cancel")
    task = Bench(system, "operator").task("slow")
    system.fault("latency", "cancel", seconds=2.8, times=None)
    with task.terminated(looked_at(system), "failed"):
        ended = task.run()
    assert "was asked to cancel, because a person or Airflow ended the task" in ended.text
    assert system.status(system.refs[0]) == system.statuses["CANCELLED"]


def crashed(system: Adapter, **arguments: Any) -> TaskRun:
    """A task whose first try has started an execution and died; only the note is left."""
    task = Bench(system, "operator").task("slow", **arguments)
    crash_at(task, "POST", "/xcoms/", before=True)
    crashed_try(task)
    assert system.status(system.refs[0]) == system.statuses["RUNNING"]  # it is there: a real server takes a moment
    return task


def test_a_person_ends_a_task_that_is_about_to_re_attach(system: Adapter) -> None:
    task = crashed(system)
    system.emulator.ledger.clear()
    system.fault("status", "read", status=503, times=None)
    with task.terminated(lambda: system.count("read") >= 1, "failed"):
        ended = task.run()
    system.check_stopped(ended.text)


def test_a_person_ends_a_task_that_looks_for_its_execution(system: Adapter, clock: VirtualClock) -> None:
    task = Bench(system, "operator").task("slow")
    system.fault("status_after", "start", status=503)
    system.list_lags(1.0)
    with task.terminated(lambda: system.starts >= 1 and clock.passed >= 1.5, "failed"):  # between the first look-up and the second
        ended = task.run()
    system.check_stopped(ended.text)


def test_a_look_up_that_outlasts_the_time_of_a_kill_cancels_all_the_same(system: Adapter, clock: VirtualClock) -> None:
    """The side thread goes on with a client of its own, which the main thread does not close."""
    system.need("cancel")
    task = Bench(system, "operator").task("slow")
    system.fault("status_after", "start", status=503)
    system.list_lags(1.0)
    system.fault("latency", "list", seconds=5.0, after=system.lists_before_start + 1, times=1)
    before = set(threading.enumerate())
    with task.terminated(lambda: system.starts >= 1 and clock.passed >= 1.5, "failed"):  # between the first look-up and the second
        ended = task.run()
    assert isinstance(ended.error, errors.ExecutionInterrupted)
    assert "could not be cancelled: no answer in time" in ended.text
    clock.advance(5.0)
    for thread in set(threading.enumerate()) - before:
        if thread.daemon:
            thread.join(60.0)
    assert system.cancels == 1
    assert system.status(system.refs[0]) == system.statuses["CANCELLED"]


def test_execution_timeout_in_the_middle_of_a_resumption_cancels_nothing(system: Adapter) -> None:
    """Without an answer, nothing tells our request from that of somebody else."""
    task = Bench(system, "operator").task("", script=system.script("fails_then_slow"), on_retry="resume")
    task.run()
    system.fault("latency", "resume", seconds=3.0, effect=True)
    make = task.make

    def with_timeout() -> Any:
        operator = make()
        operator.execution_timeout = timedelta(seconds=1)
        return operator

    task.make = with_timeout
    ended = task.run()
    assert isinstance(ended.error, AirflowTaskTimeout)
    assert system.cancels == 0
    if system.can_cancel:
        assert f"Check whether execution {system.refs[0]} runs again." in ended.text


def test_execution_timeout_cancels(system: Adapter) -> None:
    task = Bench(system, "operator").task("slow", execution_timeout=timedelta(seconds=5))
    ended = task.run()
    assert isinstance(ended.error, AirflowTaskTimeout)
    system.check_stopped(ended.text)


def test_execution_timeout_in_the_middle_of_the_start_cancels(system: Adapter) -> None:
    task = Bench(system, "operator").task("slow", execution_timeout=timedelta(seconds=5))
    system.fault("latency", "start", seconds=8.0, effect=True)
    ended = task.run()
    assert isinstance(ended.error, AirflowTaskTimeout)
    assert system.starts == 1
    system.check_stopped(ended.text)


def test_execution_timeout_bounds_a_deferred_wait(system: Adapter) -> None:
    task = Bench(system, "operator-deferrable").task("slow", execution_timeout=timedelta(seconds=5))
    ended = task.run()
    assert type(ended.error) is errors.ExecutionDeadlineExceeded
    system.check_stopped(ended.text + str(ended.error))


@pytest.mark.parametrize("mode", ["sensor-poke", "sensor-reschedule"])
def test_a_sensor_never_cancels(system: Adapter, mode: str) -> None:
    task = Bench(system, mode).task("slow", timeout=1.0, poke_interval=0.3)
    with task.terminated(looked_at(system), "failed"):
        task.run()
    assert system.cancels == 0


def deferred(system: Adapter, mode: str = "operator-deferrable", **arguments: Any) -> TaskRun:
    """A task that has deferred, and whose trigger is about to start."""

    class Deferred(Exception):
        pass

    def stop(_: object) -> None:
        raise Deferred

    task = Bench(system, mode).task("slow", **arguments)
    task.on_defer = stop
    with pytest.raises(Deferred):
        task.run()
    system.emulator.ledger.clear()
    return task


@pytest.mark.parametrize("state", PERSON)
def test_a_person_ends_a_deferred_task(system: Adapter, state: str | None) -> None:
    task = deferred(system)
    logs = task.kill_trigger(looked_at(system), state, linger=2.0, until=lambda: system.cancels == 1 or not system.can_cancel)
    system.check_stopped(logged(logs))
    assert "Cancelling execution" in logged(logs) or not system.can_cancel


@pytest.mark.parametrize("times", [1, 2])
def test_an_execution_that_does_not_appear_yet_is_asked_again_to_stop(system: Adapter, times: int) -> None:
    """Its start was accepted, and its task deferred and ended, before it shows."""
    system.need("cancel")
    task = deferred(system)
    system.fault("status", "cancel", status=404, times=times)
    logs = task.kill_trigger(
        looked_at(system), "failed", linger=3.0, until=lambda: system.status(system.refs[0]) == system.statuses["CANCELLED"]
    )
    assert system.status(system.refs[0]) == system.statuses["CANCELLED"], logged(logs)
    assert "could not be cancelled" not in logged(logs)


@pytest.mark.parametrize("state", GOES_ON)
def test_a_hand_over_cancels_nothing(system: Adapter, state: str) -> None:
    task = deferred(system)
    logs = task.kill_trigger(looked_at(system), state, linger=0.3)
    assert "was left alone" in logged(logs)
    assert system.cancels == 0


def test_a_cancel_that_takes_long_outlives_the_trigger(system: Adapter) -> None:
    system.need("cancel")
    task = deferred(system)
    system.fault("latency", "cancel", seconds=1.0, times=None)
    logs = task.kill_trigger(looked_at(system), "failed", linger=2.0)
    system.check_stopped(logged(logs))


@pytest.mark.parametrize("kind", ["succeeded", "slow"])
def test_a_trigger_that_has_told_the_end_cancels_nothing(system: Adapter, kind: str) -> None:
    """Airflow may take it away before it has stored the event; what comes of the end is for the worker."""
    task = deferred(system, script=system.script(kind), timeout=60.0 if kind == "succeeded" else 1.0)
    trigger = task.trigger()
    told: list[Any] = []

    async def main() -> None:
        async for event in trigger.run():
            told.append(event)
            task.api.states[task.state_key] = "failed"
            await trigger.on_kill()

    with task.comms():
        virtual_clock.run(main())
    assert [event.payload["end"] for event in told] == ["ended" if kind == "succeeded" else "timeout"]
    assert system.cancels == 0


@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_triggerer_that_stood_still_leaves_alone_what_has_ended(system: Adapter, state: str) -> None:
    """The other one has seen the end, and a worker has ended the task. The execution is not asked to cancel afterwards."""
    system.need("cancel")
    task = deferred(system, poll_interval=600.0)

    def ended() -> bool:
        if not looked_at(system)():
            return False
        system.cancel(system.refs[0])
        return system.status(system.refs[0]) == system.statuses["CANCELLED"]

    logs = task.kill_trigger(ended, state, linger=2.0)
    assert "has ended" in logged(logs)
    assert "Cancelling" not in logged(logs)
    assert system.cancels == 0


def test_a_deferred_task_may_leave_its_execution(system: Adapter) -> None:
    task = deferred(system, cancel_on_kill=False)
    task.kill_trigger(looked_at(system), "failed", linger=0.3)
    assert system.cancels == 0


def test_a_deferred_sensor_never_cancels(system: Adapter) -> None:
    task = deferred(system, "sensor-deferrable")
    task.kill_trigger(looked_at(system), "failed", linger=0.3)
    assert system.cancels == 0


def test_the_other_triggerer_goes_on_after_a_hand_over(system: Adapter) -> None:
    """It repeats little of the log: the first one has noted how far it was."""
    task = deferred(system, script=system.script("succeeded", seconds=300.0), poll_interval=20.0)
    assert task.deferred is not None
    logs = task.kill_trigger(lambda: system.count("read") >= 3 and "execution_progress" in task.api.xcoms, "deferred")
    assert re.search(system.looks["slow"].tail[0], logged(logs))
    system.emulator.ledger.clear()
    again = task.kill_trigger(looked_at(system), "deferred")
    assert "is RUNNING" not in logged(again)
