"""A detail that is broken never decides over the rest: the log or the output is left out with a reason, the outcome stays what it is."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.buddy.operators import BuddyGetExecutionOperator
from airflow_provider.buddy.sensors import BuddyActionExecutionSensor
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Action as BuddyAction
from airflow_provider.emulator.buddy import Pipeline
from airflow_provider.emulator.tracecat import Action, Workflow
from tests.harness import TaskRun
from tests.integration.conftest import SENSOR_MODES
from tests.integration.systems import SYSTEMS, BuddySystem
from tests.virtual_clock import VirtualClock

ADDRESSES = {
    "a control character": "http://127.0.0.1/a\x01b",
    "a NUL": "http://127.0.0.1/a\x00b",
    "a line feed": "http://127.0.0.1/a\nHost: b",
    "no host": "http:///log",
    "an empty label": "http://a..b/log",
    "a label that is too long": f"http://{'a' * 70}.test/log",
    "no international name": "http://xn--a/log",
    "no international name further on": "http://logs.xn--a.test/log",
    "a name with a character that no name has": "http://a\u2028b.test/log",
    "half a surrogate pair": "http://127.0.0.1/\ud83d",
    "half a surrogate pair in the name": "http://\ud83d.test/log",
    "an unknown host": "http://logs.invalid/log",
    "a port that is none": "http://127.0.0.1:99999/log",
    "a port where nothing listens": "http://127.0.0.1:1/log",
    "another scheme": "file:///etc/passwd",
    "a user": "http://user:pass word@127.0.0.1:1/log",
    "an address that never ends": "http://127.0.0.1/" + "a" * 70_000,
}  # fmt: skip


@pytest.fixture
def buddy(emulator: Emulator) -> BuddySystem:
    system = SYSTEMS["buddy"](emulator)
    assert isinstance(system, BuddySystem)
    return system


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("mode", SENSOR_MODES)
def test_the_address_of_a_log(buddy: BuddySystem, mode: str, address: str) -> None:
    ref = buddy.start_elsewhere(buddy.script("succeeded", seconds=1.0))
    changes = {"log_url": ADDRESSES[address], "log": []}
    buddy.fault("altered", "details", changes=changes, times=None)
    buddy.fault("status", "log", status=404, times=None)
    ended = TaskRun(lambda: buddy.sensor(ref, **SENSOR_MODES[mode], push_outputs=["IMAGE"]), buddy.connections).run()
    assert ended.state == "success", ended.text
    assert ended.xcoms["IMAGE"]
    assert "log could not be read" in ended.text
    assert "log could not be read" in ended.result["log_tail"][0]
    assert "pass word" not in ended.text


@pytest.mark.parametrize(
    "target", ["http://xn--a/x", "http://a..b/", "http://\u00ff\u0001/", "http://[", "ftp://x/", "http://x:99999/", "/a\x01b"]
)
def test_the_target_of_a_redirect(buddy: BuddySystem, target: str) -> None:
    """Of the API's own answers: an error of the answer, which passes."""
    ref = buddy.start_elsewhere(buddy.script("succeeded", seconds=1.0))
    buddy.fault("redirect", "read", location=target.encode("latin-1", "replace").decode("latin-1"), times=2)
    for mode in SENSOR_MODES.values():
        ended = TaskRun(partial(buddy.sensor, ref, **mode), buddy.connections).run()
        assert ended.state == "success", ended.text


@pytest.mark.parametrize("address", [*ADDRESSES, "data: that is none"])
def test_the_address_of_a_stored_result(emulator: Emulator, clock: VirtualClock, address: str) -> None:
    system = SYSTEMS["tracecat"](emulator)
    emulator.tracecat.inline_limit = 100
    workflow = Workflow("w", "w", [Action("a", seconds=1)], returns={"IMAGE": "x" * 500})
    ref = emulator.tracecat.add_execution(emulator.tracecat.add_workflow(workflow)).ref
    url = ADDRESSES.get(address, "data:application/json;base64,%%%")
    emulator.faults.add(Fault("altered", path="/objects/download$", changes={"download_url": url}, times=None))
    ended = TaskRun(lambda: system.sensor(ref, deferrable=True), system.connections).run()
    assert ended.state == "success", ended.text
    assert "result" in ended.result["outputs_omitted"]


LASTING: dict[str, dict[str, Any]] = {
    **{str(status): {"kind": "status", "status": status} for status in (408, 500, 503)},
    "a dropped connection": {"kind": "drop_before"},
}


@pytest.mark.parametrize("fault", LASTING)
@pytest.mark.parametrize("mode", SENSOR_MODES)
@pytest.mark.parametrize("part", ["one detail", "all details", "log"])
def test_a_part_that_fails_for_good_does_not_hide_the_end(buddy: BuddySystem, mode: str, fault: str, part: str) -> None:
    """It is asked for as long as the API may be down, then it is left out."""
    actions = [BuddyAction(f"Step {number}", seconds=1.0, outputs={f"OUT_{number}": "x"}) for number in range(6)]
    ref = str(buddy.emulator.buddy.add_execution(buddy.emulator.buddy.add_pipeline(Pipeline("release", actions=actions))).ref)
    path = {"one detail": f"/action_executions/{step_of(buddy, ref, 1)}$", "all details": r"/action_executions/\w+$"}
    if part == "log":
        buddy.fault("altered", "details", changes={"log": [], "log_url": None}, times=None)
    buddy.emulator.faults.add(Fault(**LASTING[fault], path=path.get(part, r"/logs$"), times=None))
    ended = TaskRun(lambda: buddy.sensor(ref, **SENSOR_MODES[mode]), buddy.connections).run()
    assert ended.state == "success", ended.text
    omitted, outputs = ended.result["outputs_omitted"], ended.result["outputs"]
    if part == "one detail":
        assert list(omitted) == ["Step 1.*"]
        assert "could not be read" in omitted["Step 1.*"]
        assert sorted(outputs) == ["OUT_0", "OUT_2", "OUT_3", "OUT_4", "OUT_5"]
    elif part == "all details":
        assert list(omitted) == [f"Step {number}.*" for number in range(6)]
        assert "were not read, since those of others failed" in omitted["Step 5.*"]
    else:
        assert len(outputs) == 6
        assert "log could not be read" in ended.text


@pytest.mark.parametrize("fault", LASTING)
def test_a_part_that_fails_for_a_while_is_read_afterwards(buddy: BuddySystem, clock: VirtualClock, fault: str) -> None:
    ref = buddy.start_elsewhere(buddy.script("succeeded", seconds=1.0))
    buddy.emulator.faults.add(Fault(**LASTING[fault], path=r"/action_executions/\w+$", times=20))
    ended = TaskRun(lambda: buddy.sensor(ref, push_outputs=["IMAGE"]), buddy.connections).run()
    assert ended.state == "success", ended.text
    assert ended.result["outputs_omitted"] == {}


@pytest.mark.parametrize("fault", LASTING)
def test_an_execution_is_read_although_a_part_of_it_fails(buddy: BuddySystem, clock: VirtualClock, fault: str) -> None:
    """At once: nobody waits here."""
    ref = buddy.start_elsewhere(buddy.script("succeeded", seconds=1.0))
    clock.advance(60.0)
    buddy.emulator.faults.add(Fault(**LASTING[fault], path=f"/action_executions/{step_of(buddy, ref, 0)}$", times=None))
    for operator, given in ((BuddyGetExecutionOperator, ref), (BuddyActionExecutionSensor, f"{ref}/{step_of(buddy, ref, 0)}")):
        ended = TaskRun(partial(operator, task_id="task", ref=given), buddy.connections).run()
        assert ended.state == "success", ended.text
        assert list(ended.result["outputs_omitted"]) == ["Build.*"]


@pytest.mark.parametrize("fault", LASTING)
@pytest.mark.parametrize("mode", SENSOR_MODES)
def test_a_stored_result_that_fails_for_good_does_not_hide_the_end(emulator: Emulator, clock: VirtualClock, mode: str, fault: str) -> None:
    system = SYSTEMS["tracecat"](emulator)
    emulator.tracecat.inline_limit = 100
    workflow = Workflow("w", "w", [Action("a", seconds=1)], returns={"IMAGE": "x" * 500})
    ref = emulator.tracecat.add_execution(emulator.tracecat.add_workflow(workflow)).ref
    emulator.faults.add(Fault(**LASTING[fault], path="/objects/download$", times=None))
    ended = TaskRun(lambda: system.sensor(ref, **SENSOR_MODES[mode]), system.connections).run()
    assert ended.state == "success", ended.text
    assert "could not be fetched" in ended.result["outputs_omitted"]["result"]


def step_of(buddy: BuddySystem, ref: str, number: int) -> str:
    """The id of one of the action executions."""
    return buddy.emulator.buddy.find(ref).action_executions[number].id


def test_a_required_output_that_could_not_be_read_is_not_called_not_produced(emulator: Emulator, clock: VirtualClock) -> None:
    system = SYSTEMS["tracecat"](emulator)
    emulator.tracecat.inline_limit = 100
    workflow = Workflow("w", "w", [Action("a", seconds=1)], returns={"IMAGE": "x" * 500})
    ref = emulator.tracecat.add_execution(emulator.tracecat.add_workflow(workflow)).ref
    emulator.faults.add(Fault("altered", path="/objects/download$", changes={"download_url": "http://a..b/"}, times=None))
    ended = TaskRun(lambda: system.sensor(ref, push_outputs=["IMAGE"]), system.connections).run()
    assert isinstance(ended.error, errors.OutputMissing)
    assert "could not be read" in str(ended.error)
    assert "not produced" not in str(ended.error)


LINKS = ["https://user:password@evil.example/", "https://app.buddy.works@evil.example/", "javascript:alert(1)", "https://a\nb/", "", 5]


@pytest.mark.parametrize("link", LINKS)
def test_a_link_that_is_none(buddy: BuddySystem, link: Any) -> None:
    ref = buddy.start_elsewhere(buddy.script("succeeded", seconds=1.0))
    buddy.fault("altered", "read", changes={"html_url": link}, times=None)
    ended = TaskRun(lambda: buddy.sensor(ref), buddy.connections).run()
    assert ended.state == "success", ended.text
    assert ended.result["url"] is None
    assert "evil" not in ended.text
