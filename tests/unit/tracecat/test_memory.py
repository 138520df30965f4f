"""A full view of 20 MB is read in at most three times its size of memory."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest

from tests.unit.servers import serving

SIZE = 8 * 1024 * 1024
REF = "wf_7wG6ZFwlUmPT8YtnWfZo1I/exec_50vreC4NIDSu5D4cA9FSqx"
READ = """
import asyncio, gc, json, resource, sys
from airflow_provider.execution.http import senders
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.tracecat.api import requests
from airflow_provider.tracecat.api import models
from airflow_provider.tracecat.api.error_texts import TracecatApiErrors

kind, url, workspace, ref = sys.argv[1:]
endpoint = Endpoint("tracecat", "Tracecat", "c", url, (), TracecatApiErrors())

def read(url, kind):
    at = Endpoint("tracecat", "Tracecat", "c", url, (), TracecatApiErrors())
    if kind == "sync":
        with senders.Sender(at) as sender:
            return sender.run(requests.get_execution(workspace, ref))
    async def main():
        async with senders.AsyncSender.shared(at) as sender:
            return await sender.run(requests.get_execution(workspace, ref))
    return asyncio.run(main())

small, large = url.split(",")
read(small, kind)  # so that what is loaded and built once does not count
gc.collect()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
found = read(large, kind)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
refs = [event.event_group.action_ref for event in found.events if event.event_group]
print(json.dumps({"grown": (after - before) * 1024, "events": len(found.events), "last": refs[-1], "result": found.events[-1].result}))
"""


def event(number: int, kind: str, action: str, **more: Any) -> dict[str, Any]:
    return {
        "event_id": number, "event_time": "2026-11-22T00:31:48.574119Z", "event_type": kind, "task_id": number, "failure": None,
        "result": None, "role": None, "parent_wf_exec_id": None, "workflow_timeout": None, **more,
    } | ({"event_group": group(number, action)} if action else {"event_group": None})  # fmt: skip


RESULTS: dict[str, Any] = {}


def group(number: int, action: str) -> dict[str, Any]:
    """The action behind an event, with all results before it: that is what makes histories long."""
    task = {
        "ref": action, "action": "core.http_request", "args": {"url": "https://x.example"}, "depends_on": [], "run_if": None,
        "for_each": None, "retry_policy": {"max_attempts": 1, "timeout": 300, "retry_until": None}, "join_strategy": "all",
    }  # fmt: skip
    context = {"ACTIONS": dict(RESULTS), "TRIGGER": {"n": 1}, "ENV": {"workflow": {"dispatch_type": "manual"}}}
    run = {"wf_id": "wf", "wf_exec_id": REF, "wf_run_id": str(uuid.UUID(int=number)), "environment": "default", "logical_time": None}
    return {
        "event_id": number, "udf_namespace": "core", "udf_name": "http_request", "udf_key": "core.http_request", "action_id": None,
        "action_ref": action, "action_title": action, "action_description": "", "action_result": None, "current_attempt": None,
        "action_input": {"task": task, "exec_context": context, "run_context": run, "interaction_context": None, "stream_id": "<root>:0"},
        "retry_policy": task["retry_policy"], "start_delay": 0.0, "join_strategy": "all", "related_wf_exec_id": None,
    }  # fmt: skip


def history(size: int) -> bytes:
    """An answer of about that size, of the shape that real ones have."""
    RESULTS.clear()
    events, length, number = [event(1, "WORKFLOW_EXECUTION_STARTED", "")], 0, 1
    while length < size:
        action = f"look_up_{len(RESULTS)}"
        rows = [
            {"id": i, "name": f"host-{i}.example", "tags": ["a", "b"], "score": i / 7, "ok": True, "note": 'He said "no"\n'}
            for i in range(8)
        ]
        result = {"type": "inline", "data": {"status_code": 200, "data": rows}, "typename": "dict"}
        for kind in ("ACTIVITY_TASK_SCHEDULED", "ACTIVITY_TASK_STARTED", "ACTIVITY_TASK_COMPLETED"):
            number += 1
            events.append(event(number, kind, action, result=result if kind.endswith("COMPLETED") else None))
            length += len(json.dumps(events[-1]))
        RESULTS[action] = {"result": result, "result_typename": "dict"}
    events.append(event(number + 1, "WORKFLOW_EXECUTION_COMPLETED", "", result={"type": "inline", "data": "the end", "typename": "str"}))
    head = {"id": REF, "run_id": str(uuid.UUID(int=1)), "status": "COMPLETED", "start_time": "2026-11-22T00:31:48Z", "interactions": []}
    return json.dumps({**head, "events": events}, separators=(",", ":")).encode()


@pytest.mark.long
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_long_history_takes_three_times_its_size_at_most(tmp_path: Path, kind: str) -> None:
    small, large = history(600_000), history(SIZE)
    assert len(large) >= 0.85 * SIZE
    script = tmp_path / "read.py"
    script.write_text(READ)
    with serving(small) as one, serving(large) as other:
        ran = subprocess.run(
            [sys.executable, str(script), kind, f"{one.url},{other.url}", str(uuid.UUID(int=5)), REF],
            capture_output=True, text=True, timeout=280, check=False, cwd=Path(__file__).parents[3],
        )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["events"] == large.count(b'"event_id"') - large.count(b'"udf_namespace"')
    assert told["last"].startswith("look_up_")
    assert told["result"]["data"] == "the end"
    assert told["grown"] <= 3 * len(large), f"{told['grown'] / len(large):.2f} times its size"
