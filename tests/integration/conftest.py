from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider.emulator import Emulator
from tests.harness import Ended, TaskRun
from tests.integration.made_up.server import KilnServer
from tests.integration.systems import SYSTEMS, Adapter
from tests.virtual_clock import VirtualClock

OPERATOR_MODES: dict[str, dict[str, Any]] = {"operator": {"deferrable": False}, "operator-deferrable": {"deferrable": True}}
SENSOR_MODES: dict[str, dict[str, Any]] = {
    "sensor-poke": {"mode": "poke", "deferrable": False},
    "sensor-reschedule": {"mode": "reschedule", "deferrable": False},
    "sensor-deferrable": {"deferrable": True},
    "sensor-from-trigger": {"deferrable": True, "start_from_trigger": True},
}
ALL_MODES = [*OPERATOR_MODES, *SENSOR_MODES]


@dataclass
class Bench:
    """A system, and tasks on it in one mode."""

    system: Adapter
    mode: str
    map_index: int = -1

    @property
    def sensor(self) -> bool:
        return self.mode in SENSOR_MODES

    @property
    def deferrable(self) -> bool:
        return self.mode.endswith(("deferrable", "from-trigger"))

    def every(self, seconds: float) -> dict[str, Any]:
        """Arguments of a task that looks so often."""
        return {"poke_interval" if self.sensor else "poll_interval": seconds}

    def task(self, kind: str, *, retries: int = 2, script: Any = None, **arguments: Any) -> TaskRun:
        """A task that follows an execution which goes as ``kind`` says."""
        played = script or self.system.script(kind)
        make: Callable[[], Any]
        if self.sensor:
            ref = self.system.start_elsewhere(played)
            make = lambda: self.system.sensor(ref, **{**SENSOR_MODES[self.mode], **arguments})  # noqa: E731
        else:
            make = lambda: self.system.operator(played, **{**OPERATOR_MODES[self.mode], **arguments})  # noqa: E731
        return TaskRun(make, self.system.connections, retries=retries, map_index=self.map_index)

    def run(self, kind: str, **arguments: Any) -> Ended:
        return self.task(kind, **arguments).run()


@pytest.fixture(autouse=True)
def _no_heartbeats(monkeypatch: pytest.MonkeyPatch) -> None:
    """No news of the deferral is under way here, so triggers need not wait for it."""
    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "0")


@pytest.fixture
def emulator(clock: VirtualClock) -> Iterator[Emulator]:
    emulator = Emulator(clock, hosts=["executions.test"])  # a name that is looked up, for the faults of it
    KilnServer(emulator)
    with emulator:
        yield emulator


@pytest.fixture(params=list(SYSTEMS))
def system(request: pytest.FixtureRequest, emulator: Emulator) -> Adapter:
    return SYSTEMS[request.param](emulator)


@pytest.fixture(params=ALL_MODES)
def bench(request: pytest.FixtureRequest, system: Adapter) -> Bench:
    return Bench(system, request.param)


@pytest.fixture(params=list(OPERATOR_MODES))
def operator_bench(request: pytest.FixtureRequest, system: Adapter) -> Bench:
    return Bench(system, request.param)


@pytest.fixture(params=list(SENSOR_MODES))
def sensor_bench(request: pytest.FixtureRequest, system: Adapter) -> Bench:
    return Bench(system, request.param)
