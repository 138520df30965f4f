"""An emulator with AlgaPSA on it, connections and tasks for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_provider.alga_psa.hook import AlgaPsaHook
from airflow_provider.emulator import Emulator
from airflow_provider.emulator.alga_psa.system import AlgaPsa
from tests.harness import TaskRun
from tests.virtual_clock import VirtualClock

RECORDINGS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "fixtures" / "recordings.json").read_text())
"""What the vendor's own code answered: name, route, status, headers, body."""
RULE = "ec66b20c-6761-4c55-adf1-f2094f11b944"
EXECUTION = "aa16c7c9-5fcc-4b1a-bb8a-b27f4738ff2a"


def of(route: str, good: bool = True) -> list[Any]:
    """The recordings of a route, as parameters."""
    return [pytest.param(one, id=one["name"]) for one in RECORDINGS if one["route"] == route and (one["status"] < 300) is good]


def with_alga_psa(emulator: Emulator) -> AlgaPsa:
    alga = emulator.systems.get("alga_psa")
    if not isinstance(alga, AlgaPsa):
        alga = emulator.systems["alga_psa"] = AlgaPsa(emulator.clock, lambda: emulator.url)
    return alga


@pytest.fixture
def emulator(clock: VirtualClock) -> Iterator[Emulator]:
    """On a clock that the test drives."""
    emulator = Emulator(clock)
    with_alga_psa(emulator)
    with emulator:
        yield emulator


@pytest.fixture
def alga(emulator: Emulator) -> AlgaPsa:
    return with_alga_psa(emulator)


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., AlgaPsaHook]:
    """Set the connection as an environment variable, and give a hook for it."""

    def connect(**fields: Any) -> AlgaPsaHook:
        monkeypatch.setenv("AIRFLOW_CONN_ALGA_PSA_DEFAULT", json.dumps({"conn_type": "alga_psa", **fields}))
        return AlgaPsaHook()

    return connect


@pytest.fixture
def hook(alga: AlgaPsa, connect: Callable[..., AlgaPsaHook]) -> Iterator[AlgaPsaHook]:
    with connect(**json.loads(alga.connection_json())) as hook:
        yield hook


class Live:
    """An emulator, and tasks that Airflow's own runner runs on it, all on one clock."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.emulator = Emulator(clock)
        self.alga = with_alga_psa(self.emulator)

    def task(
        self, kind: Callable[..., BaseOperator], *, retries: int = 2, params: dict[str, Any] | None = None, **arguments: Any
    ) -> TaskRun:
        fields = json.loads(self.alga.connection_json())
        connections = {"alga_psa_default": {**fields, "extra": json.dumps(fields["extra"])}}

        return TaskRun(lambda: kind(task_id="task", **arguments), connections, retries=retries, params=params)

    @property
    def starts(self) -> list[Any]:
        """Bodies of the execute requests that came in."""
        return [entry.json for entry in self.emulator.ledger.entries if entry.method == "POST" and entry.path.endswith("/execute")]

    @property
    def retries(self) -> int:
        return len([entry for entry in self.emulator.ledger.entries if entry.path.endswith("/retry")])


@pytest.fixture
def live(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "0")
    live = Live(clock)
    with live.emulator:
        yield live
