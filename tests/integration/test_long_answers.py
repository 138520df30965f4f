"""Answers and logs that are longer than memory is spared for: in a process of its own, whose memory is measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Pipeline
from tests.integration.systems import SYSTEMS

MEBIBYTE = 1024 * 1024
GIBIBYTE = 1024 * MEBIBYTE
LINE = 1_990
PEAK = """
def peak():  # not getrusage, which begins with the peak of the process before exec
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
"""
RUN = """
import gc, json, sys
from tests.harness import TaskRun

def run(pipeline):
    make = lambda: Operator(task_id="task", pipeline=pipeline, poll_interval=0.05, log_path=folder, deferrable=deferrable)
    ended = TaskRun(make, connections).run()
    return ended.state, ended.result and ended.result["log_file"], ended.text[-2000:]

from airflow_provider.buddy.operators import BuddyRunPipelineOperator as Operator
connections, folder, deferrable, small, large = json.loads(sys.argv[1])
run(small)  # so that what is loaded and built once does not count
gc.collect()
before = peak()
state, file, text = run(large)
grown = peak() - before
print(json.dumps({"grown": grown, "state": state, "file": file, "text": text}))
"""


def in_a_process(script: str, *arguments: Any) -> dict[str, Any]:
    ran = subprocess.run(
        [sys.executable, "-c", PEAK + script, json.dumps(arguments)],
        capture_output=True, text=True, timeout=3_000, check=False, cwd=Path(__file__).parents[2],
        env={**os.environ, "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "0"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3_000:]
    told: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return told


def pipeline(emulator: Emulator, size: int) -> int:
    """One whose log has that many bytes; its lines are made when they are read. It ends at once: here, no time passes."""
    build = Action("Build", seconds=0.0, log=["$LINE " + "x" * (LINE - 10)], lines=size // LINE)
    made = emulator.buddy.add_pipeline(Pipeline("p", actions=[build]))
    assert made.id is not None
    return made.id


@pytest.mark.long
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize(("way", "deferrable"), [("pages", False), ("address", True)])
def test_a_very_long_log_is_stored_in_little_memory(emulator: Emulator, tmp_path: Path, way: str, deferrable: bool) -> None:
    """Whole, and line by line, whether it comes in pages or lies behind an address."""
    emulator.buddy.log_url_above = 0  # an action's details carry short logs only
    emulator.buddy.has_logs_route = way == "pages"
    small, large = pipeline(emulator, MEBIBYTE), pipeline(emulator, GIBIBYTE)
    connections = SYSTEMS["buddy"](emulator).connections
    told = in_a_process(RUN, connections, f"file://{tmp_path}", deferrable, small, large)
    assert told["state"] == "success", told["text"]
    file = Path(told["file"].removeprefix("file://"))
    assert file.stat().st_size > 0.95 * GIBIBYTE
    with file.open() as lines:
        last = sum(1 for _ in lines)
    assert last == GIBIBYTE // LINE
    print(f"{told['grown'] / MEBIBYTE:.0f} MiB of memory for a log of 1 GiB")
    file.unlink()
    assert told["grown"] < 64 * MEBIBYTE


READ = """
import gc, json, sys
from airflow_provider.errors import ExecutionApiError
from airflow_provider.execution.model.adapter import ExecutionAdapter

connections, name, module, ref = json.loads(sys.argv[1])
import os
for conn_id, fields in connections.items():
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps(fields)
from pkgutil import resolve_name
with resolve_name(module)(name) as hook:
    hook.run_flow(hook.adapter().read(ref))
    gc.collect()
    before = peak()
    try:
        hook.run_flow(hook.adapter().read(ref))
    except ExecutionApiError as error:
        told = f"{type(error).__name__}: {error}"
    grown = peak() - before
print(json.dumps({"grown": grown, "told": told}))
"""


@pytest.mark.long
@pytest.mark.parametrize("name", [name for name in SYSTEMS if name != "kiln"])
def test_an_answer_that_is_too_long_is_not_kept(emulator: Emulator, name: str) -> None:
    system = SYSTEMS[name](emulator)
    ref = system.start_elsewhere(system.script("slow"))
    views = 2 if name == "tracecat" else 1
    fault = system.fault("huge", "read", bytes=1_000_000_000, after=1, times=views)
    hook = f"{system.hook_class.__module__}:{system.hook_class.__qualname__}"
    told = in_a_process(READ, system.connections, system.conn_id, hook, ref)
    assert fault.hits == views
    assert told["told"].startswith("ProtocolError")
    assert "the rest was not read" in told["told"]
    assert told["grown"] < 160 * MEBIBYTE, f"{told['grown'] / MEBIBYTE:.0f} MiB"
