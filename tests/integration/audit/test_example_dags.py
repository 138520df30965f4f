"""The audit examples task by task, over real sockets; cron, asset and manual runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Pipeline
from airflow_provider.errors import AuditFailed
from tests import harness
from tests.harness import Ended
from tests.integration.audit.test_collect import busy
from tests.integration.test_example_dags import AllSystems, PlayedRun
from tests.virtual_clock import VirtualClock


@pytest.fixture(autouse=True)
def _folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "0")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.fixture
def start(emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Begins a run of an example."""

    def begin(dag_id: str, run_id: str = "manual__1", **conf: Any) -> PlayedRun:
        monkeypatch.setattr(harness, "RUN_ID", run_id)
        return PlayedRun(AllSystems(emulator), dag_id, reports=f"file://{tmp_path}/reports", **conf)

    return begin


def good(ended: Ended) -> Any:
    assert ended.state == "success", f"{ended.error!r}\n{ended.text}"
    return ended.result


def add_pipeline(emulator: Emulator, tag: str = "22.11.0") -> Pipeline:
    definition = {"docker_image_name": "library/node", "docker_image_tag": tag, "timeout": 300, "run_as_user": "node"}
    action = Action("Build", "RUN_DOCKER_CONTAINER", seconds=0.1, definition=definition)
    return emulator.buddy.add_pipeline(Pipeline("release", "release", actions=[action]))


@pytest.mark.parametrize("run_id", ["scheduled__2026-01-01T03:00:00+00:00", "asset_triggered__1", "manual__1"])
def test_nightly_audit_compares_with_the_night_before(emulator: Emulator, start: Any, clock: VirtualClock, run_id: str) -> None:
    pipeline = add_pipeline(emulator)
    busy(emulator)
    for run_number, tag, state in (
        ("0", "22.11.0", None),
        ("1", "22.11.0", "success"),
        ("2", "latest", "failed"),
        ("3", "latest", "success"),
    ):
        clock.advance(86_400)
        pipeline.actions[0].definition["docker_image_tag"] = tag
        run = start("nightly_audit", f"{run_id}.{run_number}")
        configuration, executions = good(run.task("configuration")), good(run.task("executions"))
        report = run.task("report")
        text = good(run.task("tell"))
        assert run.all_ran()
        assert text.startswith("Audit: ")
        if state is None:  # the first night finds what is there
            since = executions["until"]
            continue
        assert report.state == state, f"{report.error!r}"
        assert executions["since"] == since
        since = executions["until"]
        assert configuration["new"] == (2 if run_number == "2" else 0), "the tag, and that it changed"
    assert isinstance(run.tasks["report", -1].run().xcoms["return_value"], dict)


def test_nightly_audit_tells_of_itself_by_an_asset(emulator: Emulator, start: Any) -> None:
    add_pipeline(emulator)
    run = start("nightly_audit")
    good(run.task("configuration"))
    good(run.task("executions"))
    good(run.task("report"))
    [event] = next(body["outlet_events"] for body in run.tasks["report", -1].api.sent("PATCH", "/state") if body.get("outlet_events"))
    assert event["extra"]["event"] == "audit completed"


def test_a_clean_pipeline_passes_the_gate(emulator: Emulator, start: Any) -> None:
    add_pipeline(emulator)
    run = start("audit_gate")
    good(run.task("audit"))
    good(run.task("gate"))
    assert good(run.task("release"))["phase"] == "SUCCEEDED"
    assert run.all_ran()


@pytest.mark.parametrize("audits", [1, 2])
def test_a_finding_blocks_the_release_every_time(emulator: Emulator, start: Any, audits: int) -> None:
    add_pipeline(emulator, tag="latest")
    for number in range(audits):
        run = start("audit_gate", f"manual__{number}")
        good(run.task("audit"))
        gate = run.task("gate")
    assert isinstance(gate.error, AuditFailed)
    assert gate.state == "failed", "a retry would find the same"
    found = json.loads(Path(gate.xcoms["audit"]["findings"].removeprefix("file://")).read_text())
    assert "BDY001" in [finding["rule"] for finding in found["findings"]]


def test_a_pipeline_that_is_not_there_blocks_the_release(emulator: Emulator, start: Any) -> None:
    add_pipeline(emulator)
    run = start("audit_gate", pipeline="gone")
    good(run.task("audit"))
    assert isinstance(run.task("gate").error, AuditFailed)


def test_nightly_audit_reads_the_executions_of_all_systems(emulator: Emulator, start: Any) -> None:
    busy(emulator)
    executions = good(start("nightly_audit").task("executions"))
    assert executions["subjects"]["execution"] >= 9
