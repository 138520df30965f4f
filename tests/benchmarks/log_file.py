"""A long log from an address to ``log_path``, cleaned and with its steps, beside a bare stream of httpx to a file: bytes per second."""

from __future__ import annotations

import gc
import json
import statistics
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

SIZE = 1024
"""MiB."""
RUNS = 3
"""Of each way, in turn; the median counts."""


def bare(url: str, folder: str, size: int) -> None:
    """Straight to a file, as it comes."""
    with httpx.stream("GET", f"{url}/log/{size}") as answer, Path(folder, "bare").open("wb") as file:
        for chunk in answer.iter_raw():
            file.write(chunk)


def ours(url: str, folder: str, size: int) -> None:
    """What a task does at its end."""
    from airflow.sdk import ObjectStoragePath

    from airflow_provider.buddy.hook import BuddyHook
    from airflow_provider.execution.model.phase import Phase
    from airflow_provider.execution.model.snapshot import Snapshot, Step
    from airflow_provider.execution.waiting.completion import store_log

    waits.connect(url)
    snapshot = Snapshot(f"demo/shop/{stub.LONG_LOG}/{size}", Phase.SUCCEEDED, "SUCCESSFUL", None)
    snapshot.hidden = ["a-variable-that-is-secret"]
    snapshot.steps = [Step(id="a1", name="Build", type="BUILD", phase=Phase.SUCCEEDED, status="SUCCESSFUL", definition="1")]
    with BuddyHook() as hook:
        store_log(hook, hook.adapter(), snapshot, ObjectStoragePath(f"file://{folder}"))


def peak() -> int:
    """Bytes: not of getrusage, which begins with the peak of the process before exec."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def measure(way: str, url: str) -> dict[str, Any]:
    store = ours if way == "ours" else bare
    with tempfile.TemporaryDirectory() as folder:
        store(url, folder, 2)  # so that what is loaded and built once does not count
        gc.collect()
        before, cpu, began = peak(), time.process_time(), time.monotonic()
        store(url, folder, SIZE)
        used, took = time.process_time() - cpu, time.monotonic() - began
        assert max(path.stat().st_size for path in Path(folder).iterdir()) >= SIZE << 20
        return {"speed": (SIZE << 20) / took, "work": (SIZE << 20) / used, "grown": peak() - before}


def main() -> None:
    """Measure and print."""
    told: dict[str, list[dict[str, float]]] = {"bare": [], "ours": []}
    with stub.running(1, 1) as url:
        for way in list(told) * RUNS:
            command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.log_file", way, url]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            told[way].append(json.loads(done.stdout.strip().splitlines()[-1]))
    middle = {way: {name: statistics.median(run[name] for run in runs) for name in runs[0]} for way, runs in told.items()}
    table = Table("log to file", "MB/s", "to the bare stream", "MB per CPU-second", "to it", "MiB of memory", title=f"A log of {SIZE} MiB")
    for way, values in middle.items():
        cells = [cell for name in ("speed", "work") for cell in (f"{values[name] / 1e6:.0f}", f"{values[name] / middle['bare'][name]:.2f}")]
        table.add_row(way, *cells, f"{values['grown'] / 2**20:.0f}")
    Console(width=160).print(table)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        print(json.dumps(measure(sys.argv[1], sys.argv[2])))
