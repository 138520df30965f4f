"""What there is, who asks, and what the scopes are called."""

from __future__ import annotations

import pytest

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Pipeline, Variable


def test_workspaces_are_what_pipelines_and_variables_name(api, emulator, release):
    emulator.buddy.add_variable(Variable("A", workspace="bare"))
    listed = api.http.get("/workspaces").json()
    assert listed["url"] == f"{emulator.buddy.url}/workspaces"
    assert [one["domain"] for one in listed["workspaces"]] == ["bare", "demo"]
    assert "create_date" not in listed["workspaces"][0]
    one = api.http.get("/workspaces/demo").json()
    assert (one["domain"], one["frozen"], one["create_date"]) == ("demo", False, "2025-01-01T08:00:00Z")
    assert api.http.get("/workspaces/bare/projects").json()["projects"] == []
    assert api.http.get("/workspaces/none").status_code == 404


def test_projects_are_listed_in_pages(api, emulator):
    for name in ("a", "b", "c"):
        emulator.buddy.add_pipeline(Pipeline("p", project=name))
    url = "/workspaces/demo/projects"
    pages = [api.http.get(url, params={"page": page, "per_page": 2}).json()["projects"] for page in (1, 2, 3)]
    assert [[one["name"] for one in page] for page in pages] == [["a", "b"], ["c"], []]
    assert "created_by" not in pages[0][0]
    one = api.http.get(url + "/b").json()
    assert (one["name"], one["status"], one["created_by"]["name"]) == ("b", "ACTIVE", "Mike")
    assert api.http.get(url + "/none").status_code == 404


def test_pipelines_can_be_sorted(api, emulator):
    for name in ("b", "c", "a"):
        emulator.buddy.add_pipeline(Pipeline(name))

    def names(**query):
        return "".join(one["name"] for one in api.get("", **query)["pipelines"])

    assert (names(), names(sort_by="id"), names(sort_by="name")) == ("bca", "bca", "abc")
    assert (names(sort_direction="DESC"), names(sort_by="name", sort_direction="DESC")) == ("acb", "cba")
    assert names(sort_by="name", sort_direction="ASC", page=2, per_page=2) == "c"


def test_the_token_tells_of_itself(api, emulator):
    emulator.buddy.scopes = []
    answer = api.http.get("/user/token")
    assert (answer.status_code, answer.json()["scopes"], "token" in answer.json()) == (200, [], False)
    refused = api.http.get("/user")
    assert (refused.status_code, refused.headers["X-Accepted-OAuth-Scopes"]) == (403, "USER_INFO")


def test_a_web_identity_becomes_a_bare_json_string(api, emulator):
    answer = api.http.post("/user/oidc/tokens", json={"provider_id": "p", "web_identity_token": "t"}, headers={"Authorization": ""})
    assert (answer.status_code, answer.json()) == (200, emulator.buddy.token)
    assert api.http.post("/user/oidc/tokens", json={"provider_id": "p"}).status_code == 400


@pytest.mark.parametrize(
    ("scopes", "reads", "runs"),
    [
        (["PIPELINE_READ"], 200, 403),
        (["PIPELINE_RUN"], 200, 201),
        (["PIPELINE_WRITE"], 200, 201),
        (["PIPELINE_MANAGE"], 200, 201),
        (["EXECUTION_INFO"], 200, 403),
        (["EXECUTION_RUN"], 200, 201),
        (["EXECUTION_MANAGE"], 200, 201),
        (["VARIABLE_MANAGE"], 403, 403),
    ],
)
def test_the_newest_era_renames_the_scopes_and_takes_the_old_ones(api, emulator, release, scopes, reads, runs):
    emulator.buddy.era = "E3"
    emulator.buddy.scopes = scopes
    read, run = api.call("GET", ""), api.call("POST", f"/{release.id}/executions", {})
    assert (read.status_code, run.status_code) == (reads, runs)
    assert (read.headers["X-Accepted-OAuth-Scopes"], run.headers["X-Accepted-OAuth-Scopes"]) == ("PIPELINE_READ", "PIPELINE_RUN")
    assert run.headers["X-OAuth-Scopes"] == scopes[0]


@pytest.mark.parametrize(
    ("method", "name"), [("GET", "VARIABLE_READ"), ("POST", "VARIABLE_WRITE"), ("PATCH", "VARIABLE_MANAGE"), ("DELETE", "VARIABLE_MANAGE")]
)
def test_the_newest_era_renames_the_scopes_of_variables(api, emulator, release, method, name):
    emulator.buddy.era = "E3"
    emulator.buddy.add_variable(Variable("A"))
    url = "/workspaces/demo/variables" + ("" if method == "POST" else "/1")
    body = {"key": "B"} if method in ("POST", "PATCH") else None
    emulator.buddy.scopes = ["PIPELINE_MANAGE"]
    refused = api.http.request(method, url, json=body)
    assert (refused.status_code, refused.headers["X-Accepted-OAuth-Scopes"]) == (403, name)
    emulator.buddy.scopes = [name]
    assert api.http.request(method, url, json=body).status_code in (200, 201, 204)


def test_the_new_scopes_mean_nothing_in_the_older_eras(api, emulator, release):
    emulator.buddy.scopes = ["PIPELINE_MANAGE"]
    assert api.call("GET", "").status_code == 403


def test_the_api_may_be_switched_off(api, emulator, release):
    emulator.buddy.api_disabled = True
    answer = api.call("GET", "")
    assert (answer.status_code, answer.json()) == (403, {"errors": [{"message": "API is disabled in this workspace"}]})


@pytest.mark.parametrize("prefix", ["", "/api", "/a/b"])
def test_the_api_can_have_any_base_path(clock, prefix):
    import httpx

    emulator = Emulator(clock)
    emulator.buddy.prefix = prefix
    emulator.buddy.add_pipeline(Pipeline("p"))
    with emulator:
        headers = {"Authorization": f"Bearer {emulator.buddy.token}"}
        assert emulator.buddy.url == emulator.url + prefix
        answer = httpx.get(f"{emulator.url}{prefix}/workspaces/demo/projects/shop/pipelines", headers=headers, timeout=60)
        assert (answer.status_code, emulator.ledger.entries[-1].system) == (200, "buddy")
        assert httpx.get(f"{emulator.url}/_emulator/executions", timeout=60).json() == []


@pytest.mark.parametrize(
    "path",
    [
        "/user",
        "/user/token",
        "/workspaces",
        "/workspaces/demo",
        "/workspaces/demo/projects",
        "/workspaces/demo/projects/shop",
        "/workspaces/demo/variables",
        "/workspaces/demo/variables/1",
        "/workspaces/demo/webhooks",
        "/workspaces/demo/projects/shop/pipelines",
        "/workspaces/demo/projects/shop/pipelines/1",
        "/workspaces/demo/projects/shop/pipelines/1/actions",
        "/workspaces/demo/projects/shop/pipelines/1/actions/1",
        "/workspaces/demo/projects/shop/pipelines/1/executions",
        "/workspaces/demo/projects/shop/pipelines/1/executions/1",
        "/workspaces/demo/projects/shop/pipelines/1/executions/1/action_executions/given",
        "/workspaces/demo/projects/shop/pipelines/1/executions/1/action_executions/given/logs",
        "/workspaces/demo/projects/shop/pipelines/1/executions/1/action/1",
        "/workspaces/demo/projects/shop/pipelines/1/executions/1/actions/1",
    ],
)
@pytest.mark.parametrize("body", [b"null", b"{", b""])
def test_every_read_ignores_bodies_and_a_bare_question_mark(api, emulator, path, body):
    emulator.buddy.scopes += ["VARIABLE_INFO", "WEBHOOK_INFO"]
    emulator.buddy.add_variable(Variable("A"))
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", action_execution_id="given")]))
    emulator.buddy.add_execution(pipeline)
    headers = {"Content-Type": "application/json", "X-Buddy-Media-Type": "buddy.v1.1.0"}
    request = api.http.build_request("GET", f"{emulator.buddy.url}{path}?", content=body, headers=headers)
    assert api.http.send(request).status_code == 200
    assert emulator.ledger.entries[-1].body == body


@pytest.mark.parametrize(("seconds", "text"), [(0.5, "00.5Z"), (0.33, "00.33Z"), (0.688, "00.688Z"), (2, "02Z")])
def test_dates_have_as_many_fraction_digits_as_they_need(api, clock, release, seconds, text):
    clock.advance(seconds)
    assert api.run(release)["start_date"] == f"2026-01-01T00:00:{text}"


def test_the_same_post_twice_starts_two_runs(api, emulator, release):
    assert [api.run(release, comment="same")["id"] for _ in range(2)] == [1, 2]
