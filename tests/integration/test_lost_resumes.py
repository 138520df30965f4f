"""A request to run an execution again whose answer is lost: what runs again is followed, but somebody else may have asked for it."""

from __future__ import annotations

import pytest

from airflow_provider import errors
from airflow_provider.emulator import Fault
from tests.harness import TaskRun
from tests.integration.conftest import Bench
from tests.virtual_clock import VirtualClock

pytestmark = pytest.mark.parametrize("whose", ["ours", "theirs"])


def ready(bench: Bench, clock: VirtualClock, whose: str, *, timeout: float = 600.0) -> tuple[TaskRun, Fault]:
    """A task whose next try resumes its execution: the answer is lost, or the request, and somebody else resumes it at that moment."""
    system = bench.system
    task = bench.task("fails_then_slow", on_retry="resume", timeout=timeout)
    assert type(task.run().error) is errors.ExecutionFailed
    [ref] = system.refs
    fault = system.fault("drop_after" if whose == "ours" else "drop_before", "resume")
    if whose == "theirs":
        clock.when(lambda: bool(fault.hits), lambda: system.revive(ref))
    return task, fault


def check_left(bench: Bench, text: str | None) -> None:
    """It still runs, nothing asked it to stop, and that is said. The text is None where the log is not at hand."""
    system = bench.system
    [ref] = system.refs
    assert system.status(ref) == system.statuses["RUNNING"], text
    assert system.cancels == 0
    if system.can_cancel and text is not None:
        assert "only its circumstances" in text


def stopped_while_deferred(task: TaskRun) -> None:
    def stop(_: object) -> None:
        raise InterruptedError

    task.on_defer = stop
    with pytest.raises(InterruptedError):
        task.run()
    task.on_defer = None


def test_it_is_left_alone_after_the_timeout(operator_bench: Bench, clock: VirtualClock, whose: str) -> None:
    ended = ready(operator_bench, clock, whose, timeout=20.0)[0].run()
    assert type(ended.error) is errors.ExecutionDeadlineExceeded, ended.text
    check_left(operator_bench, ended.text + str(ended.error))


def test_it_is_left_alone_when_the_task_is_ended(operator_bench: Bench, clock: VirtualClock, whose: str) -> None:
    task, _ = ready(operator_bench, clock, whose)
    if operator_bench.deferrable:
        stopped_while_deferred(task)
        assert task.deferred is not None
        assert isinstance(task.deferred.trigger_kwargs, dict)
        assert task.deferred.trigger_kwargs["cancel_on_kill"] is False
        began = clock.passed
        task.kill_trigger(lambda: clock.passed > began + 5, "failed", linger=5)
        check_left(operator_bench, None)
        return
    began = clock.passed
    with task.terminated(lambda: clock.passed > began + 20, "failed"):
        ended = task.run()
    check_left(operator_bench, ended.text)


def test_it_is_left_alone_when_the_task_is_ended_while_it_looks(operator_bench: Bench, clock: VirtualClock, whose: str) -> None:
    system = operator_bench.system
    task, fault = ready(operator_bench, clock, whose)
    with task.terminated(lambda: bool(fault.hits), "failed"):
        ended = task.run()
    assert system.cancels == 0
    assert "Check" in ended.text


def test_it_is_left_alone_when_the_task_is_cleared(operator_bench: Bench, clock: VirtualClock, whose: str) -> None:
    system = operator_bench.system
    task, _ = ready(operator_bench, clock, whose)
    if operator_bench.deferrable:
        stopped_while_deferred(task)
    else:
        began = clock.passed
        with task.terminated(lambda: clock.passed > began + 10, "running"):
            task.run()
    [ref] = system.refs
    task.clear()
    ended = task.run()
    assert system.refs[0] == ref
    assert len(system.refs) == 2
    assert system.cancels == 0, ended.text
    if system.can_cancel:
        assert "only its circumstances" in ended.text
