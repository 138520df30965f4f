"""All systems and the control routes as one ASGI application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI

from airflow_provider.emulator.control import control_application
from airflow_provider.emulator.front import Front

if TYPE_CHECKING:
    from airflow_provider.emulator.emulator import Emulator


def build_application(emulator: Emulator) -> Front:
    """Return the application: each system under its prefix, the control routes under ``/_emulator``."""
    root = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    root.mount("/_emulator", control_application(emulator))
    for system in emulator.systems.values():
        root.mount(system.prefix, system.application())
    return Front(root, emulator)


def build_storage_application(emulator: Emulator) -> Front:
    """Return the application of the second origin: what clients fetch there stands in the ledger as system ``storage``."""
    root = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    root.mount("/storage", emulator.buddy.storage_application())
    return Front(root, emulator, "storage")
