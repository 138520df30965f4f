"""New log lines: each once, whatever happens to the list."""

from __future__ import annotations

import datetime
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.alga_psa.api.models import Execution, LogEntry
from airflow_provider.alga_psa.executions.adapter import AlgaPsaAdapter
from airflow_provider.alga_psa.executions.logs import new_entries
from airflow_provider.alga_psa.executions.mapping import log_lines, snapshot_of
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.snapshot import Snapshot
from tests.unit.alga_psa.conftest import EXECUTION


def entry(text: str, second: int | None = None, **fields: Any) -> LogEntry:
    time = None if second is None else f"2026-01-05T10:00:{second:02}.000Z"
    return LogEntry.model_validate_json(json.dumps({"message": text, "timestamp": time, "level": "info", **fields}))


def texts(entries: list[LogEntry]) -> list[str]:
    return [one.message for one in entries]


A, B, C, D = (entry(name, second) for second, name in enumerate("abcd"))


def read(lists: list[list[LogEntry]], limit: int = 100) -> list[list[str]]:
    """What is new in each of these answers, the cursor going through JSON between them."""
    cursor: dict[str, int] = {}
    found = []
    for entries in lists:
        found.append(texts(new_entries(entries, cursor, limit)))
        cursor = json.loads(json.dumps(cursor))
        assert all(isinstance(value, int) for value in cursor.values())
    return found


@pytest.mark.parametrize(
    ("lists", "found"),
    [
        ([[], [A], [A, B], [A, B], [A, B, C]], ["", "a", "b", "", "c"]),
        ([[A, B], [A, B]], ["ab", ""]),
        # a retry that empties the list
        ([[A, B], [], [C], [C, D]], ["ab", "", "c", "d"]),
        ([[A, B], [C, D, A]], ["ab", "cda"]),
        ([[A, B], [C]], ["ab", "c"]),
        # only the newest are kept
        ([[A, B, C], [B, C, D]], ["abc", "d"]),
        ([[A, B, C], [C]], ["abc", ""]),
        # the old ones come back
        ([[A, B], [], [A, B], [A, B, C]], ["ab", "", "", "c"]),
        # the last line was rewritten: rather twice than lost
        ([[A, B], [A, entry("B", 1)]], ["ab", "aB"]),
        # without times, the same text says nothing about where we were
        ([[entry("x"), entry("y")], [entry("y"), entry("z")]], ["xy", "yz"]),
        ([[entry("x"), entry("x")], [entry("x"), entry("x"), entry("x")]], ["xx", "x"]),
    ],
)  # fmt: skip
def test_each_line_once(lists: list[list[LogEntry]], found: list[str]) -> None:
    assert ["".join(new) for new in read(lists)] == found


def test_no_more_than_asked_for_and_none_lost() -> None:
    assert read([[A, B, C, D]] * 4, limit=2) == [["a", "b"], ["c", "d"], [], []]


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 4), st.lists(st.integers(0, 30), max_size=6))
def test_a_growing_list_is_read_once_in_order(seconds: list[int], limit: int, sizes: list[int]) -> None:
    entries = [entry(f"{number}", second if second else None) for number, second in enumerate(seconds)]
    cursor: dict[str, int] = {}
    found: list[str] = []
    for size in [*sorted(sizes), *([len(entries)] * 31)]:
        found += texts(new_entries(entries[:size], cursor, limit))
    assert found == [str(number) for number in range(len(entries))]


@given(st.lists(st.sampled_from([A, B, C, D]), max_size=6), st.lists(st.sampled_from([A, B, C, D]), max_size=6), st.integers(1, 3))
def test_nothing_is_lost_at_the_end_of_any_rewritten_list(before: list[LogEntry], after: list[LogEntry], limit: int) -> None:
    cursor: dict[str, int] = {}
    while new_entries(before, cursor, limit):
        pass
    found: list[LogEntry] = []
    for _ in range(10):
        found += new_entries(after, cursor, limit)
    assert found == after[len(after) - len(found) :]
    if after and after[-1] not in before:
        assert found[-1:] == after[-1:]
    assert new_entries(after, cursor, limit) == []


def test_a_line_carries_step_time_and_level() -> None:
    lines = log_lines([entry("x", 5, level="error", action_index=2, metadata={"status": 502, "password": "s3cr3t-canary"}), entry("y")])
    assert [(line.step, line.text, line.level) for line in lines] == [("action 2", 'x {"status": 502}', "error"), ("", "y", "info")]
    assert lines[0].time == datetime.datetime(2026, 1, 5, 10, 0, 5, tzinfo=datetime.timezone.utc)
    assert lines[1].time is None


@pytest.mark.parametrize("metadata", [None, {}, [], "", 0])
def test_empty_metadata_is_not_shown(metadata: Any) -> None:
    assert log_lines([entry("x", metadata=metadata)])[0].text == "x"


def test_the_system_reads_them_from_the_answer_it_has() -> None:
    execution = Execution.model_validate({"execution_id": EXECUTION, "status": "running", "logs": [A, B]})
    flow = AlgaPsaAdapter().new_lines(snapshot_of(execution), {}, 10)
    with pytest.raises(StopIteration) as end:
        next(flow)
    assert [line.text for line in end.value.value] == ["a", "b"]


def test_a_snapshot_without_answer_is_asked_for() -> None:
    flow = AlgaPsaAdapter().new_lines(Snapshot(EXECUTION, Phase.UNKNOWN, "unknown"), {}, 10)
    assert str(getattr(next(flow), "path", "")).endswith(EXECUTION)
