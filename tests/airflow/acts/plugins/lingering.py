"""On the Python path of every process of the tests' Airflow: a trigger that lives on after its event, as Airflow allows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import TriggerEvent

from airflow_provider.buddy.operators import BuddyRunPipelineOperator
from airflow_provider.execution.waiting.trigger import ExecutionTrigger


class LingeringTrigger(ExecutionTrigger):
    async def run(self) -> AsyncIterator[TriggerEvent]:
        async for event in super().run():
            yield event
        await asyncio.sleep(3_600)

    async def on_kill(self) -> None:
        self.log.warning("Killed after the event.")
        await super().on_kill()


class LingeringOperator(BuddyRunPipelineOperator):
    def defer(self, *, trigger: Any, **kwargs: Any) -> None:
        trigger.__class__ = LingeringTrigger
        super().defer(trigger=trigger, **kwargs)
