"""What happens behind the API: events, administrators, and whoever writes into the database."""

from __future__ import annotations

import json
import math

import httpx
import pytest

from airflow_provider.emulator.alga_psa import Action, Rule


@pytest.fixture
def endless(alga):
    return alga.add_rule(Rule("endless", [Action(), Action(seconds=math.inf)]))


def test_an_event_starts_an_execution(api, alga, clock):
    rule = alga.add_rule(Rule("on ticket", [Action(output={"a": 1})], trigger_type="event_based", trigger_config={"event_type": "x"}))
    alga.fire(rule, {"ticket": 7})
    [item] = api.executions()
    assert (item["status"], item["trigger_data"], item["execution_context"]) == ("running", {"ticket": 7}, {})
    clock.advance(1)
    assert api.executions()[0]["execution_context"] == {"a": 1}
    assert rule.execution_count == 1


def test_no_event_starts_a_rule_that_is_not_active(alga):
    alga.add_rule(Rule("off", status="inactive"))
    with pytest.raises(ValueError, match="is inactive"):
        alga.fire("off")


@pytest.mark.parametrize("status", ["pending", "running", "completed", "failed", "cancelled", "timeout", "skipped"])
def test_an_execution_in_any_status_can_be_added(api, alga, clock, sync, status):
    execution = alga.add_execution(sync, status, {"a": 1}, execution_context={"b": 2})
    view = api.get(f"/executions/{execution.id}")["data"]
    assert (view["status"], view["trigger_data"], view["execution_context"]["b"]) == (status, {"a": 1}, 2)
    over = status not in ("pending", "running")
    assert ("completed_at" in view) is over
    if over:
        assert (view["started_at"], view["completed_at"]) == ("2025-12-31T23:59:54.000Z", "2026-01-01T00:00:00.000Z")
    clock.advance(60)
    assert execution.status == status


def test_an_execution_with_an_id_and_a_start(alga, clock, sync):
    id = "00000000-0000-4000-8000-000000000001"
    execution = alga.add_execution(sync, started_at=clock.now() - 5, id=id)
    assert (execution.ref, alga.find(id), execution.state.successful) == (id, execution, 1)
    with pytest.raises(ValueError, match="already"):
        alga.add_execution(sync, id=id)


def test_a_person_cancels(api, alga, clock, endless):
    started = api.execute(endless)
    clock.advance(3)
    alga.cancel(started["execution_id"])
    clock.advance(3)
    ended = api.execution(started)
    assert (ended["status"], ended["duration_ms"], ended["actions_successful"]) == ("cancelled", 3000, 1)
    with pytest.raises(ValueError, match="is over"):
        alga.cancel(started["execution_id"])


def test_a_person_completes_what_never_ends(api, alga, clock, endless):
    started = api.execute(endless)
    clock.advance(3)
    alga.finish(started["execution_id"])
    ended = api.execution(started)
    assert (ended["status"], ended["actions_successful"], ended["actions_failed"]) == ("completed", 2, 0)


def test_it_is_made_to_fail(api, alga, clock, endless):
    started = api.execute(endless)
    clock.advance(3)
    alga.finish(started["execution_id"], "failed", "disk full")
    ended = api.execution(started)
    assert (ended["error_message"], ended["failed_action_index"]) == ("disk full", 1)
    assert (ended["actions_successful"], ended["actions_failed"]) == (1, 1)
    assert api.retry(started).status_code == 200
    assert api.execution(started)["status"] == "running"


def test_an_unknown_status_is_shown_and_it_goes_on(api, alga, clock, sync):
    started = api.execute(sync)
    alga.finish(started["execution_id"], "paused")
    assert api.execution(started)["status"] == "paused"
    clock.advance(60)
    assert api.execution(started)["status"] == "completed"


def test_a_terminal_execution_is_revived(api, alga, clock, sync):
    started = api.execute(sync)
    with pytest.raises(ValueError, match="is not over"):
        alga.revive(started["execution_id"])
    clock.advance(60)
    alga.revive(started["execution_id"])
    assert (api.execution(started)["status"], api.execution(started)["started_at"]) == ("running", "2026-01-01T00:01:00.000Z")


def test_log_entries_are_added(api, alga, clock, sync):
    started = api.execute(sync)
    clock.advance(1)
    alga.log(started["execution_id"], "hello", "debug", 0, {"a": 1})
    entry = {"timestamp": "2026-01-01T00:00:01.000Z", "level": "debug", "message": "hello", "action_index": 0, "metadata": {"a": 1}}
    assert api.execution(started)["logs"][1] == entry
    with pytest.raises(ValueError, match="unknown level"):
        alga.log(started["execution_id"], "hello", "loud")


def test_a_deleted_execution_is_gone(api, alga, sync):
    started = api.execute(sync)
    alga.delete(started["execution_id"])
    path = f"/executions/{started['execution_id']}"
    assert api.error("GET", path) == (404, "NOT_FOUND", "Automation execution not found")
    assert api.error("POST", path + "/retry") == (404, "NOT_FOUND", "Automation execution not found")
    assert api.executions() == []


def test_the_executions_of_a_deleted_rule_stay(api, alga, clock, sync):
    started = api.execute(sync)
    alga.delete_rule("sync")
    clock.advance(60)
    assert (api.execution(started)["status"], api.call("GET", f"/rules/{sync.id}").status_code) == ("completed", 404)


def test_acts_go_by_name(alga, sync, endless):
    first, second = alga.start(endless), alga.start(endless)
    alga.act("cancel", first.ref)
    alga.act("finish", second.ref, status="failed", error="no")
    alga.act("fire", sync.id or "", trigger_data={"a": 1})
    alga.act("set_rule_status", "sync", status="inactive")
    assert [execution.status for execution in alga.executions] == ["cancelled", "failed", "running"]
    assert sync.status == "inactive"
    for name, arguments in {"close": {}, "cancel": {"how": 1}}.items():
        with pytest.raises(ValueError, match=r"unknown act|how"):
            alga.act(name, second.ref, **arguments)
    with pytest.raises(LookupError):
        alga.act("cancel", "nobody")


def test_other_processes_act_through_the_control_routes(api, alga, emulator, endless):
    started = api.execute(endless)
    body = {"system": "alga_psa", "act": "cancel", "ref": started["execution_id"]}
    assert httpx.post(f"{emulator.url}/_emulator/acts", json=body, verify=False, timeout=60).status_code == 200
    told = httpx.get(f"{emulator.url}/_emulator/executions", verify=False, timeout=60).json()
    assert [(one["ref"], one["rule"], one["status"]) for one in told] == [(started["execution_id"], "endless", "cancelled")]


def test_requests_stand_in_the_ledger_with_their_route(api, emulator, sync):
    api.execution(api.execute(sync))
    told = [(entry.system, entry.method, entry.route, entry.status) for entry in emulator.ledger.entries]
    assert told == [
        ("alga_psa", "POST", "/api/v1/automation/rules/{id}/execute", 201),
        ("alga_psa", "GET", "/api/v1/automation/executions/{id}", 200),
    ]


def test_the_connection(alga):
    connection = json.loads(alga.connection_json())
    assert connection == {"conn_type": "alga_psa", "host": alga.url, "password": "emulator-key", "extra": {}}
    assert json.loads(alga.connection_json(with_tenant=True))["extra"] == {"tenant_id": alga.tenant}
