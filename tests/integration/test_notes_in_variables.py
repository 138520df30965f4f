"""
Never twice, never lost, on an Airflow without state stores: the notes are in Variables. The same tests, and what is particular to it.

Only Airflow's context is played otherwise here, and that it does not count all clears. The real versions are tried by ``tests/compat``.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider import _compat
from tests.harness import TaskRun
from tests.integration.conftest import Bench
from tests.integration.systems import Adapter
from tests.integration.test_kill import GOES_ON, PERSON, deferred, logged, looked_at
from tests.integration.test_start_once import (  # noqa: F401
    Crash,
    test_a_clear_cancels_the_old_execution_that_still_runs,
    test_a_clear_starts_a_new_execution,
    test_a_clear_starts_a_new_one_although_the_old_can_not_be_looked_up,
    test_a_refused_start_needs_no_look_up,
    test_a_retry_after_a_failed_execution_starts_a_new_one,
    test_a_start_whose_answer_is_lost_is_found_not_repeated,
    test_a_superseded_worker_starts_nothing,
    test_airflows_deferral_timeout_cancels_as_ours_does,
    test_another_airflow_with_the_same_names_is_a_stranger,
)


@pytest.fixture(autouse=True)
def _older(monkeypatch: pytest.MonkeyPatch) -> None:
    """What there is before Airflow 3.2."""
    monkeypatch.setattr(_compat, "task_state_store", lambda context: None)
    monkeypatch.setattr(_compat, "counts_all_clears", lambda: False)
    monkeypatch.setattr(_compat, "kills_triggers", lambda: False)


def notes(task: TaskRun) -> list[dict[str, Any]]:
    return [dict(json.loads(value)["value"]) for value in task.api.variables.values()]


def crashed(task: TaskRun, *, before: bool) -> None:
    """A try whose worker dies at its first XCom: the ref is noted; or ``before``, at the write of that: only the intent is."""
    answer = type(task.api).__call__
    died: list[bool] = []

    class Dying(type(task.api)):  # type: ignore[misc]
        def __call__(self, request: Any) -> Any:
            of_note = request.method == "PUT" and "/variables/" in request.url.path and self.variables
            if not died and (of_note if before else request.method == "POST" and "/xcoms/" in request.url.path):
                died.append(True)
                raise Crash
            return answer(self, request)

    task.api.__class__ = Dying
    assert isinstance(task.run().error, Crash)


@pytest.mark.parametrize("before", [False, True])
def test_a_crash_costs_no_second_start(operator_bench: Bench, before: bool) -> None:
    task = operator_bench.task("succeeded")
    crashed(task, before=before)
    (note,) = notes(task)
    assert bool(note["ref"]) is not before
    ended = task.run()
    assert ended.state == "success", ended.text
    assert operator_bench.system.starts == 1


def test_nothing_is_left_after_a_good_end(bench: Bench) -> None:
    task = bench.task("succeeded")
    assert task.run().state == "success"
    assert task.api.variables == {}


def test_nothing_is_left_after_a_skip(bench: Bench) -> None:
    bench.system.need("skipped")
    task = bench.task("skipped")
    assert task.run().state == "skipped"
    assert task.api.variables == {}


def test_a_failed_task_keeps_its_note_for_the_retries_and_not_longer(bench: Bench) -> None:
    task = bench.task("failed", retries=1)
    assert task.run().state == "up_for_retry"
    assert notes(task)
    assert task.run().state == "failed"
    assert task.api.variables == {}


def test_a_sensor_that_skips_softly_leaves_nothing(sensor_bench: Bench) -> None:
    task = sensor_bench.task("failed", soft_fail=True)
    assert task.run().state == "skipped"
    assert task.api.variables == {}


def test_what_still_runs_keeps_its_note_so_that_a_clear_cancels_it(operator_bench: Bench) -> None:
    system = operator_bench.system
    task = operator_bench.task("slow", wait_for_completion=False)
    assert task.run().state == "success"
    (note,) = notes(task)
    assert (note["ref"], note["done"]) == (system.refs[0], True)
    task.clear()
    ended = task.run()
    assert ended.state == "success"
    assert system.starts == 2
    assert "The task was cleared" in ended.text


def test_an_end_that_airflow_did_not_hear_of_costs_no_second_start(operator_bench: Bench) -> None:
    """The task had done its work; then its worker died, or Airflow's API was down, and the next try is a retry."""
    system = operator_bench.system
    task = operator_bench.task("slow", wait_for_completion=False, retries=5)
    for _ in range(3):
        assert task.run().state == "success"
    assert system.starts == 1
    task.clear()
    assert task.run().state == "success"
    assert system.starts == 2


def test_a_clear_that_airflow_did_not_count_is_no_retry(operator_bench: Bench) -> None:
    """Before 3.2 a clear of a run that has not ended leaves ``clear_number`` as it is."""
    task = operator_bench.task("slow")
    crashed(task, before=False)
    task.clear()
    task.clear_number -= 1
    ended = task.run()
    assert operator_bench.system.starts == 2
    assert "The task was cleared" in ended.text


@pytest.mark.parametrize("newer", ["another", None])
def test_a_worker_that_was_superseded_during_its_request_leaves_nothing(operator_bench: Bench, newer: str | None) -> None:
    """A newer attempt has noted another execution, or is about to start one."""
    system = operator_bench.system
    task = operator_bench.task("slow")
    answer = type(task.api).__call__

    class TakenOver(type(task.api)):  # type: ignore[misc]
        def __call__(self, request: Any) -> Any:
            if request.method == "GET" and "/variables/" in request.url.path and system.refs and self.variables:
                ((name, value),) = self.variables.items()
                record = json.loads(value)
                if record["try_number"] == 1:
                    note = {**record["value"], "ref": newer, "marker": "airflow-another"}
                    self.variables[name] = json.dumps({**record, "try_number": 2, "value": note})
            return answer(self, request)

    task.api.__class__ = TakenOver
    ended = task.run()
    assert ended.state != "success"
    assert len(system.refs) == 1
    assert "newer attempt" in ended.text
    assert system.cancels == (1 if system.can_cancel else 0)
    assert [note["ref"] for note in notes(task)] == [newer]


def test_a_sensors_clock_goes_on_over_retries_and_begins_anew_after_a_clear(sensor_bench: Bench) -> None:
    task = sensor_bench.task("failed", timeout=50)

    def began() -> float:
        (note,) = [note for note in notes(task) if "since" in note]
        return float(note["since"])

    task.run()
    since = began()
    task.run()
    assert began() == since
    task.clear()
    task.run()
    assert began() > since


def test_how_often_variables_are_read_and_written(bench: Bench) -> None:
    """Each read and write asks a secrets backend, too. ``docs/compatibility.md`` has the figures."""
    task = bench.task("slow" if bench.sensor else "succeeded", **bench.every(120.0))
    assert task.run().state == "success"
    methods = [method for method, path, _ in task.api.calls if "/variables/" in path]
    counted = [methods.count(method) for method in ("GET", "PUT", "DELETE")]
    most = [17, 5, 2] if bench.sensor else [6, 2, 1]
    polls = bench.system.count("read") if bench.mode in ("sensor-poke", "sensor-reschedule") else 0
    assert all(count <= limit for count, limit in zip(counted, [most[0] + 2 * polls, *most[1:]], strict=True)), (counted, polls)


# Airflow takes a trigger away and does not say why


@pytest.mark.parametrize("state", PERSON)
def test_a_person_ends_a_deferred_task(system: Adapter, state: str | None) -> None:
    task = deferred(system)
    stopped = lambda: system.cancels == 1 or not system.can_cancel  # noqa: E731
    logs = task.kill_trigger(looked_at(system), state, linger=2.0, until=stopped, reason=None)
    system.check_stopped(logged(logs))


@pytest.mark.parametrize("state", GOES_ON)
def test_a_hand_over_cancels_nothing(system: Adapter, state: str) -> None:
    task = deferred(system)
    logs = task.kill_trigger(looked_at(system), state, linger=0.3, reason=None)
    assert "was left alone" in logged(logs)
    assert system.cancels == 0


def test_a_deferred_task_may_leave_its_execution_and_a_sensor_always_does(system: Adapter) -> None:
    for task in (deferred(system, cancel_on_kill=False), deferred(system, "sensor-deferrable")):
        task.kill_trigger(looked_at(system), "failed", linger=0.3, reason=None)
    assert system.cancels == 0
