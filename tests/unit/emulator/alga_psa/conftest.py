"""AlgaPSA on a clock that the test drives, and a client that holds its key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.alga_psa import Action, Rule
from airflow_provider.emulator.alga_psa.system import AlgaPsa


class Api:
    """Calls the emulated AlgaPSA as a client would; paths are relative to the automation API."""

    def __init__(self, alga: AlgaPsa) -> None:
        self.http = httpx.Client(
            base_url=alga.url + "/api/v1/automation",
            headers={"x-api-key": alga.api_key},
            timeout=60.0,
            verify=False,  # plain HTTP: loading certificates would take longer than a test
        )

    def call(self, method: str, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return self.http.request(method, path, json=json, **options)

    def get(self, path: str, **params: Any) -> Any:
        answer = self.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def execute(self, rule: Rule, **body: Any) -> Any:
        answer = self.call("POST", f"/rules/{rule.id}/execute", {"automation_rule_id": rule.id, **body})
        assert answer.status_code == 201, answer.text
        return answer.json()["data"]

    def execution(self, started: Any) -> Any:
        return self.get(f"/executions/{started['execution_id']}")["data"]

    def executions(self, **params: Any) -> Any:
        """Items of the list, however it is nested."""
        [items] = self.get("/executions", **params)["data"]
        return items

    def retry(self, started: Any) -> httpx.Response:
        return self.call("POST", f"/executions/{started['execution_id']}/retry")

    def error(self, method: str, path: str, json: Any = None, **options: Any) -> tuple[int, str, str]:
        """Status, code and message of a refusal."""
        answer = self.call(method, path, json, **options)
        return answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["message"]


@pytest.fixture
def emulator(clock) -> Iterator[Emulator]:
    emulator = Emulator(clock)
    # Alone: building the applications of the others would take longer than a test.
    emulator.systems = {"alga_psa": AlgaPsa(clock, lambda: emulator.url)}
    with emulator:
        yield emulator


@pytest.fixture
def alga(emulator: Emulator) -> AlgaPsa:
    system = emulator.systems["alga_psa"]
    assert isinstance(system, AlgaPsa)
    return system


@pytest.fixture
def api(alga: AlgaPsa) -> Iterator[Api]:
    client = Api(alga)
    with client.http:
        yield client


@pytest.fixture
def sync(alga: AlgaPsa) -> Rule:
    """Fetch, 4 seconds, then notify, 2 seconds."""
    fetch = Action("webhook_call", 4.0, ["one", "two"], {"rows": 3, "host": "$host"})
    return alga.add_rule(Rule("sync", [fetch, Action("email_notification", 2.0, output={"notified": True})]))
