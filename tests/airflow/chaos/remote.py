"""The emulator of all three systems in a process of its own, driven over HTTP. Its ledger outlives all that happens to Airflow."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.airflow.chaos.component import Component
from tests.ports import free_ports

SCENARIO = Path(__file__).resolve().parent / "scenario.yaml"
STARTS = {"buddy": r"/executions$", "tracecat": r"/workflow-executions$", "alga_psa": r"/execute$"}
CANCELS = {"buddy": ("PATCH", r"/executions/\d+$"), "tracecat": ("POST", r"/workflow-executions/[^/]+/(cancel|terminate)$")}
SUCCEEDED = {"SUCCESSFUL", "COMPLETED", "completed"}
FAILED = {"FAILED", "failed"}
CANCELLED = {"TERMINATED", "CANCELED", "cancelled"}


@dataclass(frozen=True)
class Execution:
    """An execution, and the task that started it, as it handed its name over."""

    system: str
    ref: str
    task: str
    status: str

    @property
    def active(self) -> bool:
        """Whether it goes on."""
        return self.status not in SUCCEEDED | FAILED | CANCELLED


@dataclass(frozen=True)
class Request:
    """A start or a cancel request that the emulator got. ``subject``: the task that starts, the ref that is cancelled."""

    system: str
    subject: str
    status: int | None
    fault: str | None

    @property
    def accepted(self) -> bool:
        """Whether it took effect."""
        return self.status is not None and self.status < 300

    @property
    def held(self) -> bool:
        """Whether it took effect and its answer is held back."""
        return self.status is None and self.fault == "latency"


class Remote:
    """
    The emulator.

    :param folder: gets its output.
    """

    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        command = [sys.executable, "-m", "airflow_provider.emulator", "--port", str(port), "--scenario", SCENARIO]
        environment = {"PYTHONPATH": str(SCENARIO.parents[3]), "PYTHONUNBUFFERED": "1"}
        self.component = Component("emulator", command, environment=environment, output=folder / "emulator.log")
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}/_emulator", timeout=60.0, trust_env=False)

    def start(self) -> dict[str, str]:
        """Start, and return connection id to connection."""
        self.component.start()
        self.component.await_ready(lambda: "Stop it" in self.component.output.read_text())
        exports = re.findall(r"^export AIRFLOW_CONN_(\w+)=(.*)$", self.component.output.read_text(), re.MULTILINE)
        return {name.lower(): shlex.split(value)[0] for name, value in exports}

    def stop(self) -> None:
        """End it."""
        self._client.close()
        self.component.kill()

    def executions(self) -> list[Execution]:
        """All executions."""
        return [Execution(one["system"], one["ref"], _name(one), one["status"]) for one in self._get("executions")]

    def starts(self) -> list[Request]:
        """All start requests, as they came."""
        return [
            Request(entry["system"], _name(json.loads(entry["body"])), entry["status"], entry["fault"])
            for entry in self._get("ledger")
            if entry["method"] == "POST" and re.search(STARTS.get(entry["system"], "$^"), entry["path"])
        ]

    def cancels(self) -> list[Request]:
        """All cancel requests, as they came; the subject is the end of the path of the execution."""
        found = []
        for entry in self._get("ledger"):
            method, path = CANCELS.get(entry["system"], ("", "$^"))
            if entry["method"] == method and re.search(path, entry["path"]):
                found.append(Request(entry["system"], entry["path"], entry["status"], entry["fault"]))
        return found

    def hold_answers(self, seconds: float) -> None:
        """Let start requests take effect, and answer them ``seconds`` later; until :meth:`behave`."""
        for path in STARTS.values():
            self._post("faults", {"kind": "latency", "method": "POST", "path": path, "seconds": seconds, "effect": True, "times": None})

    def go_away(self) -> None:
        """Close every connection without an answer, and do nothing; until :meth:`behave`."""
        self._post("faults", {"kind": "drop_before", "times": None})

    def behave(self) -> None:
        """No faults any more; answers that are held back already stay so."""
        self._client.delete("/faults").raise_for_status()

    def fail(self, execution: Execution) -> bool:
        """Let an execution fail, and tell whether it did: it may have ended by itself meanwhile."""
        status = "failed" if execution.system == "alga_psa" else "FAILED"
        act = {"system": execution.system, "act": "finish", "ref": execution.ref, "status": status}
        return self._client.post("/acts", json=act).is_success

    def _get(self, path: str) -> Any:
        return self._client.get(f"/{path}").raise_for_status().json()

    def _post(self, path: str, body: Mapping[str, Any]) -> None:
        self._client.post(f"/{path}", json=body).raise_for_status()


def _name(of: Mapping[str, Any]) -> str:
    """The task's name, in an execution as in the body of a start request."""
    for key in ("variables", "inputs", "trigger_data", "execution_data"):
        held = of.get(key)
        if isinstance(held, list):
            held = {item["key"]: item["value"] for item in held}
        if isinstance(held, Mapping) and "TASK" in held:
            return str(held["TASK"])
    return ""
