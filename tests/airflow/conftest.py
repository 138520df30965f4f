"""One Airflow, and one emulator of all systems in this process, for all tests of the folder: the start takes ten seconds and more."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_provider.emulator import Emulator
from tests.airflow.local_airflow import EXAMPLE_DAGS, LocalAirflow

CANARY = f"variable-{secrets.token_hex(12)}"
"""Value of the Airflow variable ``canary``, for secret arguments of tasks."""


@pytest.fixture(scope="session")
def emulator() -> Iterator[Emulator]:
    emulator = Emulator()
    # Of their own shapes, so that a search for them can't find anything else.
    emulator.buddy.token = f"bd-{secrets.token_hex(20)}"
    emulator.tracecat.key.key = f"tc_ws_sk_{secrets.token_hex(6)}_{secrets.token_hex(16)}"
    emulator.alga_psa.key.text = f"ap-{secrets.token_hex(20)}"
    with emulator:
        yield emulator


@pytest.fixture(scope="session")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example DAGs, and ``external_first``: the sensor of one of them that takes the first execution, however it ends."""
    folder = tmp_path_factory.mktemp("dags")
    shutil.copytree(EXAMPLE_DAGS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    text = (folder / "buddy_wait_for_external.py").read_text()
    for old, new in (('"buddy_wait_for_external"', '"external_first"'), ('match="first_succeeded"', 'match="first"')):
        assert old in text
        text = text.replace(old, new)
    (folder / "external_first.py").write_text(text)
    shutil.copy(Path(__file__).parent / "canary_dag.py", folder)
    return folder


@pytest.fixture(scope="session")
def airflow(emulator: Emulator, dags: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    connections = {f"{name}_default": system.connection_json() for name, system in emulator.systems.items()}
    # Without encryption, so that what lies in the database can be searched.
    settings = {"AIRFLOW__CORE__FERNET_KEY": "", "AIRFLOW__LOGGING__LOGGING_LEVEL": "DEBUG", "AIRFLOW_VAR_CANARY": CANARY}
    with LocalAirflow(tmp_path_factory.mktemp("airflow"), dags=dags, connections=connections, settings=settings) as airflow:
        yield airflow
