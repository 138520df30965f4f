"""The state as a function of script, acts and time, where several of them meet."""

from __future__ import annotations

import math

import pytest

from airflow_provider.emulator.buddy import Action, Gate
from airflow_provider.emulator.buddy.timeline import SOMEBODY, Act, Attempt, Plan, play

SCRIPT = (Action("Build", seconds=10, id=1), Action("Deploy", seconds=10, id=2))


def _play(now, *acts, script=SCRIPT, attempts=(), **plan):
    first = Attempt(0.0, [f"0-{number}" for number in range(len(script))], list(acts))
    return play(Plan(0.0, script, **plan), [first, *attempts], now)


def _again(at, *acts):
    return Attempt(at, [f"{at}-0", f"{at}-1"], list(acts))


def _cancel(at, seconds=0.0):
    return Act("cancel", at, SOMEBODY, seconds=seconds)


def test_what_happens_at_a_time_has_happened_then():
    assert [_play(now).status for now in (0.0, 19.9, 20.0)] == ["INPROGRESS", "INPROGRESS", "SUCCESSFUL"]


def test_reading_twice_gives_the_same():
    assert _play(12.0, _cancel(11.0)) == _play(12.0, _cancel(11.0))


def test_the_past_is_not_changed_by_what_comes_later():
    assert _play(5.0, _cancel(11.0)).steps == _play(5.0).steps


def test_a_stopping_run_may_come_to_another_end():
    failed = Act("end", 7.0, SOMEBODY, status="FAILED")
    assert [_play(now, _cancel(5.0, 10.0), failed).status for now in (6.0, 7.0, 99.0)] == ["TERMINATING", "FAILED", "FAILED"]


def test_a_cancel_between_steps_hits_the_next_one():
    state = _play(99.0, _cancel(10.0))
    assert [(step.status, step.finished_at) for step in state.steps] == [("SUCCESSFUL", 10.0), ("TERMINATED", 10.0)]


def test_a_retry_after_a_cancel_keeps_what_was_done():
    state = _play(31.0, _cancel(12.0), attempts=[_again(30.0)])
    assert [(step.id, step.status) for step in state.steps] == [("0-0", "SUCCESSFUL"), ("30.0-1", "INPROGRESS")]
    assert [(step.id, step.status) for step in state.replaced] == [("0-1", "TERMINATED")]
    assert (state.started_at, state.finished_at, state.first_finished_at) == (0.0, None, 12.0)


def test_a_revived_run_can_be_cancelled_again():
    state = _play(99.0, _cancel(5.0), attempts=[_again(30.0, _cancel(35.0))])
    assert (state.status, state.finished_at) == ("TERMINATED", 35.0)


def test_a_success_is_played_again_from_the_start():
    state = _play(101.0, attempts=[_again(100.0)])
    assert [step.status for step in state.steps] == ["INPROGRESS", "ENQUEUED"]


def test_a_forced_status_may_differ_between_attempts():
    first, second = (
        _play(50.0, final_status=["FAILED", "SKIPPED"]),
        _play(150.0, final_status=["FAILED", "SKIPPED"], attempts=[_again(100.0)]),
    )
    assert (first.status, second.status) == ("FAILED", "SKIPPED")


def test_a_shown_status_lasts_until_the_end():
    shown = Act("show", 1.0, SOMEBODY, status="SOMETHING_NEW")
    assert [_play(now, shown).status for now in (2.0, 20.0)] == ["SOMETHING_NEW", "SUCCESSFUL"]


def test_a_cancel_beats_a_person_who_would_have_come_later():
    state = _play(99.0, _cancel(5.0), script=(Gate("Approve", auto_after=10.0, id=1),))
    assert (state.status, state.steps[0].approval, state.steps[0].status) == ("TERMINATED", None, "TERMINATED")


@pytest.mark.parametrize("now", [0.0, 1e12])
def test_a_run_without_a_place_stays_in_the_queue(now):
    state = play(Plan(0.0, SCRIPT), [Attempt(0.0, ["a", "b"])], now, free_at=math.inf)
    assert (state.status, state.started_at) == ("ENQUEUED", None)
