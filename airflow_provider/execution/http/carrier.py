"""What sends single requests, over whichever HTTP library."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Protocol


class Outgoing(NamedTuple):
    """
    A request with all its headers, except for ``Host`` and ``Content-Length``.

    :param url: in ASCII, as it goes over the wire.
    :param timeout: seconds for connecting, and for each wait for data.
    """

    method: str
    url: str
    headers: dict[str, str]
    content: bytes | None
    timeout: float


class Body(Protocol):
    """The chunks of a body, as they are received."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None:
        """Stop reading."""


class Incoming(NamedTuple):
    """
    A response whose headers have been received.

    :param headers: names in any case.
    """

    status: int
    headers: Mapping[str, str]
    body: Body


class Carrier(Protocol):
    """Sends single requests as they are: follows no redirect, repeats nothing, and raises the errors of httpx."""

    async def send(self, request: Outgoing) -> Incoming:
        """Send a request; returns as soon as the headers of the response have been received."""

    async def aclose(self) -> None:
        """Close all sockets."""
