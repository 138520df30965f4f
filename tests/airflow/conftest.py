"""
One Airflow, and one emulator of all systems in this process, for all tests of the folder: the start takes ten seconds and more.

Time is real here. So tests wait for states, never for moments: executions go on until a test ends them (``held.py``), limits only say
when to give up, and where Airflow's own time is the subject, it begins when what it is about has been seen.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.emulator import Emulator
from tests.airflow.local_airflow import EXAMPLE_DAGS, LocalAirflow


@pytest.fixture(autouse=True)
def clock() -> None:
    """Time is real here."""


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
    """
    The example DAGs, which here look every second; ``external_first``: the sensor of one of them that takes the first execution,
    however it ends; and ``gates_dag.py``.
    """
    folder = tmp_path_factory.mktemp("dags")
    shutil.copytree(EXAMPLE_DAGS, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    for file in folder.glob("*.py"):
        file.write_text(re.sub(r'(po(?:ll|ke)_interval"?[=:] ?)(?:5|10)\b', r"\g<1>1", file.read_text()))
    text = (folder / "buddy_wait_for_external.py").read_text()
    for old, new in (('"buddy_wait_for_external"', '"external_first"'), ('match="first_succeeded"', 'match="first"')):
        assert old in text
        text = text.replace(old, new)
    (folder / "external_first.py").write_text(text)
    shutil.copy(Path(__file__).with_name("gates_dag.py"), folder)
    return folder


@pytest.fixture(scope="session")
def airflow(emulator: Emulator, dags: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    connections = {conn_id: text for system in emulator.systems.values() for conn_id, text in system.connections.items()}
    # Without encryption, so that what lies in the database can be searched.
    settings = {
        "AIRFLOW__CORE__FERNET_KEY": "",
        # A file is read again when it was changed, and else not: the default of 30 seconds takes much of a small machine. (Watchers of
        # assets would need it: they begin when the file is read after their DAG was unpaused.)
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
    }
    with LocalAirflow(tmp_path_factory.mktemp("airflow"), dags=dags, connections=connections, settings=settings) as airflow:
        yield airflow


@pytest.fixture(scope="session")
def begun(request: pytest.FixtureRequest, airflow: LocalAirflow, emulator: Emulator) -> Iterator[dict[str, Any]]:
    """
    By the name of a module: what its ``begin`` has started. All at once, so that the tests of one don't wait for those of the other.

    ``begin`` triggers runs of the module's ``DAGS``, which are unpaused when all have been triggered. It gets Airflow, the emulator, and a
    function that does something aside and gives its future.
    """
    modules = dict.fromkeys(item.module for item in request.session.items if hasattr(item.module, "begin"))  # type: ignore[attr-defined]
    dags = [dag for module in modules for dag in module.DAGS]
    for dag in dags:
        airflow.wait_for_dag(dag)
    pool = ThreadPoolExecutor()
    begun = {module.__name__: module.begin(airflow, emulator, pool.submit) for module in modules}
    airflow.unpause(*dags)
    yield begun
    pool.shutdown(wait=False, cancel_futures=True)
