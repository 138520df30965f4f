"""The outcome table of the documentation (behaviour), each row in all modes, over real sockets."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider._compat import AirflowSensorTimeout
from airflow_provider.emulator import Emulator
from tests.harness import Ended, TaskRun
from tests.integration.conftest import SENSOR_MODES, Bench
from tests.integration.systems import ABILITIES, KINDS, SYSTEMS, Adapter, Look
from tests.virtual_clock import VirtualClock


def once_at_the_gate(system: Adapter, clock: VirtualClock, act: Callable[[], Any]) -> None:
    """Act when the execution of a ``gate``, which is there after 0.15 s, has been looked at there a few times."""
    clock.later(0.2, lambda: clock.when(reads(system, system.count("read") + 4), act))


def reads(system: Adapter, count: int) -> Callable[[], bool]:
    return lambda: system.count("read") >= count


def failed(ended: Ended, error: type[BaseException], *, retried: bool = True) -> str:
    assert type(ended.error) is error, f"{ended.error!r}\n{ended.text}"
    assert ended.state == ("up_for_retry" if retried else "failed")
    assert "return_value" not in ended.xcoms
    text = str(ended.error)
    assert "\n" not in text
    return text


def check_steps_and_tail(result: dict[str, Any], look: Look) -> None:
    assert [(step["name"], step["phase"]) for step in result["steps"]] == list(look.steps)
    tail = "\n".join(result["log_tail"])
    assert re.fullmatch("\n".join(look.tail), tail), tail


def test_succeeded(bench: Bench) -> None:
    script = bench.system.script("succeeded", seconds=5.0)  # so that the first look is too early
    ended = bench.run("", script=script, push_outputs=["IMAGE"], **bench.every(0.5))
    assert ended.state == "success"
    result = ended.result
    assert (result["phase"], result["status"]) == ("SUCCEEDED", bench.system.statuses["SUCCEEDED"])
    assert result["outputs"].items() >= {"IMAGE": "shop:1.2.3", "URL": "https://shop.example"}.items()
    assert (result["system"], result["conn_id"]) == (bench.system.name, bench.system.conn_id)
    assert ended.xcoms["IMAGE"] == "shop:1.2.3"
    assert ended.xcoms["ref"] == result["ref"] == bench.system.refs[0]
    assert ended.xcoms["url"] == result["url"] == ended.xcoms[bench.system.link_key]
    assert bool(result["url"]) == ("page" not in bench.system.lacks)
    check_steps_and_tail(result, bench.system.looks["succeeded"])
    assert "execution" not in ended.xcoms
    assert (ended.defers > 0) == bench.deferrable
    assert (ended.reschedules > 0) == (bench.mode == "sensor-reschedule")
    assert (ended.workers == 0) == (bench.mode == "sensor-from-trigger")


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
    assert [(step["name"], step["phase"]) for step in ended.result["steps"]] == list(bench.system.looks["partial"].steps)


def test_succeeded_with_failed_steps_may_fail(bench: Bench) -> None:
    ended = bench.run("partial", on_partial="fail")
    text = failed(ended, errors.ExecutionFailed)
    assert all(part in text for part in bench.system.looks["partial"].says)
    assert ended.xcoms["execution"]["phase"] == "SUCCEEDED"


def test_failed(bench: Bench) -> None:
    ended = bench.run("failed")
    text = failed(ended, errors.ExecutionFailed)
    look = bench.system.looks["failed"]
    see = f"See {ended.xcoms['url']}" if ended.xcoms["url"] else ""
    for part in (bench.system.title, bench.system.refs[0], see, *look.says):
        assert part in text
    execution = ended.xcoms["execution"]
    assert re.fullmatch(look.error or "", execution["error"])
    check_steps_and_tail(execution, look)
    assert f"info: {execution['log_tail'][-1]}" in ended.text


@pytest.mark.parametrize("kind", ["failed", "timed_out"])
def test_the_reason_of_a_failure_is_in_short_lines_above_the_traceback(bench: Bench, kind: str) -> None:
    bench.system.need(kind)
    ended = bench.run(kind)
    lines = [str(entry["event"]) for entry in ended.logs if entry["log_level"] == "error"]
    execution = ended.xcoms["execution"]
    end = next(number for number, line in enumerate(lines) if line.startswith(f"{bench.system.title} execution {execution['ref']} ended "))
    reasons = lines[end:]
    failed = [step["name"] for step in execution["steps"] if step["phase"] in ("FAILED", "TIMED_OUT")]
    assert [line for line in reasons if line.startswith("Failing step: ")] == [
        line for line in reasons if failed and line.startswith(f"Failing step: {failed[0]}")
    ]
    assert execution["error"] is None or f"Reason: {execution['error']}" in reasons
    assert [line for line in execution["log_tail"][-5:] if not any(text.endswith(line) for text in reasons)] == []
    assert execution["url"] is None or f"See {execution['url']}" in reasons
    assert any(f" is {execution['phase']} (" in line for line in lines)


@pytest.mark.parametrize(
    ("kind", "arguments"), [("slow", {"timeout": 1}), ("gate", {"on_waiting": "fail"}), ("partial", {"on_partial": "fail"})]
)
def test_what_fails_otherwise_is_said_in_short_lines_too(operator_bench: Bench, kind: str, arguments: dict[str, Any]) -> None:
    operator_bench.system.need(kind)
    ended = operator_bench.run(kind, retries=0, **arguments)
    lines = [str(entry["event"]) for entry in ended.logs if entry["log_level"] == "error"]
    execution = ended.xcoms["execution"]
    assert any(line.startswith(f"{operator_bench.system.title} execution {execution['ref']} ") and "See http" not in line for line in lines)
    assert execution["url"] is None or f"See {execution['url']}" in lines


def test_a_short_end_of_the_log_has_a_title(bench: Bench) -> None:
    ended = bench.run("succeeded")
    if tail := ended.result["log_tail"]:
        assert f"{bench.system.title}, end of the log" in ended.text
        assert ended.text.rindex(tail[-1]) > ended.text.index("end of the log")


def test_cancelled(bench: Bench, clock: VirtualClock) -> None:
    task = bench.task("slow")
    clock.when(reads(bench.system, 3), lambda: bench.system.cancel(bench.system.refs[0]))
    ended = task.run()
    text = failed(ended, errors.ExecutionCancelled)
    for part in (bench.system.statuses["CANCELLED"], *bench.system.looks["cancelled"].says):
        assert part in text
    assert ended.xcoms["execution"]["phase"] == "CANCELLED"


def test_timed_out_by_the_systems_own_limit(bench: Bench) -> None:
    ended = bench.run("timed_out")
    text = failed(ended, errors.ExecutionTimedOut)
    assert f"ended {bench.system.statuses['TIMED_OUT']}" in text
    assert ended.xcoms["execution"]["phase"] == "TIMED_OUT"
    assert bench.system.cancels == 0


@pytest.mark.parametrize("kind", ["skipped", "not_executed"])
def test_skipped(bench: Bench, kind: str) -> None:
    ended = bench.run(kind)
    assert ended.state == "skipped"
    assert f"was skipped by {bench.system.title}" in ended.skipped_because
    assert ended.xcoms["execution"]["phase"] == "SKIPPED"
    assert (ended.workers == 0) == (bench.mode == "sensor-from-trigger")


def test_skipped_may_fail(bench: Bench) -> None:
    assert "skipped" in failed(bench.run("skipped", on_skipped="fail"), errors.ExecutionFailed)


def test_skipped_may_succeed(bench: Bench) -> None:
    ended = bench.run("skipped", on_skipped="succeed")
    assert ended.state == "success"
    assert ended.result["status"] == bench.system.statuses["SKIPPED"]


GATES = pytest.mark.parametrize("oddity", [None, "gate in a step"])


@GATES
def test_waiting_goes_on_and_is_said(bench: Bench, clock: VirtualClock, oddity: str | None) -> None:
    system = bench.system
    system.odd(oddity)
    system.need("gate_approved")
    task = bench.task("gate")
    once_at_the_gate(system, clock, lambda: system.approve(system.refs[0]))
    ended = task.run()
    assert ended.state == "success"
    assert f"waits for a person ({system.statuses['WAITING']}): {system.looks['gate'].says[0]}. See http" in ended.text
    assert (ended.result["actor"] or {}).keys() >= set(system.looks["gate_approved"].says)


@pytest.mark.parametrize("on_waiting", ["succeed", "fail"])
def test_waiting_tells_the_next_task_what_the_person_is_to_do(bench: Bench, on_waiting: str) -> None:
    ended = bench.run("gate", on_waiting=on_waiting)
    result = ended.xcoms["execution"] if on_waiting == "fail" else ended.result
    assert (result["phase"], result["waiting_for"]) == ("WAITING", bench.system.looks["gate"].says[0])


@GATES
def test_waiting_may_fail(bench: Bench, oddity: str | None) -> None:
    bench.system.odd(oddity)
    ended = bench.run("gate", on_waiting="fail")
    text = failed(ended, errors.ExecutionWaiting, retried=False)
    assert "Approve" in text
    assert ended.xcoms["execution"]["phase"] == "WAITING"
    assert bench.system.cancels == 0


def test_waiting_has_a_timeout_of_its_own(bench: Bench) -> None:
    ended = bench.run("gate", waiting_timeout=0.4, **bench.every(0.2))
    assert "longer than waiting_timeout" in failed(ended, errors.ExecutionWaiting, retried=False)
    assert bench.system.cancels == (0 if bench.sensor else 1)


def test_waiting_does_not_count_against_an_operators_timeout(operator_bench: Bench, clock: VirtualClock) -> None:
    task = operator_bench.task("gate", timeout=1.0)
    clock.later(1.5, lambda: operator_bench.system.approve(operator_bench.system.refs[0]))
    assert task.run().state == "success"


def test_unknown_status_is_no_end(bench: Bench) -> None:
    ended = bench.run("unknown", timeout=0.7, **bench.every(0.2))
    assert ended.text.count("a status that this version does not know: 'HIBERNATING'") == 1
    failed(ended, AirflowSensorTimeout if bench.sensor else errors.ExecutionDeadlineExceeded, retried=not bench.sensor)


def test_timeout(bench: Bench) -> None:
    ended = bench.run("slow", timeout=0.5, **bench.every(0.2))
    if bench.sensor:
        failed(ended, AirflowSensorTimeout, retried=False)
        assert bench.system.cancels == 0
    else:
        assert bench.system.gives_up in failed(ended, errors.ExecutionDeadlineExceeded)
        bench.system.check_stopped(str(ended.error))
    assert (ended.xcoms["url"] or "") in str(ended.error)


@pytest.mark.parametrize("mode", ["operator-deferrable", "sensor-deferrable"])
def test_deleted_between_the_event_and_the_last_look(system: Adapter, mode: str) -> None:
    task = Bench(system, mode).task("succeeded")
    task.after_trigger = lambda _: system.delete(system.refs[0])
    failed(task.run(), errors.ExecutionVanished)


def test_vanished(bench: Bench, clock: VirtualClock) -> None:
    task = bench.task("slow", **bench.every(10.0))
    clock.later(0.4, lambda: bench.system.delete(bench.system.refs[0]))
    failed(task.run(), errors.ExecutionVanished)


def test_a_passing_404_is_no_end(bench: Bench) -> None:
    task = bench.task("succeeded", **bench.every(0.05))
    bench.system.fault("status", "read", status=404, after=int(bench.sensor))  # a sensor has to have seen it once
    assert task.run().state == "success"


def test_a_ref_that_was_never_seen_fails_at_the_first_404(sensor_bench: Bench, clock: VirtualClock) -> None:
    system = sensor_bench.system
    task = sensor_bench.task("slow", **sensor_bench.every(10.0))
    system.delete(system.refs[0])
    ended = task.run()
    failed(ended, errors.ExecutionVanished)
    for part in ("was never seen here: check each part of the ref", "Asked for:", f"connection '{system.conn_id}'"):
        assert part in str(ended.error)
    if system.name != "tracecat":  # whose executions may appear some time after their start
        assert system.count("read") == 1


@pytest.mark.parametrize("name", ["buddy", "tracecat", "alga_psa"])
def test_a_host_without_api_is_named(emulator: Emulator, clock: VirtualClock, name: str) -> None:
    """Everything answers 404 there, which says nothing about the ref."""
    system = SYSTEMS[name](emulator)
    ref = system.start_elsewhere(system.script("succeeded"))
    connection = system.connections[system.conn_id]
    wrong = {**system.connections, system.conn_id: {**connection, "host": f"{emulator.url}/elsewhere"}}
    for mode in SENSOR_MODES.values():
        ended = TaskRun(partial(system.sensor, ref, **{**mode, "poke_interval": 30.0}), wrong).run()
        assert type(ended.error) is errors.ExecutionVanished, ended.text
        for part in (f"is {emulator.url}/elsewhere", "the API's address? Many end in /api.", f"connection '{system.conn_id}'"):
            assert part in str(ended.error)


def test_a_passing_error_at_the_last_look_loses_nothing(bench: Bench) -> None:
    task = bench.task("succeeded")
    bench.system.fault("status", "details", status=500)
    ended = task.run()
    assert ended.state == "success"
    assert ended.result["outputs"]["IMAGE"] == "shop:1.2.3"


@pytest.mark.parametrize("mode", ["operator-deferrable", "sensor-deferrable"])
def test_a_404_between_the_event_and_the_last_look_is_no_end(system: Adapter, mode: str) -> None:
    task = Bench(system, mode).task("", script=system.script("succeeded", seconds=0.4))
    task.after_trigger = lambda _: system.fault("status", "read", status=404)
    assert task.run().state == "success"


def test_a_404_at_the_timeout_does_not_save_the_execution_from_being_cancelled(system: Adapter) -> None:
    task = Bench(system, "operator-deferrable").task("slow", timeout=0.5, poll_interval=0.2)
    task.after_trigger = lambda _: system.fault("status", "read", status=404)
    ended = task.run()
    failed(ended, errors.ExecutionDeadlineExceeded)
    system.check_stopped(ended.text + str(ended.error))


@pytest.mark.parametrize("mode", ["operator-deferrable", "sensor-deferrable"])
@pytest.mark.parametrize("arguments", [{"waiting_timeout": 0.3}, {"on_waiting": "fail"}], ids=str)
def test_approved_just_before_the_task_concludes(system: Adapter, mode: str, arguments: dict[str, Any]) -> None:
    """A person approves between the trigger's event and the worker's last look: what runs now must not be cancelled."""
    task = Bench(system, mode).task("", script=system.script("gate", seconds=2.0), **arguments)  # no gate yet at the worker's look
    task.after_trigger = lambda event: system.approve(system.refs[0]) if event["end"] != "ended" else None
    ended = task.run()
    assert ended.state == "success", f"{ended.error!r}\n{ended.text}"
    assert system.cancels == 0


def test_whatever_fails_after_the_start_leaves_a_result_to_say_what_broke(bench: Bench) -> None:
    task = bench.task("slow")
    bench.system.fault("status", "read", status=403, after=1, times=None)
    ended = task.run()
    assert type(ended.error) is errors.Forbidden
    assert ended.xcoms["execution"]["ref"] == bench.system.refs[0]


def test_a_timeout_leaves_a_result_to_say_what_broke(bench: Bench) -> None:
    ended = bench.run("slow", timeout=0.5, **bench.every(0.2))
    assert ended.xcoms["execution"]["phase"] in ("RUNNING", "CANCELLED")


def test_a_sensors_patience_begins_anew_with_each_try(sensor_bench: Bench) -> None:
    system = sensor_bench.system
    task = sensor_bench.task("", script=system.script("succeeded", seconds=1_200.0), **sensor_bench.every(300.0))
    fault = system.fault("html", "read", times=None)
    failed(task.run(), errors.ExecutionUnreachable)
    fault.times = fault.hits + 1
    assert task.run().state == "success"


def test_the_link_survives_a_poke_without_answer(system: Adapter) -> None:
    system.need("page")
    task = Bench(system, "sensor-reschedule").task("", script=system.script("succeeded", seconds=3_600.0), poke_interval=300.0)
    system.fault("html", "read", after=1, times=None)
    ended = task.run()
    assert type(ended.error) is errors.ExecutionUnreachable
    assert ended.xcoms["url"].startswith("http")


def test_unreachable(bench: Bench) -> None:
    task = bench.task("slow", **bench.every(300.0))
    bench.system.fault("html", "read", times=None)
    text = failed(task.run(), errors.ExecutionUnreachable)
    assert "left alone" in text
    assert bench.system.cancels == 0


def test_poll_errors_within_the_budget_are_no_end(bench: Bench) -> None:
    task = bench.task("succeeded")
    for kind in ("html", "empty", "truncated", "drop_before"):
        bench.system.fault(kind, "read")
    ended = task.run()
    assert ended.state == "success"
    assert "The execution continues, and so does the wait." in ended.text


@pytest.mark.parametrize(("status", "error"), [(401, errors.Unauthorized), (403, errors.Forbidden)])
def test_refused_credentials(bench: Bench, status: int, error: type[Exception]) -> None:
    task = bench.task("slow")
    bench.system.fault("status", None, status=status, times=None)
    failed(task.run(), error, retried=False)


def test_wrong_settings(bench: Bench) -> None:
    task = bench.task("slow", push_outputs=["return_value"])
    assert "push_outputs" in failed(task.run(), errors.ConfigurationError, retried=False)
    assert bench.system.starts == 0


def test_missing_connection(bench: Bench) -> None:
    task = bench.task("slow")
    task.api.connections.clear()
    failed(task.run(), errors.ConnectionMissing)


def test_missing_output(bench: Bench) -> None:
    text = failed(bench.run("succeeded", push_outputs=["IMAGE", "NO_SUCH"]), errors.OutputMissing)
    told = re.search(r"NO_SUCH: not produced\. Available outputs: (.*?)\.", text)
    assert told
    assert {"IMAGE", "URL"} <= set(told[1].split(", "))


def test_outputs_may_lag_behind_the_status(bench: Bench) -> None:
    ended = bench.run("lagging", push_outputs=["IMAGE"])
    assert ended.state == "success"
    assert ended.xcoms["IMAGE"] == "late:1"


@pytest.mark.parametrize("mode", ["operator-deferrable", "sensor-deferrable"])
def test_revived_execution_is_followed(system: Adapter, mode: str) -> None:
    """Somebody retries a failed execution in the vendor's UI between the trigger's event and the task's last look."""
    task = Bench(system, mode).task("", script=system.script("fails_once", seconds=4.0))
    events: list[dict[str, Any]] = []

    def revive(event: dict[str, Any]) -> None:
        events.append(event)
        if len(events) == 1:
            system.revive(system.refs[0])

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
    sensor_bench.system.fault("status", None, status=status, times=None)
    assert task.run().state == "failed"


@pytest.mark.parametrize("status", [404, 500], ids=["vanished", "unreachable"])
def test_soft_fail_skips_when_vanished_or_unreachable(sensor_bench: Bench, status: int) -> None:
    task = sensor_bench.task("slow", soft_fail=True, **sensor_bench.every(300.0))
    sensor_bench.system.fault("status", "read", status=status, times=None)
    assert task.run().state == "skipped"


# What the suite leaves out


def test_what_is_skipped_for_which_system() -> None:
    lacks = {name: set(system.lacks) for name, system in SYSTEMS.items()}
    oddities_of_buddy = {"gate in a step", "no marker in lists", "new id when run again", "older log routes", "log offsets"}
    assert lacks == {
        "buddy": {"timed_out", "marker in the inputs"},
        "tracecat": {"skipped", "not_executed", "lagging", "log", "stopping", "secrets in texts", *oddities_of_buddy},
        "alga_psa": {
            *("not_executed", "gate", "gate_approved", "lagging", "cancel", "stopping", "page", "marker in the inputs"),
            *oddities_of_buddy,
        },
        "kiln": {"not_executed", "plan", "secret arguments", "secrets in texts", "marker in the inputs", *oddities_of_buddy},
    }
    assert all(reason for system in SYSTEMS.values() for reason in system.lacks.values())
    assert all(lacks[name] <= {*KINDS, *ABILITIES} for name in lacks)


def test_every_kind_and_ability_is_had_by_some_system() -> None:
    assert not set.intersection(*(set(system.lacks) for system in SYSTEMS.values()))


def test_the_suite_skips_in_one_place_only() -> None:
    suite = [path for path in Path(__file__).parent.rglob("*.py") if path != Path(__file__)]
    assert [path.name for path in suite if "pytest.skip(" in path.read_text()] == ["systems.py"]


def test_a_system_can_cancel_if_its_client_says_so(system: Adapter) -> None:
    client = system.hook_class(system.conn_id).adapter()
    assert (client.name, client.title, client.can_cancel) == (system.name, system.title, system.can_cancel)
    assert system.connections[system.conn_id]["conn_type"] == system.hook_class.conn_type


def test_a_system_shows_its_phases_as_the_adapter_says(system: Adapter) -> None:
    """Else a test could wait for a status that never comes."""
    assert {"RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"} <= system.statuses.keys()
    assert ("TIMED_OUT" in system.statuses) == ("timed_out" not in system.lacks)
    assert ("SKIPPED" in system.statuses) == ("skipped" not in system.lacks)
    assert ("WAITING" in system.statuses) == ("gate" not in system.lacks)
    assert ("cancel" in system.routes) == system.can_cancel
