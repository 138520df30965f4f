"""Reading in pieces gives what reading at once gives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from airflow_provider.execution.http.reading import read_answer
from airflow_provider.tracecat.api import models, streaming

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)
REF = "wf_a/exec_b"


@pytest.mark.long
@given(
    head=st.dictionaries(st.text(max_size=6), JSON, min_size=1, max_size=4),
    items=st.lists(JSON, max_size=6),
    step=st.integers(1, 40),
    indent=st.none() | st.integers(0, 2),
    ascii_only=st.booleans(),
)
def test_any_object_is_read_as_json_reads_it(head: Any, items: Any, step: int, indent: int | None, ascii_only: bool) -> None:
    whole = {**head, "events": items, "z": 12345}
    body = json.dumps(whole, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "CHUNK", step)
        try:
            body.decode()
        except UnicodeDecodeError:
            with pytest.raises(ValueError):  # noqa: PT011
                streaming.read_object(body, "events", lambda item: item)
        else:
            assert streaming.read_object(body, "events", lambda item: item) == whole


@pytest.mark.parametrize("body", [
    b"", b" ", b"{", b"[]", b"1", b"{}x", b'{"events": [1, 2}', b'{"events": [1,]}', b'{"events": [', b'{"a": 1} {"b": 2}', b'{"a": 1}}',
    b'{"a" 1}', b'{"a": 1,}', b'{"events": [1 2]}', b'{"a": "\xff"}', b"<html>", b'{"a": tru',
])  # fmt: skip
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_what_is_no_json_object_is_refused(monkeypatch: pytest.MonkeyPatch, body: bytes, step: int) -> None:
    monkeypatch.setattr(streaming, "CHUNK", step)
    with pytest.raises(ValueError):  # noqa: PT011
        streaming.read_object(body, "events", lambda item: item)


VIEWS: list[type[models.View]] = [models.Execution, models.CompactExecution, models.State]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_the_same_in_pieces(monkeypatch: pytest.MonkeyPatch, view: type[models.View]) -> None:
    row = {
        "event_id": 1,
        "action_ref": "ä",
        "status": "STARTED",
        "start_time": "2026-11-22T00:31:48Z",
        "result": {"events": [{"event_id": 9}]},
    }
    asks = {"id": "i", "status": "pending", "request_payload": {"events": [{"event_id": 7}]}}
    text = json.dumps({"id": REF, "run_id": "r", "interactions": [asks], "events": [row, row], "new": {"a": 1}}, ensure_ascii=False)
    whole = read_answer(view, text.encode(), "test")
    monkeypatch.setattr(streaming, "CHUNK", 7)
    assert view.from_body(text.encode(), "test") == whole
    assert len(whole.events) == 2


@pytest.mark.parametrize("events", ["null", "[]", None])
def test_a_view_without_events(events: str | None) -> None:
    more = "" if events is None else f', "events": {events}'
    assert models.State.from_body(f'{{"id": "{REF}"{more}}}'.encode(), "test").events == []


@pytest.mark.parametrize("body", [b'{"id": 5, "events": []}', b'{"events": []}', b"<html>", b'{"events": [' + b"[" * 100_000])
def test_what_is_wrong_is_said_as_of_a_short_answer(body: bytes) -> None:
    with pytest.raises(ValidationError) as whole:
        read_answer(models.Execution, body, "test")
    with pytest.raises(ValidationError) as pieces:
        models.Execution.from_body(body, "test")
    assert str(pieces.value) == str(whole.value)


@pytest.mark.parametrize("backend", ["yajl2_c", "python"])
def test_the_parser_in_c_and_the_one_in_python_read_alike(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    """Where there is no wheel, the parser in Python is all there is."""
    monkeypatch.setattr(streaming.ijson, "basic_parse", streaming.ijson.get_backend(backend).basic_parse)
    body = '{"events.item": [1.5], "events": [{"events": [18446744073709551616, 0.1, "\\u00e4", null]}, [], 1e400], "z": {"item": true}}'
    assert streaming.read_object(body.encode(), "events", lambda item: item) == json.loads(body)
    with pytest.raises(ValueError, match="not a JSON object"):
        streaming.read_object(body.encode()[:-1], "events", lambda item: item)


@pytest.mark.parametrize("body", [b'{"events": {"item": [1]}}', b'{"events": [1], "events": "x"}', b'{"events": 1, "events": [2]}'])
def test_what_is_not_the_list_is_read_as_it_is(body: bytes) -> None:
    assert streaming.read_object(body, "events", lambda item: item) == json.loads(body)


@pytest.mark.parametrize("step", range(1, 12))
def test_no_number_is_cut(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    monkeypatch.setattr(streaming, "CHUNK", step)
    body = b'{"a": 0.0, "b": -1.5e+30, "events": [12, 1E5, 1e-7, 0.25], "c": 120000}'
    assert streaming.read_object(body, "events", lambda item: item) == json.loads(body)
