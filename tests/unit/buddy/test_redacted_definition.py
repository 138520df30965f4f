"""Definitions of actions: every field typed, none lost; and what of them may go to XCom."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from airflow_provider.buddy.api import models
from airflow_provider.buddy.api.action_models import ActionDefinition, ActionList, AnyAction, RunDockerContainer, TriggerCondition
from airflow_provider.buddy.executions.redacted_definition import without_secrets

FIXTURE: dict[str, Any] = json.loads((Path(__file__).parent / "fixtures" / "run_docker_container.json").read_text())
ACTION: TypeAdapter[ActionDefinition] = TypeAdapter(AnyAction)
CANARY = "s3cr3t-canary"


def read(fields: dict[str, Any]) -> ActionDefinition:
    return ACTION.validate_json(json.dumps(fields))


def within(value: object) -> list[models.Model]:
    """All models in a value."""
    if isinstance(value, models.Model):
        return [value, *(found for name in type(value).model_fields for found in within(getattr(value, name)))]
    return [found for item in value for found in within(item)] if isinstance(value, list) else []


# Models


def test_every_field_of_a_docker_action_is_read_typed() -> None:
    action = read(FIXTURE)
    assert type(action) is RunDockerContainer
    assert set(FIXTURE) == set(RunDockerContainer.model_fields)
    assert all(not model.model_extra for model in within(action))
    assert len(within(action)) == 1 + 6 + 2 + 1 + 1  # conditions, variables, pipeline, integration
    assert all(isinstance(condition, TriggerCondition) for condition in action.trigger_conditions)
    for name, value in FIXTURE.items():
        there = getattr(action, name)
        if isinstance(there, (str, int, bool, dict)) or name in ("loop", "execute_commands", "services", "cached_dirs"):
            assert there == value, name
            assert type(there) is type(value), name
    assert action.model_dump(mode="json", exclude_unset=True) == FIXTURE


def test_every_condition_field_is_read() -> None:
    read_fields = {name for condition in read(FIXTURE).trigger_conditions for name in condition.model_fields_set}
    assert read_fields == set(TriggerCondition.model_fields)


@pytest.mark.parametrize("name", sorted(set(FIXTURE) - {"type"}))
def test_each_field_may_be_null_or_missing(name: str) -> None:
    rest = {key: value for key, value in FIXTURE.items() if key != name}
    assert read({**rest, name: None}).model_dump() == read(rest).model_dump()


WRONG = {"id": "five", "timeout": "soon", "execute_commands": "npm test", "trigger_conditions": {}, "pipeline": [], "disabled": "perhaps"}


@pytest.mark.parametrize("name", list(WRONG))
def test_a_wrong_type_is_named_without_its_value(name: str) -> None:
    with pytest.raises(ValidationError) as raised:
        read({**FIXTURE, name: WRONG[name]})
    assert name in str(raised.value)
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("kind", ["SLEEP", "FROM_THE_FUTURE", "run_docker_container", "", None, "missing", "other"])
def test_other_types_keep_their_fields(kind: str | None) -> None:
    fields = {**FIXTURE, "type": kind, "sleep_in_sec": 5, "nested": {"a": [1]}}
    if kind == "missing":
        del fields["type"]
    action = read(fields)
    assert type(action) is ActionDefinition
    assert action.type == (None if kind == "missing" else kind)
    assert action.retry_count == 2
    dumped = action.model_dump(mode="json")
    assert (dumped["sleep_in_sec"], dumped["nested"], dumped["docker_image_name"]) == (5, {"a": [1]}, "library/node")


@pytest.mark.parametrize("kind", [5, [], {}, True])
def test_a_type_that_is_no_text_is_refused_as_such(kind: Any) -> None:
    with pytest.raises(ValidationError, match="type"):
        read({"id": 1, "type": kind})


def test_unknown_fields_are_kept_on_every_level() -> None:
    fields = {**FIXTURE, "new": {"a": 1}, "pipeline": {"id": 2, "new": [1]}, "trigger_conditions": [{"trigger_condition": "NEW", "new": 1}]}
    action = read(fields)
    assert type(action) is RunDockerContainer
    assert action.model_dump(mode="json", exclude_unset=True) == fields


def test_a_list_of_all_kinds_in_short() -> None:
    short = [{"id": 1, "name": "a", "type": "RUN_DOCKER_CONTAINER"}, {"id": 2, "type": "NEW"}, {"id": 3}, FIXTURE]
    actions = ActionList.model_validate_json(json.dumps({"url": "x", "actions": short})).actions
    assert [type(action) for action in actions] == [RunDockerContainer, ActionDefinition, ActionDefinition, RunDockerContainer]
    assert [action.id for action in actions] == [1, 2, 3, 5]
    assert ActionList.model_validate({"actions": None}).actions == []


@pytest.mark.parametrize("body", ["[]", "5", "null", '"x"'])
def test_what_is_no_action(body: str) -> None:
    with pytest.raises(ValidationError):
        ACTION.validate_json(body)


def test_no_secret_is_in_a_repr() -> None:
    assert "canary" not in repr(read(FIXTURE))


# For XCom


def test_a_docker_action_without_its_secrets() -> None:
    shown = without_secrets(read(FIXTURE))
    assert "canary" not in json.dumps(shown)
    assert shown.pop("omitted") == ["login", "password", "services"]
    rest = {name: value for name, value in FIXTURE.items() if name not in ("login", "password", "services", "variables")}
    variables = [FIXTURE["variables"][0], {name: value for name, value in FIXTURE["variables"][1].items() if name != "value"}]
    assert shown == {**rest, "variables": variables}


@pytest.mark.parametrize("name", ["login", "password", "services", "variables"])
def test_what_is_revealed_is_given_whole_and_nothing_else(name: str) -> None:
    shown = without_secrets(read(FIXTURE), reveal=[name])
    assert shown[name] == FIXTURE[name]
    assert name not in shown["omitted"]
    assert "canary" not in json.dumps({key: value for key, value in shown.items() if key != name})


JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.s3cr3t-canary"
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{CANARY}\n-----END RSA PRIVATE KEY-----"
HIDING: list[dict[str, Any]] = [
    {"login": CANARY}, {"password": CANARY},
    {"webhook_url": CANARY}, {"new": {"deep": [CANARY]}}, {"new": [{"a": CANARY}]}, {"comment": None, "new": CANARY},
    {"pipeline": {"id": 1, "new": CANARY}}, {"integration": {"identifier": "x", "new": CANARY}},
    {"integration": {"identifier": "x", "token": CANARY}}, {"permissions": {"others": "DENIED", "password": CANARY}},
    {"permissions": {"users": [{"login": CANARY}]}},
    {"trigger_conditions": [{"trigger_condition": "NEW", "new": CANARY}]},
    {"trigger_conditions": [{"trigger_condition": "VAR_IS", "trigger_variable_key": "DB_PASSWORD", "trigger_variable_value": CANARY}]},
    {"trigger_conditions": [{"trigger_condition": "VAR_IS", "trigger_variable_key": "X", "trigger_variable_value": JWT}]},
    {"services": [{"password": CANARY}]}, {"services": [{"env": [{"key": "A_TOKEN", "value": CANARY}]}]}, {"services": [CANARY]},
    {"variables": [{"key": "A", "value": CANARY, "encrypted": True}]},
    {"variables": [{"key": "A", "defaults": CANARY, "encrypted": True}]},
    {"variables": [{"key": "A", "value": "x", "encrypted": True, "new": CANARY}]}, {"variables": [{"key": "A", "new": CANARY}]},
    {"variables": [{"key": "API_TOKEN", "value": CANARY}]}, {"variables": [{"key": "API_TOKEN", "defaults": CANARY}]},
    {"variables": [{"key": "A", "value": PEM}]}, {"variables": [{"key": "A", "defaults": PEM, "type": "SSH_KEY"}]},
    {"variables": [{"key": "A", "value": f"!encrypted {CANARY}"}]}, {"variables": [{"key": "A", "value": f"secure!{CANARY}"}]},
    {"variables": [{"key": "A", "description": JWT}]}, {"variables": [{"key": "A", "project": {"name": "x", "new": CANARY}}]},
    {"variables": [{"key": "A", "value": {"password": CANARY}}]},
    {"execute_commands": ["echo", JWT]}, {"inline_commands": PEM}, {"entrypoint": JWT}, {"name": JWT}, {"loop": [JWT]},
    {"registry": f"!encrypted {CANARY}"},
]  # fmt: skip


@pytest.mark.parametrize("fields", HIDING, ids=str)
@pytest.mark.parametrize("kind", ["RUN_DOCKER_CONTAINER", "SLEEP", None])
def test_no_secret_comes_out_of_any_place(fields: dict[str, Any], kind: str | None) -> None:
    shown = without_secrets(read({"id": 1, "type": kind, **fields}))
    assert "canary" not in json.dumps(shown)
    assert shown["id"] == 1


_JSON = st.recursive(
    st.sampled_from([CANARY, f"x {CANARY}", 5, None, True]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "key", "value", "name"]), inner, max_size=3),
    max_leaves=6,
)
_VARIABLE = st.builds(
    lambda field, how, more: {"key": "A", field: CANARY, **how, **more},
    st.sampled_from(["value", "defaults"]),
    st.sampled_from([{"encrypted": True}, {"key": "MY_SECRET"}, {"key": "dbPassword"}]),
    st.dictionaries(st.sampled_from(["from_the_future", "previous"]), _JSON),
)


@given(
    st.dictionaries(st.sampled_from(sorted(set(FIXTURE) - {"login", "password", "services", "variables"})), st.just(True)),
    st.dictionaries(st.text(min_size=1).filter(lambda name: name not in FIXTURE and "canary" not in name), _JSON, max_size=4),
    st.lists(_VARIABLE, max_size=3),
    _JSON,
)
def test_whatever_is_in_it_no_secret_comes_out(
    kept: dict[str, bool], unknown: dict[str, Any], variables: list[dict[str, Any]], services: Any
) -> None:
    fields = {name: FIXTURE[name] for name in kept}
    given_services = {"services": services} if isinstance(services, list) else {}
    action = read({**fields, **unknown, "variables": variables, "login": CANARY, "password": CANARY, **given_services})
    shown = without_secrets(action)
    assert "canary" not in json.dumps(shown)
    assert {name: shown[name] for name in fields if name in ActionDefinition.model_fields} == {
        name: value for name, value in fields.items() if name in ActionDefinition.model_fields
    }
    json.dumps(without_secrets(action, reveal=list(unknown)))
    told = {name for name, value in unknown.items() if value is not None}
    assert told <= set(shown["omitted"])
    assert told <= set(without_secrets(action, reveal=list(unknown)))
