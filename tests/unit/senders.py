"""Both senders behind one face, the async one over httpx and over aiohttp, so that each test of the transport holds for all."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TypeVar

import pytest

from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.senders import AsyncSender, Sender
from airflow_provider.execution.model.request import Flow, Request, send
from tests.virtual_clock import VirtualClock

T = TypeVar("T")

KINDS = ("sync", "async", "aiohttp")
OVER = ("httpx", "aiohttp")


def send_over(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have async senders send over ``name``: without the extra, that is httpx."""
    module = "airflow_provider.execution.http.carrier_aiohttp"
    if name == "httpx":
        monkeypatch.setitem(sys.modules, module, None)
    else:
        import_module(module)  # or the sender would go over httpx without a word


class Driver:
    """
    Runs flows with one kind of sender, over real sockets, on the clock of the test.

    ``async`` is the async sender over httpx, ``aiohttp`` the one over aiohttp.
    """

    def __init__(self, kind: str, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.kind = kind
        self._clock = clock
        if kind != "sync":
            send_over("httpx" if kind == "async" else "aiohttp", monkeypatch)

    @property
    def pauses(self) -> list[float]:
        """Seconds of each pause so far."""
        return self._clock.pauses

    def run(self, endpoint: Endpoint, flow: Flow[T], within: float | None = None) -> T:
        if self.kind == "sync":
            with Sender(endpoint) as sender:
                return sender.run(flow, within=within)

        async def main() -> T:
            async with AsyncSender.shared(endpoint) as sender:
                return await sender.run(flow, within=within)

        return self._clock.run(main())

    def send(self, endpoint: Endpoint, request: Request[T]) -> T:
        return self.run(endpoint, send(request))
