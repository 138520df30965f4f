"""A list of executions as seen at one moment, shared by all its watchers: each request is sent once for all of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Hashable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider import _clock
from airflow_provider.execution.model.adapter import ExecutionAdapter, Memo
from airflow_provider.execution.model.result import utc
from airflow_provider.execution.model.snapshot import Snapshot
from airflow_provider.execution.waiting.final_read import final_read
from airflow_provider.execution.waiting.search import START_SKEW_SECONDS

if TYPE_CHECKING:
    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.model.request import Flow

T = TypeVar("T")

MAX_PAGES = 20
"""Maximum number of pages that are read."""
API_FAILURE_BUDGET = 30.0
"""Seconds for which the final read of an ended execution tolerates a failing API."""
NOT_FOUND_GRACE = 5.0
"""Seconds for which it tolerates 404s."""


class Listing:
    """
    A list of executions as seen at one moment.

    :param where: the system's own criteria.
    :param memo: what the system remembers from one list to the next.
    :param bound: executions that started at this moment or later are listed; epoch seconds.
    :param moment: when the list was read; epoch seconds, by the remote clock if it is known; by default now.
    """

    def __init__(self, hook: ExecutionHook, where: Mapping[str, Any], memo: Memo, bound: float, moment: float | None = None) -> None:
        self.moment = _clock.now() if moment is None else moment
        self.bound = bound
        self.shown_at = _clock.monotonic()
        """When it was passed to the watchers; monotonic seconds."""
        self.hook = hook
        self._where = where
        self._memo = memo
        self._results: dict[Hashable, asyncio.Task[Any]] = {}
        self._on_persisted: list[Callable[[], Awaitable[None]]] = []

    async def items(self, bound: float) -> list[Snapshot]:
        """
        The executions that started at ``bound`` or later, as summaries. There may be older ones among them, from the last page.

        :raises ConfigurationError: if what is watched does not exist, or is too much to list.
        """
        bound = min(bound, self.bound)
        return await self._once(("list", bound), lambda system: _listed(system, self._where, self._memo, bound))

    async def read(self, ref: str) -> Snapshot:
        """
        An execution as it is now.

        :raises NotFound: if it does not exist any more.
        """
        return await self._once(("read", ref), lambda system: system.read(ref))

    async def details(self, ref: str) -> Snapshot:
        """
        An ended execution with its outputs.

        :raises NotFound: if it does not exist any more.
        """
        return await self._once(("details", ref), lambda system: final_read(system, ref, (), API_FAILURE_BUDGET, NOT_FOUND_GRACE))

    async def fits(self, filters: Mapping[str, Any], item: Snapshot) -> bool | None:
        """Whether an execution of the list matches ``filters``; None if that is not known yet."""
        where = {**self._where, **filters}
        return await self._once(("fits", json.dumps(filters, sort_keys=True), item.ref), lambda system: system.matches(where, item))

    def when_persisted(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call ``callback`` once Airflow has stored the events of this list."""
        self._on_persisted.append(callback)

    async def persisted(self) -> None:
        """Call the callbacks: Airflow has stored the events."""
        for callback in self._on_persisted:
            await callback()

    async def _once(self, key: Hashable, flow: Callable[[ExecutionAdapter], Flow[T]]) -> T:
        """Run a flow once for all watchers. In a task of its own: the first watcher may be cancelled before the result is there."""
        if key not in self._results:
            task = asyncio.create_task(self.hook.arun_flow(flow(self.hook.adapter())))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._results[key] = task
        result: T = await asyncio.shield(self._results[key])
        return result


def _listed(system: ExecutionAdapter, where: Mapping[str, Any], memo: Memo, bound: float) -> Flow[list[Snapshot]]:
    """Read the list from its newest end as far back as needed."""
    memo["oldest"] = bound
    pages, position = system.listed(where, memo), None
    items: list[Snapshot] = []
    for _ in range(MAX_PAGES):
        page, position = yield from pages(position)
        items += page
        dated = [utc(item.started_at).timestamp() for item in page if item.started_at]
        if position is None or (dated and max(dated) < bound - START_SKEW_SECONDS):
            return items
    return items
