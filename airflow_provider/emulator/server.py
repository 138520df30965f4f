"""A uvicorn server in a daemon thread, on loopback, that starts and stops within milliseconds."""

from __future__ import annotations

import asyncio
import contextlib
import email.utils
import logging
import socket
import threading
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider.emulator.clock import Clock

THREAD = "airflow-provider-emulator"
"""Name of the threads that serve."""
TRANSPORT = "airflow_provider.transport"
"""Key of the ASGI scope under which the application finds the connection's transport."""


def _only_problems(record: logging.LogRecord) -> bool:
    """Keep what an emulator's server says of its start and end out of the logs that a test captures."""
    return record.levelno >= logging.WARNING or record.threadName != THREAD


logging.getLogger("uvicorn.error").addFilter(_only_problems)


class _Protocol(H11Protocol):
    """Passes the TCP connection to the application, so that a fault can close it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # The configuration's access_log=False is undone by whoever sets up logging afterwards, as Airflow does.
        self.access_log = False
        # asyncio does not set this for a listening socket that it did not create: it saves 40 ms per answer.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        application = self.app

        async def with_transport(scope: Any, receive: Any, send: Any) -> None:
            scope[TRANSPORT] = transport
            await application(scope, receive, send)

        self.app = with_transport


def _dated(application: Any, clock: Clock) -> Any:
    """The application with a Date header by the emulator's clock: clients reckon absolute times of a rate limit from it."""

    async def with_date(scope: Any, receive: Any, send: Any) -> None:
        async def send_dated(message: Any) -> None:
            if message["type"] == "http.response.start":
                date = email.utils.formatdate(clock.now(), usegmt=True).encode()
                message = {**message, "headers": [(b"date", date), *message.get("headers", ())]}
            await send(message)

        await application(scope, receive, send_dated)

    return with_date


class _Server(uvicorn.Server):
    """Waits for events instead of polling ten times a second as uvicorn does: starting an emulator per test must be cheap."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.accepting = threading.Event()
        self._stopping: asyncio.Event
        self._loop: asyncio.AbstractEventLoop

    def stop(self) -> None:
        """Ask the server to stop; called from another thread."""
        self._loop.call_soon_threadsafe(self._stopping.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        await super().startup(sockets)
        self.accepting.set()

    async def main_loop(self) -> None:
        while not self._stopping.is_set():
            await self.on_tick(0)
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1.0)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listening in sockets or []:
            listening.close()
        # Do not wait for clients that keep connections open, nor for answers that faults hold back.
        for connection in list(self.server_state.connections):
            connection.shutdown()
            if connection.transport is not None:
                connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()
        deadline = self._loop.time() + 2.0
        while (self.server_state.connections or self.server_state.tasks) and self._loop.time() < deadline:
            await asyncio.sleep(0.001)


class ServerThread:
    """Serves one ASGI application from a thread of its own.

    :param application: the ASGI application.
    :param port: TCP port on 127.0.0.1; 0 picks a free one.
    :param clock: the clock of the Date header.
    :raises OSError: the port is in use.
    """

    def __init__(self, application: Any, port: int, clock: Clock) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self.port: int = self._socket.getsockname()[1]
        self._server = _Server(
            uvicorn.Config(
                _dated(application, clock),
                date_header=False,
                http=_Protocol,
                loop="asyncio",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                timeout_keep_alive=75,
            )
        )
        self._thread = threading.Thread(target=self._serve, name=THREAD, daemon=True)

    def _serve(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Start and wait until connections are accepted.

        :raises RuntimeError: the server did not start within 30 seconds.
        """
        self._thread.start()
        if not self._server.accepting.wait(30.0):
            self._socket.close()
            raise RuntimeError("the emulator's server did not start")

    def stop(self) -> None:
        """Close all connections, stop, and wait for the thread to end; a second call does nothing."""
        if self._thread.is_alive():
            self._server.stop()
            self._thread.join(10.0)
