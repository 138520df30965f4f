"""Workflows that are made by the API: from a definition, published, run and removed."""

from __future__ import annotations

import json

import httpx
import pytest

from airflow_provider.emulator.tracecat.access import USER_SCOPES

BUILD = {"ref": "build", "action": "core.transform.reshape", "args": {"value": {"image": "${{ TRIGGER.image }}"}}}
DEPLOY = {"ref": "deploy", "action": "core.transform.reshape", "args": {"value": "done"}, "depends_on": ["build"], "start_delay": 30}
FAILS = {"ref": "test", "action": "core.require", "args": {"conditions": [True, False]}, "depends_on": ["build"]}


@pytest.fixture
def api(api, emulator):
    emulator.tracecat.key.scopes = USER_SCOPES
    return api


def upload(api, content, kind="application/json"):
    return api.call("POST", "/workflows", files={"file": ("workflow.json", content, kind)})


def make(api, *actions, **more):
    """Make and publish a workflow; its id."""
    definition = {"title": "made", "description": "", "entrypoint": {"ref": "build"}, "actions": list(actions), **more}
    answer = upload(api, json.dumps({"definition": definition}))
    assert answer.status_code == 201, answer.text
    assert answer.json()["version"] is None
    workflow = answer.json()["id"]
    assert api.post(f"/workflows/{workflow}/commit")["status"] == "success"
    return workflow


def run(api, workflow, inputs=None):
    return api.post("/workflow-executions", workflow_id=workflow, inputs=inputs)["wf_exec_id"]


def test_a_definition_is_run_as_it_says(api, clock):
    workflow = make(api, BUILD, DEPLOY, returns={"image": "${{ ACTIONS.build.result.image }}"})
    execution = run(api, workflow, {"image": "shop:1"})
    clock.advance(10)
    assert api.compact(execution)["status"] == "RUNNING"
    assert "deploy" not in api.rows(execution)
    clock.advance(30)
    rows = api.rows(execution)
    assert rows["build"]["action_result"] == {"image": "shop:1"}
    assert rows["__workflow_completed__"]["action_result"] == {"image": "shop:1"}


def test_a_condition_that_is_false_fails(api, clock):
    execution = run(api, make(api, BUILD, FAILS))
    clock.advance(10)
    assert api.compact(execution)["status"] == "FAILED"
    error = api.rows(execution)["test"]["action_error"]
    assert error["root_cause_message"] == "All condition must evaluate to true. Got values: True, False"


def test_a_failure_with_an_error_edge_is_handled(api, clock):
    after = {"ref": "notify", "action": "core.transform.reshape", "args": {"value": 1}, "depends_on": ["test.error"]}
    workflow = make(api, BUILD, FAILS, after)
    execution = run(api, workflow)
    clock.advance(10)
    assert api.compact(execution)["status"] == "COMPLETED"
    assert [api.rows(execution)[ref]["status"] for ref in ("build", "test", "notify")] == ["COMPLETED", "FAILED", "COMPLETED"]
    content = api.get(f"/workflows/{workflow}/definition")["content"]
    assert [action["depends_on"] for action in content["actions"]] == [[], ["build"], ["test.error"]]


@pytest.mark.parametrize(("seconds", "status"), [(5, "FAILED"), (50, "COMPLETED")])
def test_a_condition_on_the_time_is_false_until_then(api, clock, seconds, status):
    later = f"${{{{ FN.to_timestamp(FN.wall_clock()) > {int(clock.now()) + 20} }}}}"
    workflow = make(api, {"ref": "build", "action": "core.require", "args": {"conditions": [later]}})
    first = run(api, workflow)
    clock.advance(5)
    assert api.compact(first)["status"] == "FAILED"
    clock.advance(seconds - 5)
    api.post(f"/workflow-executions/{first.replace('/', '%252F')}/reset", reason="again")
    clock.advance(5)
    assert api.compact(first)["status"] == status


@pytest.mark.parametrize(
    ("actions", "says"),
    [
        ([], "At least one action must be defined."),
        ([{**BUILD, "ref": "Build"}], "String should match pattern"),
        ([BUILD, BUILD], "two actions"),
        ([DEPLOY], "needs 'build'"),
        ([{"ref": "build"}], "action"),
    ],
)
def test_what_is_wrong_is_refused(api, actions, says):
    definition = {"title": "made", "description": "", "entrypoint": {}, "actions": actions}
    answer = upload(api, json.dumps({"definition": definition}))
    assert answer.status_code == 400
    assert says in answer.json()["detail"]


@pytest.mark.parametrize(
    ("content", "kind", "says"),
    [
        ("{", "application/json", "Error parsing JSON file"),
        ("a: [", "application/yaml", "Error parsing YAML file"),
        ("{}", "text/plain", "Invalid file type text/plain"),
        ("[]", "application/json", "Error validating external workflow definition"),
    ],
)
def test_what_is_no_definition_is_refused(api, content, kind, says):
    answer = upload(api, content, kind)
    assert answer.status_code == 400
    assert says in answer.json()["detail"]


def test_yaml_and_a_blank_workflow(api):
    text = "definition: {title: made, description: d, actions: [{ref: a, action: core.transform.reshape, args: {value: 1}}]}"
    assert upload(api, text, "application/yaml").json()["title"] == "made"
    blank = api.call("POST", "/workflows", files={"title": (None, "Empty")}).json()
    assert blank["title"] == "Empty"
    assert api.post(f"/workflows/{blank['id']}/commit")["status"] == "failure"


def test_a_workflow_that_is_removed_leaves_its_executions(api, clock):
    workflow = make(api, BUILD)
    execution = run(api, workflow)
    removed: httpx.Response = api.call("DELETE", f"/workflows/{workflow}")
    assert removed.status_code == 204
    clock.advance(10)
    assert api.compact(execution)["status"] == "COMPLETED"
    for method, path in (("GET", f"/workflows/{workflow}"), ("DELETE", f"/workflows/{workflow}")):
        assert api.call(method, path).status_code == 404
    again = api.call("POST", "/workflow-executions", {"workflow_id": workflow})
    assert (again.status_code, again.json()) == (404, {"detail": "Invalid workflow ID"})


@pytest.mark.parametrize(
    ("method", "path", "scope"), [("POST", "/workflows", "workflow:create"), ("DELETE", "/workflows/{}", "workflow:delete")]
)
def test_scopes(api, emulator, method, path, scope):
    workflow = make(api, BUILD)
    emulator.tracecat.key.scopes = [held for held in USER_SCOPES if held != scope]
    answer = api.call(method, path.format(workflow))
    assert (answer.status_code, answer.json()["error"]["missing_scopes"]) == (403, [scope])
