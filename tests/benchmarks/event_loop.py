"""How long triggers that poll a server which answers in 0.3 s hold the event loop that all triggers share."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from typing import Any

import anyio
import httpx
import structlog
from rich.console import Console

TRIGGERS = 10
SECONDS = 5.0


def _kwargs(ref: str) -> dict[str, Any]:
    from airflow_provider.buddy.operators import BuddyRunPipelineOperator

    return {
        "hook": "airflow_provider.buddy.hook:BuddyHook",
        "hook_arguments": {"buddy_conn_id": "buddy_default", "workspace": None, "project": None},
        "view": {},
        "ref": ref,
        "search": None,
        "url": None,
        "link_key": "link",
        "policy": BuddyRunPipelineOperator(task_id="t", pipeline=1, poll_interval=0.3)._wait_policy(),
        "state": {"since": time.time()},
        "not_before": 0.0,
        "cancel_on_kill": False,
    }


async def _measure(triggers: list[Any]) -> float:
    anyio.Event()  # loads anyio's backend for asyncio, as the triggerer's own loop has done long before

    async def follow(trigger: Any) -> None:
        async for _ in trigger.run():
            return

    tasks = [asyncio.create_task(follow(trigger)) for trigger in triggers]
    worst, until = 0.0, time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        start = time.perf_counter()
        await asyncio.sleep(0.001)
        worst = max(worst, time.perf_counter() - start - 0.001)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return worst


def main() -> None:
    """Measure and print."""
    import airflow.jobs.triggerer_job_runner  # noqa: F401  what a triggerer has loaded by itself

    from airflow_provider.execution.waiting.trigger import ExecutionTrigger

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)

    command = [sys.executable, "-m", "airflow_provider.emulator"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as emulator:
        try:
            assert emulator.stdout is not None
            line = next(line for line in emulator.stdout if "AIRFLOW_CONN_BUDDY_DEFAULT=" in line)
            os.environ["AIRFLOW_CONN_BUDDY_DEFAULT"] = line.partition("=")[2].strip().strip("'")
            connection = json.loads(os.environ["AIRFLOW_CONN_BUDDY_DEFAULT"])
            control = connection["host"].replace("/buddy/api", "/_emulator")
            script = {"name": "slow", "actions": [{"name": "Build", "seconds": 3600, "log": ["x"] * 20}]}
            pipeline = httpx.post(f"{control}/pipelines", json=script).json()[0]["id"]
            path = f"/workspaces/demo/projects/shop/pipelines/{pipeline}/executions"
            headers = {"authorization": f"Bearer {connection['password']}"}
            for _ in range(TRIGGERS):
                httpx.post(connection["host"] + path, json={"to_revision": {"revision": "HEAD"}}, headers=headers).raise_for_status()
            httpx.post(f"{control}/faults", json={"kind": "latency", "seconds": 0.3, "times": None}).raise_for_status()
            refs = [f"demo/shop/{pipeline}/{number + 1}" for number in range(TRIGGERS)]
            cold = asyncio.run(_measure([ExecutionTrigger(**_kwargs(ref)) for ref in refs]))
            warm = asyncio.run(_measure([ExecutionTrigger(**_kwargs(ref)) for ref in refs]))
            requests = len(httpx.get(f"{control}/ledger").json()) - TRIGGERS
        finally:
            emulator.send_signal(signal.SIGINT)
    Console().print(
        f"Longest stall of the event loop with {TRIGGERS} triggers polling a server that answers in 0.3 s: "
        f"{cold * 1000:.0f} ms when they start for the first time in a process, {warm * 1000:.0f} ms afterwards "
        f"({requests} requests in twice {SECONDS:g} s)."
    )


if __name__ == "__main__":
    main()
