"""The proxy of the live tests, before an emulator: what it passes on, what it keeps back, and what it records."""

from __future__ import annotations

import httpx
import pytest

from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.tracecat import Workflow
from tests.live.people import in_path
from tests.live.proxy import Proxy
from tests.unit.servers import free_port


@pytest.fixture
def server(clock):
    with Emulator(clock) as server:
        server.tracecat.add_workflow(Workflow("w", "w"))
        yield server


@pytest.fixture
def proxy(server, clock):
    with Proxy("tracecat", server.tracecat.url, clock) as proxy:
        yield proxy


def ask(proxy, server, method, path, **options):
    headers = {"authorization": f"Bearer {server.tracecat.key.key}", "cookie": "session=canary"}
    with httpx.Client(base_url=f"{proxy.address}/workspaces/{server.tracecat.workspace}", headers=headers, timeout=30.0) as client:
        return client.request(method, path, **options)


def start(proxy, server):
    workflow = server.tracecat.workflows[0].id
    return ask(proxy, server, "POST", "/workflow-executions", json={"workflow_id": workflow, "inputs": {"é": 1}})


def test_requests_and_answers_are_passed_on_as_they_are(proxy, server):
    execution = start(proxy, server).json()["wf_exec_id"]
    answer = ask(proxy, server, "GET", f"/workflow-executions/{in_path(execution)}/compact?a=%2F&b=")
    assert answer.json()["id"] == execution
    sent, passed = server.ledger.entries, proxy.ledger.entries
    assert [(entry.method, entry.path, entry.query, entry.body) for entry in sent] == [
        (entry.method, entry.path, entry.query, entry.body) for entry in passed
    ]
    assert "%252F" in sent[1].path
    assert sent[0].headers["authorization"] == f"Bearer {server.tracecat.key.key}"
    assert sent[0].headers["content-type"] == "application/json"
    assert [entry.status for entry in passed] == [200, 200]
    assert ask(proxy, server, "GET", "/workflow-executions/none").status_code == 404


def test_no_credential_is_kept(proxy, server):
    start(proxy, server)
    user = server.tracecat.user
    answer = httpx.post(f"{proxy.address}/auth/login", data={"username": user.email, "password": user.password}, timeout=30.0)
    assert answer.status_code == 204
    assert answer.headers["set-cookie"]
    kept = repr(proxy.ledger.entries)
    assert all(secret not in kept for secret in (server.tracecat.key.key, "canary", user.password))


@pytest.mark.parametrize(("kind", "reaches"), [("drop_after", True), ("truncated", True), ("drop_before", False), ("status", False)])
def test_faults_hit_before_or_behind_the_server(proxy, server, kind, reaches):
    proxy.faults.add(Fault(kind, method="POST"))
    try:
        assert start(proxy, server).status_code == 503
    except httpx.TransportError:
        assert kind != "status"
    started = [execution.id for execution in server.tracecat.executions]
    assert len(started) == (1 if reaches else 0)
    assert proxy.started == started


def test_a_server_that_is_away_is_said_without_its_address(clock):
    with Proxy("tracecat", f"http://127.0.0.1:{free_port()}/api", clock) as proxy:
        answer = httpx.get(f"{proxy.address}/info", timeout=30.0)
    assert (answer.status_code, answer.text) == (502, "the server behind the proxy of the tests: ConnectError")
