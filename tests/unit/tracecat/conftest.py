"""An emulated Tracecat, connections and tasks for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.sdk import BaseOperator

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.tracecat import Action, Workflow
from airflow_provider.emulator.tracecat.system import Tracecat
from airflow_provider.tracecat.hook import TracecatHook
from tests.harness import TaskRun
from tests.virtual_clock import VirtualClock

CONN_ID = "tracecat_default"


@pytest.fixture
def tracecat(emulator: Emulator) -> Tracecat:
    """On a clock that the test drives."""
    return emulator.tracecat


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., TracecatHook]:
    """Set the connection as an environment variable, and give a hook for it."""

    def connect(*, workspace_id: str | None = None, **fields: Any) -> TracecatHook:
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps({"conn_type": "tracecat", **fields}))
        return TracecatHook(workspace_id=workspace_id)

    return connect


@pytest.fixture
def hook(tracecat: Tracecat, connect: Callable[..., TracecatHook]) -> Iterator[TracecatHook]:
    with connect(**json.loads(tracecat.connection_json())) as hook:
        yield hook


@pytest.fixture
def with_login(tracecat: Tracecat, connect: Callable[..., TracecatHook]) -> Iterator[TracecatHook]:
    with connect(**json.loads(tracecat.connection_json(auth="login"))) as hook:
        yield hook


class Live:
    """An emulator, and tasks that Airflow's own runner runs on it, all on one clock."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.emulator = Emulator(clock)
        self.tracecat = self.emulator.tracecat

    def workflow(self, *actions: Action, alias: str = "scan", **fields: Any) -> Workflow:
        given = actions or (Action("look", seconds=15, result={"n": 1}),)
        return self.tracecat.add_workflow(Workflow("Scan", alias, list(given), **fields))

    def task(
        self,
        kind: Callable[..., BaseOperator],
        *,
        retries: int = 2,
        params: dict[str, Any] | None = None,
        auth: str = "key",
        extra: dict[str, Any] | None = None,
        **arguments: Any,
    ) -> TaskRun:
        fields = json.loads(self.tracecat.connection_json(auth=auth))
        if extra is not None:
            fields["extra"] = extra
        connections = {CONN_ID: {**fields, "extra": json.dumps(fields["extra"])}}

        return TaskRun(lambda: kind(task_id="task", **arguments), connections, retries=retries, params=params)

    def sent(self, method: str, path: str) -> list[Any]:
        return self.emulator.ledger.select(method, path)

    @property
    def starts(self) -> list[Any]:
        """Bodies of the start requests that came in."""
        return [entry.json for entry in self.sent("POST", r"/workflow-executions$")]


@pytest.fixture
def live(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Live]:
    monkeypatch.setenv("AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL", "0")
    live = Live(clock)
    with live.emulator:
        yield live
