"""One request and its answer, with the means to spoil the answer."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider.emulator.ledger import LedgerEntry

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def read_body(receive: Receive) -> bytes | None:
    """Return the whole request body; None if the client went away first."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)


@dataclass
class Answer:
    """An answer held back: status, raw headers, body."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


class Exchange:
    """A request on its way to the application, its answer on the way back.

    :param application: the ASGI application that knows the answer.
    :param entry: the request's line in the ledger; gets the status.
    :param transport: the TCP connection.
    """

    def __init__(
        self,
        application: ASGIApp,
        scope: Scope,
        receive: Receive,
        send: Send,
        entry: LedgerEntry,
        transport: asyncio.Transport,
    ) -> None:
        self._application = application
        self._scope = scope
        self._receive = receive
        self._send = send
        self.entry = entry
        self._transport = transport

    async def carry_out(self) -> Answer:
        """Let the request take effect and hold its answer back."""
        answer = Answer()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = list(message.get("headers", []))
            else:
                answer.body += message.get("body", b"")

        await self._application(self._scope, self._again(), send)
        return answer

    async def pass_on(self) -> None:
        """Let the request take effect and give its answer as it comes."""

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.entry.status = message["status"]
            await self._send(message)

        await self._application(self._scope, self._again(), send)

    def _again(self) -> Receive:
        """The request's body, which was read before, for the application."""
        given = False

        async def receive() -> Message:
            nonlocal given
            if given:
                return await self._receive()
            given = True
            return {"type": "http.request", "body": self.entry.body, "more_body": False}

        return receive

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of the answer and note its status."""
        self.entry.status = status
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, chunk: bytes, *, more: bool) -> None:
        """Send a part of the body."""
        await self._send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def reply(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Send a whole answer."""
        await self.start(status, headers)
        await self.write(body, more=False)

    async def client_leaves(self, within: float) -> bool:
        """Wait up to ``within`` seconds; True as soon as the connection is gone."""
        leaving = asyncio.ensure_future(self._receive())
        done, _ = await asyncio.wait({leaving}, timeout=within)
        if not done:
            leaving.cancel()
        return bool(done)

    async def hang_up(self, *, reset: bool = False) -> None:
        """Close the TCP connection, after what was written already; or reset it."""
        if reset:  # closing a socket that lingers for no time at all sends RST instead of FIN
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()
        while not await self.client_leaves(1.0):
            pass
