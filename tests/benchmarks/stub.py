"""
The server of all benchmarks: answers that were made beforehand, from raw asyncio, so that what is measured is the client.

The three APIs' answers are taken from the emulator once, and given for every id; nothing ever ends. ``/load`` tells how many requests came,
and what they cost the server.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import httpx

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Pipeline

LOG_LINES_PER_SECOND = 2
LOG = b"2026-01-01T10:00:00Z [INFO] compiling module %d of the shop, with all that it takes to do so\n"
LONG_LOG = 999
"""Pipeline whose logs lie behind an address: of as many MiB as the execution's number says."""
NOT_FOUND = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
TRACECAT_WORKSPACE = "5c9f2f3e-7a41-4d0e-9b58-1f6a3c2e8d70"


def tracecat_ref(number: int) -> str:
    return f"wf_6TPPod2HG0dEVnC3qy1sJ7/exec_{number:022d}"


def alga_psa_ref(number: int) -> str:
    return f"{number:08x}-0ea1-473e-9050-54c4489f830b"


class Stub:
    """
    :param waits: executions that there are.
    :param pipelines: how many Buddy pipelines share them.
    """

    def __init__(self, waits: int, pipelines: int) -> None:
        self.waits, self.each = waits, waits // pipelines
        self.requests = 0
        self.url = ""
        self.began = time.monotonic()
        with Emulator() as emulator:
            emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", seconds=3_600)]))
            buddy = httpx.Client(base_url=f"{emulator.url}/buddy/api", headers={"authorization": "Bearer emulator-token"})
            path = "/workspaces/demo/projects/shop/pipelines/1/executions"
            buddy.post(path, json={"to_revision": {"revision": "HEAD"}}).raise_for_status()
            self.execution = buddy.get(f"{path}/1").json()
            self.summary = buddy.get(path).json()["executions"][0]
        self.moment = "2026-01-01T10:00:00Z"
        self.block = (b"".join(LOG % n for n in range(12_000)))[: 1024 * 1024]

    def buddy(self, parts: list[str], query: dict[str, str]) -> Any:
        if len(parts) == 7:  # the list of a pipeline
            page, size = int(query["page"]), int(query["per_page"])
            ids = range(1, self.each + 1)[(page - 1) * size : page * size]
            return {"total_page_count": -(-self.each // size), "executions": [{**self.summary, "id": number} for number in ids]}
        if parts[5] == str(LONG_LOG):
            return (
                {"action_execution_id": parts[-1], "status": "SUCCESSFUL", "log_url": f"{self.url}/log/{parts[7]}"}
                if parts[-1] != "logs"
                else None
            )
        if parts[-1] == "logs":
            offset, limit = int(query["offset"]), int(query["limit"])
            total = int((time.monotonic() - self.began) * LOG_LINES_PER_SECOND)
            lines = [(LOG % n).decode().rstrip() for n in range(offset, min(total, offset + limit))]
            return {"offset": offset, "logs": lines, "total_element_count": total}
        return {**self.execution, "id": int(parts[7])}

    def tracecat(self, parts: list[str], query: dict[str, str]) -> Any:
        state = {"run_id": "r", "start_time": self.moment, "status": "RUNNING", "workflow_type": "DSLWorkflow", "history_length": 6}
        if parts[-1] == "search":
            start, size = int(query.get("cursor", 0)), int(query["limit"])
            numbers = range(self.waits)[start : start + size]
            more = start + size < self.waits
            items = [{"id": tracecat_ref(number), "workflow_title": "w", **state} for number in numbers]
            return {"items": items, "next_cursor": str(start + size) if more else None, "has_more": more}
        return {"id": parts[-2], **state, "events": [], "interactions": []} if parts[-1] == "compact" else {"public_app_url": "http://x"}

    def alga_psa(self, parts: list[str], query: dict[str, str]) -> Any:
        def execution(ref: str) -> dict[str, Any]:
            counts = {"actions_total": 1, "actions_successful": 0, "actions_failed": 0}
            return {
                "execution_id": ref, "automation_rule_id": alga_psa_ref(0), "status": "running", "started_at": self.moment, **counts,
                "trigger_data": {}, "execution_context": {}, "logs": [{"timestamp": self.moment, "level": "info", "message": "compiling"}],
            }  # fmt: skip

        if parts[-1] != "executions":
            return {"data": execution(parts[-1])}
        page, size = int(query["page"]), int(query["limit"])
        there = range(self.waits) if query["status"] == "running" else range(0)
        numbers = there[(page - 1) * size : page * size]
        return {"data": [execution(alga_psa_ref(n)) for n in numbers], "pagination": {"page": page, "hasNext": page * size < len(there)}}

    def peers(self, parts: list[str], query: dict[str, str]) -> Any:
        if "accounts" in parts:
            return {"data": {"id": 1, "status": 3}}
        if "runs" in parts:
            return {"run_id": 1, "state": {"life_cycle_state": "RUNNING", "state_message": ""}, "run_page_url": "http://x"}
        return {"jobId": 1, "status": "running", "jobType": "sync", "startTime": self.moment, "connectionId": "c"}

    @cache  # noqa: B019
    def made(self, target: str) -> bytes:
        url = urlsplit(target)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if parts[0] == "nothing":
            return NOT_FOUND
        find = {"buddy": self.buddy, "tracecat": self.tracecat, "alga_psa": self.alga_psa}.get(parts[0], self.peers)
        found = find(parts[1:] if find != self.peers else parts, query)
        return _answer(json.dumps(found).encode()) if found is not None else NOT_FOUND

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                target = head.split(b" ", 2)[1].decode()
                if length := next((line[15:] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), b""):
                    await reader.readexactly(int(length))
                if target == "/load":
                    writer.write(_answer(json.dumps([self.requests, time.process_time()]).encode()))
                elif target.startswith("/log/"):
                    await self.send_log(writer, head, int(target[5:]) * 1024 * 1024)
                elif "/logs?" in target and f"/pipelines/{LONG_LOG}/" not in target:
                    self.requests += 1
                    writer.write(Stub.made.__wrapped__(self, target))
                else:
                    self.requests += 1
                    writer.write(self.made(target))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def send_log(self, writer: asyncio.StreamWriter, head: bytes, size: int) -> None:
        """A long log; it repeats itself, so that a part can begin anywhere."""
        start, end = 0, size
        status = "200 OK"
        if asked := next((line for line in head.lower().split(b"\r\n") if line.startswith(b"range:")), b""):
            first, last = asked.partition(b"=")[2].split(b"-")
            start, end = min(int(first), size), min(int(last) + 1, size)
            status = "206 Partial Content" if start < size else "416 Range Not Satisfiable"
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {end - start}\r\n\r\n".encode())
        while start < end:
            at = start % len(self.block)
            piece = self.block[at : at + min(end - start, 256 * 1024)]
            writer.write(piece)
            start += len(piece)
            await writer.drain()


def _answer(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


async def main() -> None:
    stub = Stub(*map(int, sys.argv[1:]))
    server = await asyncio.start_server(stub.serve, "127.0.0.1", 0, backlog=8192)
    port = server.sockets[0].getsockname()[1]
    stub.url = f"http://127.0.0.1:{port}"
    print("port", port, flush=True)
    await server.serve_forever()


@contextmanager
def running(waits: int, pipelines: int) -> Iterator[str]:
    """The stub, in a process of its own; its address."""
    command = [sys.executable, "-m", "tests.benchmarks.stub", str(waits), str(pipelines)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            assert process.stdout is not None
            port = next(line.split()[1] for line in process.stdout if line.startswith("port "))
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


if __name__ == "__main__":
    asyncio.run(main())
