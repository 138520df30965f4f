"""
What the rest of a platform sees of executions, on a real Airflow: metrics at a StatsD server, lineage in a file, and the commands.

All are sent by processes of Airflow's own: workers, a triggerer, the command line.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy.scenario import Action, Pipeline
from tests.airflow.held import HELD
from tests.airflow.local_airflow import LocalAirflow, until
from tests.airflow.statsd_server import Received

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1_800)]

DAG = """
from airflow.sdk import DAG, task
from airflow_provider.buddy.operators import BuddyRunPipelineOperator

with DAG("platform", schedule=None):
    @task
    def foreign(ti=None):
        ti.xcom_push("ref", "refs/heads/main")

    foreign()
    quick = dict(pipeline="platform-quick", poll_interval=1, buddy_conn_id="buddy_stored")
    BuddyRunPipelineOperator(task_id="in_worker", deferrable=False, **quick)
    BuddyRunPipelineOperator(task_id="in_triggerer", deferrable=True, **quick)
    BuddyRunPipelineOperator(task_id="failing", deferrable=True, **{**quick, "pipeline": "platform-failing"})
    BuddyRunPipelineOperator(task_id="held", deferrable=True, **{**quick, "pipeline": "platform-held"})
"""


@pytest.fixture(scope="module")
def statsd() -> Iterator[Received]:
    received = Received()
    yield received
    received.close()


@pytest.fixture(scope="module")
def events_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lineage") / "events.jsonl"


@pytest.fixture(scope="module")
def run(
    emulator: Emulator, statsd: Received, events_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[LocalAirflow, str]]:
    """A run of the DAG whose task ``held`` still waits; all others have ended."""
    for name, action in {
        "quick": Action("Build", seconds=0.5, log=["hello"], outputs={"IMAGE": "shop:1.2.3"}),
        "failing": Action("Test", status="FAILED", log=["no"], error_message="no"),
        "held": Action("Deploy", seconds=HELD),
    }.items():
        emulator.buddy.add_pipeline(Pipeline(f"platform-{name}", actions=[action]))
    dags = tmp_path_factory.mktemp("platform_dags")
    (dags / "platform.py").write_text(DAG)
    settings = {
        **statsd.settings,
        "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(events_file), "append": True}),
        "AIRFLOW__OPENLINEAGE__NAMESPACE": "test",
    }
    with LocalAirflow(tmp_path_factory.mktemp("platform"), dags=dags, settings=settings) as airflow:
        stored = json.loads(emulator.buddy.connection_json(workspace="demo", project="shop"))
        airflow.post("connections", {**stored, "connection_id": "buddy_stored", "extra": json.dumps(stored.get("extra", {}))})
        airflow.wait_for_dag("platform")
        run = airflow.trigger("platform")
        airflow.unpause("platform")
        for task, state in {"foreign": "success", "in_worker": "success", "in_triggerer": "success", "failing": "failed"}.items():
            airflow.wait_for_task("platform", run, task, state)
        airflow.wait_for_deferred("platform", run, "held")
        yield airflow, run


def command(airflow: LocalAirflow, *arguments: str) -> str:
    done = subprocess.run(
        ["airflow", "executions", *arguments], env=airflow._variables, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_metrics_arrive_from_workers_and_the_triggerer(run: tuple[LocalAirflow, str], statsd: Received) -> None:
    until("the metrics of all four", lambda: statsd.sum("starts,system=buddy") == 4)
    assert statsd.sum("waits,system=buddy,phase=SUCCEEDED,end=ended") == 2
    assert statsd.sum("waits,system=buddy,phase=FAILED,end=ended") == 1
    assert statsd.sum("requests,system=buddy,status=") > 8
    gauge = re.compile(r"airflow\.executions\.deferred_waits,system=buddy,phase=RUNNING,hostname=[\w.-]+:1\|g")
    assert any(gauge.fullmatch(line) for line in statsd.lines)
    assert any(line.startswith("airflow.executions.detection_delay,system=buddy:") for line in statsd.lines)


def test_lineage_names_the_execution(run: tuple[LocalAirflow, str], events_file: Path) -> None:
    airflow, run_id = run

    def ended() -> dict[str, dict[str, Any]]:
        events = [json.loads(line) for line in events_file.read_text().splitlines()]
        over = [event for event in events if event["eventType"] in ("COMPLETE", "FAIL")]
        return {event["job"]["name"]: event for event in over if "." in event["job"]["name"]}

    names = {"in_worker": "SUCCEEDED", "in_triggerer": "SUCCEEDED", "failing": "FAILED"}
    events = until("the events", lambda: found if len(found := ended()) >= 3 else None)
    for task, phase in names.items():
        event = events[f"platform.{task}"]
        assert event["eventType"] == ("FAIL" if task == "failing" else "COMPLETE")
        facets = event["run"]["facets"]
        ref, url = (airflow.xcom("platform", run_id, task, key) for key in ("ref", "url"))
        ours = {name: value for name, value in facets["executions_execution"].items() if not name.startswith("_")}
        assert ours == {"system": "buddy", "ref": ref, "url": url, "phase": phase}
        assert facets["externalQuery"]["externalQueryId"] == ref
        assert url.startswith(f"{facets['externalQuery']['source']}/")
        assert facets["parent"]["job"]["name"] == "platform"


def test_the_commands_know_the_database(run: tuple[LocalAirflow, str], emulator: Emulator) -> None:
    airflow, run_id = run
    listed = {one["task_id"]: one for one in json.loads(command(airflow, "list", "-o", "json"))}
    assert {task: (one["phase"], one["state"]) for task, one in listed.items()} == {
        "in_worker": ("SUCCEEDED", "success"),
        "in_triggerer": ("SUCCEEDED", "success"),
        "failing": ("FAILED", "failed"),
        "held": ("RUNNING", "deferred"),
    }
    held = listed["held"]
    assert (held["system"], held["dag_id"], held["run_id"]) == ("buddy", "platform", run_id)
    assert held["url"] == airflow.xcom("platform", run_id, "held", "url")
    [active] = json.loads(command(airflow, "list", "--active", "--since", "0", "-o", "json"))
    assert active == held
    assert command(airflow, "list", "--dag-id", "other").strip() == "No executions."
    shown = json.loads(command(airflow, "show", held["ref"], "--conn-id", "buddy_stored", "-o", "json"))
    assert shown["phase"] == "RUNNING"
    command(airflow, "cancel", held["ref"], "--conn-id", "buddy_stored", "--yes")
    airflow.wait_for_task("platform", run_id, "held", "failed")
