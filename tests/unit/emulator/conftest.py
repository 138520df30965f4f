"""An emulator on a clock that the test drives, and a client of its Buddy: the tests of Buddy use it, and those of the shared parts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Gate, Pipeline


class Api:
    """Calls the emulated Buddy as a client would; paths are relative to the project's pipelines."""

    def __init__(self, emulator: Emulator) -> None:
        self.http = httpx.Client(
            base_url=emulator.buddy.url,
            headers={"Authorization": f"Bearer {emulator.buddy.token}"},
            timeout=60.0,
            verify=False,  # plain HTTP: loading certificates would take longer than a test
        )

    def call(self, method: str, path: str, json: Any = None, **options: Any) -> httpx.Response:
        return self.http.request(method, f"/workspaces/demo/projects/shop/pipelines{path}", json=json, **options)

    def get(self, path: str, **params: Any) -> Any:
        answer = self.call("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def run(self, pipeline: Pipeline, **body: Any) -> Any:
        answer = self.call("POST", f"/{pipeline.id}/executions", {"to_revision": {"revision": "HEAD"}, **body})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def execution(self, pipeline: Pipeline, number: int = 1) -> Any:
        return self.get(f"/{pipeline.id}/executions/{number}")

    def operate(self, pipeline: Pipeline, operation: str, number: int = 1, **body: Any) -> httpx.Response:
        return self.call("PATCH", f"/{pipeline.id}/executions/{number}", {"operation": operation, **body})

    def step(self, pipeline: Pipeline, position: int = 0, number: int = 1) -> Any:
        item = self.execution(pipeline, number)["action_executions"][position]
        return self.get(f"/{pipeline.id}/executions/{number}/action_executions/{item['action_execution_id']}")


@pytest.fixture
def api(emulator: Emulator) -> Iterator[Api]:
    client = Api(emulator)
    with client.http:
        yield client


@pytest.fixture
def release(emulator: Emulator) -> Pipeline:
    """Build, 4 seconds, then Deploy, 2 seconds."""
    build = Action("Build", "RUN_DOCKER_CONTAINER", 4.0, ["one", "two", "three", "four"], {"IMAGE": "shop:$VERSION"})
    deploy = Action("Deploy", seconds=2.0, outputs={"URL": "https://x"}, encrypted_outputs=["TOKEN"])
    return emulator.buddy.add_pipeline(Pipeline("release", actions=[build, deploy]))


@pytest.fixture
def gated(emulator: Emulator) -> Pipeline:
    """Build, 1 second, then a gate, then Deploy, 1 second."""
    return emulator.buddy.add_pipeline(Pipeline("gated", actions=[Action("Build"), Gate("Approve"), Action("Deploy")]))
