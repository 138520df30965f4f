"""Exactly one execution per attempt: crashes, retries, clears, and start requests whose answer is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRuntimeError

from airflow_provider import errors
from airflow_provider.emulator import Emulator
from tests.harness import NOTES, TaskRun
from tests.integration.conftest import Bench
from tests.integration.systems import SYSTEMS, Adapter
from tests.virtual_clock import VirtualClock


class Crash(BaseException):
    """The worker process dies: nothing of ours runs any more."""


def crash_at(task: TaskRun, method: str, path: str, *, before: bool) -> None:
    """Let the worker die at its first such request to Airflow, before or after it took effect."""
    api = task.api
    hit = threading.Event()
    answer = type(api).__call__

    class Crashing(type(api)):  # type: ignore[misc]
        def __call__(self, request: Any) -> Any:
            if not hit.is_set() and request.method == method and path in request.url.path and (self.store or self.variables):
                hit.set()
                if not before:
                    answer(self, request)
                raise Crash
            return answer(self, request)

    api.__class__ = Crashing


def crashed_try(task: TaskRun) -> None:
    """A try whose worker dies. Airflow finds out and retries; here the runner reports the crash as a failure."""
    ended = task.run()
    assert isinstance(ended.error, Crash), ended.text


@pytest.mark.parametrize("name", ["buddy", "alga_psa"])
@pytest.mark.parametrize("deferrable", [False, True])
def test_a_copy_with_the_same_marker_is_not_taken_for_its_execution(
    emulator: Emulator, clock: VirtualClock, name: str, deferrable: bool
) -> None:
    """Somebody has started another with the same comment or data, before the task came back to its own."""
    system = SYSTEMS[name](emulator)
    script = system.script("slow")
    task = TaskRun(lambda: system.operator(script, deferrable=deferrable, timeout=30), system.connections)
    crash_at(task, "PUT", NOTES, before=True)
    crashed_try(task)
    [ours] = system.refs
    clock.advance(2)
    if name == "buddy":
        copy = emulator.buddy.add_execution(script, started_by="Mike", comment=emulator.buddy.find(ours).comment).ref
    else:
        copy = emulator.alga_psa.fire(script, dict(emulator.alga_psa.find(ours).trigger_data)).ref
    ended = task.run()
    assert ended.xcoms["ref"] == ours
    assert system.status(copy) == system.statuses["RUNNING"]
    assert system.cancels == (1 if system.can_cancel else 0)


def test_a_retry_re_attaches_to_the_running_execution(operator_bench: Bench) -> None:
    system = operator_bench.system
    task = operator_bench.task("succeeded", push_outputs=["IMAGE"])
    crash_at(task, "POST", "/xcoms/", before=True)  # the ref is noted, nothing else
    crashed_try(task)
    ended = task.run()
    assert ended.state == "success"
    assert system.starts == 1
    assert ended.result["ref"] == system.refs[0]
    assert ended.xcoms["IMAGE"] == "shop:1.2.3"
    assert "Re-attaching to execution" in ended.text


def test_a_retry_collects_an_execution_that_succeeded_meanwhile(operator_bench: Bench, clock: VirtualClock) -> None:
    system = operator_bench.system
    task = operator_bench.task("succeeded", push_outputs=["IMAGE"])
    crash_at(task, "POST", "/xcoms/", before=True)
    crashed_try(task)
    system.pass_until(clock, lambda: system.status(system.refs[0]) == system.statuses["SUCCEEDED"])
    ended = task.run()
    assert ended.state == "success"
    assert ended.defers == 0
    assert operator_bench.system.starts == 1
    assert ended.xcoms["IMAGE"] == "shop:1.2.3"


def test_a_crash_before_the_note_of_the_ref_is_looked_up(operator_bench: Bench) -> None:
    """The start request was sent, the ref not noted: the intent says so, the marker finds it."""
    system = operator_bench.system
    task = operator_bench.task("succeeded")
    crash_at(task, "PUT", NOTES, before=True)
    crashed_try(task)
    assert system.starts == 1
    ended = task.run()
    assert ended.state == "success"
    assert system.starts == 1
    assert "Checking whether it took effect" in ended.text


def test_a_crash_before_the_start_request_starts_one(operator_bench: Bench) -> None:
    system = operator_bench.system
    task = operator_bench.task("succeeded")
    system.fault("drop_before", "start")
    # The request is lost on its way; nothing is found; it is sent once more.
    ended = task.run()
    assert ended.state == "success"
    assert len(system.refs) == 1


@pytest.mark.parametrize("oddity", [None, "no marker in lists", "marker in the inputs"])
@pytest.mark.parametrize("fault", ["drop_after", "status_after", "truncated"])
def test_a_start_whose_answer_is_lost_is_found_not_repeated(operator_bench: Bench, fault: str, oddity: str | None) -> None:
    system = operator_bench.system
    system.odd(oddity)
    system.fault(fault, "start", **({"status": 502} if fault == "status_after" else {}))
    ended = operator_bench.run("succeeded", **system.note)
    assert ended.state == "success", ended.text
    assert system.starts == len(system.refs) == 1
    system.check_note(system.refs[0])


@pytest.mark.parametrize("how", ["is killed", "times out", "is cleared", "has crashed", "fails and resumes"])
def test_whatever_becomes_of_a_task_another_airflows_execution_is_left(operator_bench: Bench, clock: VirtualClock, how: str) -> None:
    system = operator_bench.system
    production = operator_bench.task("", script=system.script("succeeded", seconds=900.0), **operator_bench.every(2.0))
    crash_at(production, "POST", "/xcoms/", before=True)
    crashed_try(production)
    resumes = how == "fails and resumes"
    script = system.script("fails_then_slow" if resumes else "succeeded", **({} if resumes else {"seconds": 900.0}))
    staging = operator_bench.task("", script=script, timeout=30.0, on_retry="resume" if resumes else "start", **operator_bench.every(2.0))
    if how == "is killed":
        system.fault("drop_before", "start", times=None)
        with staging.terminated(lambda: clock.passed > 1.0, "failed"):
            staging.run()
    elif how == "times out":
        system.fault("drop_after", "start")
        assert "timeout passed" in str(staging.run().error)
    else:
        if how != "fails and resumes":
            crash_at(staging, "PUT", NOTES, before=True)
            crashed_try(staging)
        else:
            staging.run()
            system.fault("drop_after", "resume")
        if how == "is cleared":
            staging.clear()
        staging.run()
    assert system.status(system.refs[0]) == system.statuses["RUNNING"]
    assert len(system.refs) >= (1 if how == "is killed" else 2)


@pytest.mark.parametrize("passed", [1.0, 60.0], ids=["it runs", "it has succeeded"])
def test_another_airflow_with_the_same_names_is_a_stranger(operator_bench: Bench, clock: VirtualClock, passed: float) -> None:
    """Production and staging share a pipeline: the same DAG, run and task, and each a state store of its own."""
    system = operator_bench.system
    script = system.script("succeeded", seconds=30.0)
    production, staging = (operator_bench.task("", script=script, **operator_bench.every(5.0)) for _ in range(2))
    crash_at(production, "POST", "/xcoms/", before=True)
    crashed_try(production)
    clock.advance(passed)
    system.fault("drop_before", "start")  # nothing is started, and the task can't know
    ended = staging.run()
    assert ended.state == "success", ended.text
    assert len(system.refs) == 2
    assert ended.result["ref"] == system.refs[1]
    assert system.cancels == 0


def test_a_lost_start_is_found_although_the_list_lags(operator_bench: Bench) -> None:
    operator_bench.system.list_lags(8.0)
    operator_bench.system.fault("drop_after", "start")
    assert operator_bench.run("succeeded").state == "success"
    assert len(operator_bench.system.refs) == 1


def test_a_lost_start_that_cannot_be_looked_up_is_not_repeated(operator_bench: Bench) -> None:
    system = operator_bench.system
    system.fault("drop_after", "start")
    system.break_lookups()
    task = operator_bench.task("succeeded")
    ended = task.run()
    assert type(ended.error) is errors.StartUnknown
    assert ended.state == "up_for_retry"
    assert any(sign in str(ended.error) for sign in ("airflow-", "time_anchor"))
    ended = task.run()
    assert ended.state == "success"
    assert system.starts == len(system.refs) == 1


def test_a_refused_start_needs_no_look_up(operator_bench: Bench) -> None:
    system = operator_bench.system
    task = operator_bench.task("succeeded")
    system.fault("status", "start", status=400)
    assert type(task.run().error) is errors.StatusError
    system.emulator.ledger.clear()
    assert task.run().state == "success"
    assert system.count("list") == system.lists_before_start


def test_rate_limited_starts_are_repeated_since_nothing_was_started(operator_bench: Bench) -> None:
    operator_bench.system.fault("rate_limit", "start", retry_after="0", times=2)
    assert operator_bench.run("succeeded").state == "success"
    assert len(operator_bench.system.refs) == 1


def test_a_retry_after_a_failed_execution_starts_a_new_one(operator_bench: Bench) -> None:
    task = operator_bench.task("failed")
    first, second = task.run(), task.run()
    assert [type(ended.error) for ended in (first, second)] == [errors.ExecutionFailed] * 2
    assert operator_bench.system.starts == 2
    assert first.xcoms["ref"] != second.xcoms["ref"]


@pytest.mark.parametrize("oddity", [None, "new id when run again"])
def test_a_retry_may_resume_the_failed_execution(operator_bench: Bench, oddity: str | None) -> None:
    system = operator_bench.system
    system.odd(oddity)
    keeps_id = oddity is None
    task = operator_bench.task("fails_once" if keeps_id else "failed", on_retry="resume")
    assert type(task.run().error) is errors.ExecutionFailed
    ended = task.run()
    assert system.starts == 1
    assert len(system.refs) == (1 if keeps_id else 2)
    assert ended.xcoms["ref"] == system.refs[-1]
    assert ended.state == ("success" if keeps_id else "up_for_retry")


@pytest.mark.parametrize("retries", [0, 2])
@pytest.mark.parametrize("map_index", [-1, 1])
def test_a_clear_starts_a_new_execution(operator_bench: Bench, retries: int, map_index: int) -> None:
    operator_bench.map_index = map_index
    task = operator_bench.task("succeeded", retries=retries)
    assert task.run().state == "success"
    task.clear()
    ended = task.run()
    assert ended.state == "success"
    assert ended.result["ref"] == operator_bench.system.refs[1]
    assert operator_bench.system.starts == 2


def test_a_clear_cancels_the_old_execution_that_still_runs(operator_bench: Bench) -> None:
    system = operator_bench.system
    task = operator_bench.task("slow", timeout=0.5)
    crash_at(task, "POST", "/xcoms/", before=True)
    crashed_try(task)
    task.clear()
    ended = task.run()
    assert system.starts == 2
    assert system.status(system.refs[0]) == system.statuses["CANCELLED" if system.can_cancel else "RUNNING"]
    assert ("cancelling execution" if system.can_cancel else "can't cancel execution") in ended.text


def test_a_clear_starts_a_new_one_although_the_old_can_not_be_looked_up(operator_bench: Bench) -> None:
    system = operator_bench.system
    system.fault("drop_after", "start")
    system.break_lookups(tries=2)
    task = operator_bench.task("succeeded")
    assert type(task.run().error) is errors.StartUnknown
    task.clear()
    ended = task.run()
    assert ended.state == "success"
    assert "so a new execution is started" in ended.text
    assert system.starts == 2


def test_time_spent_waiting_for_a_person_is_remembered_over_retries(operator_bench: Bench, clock: VirtualClock) -> None:
    """A try that breaks while it waits, or after it: the next one counts as the one before did."""
    system = operator_bench.system
    task = operator_bench.task("gate", timeout=60.0, waiting_timeout=30.0)
    system.fault("status", "read", status=403, after=8, times=1)
    first = task.run()
    assert type(first.error) is errors.Forbidden, first.text
    assert task.api.store["execution"]["waiting_since"]
    clock.advance(500.0)
    assert type(task.run().error) is errors.ExecutionWaiting  # not ExecutionDeadlineExceeded


def test_a_clear_after_retries_was_changed_is_told_from_a_retry(operator_bench: Bench) -> None:
    task = operator_bench.task("succeeded", retries=2)
    task.run()
    task.retries = 1  # so that the clear leaves max_tries at 2
    task.clear()
    assert task.max_tries == 2
    task.run()
    assert operator_bench.system.starts == 2


def test_a_clear_of_a_live_task_after_retries_was_changed_is_told_from_a_retry(operator_bench: Bench) -> None:
    system = operator_bench.system
    task = operator_bench.task("slow", timeout=0.5, retries=2)
    crash_at(task, "POST", "/xcoms/", before=True)
    crashed_try(task)
    task.retries = 1  # so that the clear leaves max_tries at 2
    task.clear()
    assert task.max_tries == 2
    task.run()
    assert system.starts == 2
    assert system.status(system.refs[0]) == system.statuses["CANCELLED" if system.can_cancel else "RUNNING"]


@pytest.mark.parametrize("cancel_on_kill", [True, False])
def test_a_clear_of_a_running_task_that_airflow_did_not_count(system: Adapter, cancel_on_kill: bool) -> None:
    """If several running tasks are cleared at once, Airflow 3.3 forgets to raise ``max_tries`` of all but one."""
    task = Bench(system, "operator").task("slow", timeout=1.0, retries=2, cancel_on_kill=cancel_on_kill, on_retry="start")
    with task.terminated(lambda: system.count("read") >= 1, "restarting"):
        assert type(task.run().error) is errors.ExecutionInterrupted
    task.clear_number += 1
    task.api.states.clear()
    ended = task.run()
    assert system.starts == 2, ended.text
    assert task.api.store["execution"]["generation"] == 1
    assert system.status(system.refs[0]) == system.statuses["CANCELLED" if system.can_cancel else "RUNNING"]


def test_an_eviction_is_no_clear_although_another_task_was_cleared(system: Adapter) -> None:
    task = Bench(system, "operator").task("slow", timeout=10.0, retries=2)
    with task.terminated(lambda: system.count("read") >= 1, "running"):
        task.run()
    task.clear_number += 1
    task.run()
    assert system.starts == 1


def test_a_retry_after_retries_was_changed_is_no_clear(operator_bench: Bench) -> None:
    task = operator_bench.task("succeeded", retries=3)
    crash_at(task, "POST", "/xcoms/", before=True)
    crashed_try(task)
    task.retries = 1
    task.clear_number += 1  # of another task
    assert task.run().state == "success"
    assert operator_bench.system.starts == 1


def test_one_passing_404_at_the_re_attachment_starts_nothing(operator_bench: Bench) -> None:
    system = operator_bench.system
    task = operator_bench.task("succeeded")
    crash_at(task, "POST", "/xcoms/", before=True)
    crashed_try(task)
    system.fault("status", "read", status=404)
    assert task.run().state == "success"
    assert system.starts == 1


def test_an_api_that_fails_at_the_re_attachment_costs_no_try(operator_bench: Bench) -> None:
    system = operator_bench.system
    task = operator_bench.task("succeeded", retries=1)
    crash_at(task, "POST", "/xcoms/", before=True)
    crashed_try(task)
    system.fault("status", "read", status=503, times=8)  # Tracecat has two views to read
    ended = task.run()
    assert ended.state == "success"
    assert "Assuming that execution" in ended.text
    assert system.starts == 1


def test_an_earlier_execution_that_is_being_stopped_is_not_followed(operator_bench: Bench) -> None:
    """Clearing a running task can look like a retry, which finds the execution that its own kill is cancelling."""
    system = operator_bench.system
    system.stops_slowly(0.6)
    task = operator_bench.task("succeeded", retries=1)
    crash_at(task, "POST", "/xcoms/", before=True)
    crashed_try(task)
    system.cancel(system.refs[0])
    ended = task.run()
    assert ended.state == "success"
    assert [system.status(ref) for ref in system.refs] == [system.statuses["CANCELLED"], system.statuses["SUCCEEDED"]]


def test_a_retry_after_a_missing_output_is_no_clear_if_another_task_was_cleared(operator_bench: Bench) -> None:
    task = operator_bench.task("succeeded", push_outputs=["NO_SUCH"])
    assert type(task.run().error) is errors.OutputMissing
    task.clear_number += 1
    assert type(task.run().error) is errors.OutputMissing
    assert operator_bench.system.starts == 1


def test_a_rate_limit_at_the_look_up_says_that_an_execution_may_run(operator_bench: Bench) -> None:
    system = operator_bench.system
    system.fault("drop_after", "start")
    system.fault("rate_limit", "list", retry_after="0", after=system.lists_before_start, times=None)
    assert type(operator_bench.run("slow").error) is errors.StartUnknown


def test_folders_that_can_not_be_used_are_found_before_the_start(operator_bench: Bench) -> None:
    for argument in ("outputs_path", "log_path"):
        ended = operator_bench.run("slow", **{argument: "nosuch://bucket/folder"})
        assert type(ended.error) is errors.ConfigurationError
        assert argument in str(ended.error)
    assert operator_bench.system.starts == 0


def test_a_clear_of_another_task_is_no_clear_of_this_one(operator_bench: Bench) -> None:
    task = operator_bench.task("succeeded")
    crash_at(task, "POST", "/xcoms/", before=True)
    crashed_try(task)
    task.clear_number += 1
    assert task.run().state == "success"
    assert operator_bench.system.starts == 1


def test_the_clock_goes_on_over_retries(operator_bench: Bench, clock: VirtualClock) -> None:
    """Past its timeout an execution found by a retry is cancelled, and the task fails."""
    system = operator_bench.system
    task = operator_bench.task("slow", timeout=5.0)
    crash_at(task, "POST", "/xcoms/", before=True)
    crashed_try(task)
    clock.advance(30.0)
    ended = task.run()
    assert type(ended.error) is errors.ExecutionDeadlineExceeded
    assert system.gives_up in str(ended.error)
    assert system.starts == 1
    system.check_stopped(ended.text + str(ended.error))


def test_a_superseded_worker_starts_nothing(operator_bench: Bench) -> None:
    task = operator_bench.task("succeeded")
    task.api.refuse_store = True
    ended = task.run()
    assert isinstance(ended.error, (AirflowRuntimeError, Exception))
    assert ended.state != "success"
    assert operator_bench.system.starts == 0


NEWER: dict[str, Callable[[str, str], dict[str, Any]]] = {
    "has started another": lambda marker, ref: {"ref": "another", "marker": "airflow-another"},
    "has finished another": lambda marker, ref: {"ref": "another", "marker": "airflow-another", "done": True},
    "is about to start another": lambda marker, ref: {"ref": None, "marker": "airflow-another"},
    "was refused": lambda marker, ref: {"ref": None, "marker": "airflow-another", "refused": True},
    "was cleared and has started another": lambda marker, ref: {"ref": "another", "marker": "airflow-another", "generation": 1},
    "looks for ours": lambda marker, ref: {"ref": None, "marker": marker},
    "follows ours": lambda marker, ref: {"ref": ref, "marker": marker},
}
"""What the newer attempt has noted by the time at which the older one has its answer."""


def taken_over(task: TaskRun, system: Adapter, newer: str, since: Callable[[], Any]) -> None:
    """Let a newer attempt take over: the older one's writes are refused from then on."""
    answer = type(task.api).__call__

    class TakenOver(type(task.api)):  # type: ignore[misc]
        refuse_store: bool

        def __call__(self, request: Any) -> Any:
            if request.method == "PUT" and NOTES in request.url.path and since() and not self.refuse_store:
                self.refuse_store = True
                note = self.store["execution"]
                self.store["execution"] = {**note, **NEWER[newer](note["marker"], system.refs[0]), "try_number": 2}
            return answer(self, request)

    task.api.__class__ = TakenOver


@pytest.mark.parametrize("lost", [None, "drop_after", "truncated"])
@pytest.mark.parametrize("newer", NEWER)
def test_a_worker_that_was_superseded_during_its_request_leaves_nothing_that_nobody_follows(
    operator_bench: Bench, newer: str, lost: str | None
) -> None:
    """It stood still between its note and its request, or until its answer. Meanwhile a newer attempt has taken over."""
    system = operator_bench.system
    task = operator_bench.task("slow")
    if lost is not None:
        system.fault(lost, "start")
    taken_over(task, system, newer, lambda: system.refs)
    ended = task.run()
    assert ended.state != "success"
    assert len(system.refs) == 1
    assert "newer attempt" in ended.text
    nobodys = "ours" not in newer
    assert system.cancels == (1 if nobodys and system.can_cancel else 0)
    assert ("Stop it there yourself" in ended.text) is (nobodys and not system.can_cancel)


def test_an_execution_that_could_not_be_noted_is_named_and_found_by_a_retry(operator_bench: Bench) -> None:
    """Airflow refuses one write for a passing reason; no newer attempt has taken over."""
    system = operator_bench.system
    task = operator_bench.task("succeeded")
    answer = type(task.api).__call__

    class Refusing(type(task.api)):  # type: ignore[misc]
        refuse_store: bool

        def __call__(self, request: Any) -> Any:
            self.refuse_store = request.method == "PUT" and NOTES in request.url.path and bool(system.refs)
            return answer(self, request)

    task.api.__class__ = Refusing
    ended = task.run()
    assert ended.state != "success"
    assert f"did not store that execution {system.refs[0]}" in ended.text
    assert "without one, nobody follows it" in ended.text
    assert system.cancels == 0
    task.api.__class__ = Refusing.__base__
    task.api.refuse_store = False
    assert task.run().state == "success"
    assert len(system.refs) == 1


@pytest.mark.parametrize("newer", ["has started another", "is about to start another", "follows ours"])
def test_a_superseded_worker_does_not_send_its_request_again(operator_bench: Bench, newer: str) -> None:
    """Its first request did nothing. It asks before the second."""
    system = operator_bench.system
    task = operator_bench.task("slow")
    lost = system.fault("drop_before", "start")
    system.start_elsewhere(system.script("succeeded"))
    taken_over(task, system, newer, lambda: lost.hits)
    ended = task.run()
    assert ended.state != "success"
    assert len(system.refs) == 1
    assert system.cancels == 0


def test_what_nobody_follows_and_can_not_be_cancelled_is_named(operator_bench: Bench) -> None:
    system = operator_bench.system
    system.need("cancel")
    task = operator_bench.task("slow")
    taken_over(task, system, "has started another", lambda: system.refs)
    system.fault("status", "cancel", status=500, times=None)
    ended = task.run()
    assert f"It does not know execution {system.refs[0]}" in ended.text
    assert "could not be cancelled" in ended.text
    assert "Cancel it yourself" in ended.text


def test_without_waiting_the_task_ends_after_the_start(operator_bench: Bench) -> None:
    task = operator_bench.task("slow", wait_for_completion=False)
    ended = task.run()
    assert ended.state == "success"
    assert ended.defers == 0
    assert ended.result["phase"] in ("RUNNING", "QUEUED")
    assert ended.xcoms["ref"] == operator_bench.system.refs[0]
    assert operator_bench.system.cancels == 0


def test_a_sensors_clock_goes_on_over_retries_and_begins_anew_after_a_clear(sensor_bench: Bench) -> None:
    task = sensor_bench.task("failed", timeout=50)
    task.run()
    since = task.api.store["wait"]["since"]
    task.run()
    assert task.api.store["wait"]["since"] == since
    task.clear()
    task.run()
    assert task.api.store["wait"]["since"] > since


def test_airflows_deferral_timeout_cancels_as_ours_does(system: Adapter) -> None:
    """The back-stop: Airflow resumes the task straight into failure."""
    task = Bench(system, "operator-deferrable").task("slow")
    task.run_trigger = lambda: {}  # type: ignore[method-assign]
    task.resume = lambda event: task.resume_into_failure("Trigger timeout")  # type: ignore[method-assign]
    ended = task.run()
    assert type(ended.error) is errors.ExecutionDeadlineExceeded
    system.check_stopped(ended.text + str(ended.error))


def test_a_quick_end_is_held_back_until_airflow_has_heard_of_the_deferral(
    system: Adapter, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the scheduler may take the late news for the end of the resumed task, and fail it."""
    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "1")
    task = Bench(system, "operator-deferrable").task("slow", script=system.script("succeeded", seconds=0.1))
    times: list[float] = []

    def note(_: object) -> None:
        times.append(clock.passed)

    task.on_defer = task.after_trigger = note
    assert task.run().state == "success"
    assert times[1] - times[0] >= 1.0


@pytest.mark.parametrize(("waiting_timeout", "waiting"), [(None, 7 * 24 * 3_600.0), (50_000.0, 50_000.0)])
def test_our_timeout_comes_before_airflows(system: Adapter, waiting_timeout: float | None, waiting: float) -> None:
    """Also where the execution waits for a person, which does not count against ``timeout``."""
    task = Bench(system, "operator-deferrable").task("succeeded", timeout=100.0, waiting_timeout=waiting_timeout)
    task.run()
    assert task.deferred is not None
    assert task.deferred.trigger_kwargs is not None
    assert task.deferred.trigger_timeout is not None
    assert task.deferred.trigger_timeout.total_seconds() > 100.0 + waiting + 3_000


@pytest.mark.parametrize("mode", ["operator-deferrable", "sensor-deferrable"])
@pytest.mark.parametrize("event", [None, {}, "ended", {"ref": "a/b/1/1", "end": "fine"}, {"ref": 1, "end": "ended"}])
def test_a_strange_event_never_passes_for_success(system: Adapter, mode: str, event: Any) -> None:
    task = Bench(system, mode).task("slow")
    task.run_trigger = lambda: event  # type: ignore[method-assign]
    ended = task.run()
    assert type(ended.error) is errors.ExecutionError
    assert ended.state == "up_for_retry"


@pytest.mark.whole
@pytest.mark.parametrize("mode", ["operator-deferrable", "sensor-deferrable"])
def test_a_trigger_that_breaks_says_so_and_loses_nothing(system: Adapter, mode: str) -> None:
    soft = {"soft_fail": True} if mode.startswith("sensor") else {}
    task = Bench(system, mode).task("", script=system.script("succeeded", seconds=5.0), **soft)
    task.on_defer = lambda message: message.trigger_kwargs.update(policy={})  # type: ignore[union-attr]
    ended = task.run()
    assert type(ended.error) is errors.ExecutionInterrupted
    assert ended.state == "up_for_retry"
    task.on_defer = None
    assert task.run().state == "success"
    assert len(system.refs) == 1


@pytest.mark.parametrize("ended", ["noted", "found", "cleared"])
def test_a_lost_start_is_looked_for_where_it_went(operator_bench: Bench, ended: str) -> None:
    """The DAG was changed between two tries: the arguments lead to another pipeline, workflow or rule by now."""
    system = operator_bench.system
    system.need("plan")
    played = [system.script("slow"), system.script("succeeded")]
    where = [played[0]]
    arguments = {"deferrable": operator_bench.deferrable, "timeout": 30.0}
    task = TaskRun(lambda: system.operator(where[0], **arguments), system.connections, retries=2)
    crash_at(task, "POST" if ended == "noted" else "PUT", "/xcoms/" if ended == "noted" else NOTES, before=True)
    crashed_try(task)
    first = system.refs[0]
    where[0] = played[1]
    if ended == "cleared":
        task.clear()
    again = task.run()
    assert system.starts == (2 if ended == "cleared" else 1), again.text
    assert (again.xcoms["ref"] == first) == (ended != "cleared")
    if ended != "noted":
        assert "The earlier request went to" in again.text
    if ended == "cleared":
        system.check_stopped(again.text, first)
