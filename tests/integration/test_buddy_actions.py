"""One action of an execution: waited for in all modes, read, its definition read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider._compat import AirflowSensorTimeout
from airflow_provider.buddy.operators import BuddyGetActionExecutionOperator, BuddyGetActionOperator, BuddyGetExecutionOperator
from airflow_provider.buddy.sensors import BuddyActionExecutionSensor
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Action, Gate, Pipeline
from tests.harness import Ended, TaskRun
from tests.integration.conftest import SENSOR_MODES
from tests.integration.systems import BuddySystem
from tests.virtual_clock import VirtualClock, current

BUILD = Action("Build", seconds=0.2, log=["compiling", "linking"], outputs={"IMAGE": "shop:1"})
SLOW = Action("Deploy", seconds=600, log=["deploying"])


class Stage:
    """An execution that somebody else started, and tasks about one of its actions."""

    def __init__(self, emulator: Emulator, mode: str = "sensor-poke") -> None:
        self.system = BuddySystem(emulator)
        self.buddy = emulator.buddy
        self.mode = mode

    def start(self, *actions: Action | Gate, status: str | None = None) -> str:
        pipeline = self.buddy.add_pipeline(Pipeline("release", actions=actions))
        return str(self.buddy.add_execution(pipeline, status).ref)

    def ids(self, ref: str) -> list[str]:
        return [step.id for step in self.buddy.find(ref).action_executions]

    def sensor(self, ref: str, *, retries: int = 0, **arguments: Any) -> TaskRun:
        given = {"ref": ref, "poke_interval": 0.5, "timeout": 30.0, **SENSOR_MODES[self.mode], **arguments}
        return TaskRun(lambda: BuddyActionExecutionSensor(task_id="task", **given), self.system.connections, retries=retries)

    def get(self, ref: str, **arguments: Any) -> Ended:
        make = lambda: BuddyGetActionExecutionOperator(task_id="task", ref=ref, **arguments)  # noqa: E731
        return TaskRun(make, self.system.connections, retries=0).run()


@pytest.fixture(params=list(SENSOR_MODES))
def stage(request: pytest.FixtureRequest, emulator: Emulator) -> Stage:
    return Stage(emulator, request.param)


# Waiting for one


def test_the_action_ends_before_the_execution(stage: Stage) -> None:
    ref = stage.start(BUILD, SLOW)
    ended = stage.sensor(ref, action="Build", push_outputs=["IMAGE"]).run()
    assert ended.state == "success", ended.text
    result = ended.result
    assert result["ref"] == f"{ref}/{stage.ids(ref)[0]}" == ended.xcoms["ref"]
    assert (result["phase"], result["outputs"], result["log_tail"]) == ("SUCCEEDED", {"IMAGE": "shop:1"}, ["compiling", "linking"])
    assert [step["name"] for step in result["steps"]] == ["Build"]
    assert f"actionExecutionId={stage.ids(ref)[0]}" in result["url"] == ended.xcoms["url"]
    assert result["duration"] == pytest.approx(0.2, abs=0.1)
    assert stage.buddy.find(ref).status == "INPROGRESS"


@pytest.mark.parametrize("ids_listed", [True, False])
def test_by_its_own_ref(stage: Stage, ids_listed: bool) -> None:
    ref = stage.start(BUILD, SLOW)
    stage.buddy.action_execution_ids_in_execution = ids_listed
    own = f"{ref}/{stage.ids(ref)[0]}"
    ended = stage.sensor(own).run()
    assert ended.result["ref"] == own
    assert ended.result["outputs"] == {"IMAGE": "shop:1"}


def test_by_the_actions_id(stage: Stage) -> None:
    ref = stage.start(BUILD, SLOW)
    assert stage.sensor(ref, action=1).run().result["steps"][0]["name"] == "Build"
    assert stage.sensor(f"{ref}/whatever", action="1").run().result["steps"][0]["name"] == "Build"


def test_it_failed(stage: Stage) -> None:
    ref = stage.start(Action("Build", seconds=0.2, status="FAILED", log=["no such package"], error_message="exit code 1"), SLOW)
    ended = stage.sensor(ref, action="Build").run()
    assert type(ended.error) is errors.ExecutionFailed
    for part in (f"{ref}/{stage.ids(ref)[0]}", "exit code 1", "no such package"):
        assert part in str(ended.error)
    assert ended.xcoms["execution"]["phase"] == "FAILED"


def test_it_failed_and_the_execution_goes_on(stage: Stage) -> None:
    """``ignore_errors`` is about the execution: the action itself has failed."""
    ref = stage.start(Action("Lint", seconds=0.1, status="FAILED", ignore_errors=True), SLOW)
    assert type(stage.sensor(ref, action="Lint").run().error) is errors.ExecutionFailed


def test_it_never_ran(stage: Stage) -> None:
    ref = stage.start(Action("Build", seconds=0.2, status="FAILED"), SLOW)
    ended = stage.sensor(ref, action="Deploy").run()
    assert ended.state == "skipped"
    assert "the execution ended FAILED without running it" in ended.skipped_because
    assert type(stage.sensor(ref, action="Deploy", on_skipped="fail").run().error) is errors.ExecutionFailed


def test_it_was_cancelled(stage: Stage) -> None:
    ref = stage.start(SLOW)
    current().later(0.3, lambda: stage.buddy.cancel(ref, by="Mike"))
    ended = stage.sensor(ref, action="Deploy").run()
    assert type(ended.error) is errors.ExecutionCancelled
    assert "Cancelled by" in str(ended.error)


@pytest.mark.parametrize("gate_in", ["execution", "action"])
def test_it_waits_for_a_person(stage: Stage, gate_in: str) -> None:
    stage.buddy.gate_in = gate_in
    ref = stage.start(BUILD, Gate("Approve"), SLOW)
    assert stage.sensor(ref, action="Build").run().result["phase"] == "SUCCEEDED"
    ended = stage.sensor(ref, action="Approve", on_waiting="succeed").run()
    assert (ended.state, ended.result["phase"], ended.result["status"]) == ("success", "WAITING", "WAITING_FOR_APPLY")
    assert "waits for a person (WAITING_FOR_APPLY): Approve (WAIT_FOR_APPLY). See http" in ended.text
    current().later(0.3, lambda: stage.buddy.approve(ref, by="Ann"))
    ended = stage.sensor(ref, action="Approve").run()
    assert ended.result["actor"]["approved_by"] == "Ann"


def test_another_gate_is_none_of_its_business(stage: Stage) -> None:
    ref = stage.start(Gate("Approve"), BUILD)
    current().later(0.4, lambda: stage.buddy.approve(ref, by="Ann"))
    ended = stage.sensor(ref, action="Build", on_waiting="fail").run()
    assert ended.state == "success", ended.text


def test_it_runs_too_long(stage: Stage) -> None:
    ref = stage.start(SLOW)
    ended = stage.sensor(ref, action="Deploy", timeout=0.5).run()
    assert type(ended.error) is AirflowSensorTimeout
    assert stage.system.cancels == 0


def test_loops(stage: Stage) -> None:
    ref = stage.start(Action("Build", seconds=0.2, loop=["a", "b", "c"], outputs={"IMAGE": "shop:$LOOP"}), SLOW)
    first = stage.sensor(ref, action="Build", which="first").run()
    assert first.result["outputs"] == {"IMAGE": "shop:a"}
    every = stage.sensor(ref, action="Build", which="all").run()
    assert [step["outputs"]["IMAGE"] for step in every.result["steps"]] == ["shop:a", "shop:b", "shop:c"]
    assert every.result["outputs"] == {"IMAGE": "shop:c"}
    assert every.result["ref"] == ref
    last = stage.sensor(ref, action="Build", which="last").run()
    assert last.result["outputs"] == {"IMAGE": "shop:c"}


def test_one_of_all_failed(stage: Stage) -> None:
    ref = stage.start(Action("Build", seconds=0.1, loop=["a", "b"], loop_status={"a": "FAILED"}, ignore_errors=True), SLOW)
    ended = stage.sensor(ref, action="Build", which="all").run()
    assert type(ended.error) is errors.ExecutionFailed
    assert [step["phase"] for step in ended.xcoms["execution"]["steps"]] == ["FAILED", "SUCCEEDED"]


def test_buddys_own_retries_are_waited_for(stage: Stage) -> None:
    flaky = Action("Build", seconds=0.1, status=["FAILED", "SUCCESSFUL"], retry_count=1, retry_interval=1, outputs={"IMAGE": "shop:2"})
    ref = stage.start(flaky, SLOW)
    ended = stage.sensor(ref, action="Build").run()
    assert ended.state == "success", ended.text
    assert ended.result["outputs"] == {"IMAGE": "shop:2"}
    assert type(stage.sensor(ref, action="Build", which="first").run().error) is errors.ExecutionFailed


@pytest.mark.parametrize("lists", ["replace", "append"])
def test_the_execution_was_retried(stage: Stage, lists: str) -> None:
    """The ref of an action execution stays what it was; by the action's name, the last one counts."""
    stage.buddy.retried_steps = lists
    ref = stage.start(Action("Build", seconds=0.1, status=["FAILED", "SUCCESSFUL"]), SLOW)
    current().advance(0.2)
    own = f"{ref}/{stage.ids(ref)[0]}"
    assert type(stage.sensor(ref, action="Build").run().error) is errors.ExecutionFailed
    stage.buddy.revive(ref)
    assert stage.sensor(ref, action="Build").run().state == "success"
    assert type(stage.sensor(own).run().error) is errors.ExecutionFailed


def test_revived_after_the_sensor_failed(stage: Stage) -> None:
    ref = stage.start(Action("Build", seconds=0.1, status=["FAILED", "SUCCESSFUL"]), SLOW)
    task = stage.sensor(ref, action="Build", retries=1)
    assert type(task.run().error) is errors.ExecutionFailed
    stage.buddy.revive(ref)
    assert task.run().state == "success"


@pytest.mark.parametrize(
    ("ref", "action", "says"),
    [
        ("demo/shop/1/1", None, "the action's id or name is needed"),
        ("demo/shop/1/1", "", "The argument action is an empty text"),
        ("4098", "Build", "is not the ref of a Buddy execution"),
        ("demo/shop/1/1", "Biuld", "'Biuld' names no action of the pipeline: 'Build' (1)"),
        ("demo/shop/1/1", 77, "'77' names no action of the pipeline"),
        ("demo/shop/1/1", "Twin", "'Twin' names several actions of the pipeline: 'Twin' (2), 'Twin' (3)"),
    ],
)
def test_wrong_actions(stage: Stage, ref: str, action: Any, says: str) -> None:
    stage.start(BUILD, Action("Twin"), Action("Twin"))
    ended = stage.sensor(ref, action=action, soft_fail=True).run()
    assert type(ended.error) is errors.ConfigurationError
    assert says in str(ended.error)
    assert ended.state == "failed"


def test_only_known_ways_to_choose() -> None:
    with pytest.raises(ValueError, match="which must be one of 'last', 'first', 'all'"):
        BuddyActionExecutionSensor(task_id="t", ref="a/b/1/1", which="newest")  # type: ignore[arg-type]


def test_an_installation_that_lists_an_action_only_once_it_is_reached(emulator: Emulator) -> None:
    stage = Stage(emulator)
    ref = stage.start(Action("Prepare", seconds=0.1), BUILD)
    body = {"id": 1, "status": "INPROGRESS", "action_executions": []}
    emulator.faults.add(Fault("body", path=r"/executions/1$", body=body, times=3))
    assert stage.sensor(ref, action="Build").run().state == "success"


# Reading one


def test_it_is_read_as_it_is(emulator: Emulator, tmp_path: Path) -> None:
    stage = Stage(emulator)
    emulator.buddy.max_per_page = 10
    ref = stage.start(Action("Build", "RUN_DOCKER_CONTAINER", seconds=600, lines=2_500, log=["line $LINE"]))
    current().advance(0.1)
    ended = stage.get(ref, action="Build")
    assert (ended.state, ended.result["phase"]) == ("success", "RUNNING")
    stage.buddy.finish(ref)
    ended = stage.get(ref, action="Build", log_path=f"file://{tmp_path}")
    assert ended.result["status"] == "SUCCESSFUL"
    assert ended.result["log_tail"][-1].endswith("line 2499")
    lines = Path(ended.result["log_file"].removeprefix("file://")).read_text().splitlines()
    assert len(lines) == 2_500
    assert lines[0].endswith("line 0")


def test_outputs_of_what_was_read(emulator: Emulator) -> None:
    stage = Stage(emulator)
    ref = stage.start(BUILD)
    current().advance(0.3)
    ended = stage.get(f"{ref}/{stage.ids(ref)[0]}", push_outputs=["IMAGE"])
    assert ended.xcoms["IMAGE"] == "shop:1"
    assert ended.xcoms["url"] == ended.result["url"]
    assert type(stage.get(ref, action="Build", push_outputs=["NO_SUCH"]).error) is errors.OutputMissing


def test_reading_what_is_not_there(emulator: Emulator) -> None:
    stage = Stage(emulator)
    ref = stage.start(BUILD)
    assert type(stage.get(f"{ref}/nobody").error) is errors.NotFound
    assert type(stage.get("demo/shop/1/99", action="Build").error) is errors.NotFound
    assert type(stage.get(ref).error) is errors.ConfigurationError


# Its definition

DEFINITION = {
    "docker_image_name": "python",
    "docker_image_tag": "3.13",
    "login": "robot",
    "password": "s3cr3t-canary",
    "execute_commands": ["make test"],
    "variables": [
        {"id": 1, "key": "MODE", "value": "fast"},
        {"id": 2, "key": "KEY", "value": "!encrypted s3cr3t-canary", "encrypted": True},
    ],
    "from_the_future": "s3cr3t-canary",
}


@pytest.mark.parametrize("action", ["Build", 1, "1"])
def test_a_definition_without_its_secrets(emulator: Emulator, action: int | str) -> None:
    stage = Stage(emulator)
    stage.buddy.add_pipeline(Pipeline("release", actions=[Action("Build", "RUN_DOCKER_CONTAINER", definition=DEFINITION)]))
    make = lambda: BuddyGetActionOperator(task_id="task", pipeline="release", action=action)  # noqa: E731
    ended = TaskRun(make, stage.system.connections).run()
    result = ended.result
    assert (result["type"], result["docker_image_name"], result["execute_commands"]) == ("RUN_DOCKER_CONTAINER", "python", ["make test"])
    assert result["omitted"] == ["from_the_future", "login", "password"]
    assert [variable.get("value") for variable in result["variables"]] == ["fast", None]
    assert "s3cr3t-canary" not in str(ended.xcoms)
    assert "s3cr3t-canary" not in ended.text
    make = lambda: BuddyGetActionOperator(task_id="task", pipeline=1, action=1, reveal_fields=["login"])  # noqa: E731
    assert TaskRun(make, stage.system.connections).run().result["login"] == "robot"


@pytest.mark.parametrize(("pipeline", "action"), [("release", "Deploy"), ("nobody", "Build"), ("release", "Twin")])
def test_definitions_that_can_not_be_told(emulator: Emulator, pipeline: str, action: str) -> None:
    stage = Stage(emulator)
    stage.buddy.add_pipeline(Pipeline("release", actions=[BUILD, Action("Twin"), Action("Twin")]))
    make = lambda: BuddyGetActionOperator(task_id="task", pipeline=pipeline, action=action)  # noqa: E731
    ended = TaskRun(make, stage.system.connections).run()
    assert type(ended.error) is errors.ConfigurationError
    assert ended.state == "failed"


# Reading a whole execution


def read(emulator: Emulator, ref: str, **arguments: Any) -> Ended:
    make = lambda: BuddyGetExecutionOperator(task_id="task", ref=ref, **arguments)  # noqa: E731
    return TaskRun(make, BuddySystem(emulator).connections, retries=0).run()


@pytest.mark.parametrize(("status", "phase"), [("SUCCESSFUL", "SUCCEEDED"), ("FAILED", "FAILED"), (None, "RUNNING")])
def test_an_execution_is_read_as_it_is(emulator: Emulator, clock: VirtualClock, status: str | None, phase: str) -> None:
    stage = Stage(emulator)
    ref = stage.start(BUILD, SLOW, status=status)
    clock.advance(1.0)
    before = len(emulator.ledger.entries)
    ended = read(emulator, ref)
    assert (ended.state, ended.result["phase"], ended.result["ref"], ended.xcoms["ref"]) == ("success", phase, ref, ref)
    assert [step["name"] for step in ended.result["steps"]] == ["Build", "Deploy"]
    assert {entry.method for entry in emulator.ledger.entries[before:]} == {"GET"}


def test_an_execution_is_read_by_the_ref_of_one_of_its_actions_with_outputs_and_log(
    emulator: Emulator, clock: VirtualClock, tmp_path: Path
) -> None:
    stage = Stage(emulator)
    ref = stage.start(BUILD)
    clock.advance(1.0)
    ended = read(emulator, f"{ref}/{stage.ids(ref)[0]}", push_outputs=["IMAGE"], log_path=f"file://{tmp_path}")
    assert (ended.state, ended.result["ref"], ended.xcoms["IMAGE"]) == ("success", ref, "shop:1")
    assert Path(ended.result["log_file"].removeprefix("file://")).read_text().splitlines() == ["[Build] compiling", "[Build] linking"]


def test_an_execution_that_is_not_there_is_an_error(emulator: Emulator) -> None:
    assert type(read(emulator, "demo/shop/1/99").error) is errors.NotFound
    assert type(read(emulator, "not a ref").error) is errors.ConfigurationError
