"""The example DAGs on a real Airflow, seen from outside: through Airflow's REST API, and in the emulator's ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider.emulator import Emulator, LedgerEntry
from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.scenario import Action, Pipeline
from airflow_provider.execution.model.result import ExecutionResult
from tests.airflow.held import HELD, let_end
from tests.airflow.local_airflow import LocalAirflow, LocalAirflowError, until

pytestmark = [pytest.mark.airflow, pytest.mark.smoke, pytest.mark.timeout(1_800)]

RELEASE = "buddy_release"
SENSOR = "buddy_wait_for_execution"
DAGS = (RELEASE, SENSOR)
WRONG_TOKEN = "wrong-token-0123456789"

CHECKOUT = Action("Checkout", seconds=0.2, log=["Fetching main", "HEAD is now at 2aeec94"])
BUILD = Action("Build", seconds=0.2, log=["Step 1/2", "Successfully built 3f1c9a7be204"], outputs={"IMAGE": "shop:1.2.3"})
DEPLOY = Action("Deploy", seconds=HELD)
BROKEN = Action("Build", seconds=HELD, log=["Step 1/2", "no such package"], status="FAILED", error_message="exit code 1")


@dataclass
class Runs:
    """One DAG run for each pipeline, started at once so that they overlap."""

    airflow: LocalAirflow
    emulator: Emulator
    pipelines: dict[str, Pipeline]
    ids: dict[str, str]
    elsewhere: Execution
    story: Future[None] = field(default_factory=Future)
    link_while_deferred: str | None = None

    def executions(self, pipeline: str) -> list[Execution]:
        """Of a pipeline, the oldest first."""
        return self.emulator.buddy.executions_of(self.pipelines[pipeline])

    def sent(self, method: str, pipeline: str) -> list[LedgerEntry]:
        """The writes that reached the emulator for a pipeline."""
        return self.emulator.ledger.select(method, rf"/pipelines/{self.pipelines[pipeline].id}/executions(/\d+)?$")

    def finish(self, execution: Execution) -> None:
        """Let an execution succeed."""
        if not execution.state.over:
            self.emulator.buddy.finish(execution)

    def go_on(self) -> None:
        """Let those runs come to their ends that nothing is done to while they wait; one of them again, after a clear."""
        airflow, ids = self.airflow, self.ids
        airflow.wait_for_deferred(RELEASE, ids["broken"], "release")
        let_end(self.executions("broken")[0])
        airflow.wait_for_deferred(RELEASE, ids["twice"], "release")
        self.finish(self.executions("twice")[0])
        airflow.wait_for_deferred(SENSOR, ids["elsewhere"], "wait")
        self.link_while_deferred = airflow.links(SENSOR, ids["elsewhere"], "wait")["Buddy execution"]
        self.finish(self.elsewhere)
        airflow.wait_for_run(RELEASE, ids["twice"])
        assert len(self.sent("POST", "twice")) == 1
        airflow.clear(RELEASE, ids["twice"], ["release"])
        until("the second execution is there", lambda: len(self.executions("twice")) == 2)
        airflow.wait_for_deferred(RELEASE, ids["twice"], "release")
        self.finish(self.executions("twice")[1])
        airflow.wait_for_run(RELEASE, ids["broken"], "failed")
        airflow.wait_for_run(SENSOR, ids["elsewhere"])
        airflow.wait_for_run(RELEASE, ids["twice"])


def begin(airflow: LocalAirflow, emulator: Emulator, aside: Any) -> Runs:
    scripts = {
        "held": [CHECKOUT, BUILD, DEPLOY],
        "broken": [CHECKOUT, BROKEN],
        "killed": [CHECKOUT, DEPLOY],
        "twice": [BUILD, DEPLOY],
        "elsewhere": [DEPLOY],
    }
    pipelines = {name: emulator.buddy.add_pipeline(Pipeline(name, actions=actions)) for name, actions in scripts.items()}
    elsewhere = emulator.buddy.add_execution(pipelines["elsewhere"], started_by="Ann")
    ids = {name: airflow.trigger(RELEASE, {"pipeline": name}) for name in scripts if name != "elsewhere"}
    ids["elsewhere"] = airflow.trigger(SENSOR, {"ref": elsewhere.ref})
    runs = Runs(airflow, emulator, pipelines, ids, elsewhere)
    runs.story = aside(runs.go_on)
    return runs


@pytest.fixture(scope="module")
def runs(begun: dict[str, Any]) -> Iterator[Runs]:
    runs: Runs = begun[__name__]
    yield runs
    for name in runs.pipelines:
        for execution in runs.executions(name):
            runs.finish(execution)


@pytest.fixture(scope="module")
def released(airflow: LocalAirflow, runs: Runs) -> str:
    """The run whose execution was held, after its end."""
    run = runs.ids["held"]
    if not runs.executions("held") or not runs.executions("held")[0].state.over:
        airflow.wait_for_deferred(RELEASE, run, "release")
    runs.finish(runs.executions("held")[0])
    airflow.wait_for_run(RELEASE, run)
    return run


@pytest.fixture(scope="module")
def ended(runs: Runs) -> Runs:
    """After the ends of all runs but those that are held, or killed."""
    runs.story.result()
    return runs


def test_waits_without_a_worker(airflow: LocalAirflow, runs: Runs) -> None:
    run = runs.ids["held"]
    airflow.wait_for_task(RELEASE, run, "release", "deferred")
    # Other runs come to rest first, so that the pool tells about this one.
    pool = airflow.wait_for_rest()

    assert airflow.states(RELEASE, run) == {"release": "deferred", "announce": None, "say_what_broke": None}
    assert pool["occupied_slots"] == 0
    assert pool["deferred_slots"] >= 1
    assert runs.executions("held")[0].status == "INPROGRESS"


def test_tells_about_the_execution_while_deferred(airflow: LocalAirflow, runs: Runs) -> None:
    run = runs.ids["held"]
    airflow.wait_for_task(RELEASE, run, "release", "deferred")
    execution = runs.executions("held")[0]
    page = f"{runs.emulator.buddy.web_url}/demo/shop/pipelines/pipeline/{execution.pipeline.id}/execution/{execution.hex_id}"

    assert airflow.links(RELEASE, run, "release") == {"Buddy execution": page}
    assert airflow.xcom(RELEASE, run, "release", "url") == page
    assert airflow.xcom(RELEASE, run, "release", "ref") == execution.ref
    assert airflow.xcom_keys(RELEASE, run, "release").isdisjoint({"return_value", "execution", "IMAGE"})

    lines = until("the remote log is in the task's", lambda: _after(airflow.log(RELEASE, run, "release"), BUILD.log[-1]))
    assert [line for line in lines if line in {*CHECKOUT.log, *BUILD.log}] == [*CHECKOUT.log, *BUILD.log]
    entry = next(entry for entry in airflow.log_entries(RELEASE, run, "release") if entry["event"] == BUILD.log[-1])
    assert entry["remote_step"] == "Build"
    assert airflow.task(RELEASE, run, "release")["state"] == "deferred"


def test_hands_the_outputs_on(airflow: LocalAirflow, runs: Runs, released: str) -> None:
    execution = runs.executions("held")[0]
    result = airflow.xcom(RELEASE, released, "release")

    assert airflow.states(RELEASE, released) == {"release": "success", "announce": "success", "say_what_broke": "skipped"}
    assert airflow.xcom(RELEASE, released, "release", "IMAGE") == "shop:1.2.3"
    assert set(result) == set(ExecutionResult.__annotations__)
    assert result["ref"] == airflow.xcom(RELEASE, released, "release", "ref") == execution.ref
    assert result["url"] == airflow.links(RELEASE, released, "release")["Buddy execution"]
    assert (result["phase"], result["status"], result["outputs"]) == ("SUCCEEDED", "SUCCESSFUL", {"IMAGE": "shop:1.2.3"})
    assert [(step["name"], step["phase"]) for step in result["steps"]] == [(name, "SUCCEEDED") for name in ("Checkout", "Build", "Deploy")]
    announced = airflow.xcom(RELEASE, released, "announce")
    assert announced.startswith("shop:1.2.3 is out after ")
    assert announced.endswith(result["url"])
    assert airflow.task(RELEASE, released, "release")["try_number"] == 1


def test_starts_one_execution_as_told(runs: Runs, released: str) -> None:
    (request,) = runs.sent("POST", "held")
    (execution,) = runs.executions("held")

    assert request.json["branch"] == {"name": "main"}
    assert request.json["to_revision"] == {"revision": "HEAD"}
    assert execution.variables["VERSION"].startswith("1.2.20")
    assert (execution.comment or "").startswith("Nightly release [airflow-")
    assert runs.sent("PATCH", "held") == []


def test_says_what_broke(airflow: LocalAirflow, ended: Runs) -> None:
    run = ended.ids["broken"]
    (failed,) = ended.executions("broken")
    execution = airflow.xcom(RELEASE, run, "release", "execution")

    assert airflow.states(RELEASE, run) == {"release": "failed", "announce": "upstream_failed", "say_what_broke": "success"}
    assert set(execution) == set(ExecutionResult.__annotations__)
    assert (execution["ref"], execution["phase"], execution["status"]) == (failed.ref, "FAILED", "FAILED")
    assert "no such package" in execution["log_tail"]
    assert airflow.xcom_keys(RELEASE, run, "release").isdisjoint({"return_value", "IMAGE"})
    assert airflow.links(RELEASE, run, "release")["Buddy execution"] == execution["url"]
    said = airflow.xcom(RELEASE, run, "say_what_broke")
    assert said.startswith(f"{failed.ref} ended FAILED in Build: ")
    assert "exit code 1" in said
    assert "no such package" in airflow.log(RELEASE, run, "say_what_broke")
    assert len(ended.sent("POST", "broken")) == 1


def test_marking_the_deferred_task_failed_cancels_the_execution(airflow: LocalAirflow, runs: Runs) -> None:
    run = runs.ids["killed"]
    airflow.wait_for_task(RELEASE, run, "release", "deferred")
    (execution,) = runs.executions("killed")
    until("the trigger watches", lambda: CHECKOUT.log[0] in airflow.log(RELEASE, run, "release"))
    assert execution.status == "INPROGRESS"

    airflow.set_task_state(RELEASE, run, "release", "failed")
    until("the execution is cancelled", lambda: execution.status == "TERMINATED")
    airflow.wait_for_run(RELEASE, run, "failed")

    (request,) = runs.sent("PATCH", "killed")
    assert request.json["operation"] == "CANCEL"
    assert len(runs.sent("POST", "killed")) == 1
    assert airflow.states(RELEASE, run)["release"] == "failed"
    until("the cancel is in the log", lambda: _after(airflow.log(RELEASE, run, "release"), f"Cancelling execution {execution.ref}"))


def test_clearing_the_task_starts_one_new_execution(airflow: LocalAirflow, ended: Runs) -> None:
    run = ended.ids["twice"]
    first, second = ended.executions("twice")
    assert airflow.xcom(RELEASE, run, "release", "ref") == second.ref
    assert airflow.xcom(RELEASE, run, "announce").endswith(airflow.xcom(RELEASE, run, "release", "url"))
    assert first.comment != second.comment
    assert len(ended.sent("POST", "twice")) == 2
    assert ended.sent("PATCH", "twice") == []


def test_sensor_waits_for_somebody_elses_execution(airflow: LocalAirflow, ended: Runs) -> None:
    result = airflow.xcom(SENSOR, ended.ids["elsewhere"], "wait")
    assert ended.link_while_deferred == result["url"]
    assert (result["ref"], result["phase"]) == (ended.elsewhere.ref, "SUCCEEDED")
    assert ended.sent("POST", "elsewhere") == ended.sent("PATCH", "elsewhere") == []


@pytest.mark.parametrize("good", [True, False])
def test_connection_can_be_tested(airflow: LocalAirflow, emulator: Emulator, good: bool) -> None:
    token = emulator.buddy.token if good else WRONG_TOKEN
    body = {"connection_id": "candidate", "conn_type": "buddy", "host": emulator.buddy.url, "password": token, "extra": "{}"}

    answer = airflow.post("connections/test", body)

    assert answer["status"] is good
    assert emulator.buddy.url in answer["message"] if good else "401" in answer["message"]
    assert token not in answer["message"]


@pytest.mark.usefixtures("released", "ended")
def test_no_token_gets_out(airflow: LocalAirflow, emulator: Emulator, runs: Runs) -> None:
    found: dict[str, str] = {}
    for name, run in runs.ids.items():
        dag = SENSOR if name == "elsewhere" else RELEASE
        for instance in airflow.task_instances(dag, run):
            task = instance["task_id"]
            place = f"{name}.{task}"
            found[f"{place}: task instance with its rendered fields"] = json.dumps(instance)
            for try_number in range(1, instance["try_number"] + 1):
                found[f"{place}: log {try_number}"] = json.dumps(airflow.log_entries(dag, run, task, try_number))
            for key in airflow.xcom_keys(dag, run, task):
                found[f"{place}: XCom {key}"] = json.dumps(airflow.xcom(dag, run, task, key))
    # Connections come from the environment: neither the database nor any file has a reason to hold a token.
    for path in airflow.home.rglob("*"):
        if path.is_file():
            found[str(path.relative_to(airflow.home))] = path.read_bytes().decode("latin-1")

    assert BUILD.log[-1] in found["held.release: log 1"]
    assert "Nightly release" in found["held.release: task instance with its rendered fields"]
    assert RELEASE in found[airflow.output.name]
    assert [place for place, text in found.items() if emulator.buddy.token in text or WRONG_TOKEN in text] == []


def test_what_does_not_come_is_an_error(airflow: LocalAirflow, ended: Runs) -> None:
    run = ended.ids["broken"]
    with pytest.raises(LocalAirflowError, match=r"buddy_release\.release is failed, not success"):
        airflow.wait_for_task(RELEASE, run, "release", "success")


def _after(lines: list[str], beginning: str) -> list[str]:
    """All lines if one begins so, else none."""
    return lines if any(line.startswith(beginning) for line in lines) else []
