"""The sync and the async sender: one reading of requests and responses, one retry policy, two ways to wait."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, ClassVar, TypeVar

import anyio
import httpx
from tenacity import AsyncRetrying, Retrying

from airflow_provider import _clock, _metrics
from airflow_provider.errors import ConfigurationError, ConnectionMissing, ExecutionApiError, ExecutionInterrupted, Unauthorized
from airflow_provider.execution.http.body import AnswerBody
from airflow_provider.execution.http.call import Call, LoginCall, Response
from airflow_provider.execution.http.carrier import Carrier
from airflow_provider.execution.http.carrier_httpx import HttpxCarrier, SyncClient, httpx_request
from airflow_provider.execution.http.credential_renewal import Credential
from airflow_provider.execution.http.endpoint import Endpoint, Login
from airflow_provider.execution.http.environment import check_proxies, has_proxies, tls_context
from airflow_provider.execution.http.flow_stepper import FlowStepper
from airflow_provider.execution.http.http_logs import install_log_filter
from airflow_provider.execution.http.per_loop_registry import PerLoopRegistry
from airflow_provider.execution.http.rate_limit import MAX_WAIT, RateLimit
from airflow_provider.execution.http.reading import NotPlain
from airflow_provider.execution.http.retrying import retry_policy
from airflow_provider.execution.http.time_limit import ending_within, extend, seconds_left
from airflow_provider.execution.model.request import Flow, Request, Sleep

T = TypeVar("T")

KEEP_ALIVE = 55.0
"""Seconds that an idle connection is kept for the next poll: shorter than most servers and proxies keep it."""
MAX_INLINE_BODY = 256 * 1024
"""
Maximum bytes that are worked on the event loop; a larger body is parsed in a thread, and so is what a flow makes of it. A damaged body is
parsed in a thread, whatever its size.
"""
_answer_is_long: ContextVar[bool] = ContextVar("answer_is_long", default=False)
"""Whether the answer that this asyncio task has received last is over :data:`MAX_INLINE_BODY`."""


class Sender:
    """
    Sends requests and runs flows for a worker's task. Not for several threads at once.

    :param endpoint: the connection.
    :param sleep: replaces :func:`time.sleep`, so that a pause can be ended from a signal handler.
    :param reread: reads the connection again, if its credential is refused after it was accepted.
    """

    def __init__(
        self, endpoint: Endpoint, sleep: Callable[[float], None] = _clock.sleep, reread: Callable[[], Endpoint] | None = None
    ) -> None:
        self._credential = Credential(endpoint)
        self._sleep = sleep
        self._reread = reread
        self._limit = RateLimit()
        install_log_filter()
        self._client = SyncClient(verify=tls_context(endpoint.verify, endpoint.conn_id), timeout=endpoint.timeout)
        self._finalizer = weakref.finalize(self, self._client.close)

    def close(self) -> None:
        """Close all sockets."""
        self._finalizer()

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def endpoint(self) -> Endpoint:
        """The connection, with the credential in use."""
        return self._credential.endpoint

    def send(self, request: Request[T]) -> T:
        """
        Send one request, and repeat it as far as that is safe.

        :raises ExecutionApiError: when all attempts failed, or the first if it must not be repeated.
        """
        answer: T = Retrying(sleep=self._sleep, **retry_policy(request, self.endpoint))(self._once, request)
        return answer

    def run(self, flow: Flow[T], within: float | None = None) -> T:
        """
        Run a flow to its end, and return its result.

        :param within: maximum seconds for all its requests; they fail, the flow is not ended.
        """
        with closing(flow), ending_within(within):
            step = FlowStepper(flow)
            while not step.done:
                if isinstance(step.wants, Sleep):
                    self._sleep(step.wants.seconds)
                    extend(step.wants.seconds)
                    step.resume(None)
                    continue
                try:
                    answer = self.send(step.wants)
                except ExecutionInterrupted:  # raised by the pause of a task that must end: no error of the API
                    raise
                except ExecutionApiError as error:
                    step.throw(error)
                else:
                    step.resume(answer)
            return step.result

    def wait_for_rate_limit(self) -> None:
        """Sleep while the API refuses every request, for a minute at most. A request that must not be late is then sent at once."""
        wait = self._limit.refused_for()
        if 0 < wait <= MAX_WAIT:
            self._sleep(wait)

    def _once(self, request: Request[T]) -> T:
        if wait := Call(self.endpoint, request).seconds_to_wait(self._limit, seconds_left()):
            self._sleep(wait)
        try:
            answer = self._attempt(request)
        except Unauthorized:
            if not self._renew(request):
                raise
            answer = self._attempt(request)
        self._credential.accepted = True
        return answer

    def _renew(self, request: Request[Any]) -> bool:
        """Read the connection again; whether that gives another credential to try."""
        if self._reread is None or not self._credential.may_be_renewed(request, self.endpoint):
            return False
        with suppress(ConnectionMissing, ConfigurationError):  # the refusal says more
            return self._credential.renew(self._reread())
        return False

    def _attempt(self, request: Request[T]) -> T:
        """Send it with the session's cookie, if there are sessions; once more, if the session is over."""
        login, credential = self.endpoint.login, self._credential
        is_new = login is not None and credential.cookie is None
        if login is not None and is_new:
            credential.cookie = self._log_in(login)
        call = Call(self.endpoint, request, credential.cookie)
        response = self._exchange(call)
        if login is not None and not is_new and call.logged_out(response):
            credential.cookie = self._log_in(login)
            call = Call(self.endpoint, request, credential.cookie)
            response = self._exchange(call)
        return call.parse(response)

    def _log_in(self, login: Login) -> str:
        call = LoginCall(self.endpoint, login)
        return call.parse(self._exchange(call))

    def _exchange(self, call: Call[Any]) -> Response:
        call.hurry(seconds_left())
        with _clock.under_way(), self._client.time_limit.of(call.time_limit):
            while True:
                with _counted(call):
                    response = self._exchange_once(call)
                if response is not None:
                    return response

    def _exchange_once(self, call: Call[Any]) -> Response | None:
        """Send a call; None if it has to be sent again, to the target of a redirect."""
        body: AnswerBody | None = None
        try:
            response = self._client.send(httpx_request(call.outgoing()), stream=True)
            call.status = response.status_code
            assert isinstance(response.stream, httpx.SyncByteStream)
            with closing(response.stream) as chunks:
                if call.at_own_origin:
                    call.refused_for = self._limit.observe(response.status_code, response.headers)
                if call.follow_redirect(response.status_code, response.headers):
                    return None
                body = AnswerBody(call, response.status_code, response.headers)
                for chunk in chunks:
                    if not body.add(chunk):
                        break
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
            if body is None or not body.is_error:  # of an error, the status says enough
                late = isinstance(error, (httpx.ReadTimeout, httpx.WriteTimeout)) and self._client.time_limit.has_passed
                raise (call.too_slow() if late else call.error_of(error)) from None
        assert body is not None
        whole = Response(response.status_code, response.headers, body.content)
        call.learn(self._limit, whole)
        return whole


class AsyncSender:
    """
    Sends requests and runs flows on an event loop. All waits of one connection on that loop share one (:meth:`shared`).

    :param endpoint: the connection.
    :param carrier: sends the requests; made on the event loop.
    :param reread: reads the connection again, if its credential is refused after it was accepted.
    """

    _registry: ClassVar[PerLoopRegistry[Hashable, AsyncSender]] = PerLoopRegistry()

    def __init__(self, endpoint: Endpoint, carrier: Carrier, reread: Callable[[], Awaitable[Endpoint]] | None = None) -> None:
        self._credential = Credential(endpoint)
        self._reread = reread
        self._carrier = carrier
        self._limit = RateLimit()
        # Before the pool: httpx's own pool is slow when many requests queue in it.
        self._slots = asyncio.Semaphore(endpoint.max_in_flight)
        self._renewing = asyncio.Lock()
        self._refused_login: tuple[Endpoint, Response] | None = None

    @property
    def endpoint(self) -> Endpoint:
        """The connection, with the credential in use."""
        return self._credential.endpoint

    def server_now(self) -> float:
        """Seconds since the epoch by the server's clock, whole seconds behind it at most; by this machine's if no response told it."""
        return self._limit.server_now()

    @classmethod
    async def hold(cls, endpoint: Endpoint, reread: Callable[[], Awaitable[Endpoint]] | None = None) -> AsyncSender:
        """
        Get the sender of a connection on this event loop, until :meth:`release`: all its users share one pool and one rate limit.

        If the credential in ``endpoint`` is a new one, all of them use it from now on.

        :param reread: reads the connection again, if its credential is refused after it was accepted.
        """
        make_carrier = await asyncio.to_thread(prepare_carrier, endpoint)
        sender = cls._registry.hold(cls._key(endpoint), lambda: cls(endpoint, make_carrier(), reread))
        sender._credential.adopt(endpoint)
        return sender

    @staticmethod
    def _key(endpoint: Endpoint) -> Hashable:
        """What a sender is shared by. Not by the credential, which may change, but by how the server's certificate is checked."""
        return endpoint.system, endpoint.conn_id, endpoint.base_url, endpoint.verify

    async def release(self) -> None:
        """Give a held sender back. The last user closes its sockets."""
        if self._registry.release(self._key(self.endpoint)):
            await asyncio.shield(self._carrier.aclose())

    @classmethod
    @asynccontextmanager
    async def shared(cls, endpoint: Endpoint, reread: Callable[[], Awaitable[Endpoint]] | None = None) -> AsyncIterator[AsyncSender]:
        """Hold the sender of a connection for a ``with`` block. See :meth:`hold`."""
        sender = await cls.hold(endpoint, reread)
        try:
            yield sender
        finally:
            await sender.release()

    @classmethod
    @asynccontextmanager
    async def own(cls, endpoint: Endpoint) -> AsyncIterator[AsyncSender]:
        """A sender that nobody else uses, so that requests do not queue: for a cancel that has little time."""
        make_carrier = await asyncio.to_thread(prepare_carrier, endpoint)
        async with aclosing(make_carrier()) as carrier:
            yield cls(endpoint, carrier)

    async def send(self, request: Request[T]) -> T:
        """Send one request, and repeat it as far as that is safe. See :meth:`Sender.send`."""
        try:
            return await self._once(request)  # without tenacity, whose set-up takes as long as a tenth of a request
        except ExecutionApiError as error:
            first_errors = [error]

        async def attempt() -> T:
            if first_errors:
                raise first_errors.pop()
            return await self._once(request)

        answer: T = await AsyncRetrying(sleep=_clock.asleep, **retry_policy(request, self.endpoint))(attempt)
        return answer

    async def run(self, flow: Flow[T], send: Callable[[Request[Any]], Awaitable[Any]] | None = None, within: float | None = None) -> T:
        """
        Run a flow to its end, and return its result.

        :param send: sends the requests instead of :meth:`send`.
        :param within: see :meth:`Sender.run`.
        """
        send = send or self.send
        with closing(flow), ending_within(within):
            step = FlowStepper(flow)
            while not step.done:
                if isinstance(step.wants, Sleep):
                    await _clock.asleep(step.wants.seconds)
                    extend(step.wants.seconds)
                    step.resume(None)
                    continue
                try:
                    answer = await send(step.wants)
                except ExecutionApiError as error:
                    step.throw(error)
                else:
                    if _answer_is_long.get():
                        _answer_is_long.set(False)
                        await _in_thread(step.resume, answer)
                    else:
                        step.resume(answer)
            return step.result

    async def _once(self, request: Request[T]) -> T:
        endpoint = self.endpoint
        try:
            answer = await self._attempt(request)
        except Unauthorized:
            if not await self._renew(request, endpoint):
                raise
            answer = await self._attempt(request)
        self._credential.accepted = True
        return answer

    async def _renew(self, request: Request[Any], refused: Endpoint) -> bool:
        """
        Read the connection again, unless another user has done so since ``refused`` was in use.

        :returns: whether there is another credential to try.
        """
        async with self._renewing:
            if self._reread is None or not self._credential.may_be_renewed(request, refused):
                return False
            with suppress(ConnectionMissing, ConfigurationError):  # the refusal says more
                return self.endpoint is not refused or self._credential.renew(await self._reread())
            return False

    async def _attempt(self, request: Request[T]) -> T:
        async with self._slots:
            # After the queue, so that everything learnt about the limit meanwhile counts, also during the sleep. The sleep keeps its
            # slot: a request that overtakes it, a final read as well, would only be refused.
            wait = Call(self.endpoint, request).seconds_to_wait(self._limit, seconds_left())
            with self._limit.under_way():
                while wait:
                    await _clock.asleep(wait)
                    wait = self._limit.refused_for()
                call, response = await self._in_session(request)
        if len(response.body) > MAX_INLINE_BODY:
            _answer_is_long.set(True)
        else:
            with suppress(NotPlain):
                return call.parse(response, at_once=True)
        return await asyncio.to_thread(call.parse, response)

    async def _in_session(self, request: Request[T]) -> tuple[Call[T], Response]:
        """Send it with the session's cookie, if there are sessions; once more, if the session is over."""
        credential = self._credential
        is_new = self.endpoint.login is not None and credential.cookie is None
        cookie = await self._log_in(None) if is_new else credential.cookie
        call = Call(self.endpoint, request, cookie)
        response = await self._exchange_in_time(call)
        if call.logged_out(response) and not is_new:
            call = Call(self.endpoint, request, await self._log_in(cookie))
            response = await self._exchange_in_time(call)
        return call, response

    async def _log_in(self, old_cookie: str | None) -> str:
        """
        Begin a session, unless another user has done so since ``old_cookie``.

        A refused login is not sent again: too many of them may lock the account.
        """
        async with self._renewing:
            credential, endpoint = self._credential, self.endpoint
            assert endpoint.login is not None
            if credential.cookie is None or credential.cookie == old_cookie:
                call = LoginCall(endpoint, endpoint.login)
                if self._refused_login is not None and self._refused_login[0] is endpoint:
                    return call.parse(self._refused_login[1])
                response = await self._exchange_in_time(call)
                try:
                    credential.cookie = call.parse(response)
                except Unauthorized:
                    self._refused_login = endpoint, response
                    raise
            return credential.cookie

    async def _exchange_in_time(self, call: Call[Any]) -> Response:
        call.hurry(seconds_left())
        # A limit on real sockets, hence in real time; asyncio.wait_for may lose a cancel before Python 3.12.
        with _clock.under_way(), anyio.move_on_after(call.time_limit):
            while True:
                with _counted(call):
                    response = await self._exchange(call)
                if response is not None:
                    return response
        raise call.too_slow()

    async def _exchange(self, call: Call[Any]) -> Response | None:
        """Send a call; None if it has to be sent again, to the target of a redirect."""
        body: AnswerBody | None = None
        try:
            status, headers, chunks = await self._carrier.send(call.outgoing())
            call.status = status
            async with aclosing(chunks):
                if call.at_own_origin:
                    call.refused_for = self._limit.observe(status, headers)
                if call.follow_redirect(status, headers):
                    return None
                body = AnswerBody(call, status, headers)
                async for chunk in chunks:
                    if not body.add(chunk):
                        break
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, UnicodeError) as error:
            if body is None or not body.is_error:
                raise call.error_of(error) from None
        assert body is not None
        whole = Response(status, headers, body.content)
        call.learn(self._limit, whole)
        return whole


@contextmanager
def _counted(call: Call[Any]) -> Iterator[None]:
    """Count a request that is sent in the block, and the pause that its answer asks for."""
    call.status = None
    try:
        yield
    finally:
        _metrics.requests(call.endpoint.system, call.status)
        if call.refused_for:
            _metrics.rate_limit_pauses(call.endpoint.system, call.refused_for)


async def _in_thread(function: Callable[[Any], None], argument: object) -> None:
    """Call a function in a thread. A cancel waits for its end: a flow that is at work can't be closed."""
    work = asyncio.ensure_future(asyncio.to_thread(function, argument))
    try:
        await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with suppress(asyncio.CancelledError):  # one is raised already
                await asyncio.wait([work])
        if not work.cancelled():
            work.exception()  # seen
        raise


def prepare_carrier(endpoint: Endpoint) -> Callable[[], Carrier]:
    """
    Load certificates and import libraries, which takes too long for an event loop: to be called in a thread.

    :returns: makes the carrier, on the event loop.
    """
    context = tls_context(endpoint.verify, endpoint.conn_id)
    check_proxies()  # before anybody holds the carrier
    if not has_proxies():  # httpx alone knows which address needs which proxy
        with suppress(ImportError):
            from airflow_provider.execution.http.carrier_aiohttp import AiohttpCarrier

            return partial(AiohttpCarrier, context, KEEP_ALIVE)
    return partial(HttpxCarrier, context, KEEP_ALIVE)
