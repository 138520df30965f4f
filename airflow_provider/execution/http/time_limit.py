"""How long a request may take as a whole: each of its reads may be short, and its task may have less time than the connection grants."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from ssl import SSLContext
from typing import Any

import httpcore

from airflow_provider import _clock

_PIECE_BYTES = 64 * 1024
"""Number of bytes that are written before the limit is looked at again."""
_until: ContextVar[float] = ContextVar("until", default=inf)
"""Until when the flow that runs here has time, by the monotonic clock."""


@contextmanager
def ending_within(seconds: float | None) -> Iterator[None]:
    """Limit all requests of a flow together to ``seconds`` from now; None for no limit."""
    token = _until.set(inf if seconds is None else _clock.monotonic() + seconds)
    try:
        yield
    finally:
        _until.reset(token)


def extend(seconds: float) -> None:
    """Give the flow that runs here more time: its own pauses do not count."""
    _until.set(_until.get() + seconds)


def seconds_left() -> float:
    """Seconds that the flow that runs here has left."""
    return _until.get() - _clock.monotonic()


class TimeLimit(httpcore.NetworkBackend):
    """Connects for httpcore, and limits the time of each request as a whole, in real time. For one request at once."""

    def __init__(self) -> None:
        self._backend = httpcore.SyncBackend()
        self._ends = inf

    @contextmanager
    def of(self, seconds: float) -> Iterator[None]:
        """Limit what is sent and received within a ``with`` block."""
        self._ends = time.monotonic() + seconds
        try:
            yield
        finally:
            self._ends = inf

    @property
    def has_passed(self) -> bool:
        """Whether the request has used up its time."""
        return time.monotonic() >= self._ends

    def at_most(self, timeout: float | None) -> float:
        """
        The timeout of one step, in seconds.

        :raises httpcore.ReadTimeout: if no time is left.
        """
        left = self._ends - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the time of the request is up")
        return left if timeout is None else min(timeout, left)

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect; see httpcore."""
        return _Stream(self._backend.connect_tcp(host, port, self.at_most(timeout), local_address, socket_options), self)


class _Stream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, limit: TimeLimit) -> None:
        self._stream, self._limit = stream, limit

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._limit.at_most(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _PIECE_BYTES):
            self._stream.write(buffer[start : start + _PIECE_BYTES], self._limit.at_most(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._stream.start_tls(ssl_context, server_hostname, self._limit.at_most(timeout)), self._limit)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
