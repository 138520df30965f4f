"""All systems and the control routes as one ASGI application. The only module that knows the systems' routes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

from airflow_provider.emulator.alga_psa.system import AlgaPsa
from airflow_provider.emulator.buddy.system import Buddy
from airflow_provider.emulator.clock import Clock
from airflow_provider.emulator.control import control_application
from airflow_provider.emulator.faults import Faults
from airflow_provider.emulator.front import CONTROL, Front
from airflow_provider.emulator.guard import Guard
from airflow_provider.emulator.lazy_routes import api
from airflow_provider.emulator.ledger import Ledger
from airflow_provider.emulator.system import System
from airflow_provider.emulator.tracecat.stored import BUCKET
from airflow_provider.emulator.tracecat.system import Tracecat

if TYPE_CHECKING:
    from starlette.routing import BaseRoute
    from starlette.types import Receive, Scope, Send


class LazyApplication:
    """An ASGI application that is built at its first use: most tests use one system, and each test starts an emulator.

    :param build: builds the application.
    """

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


def build_application(systems: Mapping[str, System], clock: Clock, ledger: Ledger, faults: Faults, guard: Guard) -> Front:
    """Return the application: each system under its prefix, the control routes under ``/_emulator``."""
    root = api()
    root.mount(CONTROL, control_application(systems, ledger, faults))
    # The longest first: what is served at the root gets all that nothing else is for.
    for system in sorted(systems.values(), key=lambda system: -len(system.prefix)):
        root.mount(system.prefix, LazyApplication(partial(BUILDERS[system.name], system)))
    return Front(root, clock, ledger, faults, systems, guard)


def build_storage_application(buddy: Buddy, tracecat: Tracecat, clock: Clock, ledger: Ledger, faults: Faults, guard: Guard) -> Front:
    """Return the application of the second origin: the ledger shows its requests as those of system ``storage``."""
    root = api()
    root.mount("/storage", LazyApplication(partial(_build_buddy_storage, buddy)))
    root.mount(f"/{BUCKET}", LazyApplication(partial(_build_tracecat_storage, tracecat)))
    return Front(root, clock, ledger, faults, {}, guard, "storage")


# The imports stand inside these functions so that only the routes of a system that is used are loaded.
def _build_buddy(buddy: Buddy) -> FastAPI:
    from airflow_provider.emulator.buddy.routes import build_buddy_api

    return build_buddy_api(buddy)


def _build_tracecat(tracecat: Tracecat) -> FastAPI:
    from airflow_provider.emulator.tracecat.routes import build_tracecat_api

    return build_tracecat_api(tracecat)


def _build_alga_psa(alga: AlgaPsa) -> FastAPI:
    from airflow_provider.emulator.alga_psa.routes import build_alga_psa_api

    return build_alga_psa_api(alga)


def _build_buddy_storage(buddy: Buddy) -> FastAPI:
    from airflow_provider.emulator.buddy.storage_routes import build_storage

    return build_storage(buddy)


def _build_tracecat_storage(tracecat: Tracecat) -> FastAPI:
    from airflow_provider.emulator.tracecat.storage_routes import build_storage

    return build_storage(tracecat)


BUILDERS: dict[str, Callable[[Any], FastAPI]] = {
    Buddy.name: _build_buddy,
    Tracecat.name: _build_tracecat,
    AlgaPsa.name: _build_alga_psa,
}
"""Builds the API of a system, by the system's name. A test may add a system of its own."""
