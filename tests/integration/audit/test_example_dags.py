"""The audit examples task by task, over real sockets; cron, asset and manual runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Action, Pipeline
from airflow_provider.errors import AuditFailed
from tests import harness
from tests.harness import Ended
from tests.integration.audit.test_collect import busy
from tests.integration.test_example_dags import EXAMPLES, AllSystems, PlayedRun, gate_answered
from tests.virtual_clock import VirtualClock

pytestmark = pytest.mark.long


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
        assert "**" not in text, "a log shows no Markdown"
        if state is None:  # the first night finds what is there, all of it new
            assert configuration["new"] == sum(configuration["counts"].values()) > 0
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
    audit = run.task("audit")
    assert isinstance(audit.error, AuditFailed)
    assert "demo/shop/gone" in str(audit.error)


def test_nightly_audit_that_can_not_read_or_reads_nothing_fails(emulator: Emulator, start: Any, clock: VirtualClock) -> None:
    def report(run_id: str) -> Any:
        clock.advance(24 * 3_600)
        run = start("nightly_audit", run_id)
        good(run.task("configuration"))
        good(run.task("executions"))
        return run.task("report")

    empty = report("manual__1")
    assert isinstance(empty.error, AuditFailed)
    assert "what was named does not exist, or is not visible: buddy:demo" in str(empty.error)
    add_pipeline(emulator)
    assert report("manual__2").state == "success"
    emulator.faults.add(Fault("status", status=403, path=r"/actions/\d+$", times=None))
    refused = report("manual__3")
    assert isinstance(refused.error, AuditFailed)
    assert "1 gap" in str(refused.error)


def test_nightly_audit_reads_the_executions_of_all_systems(emulator: Emulator, start: Any) -> None:
    busy(emulator)
    executions = good(start("nightly_audit").task("executions"))
    assert executions["subjects"]["execution"] >= 9


# The examples, audited by the example


def on_the_demonstration(start: Any, emulator: Emulator, clock: VirtualClock, customers: list[str]) -> set[str]:
    """
    Run every example as its documentation says, on the pipelines, workflows and rules of ``make airflow``.

    :returns: their names.
    """
    for system in emulator.systems.values():
        system.load_demo()
    pipeline = next(one for one in emulator.buddy.pipelines if one.name == "release")

    def elsewhere(pipeline: Pipeline) -> Any:
        """Somebody starts it, a little after the DAG run."""

        def begin(_: object) -> None:
            clock.advance(1)
            emulator.buddy.add_execution(pipeline, branch="main")

        return begin

    def every(dag_id: str, *task_ids: str, on_defer: Any = None, **conf: Any) -> PlayedRun:
        ran.add(dag_id)
        run: PlayedRun = start(dag_id, f"manual__{len(ran)}", **conf)
        for task_id in task_ids:
            hooks = {"on_defer": on_defer} if on_defer and task_id.startswith(("wait", "follow_up")) else {}
            good(run.task(task_id, **hooks))
        return run

    ran: set[str] = set()
    every("buddy_release", "release", "announce")
    every("buddy_release", pipeline="release-broken").task("release")
    every("buddy_run_docker_action", "definition", "run", "details", "report")
    every("buddy_wait_for_external", "wait", "built", "announce", on_defer=elsewhere(pipeline))
    every("buddy_wait_for_execution", "wait", ref=emulator.buddy.executions_of(pipeline)[0].ref)
    for name in ("api", "shop", "mailer"):
        one = emulator.buddy.add_pipeline(Pipeline(name, actions=pipeline.actions))
        every("buddy_no_worker_slot", f"wait_{name}", on_defer=elsewhere(one))
    every("buddy_asset")  # starts nothing: it reads what others started
    fan_out = every("buddy_fan_out", "variables", customers=customers)
    assert {one.state for one in fan_out.mapped("release", "variables")} == {"success"}
    for answer, state in (("Approve", "success"), ("Decline", "skipped")):
        asked = gate_answered(every("buddy_gate", "release"), answer, after=60)  # a person reads first
        assert asked.state == state, asked.text
    every("tracecat_incident", "enrich", "scored", "open_incident")
    event = next(rule for rule in emulator.alga_psa.rules if rule.name == "triage-on-event")
    fired: Any = lambda _: emulator.alga_psa.fire(event)  # noqa: E731
    every("alga_psa_rule", "execute", "report", "wants_follow_up", "follow_up", on_defer=fired, follow_up=event.name)
    every("release_train", "build", "scan", "tell", "announce")
    every("audit_gate", "audit", "gate", "release")
    return ran


@pytest.mark.long
def test_the_examples_pass_the_audit_of_the_examples(emulator: Emulator, start: Any, clock: VirtualClock) -> None:
    customers = [f"customer-{number}" for number in range(12)]
    ran = on_the_demonstration(start, emulator, clock, customers)
    assert ran | {"nightly_audit"} == {path.stem for path in EXAMPLES.glob("*.py")}
    clock.advance(60)
    nightly = start("nightly_audit", "nightly")
    good(nightly.task("configuration"))
    good(nightly.task("executions"))
    report = nightly.task("report")
    found = json.loads(Path((report.xcoms.get("audit") or report.result)["findings"].removeprefix("file://")).read_text())
    high = [
        f"{one['rule']} {one['subject']['id']}: {one['message']}" for one in found["findings"] if one["severity"] in ("high", "critical")
    ]
    assert high == []
    assert report.state == "success", f"{report.error!r}"
