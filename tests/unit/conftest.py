"""Settings of the property tests: no deadlines on a shared machine, no files left behind."""

from __future__ import annotations

from collections.abc import Iterator

import hypothesis
import pytest

from airflow_provider.emulator import Emulator
from tests.virtual_clock import VirtualClock

hypothesis.settings.register_profile("unit", deadline=None, database=None, max_examples=60, derandomize=True)
hypothesis.settings.load_profile("unit")


@pytest.fixture
def emulator(clock: VirtualClock) -> Iterator[Emulator]:
    with Emulator(clock) as emulator:
        yield emulator
