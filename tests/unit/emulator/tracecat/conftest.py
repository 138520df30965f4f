"""An emulator on a clock that the test drives, and a client that holds a key of its Tracecat."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.tracecat import Action, Workflow
from airflow_provider.emulator.tracecat.ids import short_id


def twice(execution_id: str) -> str:
    """An execution's id as it stands in a path."""
    return quote(quote(execution_id, safe=""), safe="")


class Api:
    """Calls the emulated Tracecat as a client would; paths are relative to the workspace."""

    def __init__(self, emulator: Emulator) -> None:
        self.tracecat = emulator.tracecat
        self.http = httpx.Client(
            base_url=self.tracecat.url,
            headers={"Authorization": f"Bearer {self.tracecat.key.key}"},
            timeout=60.0,
            verify=False,  # plain HTTP: loading certificates would take longer than a test
        )

    def call(self, method: str, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return self.http.request(method, f"/workspaces/{self.tracecat.workspace}{path}", json=json, **options)

    def get(self, path: str, **params: Any) -> Any:
        answer = self.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, **body: Any) -> Any:
        answer = self.call("POST", path, body)
        assert answer.status_code in (200, 204), answer.text
        return answer.json() if answer.content else None

    def run(self, workflow: Workflow, inputs: Any = None) -> str:
        return str(self.post("/workflow-executions", workflow_id=short_id(workflow), inputs=inputs)["wf_exec_id"])

    def full(self, execution_id: str) -> Any:
        return self.get(f"/workflow-executions/{twice(execution_id)}")

    def compact(self, execution_id: str) -> Any:
        return self.get(f"/workflow-executions/{twice(execution_id)}/compact")

    def rows(self, execution_id: str) -> dict[str, Any]:
        """The rows of the compact view by ref; those in streams by ref and number."""
        rows = self.compact(execution_id)["events"]
        return {row["action_ref"] + row["stream_id"].removeprefix("<root>:0"): row for row in rows}

    def operate(self, execution_id: str, what: str, **body: Any) -> Any:
        return self.post(f"/workflow-executions/{twice(execution_id)}/{what}", **body)


@pytest.fixture
def api(emulator: Emulator) -> Iterator[Api]:
    client = Api(emulator)
    with client.http:
        yield client


@pytest.fixture
def enrich(emulator: Emulator) -> Workflow:
    """``look_up``, 4 seconds, then ``score``, 2 seconds."""
    look_up = Action("look_up", "core.http_request", 4.0, {"found": "${{ TRIGGER.n }}"})
    score = Action("score", seconds=2.0, result="high")
    returns = {"n": "${{ ACTIONS.look_up.result.found }}", "score": "${{ ACTIONS.score.result }}"}
    return emulator.tracecat.add_workflow(Workflow("Enrich", "enrich", [look_up, score], returns=returns))
