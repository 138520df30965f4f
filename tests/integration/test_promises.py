"""Rows of the tables in the documentation (behaviour, faults) that no other suite holds, in all modes, over real sockets."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider._compat import AirflowSensorTimeout
from airflow_provider.buddy.operators import BuddyGetExecutionOperator
from airflow_provider.buddy.sensors import BuddyPipelineSensor
from airflow_provider.emulator import Emulator, Fault, alga_psa
from airflow_provider.emulator.buddy import Action, Pipeline
from airflow_provider.emulator.tracecat.stored import BUCKET
from airflow_provider.tracecat.operators import TracecatCancelExecutionOperator
from tests.harness import TaskRun
from tests.integration.conftest import ALL_MODES, OPERATOR_MODES, SENSOR_MODES, Bench
from tests.integration.systems import SYSTEMS, Adapter, AlgaPsaSystem, BuddySystem, TracecatSystem
from tests.integration.test_coalesced import Waits
from tests.integration.test_start_once import crash_at, crashed_try
from tests.virtual_clock import VirtualClock


def slowly(bench: Bench, seconds: float = 10.0) -> dict[str, Any]:
    """Looks as seldom as in a DAG."""
    return {"poke_interval" if bench.sensor else "poll_interval": seconds}


def crashed(bench: Bench, script: Any, **arguments: Any) -> TaskRun:
    """A task whose first try has started an execution and died."""
    task = bench.task("", script=script, **slowly(bench), **arguments)
    crash_at(task, "POST", "/xcoms/", before=True)
    crashed_try(task)
    return task


# Outcomes


def test_waiting_may_succeed_and_leaves_the_execution(bench: Bench) -> None:
    system = bench.system
    ended = bench.run("gate", on_waiting="succeed")
    assert ended.state == "success", ended.text
    assert ended.result["phase"] == "WAITING"
    assert system.cancels == 0
    assert system.status(system.refs[0]) == system.statuses["WAITING"]


def test_after_ten_minutes_without_an_answer_a_retry_goes_on_with_the_same_execution(bench: Bench, clock: VirtualClock) -> None:
    system = bench.system
    task = bench.task("", script=system.script("succeeded", seconds=900.0), **slowly(bench, 60.0))
    fault = system.fault("html", "read", times=None)
    began = clock.passed
    assert type(task.run().error) is errors.ExecutionUnreachable
    assert clock.passed - began > 599.0
    fault.times = fault.hits
    ended = task.run()
    assert ended.state == "success", ended.text
    assert ended.result["ref"] == system.refs[0]
    assert len(system.refs) == 1


def test_without_a_connection_nothing_is_started_and_a_retry_may_find_it(bench: Bench) -> None:
    system = bench.system
    task = bench.task("succeeded")
    task.api.connections = {}
    ended = task.run()
    assert type(ended.error) is errors.ConnectionMissing
    assert system.starts == 0
    task.api.connections = system.connections
    assert task.run().state == "success"
    assert len(system.refs) == 1


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELED", "TERMINATED", "TIMED_OUT"])
def test_cancelling_what_has_ended_in_tracecat(emulator: Emulator, status: str, deferrable: bool) -> None:
    system = TracecatSystem(emulator)
    ref = system.start_elsewhere(system.script("slow"))
    system.tracecat.finish(ref, status)
    ended = TaskRun(
        lambda: TracecatCancelExecutionOperator(task_id="task", ref=ref, poll_interval=10.0, deferrable=deferrable), system.connections
    ).run()
    assert ended.state == "success", ended.text
    assert ended.result["status"] == status


# Never twice, never lost


def test_a_lost_start_is_looked_up_five_times_within_about_half_a_minute(operator_bench: Bench, clock: VirtualClock) -> None:
    system = operator_bench.system
    system.fault("drop_after", "start")
    lost = system.fault("html", "list", after=system.lists_before_start, times=None)
    began = clock.passed
    assert type(operator_bench.run("slow").error) is errors.StartUnknown
    assert lost.hits == 5
    assert clock.passed - began < 40.0
    assert system.starts == 1


def test_the_new_execution_of_a_retry_has_a_new_clock(operator_bench: Bench) -> None:
    """Both together take longer than the timeout."""
    system = operator_bench.system
    task = operator_bench.task("", script=system.script("failed", seconds=25.0), timeout=80.0, **slowly(operator_bench))
    assert [type(task.run().error) for _ in range(2)] == [errors.ExecutionFailed] * 2
    assert system.starts == 2


def test_the_new_execution_of_a_clear_has_a_new_clock(operator_bench: Bench) -> None:
    system = operator_bench.system
    task = operator_bench.task("", script=system.script("succeeded", seconds=50.0), timeout=80.0, **slowly(operator_bench))
    assert task.run().state == "success"
    task.clear()
    ended = task.run()
    assert ended.state == "success", ended.text
    assert system.starts == 2


def test_an_execution_that_takes_long_to_stop_is_waited_for_a_minute(operator_bench: Bench, clock: VirtualClock) -> None:
    system = operator_bench.system
    system.stops_slowly(600.0)
    task = crashed(operator_bench, system.script("succeeded", seconds=30.0))
    system.cancel(system.refs[0])
    stopping, began = system.status(system.refs[0]), clock.passed
    clock.when(lambda: len(system.refs) == 2, lambda: waited.append(clock.passed - began))
    waited: list[float] = []
    ended = task.run()
    assert ended.state == "success", ended.text
    assert ended.result["ref"] == system.refs[1]
    assert system.status(system.refs[0]) == stopping != system.statuses["CANCELLED"]
    assert 59.0 < waited[0] < 70.0


def test_tracecat_does_not_show_that_an_execution_is_being_stopped(emulator: Emulator) -> None:
    """So it is followed to its end."""
    system = TracecatSystem(emulator)
    system.tracecat.cancel_seconds = 40.0
    for mode in ("operator", "operator-deferrable"):
        before = system.starts
        task = crashed(Bench(system, mode), system.script("succeeded", seconds=300.0))
        system.cancel(system.refs[-1])
        assert type(task.run().error) is errors.ExecutionCancelled
        assert system.starts == before + 1


def test_past_the_timeout_a_success_is_collected(operator_bench: Bench, clock: VirtualClock) -> None:
    system = operator_bench.system
    task = crashed(operator_bench, system.script("succeeded", seconds=100.0), timeout=60.0)
    clock.advance(200.0)
    ended = task.run()
    assert ended.state == "success", ended.text
    assert ended.result["ref"] == system.refs[0]
    assert system.starts == 1


@pytest.mark.parametrize("on_retry", ["start", "resume"])
def test_past_the_timeout_on_retry_decides_after_a_failure(operator_bench: Bench, clock: VirtualClock, on_retry: str) -> None:
    system = operator_bench.system
    kind = "fails_once" if on_retry == "resume" else "failed"
    task = crashed(operator_bench, system.script(kind, seconds=40.0), timeout=120.0, on_retry=on_retry)
    clock.advance(200.0)
    ended = task.run()
    assert system.starts == (1 if on_retry == "resume" else 2)
    if on_retry == "resume":
        assert ended.state == "success", ended.text
    else:
        assert type(ended.error) is errors.ExecutionFailed
        assert ended.xcoms["ref"] == system.refs[1]


def test_what_is_ended_between_two_tries_goes_on_until_the_task_is_cleared(operator_bench: Bench, clock: VirtualClock) -> None:
    system = operator_bench.system
    task = crashed(operator_bench, system.script("succeeded", seconds=300.0))
    task.api.states[task.state_key] = "failed"  # a person marks it, and nobody is there to see
    clock.advance(60.0)
    assert system.status(system.refs[0]) == system.statuses["RUNNING"]
    assert system.cancels == 0
    task.api.states.clear()
    task.clear()
    ended = task.run()
    assert ended.state == "success", ended.text
    assert ended.result["ref"] == system.refs[1]
    if system.can_cancel:
        assert system.cancels == 1
        assert system.status(system.refs[0]) == system.statuses["CANCELLED"]
    else:
        assert f"{system.title} can't cancel execution" in ended.text


def test_execution_timeout_bounds_a_deferred_wait_for_a_person_too(system: Adapter, clock: VirtualClock) -> None:
    bench = Bench(system, "operator-deferrable")
    deferred: list[float] = []
    task = bench.task("gate", execution_timeout=timedelta(seconds=500), timeout=100.0, **slowly(bench))
    task.on_defer = lambda _: deferred.append(clock.passed)
    ended = task.run()
    assert type(ended.error) is errors.ExecutionDeadlineExceeded, ended.text
    assert 499.0 < clock.passed - deferred[0] < 600.0
    system.check_stopped(ended.text + str(ended.error))


@pytest.mark.parametrize(
    ("kind", "arguments"), [("gate", {"on_waiting": "succeed"}), ("slow", {"wait_for_completion": False})], ids=["on_waiting", "no wait"]
)
def test_a_clear_cancels_what_a_success_had_left(operator_bench: Bench, kind: str, arguments: dict[str, Any]) -> None:
    system = operator_bench.system
    task = operator_bench.task(kind, **arguments)
    assert task.run().state == "success"
    assert system.cancels == 0
    task.clear()
    ended = task.run()
    assert ended.state == "success", ended.text
    assert ended.result["ref"] == system.refs[1]
    assert len(system.refs) == system.starts == 2
    system.check_stopped(ended.text)


@pytest.mark.parametrize("mode", SENSOR_MODES)
def test_a_search_says_every_ten_minutes_what_it_has_seen(emulator: Emulator, mode: str) -> None:
    system = BuddySystem(emulator)
    pipeline = system.buddy.add_pipeline(Pipeline("release", actions=[]))
    seen = system.buddy.add_execution(pipeline, "FAILED").ref
    in_mode: dict[str, Any] = dict(SENSOR_MODES[mode])
    arguments = {"poke_interval": 60.0, "timeout": 1_500.0, "match": "first_succeeded", **in_mode}
    ended = TaskRun(lambda: BuddyPipelineSensor(task_id="task", pipeline="release", **arguments), system.connections).run()
    assert type(ended.error) is AirflowSensorTimeout, ended.text
    said = [line for line in ended.text.splitlines() if "Searching for a Buddy execution" in line]
    assert len(said) == 3, said  # at 0, 10 and 20 minutes
    assert all(f"{seen} FAILED" in line for line in said)


# Waits that share a list


def test_in_alga_psa_what_is_pending_is_on_a_shared_list_too(emulator: Emulator, clock: VirtualClock) -> None:
    waits = Waits(AlgaPsaSystem(emulator), clock)
    stays = alga_psa.Rule("r", actions=[alga_psa.Action(seconds=5.0)], pending_seconds=100_000.0)
    rule = waits.system.emulator.alga_psa.add_rule(stays)
    waits.sensors([waits.system.start_elsewhere(rule) for _ in range(6)])
    before: dict[str, int] = {}
    after: dict[str, int] = {}
    waits.run(waits.looked, waits.asked("list", 6), waits.note(before), waits.asked("list", 6), waits.note(after), waits.all_end)
    assert waits.ends == ["ended"] * 6
    assert after["read"] == before["read"]
    asked = {entry.query for entry in emulator.ledger.select("GET", waits.system.routes["list"]["path"])}
    assert {status for query in asked for status in re.findall(r"status=(\w+)", query)} == {"running", "pending"}


# Faults


@pytest.mark.parametrize("mode", ALL_MODES)
@pytest.mark.parametrize("times", [1, 2])
def test_the_expired_address_of_a_stored_result_is_asked_for_again_once(emulator: Emulator, mode: str, times: int) -> None:
    system = TracecatSystem(emulator)
    system.tracecat.inline_limit = 100
    expired = emulator.faults.add(Fault("status", status=403, method="GET", path=f"^/{BUCKET}/", times=times))
    bench = Bench(system, mode)
    ended = bench.task("", script=system.script("outputs", outputs={"IMAGE": "x" * 1_000})).run()
    assert ended.state == "success", ended.text
    assert expired.hits == times
    if times == 1:
        assert ended.result["outputs"] == {"IMAGE": "x" * 1_000}
    else:
        assert "403" in ended.result["outputs_omitted"]["result"]


class Rotates(Fault):
    """Hits nothing: before the first request of a route, the connection and the system get another credential."""

    def __init__(self, system: Adapter, task: TaskRun, at: str) -> None:
        super().__init__("status", status=401, method=system.routes[at]["method"], path=system.routes[at]["path"])
        self._system, self._task = system, task
        self.done = False

    def strikes(self, method: str, path: str) -> bool:
        if super().strikes(method, path) and not self.done:
            self.done = True
            self._system.use_credential()
            self._task.api.connections = self._system.connections
        return False


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize(
    ("name", "at"),
    [("buddy", "start"), ("buddy", "log"), ("buddy", "cancel"), ("tracecat", "start"), ("tracecat", "cancel"), ("alga_psa", "start")],
)
def test_a_credential_that_was_rotated_before_a_start_a_log_or_a_cancel_request(emulator: Emulator, name: str, at: str, mode: str) -> None:
    system = SYSTEMS[name](emulator)
    bench = Bench(system, mode)
    seconds = 600.0 if at == "cancel" else 20.0
    by_name: Any = {"buddy": {"pipeline": "p"}, "alga_psa": {"rule": "r"}}.get(name, {})  # so that the old credential was good at first
    task = bench.task("", script=system.script("succeeded", seconds=seconds), timeout=60.0, **slowly(bench), **by_name)
    rotates = Rotates(system, task, at)
    emulator.faults.add(rotates)
    ended = task.run()
    assert rotates.done
    assert emulator.ledger.count(status=401) == 1
    assert len(system.refs) == 1
    if at == "cancel":
        assert type(ended.error) is errors.ExecutionDeadlineExceeded
        assert system.status(system.refs[0]) == system.statuses["CANCELLED"]
    else:
        assert ended.state == "success", ended.text
        assert "can't be read" not in ended.text


@pytest.mark.parametrize("kind", ["read", "not cancelled"])
def test_a_log_that_has_no_end_does_not_hold_a_task(emulator: Emulator, clock: VirtualClock, tmp_path: Path, kind: str) -> None:
    """``log_path`` of an execution that goes on: the log up to now."""
    system = SYSTEMS["buddy"](emulator)
    script = emulator.buddy.add_pipeline(Pipeline("chatty", actions=[Action("Build", seconds=3_600, log=["x $LINE"], lines=36_000)]))
    emulator.faults.add(Fault("latency", path=r"/logs", seconds=0.5, times=None))
    arguments: dict[str, Any] = {"log_path": f"file://{tmp_path}"}

    def operator() -> Any:
        if kind == "not cancelled":
            return system.operator(script, timeout=60, log_lines=0, **arguments)
        ref = system.refs[0] if system.refs else system.start_elsewhere(script)
        return BuddyGetExecutionOperator(task_id="task", ref=ref, **arguments)

    if kind == "not cancelled":
        system.fault("status", "cancel", status=403, times=None)
    before = clock.passed
    ended = TaskRun(operator, system.connections).run()
    assert clock.passed - before < 100, ended.text
    assert list(tmp_path.rglob("*.log"))


@pytest.mark.parametrize("length", [49_152, 49_153, 400_000])
def test_a_long_comment_does_not_fill_the_xcom(emulator: Emulator, length: int) -> None:
    system = SYSTEMS["buddy"](emulator)
    ref = emulator.buddy.add_execution(system.script("succeeded"), status="SUCCESSFUL", comment="x" * length).ref
    ended = TaskRun(lambda: BuddyGetExecutionOperator(task_id="task", ref=ref), system.connections).run()
    assert ended.state == "success", ended.text
    comment = ended.result["system_fields"]["comment"]
    assert comment == ("x" * length if length == 49_152 else f"(left out: {length} characters, over 49152)")


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize("status", [401, 403])
def test_a_log_that_is_refused_is_warned_of_once_and_the_wait_goes_on(emulator: Emulator, status: int, mode: str) -> None:
    system = BuddySystem(emulator)
    refused = system.fault("status", "log", status=status, times=None)
    bench = Bench(system, mode)
    ended = bench.task("", script=system.script("succeeded", seconds=60.0), **slowly(bench)).run()
    assert ended.state == "success", ended.text
    assert refused.hits > 1
    assert ended.text.count("The remote log can't be read at the moment") == 1, ended.text
