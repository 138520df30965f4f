"""What a waiting trigger keeps in memory: the bytes that Python has allocated for it, beside those of the peers' triggers."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Coroutine
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks import stub, waits

WAITS = 1_000
EVERY = 20.0
"""Seconds between two polls: while it is traced, each takes several times as long."""
PEERS = ("dbt-cloud", "databricks")
LEAST = "a task that sleeps, with our trigger"


async def sleep_beside(trigger: Any) -> None:
    """What the event loop and Airflow take, whatever a trigger does."""
    await asyncio.sleep(1e6)
    del trigger


KINDS: dict[str, Callable[[int, float], Coroutine[Any, Any, None]]] = {
    **{kind: waits.KINDS[kind] for kind in ("A: 10 pipelines", "B: a pipeline each", "Tracecat", "AlgaPSA", *PEERS)},
    LEAST: lambda number, every: sleep_beside(waits.our_trigger("buddy", waits.buddy_ref(number, 10), every)),
}


async def measure(kind: str, url: str) -> float:
    """Bytes for each further wait, when all are polling."""
    waits._bare["url"] = url
    tasks = [asyncio.create_task(KINDS[kind](number, EVERY)) for number in range(waits.FEW)]
    await asyncio.sleep(3)
    gc.collect()
    tracemalloc.start()
    for number in range(waits.FEW, WAITS):
        tasks.append(asyncio.create_task(KINDS[kind](number, EVERY)))
        await asyncio.sleep(EVERY / WAITS)
    await asyncio.sleep(EVERY)
    gc.collect()
    allocated = tracemalloc.get_traced_memory()[0]
    for task in tasks:
        assert not task.done(), task.exception()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return allocated / (WAITS - waits.FEW)


def main() -> None:
    """Measure and print."""
    kept: dict[str, float] = {}
    for kind in KINDS:
        with stub.running(WAITS, WAITS if kind.startswith("B") else 10) as url:
            command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.memory", kind, url]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=waits.STARTUP + 3 * EVERY)
        kept[kind] = float(done.stdout.strip().splitlines()[-1])
    best = min(kept[peer] for peer in PEERS)
    table = Table("waits", "kB a wait", "to best peer", title=f"Memory that is allocated for each of {WAITS} waits")
    for kind, size in kept.items():
        table.add_row(kind, f"{size / 1000:.1f}", f"{size / best:.2f}")
    Console(width=160).print(table)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        waits.prepare(sys.argv[2])
        print(asyncio.run(measure(sys.argv[1], sys.argv[2])))
