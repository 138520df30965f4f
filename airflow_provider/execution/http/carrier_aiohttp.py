"""
Sending requests with aiohttp. Its parser is written in C, so that a poll takes a fraction of the processor time that it takes with httpx.

Only the async sender imports this module, and only if aiohttp is installed (extra ``aiohttp``).
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakSet

import aiohttp
import httpx
from aiohttp.connector import Connection
from yarl import URL

from airflow_provider.execution.http.carrier import Incoming, Outgoing

if tuple(int(re.match(r"\d*", part)[0] or 0) for part in aiohttp.__version__.split(".")[:3]) < (3, 14, 2):  # type: ignore[index]
    raise ImportError("aiohttp 3.14.2 or later is needed")  # older ones limit headers less, or connect anew for each request

MAX_HEADER_SIZE = 64 * 1024
"""Maximum bytes of one response header. Signed addresses and policies may be longer than aiohttp's default of 8 KiB."""


class AiohttpCarrier:
    """
    Sends what httpx would send, except for the case and the order of header names, and raises the errors of httpx. Supports no proxies.

    Make it on the event loop that it is used on.

    :param verify: how to check the certificates of servers.
    :param keep_alive: seconds that an idle connection is kept.
    """

    def __init__(self, verify: ssl.SSLContext, keep_alive: float) -> None:
        verify.set_alpn_protocols(["http/1.1"])
        connector = _Connector(
            ssl=verify,
            limit=0,  # the sender has its own
            keepalive_timeout=keep_alive,
            # Like httpx: with the resolver of the system, and again for each connection, since the address of an API may change.
            resolver=aiohttp.ThreadedResolver(),
            use_dns_cache=False,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_translate_errors,),
            skip_auto_headers=("content-type",),  # the others are in each request
            auto_decompress=False,
            max_line_size=MAX_HEADER_SIZE,
            max_field_size=MAX_HEADER_SIZE,
        )

    async def send(self, request: Outgoing) -> Incoming:
        """See :meth:`.Carrier.send`."""
        scheme, _, rest = request.url.partition("://")
        authority, _, target = rest.partition("/")
        answer = await self._session.request(
            request.method,
            URL.build(scheme=scheme, authority=authority, path=f"/{target}", encoded=True),  # else yarl would normalize it
            headers={"host": authority, **request.headers},  # aiohttp would strip a trailing dot of the host name
            data=request.content,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=request.timeout, sock_read=request.timeout),
        )
        raw = answer.raw_headers
        is_simple = len({name.lower() for name, _ in raw}) == len(raw) and all(value.isascii() for _, value in raw)
        return Incoming(answer.status, answer.headers if is_simple else httpx.Headers(raw), _Body(answer))

    async def aclose(self) -> None:
        """Close all sockets."""
        await self._session.close()


class _Connector(aiohttp.TCPConnector):
    """Does not reuse a connection that has received unexpected bytes: they would be taken for the response to the next request."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._used: WeakSet[Any] = WeakSet()

    async def connect(self, *arguments: Any, **named: Any) -> Connection:
        while (connection := await super().connect(*arguments, **named)).protocol in self._used:
            if connection.protocol is None or not connection.protocol.should_close:
                return connection
            connection.close()
        self._used.add(connection.protocol)
        return connection


class _Body:
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        with _errors_of_httpx():
            chunk = await self._answer.content.readany()
        if not chunk:
            raise StopAsyncIteration
        return chunk

    async def aclose(self) -> None:
        self._answer.close()  # if the body was read to its end, the connection is back in the pool already


async def _translate_errors(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Translate errors below aiohttp's own retry: it would send a GET again after some errors on a reused connection."""
    with _errors_of_httpx():
        return await send(request)


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """
    Raise the error that httpx would raise, above all so that it is known whether the request can have been sent.

    With a text of our own where aiohttp's may quote the address or the response.
    """
    try:
        yield
    except aiohttp.ClientConnectorError as error:
        raise httpx.ConnectError(str(error.os_error)) from error
    except aiohttp.ConnectionTimeoutError as error:
        raise httpx.ConnectTimeout("no connection") from error
    except asyncio.TimeoutError as error:
        raise httpx.ReadTimeout("no data") from error
    except aiohttp.ServerDisconnectedError as error:
        raise httpx.RemoteProtocolError("the server closed the connection without an answer") from error
    except aiohttp.ClientPayloadError as error:
        raise httpx.RemoteProtocolError("the answer's body is cut short, or no HTTP") from error
    except aiohttp.ClientResponseError as error:
        raise httpx.RemoteProtocolError("the answer is no HTTP") from error
    except (aiohttp.ClientError, OSError) as error:
        raise httpx.ReadError("the connection was lost") from error
