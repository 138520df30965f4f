"""One request and its answer, with the means to tamper with the answer."""

from __future__ import annotations

import asyncio
import socket
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_provider.emulator.json_text import whole_body
from airflow_provider.emulator.ledger import LedgerEntry

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


async def read_body(receive: Receive) -> bytes | None:
    """Return the whole request body; None if the client disconnected first."""
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
    """A complete answer that is not sent yet: status, raw headers, body."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    body: bytes = b""


class Exchange:
    """A request to the application and the answer to it.

    :param application: the ASGI application that answers.
    :param entry: the request's entry in the ledger; its status is set.
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
        """Pass the request to the application and return its answer without sending it."""
        answer = Answer()

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = list(message.get("headers", []))
            else:
                answer.body += message.get("body", b"")

        await self._application(self._scope, self._replay_body(), send)
        return answer

    async def pass_on(self) -> None:
        """Pass the request to the application and send its answer as it arrives."""

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.entry.status = message["status"]
            await self._send(message)

        await self._application(self._scope, self._replay_body(), send)

    def _replay_body(self) -> Receive:
        """Return a ``receive`` that gives the application the body, which was already read."""
        delivered = False

        async def receive() -> Message:
            nonlocal delivered
            if delivered:
                return await self._receive()
            delivered = True
            return {"type": "http.request", "body": whole_body(self.entry.body), "more_body": False}

        return receive

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Send the head of the answer and record its status."""
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
        """Wait up to ``within`` seconds; return True as soon as the connection is closed."""
        leaving = asyncio.ensure_future(self._receive())
        done, _ = await asyncio.wait({leaving}, timeout=within)
        if not done:
            leaving.cancel()
        return bool(done)

    async def hang_up(self, *, reset: bool = False) -> None:
        """Close the TCP connection after everything written so far is sent; or reset it."""
        if reset:  # a close with a linger time of zero sends RST instead of FIN
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
        else:
            self._transport.close()
        while not await self.client_leaves(1.0):
            pass
