"""What breaks, and when: each event waits until it hits what it is to hit."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from tests.airflow.chaos.cluster import TRIGGERERS, WORKERS, Cluster
from tests.airflow.chaos.remote import Remote
from tests.airflow.chaos.verdict import Expected, name_of
from tests.airflow.local_airflow import until

T = TypeVar("T")
Say = Callable[[str], None]

HOLD = 20.0
"""Seconds that an answer is held back, so that a worker can be killed before it comes."""
ACTED_ON = ("buddy_deferred", "tracecat_running")
MANY = 6
"""Executions that are to go on when the remote systems go away."""
GRACE = 8.0
"""Seconds that a worker or triggerer has to end in after SIGTERM."""
PATIENCE = 20.0
"""Seconds without anything to hit, after which new tasks are started."""
DEADLINE = 900.0
"""Seconds until something is there to hit, or has come of an act; else the run fails, since it does not prove what it should."""
LENIENCE = 60.0
"""Seconds until something has come of an act in a control, which goes on without."""


class Chaos:
    """
    One run of it.

    :param say: gets a line for each event. :param dag: whose tasks are hit.
    :param control: whether it is to do harm: an act need not have its effect then, nor all tasks end.
    """

    def __init__(self, cluster: Cluster, remote: Remote, say: Say, dag: str = "chaos", control: bool = False) -> None:
        self.cluster = cluster
        self.remote = remote
        self.say = say
        self.dag = dag
        self.control = control
        self.expected = Expected()
        self.runs: list[str] = []

    def trigger(self, dag: str) -> str:
        """Start another run of a DAG."""
        self.runs.append(self.cluster.trigger(dag))
        return self.runs[-1]

    def begin(self) -> None:
        """Start tasks to hit."""
        self.trigger(self.dag)

    def await_end(self, timeout: float) -> None:
        """Wait for the end of all tasks."""
        if self._settle("all tasks have ended", lambda: not self._unfinished(), timeout, every=2.0):
            self.say("All tasks have ended")

    # Workers

    def break_worker(self, how: signal.Signals, *, while_starting: bool = False, among: Sequence[str] = WORKERS) -> None:
        """
        Kill a worker that has tasks between their start request and the note of the answer, or tasks that wait for executions.

        A signal goes to all processes, as from systemd. SIGTERM is followed by SIGKILL, as in evictions.
        """
        if while_starting:
            self.remote.hold_answers(HOLD)
        what = "between start request and note" if while_starting else "waiting"
        tasks = self._held if while_starting else self._waiting
        name, hit = self._target(f"a worker has tasks {what}", lambda: self._most(among, tasks()))
        if while_starting:
            self.remote.behave()
        self.say(f"{how.name} to {name}, which has {hit} tasks {what}")
        self._break(name, how)

    def orphan_tasks(self) -> None:
        """Kill the first process of a worker only: its tasks live on, without anybody to report to in Celery."""
        name, hit = self._target("a worker has tasks waiting", lambda: self._most(WORKERS, self._waiting()))
        self.say(f"SIGKILL to the first process of {name} only, which has {hit} tasks waiting")
        self.cluster.components[name].behead()
        self.cluster.components[name].start()

    def _held(self) -> list[str]:
        """Which worker has each of the tasks whose start request was accepted and not answered yet."""
        held = {request.subject for request in self.remote.starts() if request.held}
        return [ti["hostname"] for ti in self._running() if name_of(ti) in held] if held else []

    def _waiting(self) -> list[str]:
        """Which worker has each of the tasks that wait in it for an execution."""
        active = {one.task for one in self.remote.executions() if one.active}
        return [ti["hostname"] for ti in self._running() if ti["task_id"].endswith("_sync") and name_of(ti) in active and self._noted(ti)]

    def _running(self) -> list[dict[str, Any]]:
        """The tasks that run. Airflow tells for a while of some whose worker was killed; they don't count."""
        tasks = self.cluster.all_tasks(state="running")
        return [ti for ti in tasks if ti["hostname"] in WORKERS and self.cluster.components[ti["hostname"]].has(ti["pid"])]

    def _noted(self, ti: dict[str, Any]) -> bool:
        return "ref" in self.cluster.xcom_keys(ti["dag_id"], ti["dag_run_id"], ti["task_id"])

    # Triggerers

    def break_triggerer(self, how: signal.Signals) -> None:
        """Kill a triggerer that has triggers."""
        name, hit = self._target("a triggerer has triggers", lambda: self._most(TRIGGERERS, self._triggers(), least=3))
        self.say(f"{how.name} to {name}, which has {hit} triggers")
        self._break(name, how)

    def stop_triggerer(self) -> None:
        """Let a triggerer stand still until the other one has adopted its triggers, then let it come back."""
        name, hit = self._target("a triggerer has triggers", lambda: self._most(TRIGGERERS, self._triggers(), least=3))
        component = self.cluster.components[name]
        self.say(f"SIGSTOP to {name}, which has {hit} triggers")
        component.signal(signal.SIGSTOP)
        try:
            self._await(f"none is left at {name}", lambda: name not in self._triggers(), DEADLINE)
        finally:
            component.signal(signal.SIGCONT)
        self.say(f"SIGCONT to {name}: the other one has adopted them")

    def _triggers(self) -> list[str]:
        """Which triggerer has each of the triggers. Those of one that was killed since do not count."""
        jobs = [ti["triggerer_job"] for ti in self.cluster.all_tasks(state="deferred") if ti["triggerer_job"]]
        started = {name: self.cluster.components[name].started_at for name in TRIGGERERS}
        return [job["hostname"] for job in jobs if _epoch(job["start_date"]) > started[job["hostname"]]]

    def _most(self, names: Sequence[str], found: list[str], least: int = 1) -> tuple[str, int] | None:
        counted = [(name, number) for name, number in Counter(found).most_common() if name in names and number >= least]
        return counted[0] if counted else None

    def _break(self, name: str, how: signal.Signals) -> None:
        component = self.cluster.components[name]
        if how is signal.SIGKILL:
            component.kill()
        else:
            component.terminate(GRACE)
        component.start()

    # What all rely on

    def restart_scheduler(self, how: signal.Signals) -> None:
        """End the scheduler and start it again."""
        self.say(f"{how.name} to the scheduler, and a new one")
        self._break("scheduler", how)

    def restart_postgres(self) -> None:
        """Restart the metadata database; all connections break."""
        self.say("PostgreSQL restarts")
        self.cluster.postgres.stop()
        self.cluster.postgres.resume()

    def without_api(self, seconds: float) -> None:
        """Take Airflow's API server away for a while."""
        name, hit = self._target("a worker has tasks waiting", lambda: self._most(WORKERS, self._waiting()))
        self.say(f"Airflow's API server is away for {seconds:.0f} s; {name} has {hit} tasks waiting")
        server = self.cluster.components["api-server"]
        server.terminate(GRACE)
        self._pass(seconds)
        server.start()
        self.cluster.await_api()
        self.say("Airflow's API server answers again")

    def without_remote(self, seconds: float) -> None:
        """Take the remote systems away for a while."""

        def going_on() -> int:
            active = sum(one.active for one in self.remote.executions())
            return active if active >= MANY else 0

        active = self._target("many executions go on", going_on)
        self.say(f"The remote systems answer nothing for {seconds:.0f} s; {active} executions go on there")
        self.remote.go_away()
        self._pass(seconds)
        self.remote.behave()
        self.say("The remote systems answer again")

    def _pass(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._meanwhile()
            time.sleep(1.0)

    # What persons do

    def persons(self, *acts: str) -> None:
        """
        Let persons end tasks, each act in a run of its own with a deferred and a running task.

        :param acts: ``mark failed``, ``mark success``, ``clear`` (later marked success), ``fail run``, ``time out``: the run is all at once
            older than its ``dagrun_timeout``.
        """
        runs = {act: (dag := "acts_timeout" if act == "time out" else "acts", self.trigger(dag)) for act in acts}
        for dag, run in runs.values():
            for task in ACTED_ON:
                self.expected.stopped[_name(dag, run, task)] += 1
            self._await_active(dag, run)
        self._pass(10.0)  # a trigger asks Airflow once beforehand
        for act, (dag, run) in runs.items():
            self._await_active(dag, run)
            self.say(f"A person acts on a deferred and a running task: {act}")
            self._act(act, dag, run)
        for _, run in runs.values():
            self._await_stopped(run)
        if "clear" in runs:
            dag, run = runs["clear"]
            self._await_active(dag, run)
            for task in ACTED_ON:
                self.expected.stopped[_name(dag, run, task)] += 1
            self._act("mark success", dag, run)
            self._await_stopped(run)
        for act in runs.keys() & {"fail run", "time out"}:
            self._take_states(*runs[act])

    def _act(self, act: str, dag: str, run: str) -> None:
        if act.startswith("mark "):
            state = act.removeprefix("mark ")
            for task in ACTED_ON:
                self.cluster.set_task_state(dag, run, task, state)
                self.expected.states[_name(dag, run, task)] = state
        elif act == "clear":
            self.cluster.clear(dag, run, ACTED_ON)
            for task in ACTED_ON:
                self.expected.cleared[_name(dag, run, task)] += 1
        elif act == "fail run":
            self.cluster.set_run_state(dag, run, "failed")
        elif act == "time out":
            self.cluster.postgres.let_age(run)

    def _await_active(self, dag: str, run: str) -> None:
        def followed() -> bool:
            tasks = {ti["task_id"]: ti for ti in self.cluster.task_instances(dag, run)}
            active = {one.task for one in self.remote.executions() if one.active}
            deferred, running = (tasks[task] for task in ACTED_ON)
            return (
                (deferred["state"], running["state"]) == ("deferred", "running")
                and bool(deferred["triggerer_job"])
                and {name_of(deferred), name_of(running)} <= active
                and self._noted(running)
            )

        self._settle("both tasks follow their executions", followed)

    def _await_stopped(self, run: str) -> None:
        """The executions of before the act have ended."""

        def stopped() -> bool:
            mine = [one for one in self.remote.executions() if f"/{run}/" in one.task]
            ended = Counter(one.task for one in mine if not one.active)
            return all(ended[one.task] >= self.expected.stopped[one.task] for one in mine)

        self._settle("the executions have ended", stopped)

    def _take_states(self, dag: str, run: str) -> None:
        """Which of its end states a task gets when its run is ended, Airflow decides; an end it has to be."""

        def ended() -> dict[str, str | None] | None:
            states = self.cluster.states(dag, run)
            return states if set(states.values()) <= {"failed", "skipped"} else None

        states = self._settle("the tasks have ended", ended) or {}
        for task, state in states.items():
            self.expected.states[_name(dag, run, task)] = str(state)

    # Meanwhile

    def _unfinished(self) -> list[str]:
        return [name_of(ti) for ti in self.cluster.all_tasks() if ti["state"] not in ("success", "failed", "skipped", "upstream_failed")]

    def _target(self, what: str, probe: Callable[[], T | None]) -> T:
        """Wait for something to hit. Whenever there is nothing for a while, start the last DAG once more."""
        deadline = time.monotonic() + DEADLINE
        while True:
            try:
                found = self._await(what, probe, PATIENCE)
            except TimeoutError:
                if time.monotonic() >= deadline:
                    raise
                self.begin()
            else:
                assert found is not None
                return found

    def _settle(self, what: str, probe: Callable[[], T], timeout: float | None = None, every: float = 0.5) -> T | None:
        """Wait for what is to come of an act, or of all. A control goes on without."""
        try:
            return self._await(what, probe, timeout or (LENIENCE if self.control else DEADLINE), every)
        except TimeoutError as error:
            if not self.control:
                raise
            self.say(str(error))
            return None

    def _await(self, what: str, probe: Callable[[], T], timeout: float, every: float = 0.5) -> T:
        def look() -> T:
            self._meanwhile()
            return probe()

        return until(what, look, timeout, every)

    def _meanwhile(self) -> None:
        for name in self.cluster.supervise():
            self.say(f"{name} had ended by itself; a new one")
        self._fail_flaky()

    def _fail_flaky(self) -> None:
        """Let the first execution of each flaky task fail, so that its retry has to start a second one."""
        executions = self.remote.executions()
        of_task = Counter(one.task for one in executions)
        for one in executions:
            if "_flaky/" in one.task and one.active and of_task[one.task] == 1 and self.remote.fail(one):
                self.expected.failed[one.task] += 1


def _epoch(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()


def _name(dag: str, run: str, task: str) -> str:
    return f"{dag}/{run}/{task}/-1"
