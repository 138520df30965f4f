"""Executions from their start to their end, as a client sees them."""

from __future__ import annotations

import math

import pytest

from airflow_provider.emulator.alga_psa import Action, LogEntry, Rule


def counters(execution):
    return tuple(execution[f"actions_{name}"] for name in ("total", "successful", "failed"))


def test_an_execution_walks_through_its_actions_as_the_clock_moves(api, clock, sync):
    started = api.execute(sync, execution_data={"host": "a"})
    assert (started["status"], counters(started), started["trigger_data"]) == ("pending", (2, 0, 0), {"host": "a"})
    assert set(started["_links"]) == {"execution", "rule"}
    running = api.execution(started)
    assert (running["status"], counters(running)) == ("running", (2, 0, 0))
    assert "completed_at" not in running
    clock.advance(4)
    assert counters(api.execution(started)) == (2, 1, 0)
    clock.advance(2)
    ended = api.execution(started)
    assert (ended["status"], counters(ended), ended["duration_ms"]) == ("completed", (2, 2, 0), 6000)
    assert (ended["started_at"], ended["completed_at"]) == ("2026-01-01T00:00:00.000Z", "2026-01-01T00:00:06.000Z")


def test_outputs_come_in_the_context(api, alga, clock, sync):
    started = api.execute(sync, execution_data={"host": "a"})
    manual = {"manual_execution": True, "triggered_by": alga.key.user_id, "dry_run": False}
    assert started["execution_context"] == manual
    clock.advance(60)
    assert api.execution(started)["execution_context"] == {**manual, "rows": 3, "host": "a", "notified": True}


def test_the_log_grows(api, alga, clock):
    log = ["begin", LogEntry("careful", "warn", {"left": 3})]
    started = api.execute(alga.add_rule(Rule("r", [Action(seconds=2), Action(seconds=4, log=log)])))
    assert api.execution(started)["logs"] == []
    clock.advance(2)
    begin = {"timestamp": "2026-01-01T00:00:02.000Z", "level": "info", "message": "begin", "action_index": 1}
    assert api.execution(started)["logs"] == [begin]
    clock.advance(2)
    careful = {
        "timestamp": "2026-01-01T00:00:04.000Z",
        "level": "warn",
        "message": "careful",
        "action_index": 1,
        "metadata": {"left": 3},
    }
    assert api.execution(started)["logs"] == [begin, careful]


def test_a_failure_stops_it(api, alga, clock):
    actions = [Action(), Action(error="webhook answered 502", error_stack="at line 1"), Action()]
    started = api.execute(alga.add_rule(Rule("broken", actions)))
    clock.advance(60)
    ended = api.execution(started)
    assert (ended["status"], counters(ended), ended["duration_ms"]) == ("failed", (3, 1, 1), 2000)
    assert (ended["error_message"], ended["error_stack"], ended["failed_action_index"]) == ("webhook answered 502", "at line 1", 1)
    assert ended["_links"]["retry"] == f"/api/v1/automation/executions/{started['execution_id']}/retry"


def test_a_failure_that_is_continued_is_only_counted(api, alga, clock):
    started = api.execute(alga.add_rule(Rule("partial", [Action(error="no", continue_on_error=True), Action()])))
    clock.advance(60)
    ended = api.execution(started)
    assert (ended["status"], counters(ended)) == ("completed", (2, 1, 1))
    assert "error_message" not in ended
    assert "retry" not in ended["_links"]


def test_a_skipped_action_makes_the_counters_short(api, alga, clock):
    started = api.execute(alga.add_rule(Rule("short", [Action(skipped=True), Action()])))
    clock.advance(1)
    ended = api.execution(started)
    assert (ended["status"], counters(ended)) == ("completed", (2, 1, 0))


def test_it_stays_pending_for_a_while(api, alga, clock):
    started = api.execute(alga.add_rule(Rule("slow", [Action()], pending_seconds=5)))
    assert api.execution(started)["status"] == "pending"
    clock.advance(5)
    assert api.execution(started)["status"] == "running"
    clock.advance(1)
    assert api.execution(started)["duration_ms"] == 6000


@pytest.mark.parametrize("by_rule", [True, False])
def test_it_stays_pending_for_ever(api, alga, clock, by_rule):
    alga.engine = by_rule
    started = api.execute(alga.add_rule(Rule("stuck", [Action()], pending_seconds=math.inf if by_rule else 0.0)))
    clock.advance(1e6)
    assert api.execution(started)["status"] == "pending"


def test_a_dry_run_is_over_at_once_and_does_nothing(api, sync):
    started = api.execute(sync, dry_run=True)
    assert (started["status"], counters(started), started["duration_ms"]) == ("completed", (2, 0, 0), 0)
    assert started["execution_context"]["dry_run"] is True
    assert api.execution(started)["status"] == "completed"
    assert (sync.execution_count, sync.last_executed) == (1, 1_767_225_600.0)


def test_conditions_that_are_not_met_skip_it_unless_overridden(api, alga, clock):
    rule = alga.add_rule(Rule("picky", [Action()], conditions_met=False))
    assert api.execution(api.execute(rule))["status"] == "skipped"
    overridden = api.execute(rule, override_conditions=True)
    clock.advance(1)
    assert api.execution(overridden)["status"] == "completed"


@pytest.mark.parametrize("status", ["cancelled", "timeout", "skipped", "failed", "something_new"])
def test_a_final_status_can_be_forced(api, alga, clock, status):
    started = api.execute(alga.add_rule(Rule("odd", [Action(seconds=2)], final_status=status)))
    clock.advance(1)
    assert api.execution(started)["status"] == "running"
    clock.advance(1)
    ended = api.execution(started)
    assert (ended["status"], "completed_at" in ended) == (status, status != "something_new")
    assert ("error_message" in ended) is (status == "failed")


def test_it_may_time_out(api, alga, clock):
    started = api.execute(alga.add_rule(Rule("long", [Action(seconds=2), Action(seconds=math.inf)], times_out_after=10)))
    clock.advance(20)
    ended = api.execution(started)
    assert (ended["status"], ended["completed_at"], counters(ended)) == ("timeout", "2026-01-01T00:00:10.000Z", (2, 1, 0))


def test_the_id_in_the_path_counts_not_the_one_in_the_body(api, alga, sync):
    other = alga.add_rule(Rule("other"))
    assert api.execute(sync, automation_rule_id=other.id)["automation_rule_id"] == sync.id


def test_what_was_sent_is_kept(api, alga, sync):
    api.execute(sync, execution_data={"a": [1]}, unknown=2)
    [execution] = alga.executions
    assert (execution.rule_id, execution.trigger_data, execution.dry_run) == (sync.id, {"a": [1]}, False)
    assert execution.request_body["automation_rule_id"] == sync.id
    assert "unknown" not in execution.request_body


# -- retry ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def flaky(alga):
    """Fails once, after 2 seconds."""
    return alga.add_rule(Rule("flaky", [Action(output={"a": 1}), Action(log=["try"], error=["no", None], output={"b": 2})]))


def test_a_retry_keeps_the_id_and_starts_over(api, clock, flaky):
    started = api.execute(flaky)
    clock.advance(10)
    assert api.execution(started)["status"] == "failed"
    answer = api.retry(started)
    again = answer.json()["data"]
    assert (answer.status_code, again["execution_id"], again["status"]) == (200, started["execution_id"], "pending")
    assert (counters(again), again["started_at"]) == ((2, 0, 0), "2026-01-01T00:00:10.000Z")
    assert {"completed_at", "duration_ms", "error_message", "error_stack"}.isdisjoint(again)
    assert (again["failed_action_index"], [entry["message"] for entry in again["logs"]]) == (1, ["try"])
    assert again["execution_context"]["a"] == 1
    clock.advance(2)
    ended = api.execution(started)
    assert (ended["status"], ended["duration_ms"], len(ended["logs"]), ended["execution_context"]["b"]) == ("completed", 2000, 2, 2)
    assert ended["failed_action_index"] == 1


def test_what_a_failure_left_may_stay_after_a_retry(api, alga, clock, flaky):
    alga.retry_clears = False
    started = api.execute(flaky)
    clock.advance(10)
    assert "error_message" not in api.retry(started).json()["data"]
    running = api.execution(started)
    assert (running["status"], running["error_message"], running["duration_ms"]) == ("running", "no", 2000)
    assert running["completed_at"] == "2026-01-01T00:00:02.000Z"
    clock.advance(2)
    ended = api.execution(started)
    assert (ended["status"], "error_message" in ended, ended["completed_at"]) == ("completed", False, "2026-01-01T00:00:12.000Z")


@pytest.mark.parametrize("status", ["pending", "running", "completed", "cancelled", "timeout", "skipped"])
def test_only_failed_ones_are_retried(api, alga, sync, status):
    execution = alga.add_execution(sync, status)
    refused = api.error("POST", f"/executions/{execution.id}/retry")
    assert refused == (409, "CONFLICT", "Only failed executions can be retried")


def test_a_retry_may_fail_again_and_be_retried(api, alga, clock):
    started = api.execute(alga.add_rule(Rule("bad", [Action(error=["one", "two", None])])))
    told = []
    for _ in range(2):
        clock.advance(1)
        told.append(api.execution(started)["error_message"])
        assert api.retry(started).status_code == 200
    clock.advance(1)
    assert (told, api.execution(started)["status"]) == (["one", "two"], "completed")


# -- the list ------------------------------------------------------------------------------------------------------


def test_the_list_has_the_newest_first_and_is_nested(api, alga, clock, sync):
    ids = []
    for _ in range(3):
        ids.insert(0, api.execute(sync)["execution_id"])
        clock.advance(1)
    page = api.get("/executions", limit=2)
    assert [item["execution_id"] for item in page["data"][0]] == ids[:2]
    assert page["pagination"] == {"page": 1, "limit": 2, "total": 3, "totalPages": 2, "hasNext": True, "hasPrev": False}
    assert page["meta"]["resource"] == "automation_execution"
    assert page["meta"]["filters"] == {"page": 1, "limit": 2, "sort": "created_at", "order": "desc"}
    last = api.get("/executions", limit=2, page="2x")
    assert ([item["execution_id"] for item in last["data"][0]], last["pagination"]["hasPrev"]) == (ids[2:], True)
    assert api.get("/executions", page=99)["data"] == [[]]
    assert "_links" not in page["data"][0][0]


def test_the_list_may_be_flat(api, alga, sync):
    alga.nested_lists = False
    assert api.get("/executions")["data"] == []
    started = api.execute(sync)
    assert [item["execution_id"] for item in api.get("/executions")["data"]] == [started["execution_id"]]


def test_the_list_is_filtered(api, alga, clock, sync):
    other = alga.add_rule(Rule("other", [Action(error="no")], trigger_type="recurring"))
    first = api.execute(sync)["execution_id"]
    clock.advance(10)
    second = api.execute(other)["execution_id"]
    clock.advance(10)

    def found(**params):
        return [item["execution_id"] for item in api.executions(**params)]

    assert found() == [second, first]
    assert found(automation_rule_id=sync.id) == [first]
    assert found(status="failed") == found(has_errors="true") == found(trigger_type="recurring") == [second]
    assert found(has_errors="false", unknown="ignored") == [first]
    assert found(started_from="2026-01-01T00:00:10.000Z") == [second]
    assert found(started_from="2026-01-01T00:00:10.001Z") == []
    assert found(started_to="2026-01-01T00:00:10Z", status="completed") == [first]


def test_a_retry_moves_it_to_the_front(api, alga, clock, sync):
    old = api.execute(alga.add_rule(Rule("bad", [Action(error=["no", None])])))
    clock.advance(2)
    new = api.execute(sync)
    clock.advance(2)
    api.retry(old)
    assert [item["execution_id"] for item in api.executions()] == [old["execution_id"], new["execution_id"]]


def test_the_list_may_lag(api, alga, clock, sync):
    alga.list_lag = 5
    started = api.execute(sync)
    assert api.executions() == []
    assert api.execution(started)["status"] == "running"
    clock.advance(5)
    assert len(api.executions()) == 1


# -- forms ---------------------------------------------------------------------------------------------------------


def test_times_may_come_without_their_zone(api, alga, sync):
    alga.times_have_z = False
    assert api.execute(sync)["started_at"] == "2026-01-01T00:00:00.000"
    assert api.get(f"/rules/{sync.id}")["data"]["created_at"] == "2026-01-01T00:00:00.000"


def test_fields_without_a_value_may_be_null(api, alga, sync):
    alga.nulls = "null"
    execution = api.execution(api.execute(sync))
    names = ("completed_at", "duration_ms", "error_message", "error_stack", "failed_action_index")
    assert [execution[name] for name in names] == [None] * 5


def test_links_lead_to_methods_that_are_not_there(api, sync):
    started = api.execute(sync)
    links = api.execution(started)["_links"]
    assert links["patch"] == {
        "href": f"/api/v1/automation/executions/{started['execution_id']}",
        "method": "PATCH",
        "rel": "partial-update",
    }
    for method in ("PUT", "PATCH", "DELETE"):
        answer = api.call(method, f"/executions/{started['execution_id']}")
        assert (answer.status_code, answer.content, "allow" in answer.headers) == (405, b"", False)


def test_there_is_no_cancel(api, sync):
    started = api.execute(sync)
    answer = api.call("POST", f"/executions/{started['execution_id']}/cancel")
    assert (answer.status_code, answer.headers["content-type"]) == (404, "text/html; charset=utf-8")
