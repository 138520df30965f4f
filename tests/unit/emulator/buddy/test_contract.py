"""Access, refusals, lists, and the options that play the vendor's versions."""

from __future__ import annotations

import json

import httpx
import pytest

from airflow_provider.emulator.buddy import Action, Pipeline


def test_a_wrong_token_is_401(api, emulator, release):
    for header in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Basic x"}):
        answer = httpx.get(f"{emulator.buddy.url}/workspaces/demo/projects/shop/pipelines", headers=header, timeout=60)
        assert answer.status_code == 401
        assert answer.json()["errors"][0]["message"]


def test_a_rotated_token_takes_the_place_of_the_old_one(api, emulator, release):
    emulator.buddy.token = "new"
    assert api.call("GET", "").status_code == 401
    api.http.headers["Authorization"] = "Bearer new"
    assert api.call("GET", "").status_code == 200


def test_a_missing_scope_is_403_and_names_both_sides(api, emulator, release):
    emulator.buddy.scopes = ["WORKSPACE", "EXECUTION_INFO"]
    answer = api.call("POST", f"/{release.id}/executions", {})
    assert answer.status_code == 403
    assert answer.headers["X-OAuth-Scopes"] == "WORKSPACE, EXECUTION_INFO"
    assert answer.headers["X-Accepted-OAuth-Scopes"] == "EXECUTION_RUN"
    assert emulator.buddy.executions == []


def test_a_higher_scope_includes_the_lower(api, emulator, release):
    emulator.buddy.scopes = ["EXECUTION_MANAGE"]
    assert api.run(release)["id"] == 1
    assert api.call("GET", "").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/workspaces/other/projects/shop/pipelines",
        "/workspaces/demo/projects/other/pipelines",
        "/workspaces/demo/projects/shop/pipelines/99",
        "/workspaces/demo/projects/shop/pipelines/x",
        "/workspaces/demo/projects/shop/pipelines/1/executions/7",
        "/workspaces/demo/projects/shop/pipelines/1/executions/7/action_executions/a",
        "/nothing",
    ],
)
def test_what_is_not_there_is_404_in_the_vendors_shape(api, release, path):
    answer = api.http.get(path)
    assert answer.status_code == 404
    assert answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(
    ("settings", "body", "says"),
    [
        ({"disabled": True}, {}, "disabled"),
        ({"refs": ["release/*"]}, {}, "branch"),
        ({"refs": ["main", "dev"]}, {}, "branch"),
        ({"description_required": True}, {}, "comment"),
        ({}, {"branch": {"name": "a"}, "tag": {"name": "b"}}, "Only one"),
        ({}, {"branch": "main"}, "branch"),
        ({}, {"priority": "URGENT"}, "priority"),
        ({}, {"variables": {"A": "1"}}, "variables"),
        ({}, {"variables": [{"key": "A", "value": 1}]}, "variables"),
        ({}, {"delay_until": "tomorrow"}, "delay_until"),
        ({}, {"actions_to_run": [12345]}, "actions_to_run"),
        ({}, {"comment": 5}, "comment"),
        ({}, [], "object"),
    ],
)
def test_a_run_that_does_not_fit_is_refused(api, emulator, settings, body, says):
    pipeline = emulator.buddy.add_pipeline(Pipeline("picky", actions=[Action("Build")], **settings))
    answer = api.call("POST", f"/{pipeline.id}/executions", body)
    assert answer.status_code == 400
    assert says in answer.json()["errors"][0]["message"]
    assert emulator.buddy.executions == []


def test_a_wildcard_pipeline_runs_with_a_branch(api, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("wild", refs=["release/*"]))
    assert api.run(pipeline, branch={"name": "release/1"})["branch"]["name"] == "release/1"


def test_a_body_that_is_not_json_is_400(api, release):
    answer = api.http.post(f"/workspaces/demo/projects/shop/pipelines/{release.id}/executions", content=b"{")
    assert answer.status_code == 400


def test_a_get_ignores_body_and_bare_question_mark(api, emulator, release):
    url = f"{emulator.buddy.url}/workspaces/demo/projects/shop/pipelines?"
    request = api.http.build_request("GET", url, content=b"null", headers={"Content-Type": "application/json"})
    assert api.http.send(request).status_code == 200


def test_executions_are_listed_newest_first_with_counters(api, release):
    for _ in range(5):
        api.run(release)
    page = api.get(f"/{release.id}/executions", page=2, per_page=2)
    assert [run["id"] for run in page["executions"]] == [3, 2]
    counters = [page[key] for key in ("page", "page_size", "total_page_count", "element_count", "total_element_count")]
    assert counters == [2, 2, 3, 2, 5]
    assert "action_executions" not in page["executions"][0]
    beyond = api.get(f"/{release.id}/executions", page=9)
    assert (beyond["executions"], beyond["page_size"]) == ([], 20)


def test_a_new_execution_may_show_late_in_the_list(api, clock, emulator, release):
    emulator.buddy.list_lag = 5
    api.run(release)
    assert api.get(f"/{release.id}/executions")["executions"] == []
    assert api.execution(release)["id"] == 1
    clock.advance(5)
    assert len(api.get(f"/{release.id}/executions")["executions"]) == 1


def test_listed_executions_may_lack_the_comment(api, emulator, release):
    api.run(release, comment="marker")
    assert api.get(f"/{release.id}/executions")["executions"][0]["comment"] == "marker"
    emulator.buddy.list_has_comment = False
    assert "comment" not in api.get(f"/{release.id}/executions")["executions"][0]


def test_pipelines_are_listed_in_pages(api, emulator, release, gated):
    assert [one["name"] for one in api.get("")["pipelines"]] == ["release", "gated"]
    assert [one["name"] for one in api.get("", sort_by="name")["pipelines"]] == ["gated", "release"]
    assert [one["name"] for one in api.get("", page=2, per_page=1)["pipelines"]] == ["gated"]
    assert api.get("", page=3, per_page=1)["pipelines"] == []


def test_a_pipeline_tells_of_its_last_run(api, release):
    before = api.get(f"/{release.id}")
    assert (before["identifier"], before["last_execution_status"]) == ("release", "INITIAL")
    api.run(release)
    assert api.get(f"/{release.id}")["last_execution_status"] == "INPROGRESS"


def test_actions_can_be_read(api, release):
    actions = api.get(f"/{release.id}/actions")["actions"]
    assert [one["name"] for one in actions] == ["Build", "Deploy"]
    assert api.get(f"/{release.id}/actions/{actions[0]['id']}")["type"] == "RUN_DOCKER_CONTAINER"
    assert api.call("GET", f"/{release.id}/actions/999").status_code == 404


def test_who_am_i_and_what_is_there(api, emulator, release):
    assert api.http.get("/user").json()["name"] == "Airflow"
    assert api.http.get("/user/token").json()["scopes"] == emulator.buddy.scopes
    assert [one["domain"] for one in api.http.get("/workspaces").json()["workspaces"]] == ["demo"]
    assert api.http.get("/workspaces/demo").json()["domain"] == "demo"
    assert api.http.get("/workspaces/demo/projects").json()["projects"][0]["name"] == "shop"
    assert api.http.get("/workspaces/demo/projects/shop").json()["name"] == "shop"
    emulator.buddy.scopes = []
    assert api.http.get("/user").status_code == 403


def test_the_older_era_has_its_own_names_and_demands(api, emulator, release):
    emulator.buddy.era = "E1"
    assert api.call("POST", f"/{release.id}/executions", {}).status_code == 400
    run = api.run(release)
    assert run["triggeredOn"] == "CLICK"
    assert "triggered_on" not in run
    assert [one["name"] for one in api.get(f"/{release.id}")["actions"]] == ["Build", "Deploy"]
    answer = api.call("GET", "")
    assert (answer.headers["X-Rate-Limit-Limit"], answer.headers["X-Rate-Limit-Remaining"]) == ("1", "999")
    assert "X-OAuth-Scopes" not in answer.headers
    emulator.buddy.scopes = ["EXECUTION_INFO"]
    assert api.call("GET", "").headers["X-Accepted-OAuth-Scopes"] == "WORKSPACE, EXECUTION_INFO"


def test_optional_fields_may_come_as_null(api, emulator, release):
    emulator.buddy.nulls = "null"
    run = api.run(release)
    assert run["finish_date"] is None
    assert run["tag"] is None
    step = api.step(release)
    assert step["error_message"] is None
    assert step["action"]["timeout"] is None


def test_the_paged_log_may_be_missing(api, emulator, release):
    emulator.buddy.has_logs_route = False
    step = api.run(release)["action_executions"][0]["action_execution_id"]
    path = f"/{release.id}/executions/1/action_executions/{step}"
    assert api.call("GET", path).status_code == 200
    assert api.call("GET", path + "/logs").status_code == 404


def test_the_action_execution_id_may_stand_only_in_the_url(api, emulator, release):
    emulator.buddy.action_execution_ids_in_execution = False
    step = api.run(release)["action_executions"][0]
    assert "action_execution_id" not in step
    assert api.http.get(step["url"]).json()["url"] == step["url"]


def test_urls_may_name_another_host(api, emulator, release):
    emulator.buddy.public_url = "https://api.buddy.example"
    assert api.run(release)["url"].startswith("https://api.buddy.example/workspaces/demo/")


@pytest.mark.parametrize("send_retry_after", [False, True])
def test_the_rate_limit_counts_in_windows(api, clock, emulator, release, send_retry_after):
    emulator.buddy.rate_limit = (2, 60)
    emulator.buddy.send_retry_after = send_retry_after
    assert [api.call("GET", "").headers["X-Rate-Limit-Remaining"] for _ in range(2)] == ["1", "0"]
    clock.advance(10)
    refused = api.call("GET", "")
    assert refused.status_code == 429
    assert float(refused.headers["X-Rate-Limit-Reset"]) == clock.now() + 50
    assert refused.headers.get("Retry-After") == ("50" if send_retry_after else None)
    clock.advance(50)
    assert api.call("GET", "").status_code == 200


def test_the_connection_can_be_given_to_airflow(emulator):
    connection = json.loads(emulator.buddy.connection_json())
    assert connection == {
        "conn_type": "buddy",
        "host": f"{emulator.url}/buddy/api",
        "password": "emulator-token",
        "extra": {"workspace": "demo", "project": "shop"},
    }


def test_a_pipeline_id_is_taken_once(emulator, release):
    assert emulator.buddy.add_pipeline(Pipeline("given", id=89)).id == 89
    with pytest.raises(ValueError, match="89"):
        emulator.buddy.add_pipeline(Pipeline("twin", id=89))
