"""
Waits over aiohttp: its parser is in C, so that a poll takes a fraction of the processor time that it takes over httpx's own transport.

Imported by nobody but the async sender, and only where aiohttp is installed (extra ``aiohttp``).
"""

from __future__ import annotations

import asyncio
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

if tuple(map(int, aiohttp.__version__.split(".")[:2])) < (3, 14):
    raise ImportError("aiohttp 3.14 or later is needed")  # older ones bound the headers of an answer less

LONGEST_HEADER = 64 * 1024
"""Bytes of one header of an answer: addresses that are signed, and policies, may be longer than the 8 KiB that aiohttp takes."""


class AiohttpCarrier:
    """
    Sends what httpx would send, but for the case and the order of header names, and raises httpx's errors. Goes through no proxy.

    To be made on the event loop that it is used on.

    :param verify: how servers are to prove who they are.
    :param keep_alive: seconds that an idle connection is kept.
    """

    def __init__(self, verify: ssl.SSLContext, keep_alive: float) -> None:
        verify.set_alpn_protocols(["http/1.1"])
        connector = _Connector(
            ssl=verify,
            limit=0,  # the sender has its own
            keepalive_timeout=keep_alive,
            # As httpx looks names up: by the system's means, and anew for each connection, since an API may have moved.
            resolver=aiohttp.ThreadedResolver(),
            use_dns_cache=False,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_once,),
            skip_auto_headers=("content-type",),  # the others are in each request
            auto_decompress=False,
            max_line_size=LONGEST_HEADER,
            max_field_size=LONGEST_HEADER,
        )

    async def send(self, request: Outgoing) -> Incoming:
        """As :meth:`.Carrier.send`."""
        scheme, _, rest = request.url.partition("://")
        authority, _, target = rest.partition("/")
        answer = await self._session.request(
            request.method,
            URL.build(scheme=scheme, authority=authority, path=f"/{target}", encoded=True),  # yarl would read it as it thinks best
            headers={"host": authority, **request.headers},  # aiohttp would leave out a dot at the end of a name
            data=request.content,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, connect=request.timeout, sock_read=request.timeout),
        )
        raw = answer.raw_headers
        usual = len({name.lower() for name, _ in raw}) == len(raw) and all(value.isascii() for _, value in raw)
        return Incoming(answer.status, answer.headers if usual else httpx.Headers(raw), _Body(answer))

    async def aclose(self) -> None:
        """Close all sockets."""
        await self._session.close()


class _Connector(aiohttp.TCPConnector):
    """Connections that have got bytes nobody asked for are not used again: these would be taken for the next request's answer."""

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
        self._answer.close()  # a connection whose answer was read to its end is in the pool again already


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Word errors here already: aiohttp itself sends a GET again if it knows the error of a connection that was used before."""
    with _errors_of_httpx():
        return await send(request)


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    """
    Tell of an error what httpx would tell; above all, whether the request can have been sent.

    In words of our own, where aiohttp's may quote the address or the answer.
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
