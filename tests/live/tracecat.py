"""How the behaviour suite plays a Tracecat that it knows by its API only."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from airflow.sdk import BaseOperator

from airflow_provider.emulator import Fault
from airflow_provider.tracecat.operators import TracecatRunWorkflowOperator
from airflow_provider.tracecat.sensors import TracecatExecutionSensor
from tests.integration.systems import Adapter, Look, TracecatSystem
from tests.live.people import Person, action, in_path
from tests.live.proxy import Proxy
from tests.live.settings import TracecatServer

LONG = 600.0
"""Seconds that an execution runs which is not to end: it is stopped when its test is over."""
MENDED_AFTER = 15.0
"""Seconds after which an action that fails at first would succeed. Until then the first run must have come to it."""
REQUIRE = "core.require"


@dataclass(frozen=True)
class Made:
    """A workflow that a test has made."""

    id: str


def _row(name: str, kind: str, status: str, more: str = "") -> str:
    return rf"\[{name}\] {kind.replace('.', '[.]')} {status}( after [\d.]+ s)?{more}"


RESHAPED = "core.transform.reshape"
BROKEN = r".*must evaluate to true.*"


class LiveTracecat(TracecatSystem):
    """A Tracecat behind the proxy."""

    statuses = {phase: status for phase, status in TracecatSystem.statuses.items() if phase not in ("WAITING", "TIMED_OUT")}
    lacks = {
        **TracecatSystem.lacks,
        "timed_out": "a limit counts only if a setting of the workspace says so, which is off by default",
        "gate": "an interaction takes an account at Slack, and a setting of the organization",
        "gate_approved": "an interaction takes an account at Slack, and a setting of the organization",
        "hostile": "no built-in action fails with a text that one gives it",
    }
    looks = {
        "succeeded": Look(
            [("build", "SUCCEEDED"), ("deploy", "SUCCEEDED")], [_row(ref, RESHAPED, "COMPLETED") for ref in ("build", "deploy")]
        ),
        "slow": Look(tail=[r"core\.transform\.reshape COMPLETED"]),
        "partial": Look([("build", "SUCCEEDED"), ("lint", "FAILED"), ("notify", "SUCCEEDED")], says=["lint"]),
        "failed": Look(
            [("build", "SUCCEEDED"), ("test", "FAILED")],
            [_row("build", RESHAPED, "COMPLETED"), _row("test", REQUIRE, "FAILED", f": {BROKEN}")],
            ["FAILED", "'test'", "must evaluate to true"],
            BROKEN,
        ),
        "cancelled": Look(),
    }

    def __init__(self, proxy: Proxy, server: TracecatServer, person: Person) -> None:
        Adapter.__init__(self, proxy)
        self.proxy = proxy
        self.server = server
        self.person = person
        self.made: list[str] = []
        self.asked_to_stop: set[str] = set()
        self.credential = server.key or server.password

    @property
    def connections(self) -> dict[str, dict[str, Any]]:
        extra = json.dumps({"workspace_id": self.server.workspace})
        return {self.conn_id: {"conn_type": "tracecat", "host": self.proxy.address, "extra": extra, **self.server.credentials}}

    def _script(self, kind: str, seconds: float, **given: Any) -> Any:
        build = action("build", value="shop:1.2.3")
        deploy = action(
            "deploy", after=["build"], delay=LONG if kind in ("slow", "fails_then_slow") else seconds, value="https://shop.example"
        )
        at_first = f"${{{{ FN.to_timestamp(FN.wall_clock()) > {int(time.time() + MENDED_AFTER)} }}}}"
        returns: Any = {"IMAGE": "shop:1.2.3"}
        actions = [build, deploy]
        match kind:
            case "succeeded" | "slow" | "unknown":
                returns = {"IMAGE": "${{ ACTIONS.build.result }}", "URL": "${{ ACTIONS.deploy.result }}"}
                if kind == "unknown":
                    body = {"id": "wf_x/exec_x", "run_id": "r", "status": "HIBERNATING", "events": []}
                    self.fault("body", "read", body=body, times=None)
            case "partial":
                lint = action("lint", REQUIRE, after=["build"], conditions=[False])
                actions = [build, lint, action("notify", after=["lint.error"], value="too long")]
            case "failed":
                actions = [
                    build,
                    action("test", REQUIRE, after=["build"], delay=seconds, conditions=[False]),
                    {**deploy, "depends_on": ["test"]},
                ]
            case "fails_once":
                actions = [action("build", REQUIRE, delay=seconds, conditions=[at_first])]
            case "fails_then_slow":
                actions = [action("build", REQUIRE, conditions=[at_first]), deploy]
            case "outputs":
                actions, returns = [build], given["outputs"]
        if kind.startswith("fails_"):  # it is run again once it can succeed
            self.fault("latency", "resume", seconds=MENDED_AFTER, times=None)
        self.made.append(self.person.make(kind, actions, returns))
        return Made(self.made[-1])

    def operator(self, script: Any, **arguments: Any) -> BaseOperator:
        return TracecatRunWorkflowOperator(task_id="task", **{"workflow": script.id, "poll_interval": 0.3, **self.more, **arguments})

    def sensor(self, ref: str, **arguments: Any) -> BaseOperator:
        return TracecatExecutionSensor(task_id="task", **{"ref": ref, "poke_interval": 0.3, **arguments})

    def start_elsewhere(self, script: Any) -> str:
        self.proxy.started.append(self.person.start(script.id))
        return self.proxy.started[-1]

    @property
    def refs(self) -> list[str]:
        """Those that were started, at once, and whatever else the list shows by now."""
        listed = [str(row["id"]) for workflow in self.made for row in self.person.list(workflow)]
        return list(dict.fromkeys([*self.proxy.started, *listed]))

    def status(self, ref: str) -> str:
        """Of one that was asked to stop: once it has."""
        cancels = self.emulator.ledger.select("POST", rf"{in_path(ref)}/cancel$")
        under_way = any(entry.status == 204 or (entry.status is None and entry.fault in (None, "latency")) for entry in cancels)
        return str((self.person.settled if under_way or ref in self.asked_to_stop else self.person.look)(ref)["status"])

    def check_note(self, ref: str) -> None:
        rows = {row["action_ref"]: row for row in self.person.look(ref)["events"]}
        inputs = dict(rows["__workflow_trigger__"]["action_input"])
        assert inputs.pop("note") == "nightly"
        assert [(name, value.partition("-")[0]) for name, value in inputs.items()] == ([("marker", "airflow")] if self.more else [])

    def cancel(self, ref: str) -> None:
        self.person.cancel(ref)
        self.asked_to_stop.add(ref)

    def revive(self, ref: str) -> None:
        time.sleep(MENDED_AFTER)
        self.person.reset(ref)

    def fault(self, kind: str, at: str | None, **parameters: Any) -> Fault:
        """All requests but the login, which is refused in another way."""
        if at is None:
            return self.emulator.faults.add(Fault(kind, path=r"^(?!.*/auth/login$)", **parameters))
        return super().fault(kind, at, **parameters)

    def list_lags(self, seconds: float) -> None:
        """It lags as it does."""

    def use_credential(self) -> None:
        """It is in use."""

    def delete(self, ref: str) -> None:
        raise AssertionError("the API deletes no execution: this test is for the emulator")

    def clean_up(self) -> None:
        """Remove all that was made, also after an error."""
        problems: list[str] = []
        for workflow in self.made:
            try:
                self.person.remove(workflow, self.proxy.started)
            except Exception as error:
                problems.append(f"{workflow}: {error!r}")
        assert not problems, problems
