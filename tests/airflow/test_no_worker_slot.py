"""Sensors that start and end in the triggerer, on a real Airflow: which of them take a worker, and which take none."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.scenario import Action, Pipeline
from tests.airflow.held import HELD
from tests.airflow.local_airflow import LocalAirflow, until

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(3_600)]

MANY, MIXED = "no_worker_slot", "no_worker_slot_mixed"
RUNS, SENSORS = 10, 20
MANY_DAG = f'''
from airflow.sdk import DAG

from airflow_provider.buddy.sensors import BuddyExecutionSensor

with DAG("{MANY}", schedule=None, params={{"refs": []}}):
    for number in range({SENSORS}):
        BuddyExecutionSensor(
            task_id=f"wait_{{number}}",
            ref="{{{{ params.refs[%d] }}}}" % number,
            deferrable=True,
            start_from_trigger=True,
            poke_interval=2,
            timeout=600,
            push_outputs=["IMAGE"] if number == 0 else [],
        )
'''
MIXED_DAG = f'''
from airflow.sdk import DAG, task

from airflow_provider.buddy.sensors import BuddyExecutionSensor


def tell(context):
    print("told of", context["ti"].task_id, context.get("exception"))


with DAG("{MIXED}", schedule=None, params={{"good": "", "bad": ""}}):
    common = dict(deferrable=True, start_from_trigger=True, poke_interval=1, timeout=600)

    @task
    def start(params):
        return params["good"]

    ref = start()
    BuddyExecutionSensor(task_id="pulled", ref=ref, **common)
    templated = BuddyExecutionSensor(task_id="templated", ref="{{{{ ti.xcom_pull('start') }}}}", **common)
    ref >> templated
    BuddyExecutionSensor(task_id="failing", ref="{{{{ params.bad }}}}", retries=1, retry_delay=0, on_failure_callback=tell, **common)
    BuddyExecutionSensor(task_id="called_back", ref="{{{{ params.good }}}}", on_success_callback=tell, **common)
    BuddyExecutionSensor.partial(task_id="mapped", **common).expand(ref=["{{{{ params.good }}}}"])
'''
BUILD = Action("Build", seconds=HELD, outputs={"IMAGE": "shop:1.2.3"})


@dataclass
class Runs:
    """Runs of the DAG of many sensors; and one of the other DAG, each of whose sensors ends otherwise."""

    many: list[str]
    mixed: str
    executions: list[Execution]
    bad: Execution


@pytest.fixture(scope="module")
def runs(airflow: LocalAirflow, emulator: Emulator, dags: Path) -> Runs:
    """After their ends."""
    (dags / "no_worker_slot.py").write_text(MANY_DAG)
    (dags / "no_worker_slot_mixed.py").write_text(MIXED_DAG)
    buddy = emulator.buddy
    pipelines = [buddy.add_pipeline(Pipeline(f"slots-{number}", actions=[BUILD])) for number in range(2)]
    executions = [buddy.add_execution(pipelines[number % 2]) for number in range(SENSORS)]
    bad = buddy.add_execution(pipelines[0])
    buddy.finish(bad, "FAILED")
    airflow.unpause(MANY, MIXED)
    many = [airflow.trigger(MANY, {"refs": [str(one.ref) for one in executions]}) for _ in range(RUNS)]

    def all_follow() -> bool:
        """All follow their execution, in the triggerer."""
        return all(waiting(airflow, run) for run in many)

    until("all sensors wait in the triggerer", all_follow, every=1.0)
    for one in executions:
        buddy.finish(one)
    for run in many:
        airflow.wait_for_run(MANY, run)
    # Not earlier: a worker that starts while two hundred sensors do may be let down by the one API server.
    mixed = airflow.trigger(MIXED, {"good": str(executions[0].ref), "bad": str(bad.ref)})
    airflow.wait_for_run(MIXED, mixed, "failed")
    return Runs(many, mixed, executions, bad)


def waiting(airflow: LocalAirflow, run: str) -> bool:
    instances = airflow.task_instances(MANY, run)
    return len(instances) == SENSORS and all(one["state"] == "deferred" and one["trigger"] for one in instances)


def worker_logs(airflow: LocalAirflow, dag: str, run: str, task: str) -> list[str]:
    """The files that worker processes have written about a task."""
    folder = airflow.home / "logs" / f"dag_id={dag}" / f"run_id={run}"
    return sorted(str(path.relative_to(folder)) for path in folder.glob(f"task_id={task}/**/*.log") if ".trigger." not in path.name)


def test_two_hundred_sensors_take_no_worker_at_all(airflow: LocalAirflow, runs: Runs) -> None:
    for run in runs.many:
        for one in airflow.task_instances(MANY, run):
            assert (one["state"], one["try_number"]) == ("success", 1)
            assert (one["pid"], one["hostname"], one["queued_when"]) == (None, "", None), one
            assert worker_logs(airflow, MANY, run, one["task_id"]) == []


def test_what_they_hand_on_is_the_same(airflow: LocalAirflow, runs: Runs) -> None:
    run = runs.many[0]
    for number, execution in enumerate(runs.executions[:3]):
        task = f"wait_{number}"
        result = airflow.xcom(MANY, run, task)
        assert (result["ref"], result["phase"]) == (str(execution.ref), "SUCCEEDED")
        assert airflow.xcom(MANY, run, task, "ref") == str(execution.ref)
        assert airflow.links(MANY, run, task) == {"Buddy execution": result["url"]}
        assert ("IMAGE" in airflow.xcom_keys(MANY, run, task)) == (number == 0)
        assert any(f"execution {execution.ref} ended SUCCESSFUL." in line for line in airflow.log(MANY, run, task))


@pytest.mark.parametrize("task", ["pulled", "templated"])
def test_what_another_task_has_pushed_is_read_in_the_triggerer(airflow: LocalAirflow, runs: Runs, task: str) -> None:
    assert airflow.xcom(MIXED, runs.mixed, task)["ref"] == str(runs.executions[0].ref)
    assert worker_logs(airflow, MIXED, runs.mixed, task) == []
    assert worker_logs(airflow, MIXED, runs.mixed, "start") != []


def test_a_failure_ends_in_a_worker_with_message_and_callback_and_its_retry_begins_in_one(airflow: LocalAirflow, runs: Runs) -> None:
    one = airflow.task(MIXED, runs.mixed, "failing")
    assert (one["state"], one["try_number"]) == ("failed", 2)
    first, last = (json.dumps(airflow.log_entries(MIXED, runs.mixed, "failing", number)) for number in (1, 2))
    message = f"Buddy execution {runs.bad.ref} ended FAILED."
    assert message in first
    assert "starts in a worker" not in first
    assert "told of" not in first
    assert last.count("This wait starts in a worker: only a worker can read the notes") == 1
    assert f"told of failing {message}" in last
    assert airflow.xcom(MIXED, runs.mixed, "failing", "execution")["phase"] == "FAILED"


def test_success_with_a_callback_ends_in_a_worker(airflow: LocalAirflow, runs: Runs) -> None:
    log = "\n".join(airflow.log(MIXED, runs.mixed, "called_back"))
    assert "told of called_back None" in log
    assert "starts in a worker" not in log
    assert airflow.task(MIXED, runs.mixed, "called_back")["state"] == "success"


def test_a_mapped_task_begins_in_a_worker(airflow: LocalAirflow, runs: Runs) -> None:
    path = f"dags/{MIXED}/dagRuns/{runs.mixed}/taskInstances/mapped"
    assert airflow.get(f"{path}/0")["state"] == "success"
    answer: Any = airflow.request(
        "GET", f"{path}/logs/1", params={"full_content": True, "map_index": 0}, headers={"Accept": "application/json"}
    )
    said = [str(entry.get("event", "")) for entry in answer["content"] if isinstance(entry, dict)]
    assert said.count("This wait starts in a worker: a mapped task can't start in the triggerer.") == 1
