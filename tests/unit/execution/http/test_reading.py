"""What an answer holds is read as far as it can be: a damaged character, or a field that nobody needs, hides nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from cProfile import Profile
from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from airflow_provider import errors
from airflow_provider.alga_psa.api import models as alga_psa
from airflow_provider.buddy.api import models as buddy
from airflow_provider.execution.http.json_text import has_long_number, read_json, repaired
from airflow_provider.execution.http.reading import LONG_BODY, NotPlain, as_sent, read_answer, what_is_wrong
from airflow_provider.execution.model.request import Route
from airflow_provider.tracecat.api import models as tracecat
from tests.unit.execution.conftest import endpoint_of
from tests.unit.senders import Driver
from tests.unit.servers import serving

ID = "2f0ba7e6-6c32-4c05-9f38-0d8a8ab5f1c7"
DAMAGED: dict[str, tuple[bytes, str]] = {
    "half a pair": (rb"a\ud83dz", "a\ufffdz"),
    "the other half": (rb"a\ude00z", "a\ufffdz"),
    "halves in the wrong order": (rb"a\ude00\ud83dz", "a\ufffd\ufffdz"),
    "a pair beside a half": (rb"\ud83d\ude00\ud83d", "\U0001f600\ufffd"),
    "an escaped backslash is no escape": (rb"\\ud83d", "\\ud83d"),
    "a torn character": (b"a\xe2\x82z", "a\ufffdz"),
    "a byte of no character": (b"a\xffz", "a\ufffdz"),
    "a surrogate in UTF-8": (b"a\xed\xa0\xbdz", "a\ufffd\ufffd\ufffdz"),
    "a line feed": (b"a\nz", "a\nz"),
    "an escape character": (b"a\x1b[31mz", "a\x1b[31mz"),
    "a NUL": (b"a\x00z", "a\ufffdz"),
    "an escaped NUL, which databases refuse": (rb"a\u0000z", "a\ufffdz"),
    "an escaped backslash before the digits of a NUL": (rb"\\u0000", "\\u0000"),
    "an escape of C": (rb"a\x1b[0mz", r"a\x1b[0mz"),
    "an escape of a shell": (rb"\e[31mz", r"\e[31mz"),
    "an escaped apostrophe": (rb"it\'s", r"it\'s"),
    "a path of Windows": (rb"C:\dir\Users\users", r"C:\dir\Users\users"),
    "a backslash before a line feed": (b"a\\\nz", "a\\\nz"),
    "a bad escape behind an escaped backslash": (rb"a\\\xz", r"a\\xz"),
    "a torn escape": (rb"a\u12 z", "a\ufffd z"),
    "a torn escape at the end": (rb"a\ud8", "a\ufffd"),
    "half a pair and a torn escape": (rb"a\ud83d\udez", "a\ufffd\ufffdz"),
    "bad escapes among good ones": (rb"\t\/\q\"\u00e9\ud83d\ude00", '\t/\\q"\u00e9\U0001f600'),
}
LONG_NUMBERS = ["9" * 5_000, "-" + "1" * 4_301, "9" * 5_000 + ".5", "1" + "0" * 9_000 + "e3"]


@pytest.mark.parametrize("damage", DAMAGED)
def test_what_is_no_character_is_replaced(damage: str) -> None:
    text, expected = DAMAGED[damage]
    body = b'{"id": 1, "status": "S", "comment": "' + text + b'", "action_executions": [{"log": ["' + text + b'", "next"]}]}'
    execution = read_answer(buddy.Execution, body, "test")
    assert (execution.comment, execution.action_executions[0].log) == (expected, [expected, "next"])
    execution.comment.encode()
    assert read_json(b'["' + text + b'"]') == [expected]


@pytest.mark.parametrize("number", LONG_NUMBERS, ids=lambda number: f"{number[:2]}-{number[-2:]}")
@pytest.mark.parametrize("text", ["a", "9" * 5_000, rb"\" ".decode() + "9" * 5_000, r"\x" + "9" * 5_000])
def test_a_number_that_is_too_long_becomes_text(number: str, text: str) -> None:
    body = f'{{"id": 1, "status": "S", "comment": "{text}", "x": [{number},{number}], "y": {{"{"8" * 5_000}":{number}}}}}'.encode()
    expected = text.replace(r"\"", '"')
    execution = read_answer(buddy.Execution, body, "test")
    extra = execution.model_extra or {}
    assert (execution.comment, extra["x"], extra["y"]) == (expected, [number, number], {"8" * 5_000: number})
    assert read_json(body)["x"] == [number, number]


@pytest.mark.parametrize("damage", [r"\x", "9" * 5_000])
def test_a_long_answer_of_tracecat_is_read_all_the_same(damage: str) -> None:
    value = f'"{damage}"' if damage.startswith("\\") else damage
    body = f'{{"id": "x", "events": [{{"action_result": {value}}}, {{"action_result": 5}}], "pad": "{"x" * LONG_BODY}"}}'.encode()
    execution = read_answer(tracecat.CompactExecution, body, "test")
    assert [event.action_result for event in execution.events] == [damage, 5]


@pytest.mark.long
@pytest.mark.parametrize("number", ['"9" * 4_301', '"-" + "9" * 20_000', '"9" * 100_000'])
def test_a_number_in_a_long_answer_does_not_end_the_process(number: str) -> None:
    """In a process of its own, since the parser in C went on with what Python had refused, and crashed after a while."""
    script = f"""
from airflow_provider.execution.http.reading import LONG_BODY, read_answer
from airflow_provider.tracecat.api.models import CompactExecution
pad, number = "x" * LONG_BODY, {number}
for items in range(1, 41):
    events = ", ".join(['{{"action_result": %s}}' % number] * items)
    read = read_answer(CompactExecution, ('{{"id": "x", "events": [%s], "pad": "%s"}}' % (events, pad)).encode(), "test")
    assert [event.action_result for event in read.events] == [number] * items
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=280)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_digits_in_a_string_of_a_long_answer_stay_as_they_are() -> None:
    text = "1" * 5_000
    body = f'{{"id": "x", "events": [{{"action_result": "{text}"}}, {{"action_result": {text}}}], "pad": "{"x" * LONG_BODY}"}}'.encode()
    assert [event.action_result for event in read_answer(tracecat.CompactExecution, body, "test").events] == [text, text]


@pytest.mark.parametrize("place", [0, 1, 65_535, 65_536, 65_536 - 4_301, 65_536 - 2_000, 200_000])
def test_a_long_number_is_seen_wherever_it_is(place: int) -> None:
    assert has_long_number(b" " * place + b"7" * 4_301)
    assert has_long_number(bytearray(b"," * place + b"7" * 4_301 + b",," * 70_000))
    assert not has_long_number(b" " * place + b"7" * 4_300 + b" " + b"7" * 4_300)


@pytest.mark.parametrize(
    ("encoding", "header"),
    [("utf-8-sig", None), ("utf-16", None), ("utf-16-le", None), ("utf-16-be", None), ("utf-32", None), ("latin-1", "iso-8859-1"),
     ("cp1252", "windows-1252"), ("utf-8", "latin-1"), ("utf-8", "no-such-thing"), ("utf-8", "punycode")],
)  # fmt: skip
def test_any_encoding_of_json(encoding: str, header: str | None) -> None:
    body = json.dumps({"id": 1, "status": "S", "comment": "café"}, ensure_ascii=False).encode(encoding)
    assert read_answer(buddy.Execution, body, "test", header).comment == "café"


def test_an_encoding_that_nobody_names_costs_the_character_only() -> None:
    body = json.dumps({"id": 1, "status": "S", "comment": "café"}, ensure_ascii=False).encode("latin-1")
    assert read_answer(buddy.Execution, body, "test").comment == "caf\ufffd"


@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=ISO-8859-1", 'text/plain;charset="latin-1"'])
def test_damaged_answers_of_a_server(driver: Driver, content_type: str) -> None:
    route: Route[Any] = Route("GET", "/x", dict[str, Any])
    is_latin = "1" in content_type
    with serving(b'{"a": "caf\xe9 \\ud83d", "b": 2}', {"Content-Type": content_type}) as server:
        answer = driver.send(endpoint_of(server.url), route())
    assert answer == {"a": "café \ufffd" if is_latin else "caf\ufffd \ufffd", "b": 2}


@pytest.mark.parametrize("body", [b"", b"{", b'{"id": 1, "status": "\xff', b"<html>", b"\x00\x01", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_json_remains_an_error(driver: Driver, body: bytes) -> None:
    with serving(body) as server, pytest.raises(errors.ProtocolError):
        driver.send(endpoint_of(server.url), Route("GET", "/x", dict[str, Any])())


def test_the_error_texts_of_damaged_bodies(driver: Driver) -> None:
    body = b'{"errors": [{"message": "no branch caf\xe9 \\ud83d here"}]}'
    with serving(body) as server, pytest.raises(errors.StatusError, match="no branch caf\ufffd \ufffd here"):
        # an error that was sent with a success status
        driver.send(endpoint_of(server.url), Route("GET", "/x", dict[str, Any])())


# Nesting

DEEP = [250, 1_000, 20_000]
ANSWERS: dict[str, tuple[Any, Callable[[str], str]]] = {
    "buddy": (buddy.Execution, lambda deep: f'{{"id": 1, "status": "S", "x": {deep}}}'),
    "buddy, a list": (buddy.ExecutionList, lambda deep: f'{{"executions": [{{"id": 1, "status": "S", "x": {deep}}}]}}'),
    "buddy, an output": (
        buddy.ActionExecution,
        lambda deep: f'{{"outputted_variables": [{{"key": "A", "value": {deep}}}]}}',
    ),
    "tracecat": (tracecat.CompactExecution, lambda deep: f'{{"id": "x", "events": [{{"action_result": {deep}}}]}}'),
    "tracecat, long": (
        tracecat.CompactExecution,
        lambda deep: f'{{"id": "x", "events": [{{"action_result": {deep}}}], "pad": "{"x" * LONG_BODY}"}}',
    ),
    "tracecat, long, outside": (tracecat.State, lambda deep: f'{{"id": "x", "pad": "{"x" * LONG_BODY}", "x": {deep}}}'),
    "alga_psa": (
        alga_psa.ExecutionAnswer,
        lambda deep: f'{{"data": {{"execution_id": "{ID}", "status": "completed", "execution_context": {{"x": {deep}}}}}}}',
    ),
    "a stored value": (Any, lambda deep: deep),
}


@pytest.mark.parametrize("depth", DEEP)
@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_deep_nesting_is_an_error_of_the_answer(answer: str, depth: int, brackets: str) -> None:
    cls, body_of = ANSWERS[answer]
    deep = "[" * depth + "]" * depth if brackets == "[]" else '{"a":' * depth + "1" + "}" * depth
    with pytest.raises(ValueError):  # noqa: PT011 - the senders make a ProtocolError of it
        read_answer(cls, body_of(deep).encode(), "test")


# Fields that are not what the contract says


def of_buddy(**fields: Any) -> dict[str, Any]:
    return {"id": 1, "status": "INPROGRESS", **fields}


def an_action(**fields: Any) -> dict[str, Any]:
    return of_buddy(action_executions=[{"action_execution_id": "a", "status": "SUCCESSFUL", **fields}])


def of_alga_psa(**fields: Any) -> dict[str, Any]:
    return {"data": {"execution_id": ID, "status": "completed", **fields}}


def of_tracecat(**fields: Any) -> dict[str, Any]:
    return {"id": "wf_1/exec_1", "status": "COMPLETED", **fields}


ODD: dict[str, tuple[Any, dict[str, Any], str, Any]] = {
    "a number with a part": (buddy.Execution, an_action(action={"timeout": 1.5}), "action_executions.0.action.timeout", 1.5),
    "an empty number": (buddy.Execution, an_action(action={"timeout": ""}), "action_executions.0.action.timeout", ""),
    "a text for an object": (buddy.Execution, an_action(action={"integration": "s3"}), "action_executions.0.action.integration", "s3"),
    "a text for an id": (buddy.Execution, an_action(terminator_id="ann"), "action_executions.0.terminator_id", "ann"),
    "an empty date": (buddy.Execution, of_buddy(start_date=""), "start_date", ""),
    "a date in words": (buddy.Execution, of_buddy(finish_date="yesterday"), "finish_date", "yesterday"),
    "a percentage": (buddy.Execution, an_action(progress="50%"), "action_executions.0.progress", "50%"),
    "a user in short": (buddy.Execution, of_buddy(creator="ann"), "creator", "ann"),
    "an infinite number": (buddy.Execution, an_action(progress=float("inf")), "action_executions.0.progress", float("inf")),
    "an alternative's field": (buddy.Execution, of_buddy(branch={"name": 5}), "branch.name", 5),
    "an older name": (buddy.Execution, of_buddy(mode=["CLICK"]), "mode", ["CLICK"]),
    "a list that is none": (buddy.Execution, an_action(outputted_variables="none"), "action_executions.0.outputted_variables", "none"),
    "a date of AlgaPSA": (alga_psa.ExecutionAnswer, of_alga_psa(completed_at="never"), "data.completed_at", "never"),
    "an object of AlgaPSA": (alga_psa.ExecutionAnswer, of_alga_psa(trigger_data="x"), "data.trigger_data", "x"),
    "a number of AlgaPSA": (alga_psa.ExecutionAnswer, of_alga_psa(duration_ms="12 ms"), "data.duration_ms", "12 ms"),
    "a rule's flag": (alga_psa.RuleAnswer, {"data": {"rule_id": ID, "is_template": "perhaps"}}, "data.is_template", "perhaps"),
    "a number of Tracecat": (tracecat.CompactExecution, of_tracecat(history_length="many"), "history_length", "many"),
    "an event of Tracecat": (tracecat.CompactExecution, of_tracecat(events=[{"loop_index": "x"}]), "events.0.loop_index", "x"),
    "an error of Tracecat": (tracecat.CompactExecution, of_tracecat(events=[{"action_error": "boom"}]), "events.0.action_error", "boom"),
    "a date of Tracecat": (tracecat.CompactExecution, of_tracecat(interactions=[{"expires_at": "x"}]), "interactions.0.expires_at", "x"),
}


def at(answer: Any, path: str) -> Any:
    for part in path.split("."):
        answer = answer[int(part)] if isinstance(answer, list) else getattr(answer, part)
    return answer


@pytest.mark.parametrize("kind", ODD)
def test_a_field_that_nobody_needs_breaks_nothing(kind: str) -> None:
    cls, value, path, odd = ODD[kind]
    answer = read_answer(cls, json.dumps(value).encode(), "test")
    outer, _, name = path.rpartition(".")
    around: BaseModel = at(answer, outer) if outer else answer
    assert as_sent(around) == {name: odd}
    default = None if name not in type(around).model_fields else type(around).model_fields[name].get_default(call_default_factory=True)
    if name in type(around).model_fields:
        assert getattr(around, name) == default
    if isinstance(answer, alga_psa.ExecutionAnswer):
        assert answer.data.execution_id == ID


def test_everything_odd_at_once() -> None:
    odd: dict[str, Any] = {
        name: {"?": []} for name in ("url", "start_date", "creator", "priority", "delay_until", "refresh", "comment", "to_revision")
    }
    item = {"status": 5, "progress": "x", "action": {"timeout": [], "variables": [{"key": 5}, {"key": "K", "id": "x"}, "text", None]}}
    value = of_buddy(**odd, action_executions=[item, "text", {"log": ["a", 5, None]}])
    execution = read_answer(buddy.Execution, json.dumps(value).encode(), "test")
    one, other = execution.action_executions
    assert (one.status, one.progress, [variable.key for variable in one.action.variables]) == ("UNKNOWN", None, ["K"])
    assert other.log == ["a", "5", ""]  # a position in a log is a number of lines
    assert set(as_sent(execution)) >= {"url", "start_date", "action_executions"}


DEMANDED: dict[str, tuple[Any, Any]] = {
    "no status": (buddy.Execution, {"id": 1}),
    "a status that is no text": (buddy.Execution, {"id": 1, "status": 5}),
    "an id that is no number": (buddy.Execution, {"id": "x", "status": "S"}),
    "an item without an id": (buddy.ExecutionList, {"executions": [of_buddy(), {"status": "S"}]}),
    "an item that is no object": (buddy.ExecutionList, {"executions": [of_buddy(), "x"]}),
    "no list": (buddy.ExecutionList, {"executions": "x"}),
    "a glance without a status": (buddy.GlanceList, {"executions": [{"id": 1}]}),
    "an id of AlgaPSA": (alga_psa.ExecutionList, {"data": [{"execution_id": "x", "status": "S"}]}),
    "an item of AlgaPSA that is no object": (alga_psa.ExecutionList, {"data": [[], "x"]}),
    "a status of Tracecat, where none means running": (tracecat.State, {"id": "x", "status": 5}),
    "where a list goes on": (tracecat.SummaryPage, {"items": [], "next_cursor": 5}),
    "where a collection goes on": (tracecat.CollectionPage, {"items": [], "next_offset": "x"}),
    "the address of what is started": (tracecat.Started, {"wf_exec_id": None}),
    "an array": (buddy.Execution, []),
}


@pytest.mark.parametrize("kind", DEMANDED)
def test_what_decides_is_demanded(kind: str) -> None:
    """An execution that is dropped from a list would look as if it had never been started."""
    cls, value = DEMANDED[kind]
    with pytest.raises(ValidationError):
        read_answer(cls, json.dumps(value).encode(), "test")


def test_the_error_names_what_is_demanded(driver: Driver) -> None:
    body = b'{"page": "x", "executions": [{"id": "x", "status": "S"}]}'
    with serving(body) as server, pytest.raises(errors.ProtocolError, match=r"executions\.0\.id"):
        driver.send(endpoint_of(server.url), Route("GET", "/x", buddy.ExecutionList)())


@pytest.mark.parametrize("flag", ["perhaps", 5, [], {}])
def test_a_flag_that_can_not_be_read_means_secret(flag: Any) -> None:
    assert read_answer(buddy.Variable, json.dumps({"key": "K", "encrypted": flag}).encode(), "test").encrypted is True


def test_a_long_answer_is_as_lenient() -> None:
    events = [{"event_id": 1, "result": "\ud83d"}, {"event_id": "x"}, {"event_id": 3, "event_time": "soon", "failure": "x"}]
    value = of_tracecat(events=events, history_length="x", pad="x" * LONG_BODY)
    answer = read_answer(tracecat.Execution, json.dumps(value).encode(), "test")
    assert [event.event_id for event in answer.events] == [1, 3]
    assert answer.events[0].result in ("\ufffd", "?")
    assert (answer.events[1].event_time, answer.history_length) == (None, None)


def filled(kind: str, size: int) -> tuple[Any, bytes]:
    """An answer of about so many bytes in which as much as possible is wrong, and its type."""
    before, item, after = {
        "numbers as actions": ('"action_executions": [', "1", "]"),
        "numbers as variables": ('"action_executions": [{"outputted_variables": [', "1", "]}]"),
        "numbers as lines": ('"action_executions": [{"log": [', "1", "]}]"),
        "fields of actions": ('"action_executions": [', '{"progress": "x", "target": 1, "log_url": 2, "url": 4}', "]"),
        "numbers as events": ('"events": [', "1", "]"),
        "fields of events": ('"events": [', '{"event_id": "x", "event_time": "soon"}', "]"),
        "numbers as entries": ('"logs": [', "1", "]"),
    }[kind]
    answer = tracecat.Execution if "event" in kind else alga_psa.Execution if "entries" in kind else buddy.Execution
    head = of_tracecat() if "event" in kind else of_alga_psa()["data"] if "entries" in kind else {"id": 1, "status": "S"}
    head.pop("logs", None), head.pop("events", None)
    items = ",".join([item] * (size // (len(item) + 1)))
    return answer, f"{json.dumps(head)[:-1]}, {before}{items}{after}}}".encode()


FILLED = [
    "numbers as actions", "numbers as variables", "numbers as lines", "fields of actions", "numbers as events", "fields of events",
    "numbers as entries",
]  # fmt: skip


def calls_of(act: Callable[[], object]) -> int:
    """How many functions are called, which is the same on any machine."""
    profile = Profile()
    with suppress(ValidationError, NotPlain):
        profile.runcall(act)
    return int(sum(entry.callcount for entry in profile.getstats()))


@pytest.mark.parametrize(("kind", "size"), [*((kind, 60_000) for kind in FILLED), ("fields of events", LONG_BODY + 1_000)])
def test_what_is_wrong_everywhere_is_not_mended(kind: str, size: int) -> None:
    """It takes no more work than to see that it is wrong; and the error says so, without a list."""
    answer, body = filled(kind, size)
    with pytest.raises(ValidationError) as raised:
        read_answer(answer, body, "test")
    assert what_is_wrong(raised.value)[1].endswith("values are wrong") or "event" in kind
    seeing_it = calls_of(lambda: TypeAdapter(answer).validate_json(body))
    in_pieces = 10 * size if size > LONG_BODY else 0
    assert calls_of(lambda: read_answer(answer, body, "test")) < 2 * seeing_it + in_pieces + 1_000


@pytest.mark.parametrize("kind", FILLED)
@pytest.mark.parametrize("size", [100, 3_000, 16_000, 60_000])
def test_no_answer_is_mended_at_once(kind: str, size: int) -> None:
    """An event loop has no time for it."""
    answer, body = filled(kind, size)
    seeing_it = calls_of(lambda: TypeAdapter(answer).validate_json(body))
    assert calls_of(lambda: read_answer(answer, body, "test", at_once=True)) < seeing_it + 30


@pytest.mark.parametrize("body", [b'{"id": 1, "status": "\\u0000"}', b'{"id": 1, "status": "\xff"}', b"no JSON"])
def test_no_answer_is_repaired_at_once(body: bytes) -> None:
    with pytest.raises(NotPlain):
        read_answer(buddy.Execution, body, "test", at_once=True)


def test_a_field_that_the_server_has_changed_everywhere_is_still_left_out() -> None:
    """However many items there are, as long as there is something to them."""
    entries = [{"timestamp": "soon", "message": f"line {number}: {'x' * 200}", "level": "info"} for number in range(4_000)]
    execution = read_answer(alga_psa.Execution, json.dumps(of_alga_psa(logs=entries)["data"]).encode(), "test")
    assert (len(execution.logs), execution.logs[-1].message[:10]) == (4_000, "line 3999:")
    events = [{"event_id": number, "event_time": "soon", "failure": None, "pad": "x" * 300} for number in range(4_000)]
    view = read_answer(tracecat.Execution, json.dumps(of_tracecat(events=events)).encode(), "test")
    assert [event.event_id for event in view.events] == list(range(4_000))


@pytest.mark.parametrize("size", [20_000, 80_000])
@pytest.mark.parametrize("text", [b"\\", b'\\"', b'"', b"\\ud83d", b"\\\\", b"\xff", b"\n"])
def test_repairing_ends(text: bytes, size: int) -> None:
    repaired(b'{"a": "' + text * size).decode()
