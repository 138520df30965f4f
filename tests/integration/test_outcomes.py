"""The outcome table of the documentation (behaviour), each row in all modes, over real sockets."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSensorTimeout

from airflow_provider import errors
from airflow_provider.emulator import Fault
from tests.harness import Ended
from tests.integration.conftest import Bench


def later(seconds: float, act: Any, *arguments: Any) -> None:
    threading.Timer(seconds, act, arguments).start()


def failed(ended: Ended, error: type[BaseException], *, retried: bool = True) -> str:
    assert type(ended.error) is error, f"{ended.error!r}\n{ended.text}"
    assert ended.state == ("up_for_retry" if retried else "failed")
    assert "return_value" not in ended.xcoms
    text = str(ended.error)
    assert "\n" not in text
    return text


def test_succeeded(bench: Bench) -> None:
    ended = bench.run("succeeded", push_outputs=["IMAGE"])
    assert ended.state == "success"
    result = ended.result
    assert (result["phase"], result["outputs"]) == ("SUCCEEDED", {"IMAGE": "shop:1.2.3", "URL": "https://shop.example"})
    assert ended.xcoms["IMAGE"] == "shop:1.2.3"
    assert ended.xcoms["ref"] == result["ref"] == bench.system.refs[0]
    assert ended.xcoms["url"] == result["url"] == ended.xcoms["_link_BuddyExecutionLink"]
    assert [step["name"] for step in result["steps"]] == ["Build", "Deploy"]
    assert result["log_tail"] == ["deploying"]
    assert "execution" not in ended.xcoms
    assert (ended.defers > 0) == bench.deferrable
    assert (ended.reschedules > 0) == (bench.mode == "sensor-reschedule")


@pytest.mark.parametrize("map_index", [0, 3])
def test_succeeded_mapped(bench: Bench, map_index: int) -> None:
    bench.map_index = map_index
    ended = bench.run("succeeded", push_outputs=["IMAGE"])
    assert ended.state == "success"
    assert ended.xcoms["IMAGE"] == "shop:1.2.3"


def test_succeeded_with_failed_steps_is_said(bench: Bench) -> None:
    ended = bench.run("partial")
    assert ended.state == "success"
    assert "in part" in ended.text
    assert [step["phase"] for step in ended.result["steps"]] == ["SUCCEEDED", "FAILED"]


def test_succeeded_with_failed_steps_may_fail(bench: Bench) -> None:
    ended = bench.run("partial", on_partial="fail")
    assert "Lint" in failed(ended, errors.ExecutionFailed)
    assert ended.xcoms["execution"]["phase"] == "SUCCEEDED"


def test_failed(bench: Bench) -> None:
    ended = bench.run("failed")
    text = failed(ended, errors.ExecutionFailed)
    ref = bench.system.refs[0]
    for part in ("Buddy", ref, "FAILED", "'Test'", "1 test failed", "assert 1 == 2", f"See {ended.xcoms['url']}"):
        assert part in text
    execution = ended.xcoms["execution"]
    assert execution["error"] == "1 test failed"
    assert [step["phase"] for step in execution["steps"]] == ["SUCCEEDED", "FAILED", "QUEUED"]
    assert execution["log_tail"] == ["collecting", "assert 1 == 2"]
    assert "info: assert 1 == 2" in ended.text


def test_cancelled(bench: Bench) -> None:
    task = bench.task("slow")
    later(0.6, lambda: bench.system.buddy.cancel(bench.system.refs[0], by="Mike"))
    ended = task.run()
    text = failed(ended, errors.ExecutionCancelled)
    assert "TERMINATED" in text
    assert "Cancelled by" in text
    assert ended.xcoms["execution"]["phase"] == "CANCELLED"


@pytest.mark.parametrize("kind", ["skipped", "not_executed"])
def test_skipped(bench: Bench, kind: str) -> None:
    ended = bench.run(kind)
    assert ended.state == "skipped"
    assert "was skipped by Buddy" in ended.skipped_because
    assert ended.xcoms["execution"]["phase"] == "SKIPPED"


def test_skipped_may_fail(bench: Bench) -> None:
    assert "skipped" in failed(bench.run("skipped", on_skipped="fail"), errors.ExecutionFailed)


def test_skipped_may_succeed(bench: Bench) -> None:
    ended = bench.run("skipped", on_skipped="succeed")
    assert ended.state == "success"
    assert ended.result["status"] == "SKIPPED"


@pytest.mark.parametrize("gate_in", ["execution", "action"])
def test_waiting_goes_on_and_is_said(bench: Bench, gate_in: str) -> None:
    bench.system.buddy.gate_in = gate_in
    ended = bench.run("gate_approved")
    assert ended.state == "success"
    assert "waits for a person (WAITING_FOR_APPLY): Approve (WAIT_FOR_APPLY). See http" in ended.text
    assert ended.result["actor"]["approved_by"]


@pytest.mark.parametrize("gate_in", ["execution", "action"])
def test_waiting_may_fail(bench: Bench, gate_in: str) -> None:
    bench.system.buddy.gate_in = gate_in
    ended = bench.run("gate", on_waiting="fail")
    text = failed(ended, errors.ExecutionWaiting, retried=False)
    assert "Approve" in text
    assert ended.xcoms["execution"]["phase"] == "WAITING"
    assert bench.system.cancels == 0


def test_waiting_has_a_timeout_of_its_own(bench: Bench) -> None:
    ended = bench.run("gate", waiting_timeout=0.4)
    assert "longer than waiting_timeout" in failed(ended, errors.ExecutionWaiting, retried=False)
    assert bench.system.cancels == (0 if bench.sensor else 1)


def test_waiting_does_not_count_against_an_operators_timeout(operator_bench: Bench) -> None:
    task = operator_bench.task("gate", timeout=1.5)
    later(2.0, lambda: operator_bench.system.buddy.approve(operator_bench.system.refs[0], by="Mike"))
    assert task.run().state == "success"


def test_unknown_status_is_no_end(bench: Bench) -> None:
    ended = bench.run("unknown", timeout=1.2)
    assert ended.text.count("a status that this version does not know: 'HIBERNATING'") == 1
    failed(ended, AirflowSensorTimeout if bench.sensor else errors.ExecutionDeadlineExceeded, retried=not bench.sensor)


def test_timeout(bench: Bench) -> None:
    ended = bench.run("slow", timeout=0.5)
    if bench.sensor:
        failed(ended, AirflowSensorTimeout, retried=False)
        assert bench.system.cancels == 0
    else:
        assert "It was cancelled." in failed(ended, errors.ExecutionDeadlineExceeded)
        assert bench.system.cancels == 1
        assert bench.system.status(bench.system.refs[0]) == "TERMINATED"
    assert ended.xcoms["url"] in str(ended.error)


def test_vanished(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider.execution.task.ExecutionTask.vanish_grace", 0.3)
    task = bench.task("slow")
    later(0.4, lambda: bench.system.buddy.delete(bench.system.refs[0]))
    failed(task.run(), errors.ExecutionVanished)


def test_a_passing_404_is_no_end(bench: Bench) -> None:
    task = bench.task("succeeded")
    bench.system.emulator.faults.add(Fault("status", status=404, method="GET", path=bench.system.execution_path))
    assert task.run().state == "success"


def test_a_passing_error_at_the_last_look_loses_nothing(bench: Bench) -> None:
    task = bench.task("succeeded")
    details = r"/action_executions/\w+$"
    bench.system.emulator.faults.add(Fault("status", status=500, method="GET", path=details))
    ended = task.run()
    assert ended.state == "success"
    assert ended.result["outputs"]["IMAGE"] == "shop:1.2.3"


@pytest.mark.parametrize("mode", ["operator-deferrable", "sensor-deferrable"])
def test_a_404_between_the_event_and_the_last_look_is_no_end(system: Any, mode: str) -> None:
    task = Bench(system, mode).task("succeeded")
    task.after_trigger = lambda _: system.emulator.faults.add(Fault("status", status=404, method="GET", path=system.execution_path))
    assert task.run().state == "success"


def test_a_404_at_the_timeout_does_not_save_the_execution_from_being_cancelled(system: Any) -> None:
    task = Bench(system, "operator-deferrable").task("slow", timeout=0.5)
    task.after_trigger = lambda _: system.emulator.faults.add(Fault("status", status=404, method="GET", path=system.execution_path))
    failed(task.run(), errors.ExecutionDeadlineExceeded)
    assert system.cancels == 1


@pytest.mark.parametrize("mode", ["operator-deferrable", "sensor-deferrable"])
@pytest.mark.parametrize("arguments", [{"waiting_timeout": 0.3}, {"on_waiting": "fail"}], ids=str)
def test_approved_just_before_the_task_concludes(system: Any, mode: str, arguments: dict[str, Any]) -> None:
    """A person approves between the trigger's event and the worker's last look: what runs now must not be cancelled."""
    task = Bench(system, mode).task("gate", **arguments)
    task.after_trigger = lambda event: system.buddy.approve(system.refs[0], by="Mike") if event["end"] != "ended" else None
    ended = task.run()
    assert ended.state == "success", ended.text
    assert system.cancels == 0


def test_whatever_fails_after_the_start_leaves_a_result_to_say_what_broke(bench: Bench) -> None:
    task = bench.task("slow")
    bench.system.emulator.faults.add(Fault("status", status=403, method="GET", path=bench.system.execution_path, after=1, times=None))
    ended = task.run()
    assert type(ended.error) is errors.Forbidden
    assert ended.xcoms["execution"]["ref"] == bench.system.refs[0]


def test_a_timeout_leaves_a_result_to_say_what_broke(bench: Bench) -> None:
    ended = bench.run("slow", timeout=0.5)
    assert ended.xcoms["execution"]["phase"] in ("RUNNING", "CANCELLED")


def test_a_sensors_patience_begins_anew_with_each_try(sensor_bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider.execution.task.ExecutionTask.poll_failure_budget", 0.3)
    system = sensor_bench.system
    task = sensor_bench.task("", script=system.script("succeeded", seconds=2.0))
    fault = system.emulator.faults.add(Fault("html", method="GET", path=system.execution_path, times=None))
    failed(task.run(), errors.ExecutionUnreachable)
    fault.times = fault.hits + 1
    assert task.run().state == "success"


def test_the_link_survives_a_poke_without_answer(system: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider.execution.task.ExecutionTask.poll_failure_budget", 0.3)
    task = Bench(system, "sensor-reschedule").task("slow")
    system.emulator.faults.add(Fault("html", method="GET", path=system.execution_path, after=3, times=None))
    ended = task.run()
    assert type(ended.error) is errors.ExecutionUnreachable
    assert ended.xcoms["url"].startswith("http")


def test_unreachable(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider.execution.task.ExecutionTask.poll_failure_budget", 0.2)
    task = bench.task("slow")
    bench.system.emulator.faults.add(Fault("html", method="GET", path=bench.system.execution_path, times=None))
    text = failed(task.run(), errors.ExecutionUnreachable)
    assert "left alone" in text
    assert bench.system.cancels == 0


def test_poll_errors_within_the_budget_are_no_end(bench: Bench) -> None:
    task = bench.task("succeeded")
    for kind in ("html", "empty", "truncated", "drop_before"):
        bench.system.emulator.faults.add(Fault(kind, method="GET", path=bench.system.execution_path))
    ended = task.run()
    assert ended.state == "success"
    assert "The execution goes on; the wait too." in ended.text


@pytest.mark.parametrize(("status", "error"), [(401, errors.Unauthorized), (403, errors.Forbidden)])
def test_refused_credentials(bench: Bench, status: int, error: type[Exception]) -> None:
    task = bench.task("slow")
    bench.system.emulator.faults.add(Fault("status", status=status, times=None))
    failed(task.run(), error, retried=False)


def test_wrong_settings(bench: Bench) -> None:
    task = bench.task("slow", push_outputs=["return_value"])
    assert "push_outputs" in failed(task.run(), errors.ConfigurationError, retried=False)
    assert bench.system.starts == 0


def test_missing_connection(bench: Bench) -> None:
    task = bench.task("slow")
    task.api.connections.clear()
    failed(task.run(), errors.ConnectionMissing)


def test_missing_output(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider.execution.task.SETTLE_PAUSES", (0.05,))
    text = failed(bench.run("succeeded", push_outputs=["IMAGE", "NO_SUCH"]), errors.OutputMissing)
    assert "NO_SUCH: not put out. Outputs at hand: IMAGE, URL." in text


def test_outputs_may_lag_behind_the_status(bench: Bench) -> None:
    ended = bench.run("lagging", push_outputs=["IMAGE"])
    assert ended.state == "success"
    assert ended.xcoms["IMAGE"] == "late:1"


@pytest.mark.parametrize("mode", ["operator-deferrable", "sensor-deferrable"])
def test_revived_execution_is_followed(system: Any, mode: str) -> None:
    """Somebody retries a failed execution in the vendor's UI between the trigger's event and the task's last look."""
    task = Bench(system, mode).task("fails_once")
    events: list[dict[str, Any]] = []

    def revive(event: dict[str, Any]) -> None:
        events.append(event)
        if len(events) == 1:
            system.buddy.revive(system.refs[0])

    task.after_trigger = revive
    ended = task.run()
    assert [event["end"] for event in events] == ["ended", "ended"]
    assert ended.state == "success"
    assert "somebody revived it" in ended.text
    assert system.starts == (1 if mode.startswith("operator") else 0)


SOFT = [
    ("failed", {}, True),
    ("slow", {"timeout": 0.3}, True),
    ("gate", {"on_waiting": "fail"}, True),
    ("partial", {"on_partial": "fail"}, True),
    ("skipped", {"on_skipped": "fail"}, True),
    ("slow", {"push_outputs": ["url"]}, False),
]


@pytest.mark.parametrize(("kind", "arguments", "skips"), SOFT)
def test_soft_fail_skips_for_executions_not_for_settings(sensor_bench: Bench, kind: str, arguments: dict[str, Any], skips: bool) -> None:
    ended = sensor_bench.run(kind, soft_fail=True, **arguments)
    assert ended.state == ("skipped" if skips else "failed"), ended.text
    if skips:
        assert ended.skipped_because.startswith("soft_fail: ")


@pytest.mark.parametrize("status", [401, 403])
def test_soft_fail_never_hides_refused_credentials(sensor_bench: Bench, status: int) -> None:
    task = sensor_bench.task("slow", soft_fail=True)
    sensor_bench.system.emulator.faults.add(Fault("status", status=status, times=None))
    assert task.run().state == "failed"


@pytest.mark.parametrize(("grace", "budget"), [(0.2, 600.0), (60.0, 0.2)])
def test_soft_fail_skips_when_vanished_or_unreachable(
    sensor_bench: Bench, monkeypatch: pytest.MonkeyPatch, grace: float, budget: float
) -> None:
    monkeypatch.setattr("airflow_provider.execution.task.ExecutionTask.vanish_grace", grace)
    monkeypatch.setattr("airflow_provider.execution.task.ExecutionTask.poll_failure_budget", budget)
    task = sensor_bench.task("slow", soft_fail=True)
    status = 404 if grace < 1 else 500
    sensor_bench.system.emulator.faults.add(Fault("status", status=status, path=sensor_bench.system.execution_path, times=None))
    assert task.run().state == "skipped"
