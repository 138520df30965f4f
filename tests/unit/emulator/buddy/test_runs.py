"""A run from its start to its end, as a client sees it."""

from __future__ import annotations

import re

import pytest

from airflow_provider.emulator.buddy import Action, Pipeline


def test_a_run_walks_through_its_actions_as_the_clock_moves(api, clock, release):
    started = api.run(release, comment="marker", variables=[{"key": "VERSION", "value": "1.2"}])
    assert (started["id"], started["status"], started["comment"]) == (1, "INPROGRESS", "marker")
    assert "finish_date" not in started
    clock.advance(4)
    assert [step["status"] for step in api.execution(release)["action_executions"]] == ["SUCCESSFUL", "INPROGRESS"]
    clock.advance(2)
    ended = api.execution(release)
    assert (ended["status"], ended["start_date"], ended["finish_date"]) == ("SUCCESSFUL", "2026-01-01T00:00:00Z", "2026-01-01T00:00:06Z")


def test_a_run_waits_in_the_queue_first(api, clock, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("queued", actions=[Action("Build")], queue_seconds=5))
    started = api.run(pipeline)
    assert started["status"] == "ENQUEUED"
    assert "start_date" not in started
    clock.advance(5)
    assert api.execution(pipeline)["status"] == "INPROGRESS"


def test_an_action_execution_has_variables_and_a_growing_log(api, clock, release):
    api.run(release, variables=[{"key": "VERSION", "value": "1.2"}])
    clock.advance(2)
    running = api.step(release)
    assert (running["log"], running["progress"], running["outputted_variables"]) == (["one", "two", "three"], 50, [])
    clock.advance(10)
    done = api.step(release)
    assert done["outputted_variables"] == [{"key": "IMAGE", "value": "shop:1.2"}]
    assert done["log"] == ["one", "two", "three", "four"]
    assert done["action"]["type"] == "RUN_DOCKER_CONTAINER"


def test_encrypted_outputs_come_as_ciphertext(api, clock, release):
    api.run(release)
    clock.advance(10)
    plain, secret = api.step(release, 1)["outputted_variables"]
    assert plain == {"key": "URL", "value": "https://x"}
    assert secret["encrypted"]
    assert secret["value"].startswith("!encrypted ")


def test_outputs_and_the_end_of_the_log_may_lag(api, clock, emulator):
    action = Action("Build", seconds=1, log=["one", "two"], outputs={"A": "1"}, outputs_lag=3, log_lag=2)
    pipeline = emulator.buddy.add_pipeline(Pipeline("laggard", actions=[action]))
    api.run(pipeline)
    clock.advance(1)
    assert api.execution(pipeline)["status"] == "SUCCESSFUL"
    assert (api.step(pipeline)["log"], api.step(pipeline)["outputted_variables"]) == (["one"], [])
    clock.advance(3)
    assert (api.step(pipeline)["log"], len(api.step(pipeline)["outputted_variables"])) == (["one", "two"], 1)


def test_after_a_failure_later_actions_stay_enqueued(api, clock, emulator):
    build = Action("Build", status="FAILED", error_message="exit code 1")
    pipeline = emulator.buddy.add_pipeline(Pipeline("broken", actions=[build, Action("Deploy")]))
    api.run(pipeline)
    clock.advance(60)
    run = api.execution(pipeline)
    assert run["status"] == "FAILED"
    assert run["finish_date"] == "2026-01-01T00:00:01Z"
    assert [step["status"] for step in run["action_executions"]] == ["FAILED", "ENQUEUED"]
    assert api.step(pipeline)["error_message"] == "exit code 1"


def test_an_ignored_failure_lets_the_run_succeed(api, clock, emulator):
    lint = Action("Lint", status="FAILED", ignore_errors=True)
    pipeline = emulator.buddy.add_pipeline(Pipeline("lenient", actions=[lint, Action("Build")]))
    api.run(pipeline)
    clock.advance(60)
    run = api.execution(pipeline)
    assert (run["status"], run["action_executions"][0]["status"]) == ("SUCCESSFUL", "FAILED")


def test_a_skipped_action_says_so_in_its_log(api, clock, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Maybe", status="SKIPPED"), Action("Build")]))
    api.run(pipeline)
    clock.advance(1)
    assert api.execution(pipeline)["status"] == "SUCCESSFUL"
    assert "conditions" in api.step(pipeline)["log"][0]


@pytest.mark.parametrize(("status", "ends"), [("SKIPPED", True), ("NOT_EXECUTED", True), ("SOMETHING_NEW", False)])
def test_a_final_status_can_be_forced(api, clock, emulator, status, ends):
    pipeline = emulator.buddy.add_pipeline(Pipeline("odd", actions=[Action("Build", seconds=2)], final_status=status))
    api.run(pipeline)
    clock.advance(1)
    assert api.execution(pipeline)["status"] == "INPROGRESS"
    clock.advance(1)
    run = api.execution(pipeline)
    assert (run["status"], "finish_date" in run) == (status, ends)


def test_a_delayed_run_starts_at_its_time(api, clock, release):
    assert api.run(release, delay_until="2026-01-01T00:01:00.000Z")["status"] == "ENQUEUED"
    clock.advance(60)
    assert api.execution(release)["status"] == "INPROGRESS"


def test_a_delayed_run_can_be_started_now(api, clock, release):
    api.run(release, delay_until="2026-01-01T00:01:00.000Z")
    clock.advance(10)
    assert api.operate(release, "RUN_DELAYED").json()["start_date"] == "2026-01-01T00:00:10Z"
    assert api.operate(release, "RUN_DELAYED").status_code == 400


def test_only_the_actions_asked_for_run(api, clock, release):
    api.run(release, actions_to_run=[release.actions[1].id])
    clock.advance(2)
    run = api.execution(release)
    assert run["status"] == "SUCCESSFUL"
    assert [step["status"] for step in run["action_executions"]] == ["SKIPPED", "SUCCESSFUL"]


def test_without_concurrency_a_second_run_waits_for_the_first(api, clock, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("single", actions=[Action("Build", seconds=5)], concurrent=False))
    api.run(pipeline)
    assert api.run(pipeline)["status"] == "ENQUEUED"
    clock.advance(5)
    assert [api.execution(pipeline, number)["status"] for number in (1, 2)] == ["SUCCESSFUL", "INPROGRESS"]
    clock.advance(5)
    assert api.execution(pipeline, 2)["finish_date"] == "2026-01-01T00:00:10Z"


def test_ids_count_per_pipeline_and_the_hex_id_stands_only_in_the_web_link(api, emulator, release, gated):
    api.run(release)
    assert api.run(gated)["id"] == 1
    second = api.run(release)
    assert second["id"] == 2
    prefix = re.escape(f"{emulator.url}/buddy/demo/shop/pipelines/pipeline/{release.id}/execution/")
    assert re.fullmatch(prefix + "[0-9a-f]{24}", second["html_url"])


def test_action_execution_ids_are_not_all_hex(api, release):
    ids = [step["action_execution_id"] for step in api.run(release)["action_executions"]]
    assert [bool(re.fullmatch("[0-9a-f]{24}", one)) for one in ids] == [True, False]


def test_what_was_asked_for_is_told_back(api, emulator, release):
    run = api.run(
        release,
        branch={"name": "dev"},
        priority="HIGH",
        refresh=True,
        to_revision={"revision": "abc1234"},
        from_revision={"revision": "abc0000"},
        variables=[{"key": "A", "value": "1"}],
    )
    assert (run["branch"]["name"], run["branch"]["default"]) == ("dev", False)
    assert (run["priority"], run["refresh"], run["triggered_on"]) == ("HIGH", True, "CLICK")
    assert (run["from_revision"]["revision"], run["to_revision"]["revision"]) == ("abc0000", "abc1234")
    record = emulator.buddy.executions[0]
    assert (record.variables, record.request_body["priority"]) == ({"A": "1"}, "HIGH")
    assert record.ref == f"demo/shop/{release.id}/1"


def test_head_becomes_a_commit(api, release):
    assert re.fullmatch("[0-9a-f]{40}", api.run(release)["to_revision"]["revision"])


def test_a_tag_leaves_the_branch_out(api, release):
    run = api.run(release, tag={"name": "v1"})
    assert run["tag"] == {"name": "v1"}
    assert "branch" not in run


def test_every_answer_of_a_long_log_line_is_cut(api, clock, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("long", actions=[Action("Build", log=["x" * 5_000])]))
    api.run(pipeline)
    clock.advance(1)
    assert len(api.step(pipeline)["log"][0]) == 2_000


def test_the_log_is_paged(api, clock, emulator):
    lines = [str(number) for number in range(1_500)]
    pipeline = emulator.buddy.add_pipeline(Pipeline("chatty", actions=[Action("Build", log=lines, action_execution_id="given")]))
    api.run(pipeline)
    clock.advance(1)
    path = f"/{pipeline.id}/executions/1/action_executions/given/logs"
    first = api.get(path)
    assert (first["offset"], first["element_count"], first["total_element_count"]) == (0, 100, 1_500)
    last = api.get(path, offset=1_450, limit=5_000)
    assert last["logs"] == lines[1_450:]
    assert api.get(path, offset=0, limit=5_000)["element_count"] == 1_000
    assert api.get(path, offset=9_999)["logs"] == []
