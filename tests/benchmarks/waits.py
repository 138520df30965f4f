"""
What waiting costs: many triggers on one event loop, each of which asks every few seconds for something that never ends.

Ours, the peers' and two bare loops of httpx, each in a fresh process, against one stub server in a process of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
from rich.console import Console
from rich.table import Table

from tests.benchmarks import stub

INTERVAL = 5.0
"""Seconds between two polls of a wait."""
ROUNDS = 2
"""Intervals that are measured, behind one for warming up."""
FEW = 10
"""Waits that bring everything into memory that is needed once."""
TICK = 0.01
"""Seconds between two looks at how late the event loop is."""


def connect(url: str) -> None:
    parts = urlsplit(url)
    of = {
        "buddy_default": {
            "conn_type": "buddy", "host": f"{url}/buddy", "password": "emulator-token", "extra": '{"workspace": "demo", "project": "shop"}',
        },
        "tracecat_default": {
            "conn_type": "tracecat", "host": f"{url}/tracecat", "password": "tc_ws_sk_none",
            "extra": json.dumps({"workspace_id": stub.TRACECAT_WORKSPACE}),
        },
        "alga_psa_default": {"conn_type": "alga_psa", "host": f"{url}/alga_psa", "password": "none-none"},
        "dbt": {"conn_type": "dbt_cloud", "host": parts.netloc, "login": "1", "password": "none-none"},
        "databricks": {"conn_type": "databricks", "host": parts.hostname, "port": parts.port, "schema": "http", "password": "none-none"},
        "airbyte": {"conn_type": "airbyte", "host": url},
        "http": {"conn_type": "http", "host": url},
    }  # fmt: skip
    for name, fields in of.items():
        os.environ[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps(fields)


def ours(system: str, ref: str, log_lines: int = 0) -> Coroutine[Any, Any, None]:
    from airflow_provider.execution.trigger import ExecutionTrigger

    name = {"buddy": "Buddy", "tracecat": "Tracecat", "alga_psa": "AlgaPsa"}[system]
    policy: Any = {
        "timeout": 1e6, "deadline": None, "waiting_timeout": None, "waiting_counts": True, "stop_on_waiting": False,
        "poll_interval": INTERVAL, "poll_failure_budget": 600.0, "vanish_grace": 60.0, "start_grace": None, "log_lines": log_lines,
    }  # fmt: skip
    return follow(
        ExecutionTrigger(
            hook=f"airflow_provider.{system}.hook:{name}Hook", hook_arguments={f"{system}_conn_id": f"{system}_default"}, view={},
            ref=ref, search=None, url=None, link_key="link", policy=policy, state={"since": time.time(), "saved_at": time.time()},
            not_before=0.0, cancel_on_kill=False,
        )
    )  # fmt: skip


async def follow(trigger: Any) -> None:
    async for event in trigger.run():
        raise SystemExit(f"The wait ended: {event.payload}")


def dbt(number: int) -> Coroutine[Any, Any, None]:
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    # It knows https only; a TLS handshake for every poll, which it needs, is left out in its favour.
    DbtCloudHook.get_request_url_params = staticmethod(  # type: ignore[method-assign]
        lambda tenant, endpoint, include_related=None, api_version="v2": (f"http://{tenant}/api/{api_version}/accounts/{endpoint}", {})
    )
    return follow(DbtCloudRunJobTrigger(conn_id="dbt", run_id=number, end_time=time.time() + 1e6, poll_interval=INTERVAL, account_id=1))


def databricks(number: int) -> Coroutine[Any, Any, None]:
    from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

    return follow(DatabricksExecutionTrigger(run_id=number, databricks_conn_id="databricks", polling_period_seconds=INTERVAL))  # type: ignore[arg-type]


def airbyte(number: int) -> Coroutine[Any, Any, None]:
    from airflow.providers.airbyte.triggers.airbyte import AirbyteSyncTrigger

    return follow(AirbyteSyncTrigger(job_id=number, conn_id="airbyte", end_time=time.time() + 1e6, poll_interval=INTERVAL))


def http(number: int) -> Coroutine[Any, Any, None]:
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    return follow(HttpSensorTrigger(endpoint=f"nothing/{number}", http_conn_id="http", poke_interval=INTERVAL))


_bare: dict[str, Any] = {}


async def bare(number: int, at_once: int | None) -> None:
    client = _bare.setdefault("client", httpx.AsyncClient(limits=httpx.Limits(max_connections=100, max_keepalive_connections=100)))
    gate = _bare.setdefault("gate", asyncio.Semaphore(at_once or 1_000_000))
    while True:
        async with gate:
            answer = await client.get(f"{_bare['url']}/buddy/workspaces/demo/projects/shop/pipelines/1/executions/{number + 1}")
        assert answer.json()["status"] == "INPROGRESS"
        await asyncio.sleep(INTERVAL)


def buddy_ref(number: int, pipelines: int) -> str:
    return f"demo/shop/{number % pipelines + 1}/{number // pipelines + 1}"


KINDS: dict[str, Callable[[int], Coroutine[Any, Any, None]]] = {
    "A: 10 pipelines": lambda number: ours("buddy", buddy_ref(number, 10)),
    "B: a pipeline each": lambda number: ours("buddy", buddy_ref(number, 1_000_000)),
    "C: with log forwarding": lambda number: ours("buddy", buddy_ref(number, 10), 1_000_000),
    "Tracecat": lambda number: ours("tracecat", stub.tracecat_ref(number)),
    "AlgaPSA": lambda number: ours("alga_psa", stub.alga_psa_ref(number)),
    "dbt-cloud": dbt,
    "databricks": databricks,
    "airbyte": airbyte,
    "http": http,
    "bare httpx": lambda number: bare(number, None),
    "bare httpx, 8 at once": lambda number: bare(number, 8),
}


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def ticks(seconds: float) -> tuple[float, list[float]]:
    """CPU-seconds that are used meanwhile, and how late the event loop is at each tick."""
    cpu, until, late = time.process_time(), time.perf_counter() + seconds, []
    while (now := time.perf_counter()) < until:
        await asyncio.sleep(TICK)
        late.append(time.perf_counter() - now - TICK)
    return time.process_time() - cpu, late


async def measure(kind: str, waits: int, url: str) -> dict[str, float]:
    """CPU-seconds, requests, resident bytes per wait and stalls of the loop, over some intervals."""
    make = KINDS[kind]
    asked = httpx.AsyncClient()
    _bare["url"] = url
    own, _ = await ticks(1.0)  # what measuring costs by itself
    tasks = [asyncio.create_task(make(number)) for number in range(FEW)]
    await asyncio.sleep(2)
    before = resident()
    for number in range(FEW, waits):
        tasks.append(asyncio.create_task(make(number)))
        await asyncio.sleep(INTERVAL / waits)  # they come one after the other, not all in one moment
    await asyncio.sleep(INTERVAL)
    requests = int((await asked.get(f"{url}/requests")).text)
    began = time.perf_counter()
    used, stalls = await ticks(ROUNDS * INTERVAL)
    rounds = (time.perf_counter() - began) / INTERVAL
    used -= own * ROUNDS * INTERVAL
    requests = int((await asked.get(f"{url}/requests")).text) - requests
    after = resident()
    for task in tasks:
        assert not task.done(), task.exception()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "cpu": used / rounds / waits * 1_000, "requests": requests / rounds, "memory": (after - before) / (waits - FEW),
        "stall": statistics.quantiles(stalls, n=100)[98],
    }  # fmt: skip


def run(kind: str, waits: int, pipelines: int) -> dict[str, float] | str:
    with stub.running(waits, pipelines) as url:
        command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.waits", kind, str(waits), url]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
        except subprocess.TimeoutExpired:
            return "not done after 180 s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1][:60]
    measured: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured


PEERS = ("dbt-cloud", "databricks", "airbyte", "http")
RUNS = [
    *((kind, 1_000) for kind in ("A: 10 pipelines", "B: a pipeline each", "Tracecat", "AlgaPSA")), ("C: with log forwarding", 200),
    *((kind, 1_000) for kind in PEERS), ("bare httpx", 1_000), ("bare httpx, 8 at once", 1_000),
    *((kind, 5_000) for kind in ("A: 10 pipelines", "B: a pipeline each", "dbt-cloud", "databricks")),
]  # fmt: skip


def main() -> None:
    """Measure and print."""
    found: dict[tuple[str, int], dict[str, float] | str] = {}
    for kind, waits in RUNS:
        found[kind, waits] = run(kind, waits, waits if kind.startswith("B") else 10)
    best = {
        what: min((values[what] for peer in PEERS if isinstance(values := found[peer, 1_000], dict)), default=float("nan"))
        for what in ("cpu", "memory")
    }
    table = Table(
        "waits", "number", "CPU s / 1,000 rounds", "to best peer", "to bare httpx", "to 8 at once", "requests a round", "kB a wait",
        "to best peer", "stall p99, ms",
        title=f"Waiting, a poll every {INTERVAL:g} s, {ROUNDS} rounds",
    )  # fmt: skip
    loops = [found["bare httpx", 1_000], found["bare httpx, 8 at once", 1_000]]
    for (kind, waits), values in found.items():
        if isinstance(values, str):
            table.add_row(kind, str(waits), values)
            continue
        ratios = [f"{values['cpu'] / best['cpu']:.2f}", *(f"{values['cpu'] / v['cpu']:.2f}" if isinstance(v, dict) else "-" for v in loops)]
        memory = [f"{values['memory'] / 1000:.1f}", f"{values['memory'] / best['memory']:.2f}"]
        table.add_row(
            kind, str(waits), f"{values['cpu']:.3f}", *ratios, f"{values['requests']:.0f}", *memory, f"{values['stall'] * 1000:.0f}"
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        import airflow.jobs.triggerer_job_runner  # noqa: F401  what a triggerer has loaded by itself
        import structlog

        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        logging.disable(logging.CRITICAL)
        connect(sys.argv[3])
        print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2]), sys.argv[3]))))
