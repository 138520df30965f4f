"""The entry point of all requests: ledger first, then faults, then the system."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.routing import Match, Mount

from airflow_provider import _clock
from airflow_provider.emulator import fault_effects
from airflow_provider.emulator.clock import Clock
from airflow_provider.emulator.exchange import Exchange, read_body
from airflow_provider.emulator.faults import Faults
from airflow_provider.emulator.guard import Guard, refuse
from airflow_provider.emulator.ledger import Ledger, LedgerEntry
from airflow_provider.emulator.server import TRANSPORT
from airflow_provider.emulator.system import System

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send

CONTROL = "/_emulator"
"""What the path of control requests begins with."""


class Front:
    """ASGI application around the systems, which records requests and applies faults.

    :param application: serves the systems and the control routes.
    :param clock: the time that the ledger shows.
    :param ledger: records the requests.
    :param faults: the faults that may hit them.
    :param systems: the systems by name.
    :param guard: refuses requests that a page in a browser sends.
    :param name: what the ledger shows as the system of every request; default: the system whose prefix the path has.
    """

    def __init__(
        self,
        application: FastAPI,
        clock: Clock,
        ledger: Ledger,
        faults: Faults,
        systems: Mapping[str, System],
        guard: Guard,
        name: str | None = None,
    ) -> None:
        self._application = application
        self._clock = clock
        self._ledger = ledger
        self._faults = faults
        self._systems = systems
        self._guard = guard
        self._name = name

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Record the request and answer it. Control requests, pages and refusals are neither recorded nor hit by faults."""
        if scope["type"] != "http":
            return
        path = scope["raw_path"].decode("ascii")
        control = path.startswith(CONTROL + "/") and self._name is None
        refusal = self._guard.refusal(scope, control=control)
        if refusal is not None:
            await refuse(send, *refusal)
            return
        if control:
            await self._application(scope, receive, send)
            return
        if scope["method"] == "GET" and self._name is None:
            # A test may add a server of its own that has no pages.
            pages = (system.page_at(scope["path"]) for system in self._systems.values() if hasattr(system, "page_at"))
            page = next(filter(None, pages), None)
            if page is not None:
                await send({"type": "http.response.start", "status": 200, "headers": page.headers})
                await send({"type": "http.response.body", "body": page.render()})
                return
        body = await read_body(receive)
        if body is None:
            return
        system = self._system_of(path)
        entry = LedgerEntry(
            at=self._clock.now(),
            system=self._name or (system.name if system else ""),
            method=scope["method"],
            path=path,
            query=scope["query_string"].decode("latin-1"),
            headers={name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            body=body,
            route=self._route_of(scope),
        )
        self._ledger.add(entry)
        latency, fault = self._faults.take(entry.method, path)
        hits = [hit.kind for hit in (latency, fault) if hit]
        entry.fault = "+".join(hits) or None
        transport = scope.pop(TRANSPORT)
        exchange = Exchange(self._application, scope, receive, send, entry, transport)
        # Cancelled only when the emulator stops, after the connection was closed: there is nobody left to answer.
        with contextlib.suppress(asyncio.CancelledError), _clock.under_way():
            await fault_effects.answer(exchange, system, latency, fault)

    def _route_of(self, scope: Scope) -> str | None:
        """Return the path template of the route; it is known even if a fault keeps the request from reaching the route."""
        for mount in self._application.routes:
            match, inner = mount.matches(scope)
            if match is Match.NONE or not isinstance(mount, Mount):
                continue
            for route in mount.routes:
                if route.matches({**scope, **inner})[0] is Match.FULL:
                    return str(getattr(route, "path", "")) or None
        return None

    def _system_of(self, path: str) -> System | None:
        if self._name is not None:
            return None
        for system in sorted(self._systems.values(), key=lambda system: -len(system.prefix)):
            if path.startswith(system.prefix + "/"):
                return system
        return None
