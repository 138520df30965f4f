"""An interaction that a person answers in Airflow: asked as a required action, over real sockets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.emulator.tracecat import Action, Interaction
from airflow_provider.tracecat.gate_operator import TracecatGateOperator
from tests.harness import Ended, TaskRun
from tests.unit.tracecat.conftest import Live
from tests.unit.tracecat.test_operators import asks


def gate(live: Live, ref: str, **arguments: Any) -> TaskRun:
    return live.task(TracecatGateOperator, ref=ref, **{"response": {"choice": "yes"}, "retries": 0, "poll_interval": 5, **arguments})


def run(live: Live, task: TaskRun, act: Callable[[], object]) -> Ended:
    """A try in which somebody acts 20 seconds after the task has asked."""
    asked = live.clock.when(lambda: task.api.deferred and task.api.hitl is not None, lambda: live.clock.later(20, act))
    try:
        return task.run()
    finally:
        live.clock.forget(asked)


def asked_of(task: TaskRun) -> dict[str, Any]:
    assert task.api.hitl is not None
    return task.api.hitl


def test_approved_in_airflow(live: Live) -> None:
    workflow, execution = asks(live)
    task = gate(live, execution.ref, ask_for=["choice", "why"])
    ended = run(live, task, lambda: task.api.answer("Approve", {"choice": "perhaps", "why": "time", "other": "smuggled"}))
    assert ended.state == "success", ended.text
    assert ended.result["outputs"] == {"choice": "perhaps"}
    assert ended.result["actor"]["approved_in_airflow_by"] == "Ann"
    asked = asked_of(task)
    assert asked["options"] == ["Approve", "Decline"]
    assert {name: field["value"] for name, field in asked["params"].items()} == {"choice": "yes", "why": None}
    assert "ask0" in asked["body"]
    [sent] = live.sent("POST", "/interactions/slack$")
    assert "smuggled" not in str(sent)
    assert str(workflow.webhook_secret) not in str(ended.logs) + str(ended.xcoms) + str(asked)


@pytest.mark.parametrize("ask_for", ["choice", ["choice"], ("choice", "choice")], ids=str)
def test_one_name_is_one_form_field(live: Live, ask_for: Any) -> None:
    _, execution = asks(live)
    task = gate(live, execution.ref, ask_for=ask_for)
    ended = run(live, task, lambda: task.api.answer("Approve", {"choice": "no"}))
    assert ended.state == "success", ended.text
    assert list(asked_of(task)["params"]) == ["choice"]
    assert ended.result["outputs"] == {"choice": "no"}


@pytest.mark.parametrize(("option", "state"), [("Approve", "success"), ("Decline", "skipped")])
def test_another_interaction_is_reached_meanwhile(live: Live, option: str, state: str) -> None:
    """The answer belongs to the one that was asked about."""
    workflow = live.workflow(
        Action("first", seconds=0.0, depends_on=[], interaction=Interaction()),
        Action("slow", seconds=10.0, depends_on=[]),
        Action("second", seconds=0.0, depends_on=["slow"], interaction=Interaction()),
        returns="${{ ACTIONS.first.interaction.choice }}",
        webhook="online",
    )
    execution = live.tracecat.add_execution(workflow)
    live.clock.advance(1)
    task = gate(live, execution.ref, wait_for_completion=False)
    ended = run(live, task, lambda: task.api.answer(option))
    assert ended.state == state, ended.text
    assert "first" in asked_of(task)["body"]
    assert len(live.sent("POST", "/interactions/slack$")) == (option == "Approve")
    if option == "Approve":
        assert [step.ref for step in live.tracecat.find(execution.ref).state.steps if step.waiting] == ["second"]


def test_declined_in_airflow(live: Live) -> None:
    _, execution = asks(live)
    task = gate(live, execution.ref)
    ended = run(live, task, lambda: task.api.answer("Decline"))
    assert ended.state == "skipped", ended.text
    assert ended.xcoms["execution"]["phase"] == "CANCELLED"
    assert "was declined by Ann in Airflow" in ended.skipped_because
    assert live.sent("POST", "/interactions/") == []


def test_answered_in_tracecat_meanwhile(live: Live) -> None:
    _, execution = asks(live)
    task = gate(live, execution.ref)
    ended = run(live, task, lambda: live.tracecat.answer(execution.ref, {"choice": "no"}))
    assert ended.state == "success", ended.text
    assert ended.result["outputs"] == {"choice": "no"}
    assert asked_of(task)["response"]["chosen_options"] == ["Opened in Tracecat"]
    assert live.sent("POST", "/interactions/") == []


def test_without_the_webhook_it_only_follows(live: Live) -> None:
    workflow, execution = asks(live, webhook="offline")
    task = gate(live, execution.ref, ask_for=["choice"])
    ended = run(live, task, lambda: live.tracecat.answer(execution.ref, {"choice": "no"}))
    assert ended.state == "success", ended.text
    asked = asked_of(task)
    assert (asked["options"], asked["params"]) == (["Decline"], {})
    assert "can't be approved here: Tracecat: the webhook of workflow scan is offline" in asked["body"]
    assert str(workflow.webhook_secret) not in str(asked)


def test_one_of_several_is_named(live: Live) -> None:
    _, execution = asks(live, 2)
    assert isinstance(gate(live, execution.ref).run().error, errors.ConfigurationError)
    task = gate(live, execution.ref, action="ask0", on_waiting="succeed")
    ended = run(live, task, lambda: task.api.answer("Approve"))
    assert (ended.state, ended.result["phase"]) == ("success", "WAITING"), ended.text
    assert len(live.sent("POST", "/interactions/slack$")) == 1


def test_nobody_answers_in_time(live: Live) -> None:
    _, execution = asks(live)
    task = gate(live, execution.ref, waiting_timeout=600)
    ended = task.run()
    assert isinstance(ended.error, errors.ExecutionWaiting)
    assert asked_of(task)["response"]["chosen_options"] == ["Nobody answered in time"]
    assert live.sent("POST", "/(interactions|cancel|terminate)") == []


@pytest.mark.parametrize("where", ["Airflow", "Tracecat"])
def test_cancelled_behind_the_gate_is_not_declined_after_a_clear(live: Live, where: str) -> None:
    _, execution = asks(live)
    task = gate(live, execution.ref)

    def deferred(_: object) -> None:
        if task.api.hitl is not None and task.api.hitl["response"] is not None:
            live.clock.later(3, lambda: live.tracecat.finish(execution.ref, "CANCELED"))

    task.on_defer = deferred
    act = lambda: task.api.answer("Approve") if where == "Airflow" else live.tracecat.answer(execution.ref, {"choice": "no"})  # noqa: E731
    assert isinstance((ended := run(live, task, act)).error, errors.ExecutionCancelled), ended.text
    task.clear()
    assert isinstance((ended := task.run()).error, errors.ExecutionCancelled), ended.text


def test_cancelled_right_behind_the_gate_is_not_declined(live: Live) -> None:
    """The trigger has seen that it was opened."""
    _, execution = asks(live)
    task = gate(live, execution.ref)
    task.after_trigger = lambda event: live.tracecat.finish(execution.ref, "CANCELED") if event.get("end") == "opened" else None
    ended = run(live, task, lambda: live.tracecat.answer(execution.ref, {"choice": "no"}))
    assert isinstance(ended.error, errors.ExecutionCancelled), ended.text


def test_the_wait_behind_the_gate_has_a_timeout_of_its_own(live: Live) -> None:
    """Also if it is picked up more than a minute after the deferral."""
    slow = Action("slow", seconds=3_000.0, depends_on=[])
    ask = Action("ask", seconds=0.0, depends_on=["slow"], interaction=Interaction())
    workflow = live.workflow(slow, ask, Action("deploy", seconds=2_000.0, depends_on=["ask"]), webhook="online")
    task = gate(live, live.tracecat.add_execution(workflow).ref, timeout=3_600)
    task.on_defer = lambda _: live.clock.advance(90) if live.sent("POST", "/interactions/slack$") else None
    ended = run(live, task, lambda: task.api.answer("Approve"))
    assert ended.state == "success", ended.text


def test_a_reserved_key_is_refused_before_anybody_is_asked(live: Live) -> None:
    _, execution = asks(live)
    task = gate(live, execution.ref, ask_for=["choice", "message"])
    ended = task.run()
    assert isinstance(ended.error, errors.ConfigurationError), ended.text
    assert "the key 'message' of ask_for is reserved" in str(ended.error)
    assert task.api.hitl is None
