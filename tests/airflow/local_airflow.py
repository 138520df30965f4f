"""A whole Airflow on this machine, for as long as a ``with`` block: ``airflow standalone`` with SQLite, driven through its REST API."""

from __future__ import annotations

import fcntl
import json
import os
import re
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx
import psutil

from tests.ports import free_ports

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

EXAMPLE_DAGS = Path(__file__).resolve().parents[2] / "example_dags"
LOGIN = "admin"
# Airflow's own limits, in seconds. With its default of 5 a worker gives up its task if the API server has much to do.
SLOW_MACHINE = {
    "AIRFLOW__API__LOG_FETCH_TIMEOUT_SEC": "60",
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "300",
    "AIRFLOW__DAG_PROCESSOR__DAG_FILE_PROCESSOR_TIMEOUT": "300",
    "AIRFLOW__DAG_PROCESSOR__HEALTH_CHECK_THRESHOLD": "300",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "300",
    "AIRFLOW__TRIGGERER__ON_KILL_TIMEOUT": "120",
    "AIRFLOW__TRIGGERER__RUNNER_HEALTH_CHECK_THRESHOLD": "300",
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
}
COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")
ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})

# Whatever the caller's Airflow is set to must not reach this one; nor what bends Python or the network.
_FOREIGN = re.compile(r"_?AIRFLOW_|PYTHON(?!UTF8|HASHSEED)|(?:https?|all|no)_proxy$", re.IGNORECASE)
# The API server waits for SQLite's lock in its event loop, where another request that holds the lock can't go on meanwhile (Airflow 3.3,
# log_action). Only giving up ends that; whoever asked gets a 500, and asks again.
_SQLITE_PATIENCE = """
import sys

CONNECT_ARGS = {"timeout": 3} if "api-server" in sys.argv or "api_server" in sys.argv[0] else {}
"""
PATIENCE = 600.0
"""Seconds to wait for anything that is to come: many times what it takes, for machines that have much else to do."""
_GRACE = 4.0
"""Seconds to end in after SIGTERM; a triggerer, or a worker whose API server has gone, now and then would take ten and more."""


class LocalAirflowError(RuntimeError):
    """Airflow did not start, or its REST API refused a request."""


def until(what: str, probe: Callable[[], T], timeout: float = PATIENCE, every: float = 0.2) -> T:
    """
    Ask again and again until the answer is truthy, and return it. At least half of the time is pause: Airflow needs it more.

    :raises TimeoutError: if it is not within ``timeout`` seconds; says ``what`` was waited for and the last answer.
    """
    asked = time.monotonic()
    deadline = asked + timeout
    while not (answer := probe()):
        now = time.monotonic()
        if now >= deadline:
            raise TimeoutError(f"Not within {timeout:g} s: {what}. Last answer: {answer!r}")
        time.sleep(max(every, now - asked))
        asked = time.monotonic()
    return answer


def family(leader: int) -> set[psutil.Process]:
    """A process that leads its session, and everything that it started: the descendants, and orphans, which stay in the session."""
    found: set[psutil.Process] = set()
    with suppress(psutil.Error):
        found.update([psutil.Process(leader), *psutil.Process(leader).children(recursive=True)])
    for pid in psutil.pids():
        with suppress(psutil.Error, OSError):
            if os.getsid(pid) == leader:
                found.add(psutil.Process(pid))
    return found


def alive(process: psutil.Process) -> bool:
    """Whether it runs: a zombie does not, nor does another process that was given its pid."""
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


class LocalAirflow:
    """
    Airflow with all its components; entering returns once all are healthy, leaving ends every process.

    :param home: AIRFLOW_HOME, kept afterwards; default: a temporary folder, removed afterwards.
    :param dags: folder with the DAGs.
    :param connections: connection id to connection, as JSON or URI.
    :param port: of the REST API and the UI; 0 takes a free one.
    :param settings: further ``AIRFLOW__SECTION__KEY`` variables, which win over those set here.
    :param python: of an environment with Airflow and this package; default: this one's.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        dags: Path = EXAMPLE_DAGS,
        connections: Mapping[str, str] | None = None,
        port: int = 0,
        settings: Mapping[str, str] | None = None,
        python: Path = Path(sys.executable),
    ) -> None:
        self._temporary = home is None
        self.home = Path(tempfile.mkdtemp(prefix="airflow-")) if home is None else home.resolve()
        self.dags = dags.resolve()
        self.connections = dict(connections or {})
        self.settings = dict(settings or {})
        self.port = port
        self.python = python
        self.password = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._restarted: list[subprocess.Popen[bytes]] = []
        self._variables: dict[str, str] = {}
        self._client: httpx.Client | None = None
        self._lock: IO[bytes] | None = None
        self._one_write = threading.Lock()

    @property
    def url(self) -> str:
        """Address of the UI."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def variables(self) -> dict[str, str]:
        """The environment variables of its processes, for commands beside it."""
        return dict(self._variables)

    @property
    def output(self) -> Path:
        """File with what all components printed."""
        return self.home / "components.log"

    # Start and end

    def __enter__(self) -> Self:
        try:
            self._start()
            self._await_health()
        except BaseException as error:
            tail = f"\n{self._tail()}" if self._process else ""
            self._stop()
            if not isinstance(error, Exception):
                raise
            raise LocalAirflowError(f"Airflow did not start: {error}{tail}") from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._stop()

    def _environment(self) -> dict[str, str]:
        api, worker_logs, trigger_logs = free_ports(3)
        self.port = self.port or api
        kept = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
        return {
            **kept,
            "PATH": os.pathsep.join((str(self.python.parent), kept.get("PATH", os.defpath))),
            "NO_COLOR": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "PYTHONUNBUFFERED": "1",
            "AIRFLOW_HOME": str(self.home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(self.dags),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "2",
            "AIRFLOW__CORE__TEST_CONNECTION": "Enabled",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"{LOGIN}:admin",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(self.home / "passwords.json"),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__WORKERS": "1",
            **self._database(),
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            **SLOW_MACHINE,
            "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(worker_logs),
            "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(trigger_logs),
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.1",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            # A worker that misses the end of its task's process notices it only at the next heartbeat (Airflow 3.3; default 5
            # seconds). Should a deferred task be due again by then, the scheduler takes the late news for a failure.
            "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
            **{f"AIRFLOW_CONN_{conn_id.upper()}": value for conn_id, value in self.connections.items()},
            **self.settings,
        }

    def _database(self) -> dict[str, str]:
        """Settings for SQLite, unless there is another database."""
        if "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN" in self.settings:
            return {}
        return {
            # The default of 5 seconds is too short for several components on one file.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.home / 'airflow.db'}?timeout=120",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONNECT_ARGS": "sqlite_patience.CONNECT_ARGS",
        }

    def _prepare(self) -> None:
        """Make the home this one's own, with a password in it."""
        self.home.mkdir(parents=True, exist_ok=True)
        self._lock = (self.home / "lock").open("wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LocalAirflowError(f"another one runs in {self.home}") from None
        passwords = self.home / "passwords.json"
        if not passwords.exists():
            passwords.touch(mode=0o600)
            passwords.write_text(json.dumps({LOGIN: secrets.token_urlsafe(12)}))
        self.password = json.loads(passwords.read_text())[LOGIN]

    def _start(self) -> None:
        self._prepare()
        # Readers and the one writer then don't lock each other out. The file remembers it.
        database = sqlite3.connect(self.home / "airflow.db")
        database.execute("PRAGMA journal_mode=WAL")
        database.close()
        (self.home / "config").mkdir(exist_ok=True)
        (self.home / "config" / "sqlite_patience.py").write_text(_SQLITE_PATIENCE)
        self._variables = environment = self._environment()
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                [self.python, "-m", "airflow", "standalone"],
                cwd=self.home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._connect()

    def _connect(self) -> None:
        # Several ports and a proxy in the environment must not matter here either.
        self._client = httpx.Client(base_url=self.url, timeout=60.0, trust_env=False)

    def _await_health(self) -> None:
        process = self._process

        def healthy() -> bool:
            assert process is not None
            if process.poll() is not None:
                raise LocalAirflowError(f"airflow standalone ended with exit code {process.returncode}")
            # It goes on without a component that ended, and never collects it. (Helpers on the way take no second.)
            for child in psutil.Process(process.pid).children():
                with suppress(psutil.NoSuchProcess):
                    if child.status() == psutil.STATUS_ZOMBIE and time.time() - child.create_time() > 1.0:
                        raise LocalAirflowError("a component ended")
            return self._healthy()

        until("all components are healthy", healthy)
        self._log_in()

    def _healthy(self) -> bool:
        assert self._client is not None
        with suppress(httpx.TransportError, ValueError):
            health = self._client.get("/api/v2/monitor/health", timeout=30.0).json()
            return all((health.get(name) or {}).get("status") == "healthy" for name in COMPONENTS)
        return False

    def _log_in(self) -> None:
        assert self._client is not None
        client = self._client
        answer = client.post("/auth/token", json={"username": LOGIN, "password": self.password})
        answer.raise_for_status()
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def _tail(self, lines: int = 60) -> str:
        with suppress(OSError):
            return "\n".join(self.output.read_text(errors="replace").splitlines()[-lines:])
        return ""

    def _processes(self) -> set[psutil.Process]:
        """Everything that was started here, and what was started again."""
        if self._process is None:
            return set()
        return family(self._process.pid).union(*(family(process.pid) for process in self._restarted))

    def _stop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
        if self._process is not None:
            # Noted first: what loses its parent could not be found afterwards, and would go on holding its port.
            known = self._processes()
            leader = psutil.Process(self._process.pid)
            try:
                # The leader goes last: it carries the others' output into the file. Not SIGINT: that reaches the scheduler
                # twice, by the group and by the leader, and it then hangs in its shutdown.
                for group in (known - {leader}, {leader}):
                    self._signal(group, signal.SIGTERM)
                    self._await_end(group)
            finally:  # also when a second Ctrl-C comes
                known |= self._processes()
                self._signal(known, signal.SIGKILL)
                self._await_end(known)
                for process in (self._process, *self._restarted):
                    process.wait()
                self._process, self._restarted = None, []
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if self._temporary:
            shutil.rmtree(self.home, ignore_errors=True)

    @staticmethod
    def _signal(processes: Collection[psutil.Process], number: signal.Signals) -> None:
        for process in processes:
            with suppress(psutil.Error):
                process.send_signal(number)

    def _await_end(self, processes: Collection[psutil.Process]) -> None:
        deadline = time.monotonic() + _GRACE
        while time.monotonic() < deadline:
            if self._process is not None:
                self._process.poll()
            if not any(map(alive, processes)):
                return
            time.sleep(0.05)

    # Components

    def kill(self, component: str) -> None:
        """Let a component, such as ``triggerer``, die at once, with all its processes."""
        of = [process for process in self._processes() if alive(process) and component in process.cmdline()]
        if not of:
            raise LocalAirflowError(f"no {component} runs")
        processes = {*of, *(child for process in of for child in process.children(recursive=True))}
        self._signal(processes, signal.SIGKILL)
        self._await_end(processes)

    def start(self, component: str) -> None:
        """Start a component again that was killed."""
        with self.output.open("ab") as output:
            self._restarted.append(
                subprocess.Popen(
                    [self.python, "-m", "airflow", component],
                    cwd=self.home,
                    env=self._variables,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            )

    # REST

    def request(self, method: str, path: str, *, fine: Collection[int] = (), **arguments: Any) -> Any:
        """
        Send a request below ``/api/v2`` and return the JSON of the answer, None if there is no content.

        Repeated after a dropped connection and after a 5xx, since SQLite may be locked for a moment.

        :param fine: further statuses that are no error.
        :raises LocalAirflowError: if Airflow refuses.
        """
        if self._client is None:
            raise LocalAirflowError("Airflow is not running.")
        for attempt in range(5):
            try:
                with nullcontext() if method == "GET" else self._one_write:
                    answer = self._client.request(method, f"/api/v2/{path}", **arguments)
            except httpx.TransportError:
                if attempt == 4:
                    raise
            else:
                if answer.status_code < 500 or attempt == 4:
                    break
            time.sleep(0.5 * 2**attempt)
        if not answer.is_success and answer.status_code not in fine:
            raise LocalAirflowError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json() if answer.content else None

    def of_interface(self, path: str) -> Any:
        """What the web interface reads below ``/ui``."""
        if self._client is None:
            raise LocalAirflowError("Airflow is not running.")
        return self._client.get(f"/ui/{path}").raise_for_status().json()

    def get(self, path: str, **params: Any) -> Any:
        """GET; keyword arguments are the query."""
        return self.request("GET", path, params=params)

    def post(self, path: str, body: Any, *, fine: Collection[int] = ()) -> Any:
        """POST a JSON body. Sent again after a 5xx."""
        return self.request("POST", path, json=body, fine=fine)

    def patch(self, path: str, body: Any) -> Any:
        """PATCH with a JSON body."""
        return self.request("PATCH", path, json=body)

    def delete(self, path: str) -> Any:
        """DELETE."""
        return self.request("DELETE", path)

    # DAGs, runs, tasks

    def pause(self, dag: str) -> None:
        """Let nothing new of a DAG run."""
        self.patch(f"dags/{dag}", {"is_paused": True})

    def unpause(self, *dags: str, timeout: float = PATIENCE) -> None:
        """Let DAGs run, once the DAG processor has found them."""
        for dag in dags:
            self.wait_for_dag(dag, timeout)
            self.patch(f"dags/{dag}", {"is_paused": False})

    def wait_for_dag(self, dag: str, timeout: float = PATIENCE) -> None:
        """Wait until the DAG processor has found a DAG."""
        until(f"DAG {dag} is there", partial(self._is_there, f"dags/{dag}"), timeout)

    def _is_there(self, path: str) -> bool:
        return "dag_id" in self.request("GET", path, fine=[404])

    def trigger(self, dag: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a run and return its id."""
        run = f"manual__{uuid.uuid4()}"
        # The id is ours, so that a repeated request cannot start a second run.
        self.post(f"dags/{dag}/dagRuns", {"dag_run_id": run, "logical_date": None, "conf": dict(conf or {})}, fine=[409])
        return run

    def run(self, dag: str, run: str) -> dict[str, Any]:
        """One DAG run."""
        return dict(self.get(_path(dag, run)))

    def task_instances(self, dag: str, run: str) -> list[dict[str, Any]]:
        """The task instances of a run."""
        return list(self.get(f"{_path(dag, run)}/taskInstances")["task_instances"])

    def task(self, dag: str, run: str, task: str) -> dict[str, Any]:
        """One task instance."""
        return dict(self.get(_path(dag, run, task)))

    def states(self, dag: str, run: str) -> dict[str, str | None]:
        """Task id to state."""
        return {ti["task_id"]: ti["state"] for ti in self.task_instances(dag, run)}

    def wait_for_task(self, dag: str, run: str, task: str, states: str | Collection[str], timeout: float = PATIENCE) -> dict[str, Any]:
        """
        Wait for one of ``states`` and return the task instance.

        :raises LocalAirflowError: if the task ends in another one. :raises TimeoutError: if it takes too long.
        """
        wanted = {states} if isinstance(states, str) else set(states)

        def look() -> dict[str, Any] | None:
            found = self.task(dag, run, task)
            if found["state"] in wanted:
                return found
            if found["state"] in ENDED:
                said = "\n".join(self.log(dag, run, task, found["try_number"])[-30:])
                raise LocalAirflowError(f"{dag}.{task} is {found['state']}, not {' or '.join(sorted(wanted))}.\n{said}")
            return None

        found = until(f"{dag}.{task} is {' or '.join(sorted(wanted))}", look, timeout)
        assert found is not None
        return found

    def wait_for_deferred(self, dag: str, run: str, task: str, map_index: int = -1) -> dict[str, Any]:
        """
        Wait until a task waits in the triggerer and the worker that began it has ended its part, and return the task instance.

        Should it be due again long before that, Airflow takes the late news of the worker for a failure.
        """
        found = self.wait_for_task(dag, run, task if map_index < 0 else f"{task}/{map_index}", "deferred")
        until(f"no worker has {dag}.{task}", lambda: not self.workers_of(found))
        return found

    def workers_of(self, ti: Mapping[str, Any]) -> list[psutil.Process]:
        """The worker process that has a task instance, if any."""
        found = []
        for process in self._processes():
            with suppress(psutil.Error):
                title = " ".join(process.cmdline())
                if "LocalExecutor" in title and str(ti["id"]) in title:
                    found.append(process)
        return found

    def wait_for_rest(self) -> dict[str, Any]:
        """Wait until no task runs or is about to, and return the pool of that moment."""

        def at_rest() -> dict[str, Any] | None:
            pool = self.pool()
            return pool if pool["running_slots"] + pool["queued_slots"] == 0 else None

        pool = until("no task runs", at_rest)
        assert pool is not None
        return pool

    def wait_for_run(self, dag: str, run: str, states: str | Collection[str] = "success", timeout: float = PATIENCE) -> str:
        """
        Wait for the end of a run and return its state.

        :raises LocalAirflowError: if that is none of ``states``. :raises TimeoutError: if it takes too long.
        """
        wanted = {states} if isinstance(states, str) else set(states)

        def look() -> str | None:
            state = str(self.run(dag, run)["state"])
            return state if state in wanted | {"success", "failed"} else None

        state = until(f"run {run} of {dag} is {' or '.join(sorted(wanted))}", look, timeout)
        if state not in wanted:
            raise LocalAirflowError(f"Run {run} of {dag} is {state}: {self.states(dag, run)}")
        assert state is not None
        return state

    def xcom(self, dag: str, run: str, task: str, key: str = "return_value", map_index: int | None = None) -> Any:
        """
        The value of an XCom.

        :raises LocalAirflowError: if there is none.
        """
        index = {} if map_index is None else {"map_index": map_index}
        return self.get(f"{_path(dag, run, task)}/xcomEntries/{quote(key, safe='')}", **index)["value"]

    def xcom_keys(self, dag: str, run: str, task: str) -> set[str]:
        """The keys of a task's XComs."""
        return {entry["key"] for entry in self.get(f"{_path(dag, run, task)}/xcomEntries", limit=100)["xcom_entries"]}

    def log_entries(self, dag: str, run: str, task: str, try_number: int = 1, map_index: int = -1) -> list[dict[str, Any]]:
        """The entries of a task's log, of worker and trigger; empty if there is none yet."""
        path = f"{_path(dag, run, task)}/logs/{try_number}"
        query = {"full_content": True, "map_index": map_index}
        answer = self.request("GET", path, params=query, headers={"Accept": "application/json"}, fine=[404])
        content = answer.get("content") or []
        return [entry if isinstance(entry, dict) else {"event": str(entry)} for entry in content]

    def log(self, dag: str, run: str, task: str, try_number: int = 1, map_index: int = -1) -> list[str]:
        """The texts of a task's log."""
        return [str(entry.get("event", "")) for entry in self.log_entries(dag, run, task, try_number, map_index)]

    def links(self, dag: str, run: str, task: str) -> dict[str, str | None]:
        """Name to URL of a task's extra links."""
        return dict(self.get(f"{_path(dag, run, task)}/links")["extra_links"])

    def required_action(self, dag: str, run: str, task: str = "gate") -> dict[str, Any]:
        """What a task asks of a person, and what was answered."""
        return dict(self.get(f"{_path(dag, run, task)}/-1/hitlDetails"))

    def answer(self, dag: str, run: str, option: str, values: Mapping[str, Any] | None = None, task: str = "gate") -> None:
        """Answer it, as a person does in the UI."""
        self.patch(f"{_path(dag, run, task)}/-1/hitlDetails", {"chosen_options": [option], "params_input": dict(values or {})})

    def pool(self, name: str = "default_pool") -> dict[str, Any]:
        """A pool with its slots."""
        return next(pool for pool in self.get("pools")["pools"] if pool["name"] == name)

    def set_task_state(self, dag: str, run: str, task: str, state: str) -> None:
        """Mark a task as ``failed``, ``success`` or ``skipped``, as a person does in the UI."""
        self.patch(_path(dag, run, task), {"new_state": state})

    def set_run_state(self, dag: str, run: str, state: str) -> None:
        """Mark a run as ``failed`` or ``success``, as a person does in the UI."""
        self.patch(_path(dag, run), {"state": state})

    def clear(self, dag: str, run: str, tasks: Sequence[str | tuple[str, int]], *, downstream: bool = True) -> None:
        """Clear tasks of a run, as a person does in the UI: they run again. ``(task, map index)`` is one of a mapped task."""
        body = {
            "dry_run": False,
            "dag_run_id": run,
            "task_ids": list(tasks),
            "only_failed": False,
            "include_downstream": downstream,
            "reset_dag_runs": True,
        }
        self.post(f"dags/{dag}/clearTaskInstances", body)


def _path(dag: str, run: str, task: str | None = None) -> str:
    path = f"dags/{dag}/dagRuns/{quote(run, safe='')}"
    return path if task is None else f"{path}/taskInstances/{task}"
