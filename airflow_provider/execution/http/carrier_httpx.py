"""Sending requests with httpx."""

from __future__ import annotations

import ssl
from functools import lru_cache

import httpx

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.http.carrier import Incoming, Outgoing
from airflow_provider.execution.http.httpcore_log import install_log_filter


@lru_cache(maxsize=8)
def tls_context(verify: bool | str) -> ssl.SSLContext:
    """
    How to check the certificates of servers. Cached: loading certificates takes tens of milliseconds, too long for an event loop.

    :param verify: see :class:`.Endpoint`.
    :raises ConfigurationError: if the CA bundle can't be read.
    """
    if isinstance(verify, str):
        try:
            return ssl.create_default_context(cafile=verify)
        except OSError as error:
            raise ConfigurationError(f"The CA bundle {verify!r} can't be read: {error}") from None
    return httpx.create_ssl_context(verify=verify)


class _NoCookies(httpx.Cookies):
    """Only the login reads cookies."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Extract none: looking for them takes a twentieth of the time of a request."""


class SyncClient(httpx.Client):
    """httpx's client without cookies."""

    cookies = _NoCookies()  # type: ignore[override]


class AsyncClient(httpx.AsyncClient):
    """httpx's async client without cookies."""

    cookies = _NoCookies()  # type: ignore[override]


def httpx_request(request: Outgoing) -> httpx.Request:
    """A request of httpx. Built here, because the client would add headers and cookies of its own, which takes time."""
    extensions = {"timeout": httpx.Timeout(request.timeout).as_dict()}
    return httpx.Request(request.method, request.url, headers=request.headers, content=request.content, extensions=extensions)


class HttpxCarrier:
    """
    Uses httpx's client, not its transport: only the client knows the proxies of the environment.

    :param verify: how to check the certificates of servers.
    :param keep_alive: seconds that an idle connection is kept.
    """

    def __init__(self, verify: ssl.SSLContext, keep_alive: float) -> None:
        install_log_filter()
        self._client = AsyncClient(verify=verify, limits=httpx.Limits(keepalive_expiry=keep_alive))

    async def send(self, request: Outgoing) -> Incoming:
        """See :meth:`.Carrier.send`."""
        response = await self._client.send(httpx_request(request), stream=True)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        return Incoming(response.status_code, response.headers, response.stream)

    async def aclose(self) -> None:
        """Close all sockets."""
        await self._client.aclose()
