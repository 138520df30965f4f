"""
Runs tasks as Airflow does, without a database or a server: real Task SDK runner, real context, templates, XComs, connections, task state
store, deferral with kwargs, triggers, retries, clears, signals. Only the Execution API behind it is played, in memory.

It leans on parts of the SDK that are no promised interface, so they are all used here and nowhere else.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import httpx
import psutil
import structlog
from airflow.jobs.triggerer_job_runner import _USER_ACTION_CANCEL_MSG, TriggerRunner
from airflow.sdk import DAG, BaseOperator
from airflow.sdk.api.datamodels._generated import TaskInstance
from airflow.sdk.execution_time.comms import DeferTask, RescheduleTask
from airflow.sdk.execution_time.supervisor import (
    InProcessSupervisorComms,
    InProcessTestSupervisor,
    run_task_in_process,
    set_supervisor_comms,
)
from airflow.sdk.serde import deserialize, serialize
from airflow.triggers.base import BaseTrigger
from structlog.testing import capture_logs

_NO_CONNECTION = dict.fromkeys(("conn_type", "host", "schema", "login", "password", "port", "extra"))
DAG_ID, RUN_ID = "harness", "manual__1"


@dataclass
class PlayedApi:
    """The Execution API of one task instance, as the handler of an httpx transport."""

    connections: dict[str, dict[str, Any]]
    run: dict[str, Any] = field(default_factory=dict)
    xcoms: dict[str, Any] = field(default_factory=dict)
    store: dict[str, Any] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    refuse_store: bool = False
    """Whether a newer try has taken over."""
    calls: list[tuple[str, str, Any]] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        path = request.url.path.strip("/").split("/")
        self.calls.append((request.method, request.url.path, body))
        missing = httpx.Response(404, json={"detail": {"reason": "not_found", "message": "no"}})
        match request.method, path:
            case "PATCH", ["task-instances", _, "run"]:
                return httpx.Response(200, json=self.run)
            case "GET", ["task-instances", "states"]:
                return httpx.Response(200, json={"task_states": {RUN_ID: self.states}})
            case "GET", ["task-reschedules", _, "start_date"]:
                return httpx.Response(200, json=self.run["dag_run"]["start_date"])
            case "GET", ["connections", conn_id]:
                found = self.connections.get(conn_id)
                return httpx.Response(200, json={"conn_id": conn_id, **_NO_CONNECTION, **found}) if found else missing
            case "GET", ["xcoms", _, _, _, key]:
                return httpx.Response(200, json={"key": key, "value": self.xcoms[key]}) if key in self.xcoms else missing
            case "POST", ["xcoms", _, _, _, key]:
                self.xcoms[key] = body
                return httpx.Response(201, json={"message": "ok"})
            case "DELETE", ["xcoms", _, _, _, key]:
                self.xcoms.pop(key, None)
                return httpx.Response(200, json={"message": "ok"})
            case "GET", ["store", "ti", _, key]:
                return httpx.Response(200, json={"value": self.store[key]}) if key in self.store else missing
            case "PUT", ["store", "ti", _, key]:
                if self.refuse_store:
                    return missing
                self.store[key] = json.loads(json.dumps(body["value"]))
                return httpx.Response(204)
            case "PATCH", _:
                return httpx.Response(204)
        return httpx.Response(200, json={"ok": True})

    def client(self) -> Any:
        client = InProcessTestSupervisor._Client(base_url=None, dry_run=True, token="", transport=httpx.MockTransport(self))
        client.base_url = "http://in-memory.invalid/"
        return client


class _TriggerComms:
    """What a trigger's supervisor answers; sync and async, from any thread."""

    def __init__(self, api: PlayedApi) -> None:
        self._supervisor = InProcessTestSupervisor(
            id=uuid.uuid4(),
            pid=os.getpid(),
            process=psutil.Process(),
            process_log=structlog.get_logger(logger_name="task"),
            client=api.client(),
        )
        self._supervisor.comms = InProcessSupervisorComms(supervisor=self._supervisor)
        self._lock = threading.RLock()  # a handler may send in its turn

    def send(self, msg: Any) -> Any:
        with self._lock:
            self._supervisor._handle_request(msg, structlog.get_logger(), 0)
            return self._supervisor.comms.messages.popleft()

    async def asend(self, msg: Any) -> Any:
        return await asyncio.to_thread(self.send, msg)


@dataclass
class Ended:
    """How a try ended."""

    state: str
    error: BaseException | None
    xcoms: dict[str, Any]
    defers: int
    reschedules: int
    logs: list[dict[str, Any]]

    @property
    def result(self) -> Any:
        return self.xcoms.get("return_value")

    @property
    def text(self) -> str:
        """The task's log, a line an entry."""
        return "\n".join(f"{entry['log_level']}: {entry['event']}" for entry in self.logs)

    @property
    def skipped_because(self) -> str:
        return next((str(entry["reason"]) for entry in self.logs if entry["event"] == "Skipping task."), "")


class TaskRun:
    """
    One task instance and its tries.

    :param make: builds the task, anew for each worker process that Airflow would start.
    :param connections: conn id to fields.
    """

    def __init__(
        self,
        make: Callable[[], BaseOperator],
        connections: dict[str, dict[str, Any]],
        *,
        retries: int = 2,
        map_index: int = -1,
        params: dict[str, Any] | None = None,
    ) -> None:
        self.make = make
        self.map_index = map_index
        self.params = params
        self.retries = retries
        self.max_tries = retries
        self.try_number = 0
        self.clear_number = 0
        self.api = PlayedApi(connections)
        self.on_defer: Callable[[DeferTask], None] | None = None
        """Called at each deferral, before the trigger runs."""
        self.after_trigger: Callable[[dict[str, Any]], None] | None = None
        """Called with the trigger's event, before the task is resumed."""
        self.deferred: DeferTask | None = None

    # What Airflow does between tries

    def clear(self) -> None:
        """A person clears the task: as Airflow counts it."""
        self.clear_number += 1
        self.max_tries = max(self.try_number, 0) + self.retries

    @property
    def state_key(self) -> str:
        task_id = self._task().task_id
        return task_id if self.map_index < 0 else f"{task_id}_{self.map_index}"

    def _task(self) -> BaseOperator:
        with DAG(DAG_ID, schedule=None, params=self.params):
            return self.make()

    def run(self, limit: int = 200) -> Ended:
        """The next try, to its end, through all its deferrals and reschedules."""
        self.try_number += 1
        api = self.api
        now = datetime.now(timezone.utc).isoformat()
        phase: dict[str, Any] = {}
        defers = reschedules = 0
        with capture_logs() as logs:
            for _ in range(limit):
                task = self._task()
                task.retries = self.retries
                api.states[self.state_key] = api.states.get(self.state_key, "running")
                api.run = {
                    "dag_run": {
                        "dag_id": DAG_ID,
                        "run_id": RUN_ID,
                        "logical_date": now,
                        "start_date": now,
                        "run_after": now,
                        "data_interval_start": None,
                        "data_interval_end": None,
                        "end_date": None,
                        "partition_key": None,
                        "run_type": "manual",
                        "state": "running",
                        "conf": {},
                        "consumed_asset_events": [],
                        "clear_number": self.clear_number,
                    },
                    "max_tries": self.max_tries,
                    "should_retry": self.try_number <= self.max_tries,
                    "task_reschedule_count": reschedules,
                    "xcom_keys_to_clear": [] if phase else list(api.xcoms),
                    **phase,
                }
                ti = TaskInstance(
                    id=uuid.uuid4(),
                    task_id=task.task_id,
                    dag_id=DAG_ID,
                    run_id=RUN_ID,
                    try_number=self.try_number,
                    map_index=self.map_index,
                    dag_version_id=uuid.uuid4(),
                )
                ended = run_task_in_process(ti, task, client=api.client())
                if isinstance(ended.msg, DeferTask):
                    defers += 1
                    self.deferred = ended.msg
                    if self.on_defer:
                        self.on_defer(ended.msg)
                    event = self.run_trigger()
                    if self.after_trigger:
                        self.after_trigger(event)
                    phase = self.resume(event)
                    continue
                if isinstance(ended.msg, RescheduleTask):
                    reschedules += 1
                    phase = {}
                    continue
                state = str(getattr(ended.state, "value", ended.state))
                xcoms = {key: self._plain(value) for key, value in api.xcoms.items()}
                return Ended(state, ended.error, xcoms, defers, reschedules, list(logs))
        raise AssertionError(f"the task did not end after {limit} phases")

    @staticmethod
    def _plain(value: Any) -> Any:
        return deserialize(value) if isinstance(value, (dict, list)) else value

    def resume(self, event: Any) -> dict[str, Any]:
        """What Airflow tells the worker that resumes the task."""
        assert self.deferred is not None
        kwargs = {**deserialize(self.deferred.next_kwargs or {}), "event": event}
        return {"next_method": self.deferred.next_method, "next_kwargs": serialize(kwargs)}

    # Triggers

    def trigger(self) -> BaseTrigger:
        """The trigger of the last deferral, rebuilt from what Airflow stored."""
        assert self.deferred is not None
        module, _, name = self.deferred.classpath.rpartition(".")
        cls = getattr(__import__(module, fromlist=[name]), name)
        trigger: BaseTrigger = cls(**deserialize(json.loads(json.dumps(self.deferred.trigger_kwargs))))
        trigger.task_instance = TaskInstance(  # type: ignore[assignment]
            id=uuid.uuid4(),
            task_id=self._task().task_id,
            dag_id=DAG_ID,
            run_id=RUN_ID,
            try_number=self.try_number,
            map_index=self.map_index,
            dag_version_id=uuid.uuid4(),
        )
        return trigger

    def run_trigger(self) -> dict[str, Any]:
        """Run the trigger of the last deferral to its event."""
        trigger = self.trigger()

        async def first() -> Any:
            runner, task = _started(trigger)
            await task
            return runner.events[0].event.payload

        with self.comms():
            event: dict[str, Any] = asyncio.run(first())
        return event

    @contextmanager
    def comms(self) -> Iterator[_TriggerComms]:
        """What a triggerer gives its triggers."""
        comms = _TriggerComms(self.api)
        with set_supervisor_comms(comms):
            yield comms

    def kill_trigger(
        self, ready: Callable[[], bool], state: str | None, *, linger: float = 0.0, until: Callable[[], bool] = lambda: False
    ) -> list[dict[str, Any]]:
        """
        Run the trigger of the last deferral, and let Airflow take it away once ``ready``.

        :param state: the task's state by then, as Airflow tells it.
        :param linger: seconds that the triggerer lives on afterwards, or ``until`` then.
        :returns: its log.
        """
        trigger = self.trigger()

        async def run() -> None:
            _, task = _started(trigger)
            while not ready():
                await asyncio.sleep(0.02)
            self.api.states[self.state_key] = state
            pause = 0.05
            while not task.done():
                task.cancel(_USER_ACTION_CANCEL_MSG)  # Airflow repeats it about once a second
                await asyncio.wait([task], timeout=pause)
                pause = 1.0
            end = time.monotonic() + linger
            while time.monotonic() < end and not until():
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.05 if linger else 0.0)  # what was begun by then may end

        with self.comms(), capture_logs() as logs:
            asyncio.run(run())
        return list(logs)

    # Workers

    @contextmanager
    def terminated(self, when: Callable[[], bool], state: str | None) -> Iterator[None]:
        """Send the worker SIGTERM once ``when``; ``state`` is the task's state by then."""
        stop = threading.Event()

        def kill() -> None:
            while not stop.wait(0.02):
                if when():
                    self.api.states[self.state_key] = state
                    os.kill(os.getpid(), signal.SIGTERM)
                    return

        before = signal.getsignal(signal.SIGTERM)
        thread = threading.Thread(target=kill)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            signal.signal(signal.SIGTERM, before)


def _started(trigger: BaseTrigger) -> tuple[TriggerRunner, asyncio.Task[None]]:
    """Hand a trigger to Airflow's own runner."""
    runner = TriggerRunner()
    trigger.trigger_id = 1
    runner.triggers[1] = {"task": None, "is_watcher": False, "name": "harness", "events": 0}  # type: ignore[typeddict-item]
    task = asyncio.get_running_loop().create_task(runner.run_trigger(1, trigger))
    runner.triggers[1]["task"] = task
    return runner, task
