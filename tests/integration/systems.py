"""How the behaviour suite plays each system: adding a system to the suite means adding its adapter here."""

from __future__ import annotations

import json
from typing import Any

from airflow.sdk import BaseOperator

from airflow_provider.buddy.operators import BuddyRunPipelineOperator
from airflow_provider.buddy.sensors import BuddyExecutionSensor
from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Gate, Pipeline


class BuddySystem:
    """Buddy, on the emulator."""

    name = "buddy"
    title = "Buddy"
    conn_id = "buddy_default"
    execution_path = r"/executions/\d+$"

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.buddy = emulator.buddy

    @property
    def connections(self) -> dict[str, dict[str, Any]]:
        fields = json.loads(self.buddy.connection_json())
        return {self.conn_id: {**fields, "extra": json.dumps(fields["extra"])}}

    def script(self, kind: str, seconds: float = 0.3) -> Pipeline:
        """A pipeline whose runs end in the way that ``kind`` says."""
        build = Action("Build", seconds=seconds, log=["compiling", "linking"], outputs={"IMAGE": "shop:1.2.3"})
        deploy = Action("Deploy", seconds=0.05, log=["deploying"], outputs={"URL": "https://shop.example"})
        broken = Action("Test", seconds=seconds, log=["collecting", "assert 1 == 2"], status="FAILED", error_message="1 test failed")
        tolerated = Action("Lint", seconds=0.05, log=["too long"], status="FAILED", ignore_errors=True)
        scripts: dict[str, Pipeline] = {
            "succeeded": Pipeline("p", actions=[build, deploy]),
            "slow": Pipeline("p", actions=[Action("Build", seconds=60, log=["compiling"] * 5)]),
            "partial": Pipeline("p", actions=[build, tolerated]),
            "failed": Pipeline("p", actions=[build, broken, deploy]),
            "skipped": Pipeline("p", actions=[build], final_status="SKIPPED"),
            "not_executed": Pipeline("p", actions=[build], final_status="NOT_EXECUTED"),
            "unknown": Pipeline("p", actions=[build], final_status="HIBERNATING"),
            "gate": Pipeline("p", actions=[build, Gate("Approve", comment="ship it?"), deploy]),
            "gate_approved": Pipeline("p", actions=[Gate("Approve", auto_after=seconds), deploy]),
            "fails_once": Pipeline("p", actions=[Action("Build", seconds=seconds, status=["FAILED", "SUCCESSFUL"], log=["building"])]),
            "fails_then_slow": Pipeline(
                "p",
                actions=[Action("Build", seconds=seconds, status=["FAILED", "SUCCESSFUL"], log=["x"]), Action("Deploy", seconds=60)],
            ),
            "lagging": Pipeline(
                "p", actions=[Action("Build", seconds=seconds, outputs={"IMAGE": "late:1"}, outputs_lag=1.5, log_lag=1.5, log=["late"])]
            ),
            "secret": Pipeline(
                "p",
                actions=[
                    Action("Build", seconds=seconds, outputs={"IMAGE": "i", "DEPLOY_TOKEN": "tok-canary"}, encrypted_outputs=["CIPHER"])
                ],
            ),
        }
        return self.buddy.add_pipeline(scripts[kind])

    def operator(self, pipeline: Pipeline, **arguments: Any) -> BaseOperator:
        return BuddyRunPipelineOperator(task_id="task", **{"pipeline": pipeline.id, "poll_interval": 0.05, **arguments})

    def sensor(self, ref: str, **arguments: Any) -> BaseOperator:
        return BuddyExecutionSensor(task_id="task", **{"ref": ref, "poke_interval": 0.05, **arguments})

    def start_elsewhere(self, pipeline: Pipeline) -> str:
        """Somebody else starts an execution; its ref."""
        return str(self.buddy.add_execution(pipeline, started_by="Mike").ref)

    @property
    def refs(self) -> list[str]:
        return [execution.ref for execution in self.buddy.executions]

    def status(self, ref: str) -> str:
        return next(str(execution.status) for execution in self.buddy.executions if execution.ref == ref)

    @property
    def starts(self) -> int:
        """Start requests that the system accepted."""
        return self.emulator.ledger.count(method="POST", path_re=r"/executions$")

    @property
    def cancels(self) -> int:
        return len([entry for entry in self.emulator.ledger.entries if entry.method == "PATCH" and b"CANCEL" in _bytes(entry.body)])


def _bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()
