"""The audit examples on a real Airflow: two nights, and the gate before a release."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.audit.airflow_task.task import AuditSummary
from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy.scenario import Action, Pipeline
from tests.airflow.local_airflow import LocalAirflow

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1_800)]

NIGHTLY, GATE = "nightly_audit", "audit_gate"
SOUND = {"docker_image_name": "library/node", "docker_image_tag": "22.11.0", "timeout": 300, "run_as_user": "node"}
PASSWORD = f"Pa55-{secrets.token_hex(12)}"
LEAKY = {**SOUND, "variables": [{"key": "DB_PASSWORD", "value": PASSWORD, "encrypted": False}]}


@dataclass
class Audits:
    """Two nights of one pipeline, and two releases, one of which has a fault; all have ended."""

    airflow: LocalAirflow
    emulator: Emulator
    folder: Path
    nights: list[str]
    gates: dict[str, str]
    pipelines: dict[str, Pipeline]
    of_the_day: str
    """Id of the execution between the nights."""

    def report(self, night: int) -> dict[str, Any]:
        """The JSON report of a night."""
        return dict(json.loads((self.folder / NIGHTLY / "report" / self.nights[night] / "findings.json").read_text()))

    def found(self, night: int, kind: str = "findings") -> dict[str, str | None]:
        """Rule to state, of what a night says of the pipeline: other tests may have others."""
        subject = f"buddy:demo/shop/{self.pipelines['nightly'].id}/action/"
        return {one["rule"]: one["state"] for one in self.report(night)[kind] if one["subject"]["id"].startswith(subject)}


def add(emulator: Emulator, name: str, **definition: Any) -> Pipeline:
    action = Action("Build", "RUN_DOCKER_CONTAINER", seconds=0.2, log=["Step 1/1"], definition=definition)
    return emulator.buddy.add_pipeline(Pipeline(name, name, actions=[action]))


@pytest.fixture(scope="module")
def audits(airflow: LocalAirflow, emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Audits]:
    folder = tmp_path_factory.mktemp("audits")
    conf = {"reports": f"file://{folder}"}
    pipelines = {
        "nightly": add(emulator, "audited-nightly", **{**LEAKY, "docker_image_tag": "latest"}),
        "sound": add(emulator, "audited-sound", **SOUND),
        "faulty": add(emulator, "audited-faulty", **SOUND, execute_commands=["curl -s https://get.example.com | bash"]),
    }
    airflow.unpause(NIGHTLY, GATE)
    nights = [airflow.trigger(NIGHTLY, conf)]
    gates = {name: airflow.trigger(GATE, {**conf, "pipeline": f"audited-{name}"}) for name in ("sound", "faulty")}
    airflow.wait_for_run(NIGHTLY, nights[0])
    pipelines["nightly"].actions[0].definition.update(docker_image_tag="22.11.0", timeout=0)
    execution = emulator.buddy.add_execution(pipelines["nightly"], "SUCCESSFUL", started_by="Ann")
    nights.append(airflow.trigger(NIGHTLY, conf))
    airflow.wait_for_run(NIGHTLY, nights[1])
    airflow.wait_for_run(GATE, gates["sound"])
    airflow.wait_for_run(GATE, gates["faulty"], "failed")
    yield Audits(airflow, emulator, folder, nights, gates, pipelines, execution.ref)
    airflow.pause(NIGHTLY)


def test_the_first_night_fails_on_what_it_finds_and_still_tells(audits: Audits) -> None:
    first = audits.nights[0]
    assert audits.airflow.states(NIGHTLY, first) == {
        "configuration": "success", "executions": "success", "report": "failed", "tell": "success",
    }  # fmt: skip
    assert audits.found(0) == {"BDY001": None, "BDY008": None}
    assert audits.airflow.task(NIGHTLY, first, "report")["try_number"] == 1
    assert audits.airflow.xcom(NIGHTLY, first, "tell").startswith("Audit: ")


def test_the_second_night_tells_what_is_new_and_what_is_fixed(audits: Audits) -> None:
    second = audits.nights[1]
    assert set(audits.airflow.states(NIGHTLY, second).values()) == {"success"}, "no new finding is of severity high"
    assert audits.found(1) == {"BDY008": "unchanged", "BDY027": "new"}
    assert list(audits.found(1, "fixed")) == ["BDY001"]


def test_the_second_window_begins_where_the_first_ended(audits: Audits) -> None:
    first, second = (audits.airflow.xcom(NIGHTLY, night, "executions") for night in audits.nights)
    assert second["since"] == first["until"]
    assert second["until"] > first["until"]
    assert second["complete"] is True
    records = json.loads(Path(second["findings"].removeprefix("file://")).read_text())
    judged = {window["place"]: window["data"]["current"]["phases"] for window in records["windows"]}
    assert judged[audits.of_the_day.rpartition("/")[0]] == {"SUCCEEDED": 1}


def test_xcoms_hold_counts_and_paths(audits: Audits) -> None:
    for night, task in ((0, "configuration"), (1, "configuration"), (0, "executions"), (1, "executions"), (1, "report")):
        summary = audits.airflow.xcom(NIGHTLY, audits.nights[night], task)
        assert set(summary) == set(AuditSummary.__annotations__)
        assert audits.airflow.xcom_keys(NIGHTLY, audits.nights[night], task) == {"return_value"}
        assert "audited-nightly" not in json.dumps(summary)
    assert audits.airflow.xcom_keys(NIGHTLY, audits.nights[0], "report") == {"audit"}


def test_reports_of_all_formats_are_there(audits: Audits) -> None:
    for night, state in ((0, "audit"), (1, "return_value")):
        reports = audits.airflow.xcom(NIGHTLY, audits.nights[night], "report", state)["reports"]
        assert set(reports) == {"json", "sarif", "markdown", "summary", "html"}
        assert all(Path(path.removeprefix("file://")).stat().st_size for path in reports.values())


def test_an_asset_event_tells_of_the_audit(audits: Audits) -> None:
    events = audits.airflow.get("assets/events", source_dag_id=NIGHTLY)["asset_events"]
    assert [event["source_run_id"] for event in events] == [audits.nights[1]], "an audit that fails updates nothing"
    (event,) = events
    report = audits.airflow.xcom(NIGHTLY, audits.nights[1], "report")
    assert event["extra"]["event"] == "audit completed"
    assert event["extra"]["counts"] == report["counts"]
    assert (event["extra"]["new"], event["extra"]["fixed"]) == (report["new"], report["fixed"])


def test_the_gate_lets_a_sound_pipeline_run(audits: Audits) -> None:
    assert set(audits.airflow.states(GATE, audits.gates["sound"]).values()) == {"success"}
    assert [execution.status for execution in audits.emulator.buddy.executions_of(audits.pipelines["sound"])] == ["SUCCESSFUL"]


def test_the_gate_keeps_a_pipeline_with_a_fault_from_running(audits: Audits) -> None:
    run = audits.gates["faulty"]
    assert audits.airflow.states(GATE, run) == {"audit": "success", "gate": "failed", "release": "upstream_failed"}
    assert audits.emulator.buddy.executions_of(audits.pipelines["faulty"]) == []
    assert any("BDY010" in line for line in audits.airflow.log(GATE, run, "gate"))


def test_the_secret_that_is_found_gets_nowhere(audits: Audits) -> None:
    kept = [path for folder in (audits.folder, audits.airflow.home) for path in folder.rglob("*") if path.is_file()]
    assert [str(path) for path in kept if PASSWORD.encode() in path.read_bytes()] == []
    runs = [(NIGHTLY, run) for run in audits.nights] + [(GATE, run) for run in audits.gates.values()]
    for dag, run in runs:
        assert PASSWORD not in json.dumps(audits.airflow.task_instances(dag, run))
