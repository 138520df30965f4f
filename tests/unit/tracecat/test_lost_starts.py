"""A start whose answer is lost, while somebody with the same credential starts the same workflow with the same inputs."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.emulator import Fault
from airflow_provider.emulator.tracecat import Action, Workflow
from airflow_provider.emulator.tracecat.access import Caller, caller_of_user
from airflow_provider.emulator.tracecat.execution import Execution
from airflow_provider.emulator.tracecat.times import microseconds_of
from airflow_provider.tracecat.executions.lost_starts import Mark, anchor_of
from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator
from tests.harness import NOTES, TaskRun
from tests.integration.test_start_once import crash_at, crashed_try
from tests.unit.tracecat.conftest import Live

START = r"/workflow-executions$"
LOGICAL = datetime(2026, 1, 1, tzinfo=timezone.utc)
INPUTS = {"n": 1}
WEEK = 604_800.0

MODES = pytest.mark.parametrize("deferrable", [False, True])
AUTHS = pytest.mark.parametrize("auth", ["key", "login"])
ORDERS = pytest.mark.parametrize("order", ["before ours", "behind ours"])
ANCHORS = pytest.mark.parametrize("anchor", [None, LOGICAL], ids=["now", "logical date"])
OTHERS = pytest.mark.parametrize("other", ["a task of ours", "by hand"])
LAGS = pytest.mark.parametrize("lags", [(0.0, 0.0), (1.0, 0.0), (8.0, 0.0), (0.0, 20.0)], ids=["none", "1 s", "8 s", "theirs"])


class Race:
    """
    Two starts at the same moment, of which ours gets no answer.

    :param order: whose comes first, by two milliseconds.
    :param lags: seconds until lists show our execution, and theirs.
    :param arrives: whether ours takes effect.
    :param other: whose the other one is: another task's, with an anchor of its own, or somebody's without any.
    :param workflow: default: one with one action.
    """

    def __init__(
        self, live: Live, *, order: str = "before ours", lags: tuple[float, float] = (0.0, 0.0), arrives: bool = True,
        other: str = "a task of ours", auth: str = "key", workflow: Workflow | None = None,
    ) -> None:  # fmt: skip
        self.live, self.order, self.other, self.auth = live, order, other, auth
        self.workflow = workflow or live.workflow()
        self.theirs: Execution | None = None
        self._lag = lags[1]
        live.tracecat.list_lags = [lags[0]]
        fault = Fault("drop_after" if arrives else "drop_before", method="POST", path=START)
        self.lost = live.emulator.faults.add(fault)
        live.clock.when(lambda: self.lost.hits, self.start_theirs)

    def start_theirs(self) -> None:
        tracecat, key, now = self.live.tracecat, self.live.tracecat.key, self.live.clock.now()
        service = Caller("service_account", tuple(key.scopes), key.id, key.workspace)
        given = microseconds_of(anchor_of("airflow-theirs", datetime.fromtimestamp(now, timezone.utc)))
        tracecat.list_lags = [self._lag]
        self.theirs = tracecat.start(
            self.workflow,
            dict(INPUTS),
            service if self.auth == "key" else caller_of_user(tracecat.user),
            at=now + (0.002 if self.order == "behind ours" else -0.002),
            acknowledged=True,
            time_anchor=given if self.other == "a task of ours" else None,
        )
        tracecat.list_lags = []

    def task(self, **arguments: Any) -> TaskRun:
        return self.live.task(TracecatRunWorkflowOperator, workflow=self.workflow.alias, inputs=dict(INPUTS), auth=self.auth, **arguments)

    @property
    def ours(self) -> list[Execution]:
        return [one for one in self.live.tracecat.executions if one is not self.theirs]

    def check_theirs(self) -> None:
        """It was neither taken nor touched."""
        assert self.theirs is not None
        assert not self.theirs.run.acts
        assert not self.live.sent("POST", f"{self.theirs.id.rpartition('/')[2]}/cancel")


@MODES
@AUTHS
@ORDERS
@ANCHORS
@OTHERS
@LAGS
@pytest.mark.parametrize("arrives", [True, False])
def test_of_two_starts_at_the_same_moment_ours_is_taken(
    live: Live, order: str, lags: tuple[float, float], arrives: bool, other: str, anchor: datetime | None, auth: str, deferrable: bool
) -> None:
    race = Race(live, order=order, lags=lags, arrives=arrives, other=other, auth=auth)
    ended = race.task(time_anchor=anchor, deferrable=deferrable).run()
    race.check_theirs()
    assert ended.state == "success", ended.text
    assert [one.ref for one in race.ours] == [ended.result["ref"]]
    assert len(live.starts) == (1 if arrives else 2)
    [sent] = {start["time_anchor"] for start in live.starts}
    moment = datetime.fromisoformat(sent)
    assert moment.replace(microsecond=0) == (anchor or LOGICAL.replace(second=moment.second, minute=moment.minute, hour=moment.hour))


@AUTHS
@ORDERS
@ANCHORS
@OTHERS
@LAGS
def test_a_kill_cancels_ours_or_says_that_it_could_not(
    live: Live, order: str, lags: tuple[float, float], other: str, anchor: datetime | None, auth: str
) -> None:
    race = Race(live, order=order, lags=lags, other=other, auth=auth)
    task = race.task(time_anchor=anchor)
    with task.terminated(lambda: race.theirs is not None, "failed"):
        ended = task.run()
    race.check_theirs()
    [ours] = race.ours
    cancelled = bool(ours.run.acts)
    assert cancelled == (anchor is None and lags[0] < 2.0)  # what lists don't show, or what may be another's, is not cancelled
    if not cancelled:
        assert "no execution of it was found. One may have been started" in ended.text
        [start] = live.starts
        assert f"have the time_anchor {start['time_anchor']}" in ended.text


@AUTHS
@ORDERS
@ANCHORS
@OTHERS
@pytest.mark.parametrize("passed", [1.0, 60.0, 3_000.0])
def test_a_retry_behind_a_crash_takes_ours(live: Live, order: str, other: str, anchor: datetime | None, auth: str, passed: float) -> None:
    race = Race(live, order=order, other=other, auth=auth)
    race.lost.times = 0
    task = race.task(time_anchor=anchor)
    crash_at(task, "PUT", NOTES, before=True)  # its start was answered, but that is noted nowhere
    crashed_try(task)
    race.start_theirs()
    live.clock.advance(passed)
    ended = task.run()
    race.check_theirs()
    assert ended.state == "success", ended.text
    assert [one.ref for one in race.ours] == [ended.result["ref"]]
    assert len(live.starts) == 1


@ORDERS
@OTHERS
@pytest.mark.parametrize("openapi", [True, False])
@pytest.mark.parametrize("arrives", [True, False])
def test_a_server_that_ignores_the_anchor(live: Live, order: str, other: str, openapi: bool, arrives: bool) -> None:
    """Its own anchors disprove nothing: circumstances decide, and of two alike none is taken."""
    race = Race(live, order=order, arrives=arrives, other=other)
    live.tracecat.takes_time_anchor, live.tracecat.openapi = False, openapi
    ended = race.task().run()
    assert len(live.starts) == 1
    if arrives:
        assert isinstance(ended.error, errors.StartUnknown)
        assert f"have the time_anchor {live.starts[0]['time_anchor']}" in str(ended.error)
    else:  # the only one that fits; documented
        assert race.theirs is not None
        assert ended.result["ref"] == race.theirs.ref


@pytest.mark.parametrize("openapi", [True, False])
def test_circumstances_count_only_once_they_are_settled(live: Live, openapi: bool) -> None:
    """On a server that ignores the anchor, the first look shows theirs only."""
    race = Race(live, lags=(8.0, 0.0))
    live.tracecat.takes_time_anchor, live.tracecat.openapi = False, openapi
    ended = race.task().run()
    race.check_theirs()
    assert isinstance(ended.error, errors.StartUnknown)
    assert len(live.starts) == 1


@ORDERS
def test_a_server_that_ignores_the_anchor_never_has_a_strangers_execution_cancelled(live: Live, order: str) -> None:
    race = Race(live, order=order, lags=(WEEK, 0.0))
    live.tracecat.takes_time_anchor = False
    task = race.task()
    with task.terminated(lambda: race.theirs is not None and live.clock.passed > 36.0, "failed"):
        task.run()
    race.check_theirs()


@pytest.mark.parametrize("openapi", [True, False])
def test_without_a_worker_there_is_no_anchor_to_read_yet(live: Live, openapi: bool) -> None:
    live.tracecat.workers = False
    live.tracecat.openapi = openapi
    race = Race(live)
    task = race.task()
    ended = task.run()
    race.check_theirs()
    assert isinstance(ended.error, errors.StartUnknown)
    live.tracecat.workers = True
    live.clock.advance(1.0)
    ended = task.run()
    assert ended.state == "success", ended.text
    assert [one.ref for one in race.ours] == [ended.result["ref"]]


@pytest.mark.parametrize("theirs", [INPUTS, {"n": 2}], ids=["same inputs", "other inputs"])
@pytest.mark.parametrize("lag", [0.0, 8.0])
@MODES
def test_an_anchor_that_two_mapped_tasks_share(live: Live, theirs: dict[str, int], lag: float, deferrable: bool) -> None:
    """Six digits clash among a thousand tasks of one logical date: then circumstances decide, else nobody does."""
    race = Race(live, lags=(lag, 0.0))

    def clash() -> None:
        assert race.theirs is not None
        race.theirs.time_anchor = microseconds_of(datetime.fromisoformat(live.starts[0]["time_anchor"]))
        object.__setattr__(race.theirs.plan, "inputs", theirs)

    live.clock.when(lambda: race.theirs is not None, clash)
    ended = race.task(time_anchor="{{ logical_date }}", deferrable=deferrable).run()
    race.check_theirs()
    assert len(live.starts) == 1
    if theirs == INPUTS:
        assert isinstance(ended.error, errors.StartUnknown)
    else:
        assert ended.state == "success", ended.text
        assert ended.result["ref"] == race.ours[0].ref


@ORDERS
def test_the_first_action_may_be_a_child(live: Live, order: str) -> None:
    live.workflow(alias="kid")
    parent = live.tracecat.add_workflow(Workflow("Parent", "scan", [Action("kid", workflow="kid", wait="wait")]))
    race = Race(live, order=order, workflow=parent)
    ended = race.task().run()
    race.check_theirs()
    assert ended.state == "success", ended.text
    assert len(live.starts) == 1


def test_a_note_of_an_earlier_version_has_no_anchor() -> None:
    mark = Mark.parse("airflow-1 after=12.500000")
    assert mark == Mark("airflow-1", 12.5, None)
    assert Mark.parse(str(mark)) == mark


@pytest.mark.parametrize("given", [False, True])
def test_a_mark_survives_its_note(given: bool) -> None:
    mark = Mark("airflow-1", 1767225600.25, anchor_of("airflow-1", LOGICAL), given)
    assert Mark.parse(str(mark)) == mark


def test_the_digits_differ_from_marker_to_marker() -> None:
    anchors = {anchor_of(f"airflow-{number}", LOGICAL) for number in range(1_000)}
    assert len(anchors) > 990
    assert all(anchor.microsecond and anchor.replace(microsecond=0) == LOGICAL for anchor in anchors)


@pytest.mark.parametrize("anchor", ["tomorrow", "PT1H", 5])
def test_an_anchor_that_is_no_moment_starts_nothing(live: Live, anchor: Any) -> None:
    live.workflow()
    ended = live.task(TracecatRunWorkflowOperator, workflow="scan", time_anchor=anchor).run()
    assert isinstance(ended.error, errors.ConfigurationError)
    assert "time_anchor must be a moment" in str(ended.error)
    assert not live.starts


# Taken by circumstances only


def taken(live: Live, **arguments: Any) -> tuple[Race, TaskRun]:
    """A server that drops the time anchor, and a start that did not arrive: all circumstances speak for theirs."""
    race = Race(live, arrives=False, other="by hand", workflow=live.workflow(Action("look", seconds=3_000)))
    live.tracecat.takes_time_anchor = False
    return race, race.task(**arguments)


@MODES
@pytest.mark.parametrize("openapi", [True, False])
def test_what_is_taken_by_circumstances_is_left_alone_after_the_timeout(live: Live, deferrable: bool, openapi: bool) -> None:
    race, task = taken(live, timeout=120, deferrable=deferrable)
    live.tracecat.openapi = openapi
    ended = task.run()
    race.check_theirs()
    assert type(ended.error) is errors.ExecutionDeadlineExceeded, ended.text
    assert "It was left alone, since only its circumstances say that this task has started it." in str(ended.error)
    assert race.theirs is not None
    assert f"Execution {race.theirs.ref} is taken for that of the lost request, and followed" in ended.text
    assert f"{race.theirs.ref} started" not in ended.text


def test_what_is_taken_by_circumstances_is_left_alone_when_the_task_is_ended(live: Live) -> None:
    race, task = taken(live, timeout=7_200)
    with task.terminated(lambda: live.clock.passed > 100, "failed"):
        ended = task.run()
    race.check_theirs()
    assert "was left alone: only its circumstances say" in ended.text


def test_what_is_taken_by_circumstances_is_left_alone_when_the_deferred_task_is_ended(live: Live) -> None:
    race, task = taken(live, timeout=7_200, deferrable=True)

    def stop(_: object) -> None:
        raise InterruptedError

    task.on_defer = stop
    with pytest.raises(InterruptedError):
        task.run()
    assert task.deferred is not None
    assert task.deferred.trigger_kwargs["cancel_on_kill"] is False
    task.kill_trigger(lambda: live.clock.passed > 100, "failed", linger=5)
    race.check_theirs()


def test_what_is_taken_by_circumstances_is_left_alone_when_a_retry_is_ended_while_it_reads_it(live: Live) -> None:
    race, task = taken(live, timeout=7_200)
    with task.terminated(lambda: live.clock.passed > 100, "running"):
        task.run()
    begun = live.clock.passed
    live.emulator.faults.add(Fault("status", status=503, method="GET", path=r"/workflow-executions/.*compact", times=None))
    with task.terminated(lambda: live.clock.passed > begun + 0.5, "failed"):
        ended = task.run()
    race.check_theirs()
    assert "was left alone: only its circumstances say" in ended.text


@MODES
def test_what_is_taken_by_circumstances_is_not_run_again(live: Live, deferrable: bool) -> None:
    """It may be a stranger's: the retry starts one of its own instead, which is cancelled with the task."""
    workflow = live.workflow(Action("look", seconds=20, error=["it broke", None]))
    race = Race(live, arrives=False, other="by hand", workflow=workflow)
    live.tracecat.takes_time_anchor = False
    task = race.task(timeout=7_200, on_retry="resume", deferrable=deferrable)
    assert type(task.run().error) is errors.ExecutionFailed
    assert race.theirs is not None
    ended = task.run()
    assert f"{race.theirs.ref} of an earlier attempt ended FAILED" in ended.text
    assert len(race.theirs.runs) == 1
    assert live.sent("POST", "/reset$") == []
    [ours] = race.ours
    assert ended.xcoms["ref"] == ours.ref


@pytest.mark.parametrize("known", [True, False], ids=["noted", "looked up behind the clear"])
def test_what_is_taken_by_circumstances_is_left_alone_after_a_clear(live: Live, known: bool) -> None:
    race, task = taken(live, timeout=50, deferrable=False)
    if not known:
        live.emulator.faults.add(Fault("html", method="GET", path=r"/search", after=1, times=5))
    assert type(task.run().error) is (errors.ExecutionDeadlineExceeded if known else errors.StartUnknown)
    live.clock.advance(60)
    task.clear()
    with task.terminated(lambda: len(live.tracecat.executions) > 1 and live.clock.passed > 300, "failed"):
        ended = task.run()
    race.check_theirs()
    assert "was left alone: only its circumstances" in ended.text
    [ours] = race.ours  # the new one is the task's own
    assert ours.run.acts


@pytest.mark.parametrize("inputs", [{"n": 2}, {}, {"n": 1}], ids=str)
def test_the_only_equal_anchor_is_cancelled_with_equal_inputs_only(
    live: Live, monkeypatch: pytest.MonkeyPatch, inputs: dict[str, int]
) -> None:
    """The task is ended while it looks; its start never arrived, and another one that was given the same second has the same digits."""
    race = Race(live, arrives=False, workflow=live.workflow(Action("look", seconds=3_000)))

    def clash() -> None:
        assert race.theirs is not None
        mark = Mark.parse(task.api.store[next(iter(task.api.store))]["marker"])
        assert mark.anchor is not None
        race.theirs.time_anchor = microseconds_of(mark.anchor)
        object.__setattr__(race.theirs.plan, "inputs", inputs)

    live.clock.when(lambda: race.theirs is not None, clash)
    task = race.task(time_anchor="{{ logical_date }}")
    with task.terminated(lambda: live.clock.passed > 36.5, "failed"):
        task.run()
    assert race.theirs is not None
    assert bool(race.theirs.run.acts) == (inputs == {"n": 1})


def test_a_lost_start_is_looked_for_in_its_workflow_though_the_alias_is_anothers(live: Live) -> None:
    first = live.workflow(Action("look", seconds=30))
    task = live.task(TracecatRunWorkflowOperator, workflow="scan", inputs=INPUTS)
    crash_at(task, "PUT", NOTES, before=True)
    crashed_try(task)
    object.__setattr__(first, "alias", "old")
    live.workflow(Action("look", seconds=30))
    ended = task.run()
    assert ended.state == "success", ended.text
    assert [one.ref for one in live.tracecat.executions] == [ended.result["ref"]]


@pytest.mark.parametrize("hours", [-5, 0.25, 2, 5, 14])
@pytest.mark.parametrize("earlier", [False, True])
def test_a_clock_that_is_far_from_tracecats_hides_no_start(live: Live, hours: float, earlier: bool) -> None:
    """Such as a machine whose local time counts as UTC."""
    live.workflow()
    if earlier:
        live.task(TracecatRunWorkflowOperator, workflow="scan", inputs={"n": 7}).run()
        live.clock.advance(30)
    before = len(live.starts)
    live.clock.jump(hours * 3_600)
    live.emulator.faults.add(Fault("drop_after", method="POST", path=START))
    ended = live.task(TracecatRunWorkflowOperator, workflow="scan", inputs=INPUTS).run()
    assert ended.state == "success", ended.text
    assert len(live.starts) == before + 1
    assert live.tracecat.executions[-1].ref == ended.result["ref"]
