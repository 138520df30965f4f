"""What a person does in Tracecat, by its API, past the proxy: make a workflow, start it, stop it, reset it, remove it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import httpx

from tests.live.settings import TracecatServer

PATIENCE = 60.0
"""Seconds within which a server shows what it has accepted."""
LOOKS = 0.2
"""Seconds between two looks."""
TITLE = "airflow-provider live test"
"""What the titles of all workflows that the tests make begin with."""


def action(
    ref: str, kind: str = "core.transform.reshape", after: Sequence[str] = (), delay: float = 0.0, **arguments: Any
) -> dict[str, Any]:
    """One action of a definition."""
    return {"ref": ref, "action": kind, "args": arguments, "depends_on": list(after), "start_delay": delay}


class Person:
    """Somebody who works with Tracecat."""

    def __init__(self, server: TracecatServer) -> None:
        self.http = httpx.Client(base_url=server.url, timeout=PATIENCE)
        self._workspace = f"/workspaces/{server.workspace}"
        if server.key:
            self.http.headers["authorization"] = f"Bearer {server.key}"
        else:
            form = {"username": server.login, "password": server.password}
            self.http.post("/auth/login", data=form).raise_for_status()

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request below the workspace; an error is one of the test."""
        answer = self.http.request(method, self._workspace + path, **options)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        return answer

    def make(self, kind: str, actions: Sequence[dict[str, Any]], returns: Any) -> str:
        """Make a workflow and publish it; its id."""
        named = {"title": f"{TITLE}: {kind}", "description": "Made by a test, which removes it.", "entrypoint": {"ref": actions[0]["ref"]}}
        content = json.dumps({"definition": {**named, "actions": list(actions), "returns": returns}})
        workflow = str(self.ask("POST", "/workflows", files={"file": ("workflow.json", content, "application/json")}).json()["id"])
        committed = self.ask("POST", f"/workflows/{workflow}/commit").json()
        assert committed["status"] == "success", committed
        return workflow

    def remove(self, workflow: str, known: Sequence[str] = ()) -> None:
        """Stop what runs of a workflow, also what is known and not listed yet, and remove it."""
        listed = {str(row["id"]) for row in self.list(workflow)}
        for execution in listed | {ref for ref in known if ref.startswith(workflow + "/")}:
            if self.look(execution)["status"] == "RUNNING":
                self.ask("POST", f"{_execution(execution)}/terminate", json={"reason": "a test has ended"})
        self.ask("DELETE", f"/workflows/{workflow}")

    def list(self, workflow: str) -> list[dict[str, Any]]:
        """The executions of a workflow that the list shows by now, oldest first."""
        rows: list[dict[str, Any]] = self.ask("GET", "/workflow-executions", params={"workflow_id": workflow, "limit": 100}).json()
        return sorted(rows, key=lambda row: str(row["start_time"]))

    def start(self, workflow: str) -> str:
        """Start an execution, and wait until it is there; its id."""
        started = self.ask("POST", "/workflow-executions", json={"workflow_id": workflow, "inputs": None})
        execution = str(started.json()["wf_exec_id"])
        self.look(execution)
        return execution

    def look(self, execution: str) -> dict[str, Any]:
        """An execution, which may not be there at once."""
        until = time.monotonic() + PATIENCE
        while True:
            answer = self.http.get(f"{self._workspace}{_execution(execution)}/compact")
            if answer.status_code != 404 or time.monotonic() > until:
                assert answer.is_success, f"{execution}: {answer.status_code} {answer.text[:500]}"
                seen: dict[str, Any] = answer.json()
                return seen
            time.sleep(LOOKS)

    def settled(self, execution: str) -> dict[str, Any]:
        """An execution that was asked to stop, once it has."""
        until = time.monotonic() + PATIENCE
        while (seen := self.look(execution))["status"] == "RUNNING" and time.monotonic() < until:
            time.sleep(LOOKS)
        return seen

    def cancel(self, execution: str) -> None:
        """Ask it to stop."""
        self.look(execution)
        self.ask("POST", f"{_execution(execution)}/cancel")

    def reset(self, execution: str) -> None:
        """Run it again in place, from its start."""
        self.ask("POST", f"{_execution(execution)}/reset", json={"reason": "a test"})

    def close(self) -> None:
        """Close its connections."""
        self.http.close()


def _execution(execution: str) -> str:
    return "/workflow-executions/" + in_path(execution)


def in_path(execution: str) -> str:
    """An execution's id as it stands in a path: encoded twice."""
    return quote(quote(execution, safe=""), safe="")
