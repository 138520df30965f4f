"""The installation as releases so far are, and older releases."""

from __future__ import annotations

import pytest

from airflow_provider.emulator.alga_psa import Rule

UNEXPECTED = (500, "INTERNAL_ERROR", "An unexpected error occurred")
MISSING = "7c9e6679-7425-40de-944b-e07fc1f90ae7"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/rules", None),
        ("GET", "/executions", None),
        ("GET", "/templates", None),
        ("GET", "/statistics", None),
        ("GET", f"/rules/{MISSING}", None),
        ("PUT", f"/rules/{MISSING}", {"status": "active"}),
        ("DELETE", f"/rules/{MISSING}", None),
        ("GET", f"/executions/{MISSING}", None),
        ("POST", f"/executions/{MISSING}/retry", None),
        ("POST", f"/rules/{MISSING}/execute", {"automation_rule_id": MISSING}),
        ("POST", "/rules/no-uuid/execute", {"automation_rule_id": MISSING}),
        ("POST", f"/templates/{MISSING}/use", {}),
    ],
)
def test_as_deployed_nearly_everything_fails(api, alga, method, path, body):
    alga.mode = "as_deployed"
    assert api.error(method, path, body) == UNEXPECTED


def test_as_deployed_a_few_things_work(api, alga, sync):
    alga.mode = "as_deployed"
    assert api.get("/meta")["data"]["rule_statuses"] == ["active", "inactive", "draft", "error"]
    assert api.get("/performance")["data"]["metrics"] == ["execution_count"]
    told = api.call("POST", "/rules/bulk-execute", {"automation_rule_ids": [sync.id]}).json()["data"]
    assert (told["started"], told["errors"]) == (0, [f"{sync.id}: Failed to execute automation rule."])
    told = api.call("POST", "/rules/bulk-status", {"ids": [sync.id], "status": "draft"}).json()["data"]
    assert (told["updated"], sync.status) == (0, "active")


def test_as_deployed_wrong_requests_are_told_first(api, alga):
    alga.mode = "as_deployed"
    assert api.error("GET", "/executions/x") == (400, "VALIDATION_ERROR", "Invalid ID format")
    assert api.error("GET", "/executions", params={"limit": "0"})[0] == 400
    alga.key.permissions = []
    assert api.error("GET", "/executions/x")[0] == 403


@pytest.mark.parametrize("release", ["1.2", "1.2.0", "1.0"])
def test_before_1_3_what_is_missing_or_unfit_is_an_unexpected_error(api, alga, sync, release):
    alga.release = release
    off = alga.add_rule(Rule("off", status="inactive"))
    execution = alga.add_execution(sync, "completed")
    assert api.error("GET", f"/executions/{MISSING}") == UNEXPECTED
    assert api.error("POST", f"/executions/{execution.id}/retry") == UNEXPECTED
    assert api.error("POST", f"/rules/{off.id}/execute", {"automation_rule_id": off.id}) == UNEXPECTED
    told = api.call("POST", "/rules/bulk-execute", {"automation_rule_ids": [off.id]}).json()["data"]
    assert told["errors"] == [f"{off.id}: Automation rule is not active"]
    assert api.error("GET", "/executions/x")[0] == 400


@pytest.mark.parametrize("release", ["1.3", "1.4.0", "2"])
def test_from_1_3_on_they_have_answers_of_their_own(api, alga, release):
    alga.release = release
    assert api.error("GET", f"/executions/{MISSING}")[0] == 404
