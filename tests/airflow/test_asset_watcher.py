"""A DAG that runs when somebody else's execution ends, on an Airflow of its own, whose triggerer dies in between."""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.scenario import Action, Pipeline
from tests.airflow.local_airflow import EXAMPLE_DAGS, LocalAirflow, until

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1_800)]

DAG = "buddy_asset"
BUILD = Action("Build", seconds=0.1, outputs={"IMAGE": "shop:1.2.3", "DEPLOY_TOKEN": "hunter2-hunter2"})
HELD = Action("Deploy", seconds=math.inf)  # ends when the test says so


@pytest.fixture(scope="module")
def pipeline(emulator: Emulator) -> Pipeline:
    return emulator.buddy.add_pipeline(Pipeline("release", actions=[BUILD, HELD]))


@pytest.fixture(scope="module")
def watching(emulator: Emulator, pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """An Airflow with nothing but the example, which looks every second."""
    dags = tmp_path_factory.mktemp("dags")
    text = (EXAMPLE_DAGS / f"{DAG}.py").read_text()
    assert "poll_interval=30" in text
    (dags / f"{DAG}.py").write_text(text.replace("poll_interval=30", "poll_interval=1"))
    connections = {"buddy_default": emulator.buddy.connection_json()}
    # They are watched from when the file is read after the DAG was unpaused.
    settings = {"AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5"}
    with LocalAirflow(tmp_path_factory.mktemp("airflow"), dags=dags, connections=connections, settings=settings) as airflow:
        airflow.unpause(DAG)
        yield airflow


def noted(airflow: LocalAirflow) -> dict[str, Any]:
    """What the watcher remembers."""
    with sqlite3.connect(f"file:{airflow.home / 'airflow.db'}?mode=ro", uri=True, timeout=30) as database:
        rows = database.execute("SELECT value FROM asset_state_store").fetchall()
    return dict(json.loads(rows[0][0])) if rows else {}


def events(airflow: LocalAirflow) -> list[dict[str, Any]]:
    """What the asset was told, oldest first."""
    return [event["extra"]["payload"] for event in airflow.get("assets/events", order_by="timestamp", limit=100)["asset_events"]]


def wait_for_runs(airflow: LocalAirflow, *refs: str) -> None:
    """Wait until runs of the DAG have succeeded that consumed the ends of these executions, each once, and no others."""

    def consumed() -> bool:
        runs = [run for run in airflow.get(f"dags/{DAG}/dagRuns", limit=100)["dag_runs"] if run["state"] == "success"]
        said = [text for run in runs for text in airflow.xcom(DAG, run["dag_run_id"], "announce")]
        return len(said) == len(refs) and all(any(f" by {ref}," in text for text in said) for ref in refs)

    until(f"runs for {', '.join(refs)}", consumed)


def start(emulator: Emulator, pipeline: Pipeline, branch: str = "main") -> Execution:
    return emulator.buddy.add_execution(pipeline, branch=branch)


def test_a_dag_runs_when_an_execution_ends_and_none_is_lost_with_the_triggerer(
    watching: LocalAirflow, emulator: Emulator, pipeline: Pipeline
) -> None:
    buddy = emulator.buddy
    early = start(emulator, pipeline)
    buddy.finish(early)
    until("the first look is noted", lambda: noted(watching))
    overlapping, first = start(emulator, pipeline), start(emulator, pipeline)
    elsewhere, failed = start(emulator, pipeline, "feature"), start(emulator, pipeline)
    buddy.finish(first)
    buddy.finish(elsewhere)
    buddy.finish(failed, "FAILED")
    wait_for_runs(watching, first.ref)
    until("all are noted", lambda: set(noted(watching)["active"]) == {overlapping.ref} and len(noted(watching)["seen"]) >= 3)

    watching.kill("triggerer")
    buddy.finish(overlapping)
    missed = start(emulator, pipeline)
    buddy.finish(missed)
    watching.start("triggerer")

    wait_for_runs(watching, first.ref, overlapping.ref, missed.ref)
    told = events(watching)
    assert sorted(event["ref"] for event in told) == sorted([first.ref, overlapping.ref, missed.ref]), "each once"
    assert {event["phase"] for event in told} == {"SUCCEEDED"}
    assert all(event["outputs"] == {"IMAGE": "shop:1.2.3"} for event in told)
    assert all(set(event["outputs_omitted"]) == {"DEPLOY_TOKEN"} for event in told)
    assert all(event["url"] for event in told)
    assert "hunter2" not in json.dumps(told)
    assert buddy.token not in watching.output.read_text(errors="replace")
