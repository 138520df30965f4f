"""What is refused, and in which words."""

from __future__ import annotations

import pytest

MISSING = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


def issues(answer):
    assert answer.status_code == 400, answer.text
    return [(issue["code"], issue["path"], issue["message"]) for issue in answer.json()["error"]["details"]]


@pytest.mark.parametrize(
    ("path", "query", "code", "message"),
    [
        ("/executions", {"limit": "0"}, "too_small", "Number must be greater than or equal to 1"),
        ("/executions", {"limit": "101"}, "too_big", "Number must be less than or equal to 100"),
        ("/executions", {"page": "x"}, "invalid_type", "Expected number, received nan"),
        ("/executions", {"started_from": "2026-01-01T00:00:00+00:00"}, "invalid_string", "Invalid datetime"),
        ("/executions", {"started_from": "2026-01-01"}, "invalid_string", "Invalid datetime"),
        ("/executions", {"started_from": "2026-02-30T00:00:00Z"}, "invalid_string", "Invalid datetime"),
        ("/executions", {"duration_min_ms": "5"}, "invalid_type", "Expected number, received string"),
        ("/executions", {"has_errors": "yes"}, "custom", "Invalid boolean value"),
        ("/rules", {"execution_count_min": "1"}, "invalid_type", "Expected number, received string"),
        ("/rules", {"tags": "a"}, "invalid_type", "Expected array, received string"),
    ],
)
def test_queries(api, path, query, code, message):
    [name] = query
    answer = api.call("GET", path, params=query)
    assert issues(answer) == [(code, [name], message)]
    assert answer.json()["error"]["message"] == "Query validation failed"


def test_of_a_parameter_given_twice_the_last_one_holds(api):
    assert api.call("GET", "/executions?limit=0&limit=7").json()["pagination"]["limit"] == 7


@pytest.mark.parametrize("body", [b"", b"no json", b"{}"])
def test_a_body_that_is_none_counts_as_empty(api, sync, body):
    answer = api.call("POST", f"/rules/{sync.id}/execute", content=body)
    assert issues(answer) == [("invalid_type", ["automation_rule_id"], "Required")]


@pytest.mark.parametrize(
    ("body", "issue"),
    [
        ({"automation_rule_id": "x"}, ("invalid_string", ["automation_rule_id"], "Invalid uuid")),
        ({"automation_rule_id": None}, ("invalid_type", ["automation_rule_id"], "Expected string, received null")),
        ({"dry_run": "yes"}, ("invalid_type", ["dry_run"], "Expected boolean, received string")),
        ({"execution_data": [1]}, ("invalid_type", ["execution_data"], "Expected object, received array")),
        ({"execution_data": None}, ("invalid_type", ["execution_data"], "Expected object, received null")),
    ],
)
def test_execute(api, alga, sync, body, issue):
    answer = api.call("POST", f"/rules/{sync.id}/execute", {"automation_rule_id": MISSING, **body})
    assert issues(answer) == [issue]
    assert alga.executions == []


def test_the_form_of_an_id_is_checked_except_where_a_rule_is_executed(api):
    for method, path in (("GET", "/rules/x"), ("DELETE", "/rules/x"), ("GET", "/executions/x"), ("POST", "/executions/x/retry")):
        assert api.error(method, path) == (400, "VALIDATION_ERROR", "Invalid ID format")
    refused = api.error("POST", "/rules/x/execute", {"automation_rule_id": MISSING})
    assert refused == (404, "NOT_FOUND", "Automation rule not found")


def test_a_value_that_is_wrong_in_the_only_shape_that_fits_is_told_alone(api):
    body = {
        "name": "",
        "trigger_type": "event_based",
        "trigger_config": {"event_type": ""},
        "actions": [{"type": "sms_notification", "order": 1, "config": {"phone_numbers": [], "message": "x"}}],
    }
    told = [(code, path) for code, path, _ in issues(api.call("POST", "/rules", body))]
    assert told == [
        ("too_small", ["name"]),
        ("too_small", ["trigger_config", "event_type"]),
        ("too_small", ["actions", 0, "config", "phone_numbers"]),
    ]


@pytest.mark.parametrize(
    ("trigger", "kept"),
    [
        ({"check_interval_minutes": 1, "conditions": [{"field": "a", "operator": "exists"}]}, {"logic_operator": "and"}),
        ({"webhook_url": "https://example.com/x", "headers": {"a": "b"}}, {"http_method": "POST", "timeout_seconds": 30}),
    ],
)
def test_every_shape_of_trigger_is_taken(api, trigger, kept):
    config = {"script_type": "bash", "script_content": "true", "environment_variables": {"A": "b"}}
    body = {
        "name": "r",
        "trigger_type": "manual",
        "trigger_config": trigger,
        "actions": [{"type": "custom_script", "order": 1, "config": config}],
    }
    made = api.call("POST", "/rules", body).json()["data"]
    assert made["trigger_config"].items() >= kept.items()
    assert made["actions"][0]["config"]["environment_variables"] == {"A": "b"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trigger_type": "time_based", "trigger_config": {"event_type": "x"}}, "Schedule type is required for time-based triggers"),
        (
            {"actions": [{"type": "webhook_call", "order": 1, "config": {"phone_numbers": ["1"], "message": "x"}}]},
            "URL is required for webhook calls",
        ),
    ],
)
def test_checks_that_follow_those_of_form(api, change, message):
    action = {"type": "custom_script", "order": 1, "config": {"url": "https://example.com/x"}}
    body = {"name": "r", "trigger_type": "manual", "trigger_config": {"schedule_type": "once"}, "actions": [action], **change}
    answer = api.call("POST", "/rules", body)
    assert (answer.status_code, answer.json()["error"]) == (400, {"code": "VALIDATION_ERROR", "message": message})
