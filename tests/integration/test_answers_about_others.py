"""Answers about an execution that was not asked for, or whose id is no id: nothing is done to a stranger's execution."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.buddy.operators import BuddyApproveExecutionOperator, BuddyRetryExecutionOperator, BuddyRunPipelineOperator
from airflow_provider.emulator import Emulator, Fault, tracecat
from airflow_provider.emulator.buddy import Action, Gate, Pipeline
from tests.harness import TaskRun
from tests.integration.conftest import ALL_MODES, Bench
from tests.integration.systems import SYSTEMS, Adapter, BuddySystem
from tests.virtual_clock import VirtualClock, current

NO_ID = [True, 1.0, " 1", "1_0", "1 ", "+1", "\u0661", 0, -1, [1]]
"""What Python, or pydantic, would read as a number."""
OTHER = {
    "buddy": 4711,
    "tracecat": "wf_4wrqLFlgCnQQ8Jx3ZfLBXJ/exec_4wrqLFlgCnQQ8Jx3ZfLBXJ",
    "alga_psa": "0c5f1e9a-0000-4000-8000-000000000000",
}
"""An id of each system, which nothing has."""
MARKED = "nightly [airflow-00112233445566778899]"


class Scene:
    """A pipeline of Buddy, one execution of which is a stranger's."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator, self.buddy, self.system = emulator, emulator.buddy, BuddySystem(emulator)
        self.pipeline = self.buddy.add_pipeline(Pipeline("release", id=89, actions=[Action("Build", seconds=100)]))
        self.stranger = str(self.buddy.add_execution(self.pipeline, comment="by hand", started_by="Mike").ref)

    def task(self, operator: Any = BuddyRunPipelineOperator, **arguments: Any) -> TaskRun:
        return TaskRun(lambda: operator(task_id="task", **{"poll_interval": 0.25, **arguments}), self.system.connections, retries=0)

    def answers(self, method: str, path: str, times: int | None = 1, **changes: Any) -> None:
        self.emulator.faults.add(Fault("altered", method=method, path=path, changes=changes, times=times))

    @property
    def starts(self) -> int:
        return self.emulator.ledger.count(method="POST", path_re="executions$")

    def left_alone(self, ref: str) -> bool:
        return self.system.status(ref) == "INPROGRESS" and not self.emulator.ledger.count(method="PATCH", path_re=ref.replace("/", ".*"))


@pytest.fixture
def scene(emulator: Emulator) -> Scene:
    return Scene(emulator)


@pytest.mark.parametrize("value", NO_ID, ids=repr)
def test_a_start_answered_with_what_is_no_id_is_found_by_its_marker(scene: Scene, value: object) -> None:
    """True is no execution 1, which is somebody's."""
    scene.answers("POST", "executions$", id=value)
    ended = scene.task(pipeline=scene.pipeline.id, timeout=30).run()
    assert type(ended.error) is errors.ExecutionDeadlineExceeded, ended.text
    assert scene.starts == 1
    assert ended.xcoms["ref"] != scene.stranger
    assert scene.system.status(ended.xcoms["ref"]) == "TERMINATED"
    assert scene.left_alone(scene.stranger)


@pytest.mark.parametrize("value", NO_ID, ids=repr)
def test_an_identifier_answered_with_what_is_no_id_is_looked_up_in_the_list(scene: Scene, value: object) -> None:
    other = scene.buddy.add_pipeline(Pipeline("other", id=1, actions=[Action("Build")]))
    scene.answers("GET", "/identifiers", pipeline_id=value)
    ended = scene.task(pipeline="release", wait_for_completion=False).run()
    assert ended.state == "success", ended.text
    assert f"/{scene.pipeline.id}/" in ended.xcoms["ref"]
    assert f"/{other.id}/" not in ended.xcoms["ref"]


@pytest.mark.parametrize("lists", [True, False], ids=["list with comments", "list without"])
def test_a_start_answered_with_a_strangers_execution_is_found_by_its_marker(scene: Scene, lists: bool) -> None:
    scene.buddy.list_has_comment = lists
    scene.answers("POST", "executions$", id=int(scene.stranger.rpartition("/")[2]), comment="by hand")
    ended = scene.task(pipeline=scene.pipeline.id, timeout=30).run()
    assert type(ended.error) is errors.ExecutionDeadlineExceeded, ended.text
    assert "whose comment is not ours" in ended.text
    assert scene.starts == 1
    assert scene.system.status(ended.xcoms["ref"]) == "TERMINATED"
    assert scene.left_alone(scene.stranger)


def test_a_start_answered_with_a_strangers_execution_that_is_not_found_is_unknown(scene: Scene) -> None:
    """It is not sent again either: the answer may be that of a cache, or the comment was replaced."""
    scene.answers("POST", "executions$", id=int(scene.stranger.rpartition("/")[2]), comment="by hand")
    scene.buddy.list_lag = 3_600.0
    ended = scene.task(pipeline=scene.pipeline.id).run()
    assert type(ended.error) is errors.StartUnknown, ended.text
    assert "ref" not in ended.xcoms
    assert scene.starts == 1
    assert scene.left_alone(scene.stranger)


@pytest.mark.parametrize("comment", [None, "", "[air", "[airflow-"])
def test_a_start_answered_without_its_whole_comment_is_followed(scene: Scene, comment: str | None) -> None:
    scene.answers("POST", "executions$", comment=comment)
    ended = scene.task(pipeline=scene.pipeline.id, wait_for_completion=False).run()
    assert ended.state == "success", ended.text
    assert ended.xcoms["ref"] == scene.system.refs[-1]
    assert "Checking whether" not in ended.text


def test_a_rule_answered_with_a_strangers_data_is_found_by_its_marker(emulator: Emulator) -> None:
    system = SYSTEMS["alga_psa"](emulator)
    script = system.script("succeeded")
    stranger = system.start_elsewhere(script)
    changes = {"data.execution_id": stranger, "data.trigger_data": {"note": "by hand"}}
    system.fault("altered", "start", changes=changes)
    ended = TaskRun(lambda: system.operator(script), system.connections).run()
    assert ended.state == "success", ended.text
    assert "whose data are not ours" in ended.text
    assert ended.xcoms["ref"] == system.refs[-1] != stranger
    assert system.starts == 1


@pytest.mark.parametrize("which", ["of another one", "that was there before"])
def test_a_workflow_answered_with_a_strangers_execution_is_found_by_its_marker(emulator: Emulator, which: str) -> None:
    system = SYSTEMS["tracecat"](emulator)
    script = system.script("succeeded")
    other = emulator.tracecat.add_workflow(tracecat.Workflow("Other", "other", [tracecat.Action("look")]))
    stranger = system.start_elsewhere(other if which == "of another one" else script)
    current().advance(1.0)
    system.fault("altered", "start", changes={"wf_exec_id": stranger})
    ended = TaskRun(lambda: system.operator(script), system.connections).run()
    assert ended.state == "success", ended.text
    assert which in ended.text
    assert ended.xcoms["ref"] == system.refs[-1] != stranger
    assert system.starts == 1


@pytest.mark.parametrize("mode", ALL_MODES)
@pytest.mark.parametrize("name", OTHER)
def test_an_answer_about_another_execution_is_no_end(emulator: Emulator, name: str, mode: str) -> None:
    """Whatever it says of its status. It is asked for again."""
    system = SYSTEMS[name](emulator)
    bench = Bench(system, mode)
    changes = {system.fields["id"]: OTHER[name], system.fields["status"]: system.statuses["FAILED"]}
    system.fault("altered", "read", changes=changes, times=3)
    ended = bench.task("succeeded", **bench.every(0.25)).run()
    assert ended.state == "success", ended.text
    assert ended.result["status"] == system.statuses["SUCCEEDED"]


@pytest.mark.parametrize("name", OTHER)
def test_answers_about_another_execution_are_broken_ones(emulator: Emulator, name: str) -> None:
    """As long as they come, the wait goes on; then it says why."""
    system: Adapter = SYSTEMS[name](emulator)
    bench = Bench(system, "operator")
    system.fault("altered", None, method="GET", changes={system.fields["id"]: OTHER[name]}, path=system.routes["read"]["path"], times=None)
    if name == "tracecat":  # the whole history is read instead
        system.fault("altered", None, method="GET", changes={"id": OTHER[name]}, path=r"workflow-executions/[^/]+$", times=None)
    ended = bench.task("slow", poll_interval=60.0).run()
    assert type(ended.error) is errors.ExecutionUnreachable, ended.text
    assert f"answered about '{OTHER[name]}'" in str(ended.error)
    assert system.cancels == 0


def test_an_approval_answered_with_another_execution_is_looked_up(scene: Scene) -> None:
    gated = scene.buddy.add_pipeline(Pipeline("gated", actions=[Gate("Approve"), Action("Deploy")]))
    ref = str(scene.buddy.add_execution(gated).ref)
    scene.answers("PATCH", r"executions/\d+$", id=4711)
    ended = scene.task(BuddyApproveExecutionOperator, ref=ref).run()
    assert ended.state == "success", ended.text
    assert ended.xcoms["ref"] == ref


@pytest.mark.parametrize("keeps_id", [True, False], ids=["same id", "new id"])
@pytest.mark.parametrize("other", [1, 4711], ids=["older", "newer"])
def test_a_retry_answered_with_a_strangers_execution_is_looked_up(scene: Scene, keeps_id: bool, other: int) -> None:
    scene.buddy.retry_keeps_id = keeps_id
    flaky = scene.buddy.add_pipeline(Pipeline("flaky", actions=[Action("Build", seconds=0.2, status=["FAILED", "SUCCESSFUL"])]))
    scene.buddy.add_execution(flaky, "SUCCESSFUL")
    failed = str(scene.buddy.add_execution(flaky, comment=MARKED).ref)
    current().advance(10.0)
    scene.answers("PATCH", r"executions/\d+$", id=other, comment="by hand")
    ended = scene.task(BuddyRetryExecutionOperator, ref=failed).run()
    assert ended.state == "success", ended.text
    assert ended.xcoms["ref"] == scene.system.refs[-1]
    assert scene.emulator.ledger.count(method="PATCH", status=200) == 1


@pytest.mark.parametrize("kept", [255, 64, 300])
def test_a_lost_start_whose_comment_was_cut_is_not_sent_again(emulator: Emulator, clock: VirtualClock, kept: int) -> None:
    """The marker stands at its end."""
    buddy = BuddySystem(emulator)
    script = buddy.script("slow")
    lost = buddy.fault("drop_after", "start")

    def cut() -> None:
        for execution in emulator.buddy.executions:
            object.__setattr__(execution.request, "comment", (execution.comment or "")[:kept])

    clock.when(lambda: lost.hits, cut)
    ended = TaskRun(lambda: buddy.operator(script, comment="Release notes: " + "x" * 300, timeout=30), buddy.connections).run()
    assert type(ended.error) is errors.StartUnknown, ended.text
    assert buddy.starts == 1


def test_anothers_comment_that_is_the_beginning_of_ours_does_no_harm(emulator: Emulator) -> None:
    buddy = BuddySystem(emulator)
    script = buddy.script("slow")
    buddy.fault("drop_before", "start")
    buddy.start_elsewhere(script)
    object.__setattr__(emulator.buddy.executions[-1].request, "comment", "nightly")
    ended = TaskRun(lambda: buddy.operator(script, comment="nightly build", timeout=30), buddy.connections).run()
    assert type(ended.error) is errors.ExecutionDeadlineExceeded, ended.text
    assert buddy.starts == 2  # the first did not arrive
