"""Emulators of the remote systems on loopback, with scenarios, a controllable clock, faults, and a ledger of every request.

For demonstrations, for this project's tests, and for users who test their own DAGs. Importing this package loads nothing, because
pytest imports it in every run of every user. Starting an :class:`Emulator` loads FastAPI and uvicorn (extra ``emulator``).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow_provider.emulator.clock import Clock, ManualClock, RealClock
    from airflow_provider.emulator.emulator import Emulator
    from airflow_provider.emulator.faults import Fault, Faults
    from airflow_provider.emulator.ledger import Ledger, LedgerEntry

__all__ = ["Clock", "Emulator", "Fault", "Faults", "Ledger", "LedgerEntry", "ManualClock", "RealClock"]

_MODULES = {
    "Clock": "clock",
    "Emulator": "emulator",
    "Fault": "faults",
    "Faults": "faults",
    "Ledger": "ledger",
    "LedgerEntry": "ledger",
    "ManualClock": "clock",
    "RealClock": "clock",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
