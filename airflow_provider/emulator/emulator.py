"""The emulator: one server, one clock, one ledger, one set of faults, and the systems behind them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Collection
from types import TracebackType
from typing import TYPE_CHECKING

from airflow_provider import _clock
from airflow_provider.emulator.alga_psa.system import AlgaPsa
from airflow_provider.emulator.buddy.system import Buddy
from airflow_provider.emulator.clock import Clock, RealClock
from airflow_provider.emulator.faults import Faults
from airflow_provider.emulator.guard import Guard
from airflow_provider.emulator.ledger import Ledger
from airflow_provider.emulator.system import System
from airflow_provider.emulator.tracecat.system import Tracecat

if TYPE_CHECKING:
    from typing_extensions import Self

    from airflow_provider.emulator.server import ServerThread


class Emulator:
    """The remote systems on 127.0.0.1, for the duration of a ``with`` block.

    :param clock: the clock that executions follow; default: the machine's clock.
    :param port: TCP port; 0 picks a free one.
    :param speed: how many times as fast as the machine's clock time passes, for the executions and for this package in the whole process:
        20 makes a wait of 6 seconds take 0.3. Limits on sockets stay as they are. Not together with ``clock``.
    :param root: name of a system that is served at the root, ``http://127.0.0.1:PORT/``, for clients that can't be given a path; the
        others keep theirs.
    :param hosts: names under which it may be addressed besides loopback, for example behind a proxy. Requests to other names are refused,
        so that no page in a browser reaches the emulator under a name of its own.

    Scenarios, faults and options can be set before the start and while it runs. Entering raises ``OSError`` if the port
    is in use.

    :raises ValueError: there is no system ``root``, or ``speed`` is wrong.
    """

    def __init__(
        self, clock: Clock | None = None, port: int = 0, *, speed: float = 1.0, root: str | None = None, hosts: Collection[str] = ()
    ) -> None:
        if not speed > 0 or (clock is not None and speed != 1.0):
            raise ValueError("speed must be positive, and needs the machine's clock")
        self._fast_clock = _clock.FastClock(_clock.current(), speed) if speed != 1.0 else None
        self.clock: Clock = clock or self._fast_clock or RealClock()
        self.ledger = Ledger()
        self.faults = Faults()
        self.buddy = Buddy(self.clock, lambda: self.url, lambda: self.storage_url)
        self.tracecat = Tracecat(self.clock, lambda: self.url, lambda: self.storage_url)
        self.alga_psa = AlgaPsa(self.clock, lambda: self.url)
        self.systems: dict[str, System] = {"buddy": self.buddy, "tracecat": self.tracecat, "alga_psa": self.alga_psa}
        if root is not None:
            if root not in self.systems:
                raise ValueError(f"unknown system {root!r}: one of {', '.join(self.systems)}")
            self.systems[root].prefix = ""
        self._port = port
        self._hosts = hosts
        self._in_use = contextlib.ExitStack()
        self._server: ServerThread | None = None
        self._storage: ServerThread | None = None
        self._opening = threading.Lock()

    @property
    def url(self) -> str:
        """``http://127.0.0.1:PORT``.

        :raises RuntimeError: not started.
        """
        if self._server is None:
            raise RuntimeError("the emulator is not started: use it in a with block")
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def storage_url(self) -> str:
        """``http://127.0.0.1:PORT`` of a second server, another origin, for long logs and results. The first call starts it.

        :raises RuntimeError: the emulator is not started.
        """
        from airflow_provider.emulator.application import build_storage_application
        from airflow_provider.emulator.server import ServerThread

        with self._opening:
            if self._server is None:
                raise RuntimeError("the emulator is not started: use it in a with block")
            if self._storage is None:
                application = build_storage_application(self.buddy, self.tracecat, self.clock, self.ledger, self.faults, Guard(self._hosts))
                storage = ServerThread(application, 0, self.clock)
                storage.start()
                self._storage = storage
            return f"http://127.0.0.1:{self._storage.port}"

    def start(self) -> None:
        """Start serving; returns once connections are accepted.

        :raises RuntimeError: already started.
        :raises OSError: the port is in use.
        """
        from airflow_provider.emulator.application import build_application
        from airflow_provider.emulator.server import ServerThread

        if self._server is not None:
            raise RuntimeError("the emulator is started already")
        application = build_application(self.systems, self.clock, self.ledger, self.faults, Guard(self._hosts))
        server = ServerThread(application, self._port, self.clock)
        server.start()
        self._server = server
        if self._fast_clock is not None:
            self._in_use.enter_context(_clock.use(self._fast_clock))

    def stop(self) -> None:
        """Stop serving and close all connections; the state can still be read."""
        self._in_use.close()
        for system in self.systems.values():
            system.close()
        for server in (self._server, self._storage):
            if server is not None:
                server.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.stop()
