"""The example that goes through all three systems on a real Airflow, seen from outside: its REST API, and the emulator."""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider.emulator import Emulator, LedgerEntry
from airflow_provider.emulator.alga_psa.execution import Execution as AlgaPsaExecution
from airflow_provider.emulator.alga_psa.scenario import Action as RuleAction
from airflow_provider.emulator.alga_psa.scenario import Rule
from airflow_provider.emulator.buddy.execution import Execution as BuddyExecution
from airflow_provider.emulator.buddy.scenario import Action as BuildAction
from airflow_provider.emulator.buddy.scenario import Pipeline
from airflow_provider.emulator.tracecat.execution import Execution as TracecatExecution
from airflow_provider.emulator.tracecat.scenario import Action as ScanAction
from airflow_provider.emulator.tracecat.scenario import Workflow
from airflow_provider.execution.model.result import ExecutionResult
from tests.airflow.held import HELD, let_end
from tests.airflow.local_airflow import LocalAirflow, until

pytestmark = [pytest.mark.airflow, pytest.mark.smoke, pytest.mark.timeout(1_800)]

TRAIN = "release_train"
DAGS = (TRAIN,)
TASKS = ("build", "scan", "tell")
# Of no other shape than any text, and nowhere but in what the build puts out.
IMAGE = f"shop:{secrets.token_hex(8)}"
SEVERITY = f"high for {IMAGE}"
BUILD = BuildAction("Build", seconds=0.2, log=["Step 1/2", "Successfully built 3f1c9a7be204"], outputs={"IMAGE": IMAGE})
BUILD_OF_THE_BROKEN = BuildAction("Build", seconds=HELD, outputs={"IMAGE": "shop:broken"})
LOOK_UP = ScanAction("look_up", seconds=0.2, result={"severity": "high for ${{ TRIGGER.address }}"})
BROKEN = ScanAction("look_up", seconds=HELD, error="HTTPStatusError: 503 Service Unavailable")
MAIL = RuleAction("email_notification", seconds=0.2, log=["Mail sent to ops@example.com"], output={"told": "$image is $severity"})


@dataclass
class Runs:
    """Two runs, started at once. Their executions end when :meth:`advance` and :meth:`advance_the_broken` say so."""

    airflow: LocalAirflow
    emulator: Emulator
    pipelines: dict[str, Pipeline]
    workflows: dict[str, Workflow]
    rules: dict[str, Rule]
    before: int
    ids: dict[str, str] = field(default_factory=dict)
    story: Future[None] = field(default_factory=Future)
    deferred: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What was seen of each task of the good run while it was deferred."""
    requests_of_the_broken: list[LedgerEntry] = field(default_factory=list)
    """All that had been asked by its end, when the good one had not come to ``tell``."""

    @property
    def requests(self) -> list[LedgerEntry]:
        """What came since this began; of Buddy, which others use as well, what is about its pipelines."""
        mine = tuple(f"/pipelines/{pipeline.id}/" for pipeline in self.pipelines.values())
        since = self.emulator.ledger.entries[self.before :]
        return [entry for entry in since if entry.system != "buddy" or any(part in entry.path for part in mine)]

    def starts(self) -> dict[str, int]:
        """By pipeline, workflow or rule: how often it was asked to start."""
        paths = {name: f"/pipelines/{pipeline.id}/executions" for name, pipeline in self.pipelines.items()}
        paths |= {name: f"/rules/{rule.id}/execute" for name, rule in self.rules.items()}
        posts = [entry for entry in self.requests if entry.method == "POST"]
        counts = {name: sum(entry.path.endswith(path) for entry in posts) for name, path in paths.items()}
        asked = [entry.json["workflow_id"] for entry in posts if entry.path.endswith("/workflow-executions")]
        return counts | {
            name: sum(self.emulator.tracecat.find_workflow(one).id == workflow.id for one in asked)
            for name, workflow in self.workflows.items()
        }

    def execution(self, task: str) -> BuddyExecution | TracecatExecution | AlgaPsaExecution:
        """The only one of a task of the good run."""
        there: dict[str, list[Any]] = {
            "build": self.emulator.buddy.executions_of(self.pipelines["build"]),
            "scan": [one for one in self.emulator.tracecat.executions if one.workflow.id == self.workflows["scan"].id],
            "tell": self.emulator.alga_psa.executions_of(self.rules["tell"]),
        }
        (only,) = there[task]
        return only  # type: ignore[no-any-return]

    def advance(self, task: str) -> None:
        """Let the execution of a task of the good run succeed, once all that can be seen before was seen."""
        airflow, run = self.airflow, self.ids["good"]
        airflow.wait_for_deferred(TRAIN, run, task)
        until("something of the remote log is there", lambda: remote_lines(airflow, run, task))
        self.deferred[task] = {
            # The other runs come to rest, too, so that the pool tells about this one.
            "pool": airflow.wait_for_rest(),
            "links": airflow.links(TRAIN, run, task),
            "xcoms": {key: airflow.xcom(TRAIN, run, task, key) for key in airflow.xcom_keys(TRAIN, run, task)},
            "lines": remote_lines(airflow, run, task),
            "states": airflow.states(TRAIN, run),
            "triggers": stored_triggers(airflow),
        }
        self.finish(task)

    def advance_the_broken(self, task: str) -> None:
        """Let the execution of a task of the broken run come to its end."""
        self.airflow.wait_for_deferred(TRAIN, self.ids["broken"], task)
        executions: list[Any] = {
            "build": self.emulator.buddy.executions_of(self.pipelines["build of the broken"]),
            "scan": [one for one in self.emulator.tracecat.executions if one.workflow.id == self.workflows["scan of the broken"].id],
        }[task]
        let_end(executions[0])

    def go_on(self) -> None:
        """Let both runs come to their ends: the broken one while the good one is held in ``scan``."""
        self.advance_the_broken("build")
        self.advance("build")
        self.advance_the_broken("scan")
        self.airflow.wait_for_run(TRAIN, self.ids["broken"], "failed")
        self.airflow.wait_for_task(TRAIN, self.ids["good"], "scan", "deferred")
        self.requests_of_the_broken = self.requests
        self.advance("scan")
        self.advance("tell")
        self.airflow.wait_for_run(TRAIN, self.ids["good"])

    def finish(self, task: str) -> None:
        """Let it succeed."""
        system: Any = {"build": self.emulator.buddy, "scan": self.emulator.tracecat, "tell": self.emulator.alga_psa}[task]
        system.finish(self.execution(task))


def stored_triggers(airflow: LocalAirflow) -> list[str]:
    """The arguments of all triggers as Airflow keeps them; its REST API does not tell them."""
    with closing(sqlite3.connect(f"{(airflow.home / 'airflow.db').as_uri()}?mode=ro", uri=True, timeout=30)) as database:
        return [str(kwargs) for (kwargs,) in database.execute("SELECT kwargs FROM trigger")]


def remote_lines(airflow: LocalAirflow, run: str, task: str) -> list[tuple[str, str]]:
    """The remote log in the task's: step and text."""
    return [(entry["remote_step"], entry["event"]) for entry in airflow.log_entries(TRAIN, run, task) if "remote_step" in entry]


def begin(airflow: LocalAirflow, emulator: Emulator, aside: Any) -> Runs:
    pipelines = {
        "build": Pipeline("train", actions=[BUILD, BuildAction("Deploy", seconds=HELD)]),
        "build of the broken": Pipeline("train-of-the-broken", actions=[BUILD_OF_THE_BROKEN]),
    }
    returns = {"severity": "${{ ACTIONS.look_up.result.severity }}"}
    workflows = {
        "scan": Workflow("Train", "train", actions=[LOOK_UP, ScanAction("score", seconds=HELD)], returns=returns),
        "scan of the broken": Workflow("Train (broken)", "train_broken", actions=[BROKEN]),
    }
    rules = {
        "tell": Rule("train", [MAIL, RuleAction("webhook_call", seconds=HELD)]),
        "tell of the broken": Rule("train of the broken", [MAIL]),
    }
    runs = Runs(
        airflow,
        emulator,
        {name: emulator.buddy.add_pipeline(one) for name, one in pipelines.items()},
        {name: emulator.tracecat.add_workflow(one) for name, one in workflows.items()},
        {name: emulator.alga_psa.add_rule(one) for name, one in rules.items()},
        len(emulator.ledger.entries),
    )
    runs.ids = {
        "good": airflow.trigger(TRAIN, {"build": "train", "scan": "train", "tell": "train"}),
        "broken": airflow.trigger(TRAIN, {"build": "train-of-the-broken", "scan": "train_broken", "tell": "train of the broken"}),
    }
    runs.story = aside(runs.go_on)
    return runs


@pytest.fixture(scope="module")
def runs(begun: dict[str, Any]) -> Iterator[Runs]:
    runs: Runs = begun[__name__]
    yield runs
    for task in TASKS:
        with suppress(ValueError):  # there is none, or it is over
            runs.finish(task)


@pytest.fixture(scope="module")
def ended(runs: Runs) -> Runs:
    """After the ends of both runs."""
    runs.story.result()
    return runs


# The good one


def test_goes_through_all_systems(airflow: LocalAirflow, ended: Runs) -> None:
    run = ended.ids["good"]
    results = {task: airflow.xcom(TRAIN, run, task) for task in TASKS}

    assert airflow.states(TRAIN, run) == {**dict.fromkeys((*TASKS, "announce"), "success"), "say_what_broke": "skipped"}
    assert {task: result["system"] for task, result in results.items()} == {"build": "buddy", "scan": "tracecat", "tell": "alga_psa"}
    assert {task: result["ref"] for task, result in results.items()} == {task: ended.execution(task).ref for task in TASKS}
    for task, result in results.items():
        assert set(result) == set(ExecutionResult.__annotations__)
        assert result["phase"] == "SUCCEEDED"
        assert result["duration"] > 0
        assert airflow.xcom(TRAIN, run, task, "ref") == result["ref"]
        assert airflow.task(TRAIN, run, task)["try_number"] == 1


def test_outputs_of_one_are_inputs_of_the_next(airflow: LocalAirflow, ended: Runs) -> None:
    run = ended.ids["good"]
    scan, tell = ended.execution("scan"), ended.execution("tell")
    assert isinstance(scan, TracecatExecution)
    assert isinstance(tell, AlgaPsaExecution)

    assert airflow.xcom(TRAIN, run, "build", "IMAGE") == IMAGE
    assert scan.inputs == {"address": IMAGE}
    assert airflow.xcom(TRAIN, run, "scan", "severity") == SEVERITY
    marker = tell.trigger_data["airflow_marker"]
    assert marker.startswith("airflow-")
    assert tell.trigger_data == {"image": IMAGE, "severity": SEVERITY, "airflow_marker": marker}
    assert airflow.xcom(TRAIN, run, "tell")["outputs"]["told"] == f"{IMAGE} is {SEVERITY}"
    assert airflow.xcom(TRAIN, run, "announce").startswith(f"{IMAGE} is out, severity {SEVERITY}; AlgaPSA informed the customers in ")


@pytest.mark.parametrize("task", TASKS)
def test_waits_without_a_worker(ended: Runs, task: str) -> None:
    seen = ended.deferred[task]

    assert seen["states"][task] == "deferred"
    assert seen["pool"]["occupied_slots"] == 0
    assert seen["pool"]["deferred_slots"] >= 1
    assert all(seen["states"][later] is None for later in TASKS[TASKS.index(task) + 1 :])


@pytest.mark.parametrize(
    ("task", "line"),
    [("build", ("Build", BUILD.log[-1])), ("scan", ("look_up", "core.transform.reshape COMPLETED")), ("tell", ("action 0", MAIL.log[0]))],
)
def test_tells_about_the_execution_while_deferred(ended: Runs, task: str, line: tuple[str, str]) -> None:
    seen = ended.deferred[task]

    assert seen["xcoms"]["ref"] == ended.execution(task).ref
    assert seen["xcoms"].keys().isdisjoint({"return_value", "execution", "IMAGE", "severity"})
    assert [text for step, text in seen["lines"] if step == line[0] and text.startswith(line[1])]


@pytest.mark.parametrize(("task", "name"), [("build", "Buddy execution"), ("scan", "Tracecat execution")])
def test_links_while_deferred_and_afterwards(airflow: LocalAirflow, ended: Runs, task: str, name: str) -> None:
    run, seen = ended.ids["good"], ended.deferred[task]
    url = airflow.xcom(TRAIN, run, task)["url"]

    assert url.startswith(ended.emulator.url)
    assert seen["links"] == airflow.links(TRAIN, run, task) == {name: url}
    assert seen["xcoms"]["url"] == url


def test_there_is_no_link_where_there_is_no_page(airflow: LocalAirflow, ended: Runs) -> None:
    run = ended.ids["good"]

    assert ended.deferred["tell"]["links"] == airflow.links(TRAIN, run, "tell") == {}
    assert airflow.xcom(TRAIN, run, "tell")["url"] is None
    assert airflow.xcom(TRAIN, run, "tell", "url") is None


# The broken one


def test_says_what_broke(airflow: LocalAirflow, ended: Runs) -> None:
    run = ended.ids["broken"]
    (scan,) = [one for one in ended.emulator.tracecat.executions if one.workflow.id == ended.workflows["scan of the broken"].id]
    execution = airflow.xcom(TRAIN, run, "scan", "execution")
    said = airflow.xcom(TRAIN, run, "say_what_broke")

    assert airflow.states(TRAIN, run) == {
        "build": "success",
        "scan": "failed",
        "tell": "upstream_failed",
        "announce": "upstream_failed",
        "say_what_broke": "success",
    }
    assert scan.inputs == {"address": "shop:broken"}
    assert set(execution) == set(ExecutionResult.__annotations__)
    assert (execution["ref"], execution["phase"], execution["status"]) == (scan.ref, "FAILED", "FAILED")
    assert said.startswith(f"scan: tracecat execution {scan.ref} ended FAILED: ")
    assert "503 Service Unavailable" in said
    assert any("look_up" in line and "FAILED" in line for line in airflow.log(TRAIN, run, "say_what_broke"))
    assert airflow.links(TRAIN, run, "scan") == {"Tracecat execution": execution["url"]}


def test_the_next_system_hears_nothing(airflow: LocalAirflow, ended: Runs) -> None:
    assert [entry.path for entry in ended.requests_of_the_broken if entry.system == "alga_psa"] == []
    assert ended.emulator.alga_psa.executions_of(ended.rules["tell of the broken"]) == []
    assert airflow.xcom_keys(TRAIN, ended.ids["broken"], "tell") == set()


# Both


def test_starts_each_execution_once_and_cancels_none(ended: Runs) -> None:
    assert ended.starts() == {
        "build": 1,
        "build of the broken": 1,
        "scan": 1,
        "scan of the broken": 1,
        "tell": 1,
        "tell of the broken": 0,
    }
    others = [entry for entry in ended.requests if entry.method not in ("GET", "HEAD")]
    assert len(others) == sum(ended.starts().values()), [f"{entry.method} {entry.path}" for entry in others]


def test_no_credential_gets_out(airflow: LocalAirflow, emulator: Emulator, ended: Runs) -> None:
    texts: dict[str, str] = {}
    for name, run in ended.ids.items():
        for instance in airflow.task_instances(TRAIN, run):
            task = instance["task_id"]
            place = f"{name}.{task}"
            texts[f"{place}: task instance with its rendered fields"] = json.dumps(instance)
            texts[f"{place}: log"] = json.dumps(airflow.log_entries(TRAIN, run, task))
            for key in airflow.xcom_keys(TRAIN, run, task):
                texts[f"{place}: XCom {key}"] = json.dumps(airflow.xcom(TRAIN, run, task, key))
    for task, seen in ended.deferred.items():
        texts[f"{task}: triggers"] = json.dumps(seen["triggers"])
    # Connections come from the environment: neither the database nor any file has a reason to hold a credential.
    for path in airflow.home.rglob("*"):
        if path.is_file():
            texts[str(path.relative_to(airflow.home))] = path.read_bytes().decode("latin-1")

    assert IMAGE in texts["good.tell: task instance with its rendered fields"]
    for task in TASKS:
        assert ended.execution(task).ref in texts[f"{task}: triggers"]
    assert MAIL.log[0] in texts["good.tell: log"]
    credentials = (emulator.buddy.token, emulator.tracecat.key.key, emulator.alga_psa.key.text, emulator.tracecat.user.password)
    assert all(any(given in str(entry.headers) for entry in ended.requests) for given in credentials[:3])
    assert [(place, given[:9]) for place, text in texts.items() for given in credentials if given in text] == []
