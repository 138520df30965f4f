"""Requests shared by searches of one triggerer that read the same list: the answer to one of them serves the others too."""

from __future__ import annotations

import asyncio
from contextvars import Context
from functools import partial
from typing import Any, ClassVar, TypeVar

from airflow_provider import _clock
from airflow_provider.errors import ExecutionApiError
from airflow_provider.execution.http.per_loop_registry import PerLoopRegistry
from airflow_provider.execution.http.senders import AsyncSender
from airflow_provider.execution.model.request import Flow, Request, Route

T = TypeVar("T")
Key = tuple[Route[Any], str, tuple[tuple[str, str], ...]]
"""Route, path and query of a request."""

MAX_REMEMBERED_REQUESTS = 1_000
"""Maximum number of remembered requests: the URLs of further pages may be different at each poll."""


class _Shared:
    """A request that searches send: which of them, when it was sent last, and its answer while others may use it."""

    __slots__ = ("answer", "only_by", "sent_at")

    def __init__(self, search: object) -> None:
        self.only_by: int | None = id(search)
        """The search that sends it, or None if several do."""
        self.sent_at = 0.0
        self.answer: asyncio.Task[Any] | None = None


class SharedSearches:
    """
    The requests of all searches on one connection and event loop.

    Answers are kept only while several searches send the same request, and no longer than the search that sent it accepts them.
    """

    _registry: ClassVar[PerLoopRegistry[AsyncSender, SharedSearches]] = PerLoopRegistry()

    def __init__(self, sender: AsyncSender) -> None:
        self._sender = sender
        self._requests: dict[Key, _Shared] = {}

    @classmethod
    def join(cls, sender: AsyncSender) -> SharedSearches:
        """The shared searches of the sender, until :meth:`leave`. ``sender``: of the connection, held by each search."""
        return cls._registry.hold(sender, lambda: cls(sender))

    def leave(self) -> None:
        """Stop sharing. The last search to leave cancels the requests in progress."""
        if self._registry.release(self._sender):
            for shared in self._requests.values():
                if shared.answer is not None:
                    shared.answer.cancel()

    async def run(self, flow: Flow[T], search: object, max_age: float) -> T:
        """
        Run one poll of a search.

        :param search: identifies the search.
        :param max_age: maximum age of an answer to another search's request, in seconds.
        """
        return await self._sender.run(flow, partial(self._send, search, max_age))

    async def _send(self, search: object, max_age: float, request: Request[Any]) -> Any:
        if request.route.method != "GET" or request.url is not None or request.part is not None:
            return await self._sender.send(request)
        shared = self._remembered((request.route, request.path, request.query), search)
        if shared.only_by == id(search):
            return await self._sender.send(request)
        shared.only_by = None
        if shared.answer is None or (shared.answer.done() and _clock.monotonic() - shared.sent_at > max_age):
            # Not in the context of the first search's task: the request belongs to all of them.
            shared.answer = Context().run(asyncio.create_task, self._sender.send(request))
            shared.sent_at = _clock.monotonic()
            shared.answer.add_done_callback(partial(self._answered, shared, max_age))
        try:
            return await asyncio.shield(shared.answer)
        except ExecutionApiError as error:
            raise error.copied() from None

    def _remembered(self, key: Key, search: object) -> _Shared:
        if key not in self._requests and len(self._requests) >= MAX_REMEMBERED_REQUESTS:
            self._requests = {key: shared for key, shared in self._requests.items() if shared.answer is not None}
        return self._requests.setdefault(key, _Shared(search))

    def _answered(self, shared: _Shared, max_age: float, answer: asyncio.Task[Any]) -> None:
        if not answer.cancelled():
            answer.exception()  # the searches that wait for it get the error; there may be none left
        _clock.call_later(max_age, partial(self._forget, shared, answer))

    def _forget(self, shared: _Shared, answer: asyncio.Task[Any]) -> None:
        if shared.answer is answer:
            shared.answer = None
