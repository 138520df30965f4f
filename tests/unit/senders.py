"""Both senders behind one face, the async one over httpx and over aiohttp, so that each test of the transport holds for all."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from airflow_provider.execution import transport
from airflow_provider.execution.endpoint import Endpoint
from airflow_provider.execution.route import Flow, Request, send
from airflow_provider.execution.transport import AsyncSender, Sender

T = TypeVar("T")

KINDS = ("sync", "async", "aiohttp")
OVER = ("httpx", "aiohttp")


def send_over(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have async senders send over ``name``: without the extra, that is httpx."""
    module = "airflow_provider.execution.aiohttp_carrier"
    if name == "httpx":
        monkeypatch.setitem(sys.modules, module, None)
    else:
        import_module(module)  # or the sender would go over httpx without a word


class Driver:
    """
    Runs flows with one kind of sender, over real sockets; pauses are noted, not slept, and its clock goes on by them.

    ``async`` is the async sender over httpx, ``aiohttp`` the one over aiohttp. The sync sender takes its sleep as an argument; for the
    async ones ``asyncio.sleep`` is shortened, on this thread only.
    """

    def __init__(self, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kind = kind
        self.pauses: list[float] = []
        self.on_pause: Callable[[], None] = lambda: None
        thread, slept = threading.current_thread(), asyncio.sleep

        async def shortened(delay: float, result: Any = None) -> Any:
            if threading.current_thread() is not thread or delay == 0:
                return await slept(delay, result)
            self._pause(delay)
            return await slept(0, result)

        if kind != "sync":
            send_over("httpx" if kind == "async" else "aiohttp", monkeypatch)
            monkeypatch.setattr(asyncio, "sleep", shortened)
        clock = SimpleNamespace(time=lambda: time.time() + sum(self.pauses), monotonic=time.monotonic)
        monkeypatch.setattr(transport, "time", clock)

    def _pause(self, duration: float) -> None:
        assert duration >= 0  # as time.sleep demands; also not "not a number"
        self.pauses.append(duration)
        self.on_pause()

    def run(self, endpoint: Endpoint, flow: Flow[T]) -> T:
        if self.kind == "sync":
            with Sender(endpoint, sleep=self._pause) as sender:
                return sender.run(flow)

        async def main() -> T:
            async with AsyncSender.shared(endpoint) as sender:
                return await sender.run(flow)

        return asyncio.run(main())

    def send(self, endpoint: Endpoint, request: Request[T]) -> T:
        return self.run(endpoint, send(request))
