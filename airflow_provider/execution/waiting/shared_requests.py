"""Searches of one triggerer that read the same list: what one of them has asked, the others take as well."""

from __future__ import annotations

import asyncio
import weakref
from contextvars import Context
from functools import partial
from typing import Any, ClassVar, TypeVar

from airflow_provider import _clock
from airflow_provider.errors import ExecutionApiError
from airflow_provider.execution.http.transport import AsyncSender
from airflow_provider.execution.model.request import Flow, Request, Route

T = TypeVar("T")
Key = tuple[Route[Any], str, tuple[tuple[str, str], ...]]

MOST = 1_000
"""Questions that are remembered at most: addresses of later pages may be new ones at each look."""


class _Asked:
    """A question: who asked it, None if several did; when it was sent last; and its answer, while others may take it."""

    __slots__ = ("answer", "at", "by")

    def __init__(self, by: object) -> None:
        self.by: int | None = id(by)
        self.at = 0.0
        self.answer: asyncio.Task[Any] | None = None


class Searches:
    """
    The questions of all searches on one connection, for as long as there are any.

    Answers are kept only while several searches ask for the same, and no longer than the most patient of them takes them.
    """

    _shared: ClassVar[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[AsyncSender, Searches]]] = weakref.WeakKeyDictionary()

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender
        self._asked: dict[Key, _Asked] = {}
        self._members = 0

    @classmethod
    def join(cls, sender: AsyncSender) -> Searches:
        """Take part, until :meth:`leave`."""
        searches = cls._shared.setdefault(asyncio.get_running_loop(), {}).setdefault(sender, cls(sender))
        searches._members += 1
        return searches

    def leave(self) -> None:
        """The last to leave ends what is under way."""
        self._members -= 1
        if not self._members:
            del self._shared[asyncio.get_running_loop()][self._sender]
            for asked in self._asked.values():
                if asked.answer is not None:
                    asked.answer.cancel()

    async def run(self, flow: Flow[T], by: object, seconds: float) -> T:
        """
        Run one look of a search.

        :param by: whose look it is. :param seconds: how old an answer may be that another search has got.
        """
        return await self._sender.run(flow, partial(self._send, by, seconds))

    async def _send(self, by: object, seconds: float, request: Request[Any]) -> Any:
        if request.route.method != "GET" or request.url is not None or request.part is not None:
            return await self._sender.send(request)
        asked = self._question((request.route, request.path, request.query), by)
        if asked.by == id(by):
            return await self._sender.send(request)
        asked.by = None
        if asked.answer is None or (asked.answer.done() and _clock.monotonic() - asked.at > seconds):
            # Without the context of the task that happens to ask: it is nobody's own.
            asked.answer = Context().run(asyncio.create_task, self._sender.send(request))
            asked.at = _clock.monotonic()
            asked.answer.add_done_callback(partial(self._answered, asked, seconds))
        try:
            return await asyncio.shield(asked.answer)
        except ExecutionApiError as error:
            raise error.anew() from None

    def _question(self, key: Key, by: object) -> _Asked:
        if key not in self._asked and len(self._asked) >= MOST:
            self._asked = {key: asked for key, asked in self._asked.items() if asked.answer is not None}
        return self._asked.setdefault(key, _Asked(by))

    def _answered(self, asked: _Asked, seconds: float, answer: asyncio.Task[Any]) -> None:
        if not answer.cancelled():
            answer.exception()  # whoever waits for it is told; there may be nobody any more
        _clock.call_later(seconds, partial(self._forget, asked, answer))

    def _forget(self, asked: _Asked, answer: asyncio.Task[Any]) -> None:
        if asked.answer is answer:
            asked.answer = None
