"""Operators that act on an execution which is there already: retry, cancel, approve. In both modes, over real sockets."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.buddy.operators import (
    BuddyApproveExecutionOperator,
    BuddyCancelExecutionOperator,
    BuddyRetryExecutionOperator,
    BuddyRunPipelineOperator,
)
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Action, Gate, Pipeline
from airflow_provider.execution.http.retrying import MAX_ATTEMPTS
from tests.harness import NOTES, Ended, TaskRun
from tests.integration.conftest import OPERATOR_MODES
from tests.integration.systems import BuddySystem
from tests.integration.test_start_once import crash_at, crashed_try
from tests.virtual_clock import current

FLAKY = Action("Build", seconds=0.2, status=["FAILED", "SUCCESSFUL"], outputs={"IMAGE": "shop:1"}, log=["building"])
DEPLOY = Action("Deploy", seconds=0.1, outputs={"URL": "https://shop.example"})
SLOW = Action("Deploy", seconds=600)
MARKED = "nightly [airflow-00112233445566778899]"
ASKED: dict[str, object] = {"key": "VERSION", "defaults": "1.0"}


class Stage:
    """An execution, and operators that act on it."""

    def __init__(self, emulator: Emulator, mode: str = "operator") -> None:
        self.system = BuddySystem(emulator)
        self.emulator = emulator
        self.buddy = emulator.buddy
        self.mode = mode

    def start(
        self, *actions: Action | Gate, status: str | None = None, wait: float = 0.0, by: str = "Mike", comment: str | None = None,
        **pipeline: Any,
    ) -> str:  # fmt: skip
        added = self.buddy.add_pipeline(Pipeline("release", actions=actions, **pipeline))
        ref = str(self.buddy.add_execution(added, status, comment, by).ref)
        current().advance(wait)
        return ref

    def task(self, operator: Any, *, retries: int = 0, **arguments: Any) -> TaskRun:
        given = {"poll_interval": 0.05, **OPERATOR_MODES[self.mode], **arguments}
        return TaskRun(lambda: operator(task_id="task", **given), self.system.connections, retries=retries)

    def status(self, ref: str) -> str:
        return self.system.status(ref)

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The bodies of all changes of executions that the API accepted."""
        return [entry.json for entry in self.emulator.ledger.entries if entry.method == "PATCH" and entry.status == 200]


@pytest.fixture(params=list(OPERATOR_MODES))
def stage(request: pytest.FixtureRequest, emulator: Emulator) -> Stage:
    return Stage(emulator, request.param)


def failed(ended: Ended, error: type[BaseException], *says: str) -> str:
    assert type(ended.error) is error, f"{ended.error!r}\n{ended.text}"
    text = str(ended.error)
    assert "\n" not in text
    for part in says:
        assert part in text
    return text


# Retry


@pytest.mark.parametrize("keeps_id", [True, False])
def test_retry(stage: Stage, keeps_id: bool) -> None:
    stage.buddy.retry_keeps_id = keeps_id
    ref = stage.start(FLAKY, DEPLOY, wait=0.3)
    ended = stage.task(BuddyRetryExecutionOperator, ref=ref, push_outputs=["URL"]).run()
    assert ended.state == "success", ended.text
    assert ended.result["ref"] == ended.xcoms["ref"] == stage.system.refs[-1]
    assert (ended.result["ref"] == ref) is keeps_id
    assert ended.xcoms["URL"] == "https://shop.example"
    assert [body["operation"] for body in stage.sent] == ["RETRY"]


def test_retry_of_what_runs_is_refused_before_anything_is_sent(stage: Stage) -> None:
    ref = stage.start(SLOW)
    failed(stage.task(BuddyRetryExecutionOperator, ref=ref).run(), errors.ConfigurationError, "is INPROGRESS", "http")
    assert stage.sent == []


def test_retry_that_buddy_refuses_is_explained(stage: Stage) -> None:
    ref = stage.start(DEPLOY, wait=0.2)
    failed(
        stage.task(BuddyRetryExecutionOperator, ref=ref).run(),
        errors.StatusError,
        "The execution is SUCCESSFUL",
        "BuddyRunPipelineOperator",
    )


@pytest.mark.parametrize("status", [400, 500])
def test_retry_on_a_wildcard_pipeline(stage: Stage, status: int) -> None:
    stage.buddy.wildcard_retry_status = status
    ref = stage.start(FLAKY, wait=0.3, refs=("refs/heads/*",))
    kind = errors.StatusError if status == 400 else errors.ServerError
    failed(stage.task(BuddyRetryExecutionOperator, ref=ref).run(), kind, "wildcard refs")


@pytest.mark.parametrize(("status", "kind"), [(401, errors.Unauthorized), (403, errors.Forbidden), (404, errors.NotFound)])
@pytest.mark.parametrize("operator", [BuddyRetryExecutionOperator, BuddyApproveExecutionOperator])
def test_other_refusals_get_no_wrong_advice(emulator: Emulator, operator: Any, status: int, kind: type[Exception]) -> None:
    stage = Stage(emulator)
    ref = stage.start(Gate("Approve")) if operator is BuddyApproveExecutionOperator else stage.start(FLAKY, wait=0.3)
    emulator.faults.add(Fault("status", status=status, method="PATCH", times=None))
    text = failed(stage.task(operator, ref=ref).run(), kind)
    assert "quicker" not in text
    assert "wildcard" not in text


@pytest.mark.parametrize("keeps_id", [True, False])
@pytest.mark.parametrize("kind", ["drop_after", "status_after"])
def test_a_retry_whose_answer_is_lost_is_not_sent_again(stage: Stage, keeps_id: bool, kind: str) -> None:
    stage.buddy.retry_keeps_id = keeps_id
    ref = stage.start(FLAKY, DEPLOY, wait=0.3, comment=MARKED)
    given: dict[str, Any] = {"status": 502} if kind == "status_after" else {}
    stage.emulator.faults.add(Fault(kind, method="PATCH", **given))
    ended = stage.task(BuddyRetryExecutionOperator, ref=ref).run()
    assert ended.state == "success", ended.text
    assert stage.emulator.ledger.count(method="PATCH", path_re=r"/executions/\d+$") == 1


@pytest.mark.parametrize("order", ["theirs first", "theirs second"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(None, None), (None, "by Ann"), ("nightly", "nightly"), ("nightly", None), (MARKED, None), (MARKED, MARKED.replace("0", "1"))],
    ids=["no comment", "only theirs", "the same", "only ours", "marker", "two markers"],
)
@pytest.mark.parametrize("lost", ["drop_before", "status", "drop_after", "status_after"])
@pytest.mark.parametrize("keeps_id", [True, False])
@pytest.mark.parametrize("list_has_comment", [True, False])
def test_a_lost_retry_is_not_taken_for_what_somebody_starts_at_that_moment(
    stage: Stage, order: str, ours: str | None, theirs: str | None, lost: str, keeps_id: bool, list_has_comment: bool
) -> None:
    """Theirs is neither followed nor cancelled, whichever is newer, and the request is not repeated where it may have worked."""
    stage.buddy.retry_keeps_id, stage.buddy.list_has_comment = keeps_id, list_has_comment
    ref = stage.start(Action("Build", seconds=0.2, status=["FAILED", "SUCCESSFUL"]), SLOW, wait=0.3, comment=ours)
    strangers: list[str] = []

    def somebody_starts() -> None:
        strangers.append(str(stage.buddy.add_execution(stage.buddy.pipelines[0], "INPROGRESS", theirs, "Ann").ref))

    given: dict[str, Any] = {"status": 502} if lost.startswith("status") else {}
    fault = stage.emulator.faults.add(Fault(lost, method="PATCH", **given))
    if order == "theirs first":
        stage.buddy.list_lag = 1.0  # so that the list before the request does not show it
        somebody_starts()
    else:
        current().when(lambda: bool(fault.hits), somebody_starts)
    ended = stage.task(BuddyRetryExecutionOperator, ref=ref, timeout=5.0).run()
    assert ended.xcoms.get("ref") not in strangers
    assert [stage.status(stranger) for stranger in strangers] == ["INPROGRESS"]
    assert type(ended.error) in (errors.StartUnknown, errors.ExecutionDeadlineExceeded)
    assert len([body for body in stage.sent if body["operation"] == "RETRY"]) <= 1


@pytest.mark.parametrize("took_effect", [True, False])
def test_an_unmarked_retry_with_a_new_id_stays_unknown(stage: Stage, took_effect: bool) -> None:
    """A newer execution that looks alike proves nothing, neither at the first look nor at that of the next try."""
    stage.buddy.retry_keeps_id = False
    ref = stage.start(FLAKY, DEPLOY, wait=0.3)
    fault = stage.emulator.faults.add(Fault("drop_after" if took_effect else "drop_before", method="PATCH"))
    if not took_effect:
        current().when(lambda: bool(fault.hits), lambda: stage.buddy.add_execution(stage.buddy.pipelines[0], started_by="Ann"))
    task = stage.task(BuddyRetryExecutionOperator, ref=ref, retries=1)
    for _ in range(2):
        failed(task.run(), errors.StartUnknown, f"Check execution {ref}.")
    assert stage.emulator.ledger.count(method="PATCH") == 1


def test_on_retry_resume_leaves_alone_what_somebody_starts_at_that_moment(stage: Stage) -> None:
    pipeline = stage.buddy.add_pipeline(Pipeline("release", actions=[FLAKY, SLOW]))
    task = stage.task(BuddyRunPipelineOperator, pipeline=pipeline.id, on_retry="resume", retries=2, timeout=60.0)
    failed(task.run(), errors.ExecutionFailed)
    fault = stage.emulator.faults.add(Fault("drop_before", method="PATCH"))
    strangers: list[str] = []
    current().when(
        lambda: bool(fault.hits), lambda: strangers.append(str(stage.buddy.add_execution(pipeline, "INPROGRESS", started_by="Ann").ref))
    )
    failed(task.run(), errors.StartUnknown, f"Check whether execution {stage.system.refs[0]} runs again.")
    assert [stage.status(stranger) for stranger in strangers] == ["INPROGRESS"]
    assert stage.sent == []


def test_a_lost_retry_is_not_taken_for_somebody_elses_execution(stage: Stage) -> None:
    """A newer execution that was there before the request is none of ours: it is neither followed nor cancelled."""
    ref = stage.start(FLAKY, SLOW, wait=0.3)
    others = str(stage.buddy.add_execution(stage.buddy.pipelines[0], "INPROGRESS", started_by="Ann").ref)
    stage.emulator.faults.add(Fault("status", status=502, method="PATCH"))
    ended = stage.task(BuddyRetryExecutionOperator, ref=ref, timeout=1.0).run()
    failed(ended, errors.ExecutionDeadlineExceeded)
    assert ended.xcoms["ref"] == ref
    assert stage.status(others) == "INPROGRESS"


@pytest.mark.parametrize("keeps_id", [True, False])
def test_on_retry_resume_follows_a_retry_whose_answer_was_lost(stage: Stage, keeps_id: bool) -> None:
    stage.buddy.retry_keeps_id = keeps_id
    pipeline = stage.buddy.add_pipeline(Pipeline("release", actions=[FLAKY, DEPLOY]))
    task = stage.task(BuddyRunPipelineOperator, pipeline=pipeline.id, on_retry="resume", retries=2)
    failed(task.run(), errors.ExecutionFailed)
    stage.emulator.faults.add(Fault("drop_after", method="PATCH"))
    ended = task.run()
    assert ended.state == "success", ended.text
    assert stage.emulator.ledger.count(method="PATCH", path_re=r"/executions/\d+$") == 1
    assert stage.system.starts == 1


@pytest.mark.parametrize("keeps_id", [True, False])
@pytest.mark.parametrize("took_effect", [True, False])
def test_a_crash_between_the_retry_and_its_note(stage: Stage, keeps_id: bool, took_effect: bool) -> None:
    """The worker dies right after the request: the next try finds what runs again, or asks once more."""
    stage.buddy.retry_keeps_id = keeps_id
    ref = stage.start(FLAKY, DEPLOY, wait=0.3, comment=MARKED)
    task = stage.task(BuddyRetryExecutionOperator, ref=ref, retries=1)
    stage.emulator.faults.add(Fault("drop_after" if took_effect else "drop_before", method="PATCH"))
    stage.emulator.faults.add(Fault("drop_before", method="GET", after=2, times=60))
    failed(task.run(), errors.StartUnknown, f"Check execution {ref}.")
    stage.emulator.faults.clear()
    assert task.run().state == "success"
    assert len([entry for entry in stage.emulator.ledger.entries if entry.method == "PATCH" and entry.fault != "drop_before"]) == 1


def test_each_try_retries_the_newest(stage: Stage) -> None:
    stage.buddy.retry_keeps_id = False
    ref = stage.start(Action("Build", seconds=0.1, status=["FAILED", "FAILED", "SUCCESSFUL"]), wait=0.2, comment=MARKED)
    task = stage.task(BuddyRetryExecutionOperator, ref=ref, retries=1)
    failed(task.run(), errors.ExecutionFailed)
    stage.emulator.faults.add(Fault("drop_after", method="PATCH"))
    assert task.run().result["ref"] == stage.system.refs[2]
    paths = [entry.path.rpartition("/")[2] for entry in stage.emulator.ledger.entries if entry.method == "PATCH"]
    assert paths == ["1", "2"]


def test_a_retry_that_never_arrived_is_sent_again(stage: Stage) -> None:
    ref = stage.start(FLAKY, wait=0.3)
    stage.emulator.faults.add(Fault("drop_before", method="PATCH"))
    assert stage.task(BuddyRetryExecutionOperator, ref=ref).run().state == "success"


def test_the_next_try_goes_on_with_what_runs_again(stage: Stage) -> None:
    ref = stage.start(Action("Build", seconds=1_200, status=["FAILED", "SUCCESSFUL"]), wait=1_201)
    task = stage.task(BuddyRetryExecutionOperator, ref=ref, retries=1, poll_interval=60)
    fault = stage.emulator.faults.add(Fault("html", method="GET", path=r"/executions/\d+$", after=1, times=None))
    failed(task.run(), errors.ExecutionUnreachable)
    fault.times = fault.hits + fault.after
    assert task.run().state == "success"
    assert [body["operation"] for body in stage.sent] == ["RETRY"]


def test_a_failed_retry_is_retried_by_airflows_retry(stage: Stage) -> None:
    ref = stage.start(Action("Build", seconds=0.1, status=["FAILED", "FAILED", "SUCCESSFUL"]), wait=0.2)
    task = stage.task(BuddyRetryExecutionOperator, ref=ref, retries=1)
    failed(task.run(), errors.ExecutionFailed)
    assert task.run().state == "success"
    assert [body["operation"] for body in stage.sent] == ["RETRY", "RETRY"]


def test_what_runs_again_is_this_tasks_own(stage: Stage) -> None:
    """It is cancelled when it takes too long."""
    ref = stage.start(Action("Build", seconds=0.1, status=["FAILED", "SUCCESSFUL"]), SLOW, wait=0.2)
    failed(stage.task(BuddyRetryExecutionOperator, ref=ref, timeout=0.6).run(), errors.ExecutionDeadlineExceeded, "It was cancelled")
    assert stage.status(ref) == "TERMINATED"


@pytest.mark.parametrize("keeps_id", [True, False])
def test_a_clear_cancels_what_runs_again_and_runs_it_again_once(stage: Stage, keeps_id: bool) -> None:
    stage.buddy.retry_keeps_id = keeps_id
    ref = stage.start(Action("Build", seconds=0.1, status=["FAILED", "SUCCESSFUL"]), SLOW, wait=0.2)
    task = stage.task(BuddyRetryExecutionOperator, ref=ref, retries=1)
    crash_at(task, "POST", "/xcoms/", before=True)
    crashed_try(task)
    live = stage.system.refs[-1]
    assert stage.status(live) == "INPROGRESS"
    task.clear()
    current().later(1.0, lambda: stage.buddy.finish(stage.system.refs[-1]))
    ended = task.run()
    assert ended.state == "success", ended.text
    assert [body["operation"] for body in stage.sent] == ["RETRY", "CANCEL", "RETRY"]
    assert len(stage.system.refs) == (1 if keeps_id else 3)
    assert ended.result["ref"] == stage.system.refs[-1]
    assert stage.status(live) == ("SUCCESSFUL" if keeps_id else "TERMINATED")


# Cancel


@pytest.mark.parametrize("seconds", [0.0, 0.5])
def test_cancel(stage: Stage, seconds: float) -> None:
    stage.buddy.cancel_seconds = seconds
    ref = stage.start(SLOW, wait=0.1)
    ended = stage.task(BuddyCancelExecutionOperator, ref=ref).run()
    assert ended.state == "success", ended.text
    assert (ended.result["phase"], ended.result["status"]) == ("CANCELLED", "TERMINATED")
    assert [body["operation"] for body in stage.sent] == ["CANCEL"]


def test_cancel_without_waiting(stage: Stage) -> None:
    stage.buddy.cancel_seconds = 600
    ref = stage.start(SLOW, wait=0.1)
    ended = stage.task(BuddyCancelExecutionOperator, ref=ref, wait_for_completion=False).run()
    assert (ended.state, ended.result["phase"]) == ("success", "STOPPING")


@pytest.mark.parametrize("status", ["SUCCESSFUL", "FAILED", "TERMINATED", "SKIPPED"])
def test_cancelling_what_has_ended(stage: Stage, status: str) -> None:
    ref = stage.start(DEPLOY, status=status)
    ended = stage.task(BuddyCancelExecutionOperator, ref=ref).run()
    assert (ended.state, ended.result["status"]) == ("success", status)
    assert stage.sent == []


def test_cancelling_what_is_being_stopped(stage: Stage) -> None:
    stage.buddy.cancel_seconds = 0.5
    ref = stage.start(SLOW, wait=0.1)
    stage.buddy.cancel(ref, by="Mike")
    assert stage.task(BuddyCancelExecutionOperator, ref=ref).run().result["status"] == "TERMINATED"
    assert stage.sent == []


@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
def test_a_cancel_without_answer_is_looked_up_and_sent_once_more_if_it_had_no_effect(stage: Stage, kind: str) -> None:
    ref = stage.start(SLOW, wait=0.1)
    stage.system.fault(kind, "cancel", times=MAX_ATTEMPTS)
    ended = stage.task(BuddyCancelExecutionOperator, ref=ref, poll_interval=10.0, timeout=300.0).run()
    assert (ended.state, ended.result["status"]) == ("success", "TERMINATED"), ended.text
    assert ("Sending it once more" in ended.text) is (kind == "drop_before")


def test_cancelling_declines_an_approval(stage: Stage) -> None:
    ref = stage.start(Gate("Approve"), DEPLOY)
    assert stage.task(BuddyCancelExecutionOperator, ref=ref).run().result["status"] == "TERMINATED"


def test_a_cancel_that_takes_too_long_is_said(stage: Stage) -> None:
    stage.buddy.cancel_seconds = 600
    ref = stage.start(SLOW, wait=0.1)
    task = stage.task(BuddyCancelExecutionOperator, ref=ref, timeout=0.4, retries=1)
    failed(task.run(), errors.ExecutionDeadlineExceeded, "was still TERMINATING", "It was left alone")
    stage.buddy.finish(ref, "TERMINATED")
    assert task.run().state == "success"


def test_cancelling_what_is_not_there(stage: Stage) -> None:
    stage.start(SLOW)
    failed(stage.task(BuddyCancelExecutionOperator, ref="demo/shop/1/99").run(), errors.NotFound, "demo/shop/1/99")
    failed(stage.task(BuddyCancelExecutionOperator, ref="99").run(), errors.ConfigurationError, "is not the ref of a Buddy execution")


# Approve


@pytest.mark.parametrize("gate_in", ["execution", "action"])
@pytest.mark.parametrize(
    ("gate", "arguments", "operation"),
    [
        (Gate("Approve"), {}, "APPLY"),
        (Gate("Approve"), {"operation": "APPLY"}, "APPLY"),
        (Gate("Ask", "WAIT_FOR_VARIABLES", variables=[ASKED]), {"variables": {"VERSION": "2.0"}}, "APPLY_VARIABLES"),
        (Gate("Set", "SET_VARIABLES", variables=[ASKED]), {"secret_variables": {"VERSION": "2.0"}}, "SET_VARIABLES"),
        (Gate("Look", "APPROVE_VT"), {}, "APPROVE_VT"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_approve(stage: Stage, gate: Gate, arguments: dict[str, Any], operation: str, gate_in: str) -> None:
    stage.buddy.gate_in = gate_in
    ref = stage.start(gate, DEPLOY)
    ended = stage.task(BuddyApproveExecutionOperator, ref=ref, push_outputs=["URL"], **arguments).run()
    assert ended.state == "success", ended.text
    assert ended.xcoms["URL"] == "https://shop.example"
    assert ended.result["actor"]["approved_by"] == "Airflow"
    [body] = stage.sent
    assert body["operation"] == operation
    assert body["approve_action_id"] == ended.result["steps"][0]["id"]
    given = arguments.get("variables") or arguments.get("secret_variables")
    assert {item["key"]: item["value"] for item in body.get("variables", [])} == (given or {})
    assert all(item.get("encrypted") for item in body.get("variables", [])) == ("variables" not in arguments)


def test_a_delayed_execution_runs_now(stage: Stage) -> None:
    pipeline = stage.buddy.add_pipeline(Pipeline("release", actions=[DEPLOY]))
    number = pipeline.id
    assert number is not None
    run = lambda: BuddyRunPipelineOperator(  # noqa: E731
        task_id="task", pipeline=number, delay_until="2099-01-01T00:00:00Z", wait_for_completion=False
    )
    ref = TaskRun(run, stage.system.connections).run().result["ref"]
    ended = stage.task(BuddyApproveExecutionOperator, ref=ref, operation="RUN_DELAYED").run()
    assert ended.state == "success", ended.text
    assert stage.sent == [{"operation": "RUN_DELAYED"}]


@pytest.mark.parametrize("by", ["name", "action id", "action execution id"])
def test_several_gates_wait(stage: Stage, by: str) -> None:
    ref = stage.start(Gate("Legal", run_next="IN_HARD_PARALLEL"), Gate("Security", run_next="IN_HARD_PARALLEL"), DEPLOY)
    steps = stage.buddy.find(ref).action_executions
    text = failed(
        stage.task(BuddyApproveExecutionOperator, ref=ref).run(), errors.ConfigurationError, "several gates wait", "approve_action_id"
    )
    assert all(f"{step.action.name!r} ({step.id})" in text for step in steps[:2])
    which = {"name": "Security", "action id": steps[1].action.id, "action execution id": steps[1].id}[by]
    ended = stage.task(BuddyApproveExecutionOperator, ref=ref, approve_action_id=which, wait_for_completion=False).run()
    assert ended.state == "success", ended.text
    assert [step.status for step in stage.buddy.find(ref).action_executions[:2]] == ["WAITING_FOR_APPLY", "SUCCESSFUL"]
    failed(
        stage.task(BuddyApproveExecutionOperator, ref=ref, approve_action_id=which).run(),
        errors.ConfigurationError, "no such gate waits", "'Legal'",
    )  # fmt: skip


@pytest.mark.parametrize(
    "gate", [Gate("Approve", prevent_self_approval=True), Gate("Approve", approvers=["Ann"])], ids=["self approval", "approvers"]
)
def test_a_refused_approval_is_explained(stage: Stage, gate: Gate) -> None:
    ref = stage.start(gate, DEPLOY, by="Airflow")
    ended = stage.task(BuddyApproveExecutionOperator, ref=ref, retries=2).run()
    failed(ended, errors.Forbidden, "prevent_self_approval", "connection of a user who may")
    assert ended.state == "failed"
    assert stage.status(ref) == "WAITING_FOR_APPLY"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"operation": "TERMINATE"}, "operation must be one of 'APPLY'"),
        ({"operation": "APPLY_VARIABLES"}, "APPLY_VARIABLES needs variables"),
        ({"variables": {"A": []}}, "variable A must be a string"),
        ({"variables": {"A": 1}, "secret_variables": {"A": 2}}, "A given both"),
        ({"approve_action_id": "Nobody"}, "no such gate waits"),
        ({"ref": "x"}, "is not the ref"),
    ],
    ids=str,
)
def test_wrong_arguments(stage: Stage, arguments: dict[str, Any], says: str) -> None:
    ref = stage.start(Gate("Approve"), DEPLOY)
    failed(stage.task(BuddyApproveExecutionOperator, **{"ref": ref, **arguments}).run(), errors.ConfigurationError, says)
    assert stage.sent == []


@pytest.mark.parametrize("status", ["INPROGRESS", "SUCCESSFUL", "FAILED"])
def test_nothing_waits(stage: Stage, status: str) -> None:
    ref = stage.start(SLOW, status=status)
    failed(stage.task(BuddyApproveExecutionOperator, ref=ref).run(), errors.ConfigurationError, status, "no such gate waits", "http")
    assert stage.sent == []


@pytest.mark.parametrize("operator", [BuddyApproveExecutionOperator, BuddyRetryExecutionOperator])
def test_a_worker_that_was_superseded_never_stops_what_it_did_not_start(stage: Stage, operator: Any) -> None:
    """Its note is refused after the request, and the newer attempt notes something else: the execution is somebody's all the same."""
    ref = stage.start(Gate("Approve"), DEPLOY) if operator is BuddyApproveExecutionOperator else stage.start(DEPLOY, status="FAILED")
    task = stage.task(operator, ref=ref)
    answer = type(task.api).__call__

    class TakenOver(type(task.api)):  # type: ignore[misc]
        def __call__(self, request: Any) -> Any:
            if request.method == "PUT" and NOTES in request.url.path and stage.sent:
                self.refuse_store = True
                self.store["execution"] = {**self.store["execution"], "ref": None, "marker": "something else", "try_number": 2}
            return answer(self, request)

    task.api.__class__ = TakenOver
    ended = task.run()
    assert ended.state != "success"
    assert len(stage.sent) == 1, "no cancel is sent"
    assert "is left to the newer attempt" in ended.text


def test_an_approval_whose_answer_is_lost_is_not_sent_again(stage: Stage) -> None:
    ref = stage.start(Gate("Approve"), DEPLOY)
    stage.emulator.faults.add(Fault("drop_after", method="PATCH"))
    assert stage.task(BuddyApproveExecutionOperator, ref=ref).run().state == "success"
    assert stage.emulator.ledger.count(method="PATCH", path_re=r"/executions/\d+$") == 1


@pytest.mark.parametrize("kind", ["drop_after", "drop_before"])
def test_a_gate_that_only_the_execution_shows(emulator: Emulator, kind: str) -> None:
    """Whether the lost request took effect shows in the execution's own status."""
    stage = Stage(emulator)
    ref = stage.start(Gate("Approve"), DEPLOY)
    body = {"id": 1, "status": "WAITING_FOR_APPLY", "action_executions": []}
    emulator.faults.add(Fault("body", method="GET", path=r"/executions/1$", body=body, times=1 if kind == "drop_after" else 2))
    emulator.faults.add(Fault(kind, method="PATCH"))
    assert stage.task(BuddyApproveExecutionOperator, ref=ref).run().state == "success"
    assert stage.emulator.ledger.count(method="PATCH", path_re=r"/executions/\d+$") == (1 if kind == "drop_after" else 2)


def test_the_execution_failed_behind_the_gate(stage: Stage) -> None:
    """The next try says so again: there is nothing more to approve."""
    ref = stage.start(Gate("Approve"), Action("Deploy", seconds=0.1, status="FAILED", error_message="exit code 1"))
    task = stage.task(BuddyApproveExecutionOperator, ref=ref, retries=1)
    failed(task.run(), errors.ExecutionFailed, "exit code 1")
    failed(task.run(), errors.ExecutionFailed, "exit code 1")
    assert len(stage.sent) == 1


def test_somebody_was_quicker(stage: Stage) -> None:
    ref = stage.start(Gate("Approve"), SLOW)
    task = stage.task(BuddyApproveExecutionOperator, ref=ref)
    stage.emulator.faults.add(Fault("status", status=400, method="PATCH", body={"errors": [{"message": "nothing to approve"}]}))
    failed(task.run(), errors.StatusError, "nothing to approve", "somebody may have approved it already")


def test_the_next_try_goes_on_behind_the_gate(stage: Stage) -> None:
    ref = stage.start(Gate("Approve"), Action("Deploy", seconds=1_200))
    task = stage.task(BuddyApproveExecutionOperator, ref=ref, retries=1, poll_interval=60)
    fault = stage.emulator.faults.add(Fault("html", method="GET", path=r"/executions/\d+$", after=1, times=None))
    failed(task.run(), errors.ExecutionUnreachable)
    fault.times = fault.hits + fault.after
    assert task.run().state == "success"
    assert len(stage.sent) == 1


def test_an_execution_that_is_not_its_own_is_left_alone(stage: Stage) -> None:
    ref = stage.start(Gate("Approve"), SLOW)
    failed(stage.task(BuddyApproveExecutionOperator, ref=ref, timeout=0.5).run(), errors.ExecutionDeadlineExceeded, "It was left alone.")
    assert stage.status(ref) == "INPROGRESS"
    assert stage.system.cancels == 0


def test_a_killed_approval_cancels_nothing(emulator: Emulator) -> None:
    stage = Stage(emulator)
    ref = stage.start(Gate("Approve"), SLOW)
    task = stage.task(BuddyApproveExecutionOperator, ref=ref)
    with task.terminated(lambda: len(stage.sent) == 1, "failed"):
        failed(task.run(), errors.ExecutionInterrupted)
    assert stage.system.cancels == 0


# Up to the gate and behind it


def test_a_release_in_two_tasks(stage: Stage) -> None:
    """The first ends when it is a person's turn, the second goes on when the person has decided."""
    pipeline = stage.buddy.add_pipeline(Pipeline("release", actions=[Gate("Approve"), DEPLOY]))
    ended = stage.task(BuddyRunPipelineOperator, pipeline=pipeline.id, on_waiting="succeed").run()
    assert (ended.state, ended.result["phase"]) == ("success", "WAITING")
    assert stage.system.cancels == 0
    ended = stage.task(BuddyApproveExecutionOperator, ref=ended.result["ref"], push_outputs=["URL"]).run()
    assert ended.xcoms["URL"] == "https://shop.example"
    assert stage.system.starts == 1


def test_a_person_approves_in_buddy(stage: Stage) -> None:
    pipeline = stage.buddy.add_pipeline(Pipeline("release", actions=[Gate("Approve"), DEPLOY]))
    current().later(0.6, lambda: stage.buddy.approve(stage.system.refs[0], by="Ann"))
    ended = stage.task(BuddyRunPipelineOperator, pipeline=pipeline.id).run()
    assert ended.state == "success"
    assert ended.result["actor"]["approved_by"] == "Ann"


def test_only_some_actions_by_name(stage: Stage) -> None:
    pipeline = stage.buddy.add_pipeline(Pipeline("release", actions=[DEPLOY, Action("Build", seconds=0.1), Action("Test", seconds=0.1)]))
    ended = stage.task(BuddyRunPipelineOperator, pipeline=pipeline.id, actions_to_run=["Build", 3]).run()
    assert [step["name"] for step in ended.result["steps"] if step["phase"] == "SUCCEEDED"] == ["Build", "Test"]
