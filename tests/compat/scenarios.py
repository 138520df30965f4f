"""
The scenarios, run by the Python of one version: a real Airflow, and an emulator in this process.

Called by ``tests.compat``: ``python -m tests.compat.scenarios RESULTS [TITLE...]``. Each scenario is a function; they run side by side.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from functools import partial
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from airflow_provider.emulator import Emulator, alga_psa, tracecat
from airflow_provider.emulator.buddy import Action, Gate, Pipeline
from airflow_provider.provider_info import get_provider_info
from tests.airflow.chaos.services import Postgres
from tests.airflow.local_airflow import EXAMPLE_DAGS, LocalAirflow, LocalAirflowError, until
from tests.airflow.statsd_server import Received
from tests.ports import free_ports

DAGS = Path(__file__).parent / "dags"
GATE = "buddy_gate"
"""The example with a gate."""
KILLED_IS_FAILED = {"3.1.0", "3.1.1"}
"""Versions of Airflow that may fail a task for good whose process was killed."""
RETRY_IS_RESUMED = {"3.1.0"}
"""Versions of Airflow that resume the retry of a deferred task with the event of the attempt before, instead of running it."""
HEARTBEAT_TIMEOUT = 45
"""Seconds after which Airflow takes a worker that stands still for lost."""
PATIENCE = 300.0
SIDE_BY_SIDE = 6
"""Scenarios at a time."""


def add_pipeline(emulator: Emulator, name: str, seconds: float = math.inf, status: str = "SUCCESSFUL") -> Pipeline:
    """A pipeline of two actions."""
    first = Action("Checkout", seconds=0.2, log=["checked out"], outputs={"IMAGE": "shop:1.2.3"})
    return emulator.buddy.add_pipeline(Pipeline(name, name, actions=[first, Action("Build", seconds=seconds, status=status)]))


class World:
    """An Airflow, the emulator, and what scenarios do with both."""

    def __init__(self, airflow: LocalAirflow, emulator: Emulator, folder: Path, statsd: Received) -> None:
        self.airflow, self.emulator, self.folder, self.statsd = airflow, emulator, folder, statsd
        self.buddy = emulator.buddy

    def pipeline(self, name: str, *, seconds: float = math.inf, status: str = "SUCCESSFUL") -> Pipeline:
        """A pipeline whose executions run until they are ended, if no ``seconds`` are given."""
        return add_pipeline(self.emulator, name, seconds, status)

    def follow(self, dag: str, name: str, **more: Any) -> Task:
        """Run a DAG on a pipeline of its own."""
        pipeline = self.pipeline(name)
        return Task(self, dag, self.airflow.trigger(dag, {"pipeline": name, **more}), pipeline)


class Task:
    """The task ``build`` of a run, and its pipeline."""

    def __init__(self, world: World, dag: str, run: str, pipeline: Pipeline) -> None:
        self.world, self.airflow, self.dag, self.run, self.pipeline = world, world.airflow, dag, run, pipeline
        self.may_fail = False

    @property
    def executions(self) -> Sequence[Any]:
        return list(self.world.buddy.executions_of(self.pipeline))

    @property
    def statuses(self) -> list[str]:
        return [one.status for one in self.executions]

    @property
    def starts(self) -> int:
        return self.world.emulator.ledger.count("POST", f"/pipelines/{self.pipeline.id}/executions$", system="buddy")

    @property
    def cancels(self) -> int:
        return self.world.emulator.ledger.count("PATCH", rf"/pipelines/{self.pipeline.id}/executions/\d+$", system="buddy")

    @property
    def state(self) -> str | None:
        return self.airflow.task(self.dag, self.run, "build")["state"]  # type: ignore[no-any-return]

    def log(self, try_number: int = 1) -> str:
        return "\n".join(self.airflow.log(self.dag, self.run, "build", try_number))

    def until(self, what: str, probe: Callable[[], Any], timeout: float = PATIENCE) -> None:
        """Wait; what is not seen in time is told with what there is instead."""

        def seen() -> Any:
            state = self.state
            if not (answer := probe()) and state == "failed" and not self.may_fail:
                raise TimeoutError(f"Never: {what}.")
            return answer

        try:
            until(what, seen, timeout, every=0.5)
        except TimeoutError as error:
            tries = self.airflow.task(self.dag, self.run, "build")["try_number"]
            raise TimeoutError(
                f"{error} Task {self.state}, try {tries}, {self.statuses}. Its log ends: {self.log(tries)[-3000:]}"
            ) from None

    def until_followed(self, state: str) -> None:
        """Wait until the task waits for its (last) execution, in ``state``."""
        reads = rf"/pipelines/{self.pipeline.id}/executions/\d+$"
        self.until(f"is {state}", lambda: self.state == state and bool(self.executions))
        known = self.world.emulator.ledger.count("GET", reads, system="buddy")
        self.until("polls", lambda: self.world.emulator.ledger.count("GET", reads, system="buddy") > known + 1)

    def finish(self) -> None:
        """Let the last execution succeed, and the run."""
        self.world.buddy.finish(self.executions[-1])
        self.until("the task has succeeded", lambda: self.state == "success")

    def check_result(self) -> None:
        """What the task has pushed, and what came of it."""
        self.airflow.wait_for_run(self.dag, self.run, timeout=PATIENCE)
        (execution,) = self.executions
        result = self.airflow.xcom(self.dag, self.run, "build")
        assert (result["ref"], result["phase"], result["outputs"]["IMAGE"]) == (execution.ref, "SUCCEEDED", "shop:1.2.3"), result
        assert self.airflow.xcom(self.dag, self.run, "announce") == "shop:1.2.3 is out"
        assert self.airflow.links(self.dag, self.run, "build") == {"Buddy execution": result["url"]}
        assert "checked out" in self.log()
        assert (self.starts, self.cancels) == (1, 0)
        self.check_no_note()

    def check_no_note(self) -> None:
        """What is kept in Variables for the next try is deleted at the end."""
        variables = self.airflow.get("variables", limit=100)["variables"]
        assert [one["key"] for one in variables if self.run in (one["description"] or "")] == []


Scenario = Callable[[World], "str | None"]
"""Returns a remark for the table, if there is one to be made."""


def sync_operator(world: World) -> None:
    task = world.follow("compat_sync", "sync")
    task.until_followed("running")
    task.finish()
    task.check_result()


def deferrable_operator(world: World) -> None:
    task = world.follow("compat_deferred", "deferred")
    task.until_followed("deferred")
    task.until("the remote log is shown while it is deferred", lambda: "checked out" in task.log())
    assert task.airflow.links(task.dag, task.run, "build")["Buddy execution"]
    assert task.state == "deferred"
    task.finish()
    task.check_result()


def other_systems(world: World) -> None:
    world.emulator.tracecat.add_workflow(
        tracecat.Workflow("scan", "scan", actions=[tracecat.Action("score", seconds=1)], returns={"severity": "high"})
    )
    world.emulator.alga_psa.add_rule(alga_psa.Rule("tell", [alga_psa.Action(seconds=1, log=["told"])]))
    run = world.airflow.trigger("compat_systems")
    world.airflow.wait_for_run("compat_systems", run, timeout=PATIENCE)
    assert world.airflow.xcom("compat_systems", run, "scan", "severity") == "high"
    assert world.airflow.xcom("compat_systems", run, "tell")["phase"] == "SUCCEEDED"


def killed_worker(world: World, mode: str) -> str | None:
    task = world.follow(f"compat_dying_{mode}", f"dying-{mode}")
    task.may_fail = version("apache-airflow") in KILLED_IS_FAILED
    task.until("the second try follows it", lambda: "Re-attaching to execution" in task.log(2) or task.state == "failed")
    if task.state == "failed":
        # Airflow loses a clear that arrives while its scheduler ends the run.
        world.airflow.wait_for_run(task.dag, task.run, "failed", timeout=PATIENCE)
        task.may_fail = False
        world.airflow.clear(task.dag, task.run, ["build"])
        task.until("a new execution runs, and the old one does not", lambda: task.statuses == ["TERMINATED", "INPROGRESS"])
        task.finish()
        return "not retried by Airflow; a clear cancels it and starts anew"
    task.finish()
    assert (task.starts, task.cancels, len(task.executions)) == (1, 0, 1)
    task.check_no_note()
    return None


def marked_failed(world: World, mode: str) -> None:
    task = world.follow(f"compat_{mode}", f"failed-{mode}")
    task.until_followed("running" if mode == "sync" else "deferred")
    task.may_fail = True
    world.airflow.set_task_state(task.dag, task.run, "build", "failed")
    task.until("the execution is cancelled", lambda: task.statuses == ["TERMINATED"])
    assert (task.starts, task.cancels, task.state) == (1, 1, "failed")


def cleared(world: World, mode: str) -> None:
    task = world.follow(f"compat_{mode}", f"cleared-{mode}")
    state = "running" if mode == "sync" else "deferred"
    task.until_followed(state)
    world.airflow.clear(task.dag, task.run, ["build"])
    task.until("a new execution runs, and the old one does not", lambda: task.statuses == ["TERMINATED", "INPROGRESS"])
    task.until_followed(state)
    task.finish()
    assert (task.starts, task.cancels, task.statuses) == (2, 1, ["TERMINATED", "SUCCESSFUL"])


def retried(world: World) -> str | None:
    """A retry after a failed execution starts one more, and is no clear."""
    world.pipeline("retried", seconds=1.0, status="FAILED")
    pipeline = world.buddy.find_pipeline("retried")
    task = Task(world, "compat_deferred", world.airflow.trigger("compat_deferred", {"pipeline": "retried"}), pipeline)
    task.may_fail = True
    tried_twice = {"state": "failed", "try_number": 2}
    task.until("the second try has failed", lambda: tried_twice.items() <= world.airflow.task(task.dag, task.run, "build").items())
    counted = task.starts, task.cancels, task.statuses
    if version("apache-airflow") in RETRY_IS_RESUMED:
        assert counted == (1, 0, ["FAILED"]), counted
        return "Airflow resumes the retry with the first end; nothing is started"
    assert counted == (2, 0, ["FAILED", "FAILED"]), (counted, task.log(1), task.log(2))
    return None


def sensor(world: World, mode: str) -> str | None:
    pipeline = world.pipeline(f"sensor-{mode}")
    execution, dag = world.buddy.add_execution(pipeline), f"compat_sensor_{mode}"
    run = world.airflow.trigger(dag, {"ref": execution.ref})
    path = f"/pipelines/{pipeline.id}/executions/{execution.id}$"
    until("polls", lambda: world.emulator.ledger.count("GET", path, system="buddy") > 2, PATIENCE)
    world.buddy.finish(execution)
    world.airflow.wait_for_run(dag, run, timeout=PATIENCE)
    result = world.airflow.xcom(dag, run, "wait")
    assert (result["ref"], result["phase"]) == (execution.ref, "SUCCEEDED"), result
    Task(world, dag, run, pipeline).check_no_note()
    if mode != "from_trigger" or not world.airflow.task(dag, run, "wait")["hostname"]:
        return None
    assert "starts in a worker: Airflow starts tasks in the triggerer from version 3.3 on" in "\n".join(world.airflow.log(dag, run, "wait"))
    return "begun by a worker, which says so"


def asset_watcher(world: World) -> None:
    """Ends of executions make runs; so does one that comes while there is no triggerer."""
    airflow, pipeline = world.airflow, world.buddy.find_pipeline("watched")
    path = f"/pipelines/{pipeline.id}/executions$"
    until("watches", lambda: world.emulator.ledger.count("GET", path, system="buddy") > 3, PATIENCE)

    def told() -> set[str]:
        runs = [run for run in airflow.get("dags/compat_watch/dagRuns", limit=100)["dag_runs"] if run["state"] == "success"]
        return {ref for run in runs for ref in airflow.xcom("compat_watch", run["dag_run_id"], "ended")}

    first, second = world.buddy.add_execution(pipeline), world.buddy.add_execution(pipeline)
    world.buddy.finish(first)
    until("a run for the first end", lambda: told() == {str(first.ref)}, PATIENCE, every=1.0)
    listed = world.emulator.ledger.count("GET", path, system="buddy")
    until("the memory is saved", lambda: world.emulator.ledger.count("GET", path, system="buddy") > listed + 3, PATIENCE)
    airflow.kill("triggerer")
    world.buddy.finish(second)
    third = world.buddy.add_execution(pipeline)
    world.buddy.finish(third)
    airflow.start("triggerer")
    until("runs for all ends", lambda: told() == {str(one.ref) for one in (first, second, third)}, PATIENCE, every=1.0)
    events = [event["extra"]["payload"]["ref"] for event in airflow.get("assets/events", limit=100)["asset_events"]]
    assert sorted(events) == sorted(str(one.ref) for one in (first, second, third)), events


def gate(world: World) -> None:
    """The example ``buddy_gate``: a person approves in Airflow."""
    (pipeline,), (run,) = asked(world, "gated")
    world.airflow.answer(GATE, run, "Approve")
    world.airflow.wait_for_run(GATE, run, timeout=PATIENCE)
    assert world.airflow.states(GATE, run) == {"release": "success", "gate": "success"}
    assert world.airflow.xcom(GATE, run, "gate", "URL") == "https://shop.example"
    assert [one.status for one in world.buddy.executions_of(pipeline)] == ["SUCCESSFUL"]


def metrics(world: World) -> None:
    """Metrics of a worker and of the triggerer arrive at a StatsD server."""
    task = world.follow("compat_deferred", "measured")
    task.until_followed("deferred")
    task.finish()
    for metric, *tags in (["starts"], ["requests"], ["polls"], ["deferred_waits"], ["waits", "phase=SUCCEEDED", "end=ended"]):
        until(f"{metric} arrives", partial(world.statsd.has, metric, "system=buddy", *tags), PATIENCE)


def other_ends_of_gates(world: World) -> None:
    """A person declines in Airflow, one opens the gate in Buddy, and one marks the task."""
    airflow = world.airflow
    pipelines, (declined, opened, marked) = asked(world, "declined", "opened", "marked")
    at_gate, opened_execution = (world.buddy.executions_of(pipelines[number])[0] for number in (2, 1))
    airflow.answer(GATE, declined, "Decline")
    world.buddy.approve(opened_execution, by="Zoe")
    airflow.set_task_state(GATE, marked, "gate", "failed")
    airflow.wait_for_task(GATE, declined, "gate", "skipped", timeout=PATIENCE)
    assert [one.status for one in world.buddy.executions_of(pipelines[0])] == ["TERMINATED"]
    airflow.wait_for_task(GATE, opened, "gate", "success", timeout=PATIENCE)
    assert airflow.required_action(GATE, opened)["chosen_options"] == ["Opened in Buddy by Zoe"]
    until("the question is closed", lambda: airflow.required_action(GATE, marked)["response_received"], PATIENCE)
    assert at_gate.status == "WAITING_FOR_APPLY"


def asked(world: World, *names: str) -> tuple[list[Pipeline], list[str]]:
    """Pipelines and runs of the example ``buddy_gate`` whose questions can be answered."""
    airflow = world.airflow
    after = Action("Deploy", seconds=0.2, outputs={"URL": "https://shop.example"})
    actions = [Action("Build", seconds=0.2), Gate("Approve"), after]
    pipelines = [world.buddy.add_pipeline(Pipeline(name, name, actions=actions)) for name in names]
    runs = [airflow.trigger(GATE, {"pipeline": name}) for name in names]
    for run in runs:
        until("the question is there", lambda run=run: airflow.states(GATE, run)["gate"] == "deferred", PATIENCE)  # type: ignore[misc]
        # An answer before the scheduler has heard of the deferral would count as the failure of the resumed task.
        until("the scheduler has heard of it", lambda run=run: heard_of_end(airflow, "gate", run), PATIENCE)  # type: ignore[misc]
    assert all("Approve (WAIT_FOR_APPLY)" in airflow.required_action(GATE, run)["body"] for run in runs)
    return pipelines, runs


def heard_of_end(airflow: LocalAirflow, task: str, run: str) -> bool:
    """Whether the scheduler has heard that a worker of a task has ended: it says so in its log."""
    lines = airflow.output.read_text(errors="replace").splitlines()
    return any("executor event with state success" in line and f"'{task}'" in line and f"'{run}'" in line for line in lines)


def commands(world: World) -> str | None:
    """What still runs is listed, shown and cancelled from a shell."""
    task = world.follow("compat_deferred", "commanded")
    task.until_followed("deferred")
    (execution,) = task.executions
    grouped = int(version("apache-airflow").split(".")[1]) >= 2
    start = ["airflow", "executions"] if grouped else [sys.executable, "-m", "airflow_provider"]

    def command(*arguments: str) -> str:
        done = subprocess.run([*start, *arguments], env=world.airflow.variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def active() -> dict[str, Any] | None:
        listed = {one["ref"]: one for one in json.loads(command("list", "--active", "--since", "0", "-o", "json"))}
        one: dict[str, Any] = listed[str(execution.ref)]
        return one if one["phase"] else None

    one = until("the task has noted the phase", active, PATIENCE)
    assert (one["system"], one["phase"], one["state"], one["dag_id"]) == ("buddy", "RUNNING", "deferred", task.dag), one
    assert json.loads(command("show", one["ref"], "-o", "json"))["phase"] == "RUNNING"
    assert "checked out" in command("logs", one["ref"])
    command("cancel", one["ref"], "--yes")
    task.may_fail = True
    task.until("the task sees it", lambda: "ended TERMINATED" in task.log())
    assert task.statuses[0] == "TERMINATED"
    world.airflow.set_run_state(task.dag, task.run, "failed")  # its retry
    return None if grouped else "`python -m airflow_provider`"


def audits(world: World) -> None:
    """The example ``audit_gate``, and an audit that reads in the triggerer."""
    definition = {"docker_image_name": "library/node", "docker_image_tag": "latest", "timeout": 300, "run_as_user": "node"}
    action = Action("Build", "RUN_DOCKER_CONTAINER", seconds=0.2, definition=definition)
    world.buddy.add_pipeline(Pipeline("audited", "audited", actions=[action]))
    reports = f"file://{world.folder}/reports"
    runs = {dag: world.airflow.trigger(dag, {"pipeline": "audited", "reports": reports}) for dag in ("audit_gate", "compat_audit")}
    for dag, run in runs.items():
        world.airflow.wait_for_run(dag, run, ["success", "failed"], timeout=PATIENCE)
        summary = world.airflow.xcom(dag, run, "audit")
        assert summary["findings"], summary
        assert world.airflow.states(dag, run)["audit"] == "success"
    assert list((world.folder / "reports").rglob("findings*.json"))


def replaced_worker(world: World) -> str:
    """A worker stands still between its note and its request, a second try takes over, then the first one wakes up."""
    file = world.folder / "standing"
    task = world.follow("compat_standing", "standing", standing=str(file))
    task.until("the worker stands still", lambda: file.exists() and len(file.read_text().split()) == 2)
    worker, supervisor = (int(pid) for pid in file.read_text().split())
    try:
        task.until("the second try has started an execution", lambda: len(task.executions) == 1 and task.state == "deferred")
    finally:
        for pid in (worker, supervisor):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
    (followed,) = task.executions
    # However far it comes: what it starts is not left running.
    task.until("the first worker has ended", lambda: not psutil.pid_exists(worker))
    task.until("only one runs", lambda: [one.ref for one in task.executions if one.status == "INPROGRESS"] == [followed.ref])
    world.buddy.finish(followed)
    task.until("the task has succeeded", lambda: task.state == "success")
    assert world.airflow.xcom(task.dag, task.run, "build", "ref") == str(followed.ref)
    return "yes (it started nothing)" if task.starts == 1 else "yes (its start was cancelled)"


def connection_form(world: World) -> None:
    """What the web interface is told about the fields of a connection, compared with the provider's description."""
    forms = {one["connection_type"]: one for one in world.airflow.of_interface("connections/hook_meta")}
    for described in get_provider_info()["connection-types"]:
        form = forms[described["connection-type"]]
        assert form["extra_fields"].keys() == described["conn-fields"].keys(), form
        for name, field in described["conn-fields"].items():
            shown = form["extra_fields"][name]
            assert (shown["schema"]["title"], shown["description"]) == (field["label"], field["description"]), shown
            assert shown["schema"].get("enum") == field["schema"].get("enum"), shown
            assert shown["schema"].get("format") == field["schema"].get("format"), shown
        for name, label in described["ui-field-behaviour"]["relabeling"].items():
            assert form["standard_fields"][name]["title"] == label, form
        assert form["standard_fields"]["url_schema"]["hidden"], form


def purge(world: World) -> None:
    """Old notes are deleted by the command, younger ones and other Variables stay."""
    ages = {"execution_note_old": 31, "execution_note_young": 1, "execution_watch_old": 31, "else": 31}
    for key, days in ages.items():
        world.airflow.post("variables", {"key": key, "value": json.dumps({"saved_at": time.time() - days * 24 * 3600.0, "value": {}})})
    command = [sys.executable, "-m", "airflow_provider.purge_notes"]
    for option, left in (["--dry-run"], set(ages)), ([], set(ages) - {"execution_note_old"}):
        said = subprocess.run([*command, *option], env=world.airflow.variables, capture_output=True, text=True, check=True).stdout
        assert "1 notes" in said, said
        assert "execution_note_old" in said, said
        assert {one["key"] for one in world.airflow.get("variables", limit=100)["variables"]} & set(ages) == left


TOGETHER: dict[str, Scenario] = {
    "operator in a worker: result, outputs downstream, log, link": sync_operator,
    "operator deferred: the same; log lines and link while deferred": deferrable_operator,
    "Tracecat and AlgaPSA deferred": other_systems,
    "worker killed after the start: the retry re-attaches, 1 start": partial(killed_worker, mode="sync"),
    "the same, deferrable": partial(killed_worker, mode="deferred"),
    "marked failed while running: cancelled": partial(marked_failed, mode="sync"),
    "marked failed while deferred: cancelled": partial(marked_failed, mode="deferred"),
    "cleared while running: cancelled, started anew": partial(cleared, mode="sync"),
    "cleared while deferred: cancelled, started anew": partial(cleared, mode="deferred"),
    "retry after a failed execution: one more start": retried,
    "sensor, poke": partial(sensor, mode="poke"),
    "sensor, reschedule": partial(sensor, mode="reschedule"),
    "sensor, deferrable": partial(sensor, mode="deferrable"),
    "sensor, `start_from_trigger`": partial(sensor, mode="from_trigger"),
    "gate opened among the required actions": gate,
    "gate declined there; opened in Buddy; its task marked": other_ends_of_gates,
    "commands: list, show, logs, cancel": commands,
    "metrics arrive at StatsD": metrics,
    "audits, in a worker and deferrable": audits,
    "the form of a connection, with the fields of its extra": connection_form,
    "the command deletes old notes, and nothing else": purge,
    "a replaced worker wakes up: nothing is left running": replaced_worker,
}
"""Side by side."""
LAST: dict[str, Scenario] = {"asset watcher; the triggerer dies, no end is lost": asset_watcher}
"""Afterwards: they kill components."""
TWO = "a second deployment with the same ids: follows its own, the first one's runs on while its Airflow is down"
"""With a second Airflow, after the first."""


def two_deployments(folder: Path, emulator: Emulator, first: Callable[[], Task]) -> Iterator[None]:
    """Between its two steps the first Airflow ends, which must not cancel anything."""
    task = first()
    task.until_followed("deferred")
    yield
    (theirs,) = task.executions
    assert theirs.status == "INPROGRESS", theirs.status
    with started(folder / "second", emulator) as world:
        # The same DAG, run and task, and its first request is lost.
        from airflow_provider.emulator import Fault

        emulator.faults.add(Fault("drop_before", method="POST", path=f"/pipelines/{task.pipeline.id}/executions$"))
        body = {"dag_run_id": task.run, "logical_date": None, "conf": {"pipeline": task.pipeline.name}}
        world.airflow.unpause(task.dag)
        world.airflow.post(f"dags/{task.dag}/dagRuns", body)
        second = Task(world, task.dag, task.run, task.pipeline)
        second.until("it has one of its own", lambda: len(second.executions) == 2)
        second.until_followed("deferred")
        second.may_fail = True
        second.airflow.set_task_state(second.dag, second.run, "build", "failed")
        second.until("its own is cancelled, the other not", lambda: second.statuses == ["INPROGRESS", "TERMINATED"])


@contextmanager
def started(home: Path, emulator: Emulator) -> Iterator[World]:
    """An Airflow with the scenarios' DAGs and two of the examples."""
    dags = home / "dags"
    shutil.copytree(DAGS, dags, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("buddy_gate", "audit_gate"):
        text = (EXAMPLE_DAGS / f"{name}.py").read_text()
        (dags / f"{name}.py").write_text(text.replace("poll_interval=5", "poll_interval=1"))
    connections = {conn_id: text for system in emulator.systems.values() for conn_id, text in system.connections.items()}
    settings = {
        "AIRFLOW__CORE__PARALLELISM": "6",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": str(HEARTBEAT_TIMEOUT),
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "15",  # watchers begin when their file is read after the DAG was unpaused
    }
    statsd = Received()
    with closing(statsd), database(home) as address:
        settings |= {**address, **statsd.settings}
        with LocalAirflow(home, dags=dags, connections=connections, settings=settings) as airflow:
            yield World(airflow, emulator, home, statsd)


@contextmanager
def database(home: Path) -> Iterator[dict[str, str]]:
    """Settings for a PostgreSQL of its own, if it is installed: on SQLite, workers and API server wait for each other's locks."""
    try:
        server = Postgres(free_ports(1)[0], home / "postgres.log")
    except LocalAirflowError:
        yield {}
        return
    try:
        server.start()
        yield {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{server.address}"}
    finally:
        server.remove()


def tried(title: str, scenario: Callable[[], str | None]) -> dict[str, Any]:
    """What came of a scenario."""
    begun, error, remark = time.monotonic(), None, None
    try:
        remark = scenario()
    except Exception:
        error = traceback.format_exc()
    seconds = round(time.monotonic() - begun, 1)
    print(f"  {'failed' if error else remark or 'yes'} ({seconds:g} s): {title}", error or "", flush=True)
    return {"error": error, "remark": remark, "seconds": seconds}


def main(out: Path, only: Sequence[str]) -> None:
    """Run the scenarios, and write what came of them."""

    def wanted(title: str) -> bool:
        return not only or any(part in title for part in only)

    results: dict[str, Any] = {}
    with TemporaryDirectory(prefix="compat-") as temporary, Emulator() as emulator:
        folder = Path(temporary)
        add_pipeline(emulator, "watched")
        with started(folder / "first", emulator) as world, ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            dags = sorted({dag["dag_id"] for dag in until("the DAGs are there", partial(all_dags, world.airflow))})
            world.airflow.unpause(*dags)
            under_way = {
                title: pool.submit(tried, title, partial(scenario, world)) for title, scenario in TOGETHER.items() if wanted(title)
            }
            results |= {title: future.result() for title, future in under_way.items()}
            results |= {title: tried(title, partial(scenario, world)) for title, scenario in LAST.items() if wanted(title)}
            if wanted(TWO):
                steps = two_deployments(folder, emulator, partial(world.follow, "compat_deferred", "shared"))
                results[TWO] = tried("(the first deployment)", partial(next, steps))
        if wanted(TWO) and not results[TWO]["error"]:
            results[TWO] = tried(TWO, partial(next, steps, None))
    out.write_text(json.dumps(results))


def all_dags(airflow: LocalAirflow) -> list[dict[str, Any]]:
    """All DAGs, once all are there and none has an error."""
    errors = airflow.get("importErrors")["import_errors"]
    if errors:
        raise RuntimeError(f"DAG files do not import: {[one['stack_trace'] for one in errors]}")
    dags = list(airflow.get("dags", limit=100, exclude_stale=False)["dags"])
    return dags if len(dags) == 14 else []


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
