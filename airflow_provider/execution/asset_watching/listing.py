"""One look at a list of executions, shared by all that watch it: what one of them asks, the others get without asking again."""

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
from airflow_provider.execution.waiting.search import SKEW

if TYPE_CHECKING:
    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.model.request import Flow

T = TypeVar("T")

MAX_PAGES = 20
"""Pages of a list that one look reads at most."""
PATIENCE = 30.0
"""Seconds for which the last read of an ended execution bears an API that fails."""
GRACE = 5.0
"""Seconds for which it bears answers 404."""


class Look:
    """
    A list of executions as seen at one moment.

    :param where: the system's own criteria.
    :param memo: what the system remembers from look to look.
    :param bound: the executions that started at this moment or later are listed; epoch seconds.
    :param moment: of the look; epoch seconds.
    """

    def __init__(self, hook: ExecutionHook, where: Mapping[str, Any], memo: Memo, bound: float, moment: float | None = None) -> None:
        self.moment = _clock.now() if moment is None else moment
        self.bound = bound
        self.shown_at = _clock.monotonic()
        """When it was handed to those that watch."""
        self.hook = hook
        self._where = where
        self._memo = memo
        self._answers: dict[Hashable, asyncio.Task[Any]] = {}
        self._on_persisted: list[Callable[[], Awaitable[None]]] = []

    async def items(self, bound: float) -> list[Snapshot]:
        """
        The executions that started at ``bound`` or later, as summaries; a page may bring older ones along.

        :raises ConfigurationError: if what is watched is not there, or too much to be listed.
        """
        bound = min(bound, self.bound)
        return await self._ask(("list", bound), lambda system: _listed(system, self._where, self._memo, bound))

    async def read(self, ref: str) -> Snapshot:
        """
        An execution as it is now.

        :raises NotFound: if there is none any longer.
        """
        return await self._ask(("read", ref), lambda system: system.read(ref))

    async def details(self, ref: str) -> Snapshot:
        """
        An ended execution with everything.

        :raises NotFound: if there is none any longer.
        """
        return await self._ask(("details", ref), lambda system: final_read(system, ref, (), PATIENCE, GRACE))

    async def fits(self, filters: Mapping[str, Any], item: Snapshot) -> bool | None:
        """Whether an execution of the list meets ``filters`` as well; None if that can't be told yet."""
        where = {**self._where, **filters}
        return await self._ask(("fits", json.dumps(filters, sort_keys=True), item.ref), lambda system: system.matches(where, item))

    def when_persisted(self, act: Callable[[], Awaitable[None]]) -> None:
        """Do something once Airflow has stored the events that come of this look."""
        self._on_persisted.append(act)

    async def persisted(self) -> None:
        """Airflow has stored them."""
        for act in self._on_persisted:
            await act()

    async def _ask(self, what: Hashable, flow: Callable[[ExecutionAdapter], Flow[T]]) -> T:
        """Ask once, for all: in a task of its own, since whoever asked first may be taken away before the answer comes."""
        if what not in self._answers:
            task = asyncio.create_task(self.hook.arun_flow(flow(self.hook.adapter())))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._answers[what] = task
        answer: T = await asyncio.shield(self._answers[what])
        return answer


def _listed(system: ExecutionAdapter, where: Mapping[str, Any], memo: Memo, bound: float) -> Flow[list[Snapshot]]:
    """List from the newest end as far as needed."""
    memo["oldest"] = bound
    pages, at = system.listed(where, memo), None
    items: list[Snapshot] = []
    for _ in range(MAX_PAGES):
        some, at = yield from pages(at)
        items += some
        dated = [utc(item.started_at).timestamp() for item in some if item.started_at]
        if at is None or (dated and max(dated) < bound - SKEW):
            return items
    return items
