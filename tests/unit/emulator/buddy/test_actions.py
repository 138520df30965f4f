"""The actions of a pipeline, by themselves and inside an action execution."""

from __future__ import annotations

import pytest

from airflow_provider.emulator.buddy import Action, Gate, Pipeline

DOCKER = {
    "docker_image_name": "python",
    "docker_image_tag": "3.12",
    "docker_registry": "DOCKER_HUB",
    "login": "shop",
    "password": "s3cret",
    "execute_commands": ["make"],
    "services": [{"type": "REDIS"}],
    "current_revision": "2aeec94",
    "integration": {"identifier": "docker-hub"},
    "timeout": None,
}


@pytest.fixture
def pipeline(emulator):
    build = Action(
        "Build", "RUN_DOCKER_CONTAINER", definition=DOCKER, retry_count=2, retry_interval=30, loop=["a", "b"], details={"target": "t"}
    )
    gate = Gate(
        "Ask",
        "WAIT_FOR_VARIABLES",
        comment="Which?",
        variables=[{"id": 1, "key": "WHO", "type": "VAR", "description": "", "defaults": "me"}],
        permissions={"others": "DENIED", "users": [{"id": 1, "access_level": "ALLOWED"}]},
        prevent_self_approval=True,
    )
    return emulator.buddy.add_pipeline(Pipeline("release", actions=[build, gate, Action("Build", run_next="IN_SOFT_PARALLEL")]))


def test_a_single_action_has_all_its_fields_secrets_included(api, emulator, pipeline):
    action = api.get(f"/{pipeline.id}/actions/{pipeline.actions[0].id}")
    assert {name: action[name] for name in DOCKER if name != "timeout"} == {name: DOCKER[name] for name in DOCKER if name != "timeout"}
    assert "timeout" not in action
    assert (action["retry_count"], action["retry_interval"], action["loop"]) == (2, 30, ["a", "b"])
    assert (action["pipeline"]["id"], action["last_execution_status"]) == (pipeline.id, "INITIAL")
    emulator.buddy.nulls = "null"
    assert api.get(f"/{pipeline.id}/actions/{pipeline.actions[0].id}")["timeout"] is None


def test_a_single_gate_says_what_it_asks_and_whom(api, pipeline):
    gate = api.get(f"/{pipeline.id}/actions/{pipeline.actions[1].id}")
    assert (gate["type"], gate["comment"], gate["prevent_self_approval"]) == ("WAIT_FOR_VARIABLES", "Which?", True)
    assert gate["variables"][0]["key"] == "WHO"
    assert gate["permissions"]["others"] == "DENIED"


def test_the_list_is_a_summary_unless_told_otherwise(api, emulator, pipeline):
    listed = api.get(f"/{pipeline.id}/actions")["actions"]
    assert [one["name"] for one in listed] == ["Build", "Ask", "Build"]
    assert len({one["id"] for one in listed}) == 3
    assert listed[2]["run_next"] == "IN_SOFT_PARALLEL"
    assert "password" not in listed[0]
    assert "comment" not in listed[1]
    emulator.buddy.listed_actions_are_whole = True
    listed = api.get(f"/{pipeline.id}/actions")["actions"]
    assert (listed[0]["password"], listed[1]["comment"]) == ("s3cret", "Which?")


def test_inside_an_action_execution_an_action_is_short(api, clock, pipeline):
    api.run(pipeline)
    clock.advance(2)
    build, gate = api.step(pipeline)["action"], api.step(pipeline, 2)["action"]
    assert build["integration"] == {"identifier": "docker-hub"}
    assert build["current_revision"] == "2aeec94"
    assert set(build) == {
        "url", "html_url", "id", "name", "type", "trigger_time", "run_next", "disabled", "ignore_errors",
        "last_execution_status", "integration", "current_revision",
    }  # fmt: skip
    assert gate["variables"][0]["key"] == "WHO"
    assert "comment" not in gate
    assert api.step(pipeline)["target"] == "t"


def test_an_action_tells_of_its_last_execution(api, clock, emulator):
    pipeline = emulator.buddy.add_pipeline(Pipeline("broken", actions=[Action("Build", status="FAILED")]))
    api.run(pipeline)
    clock.advance(5)
    assert api.get(f"/{pipeline.id}/actions")["actions"][0]["last_execution_status"] == "FAILED"


def test_the_older_era_tells_of_the_actions_in_the_pipeline(api, emulator, pipeline):
    assert "actions" not in api.get(f"/{pipeline.id}")
    emulator.buddy.era = "E1"
    first = api.get(f"/{pipeline.id}")["actions"][0]
    assert set(first) == {"url", "html_url", "id", "name", "type", "trigger_time", "status", "revision"}
    assert (first["status"], first["revision"]) == ("INITIAL", "2aeec94")
