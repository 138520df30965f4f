"""Lines of records are read as Python's ``json`` reads them, whichever parser does it."""

from __future__ import annotations

import json
from io import StringIO

import pytest

from airflow_provider.audit.facts.gap import GapFacts
from airflow_provider.audit.records.files import _records, _Unreadable, facts_in


@pytest.mark.parametrize(
    "value",
    [
        "[NaN, Infinity, -Infinity, 1e400, -0, -0.0, 1e-400]",
        "[0.1, 1e22, 9007199254740993.0, 1.7976931348623157e308, 5e-324]",
        "123456789012345678901234567890",
        '"half a pair: \\ud83d"',
        '"a pair: \\ud83d\\ude00, and \\u0000"',
        '"\u2028"',
        "[" * 150 + "]" * 150,
        "[" * 300 + "]" * 300,
        '{"same": 1, "same": 2}',
    ],
    ids=lambda value: value[:20],
)
def test_what_json_reads_is_read_alike(value: str) -> None:
    text = f'{{"kind": "x", "data": {value}}}'
    [record] = _records(StringIO(text + "\n"), "records.jsonl")
    assert repr(record) == repr(json.loads(text))


@pytest.mark.parametrize(
    "value", ["[1,]", "01", "'a'", '"a\tb"', "1" + "0" * 5_000, "[" * 100_000 + "]" * 100_000], ids=lambda value: value[:9]
)
def test_what_json_does_not_read_is_a_gap_with_its_line(value: str) -> None:
    text = f'{{"kind": "x", "data": {value}}}'
    first, second = _records(StringIO('{"kind": "x"}\n' + text + "\n"), "records.jsonl")
    assert first == {"kind": "x"}
    assert isinstance(second, _Unreadable)
    [_, gap] = facts_in(
        StringIO('{"kind": "gap", "system": "buddy", "subject": "a", "what": "b", "reason": "c"}\n' + text), "records.jsonl"
    )
    assert gap.subject.id == "records.jsonl, line 2"


ACTION = {"id": 1, "type": "BUILD", "name": "Build", "url": "https://api.buddy.works/workspaces/w/projects/p/pipelines/89/actions/1"}


@pytest.mark.parametrize("other", [{}, {"id": 2, "name": "no type, no address"}, "text", 5, None, []], ids=repr)
@pytest.mark.parametrize("first", [True, False])
def test_an_item_that_is_not_recognised_hides_no_other(other: object, first: bool) -> None:
    items = [other, ACTION] if first else [ACTION, other]
    facts = list(facts_in(StringIO(json.dumps({"actions": items})), "actions.json"))
    assert sorted(fact.subject.id for fact in facts) == [f"actions.json: actions[{0 if first else 1}]", "buddy:w/p/89/action/1"]
    [gap] = [fact for fact in facts if isinstance(fact, GapFacts)]
    assert "not recognised" in gap.reason


@pytest.mark.parametrize("first", [True, False])
def test_an_item_that_is_malformed_hides_no_other(first: bool) -> None:
    url = "https://api.buddy.works/workspaces/w/projects/p/pipelines/89"
    items = [{"id": id, "name": "Deploy", "url": url, "refs": [], "events": []} for id in ("no number", 89, 90)]
    facts = list(facts_in(StringIO(json.dumps({"pipelines": items if first else items[::-1]})), "pipelines.json"))
    [gap] = [fact for fact in facts if isinstance(fact, GapFacts)]
    assert len(facts) == 3
    assert gap.subject.id == f"pipelines.json: item {1 if first else 3}"
    assert "id: " in gap.reason


@pytest.mark.parametrize("value", [{}, {"hello": "world"}, {"actions": [{}]}, [], [{}], {"message": "Not found"}], ids=repr)
def test_what_is_no_answer_at_all_is_said(value: object) -> None:
    for fact in facts_in(StringIO(json.dumps(value)), "answer.json"):
        assert isinstance(fact, GapFacts)
        assert "neither an answer of Buddy, Tracecat or AlgaPSA that is recognised, nor a record" in fact.reason
        assert "None" not in fact.reason
