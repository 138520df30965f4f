"""A request and its answer on their way, whichever library carries them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Protocol


class Outgoing(NamedTuple):
    """
    A request, all its headers but ``Host`` and ``Content-Length`` included.

    :param url: in ASCII, as it goes over the wire.
    :param timeout: seconds for connecting, and for each wait for data.
    """

    method: str
    url: str
    headers: dict[str, str]
    content: bytes | None
    timeout: float


class Body(Protocol):
    """What is still to come of an answer, as it comes."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None:
        """Read no more of it."""


class Incoming(NamedTuple):
    """
    An answer whose headers are there.

    :param headers: whatever the case of their names.
    """

    status: int
    headers: Mapping[str, str]
    body: Body


class Carrier(Protocol):
    """Sends one request as it is, follows nothing, repeats nothing, raises httpx's errors."""

    async def send(self, request: Outgoing) -> Incoming:
        """Send it, and give the answer as soon as its headers are there."""

    async def aclose(self) -> None:
        """Close all sockets."""
