"""Runs that wait, that are superseded, and pipelines with wildcards."""

from __future__ import annotations

import pytest

from airflow_provider.emulator.buddy import Action, Pipeline


@pytest.fixture
def skipping(emulator):
    return emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", seconds=10)], concurrent=False, no_skip_to_most_recent=False))


def test_a_waiting_run_is_skipped_when_a_newer_one_arrives(api, clock, skipping):
    api.run(skipping)
    clock.advance(1)
    assert api.run(skipping)["status"] == "ENQUEUED"
    clock.advance(1)
    assert api.run(skipping)["status"] == "ENQUEUED"
    runs = [api.execution(skipping, number) for number in (1, 2, 3)]
    assert [run["status"] for run in runs] == ["INPROGRESS", "SKIPPED", "ENQUEUED"]
    assert (runs[1]["finish_date"], "start_date" in runs[1]) == ("2026-01-01T00:00:02Z", False)
    assert [step["status"] for step in runs[1]["action_executions"]] == ["SKIPPED"]
    clock.advance(8)
    assert [api.execution(skipping, number)["status"] for number in (1, 2, 3)] == ["SUCCESSFUL", "SKIPPED", "INPROGRESS"]
    clock.advance(10)
    assert api.execution(skipping, 3)["finish_date"] == "2026-01-01T00:00:20Z"


def test_a_run_that_has_left_the_queue_is_not_skipped(api, clock, skipping):
    api.run(skipping)
    api.run(skipping)
    clock.advance(10)
    api.run(skipping)
    assert [api.execution(skipping, number)["status"] for number in (1, 2, 3)] == ["SUCCESSFUL", "INPROGRESS", "ENQUEUED"]


def test_a_delayed_run_takes_no_part_in_skipping(api, clock, skipping):
    api.run(skipping)
    api.run(skipping, delay_until="2026-01-01T01:00:00Z")
    api.run(skipping)
    api.run(skipping, delay_until="2026-01-01T02:00:00Z")
    assert [api.execution(skipping, number)["status"] for number in (1, 2, 3, 4)] == ["INPROGRESS", "ENQUEUED", "ENQUEUED", "ENQUEUED"]


def test_a_run_cancelled_in_the_queue_stays_cancelled(api, clock, skipping):
    api.run(skipping)
    api.run(skipping)
    clock.advance(1)
    api.operate(skipping, "CANCEL", 2)
    clock.advance(1)
    api.run(skipping)
    assert api.execution(skipping, 2)["status"] == "TERMINATED"


def test_by_default_all_runs_get_their_turn(api, clock, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", seconds=1)], concurrent=False))
    for _ in range(3):
        api.run(pipeline)
    clock.advance(3)
    assert [api.execution(pipeline, number)["status"] for number in (1, 2, 3)] == ["SUCCESSFUL"] * 3
    assert api.get(f"/{pipeline.id}")["no_skip_to_most_recent"] is True


def test_a_run_may_begin_initial(api, clock, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build")], initial_seconds=2, queue_seconds=3))
    seen = [api.run(pipeline)["status"]]
    for seconds in (2, 3, 1):
        clock.advance(seconds)
        seen.append(api.execution(pipeline)["status"])
    assert seen == ["INITIAL", "ENQUEUED", "INPROGRESS", "SUCCESSFUL"]


@pytest.mark.parametrize(("setting", "status"), [(500, 500), (400, 400), (None, 200)])
def test_a_retry_fails_at_the_server_for_a_wildcard(api, clock, emulator, setting, status):
    emulator.buddy.wildcard_retry_status = setting
    pipeline = emulator.buddy.add_pipeline(Pipeline("wild", refs=["release/*"], actions=[Action("Build", status="FAILED")]))
    assert api.call("POST", f"/{pipeline.id}/executions", {}).status_code == 400
    api.run(pipeline, branch={"name": "release/1"})
    clock.advance(1)
    answer = api.operate(pipeline, "RETRY")
    assert answer.status_code == status
    assert api.execution(pipeline)["status"] == ("INPROGRESS" if status == 200 else "FAILED")
    if status != 200:
        assert answer.json()["errors"]
