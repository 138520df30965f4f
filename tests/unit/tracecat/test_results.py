"""Results: in the answer, behind an address, in pages; and those that can't be had."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.emulator import Emulator, Fault, ManualClock
from airflow_provider.emulator.tracecat import NOTHING, Action, Workflow
from airflow_provider.emulator.tracecat.system import Tracecat
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.snapshot import Snapshot
from airflow_provider.tracecat.api import stored_results
from airflow_provider.tracecat.hook import TracecatHook

LONG = {"text": "żółw " * 100, "n": [1, 2]}


def ran(tracecat: Tracecat, clock: ManualClock, result: Any = None, returns: Any = "${{ ACTIONS.a.result }}", **action: Any) -> str:
    workflow = tracecat.add_workflow(Workflow("Scan", "scan", [Action("a", result=result, **action)], returns=returns))
    execution = tracecat.add_execution(workflow)
    clock.advance(20)
    return execution.ref


def outputs(hook: TracecatHook, ref: str, **view: Any) -> dict[str, Any]:
    return {name: output.value for name, output in details(hook, ref, **view).outputs.items()}


def details(hook: TracecatHook, ref: str, **view: Any) -> Snapshot:
    return hook.run_flow(hook.adapter(**view).details(ref))


@pytest.mark.parametrize(
    ("result", "found"),
    [
        ({"IMAGE": "shop:1", "n": 5}, {"IMAGE": "shop:1", "n": 5}), ({"a": None}, {"a": None}), ([1, 2], {"result": [1, 2]}),
        ("text", {"result": "text"}), (0, {"result": 0}), (False, {"result": False}), ("", {"result": ""}), ([], {"result": []}),
        (None, {}), ({}, {}), ({"wf_id": 1}, {"wf_id": 1}),
    ],
)  # fmt: skip
def test_a_result_in_the_answer(hook: TracecatHook, tracecat: Tracecat, clock: ManualClock, result: Any, found: dict[str, Any]) -> None:
    assert outputs(hook, ran(tracecat, clock, result)) == found


def test_without_returns_there_are_no_outputs(hook: TracecatHook, tracecat: Tracecat, clock: ManualClock) -> None:
    ref = ran(tracecat, clock, 5, returns=NOTHING)
    found = details(hook, ref)
    assert (found.outputs, found.outputs_omitted, found.settled) == ({}, {}, True)
    assert hook.get_compact_execution(ref).events[-1].action_result["wf_exec_id"] == ref


@pytest.mark.parametrize("encoding", ["json", "json+gzip"])
def test_a_result_behind_an_address(hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock, encoding: str) -> None:
    tracecat.inline_limit, tracecat.blob_encoding = 100, encoding
    ref = ran(tracecat, clock, LONG)
    assert outputs(hook, ref) == LONG == outputs(hook, ref, action="a")
    fetched = emulator.ledger.select(system="storage")
    assert len(fetched) == 2
    assert not [entry for entry in fetched if {"authorization", "cookie"} & entry.headers.keys()]


def test_an_address_that_has_expired_is_said_without_it(hook: TracecatHook, tracecat: Tracecat, clock: ManualClock) -> None:
    tracecat.inline_limit, tracecat.download_expires = 100, 0.0
    found = details(hook, ran(tracecat, clock, LONG))
    assert found.outputs == {}
    assert "403" in found.outputs_omitted["result"]
    assert "Signature" not in found.outputs_omitted["result"]
    assert "http://" not in found.outputs_omitted["result"]


def test_a_result_that_is_kept_no_longer(hook: TracecatHook, tracecat: Tracecat, clock: ManualClock) -> None:
    tracecat.inline_limit, tracecat.blob_retention = 100, 60.0
    ref = ran(tracecat, clock, LONG)
    clock.advance(100)
    found = details(hook, ref)
    assert found.outputs == {}
    assert "404" in found.outputs_omitted["result"]


def test_a_masked_result(hook: TracecatHook, tracecat: Tracecat, clock: ManualClock) -> None:
    tracecat.inline_limit = 100
    ref = ran(tracecat, clock, LONG, returns=1, mask_output=True)
    found = details(hook, ref, action="a")
    assert "żółw" not in str(found.outputs) + str(found)
    assert found.outputs_omitted.get("result", "masked").count("masked") or found.outputs


def test_a_server_that_is_away_is_asked_again_later(hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock) -> None:
    tracecat.inline_limit = 100
    ref = ran(tracecat, clock, LONG)
    emulator.faults.add(Fault("status", status=503, path="/objects/download$", times=None))
    found = details(hook, ref)
    assert isinstance(found.unread, errors.ServerError)
    assert "could not be fetched" in found.outputs_omitted["result"]


ODD: list[Any] = ["5", {}, [], None, 5.5, -1, True, 10**400]
"""Instead of a number, of a name or of a text."""


@pytest.mark.parametrize("value", [*ODD[:-1], pytest.param(ODD[-1], id="huge")])
@pytest.mark.parametrize("field", ["ref.size_bytes", "ref.encoding", "ref.key", "ref.sha256", "ref", "typename"])
def test_a_reference_with_a_field_of_another_type(
    hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock, field: str, value: Any
) -> None:
    """The result is read, or left out with the reason; it breaks nothing."""
    tracecat.inline_limit = 100
    ref = ran(tracecat, clock, LONG)
    rows = len(hook.get_compact_execution(ref).events)
    for row in range(rows):
        emulator.faults.add(Fault("altered", path="/compact$", changes={f"events.{row}.action_result.{field}": value}))
        found = details(hook, ref)
        emulator.faults.clear()
        assert found.phase is Phase.SUCCEEDED
        assert found.outputs or found.outputs_omitted


@pytest.mark.parametrize("value", [*ODD[:-1], pytest.param(ODD[-1], id="huge")])
@pytest.mark.parametrize("field", ["count", "manifest_ref.size_bytes", "manifest_ref", "element_kind", "chunk_size", "schema"])
def test_a_manifest_with_a_field_of_another_type(
    hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock, field: str, value: Any
) -> None:
    workflow = tracecat.add_workflow(Workflow("Scan", "scan", [Action("sc", scatter=[1, 2, 3], result=[1, 2, 3])]))
    ref = tracecat.add_execution(workflow).ref
    clock.advance(20)
    for row in range(len(hook.get_compact_execution(ref).events)):
        emulator.faults.add(Fault("altered", path="/compact$", changes={f"events.{row}.action_result.{field}": value}))
        found = details(hook, ref, action="sc")
        emulator.faults.clear()
        assert found.phase is Phase.SUCCEEDED
        assert found.outputs or found.outputs_omitted


def test_a_stored_result_that_is_no_json(hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock) -> None:
    tracecat.inline_limit = 100
    ref = ran(tracecat, clock, LONG)
    for number, base64 in enumerate(("%%%", "abc", "PGh0bWw+", "H4sIAAA=", "H4sIAAAAAAAAA8vPT1z=", "/w==", "eyJhIjog")):
        body = {"download_url": f"data:application/json;base64,{base64}"}
        fault = emulator.faults.add(Fault("body", body=body, path="/objects/download$"))
        snapshot = details(hook, ref)
        assert "a stored result is not JSON" in snapshot.outputs_omitted["result"]
        assert snapshot.phase is Phase.SUCCEEDED
        assert fault.hits == 1, number


@pytest.mark.parametrize("data", [b"[" * 200_000, b"\x1f\x8b" + b"\x00" * 50])
def test_a_stored_result_of_hostile_bytes(data: bytes) -> None:
    with pytest.raises(errors.ProtocolError, match="a stored result is not JSON"):
        stored_results._decoded(data, "json")


def test_a_long_result_is_left_where_it_is(
    hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_results, "MAX_BODY_BYTES", 300)
    tracecat.inline_limit = 100
    found = details(hook, ran(tracecat, clock, LONG))
    assert found.outputs == {}
    assert "over the 300 that are fetched" in found.outputs_omitted["result"]
    assert emulator.ledger.select("POST") == []


def test_a_short_result_that_unpacks_to_a_long_one(
    hook: TracecatHook, tracecat: Tracecat, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_results, "MAX_BODY_BYTES", 1_000)
    tracecat.inline_limit, tracecat.blob_encoding = 100, "json+gzip"
    found = details(hook, ran(tracecat, clock, {"text": "x" * 100_000}))
    assert found.outputs == {}
    assert "over the 1000 bytes" in found.outputs_omitted["result"]


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
def test_a_collection_in_pages(hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock, count: int) -> None:
    items = [{"i": number, "t": "ż" * (3_000 if number == 1 else 1)} for number in range(count)]
    workflow = tracecat.add_workflow(Workflow("Scan", "scan", [Action("sc", scatter=items, result=items)]))
    execution = tracecat.add_execution(workflow)
    clock.advance(20)
    assert outputs(hook, execution.ref, action="sc") == {"result": items}
    assert len(emulator.ledger.select("POST", "/collection/page$")) == max(1, -(-count // 100))


def test_a_collection_of_many_is_left_where_it_is(
    hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_results, "MAX_ITEMS", 5)
    workflow = tracecat.add_workflow(Workflow("Scan", "scan", [Action("sc", scatter=list(range(6)))]))
    execution = tracecat.add_execution(workflow)
    clock.advance(20)
    found = details(hook, execution.ref, action="sc")
    assert found.outputs_omitted == {"result": "a collection of 6 items, over the 5 that are fetched"}
    assert emulator.ledger.select("POST") == []


LOOKALIKES: list[dict[str, Any]] = [
    {"type": "external"}, {"type": "external", "ref": "x", "typename": "dict"}, {"type": "external", "ref": {}, "typename": "dict"},
    {"type": "collection", "count": 3}, {"type": "collection", "manifest_ref": None, "typename": "list"},
    {"type": "inline", "data": 5}, {"type": "inline", "typename": "x"},
    {"type": "other", "ref": {"bucket": "b", "key": "k"}, "typename": "x"},
]  # fmt: skip
TWINS: list[dict[str, Any]] = [
    {"type": "external", "ref": {"bucket": "b", "key": "k", "size_bytes": 5, "encoding": "json"}, "typename": "dict"},
    {"type": "collection", "manifest_ref": {"bucket": "b", "key": "k"}, "count": 3, "typename": "list"},
]


@pytest.mark.parametrize("result", LOOKALIKES, ids=str)
def test_a_dict_that_merely_looks_like_a_reference_is_the_result(
    hook: TracecatHook, emulator: Emulator, tracecat: Tracecat, clock: ManualClock, result: dict[str, Any]
) -> None:
    assert outputs(hook, ran(tracecat, clock, result)) == result
    assert emulator.ledger.select("POST") == []


@pytest.mark.parametrize("result", TWINS, ids=str)
def test_a_dict_that_looks_just_like_a_reference_is_the_result_if_the_server_says_so(
    hook: TracecatHook, tracecat: Tracecat, clock: ManualClock, result: dict[str, Any]
) -> None:
    assert outputs(hook, ran(tracecat, clock, result)) == result
