"""Searches that read the same list: who is told what, when others leave, fail, or come later."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from airflow_provider import _clock
from airflow_provider.errors import ServerError
from airflow_provider.execution.model.request import Request, Route
from airflow_provider.execution.waiting.shared_searches import SharedSearches
from tests import virtual_clock

LIST: Route[Any] = Route("GET", "/list")
LONG = 1_000.0


class Api:
    """Answers with the number of the request, once it is let; fails with ``error`` if there is one."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()
        self.error: Exception | None = None

    async def send(self, request: Request[Any]) -> int:
        self.asked += 1
        number = self.asked
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return number


async def begun(searches: SharedSearches, seconds: float, *names: str) -> list[asyncio.Task[Any]]:
    """Searches by these names, all of which have asked."""
    tasks = [asyncio.create_task(searches._send(name, seconds, LIST())) for name in names]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


def joined(api: Any, times: int) -> SharedSearches:
    searches = SharedSearches.join(api)
    for _ in range(times - 1):
        SharedSearches.join(api)
    return searches


def test_one_that_is_cancelled_takes_nothing_from_the_others() -> None:
    async def main() -> None:
        api = Api()
        searches = joined(api, 3)
        first, second, third = await begun(searches, LONG, "a", "b", "c")
        second.cancel()
        searches.leave()
        api.may_answer.set()
        assert (await first, await third, api.asked) == (1, 2, 2)

    virtual_clock.run(main())


def test_a_failure_is_told_to_all_who_asked_and_not_kept() -> None:
    async def main() -> None:
        api = Api()
        searches = joined(api, 3)
        tasks = await begun(searches, 0.0, "a", "b", "c")
        api.error = ServerError("It broke.", system="buddy")
        api.may_answer.set()
        told: set[int] = set()
        for task in tasks[1:]:
            with pytest.raises(ServerError, match="It broke") as failure:
                await task
            told.add(id(failure.value))
            assert len(failure.traceback) < 10
        assert len(told) == 2, "each is told by an error of its own"
        with pytest.raises(ServerError):
            await tasks[0]
        api.error = None
        await _clock.asleep(1.0)
        (later,) = await begun(searches, 0.0, "b")
        assert (await later, api.asked) == (3, 3)

    virtual_clock.run(main())


def test_the_last_to_leave_ends_what_is_under_way() -> None:
    async def main() -> None:
        noise: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: noise.append(told))
        api = Api()
        searches = joined(api, 2)
        _, second = await begun(searches, LONG, "a", "b")
        searches.leave()
        assert not second.done()
        searches.leave()
        with pytest.raises(asyncio.CancelledError):
            await second
        await asyncio.sleep(0)
        assert noise == []
        assert SharedSearches.join(api) is not searches  # type: ignore[arg-type]

    virtual_clock.run(main())
