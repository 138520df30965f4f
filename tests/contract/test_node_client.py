"""Buddy's official Node client runs, lists, reads, cancels and retries executions of the emulator, over sockets.

It was written by the vendor, for the vendor's service: what it asks for and what it makes of the answers does not depend on this project's
reading of the documentation.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Action, Pipeline
from tests.virtual_clock import VirtualClock

pytestmark = pytest.mark.long  # it installs from the npm registry

SOURCE = Path(__file__).parent / "node"
PIPELINES = "/buddy/api/workspaces/demo/projects/my%20shop/pipelines"
UNREACHABLE = {
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "EHOSTUNREACH",
    "ENETUNREACH",
    "ENOTCACHED",
    "ENOTFOUND",
    "ERR_SOCKET_TIMEOUT",
    "ETIMEDOUT",
}
"""Codes of npm's errors that say nothing about the lock file."""

Call = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The driver script, beside the packages of the lock file."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", "drive.js"):
        shutil.copy(SOURCE / name, folder)
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--fetch-retry-mintimeout=1000"]
    try:
        done = subprocess.run(install, cwd=folder, capture_output=True, text=True, timeout=280)
        code, said = done.returncode, done.stderr
    except subprocess.TimeoutExpired:
        code, said = 1, "npm error code ETIMEDOUT"
    if code:
        reason = re.search(r"^npm (?:error|ERR!) code (\w+)", said, re.MULTILINE)
        if reason and reason[1] in UNREACHABLE and not os.environ.get("CI"):
            pytest.skip(f"npm does not reach its registry: {reason[1]}")
        pytest.fail(f"npm ci failed:\n{said}")
    return folder / "drive.js"


@pytest.fixture
def emulator(clock: VirtualClock) -> Iterator[Emulator]:
    with Emulator(clock) as emulator:
        yield emulator


@pytest.fixture
def release(emulator: Emulator) -> Pipeline:
    """Build, 4 seconds, then Deploy, 2 seconds, which works at the second attempt."""
    deploy = Action("Deploy", seconds=2.0, status=["FAILED", "SUCCESSFUL"])
    return emulator.buddy.add_pipeline(Pipeline("release", project="my shop", actions=[Action("Build", seconds=4.0), deploy]))


@pytest.fixture
def outcome(driver: Path, emulator: Emulator) -> Call:
    """Calls a method of the client about the project ``my shop``; what it hands to the callback: ``error`` and ``json``."""

    def call(method: str, *arguments: Any, token: str = emulator.buddy.token) -> dict[str, Any]:
        # The client obeys the environment's proxies.
        environment = {**os.environ, "NO_PROXY": "*", "BUDDY_URL": emulator.buddy.url, "BUDDY_TOKEN": token}
        command = ["node", str(driver), method, json.dumps(["demo", "my shop", *arguments])]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    return call


@pytest.fixture
def client(outcome: Call) -> Call:
    """The same for calls that succeed; their JSON."""

    def call(method: str, *arguments: Any) -> dict[str, Any]:
        result = outcome(method, *arguments)
        assert result["error"] is None
        return dict(result["json"])

    return call


def test_a_pipeline_is_found_by_its_name(client: Call, emulator: Emulator, release: Pipeline) -> None:
    emulator.buddy.add_pipeline(Pipeline("other", project="my shop"))
    listed = client("pipelines.getList", {"sort_by": "name", "sort_direction": "DESC"})["pipelines"]
    assert [one["name"] for one in listed] == ["release", "other"]
    assert client("pipelines.getPipeline", listed[0]["id"])["last_execution_status"] == "INITIAL"
    assert [(one.method, one.path, one.status) for one in emulator.ledger.entries] == [
        ("GET", PIPELINES, 200),
        ("GET", f"{PIPELINES}/{release.id}", 200),
    ]


@pytest.mark.parametrize("era", ["E1", "E2"])
def test_run(client: Call, emulator: Emulator, release: Pipeline, era: str) -> None:
    emulator.buddy.era = era
    body = {
        "to_revision": {"revision": "HEAD"},
        "branch": {"name": "main"},
        "comment": "Version 1.2: größer & schöner",
        "variables": [{"key": "VERSION", "value": "1.2"}],
    }
    execution = client("executions.runExecution", release.id, body)
    [run] = emulator.buddy.executions
    assert (execution["id"], execution["status"], execution["comment"]) == (run.id, "INPROGRESS", body["comment"])
    assert execution["triggeredOn" if era == "E1" else "triggered_on"] == "CLICK"
    assert (run.status, run.comment, run.variables) == ("INPROGRESS", body["comment"], {"VERSION": "1.2"})
    [entry] = emulator.ledger.entries
    assert (entry.method, entry.path, entry.status, entry.json) == ("POST", f"{PIPELINES}/{release.id}/executions", 201, body)
    assert entry.headers["authorization"] == f"Bearer {emulator.buddy.token}"
    assert entry.headers["content-type"] == entry.headers["accept"] == "application/json"


def test_run_without_a_body(client: Call, emulator: Emulator, release: Pipeline) -> None:
    assert client("executions.runExecution", release.id, None)["status"] == "INPROGRESS"
    [entry] = emulator.ledger.entries
    assert (entry.body, "content-type" in entry.headers, entry.status) == (b"", False, 201)
    assert [run.status for run in emulator.buddy.executions] == ["INPROGRESS"]


def test_list(client: Call, emulator: Emulator, release: Pipeline) -> None:
    for comment in ("first", "second", "third"):
        emulator.buddy.add_execution(release, "SUCCESSFUL", comment)
    page = client("executions.getList", release.id, {"page": 2, "per_page": 2})
    assert [(one["id"], one["comment"]) for one in page["executions"]] == [(1, "first")]
    counters = ["page", "page_size", "total_page_count", "element_count", "total_element_count"]
    assert [page[name] for name in counters] == [2, 2, 2, 1, 3]
    everything = client("executions.getList", release.id, {})
    assert [one["id"] for one in everything["executions"]] == [run.id for run in reversed(emulator.buddy.executions)]
    assert [(one.method, one.query, one.body, one.status) for one in emulator.ledger.entries] == [
        ("GET", "page=2&per_page=2", b"", 200),
        ("GET", "", b"", 200),
    ]


def test_read(client: Call, emulator: Emulator, clock: VirtualClock, release: Pipeline) -> None:
    run = emulator.buddy.add_execution(release, comment="by hand", started_by="Mike")
    clock.advance(5.0)
    execution = client("executions.getExecution", release.id, run.id)
    assert {name: execution[name] for name in ("id", "status", "comment", "start_date")} == {
        "id": run.id,
        "status": "INPROGRESS",
        "comment": "by hand",
        "start_date": "2026-01-01T00:00:00Z",
    }
    assert execution["creator"]["name"] == "Mike"
    assert execution.get("finish_date") is None
    steps = [(one["action_execution_id"], one["status"], one["progress"]) for one in execution["action_executions"]]
    assert steps == [(step.id, step.status, progress) for step, progress in zip(run.action_executions, (100, 50), strict=True)]
    assert [step.status for step in run.action_executions] == ["SUCCESSFUL", "INPROGRESS"]
    [entry] = emulator.ledger.entries
    assert (entry.method, entry.path, entry.status) == ("GET", f"{PIPELINES}/{release.id}/executions/{run.id}", 200)


def test_cancel(client: Call, emulator: Emulator, clock: VirtualClock, release: Pipeline) -> None:
    emulator.buddy.cancel_seconds = 3.0
    run = emulator.buddy.add_execution(release)
    clock.advance(1.0)
    answer = client("executions.cancelExecution", release.id, run.id)
    assert (answer["id"], answer["status"], run.status) == (run.id, "TERMINATING", "TERMINATING")
    clock.advance(3.0)
    after = client("executions.getExecution", release.id, run.id)
    assert (after["status"], after["finish_date"], run.status) == ("TERMINATED", "2026-01-01T00:00:04Z", "TERMINATED")
    [entry] = emulator.ledger.select("PATCH")
    assert (entry.path, entry.status, entry.json) == (f"{PIPELINES}/{release.id}/executions/{run.id}", 200, {"operation": "CANCEL"})


@pytest.mark.parametrize("keeps_id", [True, False])
def test_retry_of_a_failed_one(client: Call, emulator: Emulator, clock: VirtualClock, release: Pipeline, keeps_id: bool) -> None:
    emulator.buddy.retry_keeps_id = keeps_id
    run = emulator.buddy.add_execution(release)
    clock.advance(6.0)
    assert client("executions.getExecution", release.id, run.id)["status"] == run.status == "FAILED"
    answer = client("executions.retryExecution", release.id, run.id)
    retried = emulator.buddy.executions[-1]
    assert (answer["id"], answer["status"], retried is run) == (retried.id, "INPROGRESS", keeps_id)
    clock.advance(6.0)
    assert client("executions.getExecution", release.id, answer["id"])["status"] == retried.status == "SUCCESSFUL"
    [entry] = emulator.ledger.select("PATCH")
    assert (entry.path, entry.status, entry.json) == (f"{PIPELINES}/{release.id}/executions/{run.id}", 200, {"operation": "RETRY"})


def test_a_wrong_token_is_401(outcome: Call, emulator: Emulator, release: Pipeline) -> None:
    result = outcome("executions.runExecution", release.id, {"to_revision": {"revision": "HEAD"}}, token="revoked")
    assert result == refusal(401, "The access token is invalid or has expired")
    assert (emulator.ledger.count("POST", status=401), emulator.buddy.executions) == (1, [])


def test_a_missing_scope_is_403(outcome: Call, emulator: Emulator, release: Pipeline) -> None:
    emulator.buddy.scopes = ["WORKSPACE", "EXECUTION_INFO"]
    run = emulator.buddy.add_execution(release)
    assert outcome("executions.cancelExecution", release.id, run.id) == refusal(403, "Cannot receive data: the token lacks a scope")
    assert (emulator.ledger.count("PATCH", status=403), run.status) == (1, "INPROGRESS")


def test_an_unknown_execution_is_404(outcome: Call, emulator: Emulator, release: Pipeline) -> None:
    assert outcome("executions.getExecution", release.id, 7) == refusal(404, "Execution not found")
    [entry] = emulator.ledger.entries
    assert (entry.method, entry.path, entry.status) == ("GET", f"{PIPELINES}/{release.id}/executions/7", 404)


@pytest.mark.parametrize("operation", ["cancel", "retry"])
def test_an_operation_that_does_not_fit_is_400(outcome: Call, emulator: Emulator, release: Pipeline, operation: str) -> None:
    run = emulator.buddy.add_execution(release, "SUCCESSFUL")
    result = outcome(f"executions.{operation}Execution", release.id, run.id)
    assert result == refusal(400, f"Cannot {operation}: the execution is SUCCESSFUL")
    assert (emulator.ledger.count("PATCH", status=400), run.status) == (1, "SUCCESSFUL")


def test_an_error_page_is_told_by_its_reason_phrase(outcome: Call, emulator: Emulator, release: Pipeline) -> None:
    emulator.faults.add(Fault("html", status=502))
    result = outcome("executions.getList", release.id, None)
    assert result == {"error": {"code": 502, "message": "Bad Gateway", "messages": []}}
    assert [(one.status, one.fault) for one in emulator.ledger.entries] == [(502, "html")]


def test_a_lost_answer_to_a_run_is_not_asked_for_again(outcome: Call, emulator: Emulator, release: Pipeline) -> None:
    emulator.faults.add(Fault("drop_after", method="POST"))
    result = outcome("executions.runExecution", release.id, {"to_revision": {"revision": "HEAD"}})
    assert result == {"error": {"code": "ECONNRESET", "message": "socket hang up"}}
    assert [(one.method, one.status) for one in emulator.ledger.entries] == [("POST", None)]
    assert [run.status for run in emulator.buddy.executions] == ["INPROGRESS"]


def refusal(status: int, message: str) -> dict[str, Any]:
    """What the client makes of an error answer in the vendor's shape."""
    return {"error": {"code": status, "message": message, "messages": [{"message": message}]}}
