"""Buddy in the mechanism's words: statuses, refs, snapshots, flows over the emulator."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider import errors
from airflow_provider.buddy.api import models, requests
from airflow_provider.buddy.api.error_texts import BuddyApiErrors
from airflow_provider.buddy.executions import lost_starts
from airflow_provider.buddy.executions.action_view import ActionView
from airflow_provider.buddy.executions.adapter import BuddyAdapter
from airflow_provider.buddy.executions.logs import PAGE as LOG_PAGE
from airflow_provider.buddy.executions.logs import TAIL
from airflow_provider.buddy.executions.lost_starts import CLOCK_AHEAD
from airflow_provider.buddy.executions.mapping import PHASES, phase_of, snapshot_of
from airflow_provider.buddy.ref import BuddyRef
from airflow_provider.emulator import Emulator, Fault, ManualClock
from airflow_provider.emulator.buddy import Action, Gate, Pipeline
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.senders import Sender
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import LastAnswer
from airflow_provider.execution.model.snapshot import Cursor, LogLine, Snapshot
from airflow_provider.execution.waiting.wait import Wait, WaitState

REF = BuddyRef("demo", "shop", 1, 7)


@pytest.fixture
def sender(emulator: Emulator) -> Iterator[Sender]:
    headers = (("authorization", f"Bearer {emulator.buddy.token}"),)
    endpoint = Endpoint("buddy", "Buddy", "c", emulator.buddy.url, headers, BuddyApiErrors(), timeout=60.0)
    with Sender(endpoint) as sender:
        yield sender


# Statuses and refs


@given(st.text() | st.sampled_from([*PHASES, "WAITING_FOR_", "waiting_for_apply", " FAILED"]))
def test_every_status_has_a_phase(status: str) -> None:
    phase = phase_of(status)
    assert isinstance(phase, Phase)
    if status not in PHASES:
        assert phase is (Phase.WAITING if status.startswith("WAITING_FOR_") else Phase.UNKNOWN)
        assert not phase.ended


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("INITIAL", "QUEUED"), ("ENQUEUED", "QUEUED"), ("INPROGRESS", "RUNNING"), ("TERMINATING", "STOPPING"), ("SUCCESSFUL", "SUCCEEDED"),
        ("FAILED", "FAILED"), ("TERMINATED", "CANCELLED"), ("SKIPPED", "SKIPPED"), ("NOT_EXECUTED", "SKIPPED"),
        ("WAITING_FOR_APPLY", "WAITING"), ("WAITING_FOR_VARIABLES", "WAITING"), ("WAITING_FOR_SETTABLE_VARIABLES", "WAITING"),
        ("WAITING_FOR_VT_SESSION", "WAITING"), ("WAITING_FOR_GODOT", "WAITING"), ("PAUSED", "UNKNOWN"), ("", "UNKNOWN"),
    ],
)  # fmt: skip
def test_the_status_table(status: str, phase: str) -> None:
    assert phase_of(status) is Phase(phase)


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("demo/shop/89/4098", BuddyRef("demo", "shop", 89, 4098)),
        ("demo/shop/89/4098/fsm47naztg9n35", BuddyRef("demo", "shop", 89, 4098, "fsm47naztg9n35")),
        (" demo/my shop/89/4098\n", BuddyRef("demo", "my shop", 89, 4098)),
        (BuddyRef("a", "b", 1, 2), BuddyRef("a", "b", 1, 2)),
    ],
)
def test_refs(text: object, ref: BuddyRef) -> None:
    assert BuddyRef.parse(text) == ref
    assert BuddyRef.parse(str(ref)) == ref


@pytest.mark.parametrize("text", [
    "", "4098", "shop/89/4098", "a/b/c/4098", "a/b/89/x", "a/b/89/-1", "a/b/89/4.5", "a/b/89/4098/", "a//89/4098", "/b/89/4098", "a/ /1/2",
    "a/b/1/2/c/d", None, 5, "a/b/89/\u0661", "\uff18", "a/b/\uff18/1", "../b/89/1", "a/../89/1", "a/b/89/1/..",
    "https://app.buddy.works/a/b/pipelines/pipeline/89", "x" * 100_000,
])  # fmt: skip
def test_what_is_no_ref(text: object) -> None:
    with pytest.raises(errors.ConfigurationError, match=r"It looks like workspace/project/89/4098") as raised:
        BuddyRef.parse(text)
    assert len(str(raised.value)) < 500


_NAMES = st.text(min_size=1).filter(lambda name: "/" not in name and name.strip() == name)


@given(_NAMES, _NAMES, st.integers(0, 10**12), st.integers(0, 10**12), st.none() | _NAMES)
def test_a_ref_survives_its_text(workspace: str, project: str, pipeline: int, execution: int, action: str | None) -> None:
    ref = BuddyRef(workspace, project, pipeline, execution, action)
    assert BuddyRef.parse(str(ref)) == ref


# Snapshots


def snapshot(status: str = "INPROGRESS", *actions: Any, **fields: Any) -> Snapshot:
    items = [action if isinstance(action, dict) else {"status": action} for action in actions]
    return snapshot_of(REF, models.Execution.model_validate({"id": 7, "status": status, "action_executions": items, **fields}))


def action(status: str, name: str = "Build", **fields: Any) -> dict[str, Any]:
    about = {"id": 3, "name": name, "type": "BUILD", **fields.pop("action", {})}
    return {"action_execution_id": f"id-{name}", "status": status, "action": about, **fields}


@pytest.mark.parametrize(
    ("status", "actions", "phase", "shown"),
    [
        ("WAITING_FOR_APPLY", ["SUCCESSFUL", "WAITING_FOR_APPLY"], Phase.WAITING, "WAITING_FOR_APPLY"),
        ("WAITING_FOR_VARIABLES", [], Phase.WAITING, "WAITING_FOR_VARIABLES"),
        ("WAITING_FOR_APPLY", ["INPROGRESS"], Phase.WAITING, "WAITING_FOR_APPLY"),
        ("INPROGRESS", ["SUCCESSFUL", "WAITING_FOR_APPLY", "ENQUEUED"], Phase.WAITING, "WAITING_FOR_APPLY"),
        ("INPROGRESS", ["WAITING_FOR_APPLY", "INPROGRESS"], Phase.RUNNING, "INPROGRESS"),
        ("INPROGRESS", ["INPROGRESS", "ENQUEUED"], Phase.RUNNING, "INPROGRESS"),
        ("INPROGRESS", [], Phase.RUNNING, "INPROGRESS"),
        ("ENQUEUED", ["WAITING_FOR_APPLY"], Phase.QUEUED, "ENQUEUED"),
        ("TERMINATING", ["WAITING_FOR_APPLY"], Phase.STOPPING, "TERMINATING"),
        ("FAILED", ["FAILED", "WAITING_FOR_APPLY"], Phase.FAILED, "FAILED"),
        ("SUCCESSFUL", ["SUCCESSFUL", "ENQUEUED"], Phase.SUCCEEDED, "SUCCESSFUL"),
        ("HIBERNATING", ["WAITING_FOR_APPLY"], Phase.UNKNOWN, "HIBERNATING"),
    ],
)
def test_a_gate_shows_in_the_status_of_the_execution_or_only_in_an_actions(
    status: str, actions: list[str], phase: Phase, shown: str
) -> None:
    seen = snapshot(status, *actions)
    assert (seen.phase, seen.status) == (phase, shown)
    assert seen.waiting_for is None or phase is Phase.WAITING


def test_what_is_waited_for_names_all_gates() -> None:
    gates = [action("WAITING_FOR_APPLY", "Approve", action={"type": "WAIT_FOR_APPLY"}), action("WAITING_FOR_VT_SESSION", "Look")]
    assert snapshot("INPROGRESS", *gates).waiting_for == "Approve (WAIT_FOR_APPLY); Look (BUILD)"


@pytest.mark.parametrize(
    ("status", "actions", "partial"),
    [
        ("SUCCESSFUL", [action("SUCCESSFUL")], None),
        ("SUCCESSFUL", [action("FAILED", "Lint", action={"ignore_errors": True}), action("SUCCESSFUL")], "failed all the same: Lint"),
        ("SUCCESSFUL", [action("FAILED", "Lint"), action("FAILED", "Scan")], "failed all the same: Lint, Scan"),
        ("SUCCESSFUL", [action("SKIPPED"), action("NOT_EXECUTED"), action("ENQUEUED")], None),
        ("FAILED", [action("FAILED", "Lint")], None),
    ],
)
def test_success_in_part(status: str, actions: list[Any], partial: str | None) -> None:
    assert snapshot(status, *actions).partial == partial


@pytest.mark.parametrize(
    ("statuses", "settled"),
    [
        ([], True), (["SUCCESSFUL"], True), (["SUCCESSFUL", "ENQUEUED"], True), (["FAILED", "INITIAL", "NOT_EXECUTED"], True),
        (["SUCCESSFUL", "INPROGRESS"], False), (["TERMINATING"], False), (["WAITING_FOR_APPLY"], True),
    ],
)  # fmt: skip
def test_an_end_is_settled_when_no_action_moves_any_more(statuses: list[str], settled: bool) -> None:
    assert snapshot("FAILED", *statuses).settled is settled


def test_who_did_what() -> None:
    seen = snapshot(
        "TERMINATED",
        action("SUCCESSFUL", "Approve", approver_id=1, approval_date="2026-01-02T03:04:05.5Z",
               outputted_variables=[{"key": "BUDDY_APPROVING_ACTOR", "value": "Mike"}]),
        action("TERMINATED", "Deploy", terminator_id=2, termination_date="2026-01-02T04:04:05Z"),
        creator={"id": 3, "name": "Ann"},
    )  # fmt: skip
    assert seen.actor == {
        "started_by": "Ann", "starter_id": 3, "approved_by": "Mike", "approver_id": 1, "approved_at": "2026-01-02T03:04:05.500000+00:00",
        "cancelled_by": 2, "cancelled_at": "2026-01-02T04:04:05+00:00",
    }  # fmt: skip
    assert seen.steps[0].actor == {"approved_by": "Mike", "approver_id": 1, "approved_at": "2026-01-02T03:04:05.500000+00:00"}
    assert seen.steps[1].actor == {"cancelled_by": 2, "cancelled_at": "2026-01-02T04:04:05+00:00"}


def test_nobody_is_none() -> None:
    seen = snapshot("SUCCESSFUL", "SUCCESSFUL")
    assert (seen.actor, seen.steps[0].actor) == (None, None)


@pytest.mark.parametrize(
    ("actions", "progress"),
    [
        ([], None),
        ([{"status": "INPROGRESS", "progress": 50}], 50.0),
        ([{"status": "SUCCESSFUL"}, {"status": "INPROGRESS", "progress": 50}, {"status": "ENQUEUED"}], 50.0),
        ([{"status": "FAILED", "progress": 10}, {"status": "SKIPPED"}], 100.0),
    ],
)
def test_progress(actions: list[Any], progress: float | None) -> None:
    assert snapshot("INPROGRESS", *actions).progress == progress


def test_an_action_without_name_has_one() -> None:
    steps = snapshot("FAILED", {"action": {"id": 5}}, {}, {"action": {"name": "Build"}}).steps
    assert [step.name for step in steps] == ["action 5", "action", "Build"]


def test_a_failed_actions_message_is_the_reason_and_a_tolerated_failure_is_not() -> None:
    tolerated = action("FAILED", "Lint", error_message="too long", action={"ignore_errors": True})
    broken = action("FAILED", "Test", error_message="1 failed")
    assert snapshot("FAILED", action("SUCCESSFUL", error_message="old"), broken).error == "1 failed"
    assert snapshot("FAILED", tolerated, broken).error == "1 failed"


SECRET = "s3cr3t-canary-value"


@pytest.mark.parametrize(
    "variable",
    [
        {"key": "DEPLOY_TOKEN", "value": SECRET},
        {"key": "HARMLESS", "value": SECRET, "encrypted": True},
        {"key": "HARMLESS", "value": f"!encrypted {SECRET}"},
        {"key": "HARMLESS", "value": f"secure!{SECRET}"},
        {"key": "HARMLESS", "value": "ghp_" + "a" * 30 + SECRET.replace("-", "")},
        {"key": "DEPLOY_TOKEN", "defaults": SECRET},
        {"key": "HARMLESS", "defaults": SECRET, "encrypted": True},
        {"key": "HARMLESS", "defaults": f"!encrypted {SECRET}"},
        {"key": "HARMLESS", "defaults": "ghp_" + "a" * 30 + SECRET.replace("-", "")},
    ],
    ids=str,
)
@pytest.mark.parametrize("place", ["passed_variables", "outputted_variables", "action"])
def test_no_secret_is_in_the_system_fields(variable: dict[str, Any], place: str) -> None:
    run = action("SUCCESSFUL", **({"action": {"variables": [variable]}} if place == "action" else {place: [variable]}))
    seen = snapshot("SUCCESSFUL", run)
    text = json.dumps(seen.system_fields)
    assert SECRET not in text
    assert SECRET.replace("-", "") not in text
    assert "***" not in text
    if place == "outputted_variables" and "value" in variable and variable["key"] == "HARMLESS" and "ghp_" not in variable["value"]:
        assert seen.steps[0].outputs["HARMLESS"].secret


def test_no_unknown_field_of_an_action_and_no_query_of_a_log_address_is_in_the_system_fields() -> None:
    """A Docker action carries login and password; a presigned address carries its credential."""
    run = action("SUCCESSFUL", log_url=f"https://logs.example/1?signature={SECRET}", action={"password": SECRET, "login": SECRET})
    seen = snapshot("SUCCESSFUL", run)
    assert SECRET not in json.dumps(seen.system_fields)
    assert seen.system_fields["actions"][0]["log_url"] == "https://logs.example/1"


def test_names_of_passed_secrets_are_told() -> None:
    passed = [{"key": "IMAGE", "value": "i"}, {"key": "DEPLOY_TOKEN", "value": SECRET}]
    fields = snapshot("SUCCESSFUL", action("SUCCESSFUL", passed_variables=passed)).system_fields["actions"][0]
    assert (fields["passed_variables"], fields["passed_variables_omitted"]) == ({"IMAGE": "i"}, ["DEPLOY_TOKEN"])


def test_system_fields_are_json() -> None:
    seen = snapshot("SUCCESSFUL", action("SUCCESSFUL", visual_tests_output=[{"a": 1}]), delay_until="2026-01-02T03:04:05Z", mode="MANUAL",
                    branch="main", tag={"name": "v1"}, pull_request=5,
                    from_revision={"revision": "a"}, to_revision={"revision": "b"})  # fmt: skip
    fields = json.loads(json.dumps(seen.system_fields))
    names = ("branch", "tag", "pull_request", "from_revision", "to_revision", "triggered_on", "delay_until")
    assert {name: fields[name] for name in names} == {
        "branch": "main", "tag": "v1", "pull_request": 5, "from_revision": "a", "to_revision": "b", "triggered_on": "MANUAL",
        "delay_until": "2026-01-02T03:04:05+00:00",
    }  # fmt: skip


# Flows


@pytest.fixture
def release(emulator: Emulator) -> Pipeline:
    build = Action("Build", seconds=4.0, log=["one", "two", "three", "four"], outputs={"IMAGE": "shop:1", "URL": "old"})
    deploy = Action("Deploy", seconds=2.0, log=["deploying"], outputs={"URL": "new"}, encrypted_outputs=["CIPHER"])
    return emulator.buddy.add_pipeline(Pipeline("release", actions=[build, deploy]))


ERAS: dict[str, dict[str, Any]] = {
    "newest": {},
    "E1": {"era": "E1"},
    "nulls": {"nulls": "null"},
    "old": {"has_logs_route": False, "action_execution_ids_in_execution": False},
    "gate in action": {"gate_in": "action"},
}


@pytest.fixture(params=list(ERAS))
def era(request: pytest.FixtureRequest, emulator: Emulator) -> str:
    for name, value in ERAS[request.param].items():
        setattr(emulator.buddy, name, value)
    return str(request.param)


def test_details_of_every_era(emulator: Emulator, clock: ManualClock, sender: Sender, release: Pipeline, era: str) -> None:
    ref = emulator.buddy.add_execution(release, started_by="Mike").ref
    clock.advance(100)
    seen = sender.run(BuddyAdapter().details(ref))
    assert (seen.ref, seen.phase, seen.settled, seen.partial) == (ref, Phase.SUCCEEDED, True, None)
    assert {name: output.value for name, output in seen.outputs.items() if name != "CIPHER"} == {"IMAGE": "shop:1", "URL": "new"}
    assert seen.steps[0].outputs["URL"].value == "old"
    assert seen.outputs["CIPHER"].secret
    assert not seen.outputs["IMAGE"].secret
    assert seen.log_tail == ["deploying"]
    assert seen.actor is not None
    assert seen.actor["started_by"] == "Mike"
    assert all(step.id for step in seen.steps)
    assert seen.started_at is not None
    assert seen.finished_at is not None
    assert (seen.finished_at - seen.started_at).total_seconds() == pytest.approx(6.0)
    assert seen.system_fields["triggered_on"] == "CLICK"


def test_a_gate_of_every_era(emulator: Emulator, clock: ManualClock, sender: Sender, era: str) -> None:
    pipeline = emulator.buddy.add_pipeline(Pipeline("gated", actions=[Action("Build"), Gate("Approve"), Action("Deploy")]))
    ref = emulator.buddy.add_execution(pipeline).ref
    clock.advance(10)
    seen = sender.run(BuddyAdapter().read(ref))
    assert (seen.phase, seen.status, seen.waiting_for) == (Phase.WAITING, "WAITING_FOR_APPLY", "Approve (WAIT_FOR_APPLY)")
    emulator.buddy.approve(ref, by="Mike")
    clock.advance(10)
    ended = sender.run(BuddyAdapter().details(ref))
    assert ended.phase is Phase.SUCCEEDED
    assert ended.actor is not None
    assert ended.actor["approved_by"] == "Mike"


def test_the_failing_actions_log_is_the_tail(emulator: Emulator, clock: ManualClock, sender: Sender, era: str) -> None:
    broken = Action("Test", log=[f"line {number}" for number in range(200)], status="FAILED", error_message="1 failed")
    tolerated = Action("Lint", log=["lint"], status="FAILED", ignore_errors=True)
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[tolerated, broken, Action("Deploy", log=["never"])]))
    ref = emulator.buddy.add_execution(pipeline).ref
    clock.advance(10)
    seen = sender.run(BuddyAdapter().details(ref))
    assert seen.log_tail == [f"line {number}" for number in range(200 - TAIL, 200)]
    assert (seen.error, seen.settled) == ("1 failed", True)


@pytest.mark.parametrize(("status", "kind"), [(404, None), (400, None), (403, errors.Forbidden), (401, errors.Unauthorized)])
def test_an_action_whose_details_are_refused(
    emulator: Emulator, clock: ManualClock, sender: Sender, release: Pipeline, status: int, kind: type[Exception] | None
) -> None:
    """The others still count; what is missing is told."""
    ref = emulator.buddy.add_execution(release).ref
    clock.advance(100)
    emulator.faults.add(Fault("status", status=status, path=r"/action_executions/"))
    if kind:
        with pytest.raises(kind):
            sender.run(BuddyAdapter().details(ref))
        return
    seen = sender.run(BuddyAdapter().details(ref))
    assert {name for name, output in seen.outputs.items() if not output.secret} == {"URL"}
    assert str(status) in seen.outputs_omitted["Build.*"]
    assert [step.name for step in seen.steps] == ["Build", "Deploy"]


def _lines(sender: Sender, ref: str, cursor: Cursor, limit: int = 10_000) -> list[str]:
    buddy = BuddyAdapter()
    lines: list[LogLine] = sender.run(buddy.new_lines(sender.run(buddy.read(ref)), cursor, limit))
    return [f"{line.step}: {line.text}" for line in lines]


ALL_LINES = ["Build: one", "Build: two", "Build: three", "Build: four", "Deploy: deploying"]


def test_each_line_is_read_once_while_the_log_grows(
    emulator: Emulator, clock: ManualClock, sender: Sender, release: Pipeline, era: str
) -> None:
    ref = emulator.buddy.add_execution(release).ref
    cursor: Cursor = {}
    read: list[list[str]] = []
    for _ in range(10):
        clock.advance(0.9)
        cursor = json.loads(json.dumps(cursor))
        read.append(_lines(sender, ref, cursor))
    assert [line for lines in read for line in lines] == ALL_LINES
    assert sum(1 for lines in read if lines) > 2


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_lines_are_read_in_portions(emulator: Emulator, clock: ManualClock, sender: Sender, release: Pipeline, limit: int) -> None:
    ref = emulator.buddy.add_execution(release).ref
    clock.advance(100)
    cursor: Cursor = {}
    read: list[str] = []
    while lines := _lines(sender, ref, cursor, limit):
        assert len(lines) <= limit
        read += lines
    assert read == ALL_LINES


def test_logs_of_more_than_a_page_are_read_whole(emulator: Emulator, clock: ManualClock, sender: Sender, era: str) -> None:
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", log=[str(n) for n in range(2 * LOG_PAGE + 5)])]))
    ref = emulator.buddy.add_execution(pipeline).ref
    clock.advance(10)
    assert _lines(sender, ref, {}) == [f"Build: {number}" for number in range(2 * LOG_PAGE + 5)]


@pytest.mark.parametrize("kind", ["status", "html", "drop_before"])
def test_lines_read_before_an_error_are_not_lost(
    emulator: Emulator, clock: ManualClock, sender: Sender, release: Pipeline, kind: str
) -> None:
    ref = emulator.buddy.add_execution(release).ref
    clock.advance(100)
    cursor: Cursor = {}
    read: list[str] = []
    emulator.faults.add(Fault(kind, path=r"/logs$", after=1, times=None, **({"status": 500} if kind == "status" else {})))
    with contextlib.suppress(errors.ExecutionApiError):
        read += _lines(sender, ref, cursor)
    emulator.faults.clear()
    read += _lines(sender, ref, cursor)
    assert read == ALL_LINES


def test_an_ended_actions_log_is_not_asked_for_for_ever(emulator: Emulator, clock: ManualClock, sender: Sender, release: Pipeline) -> None:
    ref = emulator.buddy.add_execution(release).ref
    clock.advance(100)
    cursor: Cursor = {}
    for _ in range(3):
        _lines(sender, ref, cursor)
    asked = emulator.ledger.count(path_re=r"/logs$")
    _lines(sender, ref, cursor)
    assert emulator.ledger.count(path_re=r"/logs$") == asked


# Cancelling and resuming


@pytest.mark.parametrize("status", ["SUCCESSFUL", "FAILED", "TERMINATED"])
def test_cancelling_what_has_ended_is_no_error(emulator: Emulator, sender: Sender, release: Pipeline, status: str) -> None:
    ref = emulator.buddy.add_execution(release, status=status).ref
    sender.run(BuddyAdapter().cancel(ref))
    assert emulator.buddy.executions[0].status == status


def test_cancelling_twice_is_no_error(emulator: Emulator, sender: Sender, release: Pipeline) -> None:
    emulator.buddy.cancel_seconds = 60.0
    ref = emulator.buddy.add_execution(release).ref
    sender.run(BuddyAdapter().cancel(ref))
    sender.run(BuddyAdapter().cancel(ref))
    assert emulator.buddy.executions[0].status == "TERMINATING"


def test_a_cancel_that_is_refused_is_an_error(emulator: Emulator, sender: Sender, release: Pipeline) -> None:
    ref = emulator.buddy.add_execution(release).ref
    emulator.faults.add(Fault("status", status=400, method="PATCH"))
    with pytest.raises(errors.StatusError):
        sender.run(BuddyAdapter().cancel(ref))
    with pytest.raises(errors.NotFound):
        sender.run(BuddyAdapter().cancel("demo/shop/1/999"))


@pytest.mark.parametrize("keeps", [True, False])
def test_resuming_follows_the_id_of_the_answer(emulator: Emulator, clock: ManualClock, sender: Sender, keeps: bool) -> None:
    emulator.buddy.retry_keeps_id = keeps
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", status=["FAILED", "SUCCESSFUL"])]))
    ref = emulator.buddy.add_execution(pipeline).ref
    clock.advance(10)
    resumed = sender.run(BuddyAdapter().resume(ref))
    assert (resumed.ref == ref) is keeps
    assert not resumed.phase.ended


# Looking up what may have been started


def _find(sender: Sender, pipeline: Pipeline, since: float) -> tuple[list[str], bool]:
    found, certain = sender.run(lost_starts.find_started("demo", "shop", pipeline.id or 0, "airflow-marker", since))
    return [snapshot.ref for snapshot in found], certain


@pytest.mark.parametrize("has_comment", [True, False])
@pytest.mark.parametrize("per_page", [100, 30, 20, 2])
def test_an_execution_is_found_by_its_marker_on_whatever_page(
    emulator: Emulator, clock: ManualClock, sender: Sender, release: Pipeline, has_comment: bool, per_page: int
) -> None:
    """The server may give shorter pages than asked for: a page that is not full does not prove that it is the last."""
    emulator.buddy.list_has_comment = has_comment
    emulator.buddy.max_per_page = per_page
    since = clock.now()
    emulator.buddy.add_execution(release, comment="nightly")
    ref = emulator.buddy.add_execution(release, comment="nightly [airflow-marker]").ref
    for number in range(35):
        clock.advance(1)
        emulator.buddy.add_execution(release, comment=f"later {number}")
    assert _find(sender, release, since) == ([ref], True)


def test_a_copy_of_ours_comes_behind_it(emulator: Emulator, clock: ManualClock, sender: Sender, release: Pipeline) -> None:
    """Somebody has run it again with the same comment."""
    since = clock.now()
    ours = emulator.buddy.add_execution(release, comment="nightly [airflow-marker]").ref
    for number in range(60):
        emulator.buddy.add_execution(release, comment=f"later {number}")
    copy = emulator.buddy.add_execution(release, comment="nightly [airflow-marker]").ref
    assert _find(sender, release, since) == ([ours, copy], True)


def test_a_look_up_that_finds_none_is_certain(emulator: Emulator, clock: ManualClock, sender: Sender, release: Pipeline) -> None:
    assert _find(sender, release, clock.now()) == ([], True)
    emulator.buddy.add_execution(release, comment="other")
    assert _find(sender, release, clock.now()) == ([], True)


def test_a_look_up_reads_no_further_than_the_start(emulator: Emulator, clock: ManualClock, sender: Sender, release: Pipeline) -> None:
    for _ in range(120):
        emulator.buddy.add_execution(release, status="SUCCESSFUL", started_at=clock.now())
    since = clock.advance(CLOCK_AHEAD + 100)
    assert _find(sender, release, since) == ([], True)
    assert emulator.ledger.count(path_re=r"/executions$") == 1


def test_a_look_up_goes_on_to_the_next_page_while_executions_may_be_ours(
    emulator: Emulator, clock: ManualClock, sender: Sender, release: Pipeline
) -> None:
    since = clock.now()
    for number in range(60):
        emulator.buddy.add_execution(release, status="SUCCESSFUL", started_at=since + number, comment="x")
    clock.advance(1_000)
    emulator.buddy.max_per_page = 50
    assert _find(sender, release, since) == ([], True)
    pages = [entry.query.partition("&")[0] for entry in emulator.ledger.select("GET", r"/executions$")]
    assert pages[:2] == ["page=1", "page=2"]


def test_an_answer_without_executions_does_not_prove_that_none_was_started(
    emulator: Emulator, clock: ManualClock, sender: Sender, release: Pipeline
) -> None:
    emulator.buddy.add_execution(release, comment="[airflow-marker]")
    emulator.faults.add(Fault("body", body={"errors": [{"message": "API is disabled"}]}, path=r"/executions$"))
    with pytest.raises((errors.StatusError, errors.ProtocolError)):
        _find(sender, release, clock.now())


# Pipelines


@pytest.mark.parametrize("per_page", [100, 3])
@pytest.mark.parametrize(
    ("given", "found"),
    [(4, 4), ("4", 4), (" 4 ", 4), ("id-4", 4), ("Pipeline 4", 4), (" id-4 ", 4), ("id-4-as-name", 6), ("id-5", 5), (999, 999)],
)
def test_a_pipeline_is_found_by_id_identifier_or_name(emulator: Emulator, sender: Sender, given: Any, found: int, per_page: int) -> None:
    emulator.buddy.max_per_page = per_page
    for number in range(1, 9):
        name = {6: "id-4-as-name", 7: "id-5"}.get(number, f"Pipeline {number}")
        emulator.buddy.add_pipeline(Pipeline(name, identifier=f"id-{number}"))
    assert sender.run(requests.resolve_pipeline("demo", "shop", given)) == found


@pytest.mark.parametrize("per_page", [100, 3])
def test_an_ambiguous_name_is_refused_with_those_of_that_name(emulator: Emulator, sender: Sender, per_page: int) -> None:
    emulator.buddy.max_per_page = per_page
    for number in range(1, 9):
        emulator.buddy.add_pipeline(Pipeline("twin" if number in (2, 8) else f"p{number}", identifier=f"id-{number}"))
    with pytest.raises(errors.ConfigurationError, match=r"'twin' names several pipelines .* in demo/shop|'twin' names several") as raised:
        sender.run(requests.resolve_pipeline("demo", "shop", "twin"))
    assert "id-2 (2), id-8 (8)" in str(raised.value)


@pytest.mark.parametrize(
    ("given", "refused", "identifiers", "lists"),
    [
        ("id-8", None, 1, 0),
        ("id-1", None, 1, 0),
        ("Pipeline 8", None, 1, 4),
        ("8", None, 0, 0),
        ("id-8", "missing", 1, 3),
        ("id-8", "scope", 1, 3),
        ("id-8", "html", 1, 3),
    ],
)
def test_an_identifier_is_asked_for_before_the_list_is_read(
    emulator: Emulator, sender: Sender, given: str, refused: str | None, identifiers: int, lists: int
) -> None:
    emulator.buddy.max_per_page = 3
    emulator.buddy.has_identifiers_route = refused != "missing"
    if refused == "scope":
        emulator.buddy.scopes = ["EXECUTION_INFO"]
    if refused == "html":
        emulator.faults.add(Fault("html", path="/identifiers$"))
    for project in ("shop", "other"):
        for number in range(1, 9):
            emulator.buddy.add_pipeline(Pipeline(f"Pipeline {number}", identifier=f"id-{number}", project=project))
    assert sender.run(requests.resolve_pipeline("demo", "shop", given)) == int(given[-1])
    asked = [emulator.ledger.count("GET", path) for path in ("/identifiers$", "/pipelines$")]
    assert asked == [identifiers, lists]


@pytest.mark.parametrize(
    "fault",
    [*({"kind": "status", "status": status} for status in (400, 403, 404, 405, 409, 500, 501, 502)), {"kind": "drop_before"}],
    ids=str,
)
def test_whatever_is_wrong_with_identifiers_the_list_tells(emulator: Emulator, sender: Sender, fault: dict[str, Any]) -> None:
    emulator.buddy.add_pipeline(Pipeline("other"))
    emulator.buddy.add_pipeline(Pipeline("wanted"))
    emulator.faults.add(Fault(path="/identifiers$", times=None, **fault))
    assert sender.run(requests.resolve_pipeline("demo", "shop", "wanted")) == 2


@pytest.mark.parametrize(("status", "error"), [(401, errors.Unauthorized), (429, errors.RateLimited)])
def test_a_refusal_of_all_requests_is_told_at_once(emulator: Emulator, sender: Sender, status: int, error: type[Exception]) -> None:
    emulator.buddy.add_pipeline(Pipeline("wanted"))
    emulator.faults.add(Fault("status", path="/identifiers$", status=status, headers={"Retry-After": "600"}, times=None))
    with pytest.raises(error):
        sender.run(requests.resolve_pipeline("demo", "shop", "wanted"))
    assert emulator.ledger.count("GET", "/pipelines$") == 0


@pytest.mark.parametrize(
    "answer", [{}, {"pipeline_id": 7}, {"project_identifier": "other", "pipeline_id": 7}, {"project_identifier": "shop"}]
)
def test_an_id_counts_only_with_its_project(emulator: Emulator, sender: Sender, answer: dict[str, Any]) -> None:
    emulator.buddy.add_pipeline(Pipeline("wanted"))
    emulator.faults.add(Fault("body", body=answer, path="/identifiers$"))
    assert sender.run(requests.resolve_pipeline("demo", "shop", "wanted")) == 1


def test_an_unknown_project_is_told_by_the_list(emulator: Emulator, sender: Sender) -> None:
    emulator.buddy.add_pipeline(Pipeline("wanted"))
    with pytest.raises(errors.NotFound):
        sender.run(requests.resolve_pipeline("demo", "none", "wanted"))


@pytest.mark.parametrize("given", ["nobody", "", "ID-1", "pipeline"])
def test_an_unknown_name_is_refused_with_those_there_are(emulator: Emulator, sender: Sender, given: str) -> None:
    emulator.buddy.add_pipeline(Pipeline("Pipeline", identifier="id-1"))
    with pytest.raises(errors.ConfigurationError, match=r"names no pipeline .*id-1 \(1\)"):
        sender.run(requests.resolve_pipeline("demo", "shop", given))


def test_a_name_that_looks_like_an_id_hides_no_page(emulator: Emulator, sender: Sender) -> None:
    emulator.buddy.max_per_page = 3
    for name in ("Deploy (4)", "b", "c", "d", "wanted"):
        emulator.buddy.add_pipeline(Pipeline(name))
    assert sender.run(requests.resolve_pipeline("demo", "shop", "wanted")) == 5


def test_a_digit_name_is_an_id() -> None:
    flow = requests.resolve_pipeline("demo", "shop", "0089")
    with pytest.raises(StopIteration) as end:
        next(flow)
    assert end.value.value == 89


# A look at what has been seen before


@pytest.mark.parametrize(
    "view", [BuddyAdapter(), ActionView("Build", "last"), ActionView("Deploy", "all")], ids=["whole", "Build", "Deploy"]
)
def test_a_look_again_sees_what_a_first_look_sees(
    emulator: Emulator, clock: ManualClock, sender: Sender, release: Pipeline, view: BuddyAdapter
) -> None:
    ref = emulator.buddy.add_execution(release).ref
    last, seen, unchanged = LastAnswer(), None, 0
    for passed in (0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 2.0, 0.0, 10.0, 0.0):
        clock.advance(passed)
        again = sender.run(view.read_again(ref, last))
        assert again is not None or not passed
        unchanged += again is None
        seen = again or seen
        assert seen == sender.run(view.read(ref))
    assert (unchanged > 0) == (type(view) is BuddyAdapter)


def test_a_search_does_not_stay_with_what_it_passes_over(emulator: Emulator, clock: ManualClock, sender: Sender) -> None:
    """The list may lag behind: it says of a failed execution that it succeeded."""
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", seconds=1.0, status="FAILED")]))
    where = {"workspace": "demo", "project": "shop", "pipeline": pipeline.id}
    search: Any = {
        "what": "p", "where": where, "match": "first_succeeded", "started_after": 0.0, "started_before": None, "finished_after": None,
    }  # fmt: skip
    policy: Any = {
        "timeout": 1e9, "deadline": None, "waiting_timeout": None, "waiting_counts": True, "stop_on_waiting": False, "poll_interval": 30.0,
        "poll_failure_budget": 60.0, "vanish_grace": 60.0, "start_grace": None, "log_lines": 0,
    }  # fmt: skip
    failed = emulator.buddy.add_execution(pipeline)
    clock.advance(10)
    log = logging.getLogger("wait")
    wait = Wait(BuddyAdapter(), None, policy, WaitState(since=clock.now()), log, search)
    stale = {"executions.0.status": "SUCCESSFUL"}
    emulator.faults.add(Fault("altered", path=r"/pipelines/\d+/executions$", changes=stale, times=2))
    assert [sender.run(wait.poll()) for _ in range(2)] == [None, None]
    assert (wait.ref, wait.state.passed) == (None, [failed.ref])
