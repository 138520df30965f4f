"""Rules: made, changed, listed, deleted, executed in bulk; templates and reports."""

from __future__ import annotations

import pytest

from airflow_provider.emulator.alga_psa import Action, Rule

BODY = {
    "name": "nightly",
    "status": "active",
    "trigger_type": "manual",
    "trigger_config": {"schedule_type": "once", "unknown": 1},
    "actions": [{"type": "webhook_call", "order": 1, "config": {"url": "https://example.com/hook"}}],
}


def test_a_rule_made_through_the_api_runs(api, alga, clock):
    answer = api.call("POST", "/rules", BODY | {"unknown": 2})
    rule = answer.json()["data"]
    assert (answer.status_code, rule["priority"], rule["execution_count"], rule["last_executed"]) == (201, "normal", 0, None)
    assert rule["trigger_config"] == {"schedule_type": "once", "skip_if_running": False}
    assert rule["actions"][0]["config"]["timeout_seconds"] == 30
    assert "unknown" not in rule
    [made] = alga.rules
    started = api.execute(made)
    clock.advance(1)
    assert api.execution(started)["status"] == "completed"
    assert api.get(f"/rules/{made.id}")["data"]["execution_statistics"] == {
        "total_executions": 1,
        "successful_executions": 1,
        "failed_executions": 0,
        "success_rate": 100.0,
    }


def test_a_put_changes_only_what_it_names(api, clock, sync):
    clock.advance(1)
    changed = api.call("PUT", f"/rules/{sync.id}", {"status": "inactive"}).json()["data"]
    assert (changed["status"], changed["name"], changed["updated_at"]) == ("inactive", "sync", "2026-01-01T00:00:01.000Z")
    api.call("PUT", f"/rules/{sync.id}", {"actions": BODY["actions"]})
    assert len(sync.actions) == 1
    refused = api.error("PUT", f"/rules/{sync.id}", {"trigger_type": "event_based", "trigger_config": {"schedule_type": "once"}})
    assert refused == (400, "VALIDATION_ERROR", "Event type is required for event-based triggers")


def test_a_rule_that_is_not_active_runs_only_if_overridden(api, alga):
    rule = alga.add_rule(Rule("draft", status="draft"))
    refused = api.error("POST", f"/rules/{rule.id}/execute", {"automation_rule_id": rule.id})
    assert refused == (409, "CONFLICT", "Automation rule is not active")
    assert api.execute(rule, override_conditions=True)["status"] == "pending"


def test_a_change_does_not_touch_what_runs(api, clock, sync):
    started = api.execute(sync)
    sync.actions = []
    clock.advance(60)
    assert api.execution(started)["actions_total"] == 2


def test_a_running_rule_is_not_deleted(api, clock, sync):
    api.execute(sync)
    assert api.error("DELETE", f"/rules/{sync.id}") == (409, "CONFLICT", "Cannot delete rule with running executions")
    clock.advance(60)
    answer = api.call("DELETE", f"/rules/{sync.id}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert api.error("DELETE", f"/rules/{sync.id}") == (404, "NOT_FOUND", "Automation rule not found")


def test_rules_are_listed_flat_newest_first(api, alga, clock, sync):
    clock.advance(1)
    alga.add_rule(Rule("other", status="draft", priority="high", description="Sync, too"))

    def found(**params):
        return [rule["name"] for rule in api.get("/rules", **params)["data"]]

    assert found() == ["other", "sync"]
    assert found(status="draft") == found(priority="high") == found(name="other") == found(is_active="no") == ["other"]
    assert found(search="sync") == ["other", "sync"]
    assert found(created_to="2026-01-01T00:00:00.000Z") == ["sync"]
    assert found(last_executed_from="2026-01-01T00:00:00.000Z") == []
    assert api.get("/rules", page=2, limit=1)["pagination"]["hasPrev"] is True


def test_bulk_execute_tells_no_ids_and_no_reasons(api, alga, clock, sync):
    off = alga.add_rule(Rule("off", status="inactive"))
    body = {"automation_rule_ids": [sync.id, off.id], "execution_data": {"b": 1}}
    told = api.call("POST", "/rules/bulk-execute", body).json()["data"]
    assert (told["started"], told["errors"]) == (1, [f"{off.id}: Failed to execute automation rule."])
    assert told["message"] == "Bulk execution completed: 1 started, 1 failed"
    assert [execution.trigger_data for execution in alga.executions] == [{"b": 1}]


def test_bulk_status(api, sync):
    missing = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
    told = api.call("POST", "/rules/bulk-status", {"ids": [sync.id, missing], "status": "error"}).json()["data"]
    assert (told["updated"], told["errors"], sync.status) == (1, [f"{missing}: Failed to update automation rule."], "error")


def test_a_template_becomes_a_rule(api, alga):
    rule = alga.add_rule(Rule("mail {{who}}", [Action("email_notification")], tags=["{{who}}", "{{what}}"]))
    variable = {"rule_field_path": "name", "variable_name": "who", "display_name": "Who", "type": "string", "description": "d"}
    body = {"automation_rule_id": rule.id, "template_name": "T", "category": "ops", "template_variables": [variable]}
    made = api.call("POST", "/templates", body).json()["data"]
    assert (made["usage_count"], made["template_config"]["name"], "last_used" in made) == (0, "mail {{who}}", False)
    used = api.call("POST", f"/templates/{made['template_id']}/use", {"variables": {"who": "Bob"}}).json()["data"]
    assert (used["name"], used["tags"]) == ("mail Bob", ["Bob", "{{what}}"])
    assert [one.name for one in alga.rules] == ["mail {{who}}", "mail Bob"]
    [[listed]] = api.get("/templates", category="ops")["data"]
    assert (listed["usage_count"], listed["last_used"]) == (1, "2026-01-01T00:00:00.000Z")
    assert api.get("/templates", is_featured="true")["data"] == [[]]


def test_statistics(api, alga, clock, sync):
    alga.add_execution(sync, "completed", started_at=clock.now() - 3 * 86_400)
    alga.add_execution(sync, "failed")
    told = api.get("/statistics")["data"]
    names = ("total_rules", "active_rules", "total_executions", "failed_executions", "executions_this_week", "success_rate_percent")
    assert [told[name] for name in names] == [1, 1, 2, 1, 2, 50.0]


def test_performance_is_a_constant(api, sync):
    api.execute(sync)
    told = api.get("/performance", date_from="2026-01-01T00:00:00Z")["data"]
    assert (told["period"], told["data"]) == ({"from": "2026-01-01T00:00:00Z"}, [])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"id": "x"}, "UUID"),
        ({"status": "paused"}, "unknown status 'paused'"),
        ({"trigger_type": "cron"}, "unknown trigger_type 'cron'"),
    ],
)
def test_a_wrong_rule_is_not_added(alga, change, reason):
    with pytest.raises(ValueError, match=reason):
        alga.add_rule(Rule("wrong", **change))


def test_an_id_is_taken_once(alga, sync):
    with pytest.raises(ValueError, match="already"):
        alga.add_rule(Rule("again", id=sync.id))


def test_a_rule_is_found_by_id_before_name(alga, sync):
    alga.add_rule(Rule(sync.id or ""))
    assert (alga.find_rule(sync.id or ""), alga.find_rule("sync")) == (sync, sync)
    with pytest.raises(LookupError):
        alga.find_rule("nobody")
