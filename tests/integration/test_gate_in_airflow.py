"""A gate that a person opens in Airflow: asked as a required action, answered there or in Buddy. Over real sockets."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from airflow_provider import _compat, errors
from airflow_provider.buddy.gate_operator import BuddyGateOperator
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Action, Gate, Pipeline
from tests.harness import Ended, TaskRun
from tests.integration.systems import BuddySystem
from tests.integration.test_buddy_acts import failed
from tests.virtual_clock import current

BUILD = Action("Build", seconds=30, log=["building"], outputs={"IMAGE": "shop:1"})
DEPLOY = Action("Deploy", seconds=40, log=["deploying"], outputs={"URL": "https://shop.example"})
VERSION: dict[str, object] = {"key": "VERSION", "defaults": "1.0", "description": "What to deploy"}


class GateStage:
    """An execution with a gate, and the task that asks about it."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.system = BuddySystem(emulator)
        self.buddy = emulator.buddy

    def start(self, *actions: Action | Gate, by: str = "Mike") -> str:
        added = self.buddy.add_pipeline(Pipeline("release", actions=actions or (BUILD, Gate("Approve", comment="Sure?"), DEPLOY)))
        return str(self.buddy.add_execution(added, started_by=by).ref)

    def task(self, ref: str, *, retries: int = 0, **arguments: Any) -> TaskRun:
        given = {"poll_interval": 5, "ref": ref, **arguments}
        return TaskRun(lambda: BuddyGateOperator(task_id="task", **given), self.system.connections, retries=retries)

    def run(self, task: TaskRun, act: Any = None, *, after: float = 20.0) -> Ended:
        """A try in which somebody acts some seconds after the task has asked."""
        asked = (
            current().when(lambda: task.api.deferred and task.api.hitl is not None, lambda: current().later(after, act)) if act else None
        )
        try:
            return task.run()
        finally:
            if asked is not None:
                current().forget(asked)

    @property
    def operations(self) -> list[str]:
        """What Buddy was told, and accepted."""
        return [entry.json["operation"] for entry in self.emulator.ledger.entries if entry.method == "PATCH" and entry.status == 200]

    @property
    def sent(self) -> list[dict[str, Any]]:
        return [entry.json for entry in self.emulator.ledger.entries if entry.method == "PATCH" and entry.status == 200]


@pytest.fixture
def stage(emulator: Emulator) -> GateStage:
    return GateStage(emulator)


@pytest.fixture(params=["Airflow resumes the task", "the trigger asks"][not _compat.resumes_answered_tasks() :])
def versions(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Since 3.3 Airflow resumes an answered task itself; before, it does not have the message by which this is recognised."""
    if request.param == "the trigger asks":
        monkeypatch.delattr("airflow.sdk.execution_time.comms.AwaitInputTask", raising=False)


def closed(task: TaskRun) -> str:
    """What the required action shows as its answer, if our trigger closed it."""
    assert task.api.hitl is not None
    response = task.api.hitl["response"]
    assert response is not None, "it is still open"
    assert response["responded_by_user"] is None
    return str(response["chosen_options"][0])


# Asked


def test_what_is_asked(stage: GateStage) -> None:
    ref = stage.start()
    task = stage.task(ref, subject="Deploy?", body="**Look** at it.", assigned_users=[{"id": "7", "name": "Ann"}])
    ended = stage.run(task, lambda: task.api.answer("Approve"))
    assert ended.state == "success", ended.text
    asked = task.api.hitl
    assert asked is not None
    assert (asked["subject"], asked["options"], asked["params"]) == ("Deploy?", ["Approve", "Decline"], {})
    assert asked["assigned_users"] == [{"id": "7", "name": "Ann"}]
    url = ended.result["url"]
    for part in (
        "**Look** at it.", "~~~text\n", "Approve (WAIT_FOR_APPLY) 'Sure?'", f"{ref}\n", "IMAGE=shop:1", "Mike",
        f"[Look at it in Buddy](<{url}>)",
        "**Decline** cancels the execution",
    ):  # fmt: skip
        assert part in asked["body"]


def test_what_comes_from_outside_stays_text(stage: GateStage) -> None:
    ref = stage.start(Gate("Approve", comment="~~~\n[click](https://evil.example) ![x](https://evil.example/x.png)\n~~~"), DEPLOY)
    task = stage.task(ref)
    stage.run(task, lambda: task.api.answer("Approve"))
    assert task.api.hitl is not None
    lines = task.api.hitl["body"].split("\n")
    assert [number for number, line in enumerate(lines) if line.startswith("~~~")] == [0, lines.index("~~~")]
    assert [line for line in lines if "evil.example" in line] == [line for line in lines if line.startswith("Waits for:")]


def test_names_from_outside_stay_text(stage: GateStage) -> None:
    """What a gate asks for is shown as well, if it can't be asked for in Airflow."""
    key = "X](https://evil.example/a) ![p](https://evil.example/p.png) [y"
    ref = stage.start(Gate("Ask", "WAIT_FOR_VARIABLES", variables=[{"key": key, "encrypted": True}]), DEPLOY)
    task = stage.task(ref)
    stage.run(task, lambda: stage.buddy.approve(ref, by="Zoe"))
    assert task.api.hitl is not None
    before, fenced, after = task.api.hitl["body"].split("~~~")
    assert "must stay secret" in fenced
    assert "evil.example" in fenced
    assert "evil.example" not in before + after


# Answered


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize("gate_in", ["execution", "action"])
def test_approved_in_airflow(stage: GateStage, gate_in: str) -> None:
    stage.buddy.gate_in = gate_in
    task = stage.task(stage.start(), push_outputs=["URL"])
    ended = stage.run(task, lambda: task.api.answer("Approve"))
    assert ended.state == "success", ended.text
    assert (ended.result["phase"], ended.xcoms["URL"]) == ("SUCCEEDED", "https://shop.example")
    actor = ended.result["actor"]
    assert (actor["approved_in_airflow_by"], actor["approved_in_airflow_by_id"]) == ("Ann", "ann")
    assert actor["approved_in_airflow_at"].startswith("2026-")
    assert actor["approved_by"] == "Airflow", "for Buddy, the user of the connection has approved"
    assert stage.operations == ["APPLY"]
    assert ended.defers == 3
    assert ended.text.count("building") == 1, "no line of the log is shown twice"


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize(("on_declined", "state"), [("skip", "skipped"), ("fail", "failed"), ("succeed", "success")])
@pytest.mark.parametrize("cancel_seconds", [0.0, 30.0])
def test_declined_in_airflow(stage: GateStage, on_declined: str, state: str, cancel_seconds: float) -> None:
    stage.buddy.cancel_seconds = cancel_seconds
    ref = stage.start()
    task = stage.task(ref, on_declined=on_declined, retries=0)
    ended = stage.run(task, lambda: task.api.answer("Decline"))
    assert ended.state == state, ended.text
    assert stage.system.status(ref) == "TERMINATED"
    assert stage.operations == ["CANCEL"]
    execution = ended.result or ended.xcoms["execution"]
    assert execution["actor"]["declined_in_airflow_by"] == "Ann"
    said = ended.skipped_because if state == "skipped" else str(ended.error) if state == "failed" else ended.text
    assert "was declined by Ann in Airflow" in said


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize("seconds", [40, 0.1])
def test_approved_in_buddy_meanwhile(stage: GateStage, seconds: float) -> None:
    """Behind the gate the execution may end before the next poll."""
    ref = stage.start(Gate("Approve"), Action("Deploy", seconds=seconds))
    task = stage.task(ref)
    ended = stage.run(task, lambda: stage.buddy.approve(ref, by="Zoe"))
    assert ended.state == "success", ended.text
    assert closed(task) == "Opened in Buddy by Zoe"
    assert ended.result["actor"]["approved_by"] == "Zoe"
    assert "approved_in_airflow_by" not in ended.result["actor"]
    assert "The gate was opened in Buddy by Zoe." in ended.text
    assert stage.operations == []


@pytest.mark.usefixtures("versions")
@pytest.mark.parametrize(("on_declined", "state"), [("skip", "skipped"), ("fail", "failed"), ("succeed", "success")])
@pytest.mark.parametrize("cancel_seconds", [0.0, 30.0])
def test_declined_in_buddy_meanwhile(stage: GateStage, on_declined: str, state: str, cancel_seconds: float) -> None:
    stage.buddy.cancel_seconds = cancel_seconds
    ref = stage.start()
    task = stage.task(ref, on_declined=on_declined)
    ended = stage.run(task, lambda: stage.buddy.cancel(ref, by="Zoe"))
    assert ended.state == state, ended.text
    assert closed(task) == "Ended in Buddy"
    assert "declined in Buddy" in (ended.skipped_because or str(ended.error or ended.text))


@pytest.mark.parametrize(("status", "state", "error"), [("SUCCESSFUL", "success", None), ("FAILED", "failed", errors.ExecutionFailed)])
def test_the_execution_ends_at_the_gate(stage: GateStage, status: str, state: str, error: Any) -> None:
    ref = stage.start()
    task = stage.task(ref)
    ended = stage.run(task, lambda: stage.buddy.finish(ref, status))
    assert (ended.state, type(ended.error)) == (state, error or type(None)), ended.text
    assert closed(task) == "Ended in Buddy"
    assert stage.operations == []


@pytest.mark.parametrize("status", ["SUCCESSFUL", "FAILED", "TERMINATED"])
def test_the_execution_has_ended_before_anybody_is_asked(stage: GateStage, status: str) -> None:
    ref = stage.start()
    stage.buddy.finish(ref, status)
    task = stage.task(ref, wait_for_completion=False)
    ended = task.run()
    assert ended.state == ("success" if status == "SUCCESSFUL" else "failed"), ended.text
    assert task.api.hitl is None


def test_there_is_no_gate(stage: GateStage) -> None:
    task = stage.task(stage.start(BUILD, DEPLOY))
    ended = task.run()
    assert (ended.state, ended.defers, task.api.hitl) == ("success", 1, None), ended.text


@pytest.mark.parametrize("option", ["Approve", "Decline"])
@pytest.mark.parametrize("then", ["goes on", "has ended"])
def test_both_answer_at_once(stage: GateStage, option: str, then: str) -> None:
    """Buddy was first: the answer in Airflow changes nothing, and a decline cancels nothing."""
    ref = stage.start()
    task = stage.task(ref)

    def both() -> None:
        stage.buddy.approve(ref, by="Zoe")
        task.api.answer(option)
        if then == "has ended":
            stage.buddy.finish(ref)

    ended = stage.run(task, both)
    assert ended.state == "success", ended.text
    assert f"'{option}' came too late: the gate was opened by Zoe" in ended.text
    assert stage.operations == []
    assert ended.result["actor"]["approved_by"] == "Zoe"
    assert "approved_in_airflow_by" not in ended.result["actor"]


@pytest.mark.parametrize("option", ["Approve", "Decline"])
def test_a_late_answer_is_not_taken_for_the_next_gate(stage: GateStage, option: str) -> None:
    ref = stage.start(Gate("First"), Gate("Second"), DEPLOY)
    task = stage.task(ref, on_waiting="succeed")

    def both() -> None:
        stage.buddy.approve(ref, by="Zoe")
        task.api.answer(option)

    ended = stage.run(task, both)
    assert (ended.state, ended.result["phase"]) == ("success", "WAITING"), ended.text
    assert "Second" in ended.result["waiting_for"]
    assert stage.operations == []


def test_the_gate_is_opened_while_the_request_is_under_way(stage: GateStage) -> None:
    ref = stage.start()
    task = stage.task(ref)
    stage.emulator.faults.add(Fault("status", status=400, method="PATCH"))  # as Buddy answers if the gate no longer waits
    refused = current().when(lambda: stage.emulator.ledger.select("PATCH"), lambda: stage.buddy.approve(ref, by="Zoe"))
    ended = stage.run(task, lambda: task.api.answer("Approve"))
    current().forget(refused)
    assert ended.state == "success", ended.text
    assert "'Approve' came too late: the gate was opened by Zoe" in ended.text
    assert stage.operations == []
    assert "approved_in_airflow_by" not in ended.result["actor"]


def test_answered_in_airflow_while_the_required_action_is_closed(stage: GateStage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before 3.3: the trigger can't close what was answered just now, and reports the answer."""
    monkeypatch.delattr("airflow.sdk.execution_time.comms.AwaitInputTask", raising=False)
    ref = stage.start()
    task = stage.task(ref)

    def both() -> None:
        stage.buddy.approve(ref, by="Zoe")
        close = type(task.api).__call__

        class AnsweredMeanwhile(type(task.api)):  # type: ignore[misc]
            def __call__(self, request: Any) -> Any:
                if request.method == "PATCH" and "/hitlDetails/" in request.url.path and self.hitl["response"] is None:
                    self.answer("Approve")
                return close(self, request)

        task.api.__class__ = AnsweredMeanwhile

    ended = stage.run(task, both)
    assert ended.state == "success", ended.text
    assert "came too late" in ended.text


@pytest.mark.usefixtures("versions")
def test_answered_before_the_task_was_deferred(stage: GateStage) -> None:
    task = stage.task(stage.start())

    def at_once(_: object) -> None:
        if task.api.hitl is not None and task.api.hitl["response"] is None:
            task.api.answer("Approve")

    task.on_defer = at_once
    ended = task.run()
    assert ended.state == "success", ended.text
    assert stage.operations == ["APPLY"]
    assert ended.result["actor"]["approved_in_airflow_by"] == "Ann"


# Variables


@pytest.mark.parametrize("kind", ["WAIT_FOR_VARIABLES", "SET_VARIABLES"])
def test_variables_are_form_fields(stage: GateStage, kind: str) -> None:
    asked: list[dict[str, object]] = [VERSION, {"key": "PLACE", "defaults": "eu\nus"}, {"key": "WHY"}]
    task = stage.task(stage.start(Gate("Ask", kind, variables=asked), DEPLOY), variables={"EXTRA": "x"})
    ended = stage.run(task, lambda: task.api.answer("Approve", {"VERSION": "2.0", "PLACE": "us", "WHY": "time", "OTHER": "smuggled"}))
    assert ended.state == "success", ended.text
    assert task.api.hitl is not None
    assert task.api.hitl["params"] == {
        "VERSION": {"value": "1.0", "description": "What to deploy", "schema": {"type": "string"}},
        "PLACE": {"value": "eu", "description": None, "schema": {"type": "string", "enum": ["eu", "us"]}},
        "WHY": {"value": None, "description": None, "schema": {"type": "string", "minLength": 1}},
    }
    [body] = stage.sent
    assert {item["key"]: item["value"] for item in body["variables"]} == {"EXTRA": "x", "VERSION": "2.0", "PLACE": "us", "WHY": "time"}


def test_the_tasks_own_variables_are_what_the_form_shows_at_first(stage: GateStage) -> None:
    task = stage.task(stage.start(Gate("Ask", "WAIT_FOR_VARIABLES", variables=[VERSION]), DEPLOY), variables={"VERSION": "3.0"})
    ended = stage.run(task, lambda: task.api.answer("Approve"))
    assert ended.state == "success", ended.text
    assert task.api.hitl is not None
    assert task.api.hitl["params"]["VERSION"]["value"] == "3.0"
    assert [item["value"] for item in stage.sent[0]["variables"]] == ["3.0"]


SECRET: dict[str, object] = {"key": "DEPLOY_KEY", "encrypted": True}


def test_a_secret_is_never_asked_for(stage: GateStage) -> None:
    """What is entered in a form lies in Airflow's database in plain text."""
    ref = stage.start(Gate("Ask", "WAIT_FOR_VARIABLES", variables=[VERSION, SECRET]), DEPLOY)
    task = stage.task(ref)
    ended = stage.run(task, lambda: stage.buddy.approve(ref, by="Zoe"))
    assert ended.state == "success", ended.text
    assert task.api.hitl is not None
    assert (task.api.hitl["options"], task.api.hitl["params"]) == (["Decline"], {})
    assert "DEPLOY_KEY, which must stay secret: approve in Buddy" in task.api.hitl["body"]


def test_a_secret_of_the_task_needs_no_field(stage: GateStage) -> None:
    ref = stage.start(Gate("Ask", "WAIT_FOR_VARIABLES", variables=[VERSION, SECRET]), DEPLOY)
    task = stage.task(ref, secret_variables={"DEPLOY_KEY": "canary-0815"})
    ended = stage.run(task, lambda: task.api.answer("Approve", {"VERSION": "2.0"}))
    assert ended.state == "success", ended.text
    assert "canary-0815" not in str(task.api.hitl) + ended.text + str(ended.xcoms)
    assert {item["key"]: item.get("encrypted", False) for item in stage.sent[0]["variables"]} == {"VERSION": False, "DEPLOY_KEY": True}


@pytest.mark.parametrize(
    ("option", "values", "says"),
    [
        ("Whatever", {}, "'Whatever', which was not offered"),
        ("Approve", {"WHY": None}, "no value for WHY"),
        ("Approve", {"WHY": ""}, "no value for WHY"),
        ("Approve", {"WHY": "time", "PLACE": "prod; reboot"}, "a value for PLACE that was not offered"),
    ],
    ids=["option", "none", "empty", "choice"],
)
def test_an_answer_that_was_not_offered_sends_nothing_and_a_retry_asks_again(
    stage: GateStage, option: str, values: dict[str, Any], says: str
) -> None:
    """Older versions of Airflow take any answer by the API."""
    ref = stage.start(Gate("Ask", "WAIT_FOR_VARIABLES", variables=[{"key": "WHY"}, {"key": "PLACE", "defaults": "eu\nus"}]), DEPLOY)
    task = stage.task(ref, retries=1)
    failed(stage.run(task, lambda: task.api.answer(option, values)), errors.ExecutionError, says, "a retry asks again")
    assert stage.operations == []
    ended = stage.run(task, lambda: task.api.answer("Approve", {"WHY": "time"}))
    assert ended.state == "success", ended.text
    assert stage.operations == ["APPLY_VARIABLES"]


@pytest.mark.parametrize(("name_answer", "triggered_by"), [(False, "Bob"), (True, "Bob"), (True, None)])
def test_buddy_learns_who_answered_if_the_task_says_so(stage: GateStage, name_answer: bool, triggered_by: str | None) -> None:
    task = stage.task(stage.start(), name_answer=name_answer)
    task.triggered_by = triggered_by
    ended = stage.run(task, lambda: task.api.answer("Approve"))
    assert ended.state == "success", ended.text
    names = {"AIRFLOW_ANSWERED_BY": "Ann", "AIRFLOW_TRIGGERED_BY": triggered_by} if name_answer else {}
    passed = ended.result["system_fields"]["actions"][1]["passed_variables"]
    assert passed == {key: name for key, name in names.items() if name}


# Limits


@pytest.mark.usefixtures("versions")
def test_nobody_answers_in_time(stage: GateStage) -> None:
    ref = stage.start()
    task = stage.task(ref, waiting_timeout=600, retries=1)
    ended = task.run()
    text = failed(ended, errors.ExecutionWaiting, "for longer than waiting_timeout", "It was left alone")
    assert "Approve" in text
    assert ended.state == "failed"
    assert closed(task) == "Nobody answered in time"
    assert stage.system.status(ref) == "WAITING_FOR_APPLY"
    assert stage.operations == []


def test_the_gate_is_not_reached_in_time(stage: GateStage) -> None:
    ref = stage.start(Action("Build", seconds=6_000), Gate("Approve"))
    task = stage.task(ref, timeout=600)
    failed(task.run(), errors.ExecutionDeadlineExceeded, "was still INPROGRESS", "It was left alone")
    assert task.api.hitl is None


def test_time_at_the_gate_does_not_count_against_the_timeout(stage: GateStage) -> None:
    task = stage.task(stage.start(), timeout=120)
    ended = stage.run(task, lambda: task.api.answer("Approve"), after=600)
    assert ended.state == "success", ended.text


def late_behind_the_gate(stage: GateStage, task: TaskRun, how: str) -> None:
    """The wait behind the gate is picked up more than a minute after the deferral, or by a second triggerer."""

    def deferred(_: object) -> None:
        if stage.operations:
            if how == "a second triggerer":
                taken = current().now() + 30
                task.kill_trigger(lambda: current().now() > taken, "deferred")
            current().advance(90)

    task.on_defer = deferred


LATE = pytest.mark.parametrize("how", ["late", "a second triggerer"])


@LATE
def test_the_way_behind_the_gate_has_a_timeout_of_its_own(stage: GateStage, how: str) -> None:
    task = stage.task(stage.start(Action("Build", seconds=3_000), Gate("Approve"), Action("Deploy", seconds=2_000)), timeout=3_600)
    late_behind_the_gate(stage, task, how)
    ended = stage.run(task, lambda: task.api.answer("Approve"))
    assert ended.state == "success", ended.text


@LATE
def test_the_time_at_the_gate_does_not_count_at_the_next_one(stage: GateStage, how: str) -> None:
    ref = stage.start(Gate("First"), Action("Test", seconds=200), Gate("Second", auto_after=800), DEPLOY)
    task = stage.task(ref, waiting_timeout=1_000)
    late_behind_the_gate(stage, task, how)
    ended = stage.run(task, lambda: task.api.answer("Approve"), after=900)
    assert ended.state == "success", ended.text


@pytest.mark.parametrize(
    ("on_waiting", "state", "phase"), [("succeed", "success", "WAITING"), ("fail", "failed", "WAITING"), ("wait", "success", "SUCCEEDED")]
)
def test_a_second_gate_ends_the_task_as_on_waiting_says(stage: GateStage, on_waiting: str, state: str, phase: str) -> None:
    ref = stage.start(Gate("First"), Gate("Second", auto_after=200), DEPLOY)
    task = stage.task(ref, on_waiting=on_waiting)
    ended = stage.run(task, lambda: task.api.answer("Approve"))
    assert ended.state == state, ended.text
    execution = ended.result or ended.xcoms["execution"]
    assert execution["phase"] == phase
    assert execution["actor"]["approved_in_airflow_by"] == "Ann"
    assert stage.operations == ["APPLY"]


def test_cancelled_behind_the_gate_is_not_declined(stage: GateStage) -> None:
    """Both between two polls: the gate was opened, so nobody declined it."""
    ref = stage.start()
    task = stage.task(ref)

    def act() -> None:
        stage.buddy.approve(ref, by="Zoe")
        current().later(0.1, lambda: stage.buddy.cancel(ref, by="Mike"))

    failed(stage.run(task, act), errors.ExecutionCancelled, "ended TERMINATED")
    assert closed(task) == "Opened in Buddy by Zoe"


def test_a_second_gate_right_behind_the_first_is_not_taken_for_it(stage: GateStage) -> None:
    ref = stage.start(Gate("First"), Gate("Second"), DEPLOY)
    task = stage.task(ref, on_waiting="succeed")
    ended = stage.run(task, lambda: stage.buddy.approve(ref, by="Zoe"))
    assert (ended.state, ended.result["phase"]) == ("success", "WAITING"), ended.text
    assert "Second" in ended.result["waiting_for"]
    assert closed(task) == "Opened in Buddy by Zoe"


def test_without_waiting_the_task_ends_behind_the_gate(stage: GateStage) -> None:
    task = stage.task(stage.start(), wait_for_completion=False)
    ended = stage.run(task, lambda: task.api.answer("Approve"))
    assert (ended.state, ended.result["phase"]) == ("success", "RUNNING"), ended.text
    assert ended.result["actor"]["approved_in_airflow_by"] == "Ann"


def test_one_of_several_gates(stage: GateStage) -> None:
    ref = stage.start(Gate("Legal", run_next="IN_HARD_PARALLEL"), Gate("Security", run_next="IN_HARD_PARALLEL"), DEPLOY)
    failed(stage.task(ref).run(), errors.ConfigurationError, "several gates wait", "approve_action_id")
    task = stage.task(ref, approve_action_id="Security", wait_for_completion=False)
    ended = stage.run(task, lambda: task.api.answer("Approve"))
    assert ended.state == "success", ended.text
    assert [step.status for step in stage.buddy.find(ref).action_executions[:2]] == ["WAITING_FOR_APPLY", "SUCCESSFUL"]


# Tries


def test_cleared_while_it_waits(stage: GateStage) -> None:
    """Nothing is cancelled, and the next attempt asks again."""
    ref = stage.start()
    task = stage.task(ref)
    task.on_defer = lambda _: (_ for _ in ()).throw(KeyboardInterrupt) if task.api.hitl else None
    with pytest.raises(KeyboardInterrupt):
        task.run()
    log = task.kill_trigger(lambda: stage.emulator.ledger.count(method="GET") > 5, None)
    assert [entry for entry in log if entry["log_level"] == "error"] == []
    task.clear()
    task.on_defer = None
    assert stage.operations == []
    ended = stage.run(task, lambda: task.api.answer("Approve"))
    assert ended.state == "success", ended.text
    assert stage.operations == ["APPLY"]


@pytest.mark.parametrize(("state", "told"), [("failed", "The task was ended"), ("success", "The task was ended"), ("deferred", None)])
def test_marked_while_it_waits(stage: GateStage, state: str, told: str | None) -> None:
    """The required action is closed; the execution is left alone. A trigger that moves to another triggerer closes nothing."""
    ref = stage.start()
    task = stage.task(ref)
    task.on_defer = lambda _: (_ for _ in ()).throw(KeyboardInterrupt) if task.api.hitl else None
    with pytest.raises(KeyboardInterrupt):
        task.run()
    before = stage.emulator.ledger.count(method="GET")
    task.kill_trigger(lambda: stage.emulator.ledger.count(method="GET") > before, state)
    assert task.api.hitl is not None
    response = task.api.hitl["response"]
    assert (response and response["chosen_options"][0]) == told
    assert stage.system.status(ref) == "WAITING_FOR_APPLY"


@pytest.mark.parametrize(("waits", "phase"), [(True, "SUCCEEDED"), (False, "RUNNING")])
def test_cleared_behind_the_gate(stage: GateStage, waits: bool, phase: str) -> None:
    """The execution is somebody else's: it is not cancelled. Nothing is left to ask, so the task follows it."""
    ref = stage.start()
    task = stage.task(ref, wait_for_completion=waits)
    if waits:
        task.after_trigger = lambda event: (_ for _ in ()).throw(KeyboardInterrupt) if stage.operations else None
    with pytest.raises(KeyboardInterrupt) if waits else nullcontext():
        stage.run(task, lambda: task.api.answer("Approve"))
    task.after_trigger = None
    task.clear()
    task.api.hitl = None
    ended = task.run()
    assert (ended.state, ended.result["phase"]) == ("success", phase), ended.text
    assert task.api.hitl is None
    assert stage.operations == ["APPLY"]


@pytest.mark.parametrize("at_the_second", [True, False])
def test_cleared_behind_the_first_of_two_gates(stage: GateStage, at_the_second: bool) -> None:
    """The second gate is another task's."""
    ref = stage.start(Gate("First"), Action("Test", seconds=100), Gate("Second", auto_after=500), DEPLOY)
    task = stage.task(ref, wait_for_completion=False)
    stage.run(task, lambda: task.api.answer("Approve"))
    if at_the_second:
        current().advance(150)
        assert stage.system.status(ref) == "WAITING_FOR_APPLY"
    task.clear()
    task.api.hitl = None
    ended = task.run()
    assert (ended.state, task.api.hitl) == ("success", None), ended.text
    assert stage.operations == ["APPLY"]


@pytest.mark.parametrize("where", ["Airflow", "Buddy"])
def test_cancelled_behind_the_gate_is_not_declined_after_a_clear(stage: GateStage, where: str) -> None:
    ref = stage.start()
    task = stage.task(ref)

    def deferred(_: object) -> None:
        if task.api.hitl is not None and task.api.hitl["response"] is not None:
            current().later(15, lambda: stage.buddy.cancel(ref, by="Mike"))

    task.on_defer = deferred
    act = lambda: task.api.answer("Approve") if where == "Airflow" else stage.buddy.approve(ref, by="Zoe")  # noqa: E731
    failed(stage.run(task, act), errors.ExecutionCancelled, "ended TERMINATED")
    task.clear()
    failed(task.run(), errors.ExecutionCancelled, "ended TERMINATED")


def test_opened_and_cancelled_between_two_tries_is_not_declined(stage: GateStage) -> None:
    ref = stage.start()
    task = stage.task(ref, retries=1)
    refuse = lambda: stage.emulator.faults.add(Fault("status", status=401, method="GET"))  # noqa: E731
    failed(stage.run(task, refuse), errors.Unauthorized)
    stage.buddy.approve(ref, by="Zoe")
    stage.buddy.cancel(ref, by="Mike")
    failed(task.run(), errors.ExecutionCancelled, "ended TERMINATED")


@pytest.mark.parametrize("seconds", [0, 60])
def test_who_declined_is_still_named_after_a_clear(stage: GateStage, seconds: float) -> None:
    """Whether it is still being stopped by then, or has ended."""
    stage.buddy.cancel_seconds = 30.0
    task = stage.task(stage.start())
    task.on_defer = lambda _: (_ for _ in ()).throw(KeyboardInterrupt) if stage.operations else None
    with pytest.raises(KeyboardInterrupt):
        stage.run(task, lambda: task.api.answer("Decline"))
    task.on_defer = None
    current().advance(seconds)
    task.clear()
    ended = task.run()
    assert ended.state == "skipped", ended.text
    assert "was declined by Ann in Airflow" in ended.skipped_because
    assert ended.xcoms["execution"]["actor"]["declined_in_airflow_by"] == "Ann"
    assert stage.operations == ["CANCEL"]


def test_cleared_together_with_what_started_the_execution(stage: GateStage) -> None:
    """``ref`` leads to another execution now, whose gate nobody has seen."""
    refs = [stage.start(), stage.start()]
    task = TaskRun(
        lambda: BuddyGateOperator(task_id="task", ref=refs[0], poll_interval=5, wait_for_completion=False), stage.system.connections
    )
    assert stage.run(task, lambda: task.api.answer("Approve")).state == "success"
    refs.pop(0)
    task.clear()
    task.api.hitl = None
    ended = stage.run(task, lambda: task.api.answer("Approve"))
    assert ended.state == "success", ended.text
    assert task.api.hitl is not None, "nobody was asked"
    assert ended.result["ref"] == refs[0]
    assert stage.operations == ["APPLY", "APPLY"]


def test_a_retry_behind_the_gate_follows_and_asks_nobody(stage: GateStage) -> None:
    ref = stage.start()
    task = stage.task(ref, retries=1)

    def lose(event: dict[str, Any]) -> None:
        if event.get("end") == "ended":
            stage.emulator.faults.add(Fault("status", status=401, method="GET", times=1))

    task.after_trigger = lose
    failed(stage.run(task, lambda: task.api.answer("Approve")), errors.Unauthorized)
    task.after_trigger = None
    ended = task.run()
    assert ended.state == "success", ended.text
    assert task.api.hitl is None
    assert ended.result["actor"]["approved_in_airflow_by"] == "Ann", "the note knows who it was"
    assert stage.operations == ["APPLY"]


def test_the_timeout_behind_the_gate_counts_across_retries(stage: GateStage) -> None:
    ref = stage.start(Gate("Approve"), Action("Deploy", seconds=6_000))
    task = stage.task(ref, retries=1, timeout=300, log_lines=0)
    refuse = lambda: stage.emulator.faults.add(Fault("status", status=401, method="GET"))  # noqa: E731
    answered = current().when(lambda: stage.operations, lambda: current().later(100, refuse))
    failed(stage.run(task, lambda: task.api.answer("Approve")), errors.Unauthorized)
    current().forget(answered)
    current().advance(150)
    before = current().now()
    failed(task.run(), errors.ExecutionDeadlineExceeded, "It was left alone")
    assert current().now() - before < 100


def test_a_retry_at_the_gate_does_not_count_the_time_before(stage: GateStage) -> None:
    task = stage.task(stage.start(Gate("Approve"), DEPLOY), retries=1, timeout=60)
    refuse = lambda: stage.emulator.faults.add(Fault("status", status=401, method="GET"))  # noqa: E731
    failed(stage.run(task, refuse, after=400), errors.Unauthorized)
    ended = stage.run(task, lambda: task.api.answer("Approve"), after=400)
    assert ended.state == "success", ended.text


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
def test_an_approval_whose_answer_is_lost(stage: GateStage, kind: str) -> None:
    task = stage.task(stage.start())
    stage.emulator.faults.add(Fault(kind, method="PATCH"))
    ended = stage.run(task, lambda: task.api.answer("Approve"))
    assert ended.state == "success", ended.text
    assert stage.buddy.executions[0].action_executions[1].approval is not None
    assert ended.result["actor"]["approved_in_airflow_by"] == "Ann"


def test_a_decline_that_did_not_arrive_is_sent_by_the_retry(stage: GateStage) -> None:
    ref = stage.start()
    task = stage.task(ref, retries=1)
    stage.emulator.faults.add(Fault("drop_before", method="PATCH", times=10))
    failed(stage.run(task, lambda: task.api.answer("Decline")), errors.TransportError)
    stage.emulator.faults.clear()
    ended = task.run()
    assert ended.state == "skipped", ended.text
    assert task.api.hitl is None, "nobody is asked again"
    assert stage.operations == ["CANCEL"]
    assert "declined by Ann in Airflow" in ended.skipped_because


def test_a_decline_that_did_not_arrive_is_dropped_once_the_gate_was_opened(stage: GateStage) -> None:
    ref = stage.start()
    task = stage.task(ref, retries=1)
    stage.emulator.faults.add(Fault("drop_before", method="PATCH", times=10))
    failed(stage.run(task, lambda: task.api.answer("Decline")), errors.TransportError)
    stage.emulator.faults.clear()
    stage.buddy.approve(ref, by="Zoe")
    ended = task.run()
    assert ended.state == "success", ended.text
    assert stage.operations == []
    assert "'Decline' came too late: the gate was opened by Zoe" in ended.text
    assert "declined_in_airflow_by" not in ended.result["actor"]


@pytest.mark.parametrize(("status", "error"), [(429, errors.RateLimited), (503, errors.ServerError)])
@pytest.mark.parametrize("then", ["approved", "cancelled"])
def test_who_answered_in_vain_is_not_named(stage: GateStage, status: int, error: type[Exception], then: str) -> None:
    """The approval did not take effect, the next try asked again, and somebody answered in Buddy."""
    ref = stage.start()
    task = stage.task(ref, retries=1)
    stage.emulator.faults.add(Fault("status", status=status, method="PATCH", times=20))
    failed(stage.run(task, lambda: task.api.answer("Approve")), error)
    stage.emulator.faults.clear()
    ended = stage.run(task, lambda: stage.buddy.approve(ref, by="Zoe") if then == "approved" else stage.buddy.cancel(ref, by="Zoe"))
    assert ended.state == ("success" if then == "approved" else "skipped"), ended.text
    actor = (ended.result or ended.xcoms["execution"])["actor"]
    assert "approved_in_airflow_by" not in actor
    if then == "approved":
        assert actor["approved_by"] == "Zoe"


def test_a_refused_approval_is_explained(stage: GateStage) -> None:
    ref = stage.start(Gate("Approve", prevent_self_approval=True), DEPLOY, by="Airflow")
    task = stage.task(ref)
    failed(stage.run(task, lambda: task.api.answer("Approve")), errors.Forbidden, "prevent_self_approval", "connection of a user who may")
    assert stage.system.status(ref) == "WAITING_FOR_APPLY"


@pytest.mark.usefixtures("versions")
def test_a_wait_that_fails_closes_the_required_action(stage: GateStage) -> None:
    ref = stage.start()
    task = stage.task(ref)
    refuse = lambda: stage.emulator.faults.add(Fault("status", status=403, method="GET", times=None))  # noqa: E731
    failed(stage.run(task, refuse), errors.Forbidden)
    assert closed(task) == "The wait failed"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [({"on_declined": "retry"}, "on_declined must be one of"), ({"assigned_users": ["ann"]}, "must be a list of dicts with id and name")],
    ids=str,
)
def test_wrong_arguments(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        BuddyGateOperator(task_id="task", ref="demo/shop/1/1", **arguments)


def test_what_is_not_there(stage: GateStage) -> None:
    stage.start()
    failed(stage.task("demo/shop/1/99").run(), errors.NotFound, "demo/shop/1/99")
    failed(stage.task("99").run(), errors.ConfigurationError, "is not the ref of a Buddy execution")


# What a form shows and sends


def test_a_value_is_sent_as_it_was_written(stage: GateStage) -> None:
    """As BuddyApproveExecutionOperator sends it: Python's words are none of Buddy's."""
    gate = Gate("Ask", "WAIT_FOR_VARIABLES", variables=[{"key": "DRY_RUN", "defaults": "true\nfalse"}, {"key": "COUNT"}])
    task = stage.task(stage.start(gate, DEPLOY), variables={"DRY_RUN": True, "COUNT": 3, "OTHER": False})
    ended = stage.run(task, lambda: task.api.answer("Approve", {"DRY_RUN": True, "COUNT": 3}))
    assert ended.state == "success", ended.text
    assert task.api.hitl is not None
    shown = task.api.hitl["params"]["DRY_RUN"]
    assert (shown["value"], shown["schema"]["enum"]) == ("true", ["true", "false"])
    [sent] = stage.sent
    assert {one["key"]: one["value"] for one in sent["variables"]} == {"DRY_RUN": "true", "COUNT": "3", "OTHER": "false"}


@pytest.mark.parametrize("value", [["a"], {"a": 1}], ids=str)
def test_a_list_is_no_value_of_a_form(stage: GateStage, value: Any) -> None:
    gate = Gate("Ask", "WAIT_FOR_VARIABLES", variables=[{"key": "COUNT"}])
    task = stage.task(stage.start(gate, DEPLOY))
    ended = stage.run(task, lambda: task.api.answer("Approve", {"COUNT": value}))
    failed(ended, errors.ExecutionError, "gave a value for COUNT that is a list or a dict, not a text")
    assert stage.sent == []


TOKEN = "ghp_" + "0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    "asked",
    [
        {"key": "URL", "value": "https://shop.example/?key=s3cr3t-value-0001"},
        {"key": "URL", "value": TOKEN},
        {"key": "API_TOKEN", "value": "anything"},
        {"key": "URL", "defaults": f"{TOKEN}\nhttps://shop.example"},
        {"key": "URL", "value": "https://shop.example/?key=emulator-token"},
    ],
    ids=lambda asked: str(asked)[:40],
)
def test_a_secret_value_is_not_shown_and_not_sent_by_itself(stage: GateStage, asked: dict[str, object]) -> None:
    gate = Gate("Ask", "WAIT_FOR_VARIABLES", variables=[asked, {"key": "KEY"}])
    task = stage.task(stage.start(gate, DEPLOY), secret_variables={"KEY": "s3cr3t-value-0001"})
    ended = stage.run(task, lambda: task.api.answer("Approve", {}))
    failed(ended, errors.ExecutionError, f"gave no value for {asked['key']}")
    assert stage.sent == []
    assert task.api.hitl is not None
    shown = str(task.api.hitl)
    assert "Its present value is secret, and not shown" in shown
    for secret in ("s3cr3t-value-0001", TOKEN, "anything", "emulator-token", "***"):
        assert secret not in shown
    ended = stage.run(task, lambda: task.api.answer("Approve", {str(asked["key"]): "https://shop.example/new"}))
    assert ended.state == "success", ended.text
    assert "https://shop.example/new" in str(stage.sent)


@pytest.mark.parametrize("user", ["", " ", None, "{{ params.who }}", 1.5], ids=str)
def test_somebody_who_can_not_be_is_not_asked(stage: GateStage, user: Any) -> None:
    """Nobody could answer, for as long as the task waits."""
    with pytest.raises(ValueError, match="assigned_users"):
        BuddyGateOperator(task_id="gate", ref="demo/shop/1/1", assigned_users=[{"id": user, "name": "Ann"}])
