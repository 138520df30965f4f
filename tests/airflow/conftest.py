"""One Airflow, and one emulator in this process, for all tests of the folder: the start takes ten seconds and more."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from airflow_provider.emulator import Emulator
from tests.airflow.local_airflow import LocalAirflow


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    emulator = Emulator()
    # Of its own shape, so that a search for it can't find anything else.
    emulator.buddy.token = f"bd-{secrets.token_hex(20)}"
    with emulator:
        yield emulator


@pytest.fixture(scope="session")
def airflow(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    connections = {"buddy_default": emulator.buddy.connection_json()}
    with LocalAirflow(tmp_path_factory.mktemp("airflow"), connections=connections) as airflow:
        yield airflow
