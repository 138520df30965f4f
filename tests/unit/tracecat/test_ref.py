"""Refs, and ids in paths: one segment, encoded twice on the wire."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider import errors
from airflow_provider.emulator import Emulator, ManualClock
from airflow_provider.emulator.tracecat import Schedule, Workflow
from airflow_provider.emulator.tracecat.system import Tracecat
from airflow_provider.execution.model.request import segment
from airflow_provider.tracecat.hook import TracecatHook
from airflow_provider.tracecat.ref import TracecatRef, in_path, is_workflow_id

SPACE = "5c9f2f3e-7a41-4d0e-9b58-1f6a3c2e8d70"
WF, EXEC = "wf_7wG6ZFwlUmPT8YtnWfZo1I", "exec_50vreC4NIDSu5D4cA9FSqx"
LEGACY = f"wf-{'0a' * 16}"
IDS = [
    f"{WF}/{EXEC}",
    f"{WF}:{EXEC}",
    f"{WF}/sch-9123c30b870e4036804bcf5915008c71-2026-11-22T00:36:20Z",
    f"{WF}/{uuid.UUID(int=5)}-2026-11-22T00:36:20.123456Z",
    f"{LEGACY}:exec-1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed",
    f"{LEGACY}/exec-abc",
    f"{LEGACY}:sch-{'9' * 32}-2026-11-22T00:36:20Z",
]


@pytest.mark.parametrize("text", IDS)
@pytest.mark.parametrize("place", [None, SPACE, SPACE.upper()])
def test_both_forms_of_all_ids(text: str, place: str | None) -> None:
    parsed = TracecatRef.parse(f" {place}:{text}\n" if place else text)
    assert parsed == TracecatRef(place and SPACE, text)
    assert str(parsed) == (f"{SPACE}:{text}" if place else text)
    assert TracecatRef.parse(str(parsed)) == parsed
    assert parsed.workflow == text[: 25 if text.startswith("wf_") else 35]
    assert parsed.page == f"workflows/{parsed.workflow}/executions/{quote(text[len(parsed.workflow) + 1 :], safe='')}"


@pytest.mark.parametrize("text", [
    "", " ", "x", "4098", None, 5, [], WF, EXEC, f"{WF}/", f"/{EXEC}", f"{WF}//{EXEC}", f"{WF}/{EXEC}/cancel", f"{WF}/{EXEC}?a=b",
    f"{WF}/{EXEC}#",
    f"{WF}/../{EXEC}", f"../{WF}/{EXEC}", f"{WF}%2F{EXEC}", f"{WF}/{EXEC}\n{EXEC}", f"{WF} /{EXEC}", f"{WF}/exec_", f"{WF}/exec_ą",
    f"wf_/{EXEC}",
    f"wf-{'0A' * 16}:exec-a", f"wf-0a:{EXEC}", f"{SPACE}/{WF}/{EXEC}", f"{SPACE[:-1]}:{WF}/{EXEC}", f"{SPACE}:{SPACE}:{WF}/{EXEC}",
    f"agent/{SPACE}", f"{WF}/sch-91-2026", f"{WF}/sch-{'9' * 32}-a b", f"{WF}/sch-{'9' * 32}-a/../../b", f"{WF}/sch-{'9' * 32}-\x00\n",
    "https://t.example/workspaces/x", f"{WF}/{EXEC}" + "\x00",
])  # fmt: skip
def test_anything_else_is_refused_and_named(text: Any) -> None:
    with pytest.raises(errors.ConfigurationError, match="is not the ref of a Tracecat execution") as raised:
        TracecatRef.parse(text)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 600


@given(st.text(max_size=60))
def test_no_text_leaves_its_segment(text: str) -> None:
    try:
        parsed = TracecatRef.parse(f"{WF}/{text}")
    except errors.ConfigurationError:
        return
    encoded = segment(in_path(parsed.execution))
    assert "/" not in encoded
    assert unquote(unquote(encoded)) == f"{WF}/{text.strip()}"


@pytest.mark.parametrize("text", IDS)
def test_an_id_is_encoded_twice(text: str) -> None:
    encoded = segment(in_path(text))
    assert encoded == quote(quote(text, safe=""), safe="")
    assert ("%252F" in encoded) == ("/" in text)
    assert "/" not in encoded


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        (WF, True), (LEGACY, True), (SPACE, True), (SPACE.upper(), True), ("scan", False), ("wf_", False), ("wf-scan", False), ("", False),
        (f"{WF}/x", False), (f"{WF}\n", False), ("wf_a-b", False),
    ],
)  # fmt: skip
def test_which_texts_are_ids_of_workflows(text: str, is_one: bool) -> None:
    assert is_workflow_id(text) is is_one


CALLS: dict[str, Callable[[TracecatHook, str], Any]] = {
    "": lambda hook, ref: hook.get_execution(ref),
    "/compact": lambda hook, ref: hook.get_compact_execution(ref),
    "/reset-points": lambda hook, ref: hook.list_reset_points(ref),
    "/cancel": lambda hook, ref: hook.cancel_execution(ref),
    "/terminate": lambda hook, ref: hook.terminate_execution(ref),
    "/reset": lambda hook, ref: hook.reset_execution(ref),
}


@pytest.mark.parametrize("suffix", list(CALLS))
@pytest.mark.parametrize("scheduled", [False, True])
def test_the_id_reaches_the_wire_encoded_twice(
    hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock, suffix: str, scheduled: bool
) -> None:
    workflow = tracecat.add_workflow(Workflow("Scan", "scan", seconds=600))
    execution = tracecat.fire(tracecat.add_schedule(Schedule("scan"))) if scheduled else tracecat.add_execution(workflow)
    clock.advance(2)
    CALLS[suffix](hook, execution.ref)
    [entry] = emulator.ledger.entries
    assert (
        entry.path
        == f"/tracecat/api/workspaces/{tracecat.workspace}/workflow-executions/{quote(quote(execution.id, safe=''), safe='')}{suffix}"
    )
    assert "%252F" in entry.path
    assert entry.status in (200, 204)
