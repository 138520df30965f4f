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
import uuid
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, get_args

import airflow.sdk.bases.sensor
import airflow.sdk.execution_time.comms
import airflow.sdk.execution_time.timeout  # Airflow imports it at the first limit: too late for the clock of that test
import httpx
import psutil
import structlog
from airflow.jobs.triggerer_job_runner import ToTriggerSupervisor, TriggerRunner
from airflow.models.trigger import Trigger
from airflow.sdk import DAG, Asset, BaseOperator
from airflow.sdk._shared.secrets_masker import _secrets_masker
from airflow.sdk.api.datamodels._generated import DagRun, TaskInstance
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import DeferTask, GetHITLDetailResponse, MaskSecret, RescheduleTask, UpdateHITLDetail
from airflow.sdk.execution_time.supervisor import (
    InProcessSupervisorComms,
    InProcessTestSupervisor,
    set_supervisor_comms,
)
from airflow.triggers.base import BaseEventTrigger, BaseTaskEndEvent, BaseTrigger, TriggerEvent
from pydantic import TypeAdapter
from structlog.testing import capture_logs

from airflow_provider import _clock
from tests import virtual_clock
from tests.airflow_inside import (
    USER_ACTION,
    AssetStateStoreAccessors,
    DagSerialization,
    TaskInstanceDTO,
    as_stored,
    decoded,
    deserialize_xcom,
    encode_trigger,
    known,
    run_task,
    serialize,
    smart_decode_trigger_kwargs,
    told,
)

if TYPE_CHECKING:
    from typing_extensions import Self

# Airflow builds one anew for each templated field of each task, which took an eighth of the time of all these tests.
task_runner.TypeAdapter = lru_cache(TypeAdapter)  # type: ignore[assignment, attr-defined]

Operator = BaseOperator | MappedOperator

_NO_CONNECTION = dict.fromkeys(("conn_type", "host", "schema", "login", "password", "port", "extra"))
DAG_ID, RUN_ID = "harness", "manual__1"
NOTES = "/variables/" if AssetStateStoreAccessors is None else "/store/"
"""Part of the path at which Airflow is asked for the notes of attempts."""
_ANSWERED = get_args(get_args(ToTriggerSupervisor)[0])
"""What the supervisor of a triggerer answers: all else is left without an answer, for ever."""


def _response(options: list[str], values: dict[str, Any]) -> dict[str, Any]:
    return {"responded_at": _clock.utc_now().isoformat(), "chosen_options": options, "params_input": values}


@dataclass
class PlayedApi:
    """The Execution API of one task instance, as the handler of an httpx transport."""

    connections: dict[str, dict[str, Any]] = field(repr=False)
    run: dict[str, Any] = field(default_factory=dict)
    xcoms: dict[str, Any] = field(default_factory=dict)
    store: dict[str, Any] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    assets: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The asset state stores."""
    hitl: dict[str, Any] | None = None
    """The required action of the task instance, with its answer."""
    resume_event: dict[str, Any] | None = None
    """What Airflow resumes the deferred task with, once its required action is answered."""
    deferred: bool = False
    refused_xcoms: set[str] = field(default_factory=set)
    """Keys that can't be written."""
    refuse_store: bool = False
    """Whether a newer try has taken over."""
    calls: list[tuple[str, str, Any]] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body: Any = json.loads(request.content) if request.content else None
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
            case "POST", ["xcoms", _, _, _, key] if key in self.refused_xcoms:
                return missing
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
            case "GET", ["variables", key]:
                return httpx.Response(200, json={"key": key, "value": self.variables[key]}) if key in self.variables else missing
            case "PUT", ["variables", key]:
                if not self.refuse_store:  # the SDK only logs that a Variable could not be written
                    self.variables[key] = body["val"]
                    self._mirror(json.loads(body["val"]))
                return httpx.Response(201, json={"message": "ok"})
            case "DELETE", ["variables", key]:
                self.variables.pop(key, None)
                return httpx.Response(204)
            case "GET", ["store", "asset", "by-name", "value"]:
                kept = self.assets.get(request.url.params["name"], {})
                key = request.url.params["key"]
                return httpx.Response(200, json={"value": kept[key]}) if key in kept else missing
            case "PUT", ["store", "asset", "by-name", "value"]:
                self.assets.setdefault(request.url.params["name"], {})[request.url.params["key"]] = body["value"]
                return httpx.Response(204)
            case method, ["hitlDetails", _]:
                return self._required_action(method, body)
            case "PATCH", _:
                return httpx.Response(204)
        return httpx.Response(200, json={"ok": True})

    def _mirror(self, record: Any) -> None:
        """Where there is no store, show its values there, for tests that look at them."""
        if AssetStateStoreAccessors is None and isinstance(record, dict) and isinstance(value := record.get("value"), dict):
            self.store["execution" if "marker" in value else "wait"] = value

    def _required_action(self, method: str, body: Any) -> httpx.Response:
        if method == "POST":
            if self.hitl is None:
                self.hitl = {**body, "response": None}
            self.hitl["response"] = None  # all else stays as it was asked first
            return httpx.Response(201, json={key: value for key, value in self.hitl.items() if key not in ("response", "type")})
        if self.hitl is None:
            return httpx.Response(404, json={"detail": {"reason": "not_found", "message": "no"}})
        if method == "PATCH" and self.hitl["response"] is not None:
            return httpx.Response(409, json={"detail": "it is answered already"})
        if method == "PATCH":
            self.hitl["response"] = {**_response(body["chosen_options"], body["params_input"]), "responded_by_user": None}
        nothing: dict[str, Any] = {"responded_at": None, "chosen_options": None, "params_input": {}}
        response = self.hitl["response"]
        return httpx.Response(200, json={"response_received": response is not None, **(response or nothing)})

    def answer(self, option: str, values: dict[str, Any] | None = None, *, user: str = "Ann") -> None:
        """A person answers the required action. If the task is deferred by then, newer versions of Airflow resume it themselves."""
        assert self.hitl is not None
        assert self.hitl["response"] is None, "Airflow refuses a second answer"
        response = {**_response([option], values or {}), "responded_by_user": {"id": user.lower(), "name": user}}
        self.hitl["response"] = response
        if self.deferred and hasattr(airflow.sdk.execution_time.comms, "AwaitInputTask"):
            self.resume_event = {**response, "responded_at": datetime.fromisoformat(response["responded_at"]), "timedout": False}

    @property
    def of_run(self) -> dict[str, Any]:
        """What is particular to the run."""
        return {}

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
            process=psutil.Process(),  # type: ignore[arg-type]
            process_log=structlog.get_logger(logger_name="task"),
            client=api.client(),
        )
        self._supervisor.comms = InProcessSupervisorComms(supervisor=self._supervisor)
        self._lock = threading.RLock()  # a handler may send in its turn

    def send(self, msg: Any) -> Any:
        assert isinstance(msg, _ANSWERED), f"a triggerer would never get an answer to {msg!r}"
        if isinstance(msg, MaskSecret):  # told in one process, the supervisor would tell itself, again and again
            _secrets_masker().add_mask(msg.value, msg.name)
            return None
        hitl = self._supervisor.client.hitl  # of these, only the supervisor of a triggerer knows
        if isinstance(msg, GetHITLDetailResponse):
            return hitl.get_detail_response(ti_id=msg.ti_id)
        if isinstance(msg, UpdateHITLDetail):
            return hitl.update_response(ti_id=msg.ti_id, chosen_options=msg.chosen_options, params_input=msg.params_input)
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
    logs: list[MutableMapping[str, Any]]
    workers: int
    """Worker processes that it took."""

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
    :param native: whether the DAG renders templates natively.
    """

    def __init__(
        self,
        make: Callable[[], Operator],
        connections: dict[str, dict[str, Any]],
        *,
        retries: int = 2,
        map_index: int = -1,
        params: dict[str, Any] | None = None,
        native: bool = False,
    ) -> None:
        self.make = make
        self.native = native
        self.map_index = map_index
        self.params = params
        self.retries = retries
        self.max_tries = retries
        self.try_number = 0
        self.clear_number = 0
        self.triggered_by: str | None = None
        self.api = PlayedApi(connections)
        self.on_defer: Callable[[DeferTask], object] | None = None
        """Called at each deferral, before the trigger runs."""
        self.after_trigger: Callable[[dict[str, Any]], object] | None = None
        """Called with the trigger's event, before the task is resumed."""
        self.deferred: DeferTask | None = None
        self._limit: tuple[DeferTask, datetime] | None = None

    # What Airflow does between tries

    def clear(self) -> None:
        """A person clears the task: as Airflow counts it."""
        self.clear_number += 1
        self.max_tries = max(self.try_number, 0) + self.retries

    @property
    def state_key(self) -> str:
        task_id = self._task_id
        return task_id if self.map_index < 0 else f"{task_id}_{self.map_index}"

    @cached_property
    def _task_id(self) -> str:
        return self._task().task_id

    def _task(self) -> Operator:
        with DAG(DAG_ID, schedule=None, params=self.params, render_template_as_native_obj=self.native):
            return self.make()

    def run(self, limit: int = 200) -> Ended:
        """The next try, to its end, through all its deferrals and reschedules."""
        self.try_number += 1
        api = self.api
        api.hitl = None  # it belongs to a try
        now = _clock.utc_now().isoformat()
        phase: dict[str, Any] = {}
        defers = reschedules = workers = 0
        with capture_logs() as logs:
            for _ in range(limit):
                task = self._task()
                task.retries = self.retries
                if not phase and not reschedules and self.defer_at_once(task):
                    defers += 1
                    if self.on_defer:
                        assert self.deferred is not None
                        self.on_defer(self.deferred)
                    ending = self._first_event()
                    if isinstance(ending, BaseTaskEndEvent):
                        state = ending.task_instance_state.value
                        return Ended(state, None, self._xcoms(), defers, reschedules, list(logs), workers)
                    if self.after_trigger:
                        self.after_trigger(ending.payload)
                    phase = self.resume(ending.payload)
                    continue
                workers += 1
                api.states[self.state_key] = api.states.get(self.state_key, "running")
                dag_run: dict[str, Any] = {
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
                    **({"triggering_user_name": self.triggered_by} if self.triggered_by else {}),
                }
                api.run = {
                    "dag_run": known(DagRun, dag_run),
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
                ended = run_task(ti, task, api.client())
                if isinstance(ended.msg, DeferTask):
                    defers += 1
                    self.deferred = as_stored(ended.msg)
                    if self.on_defer:
                        self.on_defer(self.deferred)
                    event = self.run_trigger()
                    if self.after_trigger:
                        self.after_trigger(event)
                    phase = self.resume(event)
                    continue
                if isinstance(ended.msg, RescheduleTask):
                    reschedules += 1
                    _clock.sleep(max(ended.msg.reschedule_date.timestamp() - _clock.now(), 0.0))
                    phase = {}
                    continue
                state = str(getattr(ended.state, "value", ended.state))
                return Ended(state, ended.error, self._xcoms(), defers, reschedules, list(logs), workers)
        raise AssertionError(f"the task did not end after {limit} phases")

    def _xcoms(self) -> dict[str, Any]:
        return {key: deserialize_xcom(value) if isinstance(value, (dict, list)) else value for key, value in self.api.xcoms.items()}

    def defer_at_once(self, task: Operator) -> bool:
        """Whether the scheduler lets the task start in the triggerer, as the stored DAG says."""
        if getattr(task, "start_from_trigger", False) is not True or DagSerialization is None:
            return False
        assert task.dag is not None
        self._stored = json.loads(json.dumps(DagSerialization.to_dict(task.dag)))
        scheduled = DagSerialization.from_dict(self._stored).get_task(task.task_id)
        if scheduled.start_from_trigger is not True or (start := scheduled.start_trigger_args) is None:
            return False
        kept = Trigger._decrypt_kwargs(Trigger.encrypt_kwargs(start.trigger_kwargs or {}))
        self.deferred = DeferTask(
            classpath=start.trigger_cls,
            trigger_kwargs=serialize({name: _decoded(value) for name, value in kept.items()}),
            trigger_timeout=start.timeout,
            next_method=start.next_method,
            next_kwargs=start.next_kwargs or {},
        )
        return True

    def resume(self, event: Any) -> dict[str, Any]:
        """What Airflow tells the worker that resumes the task."""
        assert self.deferred is not None
        kwargs = {**decoded(self.deferred.next_kwargs or {}), "event": event}
        return {"next_method": self.deferred.next_method, "next_kwargs": serialize(kwargs)}

    @staticmethod
    def resume_into_failure(error: str) -> dict[str, Any]:
        """The same, if the trigger gave no event."""
        return {"next_method": "__fail__", "next_kwargs": serialize({"error": error})}

    # Triggers

    def trigger(self) -> BaseTrigger:
        """The trigger of the last deferral, rebuilt from what Airflow stored."""
        assert self.deferred is not None
        module, _, name = self.deferred.classpath.rpartition(".")
        cls = getattr(__import__(module, fromlist=[name]), name)
        trigger: BaseTrigger = cls(**decoded(self.deferred.trigger_kwargs))
        task = self._task()
        trigger.task_instance = ti = TaskInstanceDTO(  # type: ignore[assignment]
            id=uuid.uuid4(),
            task_id=task.task_id,
            dag_id=DAG_ID,
            run_id=RUN_ID,
            try_number=self.try_number,
            map_index=self.map_index,
            dag_version_id=uuid.uuid4(),
            pool_slots=1,
            priority_weight=1,
            queue="default",
        )
        if self.deferred.trigger_timeout:
            if self._limit is None or self._limit[0] is not self.deferred:  # another triggerer is given the same moment
                self._limit = self.deferred, _clock.utc_now() + self.deferred.trigger_timeout
            trigger.timeout_after = self._limit[1]  # type: ignore[attr-defined]
        if task.start_from_trigger and DagSerialization is not None:  # for a trigger that a worker has deferred to as well
            trigger.task_instance = TriggerRunner.create_runtime_ti(ti, self._stored, self._run_data)  # type: ignore[assignment]
        return trigger

    @property
    def _run_data(self) -> dict[str, Any]:
        """What a triggerer knows of the run."""
        now = _clock.utc_now().isoformat()
        dates = dict.fromkeys(("logical_date", "run_after", "start_date"), now)
        none = dict.fromkeys(("data_interval_start", "data_interval_end", "end_date", "partition_key", "partition_date", "conf"))
        same = {"dag_id": DAG_ID, "run_id": RUN_ID, "run_type": "manual", "state": "running", "consumed_asset_events": []}
        return {**dates, **none, **same, **self.api.of_run}

    def run_trigger(self) -> dict[str, Any]:
        """Run the trigger of the last deferral to its event."""
        event: dict[str, Any] = self._first_event().payload
        return event

    def _first_event(self) -> TriggerEvent:
        trigger = self.trigger()

        async def first() -> TriggerEvent:
            runner, task = _started(trigger)
            if self.api.hitl is not None:
                await clock.until(lambda: task.done() or self.api.resume_event is not None)
                if (payload := self.api.resume_event) is not None:
                    self.api.resume_event = None
                    self.api.states[self.state_key] = "scheduled"
                    task.cancel(USER_ACTION)
                    await asyncio.wait([task])
                    self.api.states[self.state_key] = "running"
                    assert not runner.events, "the task is resumed a second time"
                    return TriggerEvent(payload)  # type: ignore[no-untyped-call]
            await task
            return told(runner.events[0])

        clock = virtual_clock.current()
        self.api.deferred = True
        try:
            with self.comms():
                return virtual_clock.run(first())
        finally:
            self.api.deferred = False

    @contextmanager
    def comms(self) -> Iterator[_TriggerComms]:
        """What a triggerer gives its triggers."""
        comms = _TriggerComms(self.api)
        with set_supervisor_comms(comms):
            yield comms

    def kill_trigger(
        self,
        ready: Callable[[], bool],
        state: str | None,
        *,
        linger: float = 0.0,
        until: Callable[[], bool] = lambda: False,
        reason: str | None = USER_ACTION,
    ) -> list[MutableMapping[str, Any]]:
        """
        Run the trigger of the last deferral, and let Airflow take it away once ``ready``.

        :param state: the task's state by then, as Airflow tells it.
        :param linger: seconds that the triggerer lives on afterwards, or ``until`` then.
        :param reason: what Airflow gives as the reason; before 3.3 none.
        :returns: its log.
        """
        trigger, clock = self.trigger(), virtual_clock.current()

        async def run() -> None:
            _, task = _started(trigger)
            await clock.until(ready)
            self.api.states[self.state_key] = state
            pause = 0.05
            while not task.done():
                task.cancel(reason)  # Airflow repeats it about once a second
                with suppress(TimeoutError), _clock.deadline(pause):
                    await asyncio.wait([task])
                pause = 1.0
            if linger:
                with suppress(TimeoutError), _clock.deadline(linger):
                    await clock.until(until)
                await _clock.asleep(0.05)  # what was begun by then may end

        with self.comms(), capture_logs() as logs:
            virtual_clock.run(run())
        return list(logs)

    # Workers

    @contextmanager
    def terminated(self, when: Callable[[], bool], state: str | None) -> Iterator[None]:
        """Send the worker SIGTERM once ``when``, behind a request or in a pause; ``state`` is the task's state by then."""
        clock = virtual_clock.current()

        def kill() -> None:
            self.api.states[self.state_key] = state
            signal.raise_signal(signal.SIGTERM)

        before = signal.getsignal(signal.SIGTERM)
        watched = clock.when(when, kill)
        try:
            yield
        finally:
            clock.forget(watched)
            signal.signal(signal.SIGTERM, before)


class Triggerer:
    """
    A triggerer with watchers of assets: Airflow's own runner and shared streams. What it must remember is in ``api``, for the next one.

    :param loses: whether it dies before Airflow has stored an event.
    """

    def __init__(self, api: PlayedApi, *, loses: bool = False) -> None:
        self.api = api
        self.loses = loses
        self.events: list[tuple[int, dict[str, Any]]] = []
        """Each event with the number of its watcher."""
        self.runner: TriggerRunner
        self.logs: list[Any] = []
        self._comms = ExitStack()
        self._supervisor: asyncio.Task[None]

    async def __aenter__(self) -> Self:
        self._comms.enter_context(set_supervisor_comms(_TriggerComms(self.api)))
        self.logs = self._comms.enter_context(capture_logs())
        self.runner = TriggerRunner()  # type: ignore[no-untyped-call]
        self._supervisor = asyncio.create_task(self._supervise())
        return self

    async def __aexit__(self, *exc: object) -> None:
        for number in list(self.runner.triggers):
            await self.remove(number)
        await self.runner._shared_streams.stop_all()
        self._supervisor.cancel()
        self._comms.close()

    def add(self, trigger: BaseEventTrigger, *assets: str) -> int:
        """Run a watcher of these assets, rebuilt from what Airflow stores of it."""
        stored = json.loads(json.dumps(encode_trigger(trigger)))
        rebuilt = type(trigger)(**{name: _decoded(value) for name, value in stored["kwargs"].items()})
        # Else Airflow would make it anew at each parse.
        assert BaseEventTrigger.hash(**encode_trigger(rebuilt)) == BaseEventTrigger.hash(**stored)
        rebuilt.trigger_id = number = len(self.runner.triggers) + 1
        rebuilt.asset_state_store = AssetStateStoreAccessors([Asset(name) for name in assets])
        self.runner.triggers[number] = {"task": None, "is_watcher": True, "name": f"watcher {number}", "events": 0}  # type: ignore[typeddict-item]
        self.runner.triggers[number]["task"] = asyncio.create_task(self.runner.run_trigger(number, rebuilt))
        return number

    async def remove(self, number: int) -> None:
        """Take a watcher away."""
        task = self.runner.triggers.pop(number)["task"]
        task.cancel()
        await asyncio.wait([task])

    @property
    def text(self) -> str:
        """Its log, a line an entry."""
        return "\n".join(str(entry["event"]) for entry in self.logs)

    @property
    def streams(self) -> int:
        """How many streams its watchers share."""
        return len(self.runner._shared_streams._groups)

    async def until(self, ready: Callable[[], Any]) -> None:
        """Let it run until something holds. None of its watchers ever ends."""

        def ended() -> bool:
            return any(one["task"].done() for one in self.runner.triggers.values())

        await virtual_clock.current().until(lambda: ended() or ready())
        assert not ended(), "a watcher ended"

    async def until_told(self, count: int) -> list[dict[str, Any]]:
        """Let it run until there are so many events, and have been stored."""
        await self.until(lambda: len(self.events) >= count)
        return [event for _, event in self.events]

    async def _supervise(self) -> None:
        """Store the events, and tell the runner so at the next sync."""
        while True:
            if not self.loses:
                stored = [self.runner.events.popleft() for _ in range(len(self.runner.events))]
                self.events += [(entry.trigger_id, json.loads(json.dumps(entry.event.payload))) for entry in stored]
                self.runner._shared_streams.confirm_persisted([entry.persist_seq for entry in stored if entry.persist_seq is not None])
            await _clock.asleep(1.0)


def _decoded(stored: Any) -> Any:
    """An argument of a trigger that Airflow stored."""
    return smart_decode_trigger_kwargs(stored)  # type: ignore[no-untyped-call]


def _started(trigger: BaseTrigger) -> tuple[TriggerRunner, asyncio.Task[None]]:
    """Hand a trigger to Airflow's own runner."""
    runner = TriggerRunner()  # type: ignore[no-untyped-call]
    trigger.trigger_id = 1
    runner.triggers[1] = {"task": None, "is_watcher": False, "name": "harness", "events": 0}  # type: ignore[typeddict-item]
    ti: Any = trigger.task_instance
    more = {"context": ti.get_template_context()} if hasattr(ti, "get_template_context") else {}
    task = asyncio.get_running_loop().create_task(runner.run_trigger(1, trigger, **more))
    runner.triggers[1]["task"] = task
    return runner, task
