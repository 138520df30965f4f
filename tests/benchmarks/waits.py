"""
What waiting costs: many triggers on one event loop, each of which asks every few seconds for something that never ends.

Ours, the peers' and two bare loops of httpx, each in a fresh process, against one stub server in a process of its own. Measured are the
last two rounds, once two in a row have sent as many requests.
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
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
from rich.console import Console
from rich.table import Table

from tests.benchmarks import stub

POLLS = 250
"""A second, of more than a few waits: five thousand that poll every five seconds would be more than one process can send."""
AGREE = 0.05
"""The part by which two rounds' requests may differ, in a steady state."""
MOST_ROUNDS = 5
"""Until it is measured in any case."""
STARTUP = 40.0
"""Seconds to load everything in, besides."""
AGE = 3_600.0
"""Seconds for which ours have waited: in the beginning, their gaps are short and grow."""
FEW = 10
"""Waits that bring everything into memory that is needed once."""
STALLS, TICK = 5.0, 0.01
"""Seconds for which is looked how late the event loop is, after all else, and between two looks."""


class Round(NamedTuple):
    """What one interval took: CPU-seconds, requests, CPU-seconds of the server."""

    cpu: float
    requests: int
    server: float


def interval(waits: int) -> float:
    """Seconds between two polls of a wait."""
    return max(5.0, waits / POLLS)


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


def ours(system: str, ref: str, every: float, log_lines: int = 0) -> Coroutine[Any, Any, None]:
    return follow(our_trigger(system, ref, every, log_lines))


def our_trigger(system: str, ref: str, every: float, log_lines: int = 0) -> Any:
    from airflow_provider.execution.waiting.trigger import ExecutionTrigger

    name = {"buddy": "Buddy", "tracecat": "Tracecat", "alga_psa": "AlgaPsa"}[system]
    policy: Any = {
        "timeout": 1e6, "deadline": None, "waiting_timeout": None, "waiting_counts": True, "stop_on_waiting": False,
        "poll_interval": every, "poll_failure_budget": 600.0, "vanish_grace": 60.0, "start_grace": None, "log_lines": log_lines,
    }  # fmt: skip
    return ExecutionTrigger(
        hook=f"airflow_provider.{system}.hook:{name}Hook", hook_arguments={f"{system}_conn_id": f"{system}_default"}, view={},
        ref=ref, search=None, url=None, link_key="link", policy=policy, state={"since": time.time() - AGE, "saved_at": time.time()},
        not_before=0.0, cancel_on_kill=False,
    )  # fmt: skip


def over_httpx(waits: Coroutine[Any, Any, None]) -> Coroutine[Any, Any, None]:
    """As where aiohttp is not installed."""
    sys.modules["airflow_provider.execution.http.carrier_aiohttp"] = None  # type: ignore[assignment]
    return waits


async def follow(trigger: Any) -> None:
    async for event in trigger.run():
        raise SystemExit(f"The wait ended: {event.payload}")


def dbt(number: int, every: float) -> Coroutine[Any, Any, None]:
    from airflow.providers.dbt.cloud.hooks.dbt import DbtCloudHook
    from airflow.providers.dbt.cloud.triggers.dbt import DbtCloudRunJobTrigger

    # It knows https only; a TLS handshake for every poll, which it needs, is left out in its favour.
    DbtCloudHook.get_request_url_params = staticmethod(  # type: ignore[method-assign]
        lambda tenant, endpoint, include_related=None, api_version="v2": (f"http://{tenant}/api/{api_version}/accounts/{endpoint}", {})
    )
    return follow(DbtCloudRunJobTrigger(conn_id="dbt", run_id=number, end_time=time.time() + 1e6, poll_interval=every, account_id=1))


def databricks(number: int, every: float) -> Coroutine[Any, Any, None]:
    from airflow.providers.databricks.triggers.databricks import DatabricksExecutionTrigger

    return follow(DatabricksExecutionTrigger(run_id=number, databricks_conn_id="databricks", polling_period_seconds=every))  # type: ignore[arg-type]


def airbyte(number: int, every: float) -> Coroutine[Any, Any, None]:
    from airflow.providers.airbyte.triggers.airbyte import AirbyteSyncTrigger

    return follow(AirbyteSyncTrigger(job_id=number, conn_id="airbyte", end_time=time.time() + 1e6, poll_interval=every))


def http(number: int, every: float) -> Coroutine[Any, Any, None]:
    from airflow.providers.http.triggers.http import HttpSensorTrigger

    return follow(HttpSensorTrigger(endpoint=f"nothing/{number}", http_conn_id="http", poke_interval=every))


_bare: dict[str, Any] = {}


@cache
def _bare_client() -> httpx.AsyncClient:
    return httpx.AsyncClient(limits=httpx.Limits(max_connections=100, max_keepalive_connections=100))


async def bare(number: int, every: float, at_once: int | None) -> None:
    client = _bare_client()
    gate = _bare.setdefault("gate", asyncio.Semaphore(at_once or 1_000_000))
    while True:
        async with gate:
            answer = await client.get(f"{_bare['url']}/buddy/workspaces/demo/projects/shop/pipelines/1/executions/{number + 1}")
        assert answer.json()["status"] == "INPROGRESS"
        await asyncio.sleep(every)


def buddy_ref(number: int, pipelines: int) -> str:
    return f"demo/shop/{number % pipelines + 1}/{number // pipelines + 1}"


KINDS: dict[str, Callable[[int, float], Coroutine[Any, Any, None]]] = {
    "A: 10 pipelines": lambda number, every: ours("buddy", buddy_ref(number, 10), every),
    "B: a pipeline each": lambda number, every: ours("buddy", buddy_ref(number, 1_000_000), every),
    "B: over httpx": lambda number, every: over_httpx(ours("buddy", buddy_ref(number, 1_000_000), every)),
    "C: with log forwarding": lambda number, every: ours("buddy", buddy_ref(number, 10), every, 1_000_000),
    "Tracecat": lambda number, every: ours("tracecat", stub.tracecat_ref(number), every),
    "AlgaPSA": lambda number, every: ours("alga_psa", stub.alga_psa_ref(number), every),
    "dbt-cloud": dbt,
    "databricks": databricks,
    "airbyte": airbyte,
    "http": http,
    "bare httpx": lambda number, every: bare(number, every, None),
    "bare httpx, 8 at once": lambda number, every: bare(number, every, 8),
}
SHARING = ("A: 10 pipelines", "C: with log forwarding", "Tracecat", "AlgaPSA")
"""Those whose waits do not send one request each in a round."""


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def lateness(seconds: float) -> list[float]:
    """Seconds by which the event loop is late, at each tick."""
    until, late = time.perf_counter() + seconds, []
    while (now := time.perf_counter()) < until:
        await asyncio.sleep(TICK)
        late.append(time.perf_counter() - now - TICK)
    return late


def prepare(url: str) -> None:
    """Make this process like a triggerer that says nothing."""
    import airflow.jobs.triggerer_job_runner  # noqa: F401  what it has loaded by itself
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    connect(url)


async def measure(kind: str, waits: int, url: str) -> dict[str, float]:
    """Of a round: CPU-seconds per 1,000 polls, requests, resident bytes per wait, stalls of the loop, how busy the server was."""
    make, every = KINDS[kind], interval(waits)
    asked = httpx.AsyncClient()
    _bare["url"] = url
    tasks = [asyncio.create_task(make(number, every)) for number in range(FEW)]
    await asyncio.sleep(2)
    before = resident()
    for number in range(FEW, waits):
        tasks.append(asyncio.create_task(make(number, every)))
        await asyncio.sleep(every / waits)  # they come one after the other, not all in one moment
    rounds: list[Round] = []
    while len(rounds) < MOST_ROUNDS and not steady(rounds):
        requests, server = (await asked.get(f"{url}/load")).json()
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(every)
        share = every / (time.perf_counter() - began)  # who keeps the loop busy wakes late
        cpu = time.process_time() - cpu
        requests_by_now, server_by_now = (await asked.get(f"{url}/load")).json()
        rounds.append(Round(cpu * share, round((requests_by_now - requests) * share), (server_by_now - server) * share))
    after = resident()
    late = await lateness(STALLS)
    for task in tasks:
        assert not task.done(), task.exception()
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    last = rounds[-2:]
    sent = sum(one.requests for one in last)
    polls = waits * len(last) if kind in SHARING else sent  # who can't keep up sends fewer
    return {
        "cpu": sum(one.cpu for one in last) / polls * 1_000, "requests": sent / len(last), "memory": (after - before) / (waits - FEW),
        "stall": statistics.quantiles(late, n=100)[98],
        "server": sum(one.server for one in last) / len(last) / every, "steady": steady(rounds),
    }  # fmt: skip


def steady(rounds: list[Round]) -> bool:
    """Whether the last two rounds have sent as many requests."""
    if len(rounds) < 2:
        return False
    less, more = sorted(one.requests for one in rounds[-2:])
    return more - less <= max(AGREE * more, 2)


def run(kind: str, waits: int, pipelines: int) -> dict[str, float] | str:
    limit = STARTUP + STALLS + (1 + MOST_ROUNDS) * interval(waits)
    with stub.running(waits, pipelines) as url:
        command = [sys.executable, "-W", "ignore", "-m", "tests.benchmarks.waits", kind, str(waits), url]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
        except subprocess.TimeoutExpired:
            return f"not done after {limit:.0f} s"
    if done.returncode:
        return (done.stderr.strip().splitlines() or ["failed"])[-1][:60]
    measured: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return measured


PEERS = ("dbt-cloud", "databricks", "http")
BLOCKING = "airbyte"
"""Blocks the event loop with each request, so that a thousand would not get through."""
BARE = ("bare httpx", "bare httpx, 8 at once")
OURS = ("A: 10 pipelines", "B: a pipeline each", "B: over httpx", "Tracecat", "AlgaPSA")
RUNS = [
    *((kind, 1_000) for kind in (*OURS, *PEERS, *BARE)), ("C: with log forwarding", 200), (BLOCKING, 100),
    *((kind, 5_000) for kind in ("A: 10 pipelines", "B: a pipeline each", "dbt-cloud", "databricks")),
]  # fmt: skip


def main() -> None:
    """Measure and print."""
    console = Console(width=160)
    found: dict[tuple[str, int], dict[str, float] | str] = {}
    for kind, waits in RUNS:
        values = found[kind, waits] = run(kind, waits, waits if kind.startswith("B") else 10)
        told = values if isinstance(values, str) else ", ".join(f"{name} {value:.4g}" for name, value in values.items())
        console.print(f"{waits} waits, {kind}: {told}")
    best = {
        what: min((values[what] for peer in PEERS if isinstance(values := found[peer, 1_000], dict)), default=float("nan"))
        for what in ("cpu", "memory")
    }
    table = Table(
        "waits", "number", "every, s", "CPU s / 1,000 polls", "to best peer", *(f"to {name}" for name in BARE), "requests a round",
        "kB a wait", "to best peer", "stall p99, ms", "server busy",
        title="Waiting: the last two rounds of a steady state (~: none was reached)",
    )  # fmt: skip
    loops = [found[name, 1_000] for name in BARE]
    for (kind, waits), values in found.items():
        if isinstance(values, str):
            table.add_row(kind, str(waits), f"{interval(waits):g}", values)
            continue
        ratios = [f"{values['cpu'] / best['cpu']:.2f}", *(f"{values['cpu'] / v['cpu']:.2f}" if isinstance(v, dict) else "-" for v in loops)]
        memory = [f"{values['memory'] / 1000:.1f}", f"{values['memory'] / best['memory']:.2f}"]
        requests = f"{'' if values['steady'] else '~'}{values['requests']:.0f}"
        table.add_row(
            kind, str(waits), f"{interval(waits):g}", f"{values['cpu']:.3f}", *ratios, requests, *memory,
            f"{values['stall'] * 1000:.0f}", f"{values['server']:.0%}",
        )  # fmt: skip
    console.print(table)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    else:
        prepare(sys.argv[3])
        print(json.dumps(asyncio.run(measure(sys.argv[1], int(sys.argv[2]), sys.argv[3]))))
