"""The sync and the async sender: they share everything but how they wait."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
from contextlib import aclosing, asynccontextmanager, closing, suppress
from functools import partial
from typing import Any, ClassVar, TypeVar
from urllib.request import getproxies

import anyio
import httpx
from tenacity import AsyncRetrying, Retrying

from airflow_provider import _clock
from airflow_provider.errors import ConfigurationError, ConnectionMissing, ExecutionApiError, ExecutionInterrupted, Unauthorized
from airflow_provider.execution.http.body import AnswerBody
from airflow_provider.execution.http.call import SLOWEST, Call, LoginCall
from airflow_provider.execution.http.carrier import Carrier
from airflow_provider.execution.http.carrier_httpx import HttpxCarrier, SyncClient, httpx_request, tls_context
from airflow_provider.execution.http.credential import Credential
from airflow_provider.execution.http.endpoint import Endpoint, Login
from airflow_provider.execution.http.flow_stepper import FlowStepper
from airflow_provider.execution.http.log_filter import install_log_filter
from airflow_provider.execution.http.per_loop_registry import PerLoopRegistry
from airflow_provider.execution.http.rate_limit import RateLimit
from airflow_provider.execution.http.retrying import retry_policy
from airflow_provider.execution.model.request import Flow, Request, Sleep

T = TypeVar("T")

KEEP_ALIVE = 55.0
"""Seconds that waits keep an idle connection for the next poll: less than after what servers and proxies usually close it."""
OFF_LOOP = 256 * 1024
"""Bytes from which on an answer is parsed in a thread, not on the event loop."""


class Sender:
    """
    Runs flows for a worker's task. Not for several threads at once.

    :param sleep: replaces :func:`time.sleep`, so that a pause can be ended from a signal handler.
    :param reread: reads the connection again, should its credential be refused after it was taken.
    """

    def __init__(
        self, endpoint: Endpoint, sleep: Callable[[float], None] = _clock.sleep, reread: Callable[[], Endpoint] | None = None
    ) -> None:
        self._credential = Credential(endpoint)
        self._sleep = sleep
        self._reread = reread
        self._limit = RateLimit()
        install_log_filter()
        self._client = SyncClient(verify=tls_context(endpoint.verify), timeout=endpoint.timeout)
        self._finalizer = weakref.finalize(self, self._client.close)

    def close(self) -> None:
        """Close all sockets."""
        self._finalizer()

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def send(self, request: Request[T]) -> T:
        """
        Send one request, with the repeats that it allows.

        :raises ExecutionApiError: when all attempts failed, or the first if it must not be repeated.
        """
        answer: T = Retrying(sleep=self._sleep, **retry_policy(request, self.endpoint))(self._once, request)
        return answer

    @property
    def endpoint(self) -> Endpoint:
        """Where it sends to, with the credential in use."""
        return self._credential.endpoint

    def _once(self, request: Request[T]) -> T:
        if wait := Call(self.endpoint, request).pause(self._limit):
            self._sleep(wait)
        try:
            answer = self._attempt(request)
        except Unauthorized:
            if not self._renewed(request):
                raise
            answer = self._attempt(request)
        self._credential.taken = True
        return answer

    def _renewed(self, request: Request[Any]) -> bool:
        if self._reread is None or not self._credential.may_be_renewed(request, self.endpoint):
            return False
        with suppress(ConnectionMissing, ConfigurationError):  # the refusal says more
            return self._credential.renew(self._reread())
        return False

    def _attempt(self, request: Request[T]) -> T:
        login, credential = self.endpoint.login, self._credential
        fresh = login is not None and credential.cookie is None
        if login is not None and fresh:
            credential.cookie = self._log_in(login)
        call = Call(self.endpoint, request, credential.cookie)
        answer = self._exchange(call)
        if login is not None and not fresh and call.logged_out(answer[0], answer[2]):
            credential.cookie = self._log_in(login)
            call = Call(self.endpoint, request, credential.cookie)
            answer = self._exchange(call)
        return call.answer(*answer)

    def _log_in(self, login: Login) -> str:
        call = LoginCall(self.endpoint, login)
        return call.answer(*self._exchange(call))

    def _exchange(self, call: Call[Any]) -> tuple[int, Mapping[str, str], bytearray]:
        with _clock.under_way():
            return self._exchanged(call)

    def _exchanged(self, call: Call[Any]) -> tuple[int, Mapping[str, str], bytearray]:
        while True:
            try:
                response = self._client.send(httpx_request(call.outgoing()), stream=True)
                assert isinstance(response.stream, httpx.SyncByteStream)
                with closing(response.stream) as raw:
                    if call.at_home:
                        call.refused_for = self._limit.note(response.status_code, response.headers)
                    if call.redirected(response.status_code, response.headers):
                        continue
                    body = AnswerBody(call, response.status_code, response.headers)
                    for chunk in raw:
                        if not body.add(chunk):
                            break
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                raise call.failed(error) from None
            return response.status_code, response.headers, body.content

    def run(self, flow: Flow[T]) -> T:
        """Run a flow to its end, and give its result."""
        with closing(flow):
            step = FlowStepper(flow)
            while not step.done:
                if isinstance(step.wants, Sleep):
                    self._sleep(step.wants.seconds)
                    step.go_on(None)
                    continue
                try:
                    answer = self.send(step.wants)
                except ExecutionInterrupted:  # raised by the pause of a task that must end: no error of the API
                    raise
                except ExecutionApiError as error:
                    step.throw(error)
                else:
                    step.go_on(answer)
            return step.result


class AsyncSender:
    """Runs flows on an event loop; shared by all waits of one connection on that loop (:meth:`shared`)."""

    _registry: ClassVar[PerLoopRegistry[Hashable, AsyncSender]] = PerLoopRegistry()

    def __init__(self, endpoint: Endpoint, carrier: Carrier, reread: Callable[[], Awaitable[Endpoint]] | None = None) -> None:
        self._credential = Credential(endpoint)
        self._reread = reread
        self._carrier = carrier
        self._limit = RateLimit()
        # Before the pool: httpx's own pool is slow when many requests queue in it.
        self._in_flight = asyncio.Semaphore(endpoint.max_in_flight)
        self._renewing = asyncio.Lock()
        self._refusal: tuple[Endpoint, int, Mapping[str, str], bytearray] | None = None

    @property
    def endpoint(self) -> Endpoint:
        """Where it sends to, with the credential in use."""
        return self._credential.endpoint

    @classmethod
    async def hold(cls, endpoint: Endpoint, reread: Callable[[], Awaitable[Endpoint]] | None = None) -> AsyncSender:
        """
        One sender, hence one pool and one rate limit, for all that use a connection on this loop at a time; until :meth:`release`.

        A credential that was changed since is the one that all of them use from now on.

        :param reread: reads the connection again, should its credential be refused after it was taken.
        """
        carrier = await asyncio.to_thread(prepare_carrier, endpoint.verify)
        sender = cls._registry.hold(cls._key(endpoint), lambda: cls(endpoint, carrier(), reread))
        sender._credential.adopt(endpoint)
        return sender

    @staticmethod
    def _key(endpoint: Endpoint) -> Hashable:
        """What senders are shared by: not by the credential, which may change, but by how the server's certificate is checked."""
        return endpoint.system, endpoint.conn_id, endpoint.base_url, endpoint.verify

    async def release(self) -> None:
        """Give a sender back that was held; the last to do so closes its sockets."""
        if self._registry.release(self._key(self.endpoint)):
            await asyncio.shield(self._carrier.aclose())

    @classmethod
    @asynccontextmanager
    async def shared(cls, endpoint: Endpoint, reread: Callable[[], Awaitable[Endpoint]] | None = None) -> AsyncIterator[AsyncSender]:
        """Hold a sender for as long as a ``with`` block."""
        sender = await cls.hold(endpoint, reread)
        try:
            yield sender
        finally:
            await sender.release()

    @classmethod
    @asynccontextmanager
    async def own(cls, endpoint: Endpoint) -> AsyncIterator[AsyncSender]:
        """A sender that queues behind nobody else's requests, such as for cancelling while there is time."""
        carrier = await asyncio.to_thread(prepare_carrier, endpoint.verify)
        async with aclosing(carrier()) as made:
            yield cls(endpoint, made)

    async def send(self, request: Request[T]) -> T:
        """Send one request, with the repeats that it allows. See :meth:`Sender.send`."""
        try:
            return await self._once(request)  # what repeats it is not set up for nothing: that takes as long as a tenth of a request
        except ExecutionApiError as error:
            failures = [error]

        async def again() -> T:
            if failures:
                raise failures.pop()
            return await self._once(request)

        answer: T = await AsyncRetrying(sleep=_clock.asleep, **retry_policy(request, self.endpoint))(again)
        return answer

    async def _once(self, request: Request[T]) -> T:
        endpoint = self.endpoint
        try:
            answer = await self._attempt(request)
        except Unauthorized:
            if not await self._renewed(request, endpoint):
                raise
            answer = await self._attempt(request)
        self._credential.taken = True
        return answer

    async def _attempt(self, request: Request[T]) -> T:
        async with self._in_flight:
            # Behind the queue: what has been learnt of the limit meanwhile counts, also while it sleeps. It keeps its slot meanwhile:
            # whatever comes behind it, a final read as well, would be refused like it.
            wait = Call(self.endpoint, request).pause(self._limit)
            with self._limit.turn():
                while wait:
                    await _clock.asleep(wait)
                    wait = self._limit.refused()
                status, headers, body, call = await self._in_session(request)
        if len(body) > OFF_LOOP:
            return await asyncio.to_thread(call.answer, status, headers, body)
        return call.answer(status, headers, body)

    async def _in_session(self, request: Request[T]) -> tuple[int, Mapping[str, str], bytearray, Call[T]]:
        """Send it with the session's cookie, if there are sessions; anew, if the session is over."""
        credential = self._credential
        fresh = self.endpoint.login is not None and credential.cookie is None
        cookie = await self._log_in(None) if fresh else credential.cookie
        call = Call(self.endpoint, request, cookie)
        answer = await self._bounded(call)
        if call.logged_out(answer[0], answer[2]) and not fresh:
            call = Call(self.endpoint, request, await self._log_in(cookie))
            answer = await self._bounded(call)
        return *answer, call

    async def _log_in(self, old: str | None) -> str:
        """Begin a session, unless somebody else has done so since ``old``. A refused login is not tried again: it may lock the account."""
        async with self._renewing:
            credential, endpoint = self._credential, self.endpoint
            assert endpoint.login is not None
            if credential.cookie is None or credential.cookie == old:
                call = LoginCall(endpoint, endpoint.login)
                if self._refusal is not None and self._refusal[0] is endpoint:
                    return call.answer(*self._refusal[1:])
                answer = await self._bounded(call)
                try:
                    credential.cookie = call.answer(*answer)
                except Unauthorized:
                    self._refusal = (endpoint, *answer)
                    raise
            return credential.cookie

    async def _renewed(self, request: Request[Any], refused: Endpoint) -> bool:
        """Read the connection again, unless somebody else has done so since ``refused`` was in use."""
        async with self._renewing:
            if self._reread is None or not self._credential.may_be_renewed(request, refused):
                return False
            with suppress(ConnectionMissing, ConfigurationError):  # the refusal says more
                return self.endpoint is not refused or self._credential.renew(await self._reread())
            return False

    async def _bounded(self, call: Call[Any]) -> tuple[int, Mapping[str, str], bytearray]:
        # A limit on real sockets, hence in real time; asyncio.wait_for may lose a cancel before Python 3.12.
        with _clock.under_way(), anyio.move_on_after(SLOWEST * self.endpoint.timeout):
            return await self._exchange(call)
        raise call.too_slow()

    async def _exchange(self, call: Call[Any]) -> tuple[int, Mapping[str, str], bytearray]:
        while True:
            try:
                status, headers, raw = await self._carrier.send(call.outgoing())
                async with aclosing(raw):
                    if call.at_home:
                        call.refused_for = self._limit.note(status, headers)
                    if call.redirected(status, headers):
                        continue
                    body = AnswerBody(call, status, headers)
                    async for chunk in raw:
                        if not body.add(chunk):
                            break
            except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
                raise call.failed(error) from None
            return status, headers, body.content

    async def run(self, flow: Flow[T], send: Callable[[Request[Any]], Awaitable[Any]] | None = None) -> T:
        """
        Run a flow to its end, and give its result.

        :param send: instead of :meth:`send`.
        """
        send = send or self.send
        with closing(flow):
            step = FlowStepper(flow)
            while not step.done:
                if isinstance(step.wants, Sleep):
                    await _clock.asleep(step.wants.seconds)
                    step.go_on(None)
                    continue
                try:
                    answer = await send(step.wants)
                except ExecutionApiError as error:
                    step.throw(error)
                else:
                    step.go_on(answer)
            return step.result


def prepare_carrier(verify: bool | str) -> Callable[[], Carrier]:
    """Do what takes too long for an event loop, certificates and imports; the carrier itself is made there."""
    context = tls_context(verify)
    if not {"http", "https", "all"} & set(getproxies()):  # which address goes through which proxy is for httpx to tell
        with suppress(ImportError):
            from airflow_provider.execution.http.carrier_aiohttp import AiohttpCarrier

            return partial(AiohttpCarrier, context, KEEP_ALIVE)
    return partial(HttpxCarrier, context, KEEP_ALIVE)
