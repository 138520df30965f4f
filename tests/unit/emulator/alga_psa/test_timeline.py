"""The state as a function of script, acts and time, where several of them meet."""

from __future__ import annotations

import math

from airflow_provider.emulator.alga_psa import Action, LogEntry
from airflow_provider.emulator.alga_psa.timeline import Act, Attempt, Plan, play

SCRIPT = (Action(seconds=10, output={"a": 1}), Action(seconds=10, error=["no", None], log=["x", "y"]))


def _play(now, *acts, attempts=(), **plan):
    return play(Plan(SCRIPT, {}, {}, **plan), [Attempt(0.0, list(acts)), *attempts], now)


def _status(at, status, **more):
    return Act("status", at, status=status, **more)


def test_what_happens_at_a_time_has_happened_then():
    assert [_play(now).status for now in (0.0, 19.9, 20.0)] == ["running", "running", "failed"]
    assert [_play(now).successful for now in (9.9, 10.0)] == [0, 1]


def test_reading_twice_gives_the_same():
    acts = [_status(11.0, "cancelled")]
    assert _play(12.0, *acts) == _play(12.0, *acts)


def test_the_past_is_not_changed_by_what_comes_later():
    assert _play(5.0, _status(11.0, "cancelled")) == _play(5.0)


def test_an_end_cuts_the_script_short():
    state = _play(99.0, _status(12.0, "cancelled"))
    assert (state.status, state.completed_at, state.duration, state.failed) == ("cancelled", 12.0, 12.0, 0)
    assert [logged.at for logged in state.logs] == [10.0]


def test_an_end_after_the_end_changes_nothing():
    state = _play(99.0, _status(30.0, "cancelled"))
    assert (state.status, state.completed_at) == ("failed", 20.0)


def test_an_attempt_leaves_its_log_its_context_and_its_index_behind():
    state = _play(99.0, attempts=[Attempt(50.0)])
    assert (state.status, state.started_at, state.completed_at, state.failed_action_index) == ("completed", 50.0, 70.0, 1)
    assert (state.successful, state.failed, state.error_message) == (2, 0, None)
    assert [logged.at for logged in state.logs] == [10.0, 15.0, 60.0, 65.0]


def test_just_asked_for_it_is_pending():
    plan = Plan(SCRIPT, {}, {})
    assert play(plan, [Attempt(0.0)], 5.0, taken_up=False).status == "pending"
    again = play(plan, [Attempt(0.0), Attempt(50.0)], 55.0, taken_up=False)
    assert (again.status, len(again.logs), again.failed_action_index) == ("pending", 2, 1)


def test_entries_from_outside_stand_in_their_place():
    acts = [Act("log", 12.0, entry=LogEntry("z")), Act("log", 30.0, entry=LogEntry("late"))]
    assert [logged.entry.message for logged in _play(99.0, *acts).logs] == ["x", "z", "y", "late"]


def test_an_endless_action_logs_an_entry_a_second():
    plan = Plan((Action(seconds=math.inf, log=["a", "b", "c"]),), {}, {})
    assert len(play(plan, [Attempt(0.0)], 1.0).logs) == 2


def test_pending_times_may_differ_between_attempts():
    plan = {"pending_seconds": [0.0, math.inf], "attempts": [Attempt(50.0)]}
    assert _play(1e9, **plan).status == "pending"


def test_outputs_insert_trigger_data_deeply():
    script = (Action(output={"a": ["$host", {"b": "$hostname:$port"}], "n": 1}),)
    state = play(Plan(script, {}, {"host": "h", "hostname": "hn", "port": 80}), [Attempt(0.0)], 1.0)
    assert state.context == {"a": ["h", {"b": "hn:80"}], "n": 1}


def test_a_forced_success_has_no_error_and_a_forced_timeout_keeps_it():
    completed, timeout = (_play(99.0, final_status=status) for status in ("completed", "timeout"))
    assert (completed.status, completed.failed, completed.error_message, completed.failed_action_index) == ("completed", 1, None, None)
    assert (timeout.status, timeout.error_message) == ("timeout", "no")
