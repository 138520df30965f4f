"""The view of an execution for Airflow's web interface: small, without secrets, and not written more often than it should."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.snapshot import Output, Snapshot, Step
from airflow_provider.execution.results.view import MAX_STEPS, MAX_TEXT, ExecutionView, ViewWrites, view_of
from tests.virtual_clock import VirtualClock

BEGUN = datetime(2026, 1, 1, tzinfo=timezone.utc)


def step(number: int, phase: Phase = Phase.SUCCEEDED, **fields: Any) -> Step:
    return Step(str(number), f"step {number}", phase, phase.value, started_at=BEGUN, **fields)


def view(snapshot: Snapshot, secrets: Iterable[str] = (), **options: bool) -> ExecutionView:
    return view_of("buddy", "buddy_default", snapshot, secrets, **options)


def running(*steps: Step, **fields: Any) -> Snapshot:
    return Snapshot("w/p/1/2", Phase.RUNNING, "INPROGRESS", "https://remote.example/2", steps=list(steps), **fields)


def test_it_has_the_names_and_values_of_the_result(clock: VirtualClock) -> None:
    shown = view(running(step(1), step(2, Phase.RUNNING), started_at=BEGUN, progress=40.0, actor={"started_by": "Ann", "starter_id": 7}))
    assert shown["ref"] == "w/p/1/2"
    assert (shown["phase"], shown["status"], shown["progress"]) == ("RUNNING", "INPROGRESS", 40.0)
    assert shown["started_at"] == "2026-01-01T00:00:00+00:00"
    assert [(one["name"], one["phase"]) for one in shown["steps"]] == [("step 1", "SUCCEEDED"), ("step 2", "RUNNING")]
    assert shown["actor"] == {"started_by": "Ann"}
    assert datetime.fromisoformat(shown["seen_at"]).tzinfo is not None


def test_it_stays_small_whatever_the_remote_side_writes() -> None:
    long = "x" * 1_000_000
    steps = [Step(str(number), long, Phase.RUNNING, long) for number in range(1_000)]
    snapshot = running(*steps, error=long, waiting_for=long, actor={"started_by": long, "rest": [long]})
    snapshot.url = f"https://remote.example/{long}"
    shown = view(snapshot)
    assert shown["url"] is None, "a part of an address leads elsewhere"
    assert len(json.dumps(shown)) < 50_000
    assert len(shown["steps"]) == MAX_STEPS
    assert shown["steps_left_out"] == 950
    assert {len(one["name"]) for one in shown["steps"]} == {MAX_TEXT}


def test_of_many_steps_it_has_those_that_matter() -> None:
    phases = {3: Phase.FAILED, 70: Phase.RUNNING, 71: Phase.WAITING}
    shown = view(running(*(step(number, phases.get(number, Phase.SUCCEEDED)) for number in range(120))))
    names = [one["name"] for one in shown["steps"]]
    assert len(names) == MAX_STEPS
    assert {"step 3", "step 70", "step 71", "step 119"} <= set(names)
    assert names == sorted(names, key=lambda name: int(name.split()[1])), "in the order of the execution"


@pytest.mark.parametrize("where", ["name", "status", "error", "waiting_for", "actor", "url", "secret output"])
def test_secrets_are_hidden(where: str) -> None:
    word = "hunter2-hunter2"
    snapshot = running(
        Step("1", word if where == "name" else "Build", Phase.RUNNING, word if where == "status" else "INPROGRESS"),
        error=word if where == "error" else None,
        waiting_for=f"approve {word}" if where == "waiting_for" else None,
        actor={"started_by": word} if where == "actor" else None,
    )
    known = [word]
    if where == "url":
        snapshot.url = f"https://remote.example/{word}"
    if where == "secret output":
        known = []
        snapshot.steps.append(Step("2", f"uses {word}", Phase.RUNNING, "INPROGRESS", outputs={"TOKEN": Output(word, secret=True)}))
    assert word not in json.dumps(view(snapshot, known))


def test_without_the_texts_it_says_what_a_number_can_say() -> None:
    shown = view(running(step(1), error="any", waiting_for="any", actor={"started_by": "any"}), with_texts=False)
    assert (shown["steps"], shown["steps_left_out"]) == ([], 1)
    assert (shown["error"], shown["waiting_for"], shown["actor"], shown["url"]) == (None, None, None, None)
    assert (shown["ref"], shown["phase"]) == ("w/p/1/2", "RUNNING")


def test_it_is_written_when_a_phase_changes_and_every_15_seconds_at_most(clock: VirtualClock) -> None:
    writes = ViewWrites()
    assert writes.due_in() is None

    def look(*steps: Step, **fields: Any) -> float | None:
        writes.see(running(*steps, **fields))
        return writes.due_in()

    assert look(step(1, Phase.RUNNING)) == 0.0
    writes.written()
    clock.advance(60.0)
    assert look(step(1, Phase.RUNNING), progress=50.0) is None, "nothing that a view is written for"
    assert look(step(1)) == 0.0
    writes.written()
    clock.advance(5.0)
    assert look(step(1), step(2)) == pytest.approx(10.0)
    clock.advance(10.0)
    assert look(step(1), step(2)) == 0.0, "it is owed, though nothing has changed since"
    writes.written()
    assert writes.due_in() is None
    writes.failed()
    assert writes.due_in() == pytest.approx(15.0)


def test_a_secret_at_the_place_of_the_cut_is_not_shown_in_part() -> None:
    """What is before it shrinks: its secrets and its colours are taken out."""
    word = "hunter2-hunter2-hunter2"
    text = f"{(word + ' ') * 165}{word * 20}"
    shown = view(running(Step("1", "\x1b[31m" * 800 + word * 40, Phase.RUNNING, "INPROGRESS"), error=text), [word])
    assert "hunter2" not in json.dumps(shown)


def test_runs_of_a_step_are_counted_by_its_definition() -> None:
    steps = [step(1, definition="7"), step(2, definition="7"), step(3, definition="8"), step(4), step(5)]
    assert [one["run"] for one in view(running(*steps))["steps"]] == [1, 2, 1, 1, 1]
