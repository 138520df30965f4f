"""Time is virtual in all tests but those on a real Airflow (``tests/airflow``)."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.selection import mark_the_rest
from tests.virtual_clock import VirtualClock, in_use

LARGE = (
    "tests/integration/",
    "tests/live/test_tracecat.py",
    "tests/unit/buddy/",
    "tests/unit/emulator/",
    "tests/unit/execution/http/",
    "tests/unit/tracecat/",
)
"""Where many cases are products: of faults, requests and clients, or of systems and modes."""


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualClock | None]:
    with in_use(VirtualClock(), monkeypatch) as clock:
        yield clock


@pytest.fixture(autouse=True)
def _no_memory_of_earlier_emulators() -> None:
    """Where Tracecat's pages are is remembered for each address, and a later emulator may get the same port."""
    if system := sys.modules.get("airflow_provider.tracecat.executions.adapter"):
        system._PUBLIC.clear()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of the behaviour suite, and of other large products, ``make test`` runs a selection."""
    mark_the_rest([item for item in items if item.nodeid.startswith(LARGE)])
