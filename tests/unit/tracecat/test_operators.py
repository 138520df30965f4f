"""The operators on the emulator, by Airflow's own runner: started once, never lost, reset, cancelled, answered."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.emulator import Fault
from airflow_provider.emulator.tracecat import Action, Interaction, Workflow
from airflow_provider.tracecat.executions import lost_starts
from airflow_provider.tracecat.operators import (
    TracecatAnswerInteractionOperator,
    TracecatCancelExecutionOperator,
    TracecatGetExecutionOperator,
    TracecatResetExecutionOperator,
    TracecatRunWorkflowOperator,
)
from tests.harness import Ended, TaskRun
from tests.unit.tracecat.conftest import Live

START = r"/workflow-executions$"
MODES = pytest.mark.parametrize("deferrable", [False, True])
AUTHS = pytest.mark.parametrize("auth", ["key", "login"])


def task(live: Live, **arguments: Any) -> TaskRun:
    return live.task(TracecatRunWorkflowOperator, **{"workflow": "scan", **arguments})


def ran(live: Live, **arguments: Any) -> Ended:
    return task(live, **arguments).run()


def test_the_defaults_are_those_promised() -> None:
    operator = TracecatRunWorkflowOperator(task_id="t", workflow="w")
    promised = {
        "wait_for_completion": True, "deferrable": False, "poll_interval": 30.0, "timeout": 86_400.0, "start_grace": 30.0, "inputs": None,
        "correlation_key": None, "workspace_id": None, "tracecat_conn_id": "tracecat_default", "on_retry": "start",
    }  # fmt: skip
    assert {name: getattr(operator, name) for name in promised} == promised
    assert sum(operator.lookup_pauses) > lost_starts.DISPATCH_SECONDS  # so that none found can be proof


@MODES
@AUTHS
def test_its_result_becomes_the_outputs(live: Live, deferrable: bool, auth: str) -> None:
    live.workflow(returns={"IMAGE": "shop:1", "n": "${{ TRIGGER.n }}"})
    ended = ran(live, inputs={"n": "{{ params.n }}"}, params={"n": 5}, push_outputs=["IMAGE"], deferrable=deferrable, auth=auth)
    assert ended.state == "success", ended.text
    [execution] = live.tracecat.executions
    assert (ended.result["ref"], ended.result["phase"], ended.result["status"]) == (execution.ref, "SUCCEEDED", "COMPLETED")
    assert ended.result["outputs"] == {"IMAGE": "shop:1", "n": "5"}
    assert ended.xcoms["IMAGE"] == "shop:1"
    assert ended.result["system_fields"]["run_id"] == execution.run_id
    assert ended.xcoms["url"].startswith(f"{live.tracecat.web_url}/workspaces/{live.tracecat.workspace}/workflows/wf_")
    [start] = live.starts
    assert start.pop("time_anchor").startswith("2026-01-01T00:00:00.")
    assert start == {"workflow_id": execution.id.partition("/")[0], "inputs": {"n": "5"}}
    assert live.tracecat.user.password not in str(ended.logs) + str(live.emulator.ledger.select("GET")[0].query)


def test_an_unknown_alias_starts_nothing(live: Live) -> None:
    live.workflow()
    ended = ran(live, workflow="scam")
    assert isinstance(ended.error, errors.ConfigurationError)
    assert "'scam' is neither the id nor the alias" in str(ended.error)
    assert live.starts == []
    assert ended.state == "failed"


def test_a_workflow_that_was_never_published(live: Live) -> None:
    live.workflow(committed=False)
    ended = ran(live)
    assert isinstance(ended.error, errors.NotFound)
    assert "Invalid workflow ID" in str(ended.error)
    assert "was never published" in str(ended.error)
    assert len(live.starts) == 1


# Answered before there is an execution


@MODES
def test_an_execution_may_take_a_while_to_appear(live: Live, deferrable: bool) -> None:
    live.workflow()
    live.tracecat.start_lag = 25.0
    ended = ran(live, start_grace=60, deferrable=deferrable)
    assert ended.state == "success", ended.text
    assert len(live.starts) == 1


@MODES
def test_one_that_never_appears_is_given_up_and_a_retry_starts_another(live: Live, deferrable: bool) -> None:
    live.workflow()
    live.tracecat.starts_fail = True
    run = task(live, start_grace=60, deferrable=deferrable)
    ended = run.run()
    assert 60 <= live.clock.passed < 120
    assert isinstance(ended.error, errors.ExecutionVanished)
    assert "its start was accepted, but it never appeared" in str(ended.error)
    assert "Temporal or its workers were away" in str(ended.error)
    assert ended.state == "up_for_retry"
    live.tracecat.starts_fail = False
    ended = run.run()
    assert ended.state == "success", ended.text
    assert len(live.starts) == 2
    assert len(live.tracecat.executions) == 1


def test_one_that_is_not_there_yet_is_cancelled_with_its_task(live: Live) -> None:
    """A person ends the task behind the answer to its start: the first cancel finds nothing."""
    live.workflow()
    live.tracecat.start_lag = 1.0
    run = task(live)
    with run.terminated(lambda: live.starts and live.sent("GET", "/compact"), "failed"):
        ended = run.run()
    assert len(live.sent("POST", "/cancel$")) == 3
    live.clock.advance(60.0)
    [execution] = live.tracecat.executions
    assert execution.status == "CANCELED", ended.text


def test_an_id_of_an_unknown_form_is_no_wrong_setting(live: Live) -> None:
    """Something was started: it must not pass for a refusal."""
    live.workflow()
    live.emulator.faults.add(Fault("body", body={"wf_exec_id": "new/form"}, method="POST", path=START, effect=True))
    ended = ran(live)
    assert ended.state == "success", ended.text
    assert len(live.starts) == 1


# Lost answers

LOST = [Fault("drop_after"), Fault("status_after", status=503), Fault("truncated"), Fault("html", effect=True)]
NOT_SENT = [Fault("drop_before"), Fault("status", status=500)]


def lose(live: Live, fault: Fault) -> Fault:
    return live.emulator.faults.add(Fault(fault.kind, method="POST", path=START, **fault.parameters))


@pytest.mark.parametrize("fault", LOST, ids=str)
@pytest.mark.parametrize("key", [None, "airflow"])
def test_a_start_whose_answer_is_lost_is_found(live: Live, fault: Fault, key: str | None) -> None:
    earlier = live.workflow()
    live.tracecat.add_execution(earlier, inputs={"n": 1})
    live.clock.advance(60)
    lose(live, fault)
    ended = ran(live, inputs={"n": 1}, correlation_key=key)
    assert ended.state == "success", ended.text
    assert len(live.starts) == 1
    assert ended.result["ref"] == live.tracecat.executions[1].ref
    assert set(live.starts[0]["inputs"]) == {"n", *([key] if key else [])}


@pytest.mark.parametrize("fault", NOT_SENT, ids=str)
@pytest.mark.parametrize("key", [None, "airflow"])
def test_a_start_that_did_nothing_is_sent_once_more(live: Live, fault: Fault, key: str | None) -> None:
    live.workflow()
    lose(live, fault)
    ended = ran(live, correlation_key=key)
    assert ended.state == "success", ended.text
    assert len(live.starts) == 2
    assert len(live.tracecat.executions) == 1


class Hasty(TracecatRunWorkflowOperator):
    lookup_pauses = (0.0, 10.0, 20.0)


def test_as_long_as_it_may_be_dispatched_nothing_is_sent_again(live: Live) -> None:
    live.workflow()
    lose(live, Fault("drop_before"))
    ended = live.task(Hasty, workflow="scan").run()
    assert isinstance(ended.error, errors.StartUnknown)
    assert ended.state == "up_for_retry"
    assert len(live.starts) == 1


OTHERS: dict[str, Callable[[Live, Workflow], Any]] = {
    "other inputs": lambda live, workflow: live.tracecat.add_execution(workflow, inputs={"n": 9}),
    "same inputs": lambda live, workflow: live.tracecat.add_execution(workflow, inputs={"n": 1}),
    "a child": lambda live, workflow: live.tracecat.add_execution(live.tracecat.find_workflow("parent")),
    "a schedule": lambda live, workflow: live.tracecat.add_execution(workflow, inputs={"n": 1}, trigger_type="scheduled"),
}


@pytest.mark.parametrize(
    ("other", "fault", "key", "outcome"),
    [
        ("other inputs", "drop_after", None, "found"),
        ("same inputs", "drop_after", None, "found"),
        ("same inputs", "drop_before", None, "again"),
        ("a child", "drop_after", None, "found"),
        ("a schedule", "drop_after", None, "found"),
        ("other inputs", "drop_before", None, "again"),
        ("a child", "drop_before", None, "again"),
        ("a schedule", "drop_before", None, "again"),
        *[(other, "drop_after", "airflow", "found") for other in OTHERS],
        *[(other, "drop_before", "airflow", "again") for other in OTHERS],
    ],
)
def test_somebody_elses_execution_at_the_same_time_is_not_taken(live: Live, other: str, fault: str, key: str | None, outcome: str) -> None:
    workflow = live.workflow()
    run_it = Action("kid", workflow="scan", inputs={"n": 1}, wait="wait")
    live.tracecat.add_workflow(Workflow("Parent", "parent", [run_it]))
    lost = lose(live, Fault(fault))
    live.clock.when(lambda: lost.hits, lambda: OTHERS[other](live, workflow))
    ended = ran(live, inputs={"n": 1}, correlation_key=key)
    assert len(live.starts) == (2 if outcome == "again" else 1), ended.text
    assert ended.state == "success", ended.text
    ours = next(one for one in live.tracecat.executions if one.ref == ended.result["ref"])
    assert ours.started_by.kind == "service_account"
    assert ours.parent is None


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ([1], "with correlation_key, inputs must be a dict, not list"), ("text", "inputs must be a dict, not str"),
        ({"airflow": 1}, "inputs already contain the key 'airflow'"), ({"airflow": None}, "inputs already contain the key 'airflow'"),
    ],
)  # fmt: skip
def test_a_correlation_key_needs_its_place(live: Live, inputs: Any, says: str) -> None:
    live.workflow()
    ended = ran(live, inputs=inputs, correlation_key="airflow")
    assert isinstance(ended.error, errors.ConfigurationError)
    assert says in str(ended.error)
    assert live.starts == []


# Cancelling


def test_cancelling_takes_workers(live: Live) -> None:
    execution = live.tracecat.add_execution(live.workflow(Action("long", seconds=6_000)))
    ended = live.task(TracecatCancelExecutionOperator, ref=execution.ref).run()
    assert (ended.state, execution.status) == ("success", "CANCELED"), ended.text
    assert live.sent("POST", "/terminate$") == []


@MODES
@pytest.mark.parametrize("elsewhere", [False, True])
def test_without_workers_only_terminating_helps(live: Live, deferrable: bool, elsewhere: bool) -> None:
    execution = live.tracecat.add_execution(live.workflow(Action("long", seconds=6_000)))
    live.tracecat.workers = False
    ref = f"{execution.workspace}:{execution.ref}" if elsewhere else execution.ref
    extra = {} if elsewhere else None
    run = live.task(TracecatCancelExecutionOperator, ref=ref, terminate_after=60, deferrable=deferrable, extra=extra)
    ended = run.run()
    assert (ended.state, execution.status) == ("success", "TERMINATED"), ended.text
    assert "Terminating it" in ended.text
    assert [entry.json for entry in live.sent("POST", "/terminate$")] == [{"reason": "not stopped in time"}]


def test_without_workers_and_without_terminating_it_is_left(live: Live) -> None:
    execution = live.tracecat.add_execution(live.workflow(Action("long", seconds=6_000)))
    live.tracecat.workers = False
    ended = live.task(TracecatCancelExecutionOperator, ref=execution.ref, timeout=100).run()
    assert isinstance(ended.error, errors.ExecutionDeadlineExceeded)
    assert (execution.status, live.sent("POST", "/terminate$")) == ("RUNNING", [])


# Reset


@MODES
@pytest.mark.parametrize("status", ["RUNNING", "FAILED", "COMPLETED", "CANCELED"])
def test_a_reset_is_followed_to_its_end(live: Live, deferrable: bool, status: str) -> None:
    workflow = live.workflow(Action("look", seconds=30, error=["broke", None] if status == "FAILED" else None, result=7), returns=5)
    execution = live.tracecat.add_execution(workflow)
    if status != "RUNNING":
        live.tracecat.finish(execution.ref, status)
    ended = live.task(TracecatResetExecutionOperator, ref=execution.ref, reason="again", deferrable=deferrable).run()
    assert ended.state == "success", ended.text
    assert len(execution.runs) == 2
    assert ended.result["outputs"] == {"result": 5}
    assert ended.result["system_fields"]["run_id"] == execution.run_id
    assert [entry.json for entry in live.sent("POST", "/reset$")] == [{"reason": "again"}]


def test_a_reset_whose_answer_is_lost_is_not_sent_twice(live: Live) -> None:
    execution = live.tracecat.add_execution(live.workflow(Action("look", seconds=600)))
    live.emulator.faults.add(Fault("drop_after", method="POST", path="/reset$"))
    run = live.task(TracecatResetExecutionOperator, ref=execution.ref, wait_for_completion=False)
    assert run.run().state == "success"
    assert len(execution.runs) == 2
    assert len(live.sent("POST", "/reset$")) == 1


@pytest.mark.parametrize("status", [403, 404, 429])
def test_a_reset_that_was_accepted_is_not_sent_again_whatever_the_read_behind_it_gives(live: Live, status: int) -> None:
    execution = live.tracecat.add_execution(live.workflow(Action("look", seconds=30), returns=5))
    live.tracecat.finish(execution.ref, "FAILED")
    live.emulator.faults.add(Fault("status", status=status, headers={"Retry-After": "9999"}, method="GET", path="/compact$", after=1))
    ended = live.task(TracecatResetExecutionOperator, ref=execution.ref).run()
    assert ended.state == "success", ended.text
    assert len(execution.runs) == 2
    assert len(live.sent("POST", "/reset$")) == 1


def test_an_execution_that_ended_by_itself_was_not_reset(live: Live) -> None:
    """Its status and end are others than before the request, but it is the same run."""
    execution = live.tracecat.add_execution(live.workflow(Action("look", seconds=600), Action("end", seconds=10), returns=5))
    fault = live.emulator.faults.add(Fault("drop_before", method="POST", path="/reset$"))
    live.clock.when(lambda: fault.hits, lambda: live.tracecat.finish(execution.ref, "COMPLETED"))
    run = live.task(TracecatResetExecutionOperator, ref=execution.ref, wait_for_completion=False)
    ended = run.run()
    assert ended.state == "success", ended.text
    assert len(execution.runs) == 2, ended.text


@pytest.mark.parametrize("event", ["x", "-1", "1.5", [1]])
def test_an_event_is_a_number(live: Live, event: Any) -> None:
    execution = live.tracecat.add_execution(live.workflow(Action("look", seconds=600)))
    ended = live.task(TracecatResetExecutionOperator, ref=execution.ref, event_id=event).run()
    assert isinstance(ended.error, errors.ConfigurationError)
    assert live.sent("POST", "/reset$") == []


@pytest.mark.parametrize("event", [99_999, 501, "1000", 1])
def test_an_event_that_can_not_be_gone_back_to_is_refused(live: Live, event: Any) -> None:
    """Tracecat takes the last reset point before it: nothing would run again, and the old result would be handed on."""
    execution = live.tracecat.add_execution(live.workflow(Action("look", seconds=10), returns=5))
    live.clock.advance(60)
    ended = live.task(TracecatResetExecutionOperator, ref=execution.ref, event_id=event).run()
    assert isinstance(ended.error, errors.ConfigurationError), ended.text
    assert f"can't be reset to event {event}" in str(ended.error)
    assert live.sent("POST", "/reset$") == []


def test_an_event_between_two_reset_points_is_said(live: Live) -> None:
    execution = live.tracecat.add_execution(live.workflow(Action("look", seconds=10), returns=5))
    live.clock.advance(60)
    ended = live.task(TracecatResetExecutionOperator, ref=execution.ref, event_id=5).run()
    assert ended.state == "success", ended.text
    assert "can't be reset to event 5; Tracecat takes event 4, the last one before it" in ended.text


def test_a_reset_point_is_taken(live: Live) -> None:
    execution = live.tracecat.add_execution(live.workflow(Action("look", seconds=10), returns=5))
    live.clock.advance(60)
    ended = live.task(TracecatResetExecutionOperator, ref=execution.ref, event_id="4").run()
    assert ended.state == "success", ended.text
    assert len(execution.runs) == 2
    assert "can't be reset" not in ended.text


@pytest.mark.parametrize(("seconds", "text"), [(0.5, "It was cancelled."), (5.0, "It was cancelled."), (3_600.0, "It was asked to cancel")])
def test_that_it_was_cancelled_is_said_if_that_was_seen(live: Live, seconds: float, text: str) -> None:
    """Without a worker, Tracecat takes the request and does nothing."""
    live.tracecat.cancel_seconds = seconds
    live.workflow(Action("look", seconds=7_200))
    ended = ran(live, timeout=60)
    assert isinstance(ended.error, errors.ExecutionDeadlineExceeded), ended.text
    assert text in str(ended.error)
    assert len(live.sent("POST", "/cancel$")) == 1


@MODES
def test_a_reset_by_somebody_else_is_followed_and_said(live: Live, deferrable: bool) -> None:
    live.workflow(Action("look", seconds=150), returns=5)
    live.clock.later(70, lambda: live.tracecat.reset(live.tracecat.executions[0].ref))
    ended = ran(live, deferrable=deferrable)
    [execution] = live.tracecat.executions
    assert ended.state == "success", ended.text
    assert len(execution.runs) == 2
    assert f"execution {execution.ref} was reset and runs again. Waiting for the new run." in ended.text
    assert ended.result["system_fields"]["run_id"] == execution.run_id


# Answering


def asks(live: Live, count: int = 1, **fields: Any) -> Any:
    actions = [Action(f"ask{number}", seconds=0.0, depends_on=[], interaction=Interaction()) for number in range(count)]
    last = Action("after", seconds=10, result="${{ ACTIONS.ask0.interaction.choice }}", depends_on=[one.ref for one in actions])
    workflow = live.workflow(*actions, last, returns={"choice": "${{ ACTIONS.after.result }}"}, **{"webhook": "online", **fields})
    execution = live.tracecat.add_execution(workflow)
    live.clock.advance(1)
    return workflow, execution


def answer(live: Live, ref: str, **arguments: Any) -> Ended:
    return live.task(TracecatAnswerInteractionOperator, ref=ref, **{"response": {"choice": "yes"}, **arguments}).run()


@MODES
@pytest.mark.parametrize("level", [logging.INFO, logging.DEBUG])
def test_the_secret_of_the_webhook_is_in_no_log_of_the_libraries(
    live: Live, caplog: pytest.LogCaptureFixture, deferrable: bool, level: int
) -> None:
    caplog.set_level(level)
    for name in ("httpx", "httpcore", "aiohttp"):
        caplog.set_level(level, name)
    workflow, execution = asks(live)
    ended = answer(live, execution.ref, deferrable=deferrable)
    assert ended.state == "success"
    shown = [record.getMessage() for record in caplog.records]
    assert any("/webhooks/" in text and "/***/" in text for text in shown if text.startswith("HTTP Request: POST"))
    assert [text for text in shown if str(workflow.webhook_secret) in text] == []


@MODES
def test_an_answer_lets_it_go_on(live: Live, deferrable: bool) -> None:
    workflow, execution = asks(live)
    ended = answer(live, execution.ref, deferrable=deferrable)
    assert ended.state == "success", ended.text
    assert ended.result["outputs"] == {"choice": "yes"}
    assert str(workflow.webhook_secret) not in str(ended.logs) + str(ended.xcoms)


@pytest.mark.parametrize(
    ("count", "fields", "arguments", "says"),
    [
        (1, {"webhook": "offline"}, {}, "webhook of workflow scan is offline"),
        (2, {}, {}, "several interactions wait; name one with action. Waiting: ask0, ask1"),
        (1, {}, {"action": "after"}, "no such interaction waits. Waiting: ask0"),
        (1, {}, {"response": ["yes"]}, "response must be a dict"),
    ],
)
def test_what_can_not_be_answered_says_why(live: Live, count: int, fields: Any, arguments: Any, says: str) -> None:
    workflow, execution = asks(live, count, **fields)
    ended = answer(live, execution.ref, **arguments)
    assert isinstance(ended.error, errors.ExecutionApiError)
    assert says in str(ended.error)
    assert live.sent("POST", "/interactions/") == []
    assert str(workflow.webhook_secret) not in str(ended.error) + str(ended.logs)


def test_what_waits_for_nothing_yet_may_do_so_later(live: Live) -> None:
    execution = live.tracecat.add_execution(live.workflow(Action("look", seconds=600), webhook="online"))
    ended = answer(live, execution.ref)
    assert isinstance(ended.error, errors.ExecutionError)
    assert "app_interactions_enabled" in str(ended.error)
    assert ended.state == "up_for_retry"
    live.tracecat.finish(execution.ref)
    assert answer(live, execution.ref).state == "failed"


def test_one_of_several_is_named(live: Live) -> None:
    _, execution = asks(live, 2)
    ended = answer(live, execution.ref, action="ask0", on_waiting="succeed")
    assert ended.state == "success", ended.text
    assert [step.action.ref for step in execution.steps] == ["ask0", "ask1"]
    assert len(live.sent("POST", "/interactions/slack$")) == 1


@pytest.mark.parametrize(
    "fault", [Fault("drop_after"), Fault("status_after", status=500), Fault("drop_before"), Fault("status", status=500)], ids=str
)
def test_an_answer_that_is_lost_is_given_once(live: Live, fault: Fault) -> None:
    workflow, execution = asks(live)
    live.emulator.faults.add(Fault(fault.kind, method="POST", path="/interactions/", **fault.parameters))
    ended = answer(live, execution.ref)
    assert ended.state == "success", ended.text
    assert len(live.sent("POST", "/interactions/")) == (2 if fault.kind in ("drop_before", "status") else 1)
    assert str(workflow.webhook_secret) not in str(ended.logs) + str(ended.xcoms)


# Reading


@pytest.mark.parametrize("elsewhere", [False, True])
def test_reading_an_execution_as_it_is(live: Live, elsewhere: bool) -> None:
    execution = live.tracecat.add_execution(live.workflow(Action("look", seconds=600)))
    ref = f"{execution.workspace}:{execution.ref}" if elsewhere else execution.ref
    ended = live.task(TracecatGetExecutionOperator, ref=ref, extra={} if elsewhere else None).run()
    assert ended.state == "success", ended.text
    assert (ended.result["ref"], ended.result["phase"]) == (ref, "RUNNING")
    assert [(step["name"], step["status"]) for step in ended.result["steps"]] == [("look", "STARTED")]


def test_nothing_is_asked_between_the_start_and_the_note_of_it(live: Live) -> None:
    """A crash, or an API that goes away, finds the smallest gap there can be."""
    live.workflow()
    assert ran(live, wait_for_completion=False).state == "success"
    assert [entry.method for entry in live.emulator.ledger.entries][-1] == "POST"
    assert live.sent("GET", "/info$")
