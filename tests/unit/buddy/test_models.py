"""Buddy's answers, of all eras."""

from __future__ import annotations

import datetime
import json
import types
import typing
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from airflow_provider.buddy.api import action_models, models
from airflow_provider.buddy.api.models import ActionExecution, Execution

EXECUTION: dict[str, Any] = {"id": 1, "status": "INPROGRESS"}
CLASSES = list(
    dict.fromkeys(
        cls
        for module in (models, action_models)
        for cls in vars(module).values()
        if isinstance(cls, type) and issubclass(cls, models.Model) and cls is not models.Model
    )
)
LISTS = ("pipelines", "executions", "logs", "variables", "workspaces", "projects", "actions")
UTC = datetime.timezone.utc


def minimal(cls: type[BaseModel]) -> dict[str, Any]:
    """Only what the model demands."""
    values: dict[str, Any] = {"id": 1, "status": "INPROGRESS", "key": "KEY", **{name: [] for name in LISTS}}
    return {name: values[name] for name, field in cls.model_fields.items() if field.is_required()}


@pytest.mark.parametrize("cls", CLASSES)
def test_only_ids_and_the_status_of_an_execution_are_demanded(cls: type[BaseModel]) -> None:
    assert set(minimal(cls)) - set(LISTS) <= {"id", "key", "status"}  # a page without its list is no page
    assert ("status" in minimal(cls)) == (cls is Execution)


NULLABLE = [
    (cls, name)
    for cls in CLASSES
    for name, field in cls.model_fields.items()
    if not field.is_required() and typing.get_origin(field.annotation) is not typing.Literal
]


@pytest.mark.parametrize(("cls", "name"), NULLABLE, ids=lambda value: value if isinstance(value, str) else value.__name__)
def test_null_is_the_same_as_missing(cls: type[BaseModel], name: str) -> None:
    missing = cls.model_validate(minimal(cls))
    assert cls.model_validate({**minimal(cls), name: None}) == missing


@pytest.mark.parametrize("cls", CLASSES)
def test_unknown_fields_are_kept(cls: type[BaseModel]) -> None:
    answer = cls.model_validate_json(json.dumps({**minimal(cls), "from_the_future": {"a": [1, None]}}))
    assert answer.model_dump()["from_the_future"] == {"a": [1, None]}


@pytest.mark.parametrize("cls", CLASSES)
def test_a_repr_shows_no_values_that_may_be_secret(cls: type[BaseModel]) -> None:
    shown = {"id", "action_execution_id", "key", "name", "status"}
    strings = {name: "s3cr3t-canary" for name, field in cls.model_fields.items() if name not in shown and _takes_text(field.annotation)}
    answer = cls.model_validate({**minimal(cls), **strings, "action_execution_id": "1", "from_the_future": "s3cr3t-canary"})
    for text in (repr(answer), str(answer), repr([answer]), f"{answer}"):
        assert "s3cr3t-canary" not in text
        assert type(answer).__name__ in text or text == str(answer)


def _takes_text(annotation: Any) -> bool:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return str in typing.get_args(annotation)
    return annotation is str or annotation is Any


def test_a_repr_of_a_variable_shows_its_name_only() -> None:
    run = ActionExecution.model_validate({"outputted_variables": [{"key": "KEY", "value": "s3cr3t-canary"}]})
    assert repr(run.outputted_variables) == "[Variable(key='KEY')]"


@pytest.mark.parametrize("name", ["triggered_on", "triggeredOn", "mode"])
def test_what_triggered_a_run_has_had_three_names(name: str) -> None:
    assert Execution.model_validate({**EXECUTION, name: "CLICK"}).triggered_on == "CLICK"


def test_the_newest_name_of_what_triggered_a_run_wins() -> None:
    assert (
        Execution.model_validate({**EXECUTION, "mode": "MANUAL", "triggeredOn": "CLICK", "triggered_on": "EVENT"}).triggered_on == "EVENT"
    )


@pytest.mark.parametrize("field", ["branch", "tag", "pull_request"])
@pytest.mark.parametrize(("value", "name"), [("main", "main"), ({"name": "main", "default": True}, "main"), ({"url": "x"}, None)])
def test_a_ref_is_a_string_or_an_object(field: str, value: Any, name: str | None) -> None:
    ref = getattr(Execution.model_validate({**EXECUTION, field: value}), field)
    assert (ref if isinstance(ref, str) else ref.name) == name


def test_a_pull_request_may_be_a_number() -> None:
    assert Execution.model_validate({**EXECUTION, "pull_request": 12}).pull_request == 12


@pytest.mark.parametrize(
    ("text", "microseconds"),
    [("12:36:33Z", 0), ("12:36:33.3Z", 300_000), ("12:36:33.33Z", 330_000), ("12:36:33.688Z", 688_000), ("12:36:33+00:00", 0)],
)
@pytest.mark.parametrize("field", ["start_date", "finish_date", "delay_until"])
def test_dates_have_any_number_of_fraction_digits(field: str, text: str, microseconds: int) -> None:
    moment = getattr(Execution.model_validate_json(json.dumps({**EXECUTION, field: f"2026-11-18T{text}"})), field)
    assert moment == datetime.datetime(2026, 11, 18, 12, 36, 33, microseconds, UTC)


@pytest.mark.parametrize(
    ("fields", "found"),
    [
        ({"action_execution_id": "fsm47naztg9n35"}, "fsm47naztg9n35"),
        ({"url": "https://x/action_executions/68e77c82b38c40fc0535ee55"}, "68e77c82b38c40fc0535ee55"),
        ({"url": "https://x/action_executions/68e77c82b38c40fc0535ee55/"}, "68e77c82b38c40fc0535ee55"),
        ({"action_execution_id": "a", "url": "https://x/b"}, "a"),
        ({"action_execution_id": None, "url": None}, None),
        ({}, None),
    ],
)
def test_the_id_of_an_action_execution_may_stand_only_in_its_url(fields: dict[str, Any], found: str | None) -> None:
    assert ActionExecution.model_validate(fields).id == found


@pytest.mark.parametrize("status", ["HIBERNATING", "", "waiting_for_apply", "ż" * 100])
def test_new_statuses_and_types_are_kept_as_text(status: str) -> None:
    run = Execution.model_validate({"id": 1, "status": status, "action_executions": [{"status": status, "action": {"type": status}}]})
    assert (run.status, run.action_executions[0].status, run.action_executions[0].action.type) == (status, status, status)


def test_two_answers_share_no_list() -> None:
    one, other = Execution.model_validate(EXECUTION), Execution.model_validate(EXECUTION)
    one.action_executions.append(ActionExecution())
    assert other.action_executions == []
    runs = ActionExecution(), ActionExecution()
    runs[0].action.name = "changed"
    assert runs[1].action.name is None


def test_errors_tell_no_input() -> None:
    with pytest.raises(ValidationError) as raised:
        ActionExecution.model_validate_json('{"progress": "s3cr3t-canary"}')
    assert "s3cr3t-canary" not in str(raised.value)
