"""An execution whose compact view Tracecat can't make any more: its stored inputs are gone, its history is still there."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.emulator import Emulator, Fault, ManualClock
from airflow_provider.emulator.tracecat import Action, Workflow
from airflow_provider.emulator.tracecat.system import Tracecat
from airflow_provider.execution.model.phase import Phase
from airflow_provider.tracecat.api import without_compact
from airflow_provider.tracecat.api.models import Failure
from airflow_provider.tracecat.hook import TracecatHook
from airflow_provider.tracecat.sensors import TracecatExecutionSensor
from tests.unit.tracecat.conftest import Live

LONG = {"text": "x" * 2_000}


@pytest.fixture(autouse=True)
def forgetful() -> None:
    without_compact._GONE.clear()
    without_compact._FAILED.clear()


def gone(tracecat: Tracecat, clock: ManualClock, seconds: float = 60.0, **fields: Any) -> str:
    """An execution whose inputs the blob store no longer has."""
    tracecat.inline_limit = 1_000
    workflow = tracecat.add_workflow(Workflow("w", **{"actions": [Action("a", seconds=1, result={"n": 1})], "returns": {"X": 1}, **fields}))
    execution = tracecat.add_execution(workflow, inputs=LONG)
    clock.advance(seconds)
    tracecat.blob_retention = 0.0
    return execution.ref


ENDS: dict[str, tuple[dict[str, Any], float, Phase]] = {
    "runs": ({"actions": [Action("a", seconds=100)]}, 10.0, Phase.RUNNING),
    "succeeded": ({}, 60.0, Phase.SUCCEEDED),
    "failed": ({"actions": [Action("a", error="boom")]}, 60.0, Phase.FAILED),
    "partial": ({"actions": [Action("a", error="boom", handled=True), Action("b")]}, 60.0, Phase.SUCCEEDED),
}


@pytest.mark.parametrize("end", ENDS)
def test_the_history_tells_what_the_compact_view_would(hook: TracecatHook, tracecat: Tracecat, clock: ManualClock, end: str) -> None:
    fields, seconds, phase = ENDS[end]
    ref = gone(tracecat, clock, seconds, **fields)
    found = hook.run_flow(hook.adapter().read(ref))
    details = hook.run_flow(hook.adapter().details(ref))
    tracecat.blob_retention = None
    without_compact._GONE.clear()
    expected = hook.run_flow(hook.adapter().details(ref))
    assert found.phase is details.phase is expected.phase is phase
    assert (details.error, details.outputs, details.partial) == (expected.error, expected.outputs, expected.partial)
    assert [(step.name, step.error) for step in details.steps] == [(step.name, step.error) for step in expected.steps]
    assert found.run == expected.run


def test_the_compact_view_is_not_asked_for_at_each_poll(
    hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock
) -> None:
    ref = gone(tracecat, clock)
    for _ in range(5):
        hook.run_flow(hook.adapter().read(ref))
    assert emulator.ledger.count(path_re="/compact$") == 4  # attempts of the first read
    emulator.faults.add(Fault("status", status=500, path=r"/workflow-executions/[^/]+$", times=4))
    tracecat.blob_retention = None
    assert hook.run_flow(hook.adapter().read(ref)).phase is Phase.SUCCEEDED
    assert emulator.ledger.count(path_re="/compact$") == 5


@pytest.mark.parametrize("mode", [{"deferrable": True}, {"mode": "poke"}, {"mode": "reschedule"}], ids=str)
def test_a_wait_ends_all_the_same(live: Live, mode: dict[str, Any]) -> None:
    live.tracecat.inline_limit = 1_000
    execution = live.tracecat.add_execution(live.workflow(Action("a", seconds=90, result=1), returns={"IMAGE": "x"}), inputs=LONG)
    live.tracecat.blob_retention = 5.0
    ended = live.task(TracecatExecutionSensor, ref=execution.ref, poke_interval=10, **mode).run()
    assert ended.state == "success", ended.text
    assert live.emulator.ledger.count(path_re="/compact$") > 0


BROKEN: dict[str, dict[str, Any]] = {
    **{str(status): {"kind": "status", "status": status} for status in (408, 413, 500, 502, 503, 504)},
    "no JSON": {"kind": "truncated", "cut": "json"},
    "cut off": {"kind": "truncated", "cut": "connection"},
    "nested too deep": {"kind": "body", "body": '{"id": "x", "events": ' + "[" * 300 + "]" * 300 + "}"},
    "a page": {"kind": "html"},
    "dropped": {"kind": "drop_before"},
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_compact_view_that_never_works_does_not_hide_the_end(live: Live, kind: str, deferrable: bool) -> None:
    live.emulator.faults.add(Fault(**BROKEN[kind], path="/compact$", times=None))
    execution = live.tracecat.add_execution(live.workflow(Action("a", seconds=90, result=1), returns={"IMAGE": "x"}))
    ended = live.task(TracecatExecutionSensor, ref=execution.ref, poke_interval=10, push_outputs=["IMAGE"], deferrable=deferrable).run()
    assert ended.state == "success", ended.text
    assert ended.xcoms["IMAGE"] == "x"


@pytest.mark.parametrize("kind", [kind for kind in BROKEN if kind != "500"])
def test_a_compact_view_that_failed_once_is_asked_for_again(
    hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock, kind: str
) -> None:
    """Histories are large: only one that fails twice in a row is given up."""
    ref = gone(tracecat, clock)
    tracecat.blob_retention = None
    fault = emulator.faults.add(Fault(**BROKEN[kind], path="/compact$", times=None))
    for gives_up in (False, True):
        with suppress(errors.TransportError):
            hook.run_flow(hook.adapter().read(ref))
        assert bool(without_compact._GONE) is gives_up
        if not gives_up:
            fault.times, hits = 0, fault.hits
            hook.run_flow(hook.adapter().read(ref))
            fault.times = None
            assert fault.hits == hits
            with suppress(errors.TransportError):
                hook.run_flow(hook.adapter().read(ref))
            assert not without_compact._GONE


@pytest.mark.parametrize("fault", [{"kind": "status", "status": 503, "headers": {"Retry-After": "300"}}, {"kind": "rate_limit"}])
def test_a_server_that_asks_for_a_pause_gets_one(
    hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock, fault: dict[str, Any]
) -> None:
    ref = gone(tracecat, clock)
    emulator.faults.add(Fault(**fault, path="/compact$", times=None))
    with pytest.raises(errors.StatusError):
        hook.run_flow(hook.adapter().read(ref))
    assert emulator.ledger.count(path_re=r"/workflow-executions/[^/]+$") == 0


def test_if_nothing_answers_the_hint_names_the_blob_store(
    hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock
) -> None:
    ref = gone(tracecat, clock)
    emulator.faults.add(Fault("status", status=500, path=r"/workflow-executions/[^/]+$", times=None))
    for read in (hook.adapter().read, hook.adapter().details):
        with pytest.raises(errors.ServerError, match="blob store") as raised:
            hook.run_flow(read(ref))
        assert raised.value.status == 500


@pytest.mark.parametrize(
    ("message", "root", "text"),
    [
        ("no scope ['a']", "No permission", "No permission (no scope ['a'])"),
        ("[ACTIONS.a] (Attempt 1)\n\nboom", "boom", "boom"),
        ("Activity task failed", "boom", "boom"),
        ("boom", None, "boom"),
        ("boom", "", "boom"),
        (None, "boom", "boom"),
        ("", "boom", "boom"),
        (None, None, None),
    ],
)  # fmt: skip
def test_the_more_telling_text_of_a_failure(message: str | None, root: str | None, text: str | None) -> None:
    assert Failure(message=message, root_cause_message=root).text == text


def test_a_missing_scope_of_an_action_is_named(hook: TracecatHook, tracecat: Tracecat, clock: ManualClock) -> None:
    tracecat.key.scopes = ["workflow:*"]
    workflow = tracecat.add_workflow(Workflow("w", actions=[Action("a", type="core.http_request")]))
    ref = hook.run_workflow(workflow.id or "").wf_exec_id
    clock.advance(60)
    details = hook.run_flow(hook.adapter().details(ref))
    assert "action:core.http_request:execute" in (details.steps[0].error or "")


def test_a_compact_view_that_is_back_is_asked_for_again(
    hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock
) -> None:
    """One 500 too many does not let all later polls read the whole history."""
    ref = gone(tracecat, clock)
    hook.run_flow(hook.adapter().read(ref))
    tracecat.blob_retention = None
    hook.get_compact_execution(ref)
    before = emulator.ledger.count(path_re=r"/workflow-executions/[^/]+$")
    hook.run_flow(hook.adapter().read(ref))
    assert emulator.ledger.count(path_re=r"/workflow-executions/[^/]+$") == before
