"""How long the event loop stands still while the server of 5,000 waits fails, and how much of that is Python's garbage collector."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import selectors
import socket
import subprocess
import sys
import time
from typing import Any

import anyio
import structlog
from rich.console import Console

from tests.benchmarks.event_loop import _kwargs

WAITS, PIPELINES, SECONDS = 5_000, 1_000, 30.0
_SERVER = r"""
import asyncio

ANSWER = b'HTTP/1.1 500 X\r\nContent-Type: application/json\r\nContent-Length: 36\r\n\r\n{"errors": [{"message": "it broke"}]}'[:-1]

async def serve(reader, writer):
    try:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER)
            await writer.drain()
    except Exception:
        writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""


class _Selector(selectors.DefaultSelector):
    """Notes the CPU time of each turn of the loop: other processes do not count."""

    turns: list[float]
    _since = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if self._since:
            self.turns.append(time.thread_time() - self._since)
        ready = super().select(timeout)
        self._since = time.thread_time()
        return ready


async def _storm(selector: _Selector) -> None:
    from airflow_provider.execution.waiting.trigger import ExecutionTrigger

    anyio.Event()  # loads anyio's backend for asyncio, as the triggerer's own loop has done long before

    async def follow(trigger: Any) -> None:
        async for _ in trigger.run():
            return

    tasks = []
    for number in range(WAITS):
        kwargs = _kwargs(f"demo/shop/{number % PIPELINES + 1}/{number + 1}")
        policy = {**kwargs["policy"], "poll_interval": 10.0, "log_lines": 0}
        tasks.append(asyncio.create_task(follow(ExecutionTrigger(**{**kwargs, "policy": policy}))))
        if number % 50 == 0:
            await asyncio.sleep(0.01)
    selector.turns = []
    await asyncio.sleep(SECONDS)
    turns, selector.turns = selector.turns, []
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    selector.turns = turns


def _measured(port: int) -> tuple[float, float, int]:
    """Longest turn of the loop in seconds of CPU time, the same without the collector, and full collections."""
    os.environ["AIRFLOW_CONN_BUDDY_DEFAULT"] = json.dumps(
        {"conn_type": "buddy", "host": f"http://127.0.0.1:{port}", "password": "benchmark"}
    )
    selector = _Selector()
    selector.turns = []
    collections: list[float] = []
    began = 0.0

    def collected(phase: str, info: dict[str, int]) -> None:
        nonlocal began
        if info["generation"] == 2 and phase == "start":
            began = time.thread_time()
        elif info["generation"] == 2:
            collections.append(time.thread_time() - began)

    gc.callbacks.append(collected)
    loop = asyncio.SelectorEventLoop(selector)
    try:
        loop.run_until_complete(_storm(selector))
    finally:
        gc.callbacks.remove(collected)
        loop.close()
    turns = sorted(selector.turns, reverse=True)
    whole = [turn for turn in turns if not any(abs(turn - seconds) < 0.5 * seconds for seconds in collections)]
    return turns[0], max(whole, default=0.0), len(collections)


def main() -> None:
    """Measure and print."""
    import airflow.jobs.triggerer_job_runner  # noqa: F401  what a triggerer has loaded by itself

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    logging.disable(logging.CRITICAL)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
    with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            failing = int(server.stdout.readline())
            for what, port in (("refuses connections", nobody), ("answers 500", failing)):
                longest, without, full = _measured(port)
                Console().print(
                    f"Longest turn of the event loop with {WAITS:,} waits whose server {what}: {longest * 1000:.0f} ms of CPU time; "
                    f"{without * 1000:.0f} ms without the {full} full collections of Python's garbage collector."
                )
        finally:
            server.kill()


if __name__ == "__main__":
    main()
