from __future__ import annotations

import random

import pytest

from airflow_provider.buddy.api.error_texts import BuddyApiErrors
from airflow_provider.emulator import Emulator
from airflow_provider.execution.http.endpoint import Endpoint
from tests.unit.senders import KINDS, OVER, Driver, send_over
from tests.virtual_clock import VirtualClock


@pytest.fixture(autouse=True)
def _same_chance() -> None:
    """All that the package leaves to chance, such as the jitter of pauses, is the same in each run."""
    random.seed(6)


def endpoint_of(base_url: str, token: str = "emulator-token", **fields: object) -> Endpoint:
    return Endpoint(
        **{
            "system": "buddy",
            "title": "Buddy",
            "conn_id": "buddy_default",
            "base_url": base_url,
            "headers": (("authorization", f"Bearer {token}"),),
            "api_errors": BuddyApiErrors(),
            "timeout": 60.0,  # real seconds: where a limit is the subject, the test says so
            **fields,
        }
    )


@pytest.fixture(params=KINDS)
def driver(request: pytest.FixtureRequest, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Driver:
    return Driver(request.param, clock, monkeypatch)


@pytest.fixture(params=OVER)
def over(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What async senders send over in this test."""
    send_over(request.param, monkeypatch)
    return str(request.param)


@pytest.fixture
def endpoint(emulator: Emulator) -> Endpoint:
    return endpoint_of(emulator.buddy.url)
