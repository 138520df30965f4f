"""Time is virtual in all tests but those on a real Airflow (``tests/airflow``)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.virtual_clock import VirtualClock, in_use


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[VirtualClock | None]:
    with in_use(VirtualClock(), monkeypatch) as clock:
        yield clock
