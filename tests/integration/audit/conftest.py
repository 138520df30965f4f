from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider import _clock
from airflow_provider.audit.collect import collector
from airflow_provider.audit.collect.spool import Spool
from airflow_provider.emulator import Emulator
from tests import virtual_clock
from tests.virtual_clock import VirtualClock

LOG = logging.getLogger(__name__)


@pytest.fixture
def emulator(clock: VirtualClock) -> Iterator[Emulator]:
    with Emulator(clock) as emulator:
        yield emulator


@pytest.fixture
def connections(emulator: Emulator) -> dict[str, dict[str, Any]]:
    """The three default connections, for tasks."""
    told = {f"{system.name}_default": json.loads(system.connection_json()) for system in emulator.systems.values()}
    return {conn_id: {**fields, "extra": json.dumps(fields["extra"])} for conn_id, fields in told.items()}


@pytest.fixture
def environment(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for what runs without a task."""
    for system in emulator.systems.values():
        monkeypatch.setenv(system.connection_variable, system.connection_json())


def wanted(system: str, scope: str | None = None, now: float | None = None) -> dict[str, Any]:
    """The executions of the last 24 hours of one system."""
    until = datetime.fromtimestamp(_clock.now() if now is None else now, timezone.utc)
    return {
        "system": system,
        "conn_id": f"{system}_default",
        "scope": scope,
        "since": (until - timedelta(hours=24)).isoformat(),
        "until": until.isoformat(),
    }


CONFIGURATION = {"system": "buddy", "conn_id": "buddy_default"}


def collect(what: list[dict[str, Any]], folder: Path, **arguments: Any) -> Spool:
    """Collect to the end."""

    spool = Spool(folder, {"wanted": what}, **arguments)
    virtual_clock.run(collector.collect(collector.sources_of(what), spool, LOG))
    return spool


def asked(emulator: Emulator, system: str | None = None) -> Counter[tuple[str, str, str]]:
    """How often each request came."""
    return Counter((entry.method, entry.path, entry.query) for entry in emulator.ledger.select(system=system))


@pytest.fixture
def spool(tmp_path: Path, environment: None) -> Callable[..., Spool]:
    """Collects into a folder of the test."""
    return lambda *what, **arguments: collect(list(what), tmp_path / "spool", **arguments)
