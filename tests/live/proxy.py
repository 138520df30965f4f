"""
A proxy on loopback before a real server: it records requests and plays faults as the emulator does, and passes all else on.

Credentials pass through. Nothing is logged; the ledger is in memory only.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import httpx

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.clock import Clock, RealClock
from airflow_provider.emulator.front import Front
from airflow_provider.emulator.guard import Guard
from airflow_provider.emulator.ledger import Ledger, LedgerEntry
from airflow_provider.emulator.server import ServerThread

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

HOP_BY_HOP = {b"connection", b"keep-alive", b"transfer-encoding", b"te", b"trailer", b"upgrade", b"proxy-authorization", b"host"}
SECONDS = 60.0
"""How long the server may take."""


class _Forwarder:
    """
    ASGI application that sends each request on, byte by byte.

    :param prefix: of its own paths. :param base: address that stands in its place.
    :param answered: told method, path, status and body of each answer, before it is passed back.
    """

    routes: tuple[Any, ...] = ()

    def __init__(self, prefix: str, base: str, answered: Callable[[str, str, int, bytes], None]) -> None:
        self._prefix = prefix
        self._base = httpx.URL(base)
        self._answered = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["raw_path"].decode("ascii").removeprefix(self._prefix)
        query = scope["query_string"]
        raw = self._base.raw_path.rstrip(b"/") + path.encode("ascii") + (b"?" + query if query else b"")
        headers = [(name, value) for name, value in scope["headers"] if name.lower() not in HOP_BY_HOP]
        body = (await receive()).get("body", b"")
        # A client for each request: there is no moment at which one could be closed on this loop.
        async with httpx.AsyncClient(timeout=SECONDS) as client:
            client.headers.clear()
            request = client.build_request(scope["method"], self._base.copy_with(raw_path=raw), headers=headers, content=body)
            try:
                answer = await client.send(request, stream=True)
                content = b"".join([chunk async for chunk in answer.aiter_raw()])
            except httpx.HTTPError as error:
                await _reply(send, 502, [], f"the server behind the proxy of the tests: {type(error).__name__}".encode())
                return
        with contextlib.suppress(ValueError):
            self._answered(scope["method"], path, answer.status_code, content)
        kept = [(name, value) for name, value in answer.headers.raw if name.lower() not in HOP_BY_HOP | {b"content-length"}]
        await _reply(send, answer.status_code, kept, content)


async def _reply(send: Send, status: int, headers: list[tuple[bytes, bytes]], content: bytes) -> None:
    length = [(b"content-length", str(len(content)).encode())] if status not in (204, 304) else []
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": content})


class _Discreet(Ledger):
    """A ledger without credentials: a test that fails may show an entry."""

    def add(self, entry: LedgerEntry) -> None:
        entry.headers = {name: "***" if name in ("authorization", "cookie") else value for name, value in entry.headers.items()}
        super().add(entry)


class Proxy(Emulator):
    """
    Stands where the emulator stands in the behaviour suite; of the systems in it only the shapes of their errors are used.

    :param system: name of the system. :param base: address of the real one's API.
    """

    def __init__(self, system: str, base: str, clock: Clock) -> None:
        super().__init__(clock)
        self.base = base
        self.ledger = _Discreet()
        self.played = self.systems[system]
        self.started: list[str] = []
        """Ids of the executions that were started through it, also where a fault kept the answer back."""

    @property
    def address(self) -> str:
        """What stands for the address of the real API."""
        return self.played.url

    def start(self) -> None:
        """Start serving."""
        forwarder: Any = _Forwarder(self.played.prefix, self.base, self._answered)
        front = Front(forwarder, self.clock, self.ledger, self.faults, {self.played.name: self.played}, Guard())
        self._server = ServerThread(front, 0, RealClock())
        self._server.start()

    def _answered(self, method: str, path: str, status: int, body: bytes) -> None:
        if path.endswith("/auth/login"):
            for entry in self.ledger.select("POST", "/auth/login$"):
                entry.body = b""
        if method == "POST" and path.endswith("/workflow-executions") and status == 200:
            self.started.append(str(json.loads(body)["wf_exec_id"]))
