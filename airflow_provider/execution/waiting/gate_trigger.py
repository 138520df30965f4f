"""The trigger that waits at a gate: for an answer to Airflow's required action, or for somebody who opens the gate in the other system."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Any, cast

from airflow.triggers.base import TriggerEvent

from airflow_provider import _clock, _compat
from airflow_provider.execution.attempt import termination
from airflow_provider.execution.attempt.stored import FORMAT, FORMAT_KEY
from airflow_provider.execution.model.required_action import OPTIONS
from airflow_provider.execution.results.redaction import clean
from airflow_provider.execution.waiting.trigger import MAX_HOLD_SECONDS, ExecutionTrigger, detach

ANSWER_POLL_SECONDS = 5.0
"""Interval at which Airflow is asked for an answer, where it does not resume the task itself."""
RESUMED_SECONDS = 60.0
"""How long a trigger whose task Airflow has resumed waits to be taken away. An event of its own would resume the task once more."""
CLOSING = {
    "opened": "Opened in {system}",
    "ended": "Ended in {system}",
    "waiting_timeout": "Nobody answered in time",
    "timeout": "Nobody answered in time",
}
"""Why the wait is over to what the required action then shows as its answer."""


class GateTrigger(ExecutionTrigger):
    """
    Waits until somebody answers the required action of its task, or the gate no longer waits. Then it sends one event: that of
    :class:`~airflow_provider.execution.waiting.trigger.ExecutionTrigger`, or one with ``answer``.

    If the wait ends without an answer, the required action is closed. Parameters: see
    :class:`~airflow_provider.execution.waiting.trigger.ExecutionTrigger`; ``policy`` has the ``gate``.
    """

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Wait for whichever comes first."""
        # An answer that came before the task was deferred has resumed nothing, in any version.
        if (answer := await self._answer()) is not None:
            await _clock.asleep(min(max(self.not_before - _clock.now(), 0.0), MAX_HOLD_SECONDS))
            yield _answered(answer)
            return
        watched = asyncio.create_task(self._first(cast("AsyncGenerator[TriggerEvent]", super().run())))
        asked = None if _compat.resumes_answered_tasks() else asyncio.create_task(self._answered())
        tasks = {task for task in (watched, asked) if task is not None}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            event = _answered(asked.result()) if asked is not None and asked.done() else await self._closed(watched.result())
            self._done = True
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        yield event

    async def on_kill(self) -> None:
        """Close the required action if a person ended the task: there is nothing left to answer. See the base class."""
        if not self._done and self.task_instance is not None:
            await asyncio.shield(detach(self._withdrawn(self.task_instance)))

    async def _withdrawn(self, ti: Any) -> None:
        if await _compat.to_thread(termination.ask, termination.TaskKey.of(ti)) is termination.Verdict.CANCEL:
            with suppress(Exception):  # of a task that was cleared, Airflow has it no more
                await self._close(ti, "The task was ended")

    @staticmethod
    async def _close(ti: Any, told: str) -> None:
        from airflow.sdk.execution_time.hitl import update_hitl_detail_response

        await _compat.to_thread(update_hitl_detail_response, ti_id=ti.id, chosen_options=[told], params_input={})

    @staticmethod
    async def _first(events: AsyncGenerator[TriggerEvent]) -> TriggerEvent:
        async with aclosing(events) as all_events:
            return await anext(all_events)

    async def _answered(self) -> dict[str, Any]:
        """Ask Airflow until there is an answer."""
        while True:
            await _clock.asleep(ANSWER_POLL_SECONDS)
            if (answer := await self._answer()) is not None:
                await _clock.asleep(min(max(self.not_before - _clock.now(), 0.0), MAX_HOLD_SECONDS))
                return answer

    async def _answer(self) -> dict[str, Any] | None:
        """What a person has answered, as JSON; None if nobody has, or it can't be read now. That it was closed is no answer."""
        from airflow.sdk.execution_time.hitl import get_hitl_detail_content_detail

        if self.task_instance is None:
            return None
        try:
            detail = await _compat.to_thread(get_hitl_detail_content_detail, ti_id=self.task_instance.id)
        except Exception:
            self.log.debug("The required action can't be read.", exc_info=True)
            return None
        by = detail.responded_by_user
        if not detail.response_received or not detail.chosen_options or (by is None and detail.chosen_options[0] not in OPTIONS):
            return None
        return {
            "chosen_options": list(detail.chosen_options),
            "params_input": dict(detail.params_input or {}),
            "responded_at": detail.responded_at and detail.responded_at.isoformat(),
            "responded_by_user": by and {"id": by.id, "name": by.name},
        }

    async def _closed(self, event: TriggerEvent) -> TriggerEvent:
        """Close the required action: nothing is left to answer. If somebody has answered just now, that counts."""
        if self.task_instance is None:
            return event
        end = event.payload.get("end")
        _, system = await asyncio.to_thread(self._load)
        who = await self._opened_by(event) if end in ("opened", "ended") else None
        told = f"{CLOSING['opened']} by {who}" if who else CLOSING.get(end, "The wait failed")
        told = told.format(system=system.title)
        try:
            await self._close(self.task_instance, told)
        except Exception:
            if (answer := await self._answer()) is None:
                self.log.warning("The required action could not be closed (%s).", told)
                return event
            if _compat.resumes_answered_tasks():
                await _clock.asleep(RESUMED_SECONDS)
            return _answered(answer)
        return event

    async def _opened_by(self, event: TriggerEvent) -> str | None:
        """Who opened the gate, as far as the system tells. The execution may have ended before the next poll."""
        with suppress(Exception):
            hook, system = await asyncio.to_thread(self._load)
            async with hook.asender() as sender:
                snapshot = await sender.run(system.details(event.payload["ref"]))
            if (who := snapshot.opened_by(str(self.policy.get("gate")))) is not None:
                return clean(who, self.hidden)
        return None


def _answered(answer: dict[str, Any]) -> TriggerEvent:
    event = {FORMAT_KEY: FORMAT, "answer": answer}
    return TriggerEvent(event)  # type: ignore[no-untyped-call]
