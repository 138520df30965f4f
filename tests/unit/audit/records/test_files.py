"""Lines of records are read as Python's ``json`` reads them, whichever parser does it."""

from __future__ import annotations

import json
from io import StringIO

import pytest

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
