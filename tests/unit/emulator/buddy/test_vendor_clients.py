"""What the vendor's own clients (SDKs, Terraform provider, command lines) ask for and check."""

from __future__ import annotations

import base64

import httpx
import pytest

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Pipeline, Variable, Webhook

IDENTIFIERS = "/workspaces/demo/identifiers"
HALF = "\\ud83d"


@pytest.fixture
def shops(emulator):
    """Two projects, each with a pipeline of the same identifier."""
    pipelines = [Pipeline("Nightly", "nightly", project=project) for project in ("shop", "bar")]
    return [emulator.buddy.add_pipeline(pipeline) for pipeline in pipelines]


# -- ids of human names ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, {}),
        ({"project": "shop"}, {"project_identifier": "shop"}),
        ({"project": "shop", "pipeline": "nightly"}, {"project_identifier": "shop", "pipeline_id": 1}),
        ({"project": "bar", "pipeline": "nightly"}, {"project_identifier": "bar", "pipeline_id": 2}),
        ({"project": "none", "pipeline": "nightly"}, {}),
        ({"project": "shop", "pipeline": "none"}, {"project_identifier": "shop"}),
        ({"project": "shop", "pipeline": "Nightly"}, {"project_identifier": "shop"}),
        ({"pipeline": "nightly"}, {}),
        ({"project": "shop", "environment": "prod", "sandbox": "box"}, {"project_identifier": "shop"}),
    ],
)
def test_ids_are_found_by_identifiers_and_what_is_unknown_is_left_out(api, emulator, shops, query, found):
    answer = api.http.get(IDENTIFIERS, params=query)
    urls = {"url": f"{emulator.buddy.url}{IDENTIFIERS}", "html_url": f"{emulator.buddy.web_url}/demo/identifiers"}
    assert (answer.status_code, answer.json()) == (200, {**urls, "domain": "demo", **found})


@pytest.mark.parametrize(("option", "value", "status"), [("scopes", ["EXECUTION_INFO"], 403), ("has_identifiers_route", False, 404)])
def test_the_route_of_identifiers_may_be_refused_or_missing(api, emulator, shops, option, value, status):
    setattr(emulator.buddy, option, value)
    assert api.http.get(IDENTIFIERS, params={"project": "shop"}).status_code == status
    assert api.http.get("/workspaces/none/identifiers").status_code in (403, 404)


# -- refs --------------------------------------------------------------------------------------------------------------

REFS = [
    ("refs/heads/master", "branch", "master"),
    ("refs/heads/feature/a", "branch", "feature/a"),
    ("refs/tags/v1", "tag", "v1"),
    ("refs/tags/release/2", "tag", "release/2"),
    ("refs/pull/7/head", "pull_request", "7"),
    ("master", "branch", "master"),
    ("feature/a", "branch", "feature/a"),
]


def _refs(execution):
    return {kind: execution[kind]["name"] for kind in ("branch", "tag", "pull_request") if kind in execution}


@pytest.mark.parametrize(("written", "kind", "name"), REFS)
@pytest.mark.parametrize("sent", [False, True])
def test_a_ref_in_full_is_the_branch_or_tag_of_its_name(api, emulator, written, kind, name, sent):
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", refs=["*" if sent else written]))
    made = api.run(pipeline, **({kind: {"name": written}} if sent else {}))
    assert _refs(made) == _refs(api.execution(pipeline)) == {kind: name}
    (listed,) = api.get(f"/{pipeline.id}/executions")["executions"]
    assert _refs(listed) == {kind: name}
    if kind == "branch":
        assert made["branch"]["default"] is not sent


# -- variables ---------------------------------------------------------------------------------------------------------


def _variables(api, **query):
    return api.http.get("/workspaces/demo/variables", params=query).json()["variables"]


def test_an_ssh_key_has_its_public_part_fingerprint_and_checksum(api, emulator, release):
    emulator.buddy.scopes = ["VARIABLE_MANAGE"]
    body = {"key": "deploy", "value": "private", "type": "SSH_KEY", "encrypted": True, "file_path": "~/.ssh/x", "file_chmod": "666"}
    made = api.http.post("/workspaces/demo/variables", json=body | {"file_place": "CONTAINER"}).json()
    assert (made["file_path"], made["file_chmod"], made["file_place"]) == ("~/.ssh/x", "666", "CONTAINER")
    kind, blob, _ = made["public_value"].split()
    assert (kind, base64.b64decode(blob)[4:15]) == ("ssh-ed25519", b"ssh-ed25519")
    assert made["key_fingerprint"].startswith("SHA256:")
    changed = api.http.patch(f"/workspaces/demo/variables/{made['id']}", json={"value": "another"}).json()
    for name in ("public_value", "key_fingerprint", "checksum"):
        assert made[name] != changed[name]
    plain = emulator.buddy.add_variable(Variable("A", "private"))
    assert "public_value" not in api.http.get(f"/workspaces/demo/variables/{plain.id}").json()


def test_a_fresh_workspace_and_each_project_have_a_key(api, emulator, release):
    emulator.buddy.scopes = ["VARIABLE_MANAGE"]
    emulator.buddy.add_pipeline(Pipeline("p", project="bar"))
    (of_workspace,), (of_shop,), (of_bar,) = _variables(api), _variables(api, project_name="shop"), _variables(api, projectName="bar")
    assert [one["key"] for one in (of_workspace, of_shop, of_bar)] == ["id_workspace", "id_project", "id_project"]
    assert {one["type"] for one in (of_workspace, of_shop, of_bar)} == {"SSH_KEY"}
    assert all(one["value"].startswith("!encrypted ") for one in (of_workspace, of_shop, of_bar))
    assert _variables(api) == [of_workspace]
    assert emulator.buddy.variables == []
    assert api.http.get(f"/workspaces/demo/variables/{of_bar['id']}").json()["project"] == {"name": "bar"}
    assert api.http.delete(f"/workspaces/demo/variables/{of_bar['id']}").status_code == 204
    assert _variables(api, project_name="bar") == []


def test_the_keys_can_be_switched_off(api, emulator, release):
    emulator.buddy.scopes, emulator.buddy.default_variables = ["VARIABLE_MANAGE"], False
    assert (_variables(api), _variables(api, project_name="shop")) == ([], [])


# -- projects and pipelines --------------------------------------------------------------------------------------------


def test_a_project_tells_where_its_repository_is(api, emulator, release):
    one = api.http.get("/workspaces/demo/projects/shop").json()
    assert one["http_repository"] == f"{emulator.buddy.web_url}/demo/shop"
    assert one["ssh_repository"] == "buddy@127.0.0.1:demo/shop"
    assert (one["access"], one["without_repository"]) == ("PRIVATE", False)
    for name in ("fetch_submodules", "allow_pull_requests", "update_default_branch_from_external"):
        assert one[name] is False
    (listed,) = api.http.get("/workspaces/demo/projects").json()["projects"]
    assert "access" not in listed


@pytest.mark.parametrize(("era", "on"), [("E1", "SCHEDULE"), ("E2", None), ("E3", None)])
def test_a_pipeline_of_the_oldest_era_tells_what_starts_it(api, emulator, era, on):
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", on="SCHEDULE"))
    emulator.buddy.era, emulator.buddy.scopes = era, ["WORKSPACE", "EXECUTION_INFO"]
    assert api.get(f"/{pipeline.id}").get("on") == api.get("")["pipelines"][0].get("on") == on


# -- lists -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["0", "-1", "", "x"])
def test_a_page_size_that_is_none_is_the_default(api, emulator, release, size):
    for _ in range(25):
        emulator.buddy.add_execution(release, "SUCCESSFUL")
    page = api.get(f"/{release.id}/executions", per_page=size, page=size)
    assert (page["page"], page["page_size"], page["element_count"], page["total_page_count"]) == (1, 20, 20, 2)
    step = api.execution(release)["action_executions"][0]
    assert api.get(f"/{release.id}/executions/1/action_executions/{step['action_execution_id']}/logs", limit=size)["element_count"] == 4
    assert len(api.get("", per_page=size)["pipelines"]) == 1


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({"status": "FAILED"}, [4, 2]),
        ({"status": "SUCCESSFUL"}, [1]),
        ({"status": "FAILED,SUCCESSFUL"}, [4, 2, 1]),
        ({"status": ["FAILED", "INPROGRESS"]}, [4, 3, 2]),
        ({"status": "TERMINATED"}, []),
        ({"status": ""}, [4, 3, 2, 1]),
        ({"status": "FAILED", "per_page": 1, "page": 2}, [2]),
    ],
)
def test_executions_are_listed_by_status(api, emulator, release, query, ids):
    for status in ("SUCCESSFUL", "FAILED", "INPROGRESS", "FAILED"):
        emulator.buddy.add_execution(release, status)
    page = api.get(f"/{release.id}/executions", **query)
    assert [one["id"] for one in page["executions"]] == ids
    assert page["total_element_count"] == (2 if "per_page" in query else len(ids))


def test_a_gate_that_only_its_step_shows_is_listed_as_in_progress(api, emulator, clock, gated):
    emulator.buddy.gate_in = "action"
    api.run(gated)
    clock.advance(1)
    assert len(api.get(f"/{gated.id}/executions", status="INPROGRESS")["executions"]) == 1
    assert api.get(f"/{gated.id}/executions", status="WAITING_FOR_APPLY")["executions"] == []


# -- webhooks and ids --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("project_filter", "receives"), [("ALL", True), ("SELECTED", False), (None, False)])
def test_the_project_filter_of_a_webhook_is_kept(api, emulator, release, project_filter, receives):
    emulator.buddy.scopes = ["WEBHOOK_MANAGE"]
    body = {"target_url": "http://127.0.0.1:9/", "events": ["EXECUTION_STARTED"], "projects": ["other"], "project_filter": project_filter}
    made = api.http.post("/workspaces/demo/webhooks", json=body)
    assert (made.status_code, made.json().get("project_filter")) == (201, project_filter)
    url = f"/workspaces/demo/webhooks/{made.json()['id']}"
    assert api.http.get(url).json().get("project_filter") == project_filter
    (webhook,) = emulator.buddy.webhooks
    assert webhook.receives("EXECUTION_STARTED", emulator.buddy.add_execution(release)) is receives
    assert api.http.patch(url, json={"project_filter": "ALL"}).json()["project_filter"] == "ALL"
    assert api.http.patch(url, json={"project_filter": 5}).status_code == 400


@pytest.mark.parametrize("kind", ["variables", "webhooks"])
def test_the_id_of_what_was_deleted_is_not_given_again(api, emulator, release, kind):
    emulator.buddy.scopes = ["VARIABLE_MANAGE", "WEBHOOK_MANAGE"]
    body = {"key": "A", "target_url": "http://127.0.0.1:9/", "events": ["PUSH"]}
    url, ids = f"/workspaces/demo/{kind}", []
    for _ in range(3):
        ids.append(api.http.post(url, json=body).json()["id"])
        assert api.http.delete(f"{url}/{ids[-1]}").status_code == 204
    assert ids == [1, 2, 3]
    assert emulator.buddy.add_variable(Variable("B", id=9)).id == 9
    emulator.buddy.delete_variable(9)
    assert emulator.buddy.add_variable(Variable("B")).id == 10
    assert emulator.buddy.add_webhook(Webhook("http://127.0.0.1:9/")).id == (4 if kind == "webhooks" else 1)


# -- text --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [HALF, f"a{HALF}b", "\\uDE00 first", f"{HALF}{HALF}\\ude00"])
@pytest.mark.parametrize("place", ["comment", "branch", "value", "key"])
def test_half_a_surrogate_pair_is_replaced(api, emulator, release, text, place):
    """No JSON library writes it, but a client that cuts text at a length does."""
    bodies = {
        "comment": f'{{"comment": "{text}"}}',
        "branch": f'{{"branch": {{"name": "{text}"}}}}',
        "value": f'{{"variables": [{{"key": "A", "value": "{text}"}}]}}',
        "key": f'{{"variables": [{{"key": "{text}", "value": "1"}}]}}',
    }
    headers = {"content-type": "application/json"}
    made = api.http.post(f"/workspaces/demo/projects/shop/pipelines/{release.id}/executions", content=bodies[place], headers=headers)
    assert made.status_code == 201
    assert api.http.get(f"{emulator.url}/_emulator/executions").status_code == 200
    assert text.encode() in emulator.ledger.entries[0].body
    if place == "comment":
        assert "\ufffd" in made.json()["comment"]
    emulator.buddy.cancel(f"demo/shop/{release.id}/1")
    assert api.execution(release)["status"] == "TERMINATED"


def test_a_whole_pair_stays(api, release):
    assert api.run(release, comment="\U0001f600")["comment"] == "\U0001f600"


def test_half_a_pair_of_a_scenario_is_sent_as_an_escape(api, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("\ud83d"))
    answer = api.call("GET", f"/{pipeline.id}")
    assert (answer.status_code, answer.json()["name"], HALF in answer.text) == (200, "\ud83d", True)


@pytest.mark.parametrize("system", ["tracecat", "alga_psa"])
def test_half_a_pair_is_replaced_in_the_other_systems_too(clock, system):
    from airflow_provider.emulator.alga_psa import Rule
    from airflow_provider.emulator.tracecat import Workflow

    with Emulator(clock) as emulator:
        workflow, rule = emulator.tracecat.add_workflow(Workflow("W")), emulator.alga_psa.add_rule(Rule("r"))
        starts = {
            "tracecat": (
                f"{emulator.tracecat.url}/workspaces/{emulator.tracecat.workspace}/workflow-executions",
                {"Authorization": f"Bearer {emulator.tracecat.key.key}"},
                f'{{"workflow_id": "{workflow.id}", "inputs": {{"a": "{HALF}"}}}}',
            ),
            "alga_psa": (
                f"{emulator.alga_psa.url}/api/v1/automation/rules/{rule.id}/execute",
                {"x-api-key": emulator.alga_psa.api_key},
                f'{{"automation_rule_id": "{rule.id}", "execution_data": {{"a": "{HALF}"}}}}',
            ),
        }
        url, headers, body = starts[system]
        made = httpx.post(url, content=body, headers=headers | {"content-type": "application/json"}, timeout=60)
        assert made.status_code in (200, 201), made.text
        told = httpx.get(f"{emulator.url}/_emulator/executions", timeout=60)
        assert (told.status_code, "\ufffd" in str(told.json())) == (200, True)
