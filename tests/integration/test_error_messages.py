"""Errors name what they are about: the ids that were asked for, the connection, the server."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any

import pytest

from airflow_provider import errors
from tests.harness import Ended, TaskRun
from tests.integration.systems import Adapter
from tests.ports import free_ports

WORKFLOW = "wf_3hT8zQ2mK5nL7pR9sV1xY4"
GETS = {
    "buddy": ("BuddyGetExecutionOperator", "demo/shop/89/4711", ["project 'shop'", "pipeline '89'", "execution '4711'"]),
    "tracecat": ("TracecatGetExecutionOperator", f"{WORKFLOW}/exec_3hT8zQ2mK5nL7pR9sV1xY4", [f"'{WORKFLOW}/exec_"]),
    "alga_psa": ("AlgaPsaGetExecutionOperator", "aa16c7c9-5fcc-4b1a-bb8a-b27f4738ff2a", ["'aa16c7c9-5fcc-4b1a-bb8a-b27f4738ff2a'"]),
}
pytestmark = pytest.mark.parametrize("system", list(GETS), indirect=True)


def get(system: Adapter, **changed: Any) -> tuple[Ended, str]:
    name, ref, _ = GETS[system.name]
    operator = getattr(import_module(f"airflow_provider.{system.name}.operators"), name)
    connections = {conn_id: {**fields, **changed} for conn_id, fields in system.connections.items()}
    ended = TaskRun(lambda: operator(task_id="task", ref=ref), connections).run()
    return ended, str(ended.error)


def test_a_404_names_what_was_asked_for(system: Adapter) -> None:
    ended, text = get(system)
    assert isinstance(ended.error, errors.ExecutionApiError), ended.text
    for part in [*GETS[system.name][2], f"connection '{system.conn_id}'"]:
        assert part in text, text


def test_a_404_of_another_address_asks_for_the_path(system: Adapter) -> None:
    host = json.loads(json.dumps(system.connections))[system.conn_id]["host"]
    ended, text = get(system, host=f"{host}/elsewhere")
    assert isinstance(ended.error, errors.ExecutionApiError), ended.text
    assert f"{host}/elsewhere the API's address? Many end in /api." in text, text


def test_a_refused_connection_names_the_server(system: Adapter) -> None:
    [port] = free_ports(1)
    _, text = get(system, host=f"http://127.0.0.1:{port}")
    assert f"at http://127.0.0.1:{port} (connection '{system.conn_id}')" in text, text
