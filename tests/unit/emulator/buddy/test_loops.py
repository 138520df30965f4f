"""One action, several action executions: loops and automatic retries."""

from __future__ import annotations

import pytest

from airflow_provider.emulator.buddy import Action, Pipeline


def _steps(run):
    return [(step["action"]["name"], step["status"]) for step in run["action_executions"]]


def _seconds(step):
    return [step.get(key, "")[17:-1] for key in ("start_date", "finish_date")]


@pytest.fixture
def looped(emulator):
    deploy = Action("Deploy", seconds=2, loop=["eu", "us"], log=["to $LOOP", "done"], outputs={"URL": "https://$LOOP.$HOST"})
    return emulator.buddy.add_pipeline(Pipeline("looped", actions=[deploy, Action("Notify")]))


def test_a_loop_has_one_action_execution_for_each_value(api, clock, looped):
    run = api.run(looped, variables=[{"key": "HOST", "value": "x"}])
    assert _steps(run) == [("Deploy", "INPROGRESS"), ("Deploy", "ENQUEUED"), ("Notify", "ENQUEUED")]
    clock.advance(3)
    run = api.execution(looped)
    assert _steps(run) == [("Deploy", "SUCCESSFUL"), ("Deploy", "INPROGRESS"), ("Notify", "ENQUEUED")]
    assert len({step["action_execution_id"] for step in run["action_executions"]}) == 3
    assert len({step["action"]["id"] for step in run["action_executions"]}) == 2
    assert [api.step(looped, number)["log"] for number in (0, 1)] == [["to eu", "done"], ["to us", "done"]]
    assert [_seconds(api.step(looped, number)) for number in (0, 1)] == [["00", "02"], ["02", ""]]
    clock.advance(2)
    assert api.execution(looped)["status"] == "SUCCESSFUL"
    outputs = [api.step(looped, number)["outputted_variables"] for number in (0, 1)]
    assert outputs == [[{"key": "URL", "value": "https://eu.x"}], [{"key": "URL", "value": "https://us.x"}]]


def test_a_failed_turn_stops_the_loop_and_a_retry_goes_on_with_it(api, clock, emulator):
    deploy = Action("Deploy", loop=["eu", "us", "ap"], loop_status={"us": ["FAILED", "SUCCESSFUL"]})
    pipeline = emulator.buddy.add_pipeline(Pipeline("looped", actions=[deploy]))
    api.run(pipeline)
    clock.advance(10)
    failed = api.execution(pipeline)
    assert [failed["status"], *(status for _, status in _steps(failed))] == ["FAILED", "SUCCESSFUL", "FAILED", "ENQUEUED"]
    assert api.operate(pipeline, "RETRY").status_code == 200
    clock.advance(10)
    again = api.execution(pipeline)
    assert [again["status"], *(status for _, status in _steps(again))] == ["SUCCESSFUL"] * 4
    ids = [[step["action_execution_id"] for step in run["action_executions"]] for run in (failed, again)]
    assert [old == new for old, new in zip(*ids, strict=True)] == [True, False, False]


def test_an_ignored_failure_does_not_stop_a_loop(api, clock, emulator):
    lint = Action("Lint", loop=["a", "b"], loop_status={"a": "FAILED"}, ignore_errors=True)
    pipeline = emulator.buddy.add_pipeline(Pipeline("looped", actions=[lint]))
    api.run(pipeline)
    clock.advance(2)
    run = api.execution(pipeline)
    assert (run["status"], _steps(run)) == ("SUCCESSFUL", [("Lint", "FAILED"), ("Lint", "SUCCESSFUL")])


def test_a_failure_is_followed_by_an_automatic_retry(api, clock, emulator):
    flaky = Action("Deploy", seconds=2, status=["FAILED", "SUCCESSFUL"], retry_count=2, retry_interval=10, log=["try"], error_message="no")
    pipeline = emulator.buddy.add_pipeline(Pipeline("flaky", actions=[flaky, Action("Notify")]))
    assert _steps(api.run(pipeline)) == [("Deploy", "INPROGRESS"), ("Notify", "ENQUEUED")]
    clock.advance(2)
    pause = api.execution(pipeline)
    assert (pause["status"], _steps(pause)) == ("INPROGRESS", [("Deploy", "FAILED"), ("Deploy", "ENQUEUED"), ("Notify", "ENQUEUED")])
    assert "finish_date" not in pause
    clock.advance(12)
    run = api.execution(pipeline)
    assert _steps(run) == [("Deploy", "FAILED"), ("Deploy", "SUCCESSFUL"), ("Notify", "INPROGRESS")]
    first, second = (api.step(pipeline, number) for number in (0, 1))
    assert (first["error_message"], "error_message" in second) == ("no", False)
    assert [_seconds(one) for one in (first, second)] == [["00", "02"], ["12", "14"]]
    assert [one["log"] for one in (first, second)] == [["try"], ["try"]]
    assert first["action_execution_id"] != second["action_execution_id"]
    assert first["action"]["id"] == second["action"]["id"]


def test_a_run_fails_once_its_automatic_retries_are_used_up(api, clock, emulator):
    broken = Action("Deploy", status=["FAILED", "FAILED", "SUCCESSFUL"], retry_count=1)
    pipeline = emulator.buddy.add_pipeline(Pipeline("broken", actions=[broken]))
    api.run(pipeline)
    clock.advance(2)
    run = api.execution(pipeline)
    assert (run["status"], _steps(run)) == ("FAILED", [("Deploy", "FAILED"), ("Deploy", "FAILED")])
    # A retry by hand is the third attempt.
    api.operate(pipeline, "RETRY")
    clock.advance(1)
    run = api.execution(pipeline)
    assert (run["status"], _steps(run)) == ("SUCCESSFUL", [("Deploy", "SUCCESSFUL")])


def test_a_retry_by_hand_keeps_the_failures_before_a_success(api, clock, emulator):
    flaky = Action("Build", status=["FAILED", "SUCCESSFUL"], retry_count=1)
    broken = Action("Deploy", status=["FAILED", "SUCCESSFUL"])
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[flaky, broken]))
    api.run(pipeline)
    clock.advance(3)
    before = api.execution(pipeline)["action_executions"]
    again = api.operate(pipeline, "RETRY").json()
    assert _steps(again) == [("Build", "FAILED"), ("Build", "SUCCESSFUL"), ("Deploy", "INPROGRESS")]
    assert [step["action_execution_id"] for step in again["action_executions"][:2]] == [step["action_execution_id"] for step in before[:2]]


def test_a_cancel_between_two_tries_is_told_at_the_next(api, clock, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", status="FAILED", retry_count=1, retry_interval=60)]))
    api.run(pipeline)
    clock.advance(5)
    run = api.operate(pipeline, "CANCEL").json()
    assert (run["status"], _steps(run)) == ("TERMINATED", [("Build", "FAILED"), ("Build", "TERMINATED")])


def test_every_turn_of_a_loop_has_its_own_tries(api, clock, emulator):
    action = Action("Deploy", loop=["eu", "us"], status=["FAILED", "SUCCESSFUL"], retry_count=1, action_execution_id="given")
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[action]))
    api.run(pipeline)
    clock.advance(4)
    run = api.execution(pipeline)
    assert [run["status"], *(status for _, status in _steps(run))] == ["SUCCESSFUL", "FAILED", "SUCCESSFUL", "FAILED", "SUCCESSFUL"]
    ids = [step["action_execution_id"] for step in run["action_executions"]]
    assert (ids[0], len(set(ids))) == ("given", 4)


def test_an_action_left_out_is_skipped_once_for_each_turn(api, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("A", loop=["1", "2"], retry_count=3), Action("B")]))
    run = api.run(pipeline, actions_to_run=[pipeline.actions[1].id])
    assert [status for _, status in _steps(run)] == ["SKIPPED", "SKIPPED", "INPROGRESS"]


def test_a_finished_run_of_somebody_else_has_taken_its_time(api, emulator):
    action = Action("A", seconds=5, loop=["1", "2"], run_next="IN_HARD_PARALLEL")
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[action, Action("B", seconds=3)]))
    emulator.buddy.add_execution(pipeline, status="SUCCESSFUL")
    run = api.execution(pipeline)
    assert (run["start_date"], run["finish_date"]) == ("2025-12-31T23:59:50Z", "2026-01-01T00:00:00Z")
