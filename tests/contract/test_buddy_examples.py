"""Every example that Buddy publishes on the pages this project started from: read whole, and every field finds its place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.buddy.api import models, requests
from airflow_provider.buddy.executions.adapter import BuddyAdapter
from airflow_provider.buddy.executions.mapping import snapshot_of
from airflow_provider.buddy.ref import BuddyRef
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.execution.http.endpoint import Dialect, Endpoint
from airflow_provider.execution.http.transport import Sender
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.results.outputs import OutputPolicy
from airflow_provider.execution.results.result_of import make_result

EXAMPLES = json.loads((Path(__file__).parent / "fixtures" / "buddy.examples.json").read_text())["examples"]
REF = BuddyRef("my-workspace", "my-project", 89, 123456)

NOT_IN_THE_RESULT: dict[str, str] = {}
"""Path of a field (list positions as ``*``) to the reason why a task's result has no place for its value."""

pytestmark = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example["source"][:3])


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of every scalar, and of every empty list and object."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for position, item in enumerate(value):
            yield from leaves(item, f"{path}.{position}")
    else:
        yield path, value


def plain(value: Any) -> Any:
    """The same moment reads alike however it is written; a number is no boolean."""
    if isinstance(value, str) and re.match(r"\d{4}-\d\d-\d\dT", value):
        return datetime.fromisoformat(value.replace("Z", "+00:00"))
    if isinstance(value, (bool, type(None))):
        return repr(value)
    return value


def result_of(example: dict[str, Any]) -> dict[str, Any]:
    """What a task returns about an execution with the example's action execution."""
    action = models.ActionExecution.model_validate(example["response"])
    execution = models.Execution(id=REF.execution, status="SUCCESSFUL", action_executions=[action])
    snapshot = snapshot_of(REF, execution)
    snapshot.log_tail = list(action.log)
    for step in snapshot.steps:
        snapshot.outputs.update(step.outputs)
    return dict(make_result(BuddyAdapter(), "buddy_default", snapshot, OutputPolicy((), None)))


def test_every_field_is_read(example: dict[str, Any]) -> None:
    parsed = models.ActionExecution.model_validate_json(json.dumps(example["response"]))
    dump = dict(leaves(parsed.model_dump(mode="json")))
    for path, value in leaves(example["response"]):
        assert plain(dump[path]) == plain(value), path


def test_every_field_is_known(example: dict[str, Any]) -> None:
    """None of them is merely kept as an unknown one."""

    def unknown(model: Any, path: str = "") -> Iterator[str]:
        for name, value in model:
            for item in value if isinstance(value, list) else [value]:
                if isinstance(item, models.Model):
                    yield from unknown(item, f"{path}{name}.")
        yield from (f"{path}{name}" for name in model.__pydantic_extra__ or {})

    assert list(unknown(models.ActionExecution.model_validate(example["response"]))) == []


def test_every_value_has_a_place_in_the_result(example: dict[str, Any]) -> None:
    result = json.loads(json.dumps(result_of(example)))
    there = [plain(value) for _, value in leaves(result)]
    there += [plain(name) for name in _names(result)]
    missing = {
        path: value
        for path, value in leaves(example["response"])
        if value not in (None, [], {}) and plain(value) not in there and re.sub(r"\.\d+", ".*", path) not in NOT_IN_THE_RESULT
    }
    assert missing == {}


def _names(value: Any) -> Iterator[str]:
    """Names of objects: outputs and variables stand under their key."""
    if isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _names(item)
    elif isinstance(value, list):
        for item in value:
            yield from _names(item)


def test_the_places_of_the_fields(example: dict[str, Any]) -> None:
    response, result = example["response"], result_of(example)
    [step], [fields] = result["steps"], result["system_fields"]["actions"]
    about = response["action"]
    expected = {
        "id": response["url"].rsplit("/", 1)[1],
        "name": about["name"],
        "type": about["type"],
        "phase": "SUCCEEDED",
        "status": response["status"],
        "url": response["html_url"],
        "error": None,
        "outputs": {one["key"]: one["value"] for one in response["outputted_variables"]},
    }
    assert {name: step[name] for name in expected} == expected
    assert [plain(step["started_at"]), plain(step["finished_at"])] == [plain(response["start_date"]), plain(response["finish_date"])]
    assert step["duration"] == (plain(response["finish_date"]) - plain(response["start_date"])).total_seconds()
    assert result["outputs"] == step["outputs"]
    assert result["log_tail"] == response["log"]
    assert fields["api_url"] == response["url"]
    assert fields["progress"] == response["progress"]
    assert fields["passed_variables"] == {one["key"]: one["value"] for one in response["passed_variables"]}
    for name, value in about.items():
        if value is not None:
            assert fields["action"][name] == value, name
    if "approver_id" in response:
        assert step["actor"]["approver_id"] == response["approver_id"]
        assert plain(step["actor"]["approved_at"]) == plain(response["approval_date"])
        assert step["actor"]["approved_by"] == "Mike"


def test_no_field_is_excused_in_vain(example: dict[str, Any]) -> None:
    known = {re.sub(r"\.\d+", ".*", path) for one in EXAMPLES for path, _ in leaves(one["response"])}
    assert set(NOT_IN_THE_RESULT) <= known


def test_the_example_is_read_over_a_socket(example: dict[str, Any]) -> None:
    """By the same flow that tasks use, with the example in place of the emulator's own answer."""
    with Emulator() as emulator:
        endpoint = Endpoint("buddy", "Buddy", "c", emulator.buddy.url, (), Dialect())
        emulator.faults.add(Fault("body", body=example["response"], headers=example.get("headers", {}), path="/action_executions/"))
        with Sender(endpoint) as sender:
            action = sender.run(requests.get_action_execution(f"{REF}/{example['response']['url'].rsplit('/', 1)[1]}"))
        [entry] = emulator.ledger.entries
    assert action == models.ActionExecution.model_validate(example["response"])
    assert (entry.method, entry.route) == ("GET", _route(example["request"]["path"]))
    assert snapshot_of(REF, models.Execution(id=1, status="SUCCESSFUL", action_executions=[action])).steps[0].phase is Phase.SUCCEEDED


def _route(path: str) -> str:
    """The documentation's way of writing a route, in the emulator's."""
    return re.sub(r":(\w+)", r"{\1}", path).replace("{project_name}", "{project}")
