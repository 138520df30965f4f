"""Settings of the property tests: no deadlines on a shared machine, no files left behind. An emulator on a clock that the test drives."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest

from airflow_provider.emulator import Emulator, ManualClock

hypothesis.settings.register_profile("unit", deadline=None, database=None, max_examples=60)
hypothesis.settings.load_profile("unit")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def emulator(clock: ManualClock) -> Iterator[Emulator]:
    with Emulator(clock) as emulator:
        yield emulator
