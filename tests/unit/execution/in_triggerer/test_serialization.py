"""Which sensors can be made again in the triggerer, and that they are the same there."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, BaseOperator
from airflow.serialization.serialized_objects import DagSerialization

from airflow_provider.alga_psa.sensors import AlgaPsaExecutionSensor, AlgaPsaRuleSensor
from airflow_provider.buddy.sensors import BuddyActionExecutionSensor, BuddyExecutionSensor, BuddyPipelineSensor
from airflow_provider.execution.in_triggerer.eligibility import packed
from airflow_provider.execution.in_triggerer.serialization import NotPortable, pack, unpack
from airflow_provider.execution.tasks.sensor import ExecutionSensor
from airflow_provider.tracecat.sensors import TracecatActionSensor, TracecatExecutionSensor, TracecatWorkflowSensor

ON = {"deferrable": True, "start_from_trigger": True}
SINCE = datetime(2026, 11, 18, 12, tzinfo=timezone.utc)
SENSORS: list[tuple[type[ExecutionSensor], dict[str, Any]]] = [
    (BuddyExecutionSensor, {"ref": "a/b/1/2", "push_outputs": ["IMAGE"], "waiting_timeout": timedelta(hours=1)}),
    (BuddyActionExecutionSensor, {"ref": "a/b/1/2", "action": 7, "which": "all", "on_partial": "fail"}),
    (BuddyPipelineSensor, {"pipeline": "{{ params.name }}", "branch": "main", "started_after": SINCE, "match": "latest", "timeout": 60}),
    (TracecatExecutionSensor, {"ref": "wf_1/exec_1", "on_waiting": "succeed"}),
    (TracecatActionSensor, {"ref": "wf_1/exec_1", "action": "look_up", "poke_interval": timedelta(seconds=5)}),
    (TracecatWorkflowSensor, {"workflow": "enrich", "trigger_type": "webhook", "workspace_id": "w"}),
    (AlgaPsaExecutionSensor, {"ref": "0", "do_xcom_push": False}),
    (AlgaPsaRuleSensor, {"rule": "triage", "trigger_data": {"id": 5, "tags": ["a", None]}, "dry_runs": True, "reveal_outputs": "TOKEN"}),
]


class TaskInstance:
    """What the triggerer knows of the task."""

    dag_id, task_id, run_id, map_index, try_number = "d", "t", "r", -1, 1
    task: Any = "with its whole DAG"

    def get_template_context(self) -> dict[str, Any]:
        run = dict.fromkeys(
            (
                *("conf", "dag_id", "data_interval_end", "data_interval_start", "end_date", "logical_date", "partition_date"),
                *("partition_key", "run_after", "run_id", "run_type", "start_date", "state"),
            )
        )
        return {
            "dag": DAG("d", schedule=None),
            "dag_run": type("Run", (), {**run, "consumed_asset_events": []}),
            "params": {"name": "release"},
            "triggering_asset_events": {},
            "prev_start_date_success": None,
        }


def sensor(**arguments: Any) -> ExecutionSensor:
    return BuddyExecutionSensor(task_id="t", **{"ref": "a/b/1/2", **ON, **arguments})


@pytest.mark.parametrize(("cls", "arguments"), SENSORS, ids=[cls.__name__ for cls, _ in SENSORS])
def test_a_sensor_is_the_same_in_the_triggerer(cls: type[ExecutionSensor], arguments: dict[str, Any]) -> None:
    here = cls(task_id="t", **arguments)
    written = pack(here)
    assert written["arguments"].keys() - {"poke_interval", "timeout", "do_xcom_push", "render_template_as_native_obj"} <= arguments.keys()
    there = unpack(json.loads(json.dumps(written)), TaskInstance())
    assert type(there) is cls
    here.render_template_fields({"params": {"name": "release"}})  # type: ignore[typeddict-item]
    for name in arguments:
        value = getattr(here, name)
        assert getattr(there, name) == (value.isoformat() if isinstance(value, datetime) else value), name
    assert there._wait_policy() == here._wait_policy()
    assert there._view() == here._view()


def test_the_dag_is_not_kept_while_it_waits() -> None:
    ti = TaskInstance()
    context = ti.get_template_context()
    ti.get_template_context = lambda: context  # type: ignore[method-assign]
    unpack(pack(sensor()), ti)
    assert context == {}
    assert ti.task is None


def test_all_sensors_are_tested_here() -> None:
    def below(cls: type[ExecutionSensor]) -> set[type[ExecutionSensor]]:
        return {cls, *(one for sub in cls.__subclasses__() for one in below(sub))}

    own = {cls for cls in below(ExecutionSensor) if cls.__module__.startswith("airflow_provider.") and ".execution." not in cls.__module__}
    assert own == {cls for cls, _ in SENSORS}


def test_without_deferrable_it_is_an_error() -> None:
    with pytest.raises(ValueError, match="start_from_trigger=True needs deferrable=True"):
        sensor(deferrable=False)


def test_it_is_off_by_default_and_never_set_at_class_level() -> None:
    assert sensor(start_from_trigger=False).start_trigger_args is None
    assert ExecutionSensor.start_trigger_args is None
    assert ExecutionSensor.start_from_trigger is False


def test_what_airflow_stores_holds_what_was_set_last() -> None:
    with DAG("d", schedule=None) as dag:
        made = sensor()
        made.outlets = [Asset("a")]
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag)))).get_task("t")
    assert stored.start_from_trigger is True
    args = made.start_trigger_args
    assert args is not None
    assert args.trigger_kwargs is not None
    assert args.trigger_kwargs["ends_here"] is False
    assert stored.start_trigger_args is not None


def test_a_mapped_task_is_stored_without() -> None:
    with DAG("d", schedule=None) as dag:
        BuddyExecutionSensor.partial(task_id="t", **ON).expand(ref=["a/b/1/2"])
    stored = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag)))).get_task("t")
    assert stored.start_trigger_args is None


def called(context: Any) -> None:
    """A callback."""


@pytest.mark.parametrize(
    "arguments",
    [
        {"on_success_callback": called},
        {"on_skipped_callback": called},
        {"outlets": [Asset("a")]},
        {"post_execute": lambda context, result: None},
        {"multiple_outputs": True},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_what_a_worker_does_at_the_end_is_left_to_it(arguments: dict[str, Any]) -> None:
    assert packed(sensor(on_failure_callback=called))["ends_here"] is True
    assert packed(sensor(**arguments))["ends_here"] is False


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"on_execute_callback": called}, "callback"),
        ({"pre_execute": called}, "callback"),
        ({"inlets": [Asset("a")]}, "inlets"),
        ({"ref": lambda context, jinja_env: "a/b/1/2"}, "ref contains function"),
        ({"push_outputs": {"IMAGE"}}, "push_outputs contains set"),
    ],
    ids=["on_execute_callback", "pre_execute", "inlets", "callable", "no JSON"],
)
def test_what_takes_a_worker_begins_in_one(arguments: dict[str, Any], why: str) -> None:
    made = sensor(**arguments)
    assert made.start_trigger_args is None
    with pytest.raises(NotPortable, match=why):
        packed(made)


def test_an_xcom_of_a_mapped_task_takes_a_worker() -> None:
    with DAG("d", schedule=None):
        many = BuddyExecutionSensor.partial(task_id="many").expand(ref=["a/b/1/2"])
        assert sensor(ref=many.output).start_trigger_args is None


def test_an_argument_that_is_not_kept_takes_a_worker() -> None:
    class Odd(BuddyExecutionSensor):
        def __init__(self, *, number: int, **kwargs: Any) -> None:
            super().__init__(ref=f"a/b/1/{number}", **kwargs)

    assert Odd(task_id="t", number=2, **ON).start_trigger_args is None


@pytest.mark.parametrize(
    "template",
    [
        "{{ triggering_asset_events }}",
        "{{ prev_start_date_success }}",
        "{{ dag_run.consumed_asset_events }}",
        "{{ dag_run.clear_number }}",
        "{{ ti.max_tries }}",
        "{{ my_macro() }}",
    ],
)
def test_what_a_triggerer_does_not_know_is_no_empty_text(template: str) -> None:
    with pytest.raises(Exception, match=r"undefined|no attribute"):
        unpack(pack(sensor(ref=template)), TaskInstance())


def test_only_sensors_of_the_package_are_made() -> None:
    with pytest.raises(NotPortable):
        unpack({"sensor": "airflow.sdk:BaseOperator", "arguments": {}, "pulled": {}}, TaskInstance())
    assert BaseOperator is not None
