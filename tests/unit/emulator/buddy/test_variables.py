"""Variables that are kept in a workspace."""

from __future__ import annotations

import pytest

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Pipeline, Variable
from airflow_provider.emulator.scenario_file import load_scenario
from airflow_provider.emulator.system import ScenarioError

URL = "/workspaces/demo/variables"


@pytest.fixture
def variables(api, emulator, release):
    """One variable of each scope, and one of another workspace."""
    emulator.buddy.scopes = ["VARIABLE_MANAGE"]
    emulator.buddy.add_pipeline(Pipeline("far", workspace="other"))
    scopes = [{}, {"project": "shop"}, {"pipeline": 1}, {"action": 2}, {"environment": "prod"}, {"sandbox": "sb"}, {"workspace": "other"}]
    return [emulator.buddy.add_variable(Variable(f"V{number}", str(number), **scope)) for number, scope in enumerate(scopes)]


def _keys(api, **query):
    return [one["key"] for one in api.http.get(URL, params=query).json()["variables"]]


@pytest.mark.parametrize(
    ("query", "keys"),
    [
        ({}, ["V0", "id_workspace"]),
        ({"project_name": "shop"}, ["V1", "id_project"]),
        ({"projectName": "shop"}, ["V1", "id_project"]),
        ({"pipeline_id": 1}, ["V2"]),
        ({"pipelineId": 1}, ["V2"]),
        ({"action_id": 2}, ["V3"]),
        ({"actionId": 2}, ["V3"]),
        ({"environment_id": "prod"}, ["V4"]),
        ({"sandbox_id": "sb"}, ["V5"]),
        ({"project_name": "shop", "pipeline_id": 1}, ["V2"]),
        ({"pipeline_id": 77}, []),
    ],
)
def test_the_list_has_one_scope(api, variables, query, keys):
    assert _keys(api, **query) == keys


def test_the_list_has_no_pages(api, emulator, variables):
    for number in range(50):
        emulator.buddy.add_variable(Variable(f"W{number}"))
    assert len(_keys(api, page=2, per_page=5)) == 52


def test_one_variable_tells_its_scope(api, variables):
    one = api.http.get(f"{URL}/{variables[2].id}").json()
    assert (one["id"], one["key"], one["value"], one["type"]) == (variables[2].id, "V2", "2", "VAR")
    assert one["pipeline"] == {"id": 1}
    assert "project" not in one
    assert api.http.get(f"{URL}/{variables[1].id}").json()["project"] == {"name": "shop"}
    for missing in (f"{URL}/999", f"{URL}/{variables[6].id}", "/workspaces/none/variables"):
        assert api.http.get(missing).status_code == 404


def test_encrypted_values_come_as_ciphertext_everywhere(api, emulator, variables):
    made = api.http.post(URL, json={"key": "TOKEN", "value": "s3cret", "encrypted": True})
    assert made.status_code == 201
    number = made.json()["id"]
    for answer in (made, api.http.get(f"{URL}/{number}"), api.http.get(URL), api.http.patch(f"{URL}/{number}", json={"settable": True})):
        assert "!encrypted " in answer.text
        assert "s3cret" not in answer.text
    assert emulator.buddy.variables[-1].value == "s3cret"


def test_a_variable_is_made_changed_and_deleted(api, emulator, variables):
    made = api.http.post(URL, json={"key": "IMAGE", "value": "a", "description": "d", "init_path": "x", "action": {"id": 2}})
    assert (made.status_code, made.json()["action"], made.json()["init_path"]) == (201, {"id": 2}, "x")
    url = f"{URL}/{made.json()['id']}"
    changed = api.http.patch(url, json={"value": "b", "defaults": "c"}).json()
    assert [changed[key] for key in ("key", "value", "description", "init_path", "defaults")] == ["IMAGE", "b", "d", "x", "c"]
    assert emulator.buddy.variables[-1].value == "b"
    gone = api.http.delete(url)
    assert (gone.status_code, gone.content) == (204, b"")
    assert api.http.get(url).status_code == 404


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"key": "A", "project": {"name": "shop"}, "pipeline": {"id": 1}}, "Only one scope is allowed"),
        ({"value": "A"}, "key"),
        ({"key": 5}, "key"),
        ({"key": "A", "encrypted": "yes"}, "encrypted"),
        ({"key": "A", "type": "COLOUR"}, "COLOUR"),
        ({"key": "A", "project": "shop"}, "project"),
        ([], "object"),
    ],
)
def test_a_variable_that_makes_no_sense_is_refused(api, emulator, variables, body, says):
    answer = api.http.post(URL, json=body)
    assert answer.status_code == 400
    assert says in answer.json()["errors"][0]["message"]
    assert len(emulator.buddy.variables) == len(variables)


def test_a_change_must_make_sense_too(api, variables):
    answer = api.http.patch(f"{URL}/{variables[1].id}", json={"pipeline": {"id": 1}, "value": "new"})
    assert (answer.status_code, "Only one scope" in answer.text) == (400, True)
    assert api.http.get(f"{URL}/{variables[1].id}").json()["value"] == "1"


@pytest.mark.parametrize(
    ("method", "path", "needed", "lower"),
    [
        ("GET", URL, "VARIABLE_INFO", "EXECUTION_MANAGE"),
        ("GET", f"{URL}/1", "VARIABLE_INFO", "WORKSPACE"),
        ("POST", URL, "VARIABLE_ADD", "VARIABLE_INFO"),
        ("PATCH", f"{URL}/1", "VARIABLE_MANAGE", "VARIABLE_ADD"),
        ("DELETE", f"{URL}/1", "VARIABLE_MANAGE", "VARIABLE_ADD"),
    ],
)
def test_variables_have_scopes_of_their_own(api, emulator, variables, method, path, needed, lower):
    body = {"key": "A"} if method in ("POST", "PATCH") else None
    emulator.buddy.scopes = [lower]
    refused = api.http.request(method, path, json=body)
    assert (refused.status_code, refused.headers["X-Accepted-OAuth-Scopes"]) == (403, needed)
    emulator.buddy.scopes = [needed]
    assert api.http.request(method, path, json=body).status_code in (200, 201, 204)


def test_the_same_id_or_two_scopes_are_errors_for_the_caller(emulator):
    emulator.buddy.add_variable(Variable("A", id=7))
    with pytest.raises(ValueError, match="7"):
        emulator.buddy.add_variable(Variable("B", id=7))
    with pytest.raises(ValueError, match="Only one scope"):
        emulator.buddy.add_variable(Variable("B", project="shop", pipeline=1))


def test_a_scenario_file_has_variables(tmp_path):
    path = tmp_path / "scenario.yaml"
    path.write_text("buddy: {variables: [{key: TOKEN, value: s3cret, encrypted: true, project: shop}]}")
    emulator = Emulator()
    load_scenario(emulator.systems, path)
    (variable,) = emulator.buddy.variables
    assert (variable.id, variable.key, variable.encrypted, variable.project) == (1, "TOKEN", True, "shop")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("buddy: {variables: [{key: A, colour: red}]}", r"variables\[0\]: unknown key 'colour'"),
        ("buddy: {variables: [{value: A}]}", r"variables\[0\].key: .*required"),
        ("buddy: {variables: [{key: A, project: p, pipeline: 1}]}", r"variables\[0\]: Only one scope"),
        ("buddy: {variables: 5}", "must be a list"),
    ],
)
def test_a_wrong_variable_in_a_scenario_is_told(tmp_path, text, says):
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=says):
        load_scenario(Emulator().systems, path)
