"""
Canaries on a real Airflow with debug logging on: credentials and secret values go through it, then all that it has kept is searched.

``tests/integration/test_canary.py`` takes every path, mode and fault; this looks into every place.
"""

from __future__ import annotations

import json
import secrets
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.emulator import Emulator, Fault, alga_psa, buddy, tracecat
from tests.airflow.held import HELD, let_end
from tests.airflow.local_airflow import LocalAirflow, until
from tests.airflow.otel_collector import Collector, collecting
from tests.airflow.test_release_train import stored_triggers
from tests.integration.test_canary import GITHUB, JWT, LINES, NESTED, OUTPUTS

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1_800)]

DAG = "canary"
SYSTEMS = ("buddy", "tracecat", "alga_psa")
CANARY = f"variable-{secrets.token_hex(12)}"
"""Value of the Airflow variable ``canary``, for secret arguments of tasks."""
MARK = "seen-by-the-search-4711"
"""No secret: shows that a search finds what is there."""
SAYS = f"it broke with {GITHUB} and {JWT}; {MARK}"


def add_scripts(emulator: Emulator) -> None:
    outputs = {**OUTPUTS, "IMAGE": MARK}
    lines = [*LINES, MARK]
    flagged = buddy.Action("Build", seconds=HELD, log=lines, outputs={**outputs, "FLAGGED": "x"}, encrypted_outputs=["FLAGGED"])
    broken = buddy.Action("Build", seconds=3.0, log=lines, status="FAILED", error_message=SAYS)
    emulator.buddy.add_pipeline(buddy.Pipeline("canary-good", actions=[flagged]))
    emulator.buddy.add_pipeline(buddy.Pipeline("canary-bad", actions=[broken]))
    nested = {**outputs, **NESTED}
    build = tracecat.Action("build", seconds=HELD)
    emulator.tracecat.add_workflow(tracecat.Workflow("canary-good", "canary-good", actions=[build], returns=nested))
    broken_action = tracecat.Action("build", seconds=3.0, error=SAYS)
    emulator.tracecat.add_workflow(tracecat.Workflow("canary-bad", "canary-bad", actions=[broken_action]))
    emulator.alga_psa.add_rule(alga_psa.Rule("canary-good", [alga_psa.Action(seconds=HELD, log=lines, output=nested)]))
    emulator.alga_psa.add_rule(alga_psa.Rule("canary-bad", [alga_psa.Action(seconds=3.0, log=lines, error=SAYS)]))


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def airflow(emulator: Emulator, collector: Collector, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    """One that tells all it knows, with nothing but the DAG."""
    dags = tmp_path_factory.mktemp("canary_dags")
    shutil.copy(Path(__file__).parent / "canary_dag.py", dags)
    connections = {f"{name}_default": system.connection_json() for name, system in emulator.systems.items()}
    # Without encryption, so that what lies in the database can be searched.
    settings = {"AIRFLOW__CORE__FERNET_KEY": "", "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG", "AIRFLOW_VAR_CANARY": CANARY}
    settings |= collector.settings
    with LocalAirflow(tmp_path_factory.mktemp("canary"), dags=dags, connections=connections, settings=settings) as airflow:
        yield airflow


def good_ones(emulator: Emulator) -> list[Any]:
    """The executions that are held."""
    held = [one for system in emulator.systems.values() for one in system.executions]
    return [one for one in held if not one.state.over and any(action.seconds == HELD for action in one.plan.script)]


@pytest.fixture(scope="module")
def left(airflow: LocalAirflow, emulator: Emulator, collector: Collector) -> dict[str, str]:
    """Place to all that is there after a run."""
    add_scripts(emulator)
    echoed = {"buddy": emulator.buddy.token, "tracecat": emulator.tracecat.key.key, "alga_psa": emulator.alga_psa.key.text}
    for name, system in emulator.systems.items():  # polls and starts are told their credential back
        body = system.error_body(502, f"no entry with {echoed[name]}")
        emulator.faults.add(Fault("status", path=f"^/{name}/.*execution", method="GET", status=502, body=body, after=2, times=6))
    airflow.unpause(DAG)
    run = airflow.trigger(DAG)
    for name in SYSTEMS:
        airflow.wait_for_deferred(DAG, run, f"{name}_good")
    triggers = set(stored_triggers(airflow))
    for execution in good_ones(emulator):
        let_end(execution)

    def ended() -> bool:
        triggers.update(stored_triggers(airflow))
        return airflow.run(DAG, run)["state"] in ("success", "failed")

    until("the run has ended", ended)
    emulator.faults.clear()
    texts = {"triggers": "\n".join(triggers), "events": json.dumps(airflow.get("eventLogs", limit=100, order_by="-event_log_id"))}
    for instance in airflow.task_instances(DAG, run):
        task = instance["task_id"]
        texts[f"{task}: rendered fields"] = json.dumps(instance)
        texts[f"{task}: links"] = json.dumps(airflow.links(DAG, run, task))
        texts[f"{task}: state"] = str(instance["state"])
        for number in range(1, instance["try_number"] + 1):
            texts[f"{task}: log {number}"] = json.dumps(airflow.log_entries(DAG, run, task, number))
        for key in airflow.xcom_keys(DAG, run, task):
            texts[f"{task}: XCom {key}"] = json.dumps(airflow.xcom(DAG, run, task, key))
    with closing(sqlite3.connect(f"{(airflow.home / 'airflow.db').as_uri()}?mode=ro", uri=True, timeout=30)) as database:
        for (table,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            texts[f"table {table}"] = "\n".join(map(str, database.execute(f'SELECT * FROM "{table}"')))
    for path in airflow.home.rglob("*"):
        if path.is_file():
            texts[f"file {path.relative_to(airflow.home)}"] = path.read_bytes().decode("latin-1")
    texts["metrics"] = b"".join(collector.bodies).decode("latin-1")
    return texts


def test_the_run_went_as_meant(left: dict[str, str]) -> None:
    states = {place.partition(":")[0]: text for place, text in left.items() if place.endswith(": state")}
    assert states == {
        f"{system}_{task}": "failed" if task == "bad" else "success" for system in SYSTEMS for task in ("good", "sensor", "bad")
    }
    for system in SYSTEMS:
        omitted = json.loads(left[f"{system}_good: XCom return_value"])["outputs_omitted"]
        assert set(omitted) >= set(OUTPUTS) - {"IMAGE"}
    assert "DEBUG" in left["buddy_good: log 1"].upper()


def test_the_search_finds_what_is_there(left: dict[str, str]) -> None:
    """The control: what is no secret is found in the same places, written by the same ways."""
    found = {place for place, text in left.items() if MARK in text}
    for system in SYSTEMS:
        assert f"{system}_good: XCom IMAGE" in found
        assert f"{system}_sensor: XCom return_value" in found
        assert f"{system}_bad: XCom execution" in found
        # Which try meets the refusals, and so can't read what broke, is up to the others' requests.
        assert found & {f"{system}_bad: log 1", f"{system}_bad: log 2"}
    assert "table xcom" in found
    assert any(place.startswith("file logs/") for place in found)
    assert "canary-good" in left["table rendered_task_instance_fields"]
    assert "airflow-" in left["table task_state_store"]
    assert "buddy_default" in left["triggers"]
    assert "airflow.executions.starts" in left["metrics"]
    assert DAG in left["events"]
    assert DAG in left["table log"]


@pytest.mark.usefixtures("left")
def test_metrics_arrive_at_opentelemetry(collector: Collector) -> None:
    """Those of workers, and those of the triggerer."""
    series = collector.series()
    for system in SYSTEMS:
        assert f"system={system}" in series["starts"]
        assert any(f"system={system}" in tags for tags in series["requests"])
        assert any(f"system={system}" in tags for tags in series["deferred_waits"])
        assert f"end=ended,phase=SUCCEEDED,system={system}" in series["waits"]


def test_no_canary_is_anywhere(left: dict[str, str], emulator: Emulator) -> None:
    words = {
        "Buddy's token": emulator.buddy.token,
        "Tracecat's key": emulator.tracecat.key.key,
        "AlgaPSA's key": emulator.alga_psa.key.text,
        "argument": CANARY,
        "GitHub": GITHUB,
        "JWT": JWT[-12:],
        "key": "canaryAgain",
        "by name": OUTPUTS["DEPLOY_TOKEN"],
        "nested": "canary-nested",
        "below": "canary-below",
    }
    assert all(any(word in str(entry.headers) for entry in emulator.ledger.entries) for word in list(words.values())[:3])
    assert any(CANARY.encode() in entry.body for entry in emulator.ledger.entries)
    assert [(place, name) for place, text in left.items() for name, word in words.items() if word in text] == []
