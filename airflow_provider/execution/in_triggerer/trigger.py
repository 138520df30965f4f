"""Sensors that take no worker at all: they start in the triggerer, and end there if all went well."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent

from airflow_provider import _clock
from airflow_provider.errors import ExecutionApiError
from airflow_provider.execution.in_triggerer.serialization import NotPortable, Portable, unpack
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.result import utc
from airflow_provider.execution.waiting.trigger import ExecutionTrigger, set_xcoms
from airflow_provider.execution.waiting.wait import WaitState

if TYPE_CHECKING:
    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.in_triggerer.portable_sensor import TriggererWait
    from airflow_provider.execution.model.adapter import ExecutionAdapter
    from airflow_provider.execution.model.snapshot import Snapshot
    from airflow_provider.execution.results.outcome import Outcome

FIRST_TRIGGERER_SECONDS = 30.0
"""Seconds within which a deferred task comes to its first triggerer, and not to a second one, as a rule."""
_GOOD = (Phase.SUCCEEDED, Phase.SKIPPED)


class StartedExecutionTrigger(BaseTrigger):
    """
    Does what a sensor does in a worker before it is deferred, waits, and does what it does afterwards.

    Success and skip end the task here. All else resumes it in a worker, so that errors, callbacks and retries are those of the other
    modes: an end that is not good, with the event of :class:`~airflow_provider.execution.waiting.trigger.ExecutionTrigger`; a wait
    that can't begin here, with the event ``{begin}``, which says why.

    All arguments are JSON, small and without secrets; they are part of the stored DAG.

    :param sensor, arguments, pulled: the sensor, see :class:`~airflow_provider.execution.in_triggerer.serialization.Portable`.
    :param ends_here: False if also a good end is a worker's, for instance since it has callbacks.
    :param limit: seconds after which Airflow takes the trigger away: tells when the task was deferred.
    """

    def __init__(self, *, sensor: str, arguments: dict[str, Any], pulled: dict[str, list[str]], ends_here: bool, limit: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.packed: Portable = {"sensor": sensor, "arguments": arguments, "pulled": pulled}
        self.ends_here = ends_here
        self.limit = limit
        self.timeout_after: datetime | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {**self.packed, "ends_here": self.ends_here, "limit": self.limit}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Begin, wait, and end the task, or leave it to a worker."""
        try:
            wait = await self._begin()
            sender = await wait.sensor.completion.hook.ahold()
        except Exception as problem:
            yield TriggerEvent({"begin": _reason(problem)})  # type: ignore[no-untyped-call]
            return
        try:  # held to the end: if the credential was changed meanwhile, this one knows
            async for event in wait.run():
                end = await self._end(wait, event.payload)
        finally:
            await sender.release()
        yield end

    async def _begin(self) -> _Wait:
        ti: Any = self.task_instance
        if ti.try_number > 1:
            raise NotPortable("only a worker can read the notes of the tries before, and tell a retry from a clear")
        sensor = await asyncio.to_thread(self._make, ti)
        await sensor.completion.hook.aopen()
        return await asyncio.to_thread(_Wait, sensor, ti, self._deferred_at())

    def _make(self, ti: Any) -> TriggererWait:
        """In a thread: it imports, and templates may ask Airflow."""
        import airflow_provider.execution.http.senders  # noqa: F401

        # How many tasks are mapped over a result is told to Airflow by workers only.
        self.ends_here = self.ends_here and next(ti.task.iter_mapped_dependants(), None) is None
        context: Any = {"ti": ti}
        return unpack(self.packed, ti).wait_in_triggerer(context)

    def _deferred_at(self) -> float:
        """When the wait began, in epoch seconds; the same in a second triggerer."""
        end = self.timeout_after
        return _clock.now() if end is None else utc(end).timestamp() - self.limit

    async def _end(self, wait: _Wait, payload: dict[str, Any]) -> TriggerEvent:
        """The event that ends the task here, else the one for a worker."""
        for_worker = {**payload, "search": wait.search}
        good = payload["error"] is None and (payload["end"] == "waiting" or (payload["end"] == "ended" and wait.phase in _GOOD))
        if good and self.ends_here:
            completion = wait.sensor.completion
            try:
                async with completion.hook.asender() as sender:
                    snapshot, end, goes_on = await sender.run(completion.final_read(payload["ref"], payload["url"], payload["end"]))
            except ExecutionApiError as error:
                return TriggerEvent({**for_worker, "error": error.to_event()})  # type: ignore[no-untyped-call]
            outcome = completion.judge(completion.hook.title, end, snapshot, None)
            if not goes_on and outcome.error is None:
                try:
                    return await self._finish(wait, snapshot, outcome)
                except Exception as problem:
                    self.log.info("A worker ends this task: %s.", _reason(problem))
        return TriggerEvent(for_worker)  # type: ignore[no-untyped-call]

    async def _finish(self, wait: _Wait, snapshot: Snapshot, outcome: Outcome) -> TriggerEvent:
        """Set the task's XComs, and give its end."""
        ti: Any = self.task_instance
        context: Any = {"ti": ti}
        ending = await asyncio.to_thread(wait.sensor.completion.finish, snapshot, outcome, context)
        if ending.error is not None:
            raise ending.error
        xcoms: dict[str, Any] = {}
        if wait.shown != (snapshot.ref, snapshot.url):
            xcoms = {"ref": snapshot.ref, "url": snapshot.url, wait.link_key: snapshot.url}
        xcoms |= ending.xcoms
        event: TriggerEvent = TaskSuccessEvent()
        if outcome.skip:
            self.log.info("Skipping task.", reason=outcome.message)
            event = TaskSkippedEvent()
        elif wait.sensor.do_xcom_push:
            xcoms["return_value"] = ending.result
        await set_xcoms(ti, xcoms)
        return event


class _Wait(ExecutionTrigger):
    """
    Waits as if a worker had deferred the sensor to it.

    :param since: epoch seconds at which the wait began.
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
        """Asked only if another triggerer may have been here: for what is not there, Airflow writes an error into its own log."""
        return await super()._recall() if _clock.now() - self.state["saved_at"] > FIRST_TRIGGERER_SECONDS else self.state


def _reason(problem: Exception) -> str:
    """Why a worker is needed. It comes upon the same, and tells more."""
    return str(problem) if isinstance(problem, NotPortable) else f"the triggerer came upon a {type(problem).__name__}"
