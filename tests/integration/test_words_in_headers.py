"""Values of extra headers that are words of answers, and outputs that hold the credential: hiding must not change what is compared."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.buddy.operators import BuddyRunPipelineOperator
from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Pipeline
from tests.harness import TaskRun
from tests.integration.conftest import OPERATOR_MODES, Bench
from tests.integration.systems import Adapter, BuddySystem

DOCUMENTED: dict[str, str] = json.loads(
    re.findall(r'"secret_headers": (\{[^}]*\})', Path(__file__).parents[2].joinpath("docs/connection.md").read_text())[0]
)
BASIC = base64.b64encode(b"airflow:s3cretpw99").decode()
HEADERS: dict[str, dict[str, str]] = {
    "documented": DOCUMENTED,
    "our own name": {"X-Gateway-Id": "airflow"},
    "user of Basic": {"X-Gateway": f"Basic {BASIC}"},
    "a status": {"X-Env": "SUCCESSFUL", "X-Other": "COMPLETED", "X-Third": "completed"},
    "names": {"X-Tenant": "demo", "X-Project": "shop", "X-Team": "pipeline", "X-Region": "executions"},
}


def with_headers(connections: dict[str, dict[str, Any]], headers: dict[str, str]) -> dict[str, dict[str, Any]]:
    found = {}
    for conn_id, fields in connections.items():
        extra = fields.get("extra") or {}
        extra = json.loads(extra) if isinstance(extra, str) else dict(extra)
        found[conn_id] = {**fields, "extra": json.dumps({**extra, "secret_headers": headers})}
    return found


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_one_execution_is_started_and_followed(operator_bench: Bench, headers: dict[str, str]) -> None:
    task = operator_bench.task("succeeded", retries=2)
    task.api.connections = with_headers(operator_bench.system.connections, headers)
    ended = task.run()
    assert ended.state == "success", ended.text
    assert ended.result["ref"] in operator_bench.system.refs
    assert operator_bench.system.starts == 1


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_a_lost_start_is_found(operator_bench: Bench, headers: dict[str, str]) -> None:
    operator_bench.system.fault("drop_after", "start")
    task = operator_bench.task("succeeded", retries=2)
    task.api.connections = with_headers(operator_bench.system.connections, headers)
    ended = task.run()
    assert ended.state == "success", ended.text
    assert operator_bench.system.starts == 1


def test_a_token_in_a_header_is_hidden_in_answers(system: Adapter) -> None:
    token = "aP9x7Kq2mZ4tRw8"
    script = system.script("outputs", outputs={"IMAGE": f"shop:{token}"})
    task = Bench(system, "operator").task("", script=script, retries=0)
    task.api.connections = with_headers(system.connections, {"X-Gateway-Token": token})
    ended = task.run()
    assert token not in json.dumps(ended.xcoms, default=str)
    assert token not in ended.text


@pytest.mark.parametrize("mode", OPERATOR_MODES)
@pytest.mark.parametrize("required", [True, False])
def test_an_output_with_the_credential_is_left_out_and_not_changed(emulator: Emulator, mode: str, required: bool) -> None:
    system = BuddySystem(emulator)
    token = system.connections["buddy_default"]["password"]
    url = f"https://shop.example/?key={token}"
    emulator.buddy.add_pipeline(Pipeline("r", actions=[Action("Build", seconds=1.0, outputs={"URL": url, "IMAGE": "shop:1"})]))
    push = ["URL"] if required else ["IMAGE"]
    task = TaskRun(
        lambda: BuddyRunPipelineOperator(task_id="task", pipeline="r", push_outputs=push, **OPERATOR_MODES[mode]),
        system.connections,
        retries=0,
    )
    ended = task.run()
    assert token not in json.dumps(ended.xcoms, default=str)
    assert "***" not in str(ended.xcoms.get("URL"))
    if required:
        assert type(ended.error) is errors.OutputMissing
        assert "contains the credential of the connection" in str(ended.error)
    else:
        assert ended.state == "success", ended.text
        assert ended.result["outputs"] == {"IMAGE": "shop:1"}
        assert "contains the credential" in ended.result["outputs_omitted"]["URL"]
