"""Pytest fixture for users' own DAG tests. Loaded in every pytest run, so it imports nothing heavy until it is used."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from airflow_provider.emulator import Emulator


@pytest.fixture
def execution_emulator() -> Iterator[Emulator]:
    """A started emulator on a free port of 127.0.0.1, on the machine's clock; it stops after the test."""
    from airflow_provider.emulator import Emulator

    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def fast_execution_emulator() -> Iterator[Emulator]:
    """The same with time that passes 20 times as fast, for its executions and for the tasks of this package in this process."""
    from airflow_provider.emulator import Emulator

    with Emulator(speed=20) as emulator:
        yield emulator
