"""
What a person does to tasks, through the REST API of a real Airflow: afterwards the remote systems and the emulator's raw ledger agree.

All cases are under way at once, each a run with a script of its own. All routes that cancel take three seconds to answer. The Airflow
is one of this file's own, on PostgreSQL: with many tasks on one SQLite file, its API server waits half minutes for locks.
"""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Gate
from tests.airflow.acts.remotes import REMOTES, Buddy, Remote
from tests.airflow.chaos.services import Postgres
from tests.airflow.local_airflow import LocalAirflow, LocalAirflowError, until
from tests.ports import free_ports

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(3_600)]

HERE = Path(__file__).parent
TIMED_OUT = ("dagrun-timeout", "dagrun-timeout-running")
"""Of one run."""
CANCEL_SECONDS = 3.0


@dataclass
class Case:
    """
    A task, and what is done to it.

    :param starts, cancels: requests that must have arrived at the end.
    """

    airflow: LocalAirflow
    remote: Remote
    dag: str
    run: str
    script: str
    task: str = "follow"
    map_index: int = -1
    starts: int = 1
    cancels: int = 0

    @property
    def path(self) -> str:
        return self.task if self.map_index < 0 else f"{self.task}/{self.map_index}"

    @property
    def executions(self) -> Any:
        return self.remote.executions(self.script)

    @property
    def state(self) -> str | None:
        return self.airflow.task(self.dag, self.run, self.path)["state"]  # type: ignore[no-any-return]

    @property
    def watched(self) -> bool:
        """Whether the worker, or the trigger, follows the execution."""
        return bool(self.executions) and self.remote.reads(self.executions[0]) > 0

    @property
    def asked(self) -> tuple[int, int]:
        """Start and cancel requests that arrived."""
        return self.remote.starts(self.script), sum(self.remote.cancels(one) for one in self.executions)

    def log(self, try_number: int = 1) -> str:
        return "\n".join(self.airflow.log(self.dag, self.run, self.task, try_number, self.map_index))

    def mark(self, state: str) -> None:
        self.airflow.set_task_state(self.dag, self.run, self.path, state)

    def mark_run(self) -> None:
        self.airflow.set_run_state(self.dag, self.run, "failed")

    def clear(self) -> None:
        self.airflow.clear(self.dag, self.run, [self.task if self.map_index < 0 else (self.task, self.map_index)])

    def evict(self) -> None:
        """SIGTERM to the worker, as when its node is drained."""
        (worker,) = self.airflow.workers_of(self.airflow.task(self.dag, self.run, self.path))
        worker.send_signal(signal.SIGTERM)

    def until(self, what: str, probe: Callable[[], Any]) -> None:
        """Wait; what is not seen in time is told with the state of the task, and the end of its log."""
        try:
            until(f"{self.script}: {what}", probe)
        except TimeoutError as error:
            task = self.airflow.task(self.dag, self.run, self.path)
            raise TimeoutError(
                f"{error} The task is {task['state']}, try {task['try_number']} of {task['max_tries'] + 1}, "
                f"its executions {[one.status for one in self.executions]}. Its log ends: {self.log(task['try_number'])[-2_000:]}"
            ) from None

    def check_stopped(self, state: str, *, execution: int = 0) -> None:
        """The task ended in ``state``, and its execution was cancelled, by one request; where that can't be, the log says so."""
        self.until(f"the task is {state}", lambda: self.state == state)
        one = self.executions[execution]
        if self.remote.can_cancel:
            self.until("the execution is cancelled", lambda: one.status == self.remote.status("CANCELLED"))
            assert self.remote.cancels(one) == 1
        else:
            self.until("the log says that it goes on", lambda: "can't cancel executions" in self.log())
            assert one.status == self.remote.status("RUNNING")
        assert len(self.executions) == execution + 1

    def check_started_anew(self) -> None:
        """A clear has cancelled the old execution and started one new, which the task follows to its end."""
        self.until("a second execution", lambda: len(self.executions) == 2)
        old, new = self.executions
        if self.remote.can_cancel:
            self.until("the old one is cancelled", lambda: old.status == self.remote.status("CANCELLED"))
        else:
            assert old.status == self.remote.status("RUNNING")
            self.until("the log says that it goes on", lambda: "can't cancel execution" in self.log(2))
        assert new.status in (self.remote.status("RUNNING"), self.remote.status("SUCCEEDED"))
        self.remote.finish_one(new)
        self.until("the task has succeeded", lambda: self.state == "success")
        assert self.airflow.xcom(self.dag, self.run, self.task, "ref", max(self.map_index, -1)) == new.ref


MARKS: dict[str, Callable[[Case], None]] = {
    "failed": lambda case: case.mark("failed"),
    "success": lambda case: case.mark("success"),
    "skipped": lambda case: case.mark("skipped"),
    "run-failed": lambda case: case.mark_run(),
}
"""What ends a task."""
STATES = {"run-failed": "failed"}
"""Of the task afterwards, where that is not the act's name."""
ENDS = [
    *(("buddy", mode, act) for mode in ("deferred", "running") for act in MARKS),
    *(("tracecat", mode, act) for mode in ("deferred", "running") for act in ("failed", "success")),
    *(("alga_psa", mode, "failed") for mode in ("deferred", "running")),
]
BOTH = [(system, mode) for system in REMOTES for mode in ("deferred", "running")]


class Acts:
    """All cases, by name."""

    def __init__(self, airflow: LocalAirflow, emulator: Emulator, dags: Path, postgres: Postgres) -> None:
        self.airflow = airflow
        self.postgres = postgres
        self.remotes = {name: remote(emulator) for name, remote in REMOTES.items()}
        self.dags = dags
        self.cases: dict[str, Case] = {}
        self.while_paused: list[Any] = []
        self.to_time_out: list[Case] = []

    @property
    def buddy(self) -> Buddy:
        remote = self.remotes["buddy"]
        assert isinstance(remote, Buddy)
        return remote

    def begin(self) -> None:
        """Start everything."""
        self.trigger("acts_dagrun_timeout", dict(zip(TIMED_OUT, ("follow", "running"), strict=True)), cancels=1)
        for system, mode, act in ENDS:
            self.follow(system, mode, act, cancels=1)
        for system, mode in BOTH:
            self.follow(system, mode, "cleared", starts=2, cancels=1)
        for system in REMOTES:
            self.follow(system, "running", "evicted")
        self.trigger("acts_paused", {"paused": "follow"}, starts=2, cancels=1)
        self.trigger("acts_no_retries", {"no-retries-live": "follow"}, starts=2, cancels=1)
        self.trigger("acts_no_retries", {"no-retries-ended": "follow"}, starts=2, seconds=1.0, fails=True)
        self.trigger("acts_buddy_deferred", {"retried": "follow"}, starts=2, seconds=1.0, fails=True)
        self.trigger("acts_changed", {"changed-live": "follow", "changed-ended": "ended"}, starts=2)
        self.cases["changed-live"].cancels = 1
        self.buddy.add_pipeline("lingering", Gate("Approve"))
        run = self.airflow.trigger("acts_lingering", {"script": "lingering"})
        self.cases["lingering"] = Case(self.airflow, self.buddy, "acts_lingering", run, "lingering")
        for index in range(3):
            self.buddy.add(f"mapped-{index}")
        run = self.airflow.trigger("acts_mapped")
        for index, (starts, cancels) in enumerate([(1, 0), (2, 1), (1, 1)]):
            name = f"mapped-{index}"
            self.cases[name] = Case(
                self.airflow, self.buddy, "acts_mapped", run, name, map_index=index, starts=starts, cancels=cancels
            )  # fmt: skip

    def follow(self, system: str, mode: str, act: str, *, starts: int = 1, cancels: int = 0) -> None:
        remote, script = self.remotes[system], f"{system}-{mode}-{act}"
        remote.add(script)
        run = self.airflow.trigger(f"acts_{system}_{mode}", {"script": script})
        cancels = cancels if remote.can_cancel else 0
        self.cases[script] = Case(self.airflow, remote, f"acts_{system}_{mode}", run, script, starts=starts, cancels=cancels)

    def trigger(self, dag: str, scripts: dict[str, str], *, starts: int = 1, cancels: int = 0, **script: Any) -> None:
        """A run with Buddy's tasks: script to task."""
        for name in scripts:
            self.buddy.add(name, **({"seconds": 1.0} if name == "changed-ended" else script))
        conf = {task: name for name, task in scripts.items()}
        run = self.airflow.trigger(dag, {**conf, "script": conf.get("follow")})
        for name, task in scripts.items():
            self.cases[name] = Case(self.airflow, self.buddy, dag, run, name, task, starts=starts, cancels=cancels)

    def act(self) -> None:
        """Do what is to be done, to each as soon as it is followed."""
        acts: dict[str, Callable[[Case], None]] = {f"{system}-{mode}-{act}": MARKS[act] for system, mode, act in ENDS}
        acts |= {f"{system}-{mode}-cleared": Case.clear for system, mode in BOTH}
        acts |= {f"{system}-running-evicted": Case.evict for system in REMOTES}
        acts |= {"no-retries-live": Case.clear, "mapped-1": Case.clear, "mapped-2": MARKS["failed"], "paused": self.clear_paused}
        acts |= dict.fromkeys(TIMED_OUT, self.time_out)
        waiting = dict(acts)

        def step() -> bool:
            for name in [name for name in waiting if self.cases[name].watched]:
                case = self.cases[name]
                if case.state in ("deferred", "running"):
                    waiting.pop(name)(case)
            self.let_workers_go()
            return not waiting

        try:
            until("every task was followed and acted upon", step)
        except TimeoutError as error:
            states = {name: (self.cases[name].state, self.cases[name].asked) for name in waiting}
            raise TimeoutError(f"{error} Left: {states}") from None
        self.clear_ended("no-retries-ended", "failed")
        self.change_retries()
        paused = self.cases["paused"]
        self.while_paused = [paused.state, *paused.asked, paused.executions[0].status]
        self.airflow.unpause("acts_paused")

    def let_workers_go(self) -> None:
        """There are few: what was started anew, or attached to again, in a worker ends as soon as that is known."""
        for name, case in self.cases.items():
            if name.endswith("running-cleared") and len(case.executions) == 2 and case.remote.reads(case.executions[1]):
                self.remotes[case.remote.name].finish_one(case.executions[1])
            if name.endswith("evicted") and case.state == "running" and "Re-attaching to execution" in case.log(2):
                case.remote.finish_one(case.executions[0])

    def time_out(self, case: Case) -> None:
        """Once both tasks of the run have been seen, let it be so old that its ``dagrun_timeout`` is over."""
        self.to_time_out.append(case)
        if len(self.to_time_out) == len(TIMED_OUT):
            self.postgres.let_age(case.run)

    def clear_paused(self, case: Case) -> None:
        self.airflow.pause(case.dag)
        case.clear()

    def clear_ended(self, name: str, state: str) -> None:
        case = self.cases[name]
        until(f"{name} is {state}", lambda: case.state == state)
        # A clear while the scheduler ends the run is lost: the run ends, and the task is not run again.
        until(f"the run of {name} has ended", lambda: case.airflow.run(case.dag, case.run)["state"] == state)
        case.clear()

    def change_retries(self) -> None:
        """In the DAG file; so that the clear leaves the tasks' ``max_tries`` as they are."""
        live, ended = self.cases["changed-live"], self.cases["changed-ended"]
        until("one task has ended, the other waits", lambda: (ended.state, live.state) == ("success", "deferred"))
        file = self.dags / "acts_changed.py"
        text = file.read_text()
        assert "retries=2" in text
        file.write_text(text.replace("retries=2", "retries=1"))
        until("Airflow has read the changed file", lambda: self.airflow.get("dags/acts_changed/tasks/ended")["retries"] == 1)
        before = [self.airflow.task(case.dag, case.run, case.task)["max_tries"] for case in (live, ended)]
        self.airflow.clear("acts_changed", live.run, ["follow", "ended"])
        assert [self.airflow.task(case.dag, case.run, case.task)["max_tries"] for case in (live, ended)] == before

    def end(self) -> None:
        """Let all runs come to their end."""
        for case in self.cases.values():
            case.remote.finish(case.script)
        for case in self.cases.values():
            until(f"{case.dag} has ended", lambda case=case: self._ended(case))  # type: ignore[misc]

    def _ended(self, case: Case) -> bool:
        case.remote.finish(case.script)
        return self.airflow.run(case.dag, case.run)["state"] in ("success", "failed")


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    try:
        server = Postgres(free_ports(1)[0], tmp_path_factory.mktemp("postgres") / "log")
    except LocalAirflowError as missing:
        pytest.skip(str(missing))
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("acts_dags")
    shutil.copytree(HERE / "dags", folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture(scope="module")
def airflow(emulator: Emulator, dags: Path, postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    connections = {conn_id: text for system in emulator.systems.values() for conn_id, text in system.connections.items()}
    settings = {
        "AIRFLOW__CORE__PARALLELISM": "8",
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(HERE / "plugins"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"postgresql+psycopg2://{postgres.address}",
    }
    with LocalAirflow(tmp_path_factory.mktemp("acts"), dags=dags, connections=connections, settings=settings) as airflow:
        yield airflow


@pytest.fixture(scope="module")
def acts(airflow: LocalAirflow, emulator: Emulator, dags: Path, postgres: Postgres) -> Iterator[Acts]:
    acts = Acts(airflow, emulator, dags, postgres)
    for remote in acts.remotes.values():
        remote.slow_cancels(CANCEL_SECONDS)
    names = ("dagrun_timeout", "paused", "no_retries", "changed", "lingering", "mapped")
    airflow.unpause(*(f"acts_{name}" for name in (*names, *(f"{system}_{mode}" for system, mode in BOTH))))
    try:
        acts.begin()
        acts.act()
        yield acts
        acts.end()
    finally:
        emulator.faults.clear()


@pytest.mark.parametrize(("system", "mode", "act"), ENDS)
def test_ending_a_task_cancels_its_execution_once(acts: Acts, system: str, mode: str, act: str) -> None:
    acts.cases[f"{system}-{mode}-{act}"].check_stopped(STATES.get(act, act))


@pytest.mark.parametrize(("system", "mode"), BOTH)
def test_clearing_a_task_cancels_the_old_execution_and_starts_one_new(acts: Acts, system: str, mode: str) -> None:
    acts.cases[f"{system}-{mode}-cleared"].check_started_anew()


@pytest.mark.parametrize("system", REMOTES)
def test_an_evicted_worker_cancels_nothing_and_the_retry_re_attaches(acts: Acts, system: str) -> None:
    case = acts.cases[f"{system}-running-evicted"]
    until("the second try follows it", lambda: "Re-attaching to execution" in case.log(2))
    assert "was left alone" in case.log(1)
    assert case.asked == (1, 0)
    case.remote.finish(case.script)
    until("the task has succeeded", lambda: case.state == "success")
    assert case.airflow.xcom(case.dag, case.run, case.task)["ref"] == case.executions[0].ref


@pytest.mark.parametrize("name", TIMED_OUT)
def test_dagrun_timeout_cancels_once(acts: Acts, name: str) -> None:
    acts.cases[name].check_stopped("skipped")


def test_while_a_dag_is_paused_a_clear_does_nothing_and_then_what_a_clear_does(acts: Acts) -> None:
    state, starts, cancels, status = acts.while_paused
    assert (starts, cancels, status) == (1, 0, "INPROGRESS")
    assert state != "deferred"
    acts.cases["paused"].check_started_anew()


def test_a_clear_without_retries_is_no_retry(acts: Acts) -> None:
    acts.cases["no-retries-live"].check_started_anew()
    ended = acts.cases["no-retries-ended"]
    until("the second execution has failed, too", lambda: ended.state == "failed" and len(ended.executions) == 2)
    assert ended.asked == (2, 0)


def test_a_retry_after_a_failed_execution_starts_one_more(acts: Acts) -> None:
    case = acts.cases["retried"]
    until("the second try has failed, too", lambda: case.state == "failed")
    assert case.asked == (2, 0)


def test_a_clear_is_known_although_the_number_of_retries_was_changed(acts: Acts) -> None:
    acts.cases["changed-live"].check_started_anew()
    ended = acts.cases["changed-ended"]
    until("the cleared task has succeeded again", lambda: len(ended.executions) == 2 and ended.state == "success")
    assert ended.asked == (2, 0)


def test_of_mapped_tasks_only_the_one_acted_upon_is_touched(acts: Acts) -> None:
    untouched, cleared, failed = (acts.cases[f"mapped-{index}"] for index in range(3))
    failed.check_stopped("failed")
    cleared.check_started_anew()
    assert (untouched.state, untouched.asked, untouched.executions[0].status) == ("deferred", (1, 0), "INPROGRESS")


def test_a_trigger_that_lives_on_after_its_event_cancels_nothing(acts: Acts) -> None:
    """The task has succeeded, and leaves the execution waiting for a person."""
    case = acts.cases["lingering"]
    until("the trigger was killed after its event", lambda: "Killed after the event." in case.log())
    assert case.state == "success"
    assert case.asked == (1, 0)
    assert case.executions[0].status == "WAITING_FOR_APPLY"


def test_in_all_each_was_started_and_cancelled_as_often_as_it_had_to_be(acts: Acts) -> None:
    acts.end()
    assert {name: case.asked for name, case in acts.cases.items()} == {
        name: (case.starts, case.cancels) for name, case in acts.cases.items()
    }
