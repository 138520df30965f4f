"""Waiting for what somebody else starts, and a gate, on a real Airflow, seen from outside: its REST API, and the emulator's ledger."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider.emulator import Emulator, LedgerEntry
from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.scenario import Action, Gate, Pipeline
from tests.airflow.held import HELD
from tests.airflow.local_airflow import LOGIN, LocalAirflow, until

pytestmark = [pytest.mark.airflow, pytest.mark.smoke, pytest.mark.timeout(1_800)]

EXTERNAL = "buddy_wait_for_external"
FIRST = "external_first"
GATE = "buddy_gate"
GATED = ("approved", "declined", "opened", "cleared", "marked")
DAGS = (EXTERNAL, FIRST, GATE)

REPORTED_SECONDS = 8.0
"""After which an answer no longer meets the worker's late report of the deferral, which would fail the task."""

BUILD = Action("Build", seconds=0.2, log=["Step 1/2", "Successfully built 3f1c9a7be204"], outputs={"IMAGE": "shop:1.2.3"})
HELD_DEPLOY = Action("Deploy", seconds=HELD)
APPROVE = Gate("Approve")
DEPLOY = Action("Deploy", seconds=0.2, outputs={"URL": "https://shop.example"})


@dataclass
class Runs:
    """The DAG runs, started at once so that they overlap; and what somebody else started before and after that."""

    airflow: LocalAirflow
    emulator: Emulator
    pipelines: dict[str, Pipeline]
    ids: dict[str, tuple[str, str]]
    before: Execution
    after: dict[str, Execution] = field(default_factory=dict)

    def executions(self, pipeline: str) -> list[Execution]:
        return self.emulator.buddy.executions_of(self.pipelines[pipeline])

    def sent(self, method: str, pipeline: str) -> list[LedgerEntry]:
        """The writes that reached the emulator for a pipeline."""
        return self.emulator.ledger.select(method, rf"/pipelines/{self.pipelines[pipeline].id}/executions(/\d+)?$")

    def question(self, name: str) -> dict[str, Any]:
        """What the task ``gate`` of a run asks, once it waits for the answer."""
        dag, run = self.ids[name]
        self.airflow.wait_for_task(dag, run, "gate", "deferred")
        return self.airflow.required_action(dag, run)

    def reported(self, name: str) -> None:
        """Wait until a question is asked, and Airflow knows that its task is deferred."""
        self.question(name)
        asked = time.monotonic()
        until("the deferral is reported", lambda: time.monotonic() - asked > REPORTED_SECONDS)

    def answer(self, name: str, option: str) -> None:
        """Answer it, as a person does in the UI: not before the worker has reported the deferral, for which Airflow takes seconds."""
        self.reported(name)
        self.airflow.answer(*self.ids[name], option)


def begin(airflow: LocalAirflow, emulator: Emulator, aside: Any) -> Runs:
    buddy = emulator.buddy
    scripts = {"external": [BUILD, HELD_DEPLOY], **{name: [BUILD, APPROVE, DEPLOY] for name in GATED}}
    pipelines = {name: buddy.add_pipeline(Pipeline(name, actions=actions)) for name, actions in scripts.items()}
    before = buddy.add_execution(pipelines["external"], started_by="Ann", branch="main", started_at=buddy.clock.now() - 1)
    ids = {name: (GATE, airflow.trigger(GATE, {"pipeline": name})) for name in GATED}
    ids |= {dag: (dag, airflow.trigger(dag, {"pipeline": "external"})) for dag in (EXTERNAL, FIRST)}
    return Runs(airflow, emulator, pipelines, ids, before)


@pytest.fixture(scope="module")
def runs(begun: dict[str, Any]) -> Iterator[Runs]:
    runs: Runs = begun[__name__]
    yield runs
    for name in runs.pipelines:
        for execution in runs.executions(name):
            if not execution.state.over:
                runs.emulator.buddy.finish(execution)


@pytest.fixture(scope="module")
def waiting(airflow: LocalAirflow, runs: Runs) -> Runs:
    """The runs that wait for somebody else's execution do so, and nobody has started one yet."""
    for dag in (EXTERNAL, FIRST):
        airflow.wait_for_deferred(*runs.ids[dag], "wait")
    return runs


@pytest.fixture(scope="module")
def started(waiting: Runs) -> Runs:
    """Somebody else has started executions: one that fails, one on another branch, one that goes well in the end."""
    buddy, pipeline = waiting.emulator.buddy, waiting.pipelines["external"]
    for name, branch in (("failed", "main"), ("other branch", "feature"), ("good", "main")):
        waiting.after[name] = buddy.add_execution(pipeline, started_by="Ann", branch=branch)
    return waiting


@pytest.fixture(scope="module")
def found(airflow: LocalAirflow, started: Runs) -> Runs:
    """All that was started has ended, the run of the example too."""
    buddy = started.emulator.buddy
    buddy.finish(started.after["failed"], "FAILED")
    buddy.finish(started.before)
    buddy.finish(started.after["other branch"])
    dag, run = started.ids[EXTERNAL]
    until("it passes over the failed one", lambda: any("Passing over" in line for line in airflow.log(dag, run, "wait")))
    buddy.finish(started.after["good"])
    airflow.wait_for_run(dag, run)
    return started


@pytest.fixture(scope="module")
def answered(runs: Runs) -> Runs:
    """Both questions are answered."""
    runs.answer("approved", "Approve")
    runs.answer("declined", "Decline")
    runs.question("opened")
    (execution,) = runs.executions("opened")
    runs.emulator.buddy.approve(execution, by="Zoe")
    return runs


@pytest.fixture(scope="module")
def approved(airflow: LocalAirflow, answered: Runs) -> tuple[str, str]:
    """DAG and run, after its end."""
    airflow.wait_for_run(*answered.ids["approved"])
    return answered.ids["approved"]


@pytest.fixture(scope="module")
def declined(airflow: LocalAirflow, answered: Runs) -> tuple[str, str]:
    """DAG and run, after its end."""
    airflow.wait_for_run(*answered.ids["declined"])
    return answered.ids["declined"]


# Somebody else's executions


def test_waits_without_a_worker_for_what_is_not_there_yet(airflow: LocalAirflow, waiting: Runs) -> None:
    for name in GATED:
        waiting.question(name)
    # Nothing else goes on then, so the pool tells about these.
    pool = airflow.wait_for_rest()

    assert pool["occupied_slots"] == 0
    assert pool["deferred_slots"] >= 2
    for dag in (EXTERNAL, FIRST):
        run = waiting.ids[dag][1]
        assert airflow.states(dag, run) == {"wait": "deferred", "built": None, "announce": None}
        assert airflow.xcom_keys(dag, run, "wait").isdisjoint({"ref", "url", "return_value"})
        assert airflow.links(dag, run, "wait") == {"Buddy execution": None}


def test_tells_what_it_has_found_while_deferred(airflow: LocalAirflow, started: Runs) -> None:
    dag, run = started.ids[FIRST]
    found = started.after["failed"]  # nobody knows yet that it will fail
    page = f"{started.emulator.buddy.web_url}/demo/shop/pipelines/pipeline/{found.pipeline.id}/execution/{found.hex_id}"
    until("the link is there", lambda: airflow.links(dag, run, "wait")["Buddy execution"])

    assert airflow.links(dag, run, "wait") == {"Buddy execution": page}
    assert airflow.xcom(dag, run, "wait", "url") == page
    assert airflow.xcom(dag, run, "wait", "ref") == found.ref
    assert found.status == "INPROGRESS"
    assert airflow.task(dag, run, "wait")["state"] == "deferred"


def test_takes_the_first_that_succeeds_after_the_run_began(airflow: LocalAirflow, found: Runs) -> None:
    dag, run = found.ids[EXTERNAL]
    good, result = found.after["good"], airflow.xcom(dag, run, "wait")
    log = "\n".join(airflow.log(dag, run, "wait"))

    assert airflow.states(dag, run) == {"wait": "success", "built": "success", "announce": "success"}
    assert (result["ref"], result["phase"]) == (good.ref, "SUCCEEDED")
    assert airflow.xcom(dag, run, "wait", "ref") == good.ref
    assert airflow.links(dag, run, "wait") == {"Buddy execution": result["url"]}
    assert log.count(f"Passing over Buddy execution {found.after['failed'].ref}, which ended FAILED.") == 1
    assert f"Found Buddy execution {good.ref}." in log
    for other in (found.before, found.after["other branch"]):
        assert f"{other.ref} " not in log
    assert airflow.task(dag, run, "wait")["try_number"] == 1


def test_hands_on_what_it_found(airflow: LocalAirflow, found: Runs) -> None:
    dag, run = found.ids[EXTERNAL]
    built = airflow.xcom(dag, run, "built")

    assert airflow.xcom(dag, run, "wait", "IMAGE") == "shop:1.2.3"
    assert built["ref"].startswith(f"{found.after['good'].ref}/")
    assert airflow.links(dag, run, "built") == {"Buddy execution": built["url"]}
    assert airflow.xcom(dag, run, "announce") == f"shop:1.2.3 was built in 0 s, see {built['url']}"


def test_follows_the_first_to_its_end(airflow: LocalAirflow, found: Runs) -> None:
    dag, run = found.ids[FIRST]
    airflow.wait_for_run(dag, run, "failed")

    assert airflow.states(dag, run) == {"wait": "failed", "built": "upstream_failed", "announce": "upstream_failed"}
    execution = airflow.xcom(dag, run, "wait", "execution")
    assert (execution["ref"], execution["phase"]) == (found.after["failed"].ref, "FAILED")
    assert airflow.links(dag, run, "wait") == {"Buddy execution": execution["url"]}


def test_starts_and_cancels_nothing_of_somebody_elses(airflow: LocalAirflow, found: Runs) -> None:
    airflow.wait_for_run(*found.ids[FIRST], "failed")
    assert found.sent("POST", "external") == found.sent("PATCH", "external") == []


# The gate


def test_asks_at_the_gate(airflow: LocalAirflow, runs: Runs) -> None:
    question = runs.question("approved")
    dag, run = runs.ids["approved"]
    (execution,) = runs.executions("approved")
    result = airflow.xcom(dag, run, "release")

    assert execution.status == "WAITING_FOR_APPLY"
    assert (result["ref"], result["phase"]) == (execution.ref, "WAITING")
    assert question["subject"] == f"Deploy {execution.ref}?"
    for part in (
        "Approve (WAIT_FOR_APPLY)",
        "main",
        "IMAGE=shop:1.2.3",
        f"[Look at it in Buddy](<{result['url']}>)",
        "cancels the execution",
    ):
        assert part in question["body"]
    assert question["options"] == ["Approve", "Decline"]
    assert airflow.states(dag, run) == {"release": "success", "gate": "deferred"}


def test_approved(airflow: LocalAirflow, runs: Runs, approved: tuple[str, str]) -> None:
    dag, run = approved
    (execution,) = runs.executions("approved")
    result = airflow.xcom(dag, run, "gate")
    assert airflow.states(dag, run) == {"release": "success", "gate": "success"}
    assert (result["ref"], result["phase"], execution.status) == (execution.ref, "SUCCEEDED", "SUCCESSFUL")
    assert result["actor"]["approved_in_airflow_by"] == LOGIN
    assert airflow.xcom(dag, run, "gate", "URL") == "https://shop.example"
    assert airflow.links(dag, run, "gate") == {"Buddy execution": result["url"]}
    assert len(runs.sent("POST", "approved")) == 1
    [approval] = runs.sent("PATCH", "approved")
    assert approval.json["operation"] == "APPLY"
    assert {item["key"]: item["value"] for item in approval.json["variables"]}["AIRFLOW_ANSWERED_BY"] == LOGIN
    assert airflow.task(dag, run, "gate")["try_number"] == 1


def test_declined(airflow: LocalAirflow, runs: Runs, declined: tuple[str, str]) -> None:
    dag, run = declined
    (execution,) = runs.executions("declined")
    result = airflow.xcom(dag, run, "gate", "execution")
    assert airflow.states(dag, run) == {"release": "success", "gate": "skipped"}
    assert (result["ref"], result["phase"], execution.status) == (execution.ref, "CANCELLED", "TERMINATED")
    assert result["actor"]["declined_in_airflow_by"] == LOGIN
    assert len(runs.sent("POST", "declined")) == 1
    assert [request.json["operation"] for request in runs.sent("PATCH", "declined")] == ["CANCEL"]


def test_opened_in_buddy_meanwhile(airflow: LocalAirflow, runs: Runs, answered: Runs) -> None:
    dag, run = runs.ids["opened"]
    airflow.wait_for_run(dag, run)
    detail = airflow.required_action(dag, run)
    assert (detail["chosen_options"], detail["responded_by_user"]) == (["Opened in Buddy by Zoe"], None)
    assert airflow.xcom(dag, run, "gate")["actor"]["approved_by"] == "Zoe"
    assert runs.sent("PATCH", "opened") == []


def test_cleared_while_it_waits(airflow: LocalAirflow, runs: Runs) -> None:
    dag, run = runs.ids["cleared"]
    runs.reported("cleared")
    airflow.clear(dag, run, ["gate"])
    until("it asks again", lambda: airflow.task(dag, run, "gate")["try_number"] == 2)
    assert runs.question("cleared")["response_received"] is False
    runs.answer("cleared", "Approve")
    airflow.wait_for_run(dag, run)
    assert [request.json["operation"] for request in runs.sent("PATCH", "cleared")] == ["APPLY"]
    assert airflow.xcom(dag, run, "gate")["actor"]["approved_in_airflow_by"] == LOGIN


def test_marked_while_it_waits(airflow: LocalAirflow, runs: Runs) -> None:
    dag, run = runs.ids["marked"]
    runs.reported("marked")
    airflow.set_task_state(dag, run, "gate", "failed")
    until("the question is closed", lambda: airflow.required_action(dag, run)["response_received"])
    assert airflow.required_action(dag, run)["chosen_options"] == ["The task was ended"]
    assert runs.sent("PATCH", "marked") == []
    assert [execution.status for execution in runs.executions("marked")] == ["WAITING_FOR_APPLY"]


# All of them


@pytest.mark.usefixtures("found", "approved", "declined")
def test_no_token_gets_out(airflow: LocalAirflow, emulator: Emulator, runs: Runs) -> None:
    airflow.wait_for_run(*runs.ids[FIRST], "failed")
    texts: dict[str, str] = {}
    for name, (dag, run) in runs.ids.items():
        for instance in airflow.task_instances(dag, run):
            place = f"{name}.{instance['task_id']}"
            texts[f"{place}: task instance"] = json.dumps(instance)
            texts[f"{place}: log"] = json.dumps(airflow.log_entries(dag, run, instance["task_id"]))
            for key in airflow.xcom_keys(dag, run, instance["task_id"]):
                texts[f"{place}: XCom {key}"] = json.dumps(airflow.xcom(dag, run, instance["task_id"], key))
    for path in airflow.home.rglob("*"):
        if path.is_file():
            texts[str(path.relative_to(airflow.home))] = path.read_bytes().decode("latin-1")

    assert "Found Buddy execution" in texts[f"{EXTERNAL}.wait: log"]
    assert "Deploy" in texts["approved.gate: task instance"]
    assert [place for place, text in texts.items() if emulator.buddy.token in text] == []
