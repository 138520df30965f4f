"""What survives a crash: the note, the marker, and whether a person cleared the task."""

from __future__ import annotations

import itertools
import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.execution.attempt.note import NOTE_KEY, Note, cleared_since, load_note, next_note, save_note


class Store:
    """Airflow's task state store, with values as JSON."""

    def __init__(self, **values: Any) -> None:
        self.values = {key: json.dumps(value) for key, value in values.items()}

    def get(self, key: str) -> Any:
        return json.loads(self.values[key]) if key in self.values else None

    def set(self, key: str, value: Any) -> None:
        self.values[key] = json.dumps(value)


def context(stored: Any = None, *, clear_number: int | None = 0, **ti: Any) -> Any:
    key = {"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1, "try_number": 1, "max_tries": 2, **ti}
    run = SimpleNamespace() if clear_number is None else SimpleNamespace(clear_number=clear_number)
    return {
        "ti": SimpleNamespace(**key),
        "dag_run": run,
        "task_state_store": Store() if stored is None else Store(**{NOTE_KEY: stored}),
    }


def note(**fields: Any) -> Note:
    defaults = {"generation": 0, "sequence": 0, "marker": "m", "max_tries": 2, "clear_number": 0, "started_at": 1.0}
    return Note(**{**defaults, **fields})


# Retry or clear


def told(*xcoms: str) -> Any:
    """What Airflow tells a try: the XComs of the one before, which it deletes."""
    return SimpleNamespace(xcom_keys_to_clear=list(xcoms))


CASES = list(itertools.product([0, 1, None], [2, 5, 1], [1, 2, 3, 4, 7], [False, True]))


@pytest.mark.parametrize(("clear_number", "max_tries", "try_number", "done"), CASES)
def test_retry_or_clear(clear_number: int | None, max_tries: int, try_number: int, done: bool) -> None:
    """The note was written with clear number 0 and max_tries 2, that is, tries 1 to 3."""
    now = context(clear_number=clear_number, max_tries=max_tries, try_number=try_number)
    cleared = clear_number != 0 and (max_tries != 2 or try_number > 3 or done)
    assert cleared_since(note(done=done), now) is cleared


@pytest.mark.parametrize(
    ("before", "now", "cleared"),
    [
        (note(), {"try_number": 2}, False),
        (note(done=True), {"try_number": 2}, False),
        (note(), {"try_number": 2, "clear_number": 1}, False),
        (note(), {"try_number": 2, "clear_number": 1, "max_tries": 3}, True),
        (note(done=True), {"try_number": 2, "clear_number": 1}, True),
        (note(max_tries=0), {"try_number": 2, "clear_number": 1, "max_tries": 1}, True),
        (note(max_tries=0), {"try_number": 2, "clear_number": 1, "max_tries": 0}, True),
        (note(clear_number=1, max_tries=3), {"try_number": 3, "clear_number": 1, "max_tries": 3}, False),
        (note(), {"try_number": 2, "clear_number": 1, "_ti_context_from_server": told("ended_by")}, True),
        (note(), {"try_number": 2, "clear_number": 1, "_ti_context_from_server": told("execution")}, False),
        (note(), {"try_number": 2, "_ti_context_from_server": told("ended_by")}, False),
    ],
    ids=[
        "a retry after a crash",
        "a retry after a failure",
        "a retry, while another task was cleared",
        "a clear",
        "a clear after a change of retries that left max_tries alike",
        "a clear of a task without retries",
        "a try beyond those there were",
        "a retry after a clear",
        "a clear that Airflow did not count, and the try before left word",
        "a retry, while another task was cleared, and the try before failed",
        "word of a try that was marked, and no clear",
    ],
)
def test_what_airflow_tells(before: Note, now: dict[str, Any], cleared: bool) -> None:
    assert cleared_since(before, context(**now)) is cleared


# The next note


def test_the_first_note() -> None:
    made = next_note(context(clear_number=4), None, cleared=False, now=12.5)
    assert (made.generation, made.sequence, made.max_tries, made.clear_number, made.started_at) == (0, 0, 2, 4, 12.5)
    assert (made.ref, made.url, made.refused, made.done) == (None, None, False, False)
    assert (made.waited, made.waiting_since) == (0.0, None)


@pytest.mark.parametrize(
    ("cleared", "generation", "sequence"),
    [(False, 3, 5), (True, 4, 0)],
    ids=["another start of a retry", "the first start after a clear"],
)
def test_starts_are_counted_within_a_generation_and_clears_begin_another(cleared: bool, generation: int, sequence: int) -> None:
    before = note(generation=3, sequence=4, ref="a/1", url="u", refused=True, done=True, waited=5.0, waiting_since=6.0)
    made = next_note(context(max_tries=7, clear_number=9), before, cleared=cleared, now=99.0)
    assert (made.generation, made.sequence) == (generation, sequence)
    assert (made.max_tries, made.clear_number, made.started_at) == (7, 9, 99.0)
    assert (made.ref, made.url, made.refused, made.done) == (None, None, False, False)
    assert (made.waited, made.waiting_since) == (0.0, None)


def marker(before: Note | None = None, *, cleared: bool = False, now: float = 1.0, **ti: Any) -> str:
    return next_note(context(**ti), before, cleared=cleared, now=now).marker


def test_the_marker_tells_a_start_from_the_same_of_another_airflow() -> None:
    markers = {marker() for _ in range(1_000)}
    assert len(markers) == 1_000
    assert len({one[:16] for one in markers}) == 1, "what is not random tells whose it is"


def test_each_start_has_a_marker_of_its_own() -> None:
    markers = [
        marker(),
        marker(dag_id="other"),
        marker(run_id="other"),
        marker(task_id="other"),
        marker(map_index=0),
        marker(map_index=1),
        marker(map_index=10),
        marker(note()),
        marker(note(sequence=1)),
        marker(note(), cleared=True),
        marker(note(generation=1), cleared=True),
        marker(note(generation=1)),
        marker(dag_id="d\x1fr", run_id=""),
    ]
    assert len(set(markers)) == len(markers)


@given(st.lists(st.text(max_size=5), min_size=3, max_size=3), st.integers(-1, 5))
def test_a_marker_is_short_and_plain(names: list[str], map_index: int) -> None:
    made = marker(dag_id=names[0], run_id=names[1], task_id=names[2], map_index=map_index)
    assert made.startswith("airflow-")
    assert len(made) == 28
    assert made.replace("-", "").isalnum()
    assert made.isascii()


# Load and save

NOTES = st.builds(
    Note,
    generation=st.integers(0, 9),
    sequence=st.integers(0, 9),
    marker=st.text(),
    max_tries=st.integers(0, 9),
    clear_number=st.none() | st.integers(0, 9),
    started_at=st.floats(0, 1e12),
    ref=st.none() | st.text(),
    url=st.none() | st.text(),
    refused=st.booleans(),
    done=st.booleans(),
    waited=st.floats(0, 1e9),
    waiting_since=st.none() | st.floats(0, 1e12),
)


@given(NOTES)
def test_a_note_survives_the_store(made: Note) -> None:
    where = context()
    save_note(where, made)
    assert load_note(where) == made


def test_no_note() -> None:
    assert load_note(context()) is None


def test_fields_of_a_later_version_are_ignored() -> None:
    where = context()
    save_note(where, note(ref="a/1"))
    stored = where["task_state_store"].get(NOTE_KEY)
    assert load_note(context({**stored, "from_the_future": 1})) == note(ref="a/1")


@pytest.mark.parametrize("stored", ["text", 5, [], {}, {"marker": "m"}], ids=repr)
def test_what_is_no_note_counts_as_none(stored: Any) -> None:
    assert load_note(context(stored)) is None
