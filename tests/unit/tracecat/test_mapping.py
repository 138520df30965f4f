"""Tracecat's words in the mechanism's: status, rows, interactions; rows as log lines; one action by itself."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider.emulator import Emulator, Fault, ManualClock
from airflow_provider.emulator.tracecat import Action, Interaction, Workflow
from airflow_provider.emulator.tracecat.system import Tracecat
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.snapshot import Cursor, LogLine, Snapshot
from airflow_provider.tracecat.api import models
from airflow_provider.tracecat.executions.mapping import snapshot_of
from airflow_provider.tracecat.hook import TracecatHook
from airflow_provider.tracecat.ref import TracecatRef

REF = TracecatRef.parse("wf_7wG6ZFwlUmPT8YtnWfZo1I/exec_50vreC4NIDSu5D4cA9FSqx")
AT = "2026-11-22T00:31:48Z"


def seen(status: str | None, *rows: dict[str, Any], interactions: Any = (), **fields: Any) -> Snapshot:
    body = {"id": REF.execution, "run_id": "r", "status": status, "events": list(rows), "interactions": list(interactions), **fields}
    return snapshot_of(REF, models.State.model_validate(body))


def row(ref: str, status: str, error: str | None = None, **fields: Any) -> dict[str, Any]:
    wrong = {"message": f"long {error}", "root_cause_message": error} if error else None
    return {
        "action_ref": ref,
        "action_name": "core.x",
        "status": status,
        "action_error": wrong,
        "stream_id": "<root>:0",
        "start_time": AT,
        **fields,
    }


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("RUNNING", Phase.RUNNING), ("COMPLETED", Phase.SUCCEEDED), ("FAILED", Phase.FAILED), ("CANCELED", Phase.CANCELLED),
        ("TERMINATED", Phase.CANCELLED), ("TIMED_OUT", Phase.TIMED_OUT), ("CONTINUED_AS_NEW", Phase.RUNNING), (None, Phase.RUNNING),
        ("PAUSED", Phase.UNKNOWN), ("", Phase.UNKNOWN), ("completed", Phase.UNKNOWN),
    ],
)  # fmt: skip
def test_every_status(status: str | None, phase: Phase) -> None:
    found = seen(status)
    assert found.phase is phase
    assert found.status == (status or "RUNNING")
    assert found.progress == (100.0 if phase.ended else None)


@pytest.mark.parametrize(
    ("status", "phase"),
    [
        ("SCHEDULED", Phase.QUEUED), ("STARTED", Phase.RUNNING), ("COMPLETED", Phase.SUCCEEDED), ("FAILED", Phase.FAILED),
        ("CANCELED", Phase.CANCELLED), ("TERMINATED", Phase.CANCELLED), ("TIMED_OUT", Phase.TIMED_OUT), ("UNKNOWN", Phase.UNKNOWN),
        ("DETACHED", Phase.SUCCEEDED), (None, Phase.UNKNOWN), ("NEW", Phase.UNKNOWN),
    ],
)  # fmt: skip
def test_every_status_of_a_row(status: Any, phase: Phase) -> None:
    [step] = seen("RUNNING", row("a", status)).steps
    assert (step.phase, step.name, step.id, step.type) == (phase, "a", "a <root>:0", "core.x")


@pytest.mark.parametrize("status", ["CANCELED", "TERMINATED", "TIMED_OUT", "FAILED"])
def test_rows_cut_off_by_the_end_are_cancelled(status: str) -> None:
    found = seen(status, row("a", "COMPLETED"), row("b", "STARTED"), row("c", "SCHEDULED"))
    assert [step.phase for step in found.steps] == [Phase.SUCCEEDED, Phase.CANCELLED, Phase.CANCELLED]
    assert [step.status for step in found.steps] == ["COMPLETED", "STARTED", "SCHEDULED"]


@pytest.mark.parametrize(
    ("status", "interaction", "waits"),
    [
        ("RUNNING", "pending", True), ("RUNNING", "completed", False), ("RUNNING", "idle", False), ("RUNNING", None, False),
        ("COMPLETED", "pending", False), ("CANCELED", "pending", False), (None, "pending", True),
    ],
)  # fmt: skip
def test_it_waits_if_an_interaction_is_pending_while_it_runs(status: str | None, interaction: Any, waits: bool) -> None:
    asks = {"id": "i", "status": interaction, "action_ref": "ask", "type": "response", "request_payload": "secret-canary"}
    found = seen(status, row("ask", "COMPLETED"), interactions=[asks])
    assert (found.phase is Phase.WAITING) is waits
    assert found.waiting_for == ("ask (response)" if waits else None)
    assert found.system_fields["interactions"][0]["status"] == interaction
    assert "canary" not in str(found.system_fields)


def test_a_handled_error_leaves_it_completed_in_part() -> None:
    found = seen("COMPLETED", row("bad", "FAILED", "broke"), row("slow", "TIMED_OUT"), row("handle", "COMPLETED"))
    assert found.phase is Phase.SUCCEEDED
    assert found.partial == "handled errors of bad, slow"
    assert found.error is None
    assert seen("COMPLETED", row("kid", "DETACHED")).partial is None


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ([row("bad", "FAILED", "broke"), row("__workflow_failure__", "FAILED", "Workflow failed with 1 error(s)")], "broke"),
        ([row("slow", "TIMED_OUT"), row("__workflow_failure__", "FAILED", "StartToClose timeout")], "StartToClose timeout"),
        ([row("__workflow_failure__", "FAILED", "Failed to validate trigger inputs:\n")], "Failed to validate trigger inputs:\n"),
        ([row("bad", "FAILED")], None),
        ([], None),
    ],
)  # fmt: skip
def test_why_it_failed(rows: list[dict[str, Any]], error: str | None) -> None:
    found = seen("FAILED", *rows)
    assert found.error == error
    assert not [step for step in found.steps if step.name.startswith("__")]


def test_a_failure_without_root_cause_says_its_message() -> None:
    found = seen("FAILED", {**row("a", "FAILED"), "action_error": {"message": "whole", "cause": None, "root_cause_message": None}})
    assert found.error == found.steps[0].error == "whole"


def test_while_it_runs_a_failed_row_is_no_error_of_it() -> None:
    found = seen("RUNNING", row("bad", "FAILED", "broke"), row("b", "STARTED"))
    assert (found.error, found.partial, found.progress) == (None, None, 50.0)


def test_between_two_actions_it_does_not_look_done() -> None:
    assert seen("RUNNING", row("a", "COMPLETED")).progress is None
    assert seen("COMPLETED", row("a", "COMPLETED")).progress == 100.0


@pytest.mark.parametrize("gap", ["action_ref", "action_name", "stream_id", "start_time", "status"])
def test_rows_may_lack_anything(gap: str) -> None:
    assert seen("COMPLETED", {key: value for key, value in row("a", "COMPLETED").items() if key != gap}).phase is Phase.SUCCEEDED


# Log lines


@pytest.fixture
def lines(hook: TracecatHook) -> Any:
    """What is new in the log of an execution."""
    cursor: Cursor = {}

    def lines(ref: str, limit: int = 100) -> list[LogLine]:
        return hook.run_flow(hook.adapter().new_lines(hook.run_flow(hook.adapter().read(ref)), cursor, limit))

    return lines


def texts(found: list[LogLine]) -> list[tuple[str, str, str | None]]:
    return [(line.step, line.text, line.level) for line in found]


def test_each_change_of_a_row_is_a_line(lines: Any, tracecat: Tracecat, clock: ManualClock) -> None:
    script = [Action("a", "core.http", 4.0, queue_seconds=2.0), Action("b", "core.x", 3.0, error="it broke")]
    execution = tracecat.add_execution(tracecat.add_workflow(Workflow("Scan", "scan", script)))
    told = []
    for _ in range(40):
        clock.advance(0.5)
        told += texts(lines(execution.ref))
    assert told == [
        ("a", "core.http SCHEDULED", "info"),
        ("a", "core.http STARTED", "info"),
        ("a", "core.http COMPLETED after 4.0 s", "info"),
        ("b", "core.x STARTED", "info"),
        ("b", "core.x FAILED: it broke", "error"),
    ]


def test_each_attempt_is_said(lines: Any, tracecat: Tracecat, clock: ManualClock) -> None:
    script = [Action("get", "core.http", 2.0, error="no", failing_attempts=2, max_attempts=3, retry_delay=2.0)]
    execution = tracecat.add_execution(tracecat.add_workflow(Workflow("Scan", "scan", script)))
    told = []
    for _ in range(60):
        clock.advance(0.5)
        told += lines(execution.ref)
    assert [line.text for line in told if line.text.endswith("STARTED")] == ["core.http STARTED"] * 3
    assert texts(told)[-1][:2] == ("get", "core.http COMPLETED after 2.0 s")
    assert len({line.time for line in told if line.text.endswith("STARTED")}) == 3


def test_each_stream_and_each_iteration_is_said(hook: TracecatHook) -> None:
    cursor: Cursor = {}

    def tell(*rows: dict[str, Any], run: str = "r") -> list[str]:
        found = seen("RUNNING", *rows, run_id=run)
        return [line.text for line in hook.run_flow(hook.adapter().new_lines(found, cursor, 100))]

    one, two = row("a", "STARTED", stream_id="<root>:0/sc:0"), row("a", "STARTED", stream_id="<root>:0/sc:1")
    assert len(tell(one, two)) == 2
    assert tell(one, two) == []
    assert len(tell({**one, "status": "COMPLETED"}, two)) == 1
    again = {**one, "start_time": "2026-11-22T00:31:49.5Z"}
    assert len(tell(again, two)) == 1
    assert len(tell({**again, "start_time": "2026-11-22T00:31:49.501Z"}, two)) == 1
    assert len(tell(one, two, run="another")) == 2


def test_a_limit_leaves_the_rest_for_the_next_time(lines: Any, tracecat: Tracecat, clock: ManualClock) -> None:
    script = [Action(f"a{number}", depends_on=[]) for number in range(5)]
    execution = tracecat.add_execution(tracecat.add_workflow(Workflow("Scan", "scan", script)))
    clock.advance(10)
    told = [line.step for _ in range(4) for line in lines(execution.ref, 2)]
    assert sorted(told) == [f"a{number}" for number in range(5)]


def test_after_a_reset_all_is_said_anew(lines: Any, tracecat: Tracecat, clock: ManualClock) -> None:
    execution = tracecat.add_execution(tracecat.add_workflow(Workflow("Scan", "scan")))
    clock.advance(10)
    assert len(lines(execution.ref)) == 1
    tracecat.reset(execution.ref)
    clock.advance(10)
    assert len(lines(execution.ref)) == 1
    assert lines(execution.ref) == []


# Details, and pages


def test_the_tail_tells_all_rows(hook: TracecatHook, tracecat: Tracecat, clock: ManualClock) -> None:
    script = [Action("a", "core.x"), Action("b", "core.y", error="it broke")]
    execution = tracecat.add_execution(tracecat.add_workflow(Workflow("Scan", "scan", script)))
    clock.advance(10)
    found = hook.run_flow(hook.adapter().details(execution.ref))
    assert found.log_tail == ["[a] core.x COMPLETED after 1.0 s", "[b] core.y FAILED: it broke"]
    assert found.settled


def test_the_page_is_on_the_public_address_and_asked_for_once(hook: TracecatHook, emulator: Emulator, tracecat: Tracecat) -> None:
    tracecat.public_url = "https://t.example/"
    execution = tracecat.add_execution(tracecat.add_workflow(Workflow("Scan", "scan")))
    system = hook.adapter()
    found = [hook.run_flow(system.read(execution.ref)).url for _ in range(3)]
    workflow, suffix = execution.id.split("/")
    assert set(found) == {f"https://t.example/workspaces/{tracecat.workspace}/workflows/{workflow}/executions/{suffix}"}
    assert len(emulator.ledger.select("GET", "/info$")) == 1


@pytest.mark.parametrize(
    "fault", [Fault("status", status=404), Fault("html"), Fault("body", body={"public_app_url": "javascript:x"})], ids=str
)
def test_without_a_public_address_there_is_no_page(hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, fault: Fault) -> None:
    emulator.faults.add(Fault(fault.kind, path="/info$", times=None, **fault.parameters))
    execution = tracecat.add_execution(tracecat.add_workflow(Workflow("Scan", "scan")))
    assert hook.run_flow(hook.adapter().read(execution.ref)).url is None


# One action


def act(hook: TracecatHook, ref: str, action: str) -> Snapshot:
    return hook.run_flow(hook.adapter(action=action).details(ref))


def test_one_action_from_before_its_start_to_its_end(hook: TracecatHook, tracecat: Tracecat, clock: ManualClock) -> None:
    script = [Action("a", seconds=5.0), Action("b", seconds=5.0, result={"x": 1}), Action("c", seconds=600.0)]
    execution = tracecat.add_execution(tracecat.add_workflow(Workflow("Scan", "scan", script)))
    clock.advance(2)
    assert act(hook, execution.ref, "b").phase is Phase.QUEUED
    clock.advance(5)
    assert act(hook, execution.ref, "b").phase is Phase.RUNNING
    clock.advance(5)
    found = act(hook, execution.ref, "b")
    assert (found.phase, found.status, found.progress, [step.name for step in found.steps]) == (Phase.SUCCEEDED, "COMPLETED", None, ["b"])
    assert found.outputs["x"].value == 1
    assert act(hook, execution.ref, "c").phase is Phase.RUNNING


@pytest.mark.parametrize(
    ("action", "phase"),
    [("skipped", Phase.SKIPPED), ("nobody", Phase.SKIPPED), ("bad", Phase.FAILED), ("good", Phase.SUCCEEDED)],
)
def test_one_action_of_what_has_ended(hook: TracecatHook, tracecat: Tracecat, clock: ManualClock, action: str, phase: Phase) -> None:
    script = [Action("good"), Action("skipped", skipped=True, depends_on=[]), Action("bad", error="it broke")]
    execution = tracecat.add_execution(tracecat.add_workflow(Workflow("Scan", "scan", script)))
    clock.advance(30)
    found = act(hook, execution.ref, action)
    assert found.phase is phase
    assert (found.error or "").startswith({"FAILED": "it broke", "SKIPPED": "the execution ended FAILED without"}.get(phase.name, ""))


def test_an_action_that_asks_waits(hook: TracecatHook, tracecat: Tracecat, clock: ManualClock) -> None:
    script = [Action("ask", interaction=Interaction()), Action("b", depends_on=[], seconds=600)]
    execution = tracecat.add_execution(tracecat.add_workflow(Workflow("Scan", "scan", script)))
    clock.advance(10)
    assert hook.run_flow(hook.adapter().read(execution.ref)).waiting_for == "ask (response)"
    assert (act(hook, execution.ref, "ask").phase, act(hook, execution.ref, "b").phase) == (Phase.WAITING, Phase.RUNNING)
    tracecat.answer(execution.ref, {"choice": "yes"})
    clock.advance(1)
    assert act(hook, execution.ref, "ask").phase is Phase.SUCCEEDED


def test_the_streams_of_an_action_count_together(hook: TracecatHook, tracecat: Tracecat, clock: ManualClock) -> None:
    script = [Action("sc", scatter=[1, 2, 3]), Action("work", seconds=5.0, stream="sc")]
    execution = tracecat.add_execution(tracecat.add_workflow(Workflow("Scan", "scan", script)))
    clock.advance(3)
    found = act(hook, execution.ref, "work")
    assert (found.phase, len(found.steps)) == (Phase.RUNNING, 3)
    clock.advance(30)
    assert act(hook, execution.ref, "work").phase is Phase.SUCCEEDED
