"""Sensors that start in the triggerer: what another mode has no like of. All else is in the suites that run in all modes."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.serde import serialize

from airflow_provider import errors
from airflow_provider._compat import AirflowSensorTimeout, AirflowTaskTimeout
from airflow_provider.buddy.sensors import BuddyExecutionSensor, BuddyPipelineSensor
from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Pipeline
from tests.harness import Ended, TaskRun
from tests.integration.systems import BuddySystem
from tests.virtual_clock import VirtualClock

BEGINS = "This wait starts in a worker: "
FAST: dict[str, Any] = {"deferrable": True, "start_from_trigger": True, "poke_interval": 0.05, "timeout": 60.0}


class Stage:
    """A pipeline with executions of all kinds."""

    def __init__(self, emulator: Emulator) -> None:
        self.system = BuddySystem(emulator)
        self.buddy = emulator.buddy
        self.pipeline = self.buddy.add_pipeline(Pipeline("release", actions=[Action("Build", outputs={"IMAGE": "shop:1"})]))

    def start(self, status: str | None = "SUCCESSFUL", **fields: Any) -> str:
        return str(self.buddy.add_execution(self.pipeline, status, **fields).ref)

    def task(self, make: Callable[..., BaseOperator] | None = None, *, params: dict[str, Any] | None = None, **arguments: Any) -> TaskRun:
        build = make or BuddyExecutionSensor
        return TaskRun(lambda: build(task_id="task", **{**FAST, **arguments}), self.system.connections, params=params)


class Echo(BaseOperator):
    """A task that can be mapped."""

    def __init__(self, *, value: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)


@pytest.fixture
def stage(emulator: Emulator) -> Stage:
    return Stage(emulator)


def took_no_worker(ended: Ended) -> None:
    assert ended.state == "success", ended.text
    assert ended.workers == 0
    assert BEGINS not in ended.text


# Templates


def test_templates_are_rendered_in_the_triggerer(stage: Stage) -> None:
    ref = stage.start()
    ended = stage.task(params={"ref": ref}, ref="{{ params.ref }}", push_outputs=["{{ 'IM' + 'AGE' }}"]).run()
    took_no_worker(ended)
    assert ended.result["ref"] == ref
    assert ended.xcoms["IMAGE"] == "shop:1"


def after_start(cls: Any, **of_start: Any) -> Callable[..., BaseOperator]:
    """A sensor behind another task, whose XComs its arguments use."""

    def make(**arguments: Any) -> BaseOperator:
        start = BaseOperator(task_id="start")
        given = {name: value(start) if callable(value) else value for name, value in {**arguments, **of_start}.items()}
        made: BaseOperator = cls(**given)
        start >> made
        return made

    return make


@pytest.mark.parametrize(
    "ref",
    [lambda start: start.output["where"], "{{ ti.xcom_pull('start', key='where') }}", lambda start: f"{start.output['where']}"],
    ids=["XComArg", "template", "XComArg in a text"],
)
def test_what_another_task_has_pushed(stage: Stage, ref: Any) -> None:
    task = stage.task(after_start(BuddyExecutionSensor, ref=ref))
    task.api.xcoms["where"] = stage.start()
    took_no_worker(task.run())


def test_what_another_task_has_pushed_is_no_template(stage: Stage) -> None:
    task = stage.task(after_start(BuddyExecutionSensor, ref=lambda start: start.output["where"]))
    task.api.xcoms["where"] = "{{ var.value.secret }}"
    ended = task.run()
    assert type(ended.error) is errors.ConfigurationError
    assert "{{ var.value.secret }}" in str(ended.error)


@pytest.mark.parametrize("task_ids", ["'many'", "['start', 'many']"])
def test_a_template_with_xcoms_of_a_mapped_task_begins_in_a_worker(stage: Stage, task_ids: str) -> None:
    def make(**arguments: Any) -> BaseOperator:
        start = BaseOperator(task_id="start")
        many = Echo.partial(task_id="many").expand(value=[1, 2])
        made = BuddyExecutionSensor(**arguments)
        [start, many] >> made
        return made

    task = stage.task(make, ref=f"{{{{ ti.xcom_pull({task_ids}) }}}}")
    task.try_number = 1
    assert task.defer_at_once(task._task())
    event = task._first_event()
    assert event.payload == {"begin": "only a worker can read XComs of 'many', which may be mapped"}


def test_what_was_not_pushed_is_told_by_a_worker(stage: Stage) -> None:
    ended = stage.task(after_start(BuddyExecutionSensor, ref=lambda start: start.output["where"])).run()
    assert (ended.state, ended.workers) == ("up_for_retry", 1)
    assert type(ended.error).__name__ == "XComNotFound"


def test_a_template_that_takes_a_worker_begins_in_one(stage: Stage) -> None:
    ref = stage.start()
    ended = stage.task(ref="{% if dag_run.clear_number == 0 %}" + ref + "{% endif %}").run()
    assert ended.state == "success", ended.text
    assert ended.workers > 0
    assert ended.text.count(BEGINS) == 1


def test_a_wrong_argument_is_told_by_a_worker(stage: Stage) -> None:
    ended = stage.task(ref="nonsense").run()
    assert type(ended.error) is errors.ConfigurationError
    assert ended.state == "failed"
    assert f"{BEGINS}the triggerer got a ConfigurationError." in ended.text


# What falls back


def test_success_with_a_callback_ends_in_a_worker(stage: Stage) -> None:
    told: list[str] = []
    ended = stage.task(ref=stage.start(), on_success_callback=lambda context: told.append(context["ti"].task_id)).run()
    assert (ended.state, ended.workers, told) == ("success", 1, ["task"])
    assert BEGINS not in ended.text


def test_a_result_that_other_tasks_are_mapped_over_is_handed_on_by_a_worker(stage: Stage) -> None:
    def make(**arguments: Any) -> BaseOperator:
        made = BuddyExecutionSensor(**arguments)
        BuddyExecutionSensor.partial(task_id="many").expand(ref=made.output)
        return made

    ended = stage.task(make, ref=stage.start()).run()
    assert (ended.state, ended.workers) == ("success", 1)


def test_without_the_triggerer_it_is_an_ordinary_deferrable_sensor(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in ``dag.test()``, which calls ``execute``."""
    monkeypatch.setattr(TaskRun, "defer_at_once", lambda self, task: False)
    ended = stage.task(ref=stage.start()).run()
    assert ended.state == "success"
    assert BEGINS not in ended.text


def test_no_return_value_if_none_is_wanted(stage: Stage) -> None:
    ended = stage.task(ref=stage.start(), do_xcom_push=False).run()
    took_no_worker(ended)
    assert "return_value" not in ended.xcoms
    assert "ref" in ended.xcoms


# Tries


def test_a_retry_begins_in_a_worker_with_the_clock_of_the_first_try(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.start("FAILED")
    task = stage.task(BuddyPipelineSensor, pipeline="release", push_outputs=["*"])
    first = task.run()
    assert type(first.error) is errors.ExecutionFailed
    assert first.workers == 1
    began = task.api.store["wait"]["since"]
    again = task.run()
    assert type(again.error) is errors.ExecutionFailed
    assert again.text.count(f"{BEGINS}only a worker can read the notes of earlier attempts") == 1
    assert task.api.store["wait"]["since"] == began


def test_after_a_clear_it_begins_anew_and_nothing_of_the_try_before_is_left(stage: Stage) -> None:
    ref = stage.start()
    task = stage.task(ref=ref, push_outputs=["*"])
    took_no_worker(task.run())
    assert task.api.xcoms["IMAGE"] == "shop:1"
    task.clear()
    stage.buddy.find(ref).pipeline.actions = []
    stage.buddy.delete(ref)
    task.make = lambda: BuddyExecutionSensor(task_id="task", **{**FAST, "ref": stage.start("FAILED"), "push_outputs": ["*"]})
    ended = task.run()
    assert type(ended.error) is errors.ExecutionFailed
    assert ended.xcoms.keys().isdisjoint({"IMAGE", "return_value"})


def airflow_ends_the_deferral(task: TaskRun) -> Ended:
    """The back-stop: Airflow resumes the task straight into failure."""

    def times_out(event: Any) -> dict[str, Any]:
        return {"next_method": "__fail__", "next_kwargs": serialize({"error": "Trigger timeout"})}

    task.run_trigger = dict  # type: ignore[method-assign]
    task.resume = times_out  # type: ignore[method-assign]
    task._first_event = lambda: type("Event", (), {"payload": {}})()  # type: ignore[method-assign]
    return task.run()


def test_execution_timeout_counts_and_a_retry_goes_on(stage: Stage) -> None:
    task = stage.task(ref=stage.start("INPROGRESS"), execution_timeout=timedelta(seconds=30))
    assert task.defer_at_once(task._task())
    assert task.deferred is not None
    assert json.loads(json.dumps(task.deferred.trigger_kwargs))["limit"] == 30
    ended = airflow_ends_the_deferral(task)
    assert type(ended.error) is AirflowTaskTimeout
    assert str(ended.error) == "The execution_timeout of 30 s has passed, and the execution has not ended."
    assert ended.state == "up_for_retry"


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"execution_timeout": timedelta(seconds=90)},
        {"execution_timeout": timedelta(seconds=30), "start_from_trigger": False},
    ],
    ids=["no execution_timeout", "a longer execution_timeout", "begun by a worker"],
)
def test_otherwise_the_sensors_own_timeout_counts(stage: Stage, arguments: dict[str, Any]) -> None:
    ended = airflow_ends_the_deferral(stage.task(ref=stage.start("INPROGRESS"), **arguments))
    assert type(ended.error) is AirflowSensorTimeout
    assert str(ended.error).startswith("The sensor's timeout of 60 s has passed, and the execution has not ended.")


def test_another_triggerer_goes_on_with_what_was_found(stage: Stage, clock: VirtualClock) -> None:
    first = stage.start("INPROGRESS")
    task = stage.task(BuddyPipelineSensor, pipeline="release", match="latest")
    task.try_number = 1
    assert task.defer_at_once(task._task())
    task.kill_trigger(lambda: "ref" in task.api.xcoms and "execution_progress" in task.api.xcoms, "deferred")
    stage.start("INPROGRESS")
    stage.buddy.finish(stage.buddy.find(first))
    clock.advance(60)  # sooner, a trigger does not ask what another triggerer has found
    event = task._first_event()
    assert getattr(event, "task_instance_state", None) == "success"
    assert task.api.xcoms["ref"] == first
