"""AlgaPSA's answers: recorded ones, and what they may turn into."""

from __future__ import annotations

import datetime
import json
import re
import typing
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from airflow_provider.alga_psa.api import models, routes
from airflow_provider.alga_psa.api.models import Execution, ExecutionAnswer, ExecutionList, LogEntry, Rule
from tests.unit.alga_psa.conftest import EXECUTION, RECORDINGS, RULE, of

UTC = datetime.timezone.utc
MINIMAL: dict[str, Any] = {"execution_id": EXECUTION, "status": "pending", "rule_id": RULE}
LEAVES = [models.Execution, models.Rule, models.LogEntry, models.RuleAction, models.Statistics, models.Meta, models.Pagination]
GOOD = [pytest.param(one, id=one["name"]) for one in RECORDINGS if one["status"] < 300]


def minimal(cls: type[BaseModel]) -> dict[str, Any]:
    """Only what the model demands."""
    return {name: MINIMAL[name] for name, field in cls.model_fields.items() if field.is_required()}


def plain(value: Any) -> Any:
    """The same moment reads alike however it is written."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
        return datetime.datetime.fromisoformat(value.replace("Z", "+00:00"))
    return value


def test_there_are_recordings() -> None:
    assert len(RECORDINGS) > 60
    ours = {name for name in vars(routes) if name.isupper() and name[0] != "_"}
    assert {one["route"] for one in RECORDINGS} == ours - {"MAX_BODY_BYTES", "LIST_GLANCES"}
    assert {one["route"] for one in RECORDINGS if one["status"] < 300} == {one["route"] for one in RECORDINGS}


@pytest.mark.parametrize("recording", GOOD)
def test_every_recorded_answer_parses_and_nothing_is_lost(recording: dict[str, Any]) -> None:
    route = getattr(routes, recording["route"])
    answer = route.answer.model_validate_json(json.dumps(recording["body"]))
    told = recording["body"]["data"]
    if isinstance(told, list):
        told = [item for part in told for item in (part if isinstance(part, list) else [part])]
    else:
        told, answer = [told], type("One", (), {"data": [answer.data]})
    assert len(answer.data) == len(told)
    for read, sent in zip(answer.data, told, strict=True):
        assert plain(json.loads(read.model_dump_json(by_alias=True, exclude_unset=True))) == plain(sent)


@pytest.mark.parametrize("recording", of("LIST_EXECUTIONS"))
def test_a_list_is_read_alike_at_a_glance(recording: dict[str, Any]) -> None:
    text = json.dumps(recording["body"])
    whole = routes.LIST_EXECUTIONS.answer.model_validate_json(text)
    glances = routes.LIST_GLANCES.answer.model_validate_json(text)
    assert [(one.execution_id, one.status) for one in glances.data] == [(one.execution_id, one.status) for one in whole.data]


def test_the_contracts_example_of_a_failed_one() -> None:
    execution = Execution.model_validate_json(
        json.dumps(
            {
                "execution_id": EXECUTION.upper(), "automation_rule_id": RULE, "trigger_data": {}, "status": "failed",
                "started_at": "2026-01-05T10:00:00.000Z", "completed_at": "2026-01-05T10:00:09.120Z", "duration_ms": 9120,
                "actions_total": 2, "actions_successful": 1, "actions_failed": 1, "error_message": "webhook answered 502",
                "error_stack": None, "failed_action_index": 1, "execution_context": {},
                "logs": [{"timestamp": "2026-01-05T10:00:08.900Z", "level": "error", "message": "webhook answered 502", "action_index": 1}],
                "_links": {"self": {"href": "/a", "method": "GET", "rel": "self"}, "rule": "/b", "odd": 5, "none": {"method": "GET"}},
            }
        )
    )  # fmt: skip
    assert execution.execution_id == EXECUTION
    assert execution.completed_at == datetime.datetime(2026, 1, 5, 10, 0, 9, 120_000, UTC)
    assert [(entry.level, entry.message, entry.action_index) for entry in execution.logs] == [("error", "webhook answered 502", 1)]
    assert [execution.href(name) for name in ("self", "rule", "odd", "none", "missing")] == ["/a", "/b", None, None, None]


@pytest.mark.parametrize(
    ("data", "count"),
    [
        ([[]], 0),
        ([], 0),
        ([[MINIMAL]], 1),
        ([MINIMAL], 1),
        ([[MINIMAL], [MINIMAL]], 2),
        ([[MINIMAL, MINIMAL]], 2),
        ([MINIMAL, [MINIMAL]], 2),
    ],
)
def test_lists_come_flat_or_nested(data: Any, count: int) -> None:
    assert len(ExecutionList.model_validate({"data": data}).data) == count
    assert len(models.RuleList.model_validate({"data": data}).data) == count


@pytest.mark.parametrize(
    "body", [{}, {"data": None}, {"data": {}}, {"data": "x"}, {"data": [[[]]]}, {"data": [None]}, {"executions": []}, []]
)
def test_what_is_no_list_does_not_pass_for_an_empty_one(body: Any) -> None:
    with pytest.raises(ValidationError):
        ExecutionList.model_validate(body)


@pytest.mark.parametrize(
    "body", [{}, {"data": None}, {"data": []}, {"data": {**MINIMAL, "status": None}}, {"data": {"status": "failed"}}, MINIMAL]
)
def test_what_is_no_execution_is_refused(body: Any) -> None:
    with pytest.raises(ValidationError):
        ExecutionAnswer.model_validate(body)


@pytest.mark.parametrize("id_", ["", "1", "../../x", f"{EXECUTION}x", f"{EXECUTION}\n", EXECUTION.replace("-", ""), "g" * 36, None, 5])
def test_an_id_that_is_none_is_refused(id_: Any) -> None:
    with pytest.raises(ValidationError):
        Execution.model_validate({**MINIMAL, "execution_id": id_})


NULLABLE = [(cls, name) for cls in LEAVES for name, field in cls.model_fields.items() if not field.is_required()]


@pytest.mark.parametrize(("cls", "name"), NULLABLE, ids=lambda value: value if isinstance(value, str) else value.__name__)
def test_null_is_the_same_as_missing(cls: type[BaseModel], name: str) -> None:
    key = cls.model_fields[name].alias or name
    assert cls.model_validate({**minimal(cls), key: None}) == cls.model_validate(minimal(cls))


@pytest.mark.parametrize("cls", LEAVES)
def test_unknown_fields_are_kept(cls: type[BaseModel]) -> None:
    answer = cls.model_validate_json(json.dumps({**minimal(cls), "from_the_future": {"a": [1, None]}}))
    assert answer.model_dump()["from_the_future"] == {"a": [1, None]}


@pytest.mark.parametrize("cls", LEAVES)
def test_a_repr_shows_no_values_that_may_be_secret(cls: type[BaseModel]) -> None:
    canary = "s3cr3t-canary"
    forms = {dict: {"k": canary}, list: [canary], str: canary}
    values: dict[str, Any] = {"x": canary}
    for name, field in cls.model_fields.items():
        kinds = {typing.get_origin(kind) or kind for kind in (typing.get_args(field.annotation) or [field.annotation])}
        form = typing.get_origin(field.annotation)
        kind = form if form in (dict, list) else next((kind for kind in (str, dict) if kind in kinds), None)
        if name not in ("execution_id", "rule_id", "name", "status", "logs", "actions") and kind:
            values[name] = forms[kind]
    answer = cls.model_validate({**minimal(cls), **values})
    assert len(values) > 1 or cls in (models.Statistics, models.Pagination)
    for text in (repr(answer), str(answer), repr([answer])):
        assert "s3cr3t-canary" not in text


def test_an_unknown_status_survives_as_text() -> None:
    assert Execution.model_validate({**MINIMAL, "status": "hibernating"}).status == "hibernating"
    assert Rule.model_validate({**MINIMAL, "status": "paused"}).status == "paused"


@pytest.mark.parametrize("links", [None, [], "x", 5])
def test_links_of_any_other_form_are_none(links: Any) -> None:
    assert Execution.model_validate({**MINIMAL, "_links": links}).href("self") is None


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("2026-01-05T10:00:08.900Z", datetime.datetime(2026, 1, 5, 10, 0, 8, 900_000, UTC)),
        ("yesterday", "yesterday"),
        ("", ""),
        (None, None),
    ],
)
def test_the_time_of_a_log_entry_may_be_anything(value: Any, read: Any) -> None:
    assert LogEntry.model_validate_json(json.dumps({"timestamp": value})).timestamp == read


@pytest.mark.parametrize(("value", "read"), [(2, 2), (2.5, 2.5), ("7", 7), (None, None)])
def test_counts_are_plain_numbers(value: Any, read: Any) -> None:
    assert Execution.model_validate({**MINIMAL, "actions_total": value}).actions_total == read
