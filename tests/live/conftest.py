"""The fixtures of the behaviour suite, on a real server and in real time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.conftest import ALL_MODES, OPERATOR_MODES, SENSOR_MODES, Bench
from tests.live.people import Person
from tests.live.proxy import Proxy
from tests.live.real_clock import RealClock
from tests.live.settings import TracecatServer
from tests.live.tracecat import LiveTracecat
from tests.virtual_clock import in_use


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[RealClock]:
    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "0")
    with RealClock().running() as clock, in_use(clock, monkeypatch):
        yield clock


@pytest.fixture(scope="session")
def server() -> TracecatServer:
    given = TracecatServer.given()
    if isinstance(given, str):
        pytest.skip(given)
    return given


@pytest.fixture(scope="session")
def person(server: TracecatServer) -> Iterator[Person]:
    person = Person(server)
    yield person
    person.close()


@pytest.fixture
def emulator(clock: RealClock, server: TracecatServer) -> Iterator[Proxy]:
    with Proxy("tracecat", server.url, clock) as proxy:
        yield proxy


@pytest.fixture
def system(emulator: Proxy, server: TracecatServer, person: Person) -> Iterator[LiveTracecat]:
    system = LiveTracecat(emulator, server, person)
    yield system
    system.clean_up()


@pytest.fixture(params=ALL_MODES)
def bench(request: pytest.FixtureRequest, system: LiveTracecat) -> Bench:
    return Bench(system, request.param)


@pytest.fixture(params=list(OPERATOR_MODES))
def operator_bench(request: pytest.FixtureRequest, system: LiveTracecat) -> Bench:
    return Bench(system, request.param)


@pytest.fixture(params=list(SENSOR_MODES))
def sensor_bench(request: pytest.FixtureRequest, system: LiveTracecat) -> Bench:
    return Bench(system, request.param)
