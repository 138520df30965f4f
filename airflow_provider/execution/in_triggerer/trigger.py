"""The trigger of sensors that start in the triggerer, and end there on success and skip, without any worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent

from airflow_provider import _clock
from airflow_provider.errors import ExecutionApiError
from airflow_provider.execution.attempt.page_xcom import VIEW_KEY, can_read_results
from airflow_provider.execution.attempt.stored import FORMAT, FORMAT_KEY
from airflow_provider.execution.in_triggerer.serialization import NotPortable, Portable, unpack
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.result import utc
from airflow_provider.execution.results.view import view_of
from airflow_provider.execution.waiting.trigger import ExecutionTrigger, set_xcoms
from airflow_provider.execution.waiting.wait import WaitState

if TYPE_CHECKING:
    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.in_triggerer.portable_sensor import PortableSensor, TriggererWait
    from airflow_provider.execution.model.adapter import ExecutionAdapter
    from airflow_provider.execution.model.snapshot import Snapshot
    from airflow_provider.execution.results.outcome import Outcome

FIRST_TRIGGERER_SECONDS = 30.0
"""Time within which a deferred task usually runs in its first triggerer, not yet in a second one."""
_GOOD_ENDS = (Phase.SUCCEEDED, Phase.SKIPPED)


class StartedExecutionTrigger(BaseTrigger):
    """
    Does what a sensor does in a worker before it is deferred, waits, and does what the sensor does afterwards.

    Success and skip end the task here. Everything else resumes it in a worker, so that errors, callbacks and retries are the same as in
    the other modes: any other end, with the event of :class:`~airflow_provider.execution.waiting.trigger.ExecutionTrigger`; a wait that
    can't start here, with the event ``{begin}``, which has the reason.

    All arguments are JSON, small and without secrets; they are part of the stored DAG.

    :param sensor, arguments, pulled: the sensor, see :class:`~airflow_provider.execution.in_triggerer.serialization.Portable`.
    :param ends_here: False if the task always ends in a worker, for example because it has callbacks.
    :param limit: seconds after which Airflow ends the trigger. With Airflow's deadline it gives the time of the deferral.
    :param format: see :mod:`~airflow_provider.execution.attempt.stored`.
    :param later: what a later version has stored besides: kept for that version.
    """

    def __init__(
        self,
        *,
        sensor: str,
        arguments: dict[str, Any],
        pulled: dict[str, list[str]],
        ends_here: bool,
        limit: float,
        format: int = FORMAT,
        **later: Any,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.packed: Portable = {"sensor": sensor, "arguments": arguments, "pulled": pulled}
        self.ends_here = ends_here
        self.limit = limit
        self.format = format
        self.later = later
        self.timeout_after: datetime | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {**self.packed, "ends_here": self.ends_here, "limit": self.limit, FORMAT_KEY: self.format, **self.later}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Start the wait, wait, and end the task, or leave that to a worker."""
        try:
            wait = await self._begin()
            sender = await wait.sensor.completion.hook.ahold()
        except Exception as problem:
            yield TriggerEvent({"begin": _reason(problem)})  # type: ignore[no-untyped-call]
            return
        try:  # held to the end: if the credential changes meanwhile, this sender has the new one
            async for event in wait.run():
                end = await self._end(wait, event.payload)
        finally:
            await sender.release()
        yield end

    async def _begin(self) -> _Wait:
        ti: Any = self.task_instance
        if self.format > FORMAT:
            raise NotPortable("a later version of this package has stored it")
        if ti.try_number > 1:
            raise NotPortable("only a worker can read the notes of earlier attempts, and tell a retry from a clear")
        sensor = await asyncio.to_thread(self._make, ti)
        await sensor.hook.aopen()  # here, since it would hold a thread while Airflow answers
        context: Any = {"ti": ti}
        return await asyncio.to_thread(lambda: _Wait(sensor.wait_in_triggerer(context), ti, self._deferred_at()))

    def _make(self, ti: Any) -> PortableSensor:
        """Rebuild the sensor. For a thread: it imports modules, and templates may send requests to Airflow."""
        import airflow_provider.execution.http.senders  # noqa: F401

        # Only workers tell Airflow how many tasks are mapped over a result.
        self.ends_here = self.ends_here and next(ti.task.iter_mapped_dependants(), None) is None
        return unpack(self.packed, ti)

    def _deferred_at(self) -> float:
        """Start of the wait in epoch seconds; the same in a second triggerer."""
        end = self.timeout_after
        return _clock.now() if end is None else utc(end).timestamp() - self.limit

    async def _end(self, wait: _Wait, payload: dict[str, Any]) -> TriggerEvent:
        """The event that ends the task here, or else resumes it in a worker."""
        for_worker = {**payload, "search": wait.search}
        good = payload["error"] is None and (payload["end"] == "waiting" or (payload["end"] == "ended" and wait.phase in _GOOD_ENDS))
        if good and self.ends_here:
            completion = wait.sensor.completion
            try:
                async with completion.hook.asender() as sender:
                    snapshot, end, goes_on = await sender.run(completion.final_read(payload["ref"], payload["url"], payload["end"]))
            except ExecutionApiError as error:
                return TriggerEvent({**for_worker, "error": error.to_event()})  # type: ignore[no-untyped-call]
            outcome = await asyncio.to_thread(completion.judge, completion.hook.title, end, snapshot, None)
            if not goes_on and outcome.error is None:
                try:
                    return await self._finish(wait, snapshot, outcome)
                except Exception as problem:
                    self.log.info("This task ends in a worker: %s.", _reason(problem))
        return TriggerEvent(for_worker)  # type: ignore[no-untyped-call]

    async def _finish(self, wait: _Wait, snapshot: Snapshot, outcome: Outcome) -> TriggerEvent:
        """Set the task's XComs, and return the event that ends it."""
        ti: Any = self.task_instance
        context: Any = {"ti": ti}
        ending = await asyncio.to_thread(wait.sensor.completion.finish, snapshot, outcome, context)
        if ending.error is not None:
            raise ending.error
        xcoms: dict[str, Any] = {}
        if wait.shown != (snapshot.ref, snapshot.url):
            xcoms = {"ref": snapshot.ref, "url": snapshot.url, wait.link_key: snapshot.url}
        xcoms |= ending.xcoms
        if not can_read_results() or not wait.sensor.do_xcom_push:
            hook = wait.sensor.completion.hook
            xcoms[VIEW_KEY] = view_of(hook.conn_type, hook.conn_id, snapshot, hook.secrets)
        event: TriggerEvent = TaskSuccessEvent()
        if outcome.skip:
            self.log.info("Skipping task.", reason=outcome.message)
            event = TaskSkippedEvent()
        elif wait.sensor.do_xcom_push:
            xcoms["return_value"] = ending.result
        await set_xcoms(ti, xcoms)
        if not outcome.skip:
            wait.sensor.completion.log_success(snapshot, outcome)
        return event


class _Wait(ExecutionTrigger):
    """
    Waits as if a worker had deferred the sensor.

    :param since: start of the wait, in epoch seconds.
    """

    def __init__(self, sensor: TriggererWait, ti: Any, since: float) -> None:
        completion = sensor.completion
        super().__init__(
            hook="",
            hook_arguments={},
            view=completion.view,
            ref=sensor.ref,
            search=sensor.search,
            url=None,
            link_key=sensor.link_key,
            policy=sensor.policy,
            state={**WaitState(since=since).dump(), "saved_at": since},
            not_before=0.0,
            cancel_on_kill=False,
        )
        self.task_instance = ti
        self.sensor = sensor
        self.shown = None
        self._loaded = completion.hook, completion.hook.adapter(**completion.view)

    def _load(self) -> tuple[ExecutionHook, ExecutionAdapter]:
        return self._loaded

    async def _recall(self) -> dict[str, Any]:
        """Read only if another triggerer may have stored it: Airflow writes an error into its own log for a missing XCom."""
        return await super()._recall() if _clock.now() - self.state["saved_at"] > FIRST_TRIGGERER_SECONDS else self.state


def _reason(problem: Exception) -> str:
    """Why a worker is needed. In the worker the same error occurs again, with its details."""
    return str(problem) if isinstance(problem, NotPortable) else f"the triggerer got a {type(problem).__name__}"
