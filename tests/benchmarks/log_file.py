"""A long log from an address to ``log_path``, cleaned and with its steps, beside a bare stream of httpx to a file: bytes per CPU-second."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from tests.benchmarks import stub, waits

SIZE = 256
"""MiB."""


def bare(url: str, folder: str, size: int) -> None:
    """Straight to a file, as it comes."""
    with httpx.stream("GET", f"{url}/log/{size}") as answer, Path(folder, "bare").open("wb") as file:
        for chunk in answer.iter_raw():
            file.write(chunk)


def ours(url: str, folder: str, size: int) -> None:
    """What a task does at its end."""
    from airflow.sdk import ObjectStoragePath

    from airflow_provider.buddy.hook import BuddyHook
    from airflow_provider.execution.phase import Phase
    from airflow_provider.execution.system import Snapshot, Step
    from airflow_provider.execution.task import ExecutionTask

    waits.connect(url)
    snapshot = Snapshot(f"demo/shop/{stub.LONG_LOG}/{size}", Phase.SUCCEEDED, "SUCCESSFUL", None)
    snapshot.hidden = ["a-variable-that-is-secret"]
    snapshot.steps = [Step(id="a1", name="Build", type="BUILD", phase=Phase.SUCCEEDED, status="SUCCESSFUL", definition="1")]
    with BuddyHook() as hook:
        ExecutionTask()._store_log(hook, hook.system(), snapshot, ObjectStoragePath(f"file://{folder}"))


def peak() -> int:
    """Bytes: not of getrusage, which begins with the peak of the process before exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def measure(way: str, url: str) -> dict[str, Any]:
    store = ours if way == "ours" else bare
    with tempfile.TemporaryDirectory() as folder:
        store(url, folder, 2)  # so that what is loaded and built once does not count
        gc.collect()
        before, cpu = peak(), time.process_time()
        store(url, folder, SIZE)
        used = time.process_time() - cpu
        assert max(path.stat().st_size for path in Path(folder).iterdir()) >= SIZE << 20
        return {"speed": (SIZE << 20) / used, "grown": peak() - before}


def main() -> None:
    """Measure and print."""
    told: dict[str, dict[str, float]] = {}
    with stub.running(1, 1) as url:
        for way in ("bare", "ours"):
            command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.log_file", way, url]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            told[way] = json.loads(done.stdout.strip().splitlines()[-1])
    table = Table("log to file", "MB per CPU-second", "to the bare stream", "MiB of memory", title=f"A log of {SIZE} MiB")
    for way, values in told.items():
        ratio = values["speed"] / told["bare"]["speed"]
        table.add_row(way, f"{values['speed'] / 1e6:.0f}", f"{ratio:.2f}", f"{values['grown'] / 2**20:.0f}")
    Console(width=160).print(table)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        print(json.dumps(measure(sys.argv[1], sys.argv[2])))
