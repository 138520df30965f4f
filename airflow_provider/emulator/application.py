"""All systems and the control routes as one ASGI application."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from fastapi import FastAPI

from airflow_provider.emulator.control import control_application
from airflow_provider.emulator.front import Front
from airflow_provider.emulator.lazy_routes import api
from airflow_provider.emulator.tracecat.stored import BUCKET

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from starlette.types import Receive, Scope, Send

    from airflow_provider.emulator.emulator import Emulator


class Lazy:
    """An ASGI application that is built when it is first asked: most tests use one system, and each starts an emulator."""

    def __init__(self, build: Callable[[], FastAPI]) -> None:
        self._build = build

    @cached_property
    def _application(self) -> FastAPI:
        return self._build()

    @property
    def routes(self) -> list[BaseRoute]:
        """Its routes."""
        return self._application.routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        await self._application(scope, receive, send)


def build_application(emulator: Emulator) -> Front:
    """Return the application: each system under its prefix, the control routes under ``/_emulator``."""
    root = api()
    root.mount("/_emulator", control_application(emulator))
    for system in emulator.systems.values():
        root.mount(system.prefix, Lazy(system.application))
    return Front(root, emulator)


def build_storage_application(emulator: Emulator) -> Front:
    """Return the application of the second origin: what clients fetch there stands in the ledger as system ``storage``."""
    root = api()
    root.mount("/storage", Lazy(emulator.buddy.storage_application))
    root.mount(f"/{BUCKET}", Lazy(emulator.tracecat.storage_application))
    return Front(root, emulator, "storage")
