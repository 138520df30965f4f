"""The example DAGs task by task, over real sockets: loaded from their files, with their own arguments, templates and XComs."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from airflow.sdk import DAG, Asset

from airflow_provider import _clock
from airflow_provider.emulator import Emulator, alga_psa, tracecat
from airflow_provider.emulator.buddy import Action, Gate, Pipeline
from airflow_provider.emulator.buddy.execution import Execution
from tests import virtual_clock
from tests.harness import Ended, PlayedApi, TaskRun, Triggerer
from tests.integration.systems import BuddySystem
from tests.virtual_clock import current

EXAMPLES = Path(__file__).parents[2] / "example_dags"

CHECKOUT = Action("Checkout", seconds=0.1, log=["Fetching main"])
BUILD = Action(
    "Build",
    "RUN_DOCKER_CONTAINER",
    seconds=0.2,
    log=["Step 1/2", "Successfully built"],
    outputs={"IMAGE": "shop:1.2.3"},
    definition={"docker_image_name": "library/node", "docker_image_tag": "20", "inline_commands": "npm run build"},
)
DEPLOY = Action("Deploy", seconds=0.1, log=["Healthy"], outputs={"URL": "https://shop.example"})
BROKEN = Action("Build", seconds=0.1, log=["no such package"], status="FAILED", error_message="exit code 1")

LOOK_UP = tracecat.Action("look_up", seconds=0.1, result={"severity": "high for ${{ TRIGGER.address }}"})
LOOK_UP_BROKEN = tracecat.Action("look_up", seconds=0.1, error="HTTPStatusError: 503 Service Unavailable")
SCORE = tracecat.Action("score", seconds=0.2)
FOUND = {"address": "${{ TRIGGER.address }}", "severity": "${{ ACTIONS.look_up.result.severity }}"}
EXPECTS = {"address": {"type": "str"}}

MAIL = alga_psa.Action("email_notification", seconds=0.2, log=["Mail sent"], output={"told": "$image is $severity"})
MAIL_BROKEN = alga_psa.Action("email_notification", seconds=0.1, log=["No such recipient"], error="The server answered 550")


def load_module(dag_id: str) -> ModuleType:
    """The file of an example, parsed anew, as each process of Airflow does it."""
    spec = importlib.util.spec_from_file_location(dag_id, EXAMPLES / f"{dag_id}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load(dag_id: str) -> DAG:
    """The DAG of an example."""
    return next(dag for value in vars(load_module(dag_id)).values() if isinstance(dag := getattr(value, "dag", value), DAG))


def fields_of(connection: str) -> dict[str, Any]:
    """A connection in JSON, as Airflow's API gives it."""
    fields = json.loads(connection)
    return {**fields, "extra": json.dumps(fields["extra"])}


class RunApi(PlayedApi):
    """The Execution API of one task instance that has others beside it in its run."""

    def __init__(self, run: PlayedRun, task_id: str) -> None:
        super().__init__(run.connections)
        self.dag_run = run
        self.task_id = task_id

    def __call__(self, request: httpx.Request) -> httpx.Response:
        match request.method, request.url.path.strip("/").split("/"):
            case "PATCH", ["task-instances", _, "run"]:
                self.run["dag_run"] |= {**self.of_run, "consumed_asset_events": self.dag_run.asset_events}
            case "GET", ["xcoms", _, _, task_id, key, *rest] if task_id != self.task_id:
                return self._of_another(task_id, key, rest, request.url.params)
            case "HEAD", ["xcoms", _, _, task_id, key]:
                length = len(self.dag_run.values(task_id, key))
                return httpx.Response(200, headers={"Content-Range": f"map_indexes {length}"})
        return super().__call__(request)

    @property
    def of_run(self) -> dict[str, Any]:
        return {"dag_id": self.dag_run.dag_id, "run_after": self.dag_run.run_after, "conf": self.dag_run.conf}

    def _of_another(self, task_id: str, key: str, rest: list[str], params: httpx.QueryParams) -> httpx.Response:
        values = self.dag_run.values(task_id, key)
        if rest == ["slice"]:
            return httpx.Response(200, json=list(values.values()))
        if rest:  # ["item", offset]: among those that there are
            values = dict(enumerate(values.values()))
        index = int(rest[1]) if rest else int(params.get("map_index", -1))
        if index not in values:
            return httpx.Response(404, json={"detail": {"reason": "not_found", "message": "no"}})
        return httpx.Response(200, json=values[index] if rest else {"key": key, "value": values[index]})

    def sent(self, method: str, end: str) -> list[Any]:
        """The bodies sent to paths that end so."""
        return [body for sent, path, body in self.calls if sent == method and path.endswith(end)]


class PlayedRun:
    """A run of an example DAG. What decides which task is next, Airflow's scheduler, is the test."""

    def __init__(self, system: BuddySystem | AllSystems, dag_id: str, **conf: Any) -> None:
        self.connections = {**system.connections, "buddy_approver": fields_of(system.buddy.connections["buddy_approver"])}
        self.dag_id = dag_id
        self.conf = conf
        self.asset_events: list[dict[str, Any]] = []
        self.run_after = _clock.utc_now().isoformat()
        self.tasks: dict[tuple[str, int], TaskRun] = {}

    def values(self, task_id: str, key: str) -> dict[int, Any]:
        """An XCom of all instances of a task, by map index."""
        found = {index: task.api.xcoms for (name, index), task in self.tasks.items() if name == task_id}
        return {index: found[index][key] for index in sorted(found) if key in found[index]}

    def task(self, task_id: str, map_index: int = -1, **hooks: Callable[..., Any]) -> Ended:
        """Run a task to its end."""
        retries = load(self.dag_id).get_task(task_id).retries
        assert retries is not None
        task = TaskRun(lambda: load(self.dag_id).get_task(task_id), self.connections, retries=retries, map_index=map_index)
        task.api = RunApi(self, task_id)
        for name, hook in hooks.items():
            setattr(task, name, hook)
        self.tasks[task_id, map_index] = task
        return task.run()

    def api(self, task_id: str, map_index: int = -1) -> RunApi:
        """The Execution API of a task that has run."""
        api = self.tasks[task_id, map_index].api
        assert isinstance(api, RunApi)
        return api

    def mapped(self, task_id: str, over: str, **hooks: Callable[..., Any]) -> list[Ended]:
        """Run an instance of a task for each item that another one returned."""
        (items,) = self.values(over, "return_value").values()
        return [self.task(task_id, index, **hooks) for index in range(len(items))]

    def rendered_map_index(self, task_id: str, map_index: int) -> str:
        """What the grid shows instead of the number."""
        return str(self.api(task_id, map_index).sent("PATCH", "/rendered-map-index")[-1])

    def all_ran(self, *but: str) -> bool:
        """Whether every task of the DAG ran, ``but`` those."""
        return {task_id for task_id, _ in self.tasks} == set(load(self.dag_id).task_ids) - set(but)


class AllSystems:
    """The three systems on one emulator, behind their default connections."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.buddy = emulator.buddy
        self.tracecat = emulator.tracecat
        self.alga_psa = emulator.alga_psa

    @property
    def connections(self) -> dict[str, dict[str, Any]]:
        systems = (self.buddy, self.tracecat, self.alga_psa)
        return {conn_id: fields_of(text) for system in systems for conn_id, text in system.connections.items()}

    @property
    def starts(self) -> dict[str, int]:
        """Start requests by system."""
        paths = {"buddy": r"/executions$", "tracecat": r"/workflow-executions$", "alga_psa": r"/execute$"}
        return {name: self.emulator.ledger.count("POST", path, system=name) for name, path in paths.items()}

    def asked(self, name: str) -> bool:
        """Whether there was any request to a system."""
        return self.emulator.ledger.count(system=name) > 0


@pytest.fixture
def system(emulator: Emulator) -> BuddySystem:
    return BuddySystem(emulator)


@pytest.fixture
def systems(emulator: Emulator) -> AllSystems:
    return AllSystems(emulator)


def deferred_once(ended: Ended, state: str = "success") -> dict[str, Any]:
    """Its result, or what is known of the execution of a failed one."""
    assert ended.state == state, f"{ended.error!r}\n{ended.text}"
    assert ended.defers == 1
    known: dict[str, Any] = ended.result if state == "success" else ended.xcoms["execution"]
    assert ended.xcoms["ref"] == known["ref"]
    assert ended.xcoms["url"] == known["url"]
    assert {value for key, value in ended.xcoms.items() if key.startswith("_link_")} == {known["url"]}
    return known


def text(ended: Ended) -> str:
    assert ended.state == "success", f"{ended.error!r}\n{ended.text}"
    return str(ended.result)


# Run a pipeline


def test_release(system: BuddySystem) -> None:
    pipeline = system.buddy.add_pipeline(Pipeline("release", actions=[CHECKOUT, BUILD, DEPLOY]))
    run = PlayedRun(system, "buddy_release")
    result = deferred_once(run.task("release"))
    announced = text(run.task("announce"))

    (execution,) = system.buddy.executions_of(pipeline)
    assert execution.variables["VERSION"] == f"1.2.{run.run_after[:10].replace('-', '')}"
    assert announced.startswith("shop:1.2.3 is out after 0 s, see ")
    assert announced.endswith(result["url"])
    assert system.starts == 1
    assert run.all_ran("say_what_broke")


def test_release_that_breaks(system: BuddySystem) -> None:
    system.buddy.add_pipeline(Pipeline("other", actions=[CHECKOUT, BROKEN, DEPLOY]))
    run = PlayedRun(system, "buddy_release", pipeline="other")
    execution = deferred_once(run.task("release"), "failed")

    assert text(run.task("say_what_broke")) == f"{execution['ref']} ended FAILED in Build: exit code 1"


def test_release_without_an_execution(system: BuddySystem) -> None:
    run = PlayedRun(system, "buddy_release", pipeline="none such")
    assert run.task("release").state == "failed"
    assert "before an execution was started" in text(run.task("say_what_broke"))
    assert system.starts == 0


# Wait for an execution


def test_wait_for_execution(system: BuddySystem) -> None:
    pipeline = system.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", seconds=math.inf)]))
    execution = system.buddy.add_execution(pipeline, started_by="Mike")
    run = PlayedRun(system, "buddy_wait_for_execution", ref=execution.ref)
    assert deferred_once(run.task("wait", on_defer=lambda _: system.buddy.finish(execution)))["ref"] == execution.ref
    assert run.all_ran()


def test_wait_for_external(system: BuddySystem) -> None:
    buddy = system.buddy
    pipeline = buddy.add_pipeline(Pipeline("release", actions=[CHECKOUT, BUILD, DEPLOY]))
    before = buddy.add_execution(pipeline, branch="main", started_at=buddy.clock.now() - 0.05)
    run = PlayedRun(system, "buddy_wait_for_external")
    started: list[Execution] = []

    def somebody_starts(_: object) -> None:
        started.append(buddy.add_execution(pipeline, branch="feature"))
        started.append(buddy.add_execution(pipeline, "FAILED", branch="main", started_at=buddy.clock.now()))
        started.append(buddy.add_execution(pipeline, branch="main"))

    waited = run.task("wait", on_defer=somebody_starts)
    result = deferred_once(waited)
    _, failed, good = started
    assert result["ref"] == good.ref
    assert waited.xcoms["IMAGE"] == "shop:1.2.3"
    assert f"Passing over Buddy execution {failed.ref}, which ended FAILED." in waited.text
    assert before.ref not in waited.text

    built = run.task("built")
    assert built.state == "success", built.text
    assert built.result["ref"].startswith(f"{good.ref}/")
    assert built.result["outputs"] == {"IMAGE": "shop:1.2.3"}
    assert text(run.task("announce")) == f"shop:1.2.3 was built in 0 s, see {built.result['url']}"
    assert run.all_ran()
    assert system.starts == system.cancels == 0


def test_no_worker_slot(system: BuddySystem) -> None:
    buddy = system.buddy
    pipelines = {name: buddy.add_pipeline(Pipeline(name, actions=[CHECKOUT, BUILD])) for name in ("api", "shop", "mailer")}
    for pipeline in pipelines.values():
        buddy.add_execution(pipeline, "FAILED", started_at=buddy.clock.now() - 60)
    run = PlayedRun(system, "buddy_no_worker_slot")
    for name, pipeline in pipelines.items():
        waited = run.task(f"wait_{name}", on_defer=lambda _, pipeline=pipeline: buddy.add_execution(pipeline))
        assert deferred_once(waited)["ref"] == buddy.executions_of(pipeline)[-1].ref
        assert waited.workers == 0
    assert text(run.task("announce")) == "Tonight's images: shop:1.2.3, shop:1.2.3, shop:1.2.3"
    assert run.all_ran()
    assert system.starts == system.cancels == 0


def test_no_worker_slot_tells_of_a_failed_release(system: BuddySystem) -> None:
    pipeline = system.buddy.add_pipeline(Pipeline("shop", actions=[CHECKOUT, BROKEN]))
    run = PlayedRun(system, "buddy_no_worker_slot")
    waited = run.task("wait_shop", on_defer=lambda _: system.buddy.add_execution(pipeline))
    assert deferred_once(waited, "failed")["phase"] == "FAILED"
    assert "exit code 1" in str(waited.error)
    assert waited.workers == 1


def test_wait_for_external_on_another_branch(system: BuddySystem) -> None:
    pipeline = system.buddy.add_pipeline(Pipeline("nightly", actions=[CHECKOUT, BUILD]))
    run = PlayedRun(system, "buddy_wait_for_external", pipeline="nightly", branch="feature")
    started: list[Execution] = []

    def somebody_starts(_: object) -> None:
        started.extend(system.buddy.add_execution(pipeline, branch=branch) for branch in ("main", "feature"))

    assert deferred_once(run.task("wait", on_defer=somebody_starts))["ref"] == started[1].ref


def test_wait_for_external_told_in_whole_seconds(system: BuddySystem) -> None:
    """What started within the second in which the run began may have started after it: better taken than waited for in vain."""
    pipeline = system.buddy.add_pipeline(Pipeline("release", actions=[CHECKOUT, BUILD]))
    second = math.floor(_clock.now()) - 10
    run = PlayedRun(system, "buddy_wait_for_external")
    run.run_after = datetime.fromtimestamp(second + 0.7, timezone.utc).isoformat()
    system.buddy.add_execution(pipeline, "SUCCESSFUL", branch="main", started_at=second - 1)
    system.buddy.add_execution(pipeline, "SUCCESSFUL", branch="main", started_at=second + 0.6)
    told = system.buddy.add_execution(pipeline, "SUCCESSFUL", branch="main", started_at=second)
    system.buddy.add_execution(pipeline, "SUCCESSFUL", branch="main", started_at=second + 2)

    assert run.task("wait").result["ref"] == told.ref


# Run one action


def test_run_docker_action(system: BuddySystem) -> None:
    pipeline = system.buddy.add_pipeline(Pipeline("release", actions=[CHECKOUT, BUILD, DEPLOY]))
    run = PlayedRun(system, "buddy_run_docker_action")

    definition = run.task("definition")
    assert definition.state == "success", definition.text
    assert (definition.result["name"], definition.result["type"]) == ("Build", "RUN_DOCKER_CONTAINER")
    assert definition.result["docker_image_name"] == "library/node"

    result = deferred_once(run.task("run"))
    assert {step["name"]: step["phase"] for step in result["steps"] if step["phase"] != "SKIPPED"} == {"Build": "SUCCEEDED"}
    (execution,) = system.buddy.executions_of(pipeline)
    (request,) = system.emulator.ledger.select("POST", r"/executions$")
    assert len(request.json["actions_to_run"]) == 1

    details = run.task("details")
    assert details.state == "success", details.text
    assert details.result["ref"].startswith(f"{execution.ref}/")
    assert details.result["log_tail"] == BUILD.log
    assert details.xcoms["IMAGE"] == "shop:1.2.3"

    reported = text(run.task("report"))
    assert reported.startswith("library/node with [")
    assert reported.endswith("] made shop:1.2.3")
    assert run.all_ran()
    assert system.starts == 1


def test_run_docker_action_that_is_not_there(system: BuddySystem) -> None:
    system.buddy.add_pipeline(Pipeline("release", actions=[CHECKOUT, BUILD]))
    run = PlayedRun(system, "buddy_run_docker_action", action="Bild")
    for task_id in ("definition", "run"):
        ended = run.task(task_id)
        assert ended.state == "failed"
        assert "'Bild'" in str(ended.error)
    assert system.starts == 0


# A gate


def until_the_gate(system: BuddySystem, **conf: Any) -> tuple[PlayedRun, Execution]:
    """A run whose execution waits for a person."""
    gated = Pipeline(conf.get("pipeline", "release-gated"), actions=[BUILD, Gate("Approve", comment="Sure?"), DEPLOY])
    pipeline = system.buddy.add_pipeline(gated)
    run = PlayedRun(system, "buddy_gate", **conf)
    result = deferred_once(run.task("release"))
    (execution,) = system.buddy.executions_of(pipeline)
    assert (result["ref"], result["phase"], result["status"]) == (execution.ref, "WAITING", "WAITING_FOR_APPLY")
    assert execution.status == "WAITING_FOR_APPLY"
    return run, execution


def gate_answered(run: PlayedRun, option: str, *, after: float = 20.0) -> Ended:
    """Run the task that asks, and let Ann answer some seconds later."""

    def answer(_: object) -> None:
        current().later(after, lambda: run.api("gate").answer(option))

    return run.task("gate", on_defer=lambda deferred: answer(deferred) if deferred.next_method == "answered" else None)


@pytest.mark.parametrize("gate_in", ["execution", "action"])
def test_gate_approved(system: BuddySystem, gate_in: str) -> None:
    run, execution = until_the_gate(system)
    system.buddy.gate_in = gate_in
    opened = gate_answered(run, "Approve")
    assert opened.state == "success", f"{opened.error!r}\n{opened.text}"
    asked = run.api("gate").hitl
    assert asked is not None
    assert asked["subject"] == f"Deploy {execution.ref}?"
    for text in ("Approve (WAIT_FOR_APPLY) 'Sure?'", "main", "Airflow", "IMAGE=shop:1.2.3", f"(<{opened.result['url']}>)", "[airflow-"):
        assert text in asked["body"]
    assert (opened.result["ref"], opened.result["phase"]) == (execution.ref, "SUCCEEDED")
    assert opened.xcoms["URL"] == "https://shop.example"
    assert opened.result["actor"]["approved_in_airflow_by"] == "Ann"
    [approval] = system.emulator.ledger.select("PATCH")
    assert approval.json["operation"] == "APPLY"
    assert {item["key"]: item["value"] for item in approval.json["variables"]} == {"AIRFLOW_ANSWERED_BY": "Ann"}
    assert system.starts == 1
    assert run.all_ran()


def test_gate_declined(system: BuddySystem) -> None:
    run, execution = until_the_gate(system, pipeline="other-gated")
    declined = gate_answered(run, "Decline")
    assert declined.state == "skipped", declined.text
    assert "was declined by Ann in Airflow" in declined.skipped_because
    assert declined.xcoms["execution"]["phase"] == "CANCELLED"
    assert execution.status == "TERMINATED"
    assert [request.json["operation"] for request in system.emulator.ledger.select("PATCH")] == ["CANCEL"]
    assert system.starts == 1
    assert run.all_ran()


# Fan out


@pytest.mark.parametrize(
    ("customers", "failing"),
    [(["acme", "globex", "initech"], []), (["acme", "globex"], ["globex"]), (["acme"], []), (["acme"], ["acme"])],
    ids=["all succeed", "all but one fail", "a single one", "none succeeds"],
)
def test_fan_out(system: BuddySystem, customers: list[str], failing: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = system.buddy.add_pipeline(Pipeline("release", actions=[CHECKOUT, BUILD]))
    run = PlayedRun(system, "buddy_fan_out", customers=customers)
    assert run.task("variables").result == [{"CUSTOMER": name} for name in customers]

    def break_some(_: object) -> None:
        execution = system.buddy.executions_of(pipeline)[-1]
        if execution.variables["CUSTOMER"] in failing:
            system.buddy.finish(execution, "FAILED")

    ended = run.mapped("release", "variables", on_defer=break_some)

    assert [one.state for one in ended] == ["failed" if name in failing else "success" for name in customers]
    assert [execution.variables["CUSTOMER"] for execution in system.buddy.executions_of(pipeline)] == customers
    assert [run.rendered_map_index("release", index) for index in range(len(customers))] == customers
    for request in system.emulator.ledger.select("POST", r"/executions$"):
        assert request.json["branch"] == {"name": "main"}
    assert system.starts == len(customers)

    summary = run.task("summary")
    assert summary.state == "success", f"{summary.error!r}\n{summary.text}"
    good = [one.result["ref"] for one, name in zip(ended, customers, strict=True) if name not in failing]
    assert summary.result == dict.fromkeys(good, "shop:1.2.3")
    assert f"{len(good)} of {len(customers)} releases succeeded: " in capsys.readouterr().out
    assert run.all_ran()


def test_fan_out_runs_a_few_at_a_time() -> None:
    assert load("buddy_fan_out").get_task("release").max_active_tis_per_dagrun == 3


# Tracecat: run a workflow, go by what it finds


def test_incident(systems: AllSystems) -> None:
    workflow = tracecat.Workflow("Enrich", "enrich_alert", actions=[LOOK_UP, SCORE], returns=FOUND, expects=EXPECTS)
    systems.tracecat.add_workflow(workflow)
    run = PlayedRun(systems, "tracecat_incident")
    result = deferred_once(run.task("enrich"))
    scored = run.task("scored")

    (execution,) = systems.tracecat.executions
    assert execution.inputs == {"address": "192.0.2.7"}
    assert (result["ref"], result["phase"]) == (execution.ref, "SUCCEEDED")
    assert result["url"].startswith(f"{systems.tracecat.web_url}/workspaces/")
    assert scored.state == "success", f"{scored.error!r}\n{scored.text}"
    assert text(run.task("open_incident")) == f"192.0.2.7: severity high for 192.0.2.7, scored in 0 s, see {result['url']}"
    assert run.all_ran()
    assert systems.starts == {"buddy": 0, "tracecat": 1, "alga_psa": 0}


def test_incident_with_another_workflow_and_address(systems: AllSystems) -> None:
    workflow = systems.tracecat.add_workflow(tracecat.Workflow("Other", actions=[LOOK_UP, SCORE], returns=FOUND, expects=EXPECTS))
    run = PlayedRun(systems, "tracecat_incident", workflow=workflow.id, address="198.51.100.1")
    deferred_once(run.task("enrich"))
    assert run.task("scored").state == "success"
    assert text(run.task("open_incident")).startswith("198.51.100.1: severity high for 198.51.100.1, scored in 0 s, see ")


def test_incident_that_breaks(systems: AllSystems) -> None:
    systems.tracecat.add_workflow(tracecat.Workflow("Enrich", "enrich_alert", actions=[LOOK_UP_BROKEN, SCORE], returns=FOUND))
    run = PlayedRun(systems, "tracecat_incident")
    execution = deferred_once(run.task("enrich"), "failed")
    assert (execution["phase"], execution["status"]) == ("FAILED", "FAILED")
    assert "503 Service Unavailable" in execution["error"]
    assert "look_up" in str(run.tasks["enrich", -1].api.xcoms["execution"]["log_tail"])


def test_incident_whose_workflow_does_not_tell_the_severity(systems: AllSystems) -> None:
    systems.tracecat.add_workflow(tracecat.Workflow("Enrich", "enrich_alert", actions=[LOOK_UP], returns={"address": "192.0.2.7"}))
    ended = PlayedRun(systems, "tracecat_incident").task("enrich")
    assert ended.state == "failed"
    assert "severity: not produced" in str(ended.error)


# AlgaPSA: execute a rule, wait for another


def test_rule(systems: AllSystems) -> None:
    rule = systems.alga_psa.add_rule(alga_psa.Rule("triage", [alga_psa.Action(seconds=0.1, output={"assigned": 3}), MAIL]))
    other = systems.alga_psa.add_rule(alga_psa.Rule("on-event", [MAIL], trigger_type="event_based"))
    before = systems.alga_psa.add_execution(other, "completed", started_at=systems.emulator.clock.now() - 60)
    run = PlayedRun(systems, "alga_psa_rule", follow_up="on-event")
    result = deferred_once(run.task("execute"))
    reported = text(run.task("report"))

    (execution,) = systems.alga_psa.executions_of(rule)
    assert (result["ref"], result["phase"], result["url"]) == (execution.ref, "SUCCEEDED", None)
    assert {**execution.trigger_data, "airflow_marker": ""} == {"reason": "nightly", "run": "manual__1", "airflow_marker": ""}
    assert reported.startswith("2 of 2 actions succeeded; outputs: ['assigned', ")
    assert run.task("wants_follow_up").state == "success"
    assert run.api("wants_follow_up").sent("PATCH", "/skip-downstream") == []

    followed = deferred_once(run.task("follow_up", on_defer=lambda _: systems.alga_psa.fire(other)))
    assert followed["ref"] == systems.alga_psa.executions_of(other)[-1].ref != before.ref
    assert run.all_ran()
    assert systems.starts == {"buddy": 0, "tracecat": 0, "alga_psa": 1}


def test_rule_without_another(systems: AllSystems) -> None:
    systems.alga_psa.add_rule(alga_psa.Rule("other", [MAIL]))
    run = PlayedRun(systems, "alga_psa_rule", rule="other")
    deferred_once(run.task("execute"))
    assert text(run.task("report")).startswith("1 of 1 actions succeeded; ")
    assert run.task("wants_follow_up").state == "success"
    (skipping,) = run.api("wants_follow_up").sent("PATCH", "/skip-downstream")
    assert skipping["tasks"] == ["follow_up"]


def test_rule_that_breaks(systems: AllSystems) -> None:
    systems.alga_psa.add_rule(alga_psa.Rule("triage", [MAIL, MAIL_BROKEN]))
    execution = deferred_once(PlayedRun(systems, "alga_psa_rule").task("execute"), "failed")
    assert (execution["phase"], execution["status"], execution["error"]) == ("FAILED", "failed", "The server answered 550")


def test_rule_on_deployed_releases(systems: AllSystems) -> None:
    """They can't store executions: the DAG fails, and says so."""
    systems.alga_psa.add_rule(alga_psa.Rule("triage", [MAIL]))
    systems.alga_psa.mode = "as_deployed"
    ended = PlayedRun(systems, "alga_psa_rule").task("execute")
    assert ended.state == "failed"
    assert "release" in str(ended.error)
    assert systems.alga_psa.executions == []


# All three


# Run when somebody else's execution ends


def test_asset(system: BuddySystem) -> None:
    pipeline = system.buddy.add_pipeline(Pipeline("release", actions=[BUILD]))
    [asset] = [value for value in vars(load_module("buddy_asset")).values() if isinstance(value, Asset)]
    [watcher] = asset.watchers
    ended: list[dict[str, Any]] = []

    async def watch() -> None:
        api = PlayedApi(system.connections)
        async with Triggerer(api) as triggerer:
            trigger: Any = watcher.trigger
            trigger.poll_interval = 5.0
            triggerer.add(trigger, asset.name)
            await triggerer.until(lambda: api.assets)
            for branch in ("feature", "main"):
                system.buddy.add_execution(pipeline, branch=branch)
            ended.extend(await triggerer.until_told(1))

    virtual_clock.run(watch())
    run = PlayedRun(system, "buddy_asset")
    source = dict.fromkeys(("source_task_id", "source_dag_id", "source_run_id", "source_map_index"))
    told = {"asset": {"name": asset.name, "uri": asset.uri, "extra": {}}, "extra": {"from_trigger": True, "payload": ended[0]}}
    run.asset_events = [{**told, **source, "source_aliases": [], "timestamp": run.run_after}] * 2  # it may come twice
    _, on_main = system.buddy.executions
    assert run.task("announce").result == [f"shop:1.2.3 was released by {on_main.ref}, see {ended[0]['url']}"]


def release_train(systems: AllSystems, broken: str | None = None) -> PlayedRun:
    """A run whose part ``broken`` fails."""
    build = BROKEN if broken == "build" else BUILD
    systems.buddy.add_pipeline(Pipeline("release", actions=[CHECKOUT, build, DEPLOY]))
    look_up = LOOK_UP_BROKEN if broken == "scan" else LOOK_UP
    workflow = tracecat.Workflow("Enrich", "enrich_alert", actions=[look_up, SCORE], returns=FOUND, expects=EXPECTS)
    systems.tracecat.add_workflow(workflow)
    systems.alga_psa.add_rule(alga_psa.Rule("triage", [MAIL_BROKEN if broken == "tell" else MAIL]))
    return PlayedRun(systems, "release_train")


def test_release_train(systems: AllSystems) -> None:
    run = release_train(systems)
    results = {task_id: deferred_once(run.task(task_id)) for task_id in ("build", "scan", "tell")}
    announced = text(run.task("announce"))

    (built,), (scanned,), (told,) = systems.buddy.executions, systems.tracecat.executions, systems.alga_psa.executions
    assert {task_id: result["ref"] for task_id, result in results.items()} == {"build": built.ref, "scan": scanned.ref, "tell": told.ref}
    assert scanned.inputs == {"address": "shop:1.2.3"}
    marker = told.trigger_data["airflow_marker"]
    assert told.trigger_data == {"image": "shop:1.2.3", "severity": "high for shop:1.2.3", "airflow_marker": marker}
    assert results["tell"]["outputs"]["told"] == "shop:1.2.3 is high for shop:1.2.3"
    assert announced == "shop:1.2.3 is out, severity high for shop:1.2.3; AlgaPSA informed the customers in 0 s"
    assert systems.starts == {"buddy": 1, "tracecat": 1, "alga_psa": 1}
    assert run.all_ran("say_what_broke")


@pytest.mark.parametrize(
    ("broken", "system", "error"),
    [
        ("build", "buddy", "exit code 1"),
        ("scan", "tracecat", "HTTPStatusError: 503 Service Unavailable"),
        ("tell", "alga_psa", "The server answered 550"),
    ],
)
def test_release_train_that_breaks(systems: AllSystems, broken: str, system: str, error: str, capsys: pytest.CaptureFixture[str]) -> None:
    chain = {"build": "buddy", "scan": "tracecat", "tell": "alga_psa"}
    good = list(chain)[: list(chain).index(broken)]
    run = release_train(systems, broken)
    for task_id in good:
        deferred_once(run.task(task_id))
    execution = deferred_once(run.task(broken), "failed")

    said = text(run.task("say_what_broke"))
    assert said.startswith(f"{broken}: {system} execution {execution['ref']} ended {execution['status']}: ")
    assert error in said
    assert execution["log_tail"][-1] in capsys.readouterr().out
    came_to = [*good, broken]
    assert systems.starts == {name: int(task_id in came_to) for task_id, name in chain.items()}
    assert {name: systems.asked(name) for name in chain.values()} == {name: task_id in came_to for task_id, name in chain.items()}


def test_release_train_without_an_execution(systems: AllSystems) -> None:
    run = release_train(systems)
    run.conf["scan"] = "none such"
    deferred_once(run.task("build"))
    assert run.task("scan").state == "failed"
    assert "no execution was started" in text(run.task("say_what_broke"))
    assert systems.starts == {"buddy": 1, "tracecat": 0, "alga_psa": 0}


def test_release_train_fails_if_a_part_does() -> None:
    """A run ends as its last tasks do, and the one that says what broke succeeds."""
    dag = load("release_train")
    assert {task.task_id for task in dag.leaves} == {"announce", "say_what_broke"}
    assert dag.get_task("announce").trigger_rule == "all_success"
    assert dag.get_task("announce").upstream_task_ids >= {"tell"}
