"""Sending requests with httpx."""

from __future__ import annotations

import ssl

import httpx

from airflow_provider.execution.http.carrier import Incoming, Outgoing
from airflow_provider.execution.http.environment import bypasses_proxies, check_proxies, naming_no_proxy, proxies
from airflow_provider.execution.http.http_logs import OwnUrl, install_log_filter
from airflow_provider.execution.http.time_limit import TimeLimit


class _NoCookies(httpx.Cookies):
    """Only the login reads cookies."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Extract none: looking for them takes a twentieth of the time of a request."""


class SyncClient(httpx.Client):
    """
    httpx's client without cookies, which heeds ranges of addresses in ``NO_PROXY``, and has a limit on the time of each request as a whole.
    """

    cookies = _NoCookies()  # type: ignore[override]

    def __init__(self, *, verify: ssl.SSLContext, timeout: float) -> None:
        check_proxies()
        with naming_no_proxy():
            mounts = {pattern: httpx.HTTPTransport(verify=verify, proxy=proxy) if proxy else None for pattern, proxy in proxies().items()}
            super().__init__(verify=verify, timeout=timeout, mounts=mounts, trust_env=False)
        self._bypasses = bypasses_proxies()
        self.time_limit = TimeLimit()
        for transport in (self._transport, *self._mounts.values()):
            if isinstance(transport, httpx.HTTPTransport):
                transport._pool._network_backend = self.time_limit  # httpx has no argument for it

    def _transport_for_url(self, url: httpx.URL) -> httpx.BaseTransport:
        return self._transport if self._bypasses is not None and self._bypasses(url.host) else super()._transport_for_url(url)


class AsyncClient(httpx.AsyncClient):
    """httpx's async client without cookies, which heeds ranges of addresses in ``NO_PROXY``."""

    cookies = _NoCookies()  # type: ignore[override]

    def __init__(self, *, verify: ssl.SSLContext, limits: httpx.Limits) -> None:
        check_proxies()
        with naming_no_proxy():
            mounts = {
                pattern: httpx.AsyncHTTPTransport(verify=verify, limits=limits, proxy=proxy) if proxy else None
                for pattern, proxy in proxies().items()
            }
            super().__init__(verify=verify, limits=limits, mounts=mounts, trust_env=False)
        self._bypasses = bypasses_proxies()

    def _transport_for_url(self, url: httpx.URL) -> httpx.AsyncBaseTransport:
        return self._transport if self._bypasses is not None and self._bypasses(url.host) else super()._transport_for_url(url)


def httpx_request(request: Outgoing) -> httpx.Request:
    """A request of httpx. Built here, because the client would add headers and cookies of its own, which takes time."""
    extensions = {"timeout": httpx.Timeout(request.timeout).as_dict()}
    built = httpx.Request(request.method, request.url, headers=request.headers, content=request.content, extensions=extensions)
    built.url = OwnUrl(built.url)
    return built


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
