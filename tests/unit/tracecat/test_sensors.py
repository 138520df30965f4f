"""The sensors on the emulator, by Airflow's own runner: what somebody, a schedule or a webhook starts."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from airflow_provider import _clock, errors
from airflow_provider.emulator.tracecat import Action, Interaction, Schedule
from airflow_provider.tracecat.sensors import TracecatActionSensor, TracecatExecutionSensor, TracecatWorkflowSensor
from tests.harness import Ended
from tests.unit.tracecat.conftest import Live

MODES = pytest.mark.parametrize(
    "mode", [{"deferrable": False}, {"deferrable": True}, {"deferrable": True, "start_from_trigger": True}, {"mode": "reschedule"}], ids=str
)
POKES: dict[str, Any] = {"poke_interval": 30, "timeout": 3_600}


def found(live: Live, **arguments: Any) -> Ended:
    return live.task(TracecatWorkflowSensor, **{"workflow": "scan", **POKES, **arguments}).run()


@MODES
def test_what_a_schedule_starts(live: Live, mode: dict[str, Any]) -> None:
    workflow = live.workflow(returns={"n": "${{ TRIGGER.n }}"})
    live.tracecat.add_execution(workflow, inputs={"n": 1})
    execution = live.tracecat.fire(live.tracecat.add_schedule(Schedule("scan", inputs={"n": 2})))
    ended = found(live, trigger_type="scheduled", push_outputs=["n"], **mode)
    assert ended.state == "success", ended.text
    assert "/sch-" in execution.ref
    assert ended.result["ref"] == execution.ref
    assert ended.xcoms["n"] == 2
    assert all("trigger=scheduled" in entry.query for entry in live.sent("GET", "/search$"))


@MODES
def test_what_a_webhook_starts(live: Live, mode: dict[str, Any]) -> None:
    workflow = live.workflow(returns={"n": "${{ TRIGGER.n }}"}, webhook="online")
    live.tracecat.add_execution(workflow, inputs={"n": 1})

    def call() -> None:
        address = f"{live.tracecat.url}/webhooks/{workflow.id}/{workflow.webhook_secret}"
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(address, json.dumps({"n": 3}).encode(), headers)
        urllib.request.urlopen(request).close()

    live.clock.later(100, call)
    ended = found(live, trigger_type="webhook", **mode)
    assert ended.state == "success", ended.text
    assert ended.result["outputs"] == {"n": 3}


@MODES
@pytest.mark.parametrize("match", ["first", "latest", "first_succeeded"])
def test_one_that_was_reset_is_one_execution(live: Live, mode: dict[str, Any], match: str) -> None:
    workflow = live.workflow(Action("look", seconds=10, error=["broke", None]), returns=5)
    execution = live.tracecat.add_execution(workflow)
    live.clock.advance(30)
    live.tracecat.reset(execution.ref)
    live.clock.advance(30)
    ended = found(live, match=match, **mode)
    assert ended.state == "success", ended.text
    assert (ended.result["ref"], ended.result["system_fields"]["run_id"]) == (execution.ref, execution.run_id)
    assert "Passing over" not in ended.text


@pytest.mark.parametrize(("match", "which"), [("first", 0), ("latest", 2), ("first_succeeded", 1)])
def test_which_of_several(live: Live, match: str, which: int) -> None:
    first = live.workflow(Action("look", seconds=10, error="broke"))
    executions = [live.tracecat.add_execution(first)]
    first.actions = [Action("look", seconds=10)]
    for _ in range(2):
        live.clock.advance(30)
        executions.append(live.tracecat.add_execution(first))
    live.clock.advance(30)
    ended = found(live, match=match)
    assert isinstance(ended.error, errors.ExecutionFailed) if which == 0 else ended.state == "success", ended.text
    assert ended.xcoms["ref"] == executions[which].ref


def test_only_what_started_after_a_moment(live: Live) -> None:
    workflow = live.workflow()
    live.tracecat.add_execution(workflow)
    live.clock.advance(60)
    moment = _clock.utc_now()
    second = live.tracecat.add_execution(workflow)
    ended = found(live, started_after=moment.isoformat())
    assert ended.result["ref"] == second.ref
    assert all("start_time_from=" in entry.query for entry in live.sent("GET", "/search$"))


def test_another_workspaces_execution_is_named_with_it(live: Live) -> None:
    other = live.tracecat.add_workspace("Other")
    live.tracecat.key.workspace = None
    live.workflow(alias="here")
    workflow = live.tracecat.add_workflow(type(live.tracecat.workflows[0])("There", "there", seconds=10, workspace=other.id))
    execution = live.tracecat.add_execution(workflow)
    ended = found(live, workflow="there", workspace_id=other.id)
    assert ended.state == "success", ended.text
    assert ended.result["ref"] == f"{other.id}:{execution.id}"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"trigger_type": "cron"}, "trigger_type must be one of"), ({"workflow": "scam"}, "neither the id nor the alias"),
        ({"workspace_id": "x"}, "is no UUID"),
    ],
)  # fmt: skip
@MODES
def test_wrong_arguments_fail_for_good(live: Live, mode: dict[str, Any], arguments: dict[str, Any], says: str) -> None:
    live.workflow()
    ended = found(live, **arguments, **mode)
    assert isinstance(ended.error, errors.ConfigurationError), ended.text
    assert says in str(ended.error)


@MODES
def test_an_execution_of_somebody_else_is_followed(live: Live, mode: dict[str, Any]) -> None:
    execution = live.tracecat.add_execution(
        live.workflow(Action("look", seconds=100, result=7), returns={"n": "${{ ACTIONS.look.result }}"})
    )
    ended = live.task(TracecatExecutionSensor, ref=f"{execution.workspace}:{execution.ref}", extra={}, **POKES, **mode).run()
    assert ended.state == "success", ended.text
    assert ended.result["outputs"] == {"n": 7}
    assert live.sent("POST", "/cancel$") == []


@MODES
def test_one_action_is_waited_for_and_no_more(live: Live, mode: dict[str, Any]) -> None:
    script = [Action("look", seconds=100, result={"n": 7}), Action("long", seconds=6_000)]
    execution = live.tracecat.add_execution(live.workflow(*script))
    ended = live.task(TracecatActionSensor, ref=execution.ref, action="look", push_outputs=["n"], **POKES, **mode).run()
    assert ended.state == "success", ended.text
    assert (ended.xcoms["n"], execution.status) == (7, "RUNNING")


def test_an_action_without_a_trace_is_skipped(live: Live) -> None:
    execution = live.tracecat.add_execution(live.workflow(Action("look", seconds=100), Action("no", skipped=True)))
    ended = live.task(TracecatActionSensor, ref=execution.ref, action="no", **POKES).run()
    assert ended.state == "skipped", ended.text


@MODES
def test_a_sensor_says_that_somebody_is_waited_for(live: Live, mode: dict[str, Any]) -> None:
    execution = live.tracecat.add_execution(
        live.workflow(Action("ask", seconds=0.0, interaction=Interaction(auto_after=100.0, answer={"a": 1})))
    )
    ended = live.task(TracecatExecutionSensor, ref=execution.ref, **POKES, **mode).run()
    assert ended.state == "success", ended.text
    assert "waits for a person (RUNNING): ask (response)" in ended.text
