"""An event loop that never waits: whenever there is nothing to do, its clock jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "nothing is left that could go on: a wait was lost"
        self.loop.seconds += timeout
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Its time is virtual seconds from 0. No sockets, no threads."""

    def __init__(self) -> None:
        self.seconds = 0.0
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.seconds


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end, and see that no task is left."""
    loop = VirtualLoop()
    try:
        result = loop.run_until_complete(work)
        loop.run_until_complete(asyncio.sleep(0))  # what was cancelled just now may end
        assert not asyncio.all_tasks(loop), "a task outlives the last wait"
        return result
    finally:
        loop.close()
