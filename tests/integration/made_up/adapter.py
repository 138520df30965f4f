"""Kiln's routes, models, and its executions ("firings") as the mechanism asks for them."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.adapter import ExecutionAdapter
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Flow, Route, send
from airflow_provider.execution.model.snapshot import Cursor, LogLine, Output, Snapshot, Step

PHASES = {
    "cold": Phase.QUEUED, "hot": Phase.RUNNING, "asks": Phase.WAITING, "cooling": Phase.STOPPING, "glazed": Phase.SUCCEEDED,
    "cracked": Phase.FAILED, "chipped": Phase.FAILED, "quenched": Phase.CANCELLED, "overfired": Phase.TIMED_OUT, "unlit": Phase.SKIPPED,
}  # fmt: skip


class Firing(BaseModel):
    id: int
    state: str
    lap: int = 1
    label: str | None = None
    page: str | None = None
    begun: datetime | None = None
    over: datetime | None = None
    asks_for: str | None = None
    parts: list[dict[str, Any]] = []
    results: dict[str, Any] = {}


START: Route[Firing] = Route("POST", "/recipes/{recipe}/firings", Firing)
LIST: Route[list[Firing]] = Route("GET", "/recipes/{recipe}/firings", list[Firing])
READ: Route[Firing] = Route("GET", "/firings/{firing}", Firing)
LOG: Route[list[dict[str, str]]] = Route("GET", "/firings/{firing}/log", list[dict[str, str]])
QUENCH: Route[None] = Route("DELETE", "/firings/{firing}", repeatable=True)
AGAIN: Route[Firing] = Route("POST", "/firings/{firing}/again", Firing)


def parse_ref(ref: object) -> str:
    if not str(ref).isdecimal():
        raise ConfigurationError(f"{str(ref)[:200]!r} is not the ref of a Kiln firing: that is its number.", system="kiln")
    return str(ref)


def snapshot_of(firing: Firing) -> Snapshot:
    return Snapshot(
        ref=str(firing.id), phase=PHASES.get(firing.state, Phase.UNKNOWN), status=firing.state, url=firing.page, run=str(firing.lap),
        started_at=firing.begun, finished_at=firing.over, waiting_for=firing.asks_for,
        steps=[Step(part["name"], part["name"], PHASES.get(part["state"], Phase.UNKNOWN), part["state"], error=part.get("error"),
                    tolerated=part["state"] == "chipped") for part in firing.parts],
        error=next((part["error"] for part in firing.parts if part["state"] == "cracked"), None),
        partial=", ".join(part["name"] for part in firing.parts if firing.state == "glazed" and part["state"] == "chipped") or None,
        outputs={name: Output(value) for name, value in firing.results.items()},
    )  # fmt: skip


class Kiln(ExecutionAdapter):
    name, title = "kiln", "Kiln"

    def read(self, ref: str) -> Flow[Snapshot]:
        return snapshot_of((yield from send(READ(ref=ref, firing=parse_ref(ref)))))

    def details(self, ref: str) -> Flow[Snapshot]:
        snapshot = yield from self.read(ref)
        snapshot.log_tail = [line["text"] for line in (yield from send(LOG(query={"last": 50}, ref=ref, firing=ref)))]
        return snapshot

    def new_lines(self, snapshot: Snapshot, cursor: Cursor, limit: int) -> Flow[list[LogLine]]:
        lines = yield from send(LOG(query={"after": cursor.get("log", 0), "limit": limit}, firing=snapshot.ref))
        cursor["log"] = cursor.get("log", 0) + len(lines)
        return [LogLine(line["part"], line["text"]) for line in lines]

    def cancel(self, ref: str) -> Flow[None]:
        return send(QUENCH(ref=ref, firing=parse_ref(ref)))

    def resume(self, ref: str) -> Flow[Snapshot]:
        return snapshot_of((yield from send(AGAIN(ref=ref, firing=parse_ref(ref)))))
