"""Lists of Tracecat that have no end, or more items than can be read."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.emulator import Fault
from airflow_provider.tracecat.api import requests
from airflow_provider.tracecat.hook import TracecatHook
from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator
from airflow_provider.tracecat.sensors import TracecatWorkflowSensor
from tests.unit.tracecat.conftest import Live

SEARCH, WORKFLOWS = r"/search$", r"/workflows$"
ENDLESS = {"items": [], "next_cursor": "c1", "has_more": True}
STARTS = r"/workflow-executions$"


def endless(live: Live, path: str) -> Fault:
    return live.emulator.faults.add(Fault("body", path=path, body=ENDLESS, times=None))


@pytest.mark.parametrize("path", [SEARCH, WORKFLOWS])
def test_a_list_without_an_end_is_a_broken_answer(live: Live, path: str) -> None:
    """It is told as one, after two pages: no fault of an argument, which the operator does not even have."""
    live.workflow()
    fault = endless(live, path)
    ended = live.task(TracecatRunWorkflowOperator, workflow="scan", retries=0).run()
    assert type(ended.error) is errors.ProtocolError
    assert "has no end" in str(ended.error)
    assert live.sent("POST", STARTS) == []
    assert fault.hits == 2


@pytest.mark.parametrize("path", [SEARCH, WORKFLOWS])
def test_a_sensor_reads_a_list_without_an_end_again(live: Live, path: str) -> None:
    """As any other broken answer. It may pass."""
    workflow = live.workflow()
    live.emulator.faults.add(Fault("body", path=path, body=ENDLESS, times=4))
    live.tracecat.add_execution(workflow)
    ended = live.task(TracecatWorkflowSensor, workflow="scan", poke_interval=5.0, retries=0).run()
    assert ended.state == "success", ended.text
    assert "has no end" in ended.text


@pytest.mark.parametrize(("path", "items"), [(SEARCH, TracecatHook.iter_executions), (WORKFLOWS, TracecatHook.iter_workflows)])
def test_the_hook_ends_a_list_without_an_end(live: Live, monkeypatch: pytest.MonkeyPatch, path: str, items: Callable[..., Any]) -> None:
    fields = json.loads(live.tracecat.connection_json())
    monkeypatch.setenv("AIRFLOW_CONN_TRACECAT_DEFAULT", json.dumps({"conn_type": "tracecat", **fields}))
    fault = endless(live, path)
    with TracecatHook() as hook, pytest.raises(errors.ProtocolError, match="has no end"):
        list(items(hook))
    assert fault.hits == 2


def test_many_starts_before_ours_do_not_keep_it_from_starting(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are all of them read: what is newest is asked for."""
    monkeypatch.setattr(requests, "PAGE", 4)
    workflow = live.workflow()
    now = live.clock.now()
    for number in range(60):
        live.tracecat.add_execution(workflow, "COMPLETED", started_at=now - 3_000 + 49 * number)
    task = live.task(TracecatRunWorkflowOperator, workflow="scan", wait_for_completion=False)
    ended = task.run()
    assert ended.state == "success", ended.text
    assert len(live.sent("POST", STARTS)) == 1
    assert live.emulator.ledger.count(method="GET", path_re=SEARCH) <= 3
    assert f" after={now - 109:.6f} " in task.api.store["execution"]["marker"]


def test_more_starts_than_can_be_read_do_not_keep_it_from_starting(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "PAGE", 1)
    monkeypatch.setattr(requests, "MAX_PAGES", 3)
    workflow = live.workflow()
    for _ in range(10):  # all in one second
        live.tracecat.add_execution(workflow, "COMPLETED", started_at=live.clock.now() - 60)
    ended = live.task(TracecatRunWorkflowOperator, workflow="scan", wait_for_completion=False).run()
    assert ended.state == "success", ended.text
    assert live.emulator.ledger.count(method="GET", path_re=SEARCH) == 3


def test_a_lost_start_among_more_starts_than_can_be_read_is_unknown(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not sent again, since ours may be among those that were not seen."""
    monkeypatch.setattr(requests, "PAGE", 1)
    monkeypatch.setattr(requests, "MAX_PAGES", 3)
    workflow = live.workflow()
    lost = live.emulator.faults.add(Fault("drop_before", method="POST", path=STARTS))
    live.clock.when(lambda: lost.hits, lambda: [live.tracecat.add_execution(workflow, "COMPLETED") for _ in range(6)])
    ended = live.task(TracecatRunWorkflowOperator, workflow="scan", retries=0).run()
    assert type(ended.error) is errors.StartUnknown, ended.text
    assert lost.hits == 1


@pytest.mark.parametrize(
    ("arguments", "advice"), [({}, "Give started_after"), ({"started_after": "2020-01-01"}, "Give a later started_after")]
)
def test_a_sensor_names_the_argument_that_it_has(
    live: Live, monkeypatch: pytest.MonkeyPatch, arguments: dict[str, Any], advice: str
) -> None:
    monkeypatch.setattr(requests, "PAGE", 1)
    monkeypatch.setattr(requests, "MAX_PAGES", 2)
    workflow = live.workflow()
    for _ in range(5):
        live.tracecat.add_execution(workflow)
    ended = live.task(TracecatWorkflowSensor, workflow="scan", retries=0, **arguments).run()
    assert type(ended.error) is errors.ConfigurationError, ended.text
    assert advice in str(ended.error)


def test_an_alias_beyond_what_is_read_says_so(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "PAGE", 1)
    monkeypatch.setattr(requests, "MAX_PAGES", 2)
    for number in range(4):
        live.workflow(alias=f"scan_{number}")
    ended = live.task(TracecatRunWorkflowOperator, workflow="nobody", retries=0).run()
    assert type(ended.error) is errors.ConfigurationError
    assert "Only the first 2 pages of the list were looked at" in str(ended.error)
