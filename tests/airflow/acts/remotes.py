"""The systems of the emulator, as tests of a real Airflow see them: scripts by name, the executions of each, and what was asked of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

from airflow_provider.emulator import Emulator, Fault, LedgerEntry, alga_psa, buddy, tracecat
from tests.integration.systems import SYSTEMS


class Remote:
    """One system; its ledger is raw."""

    name: ClassVar[str]
    cancel_route: ClassVar[tuple[str, str] | None]
    """Method, and pattern of the path."""

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.system: Any = emulator.systems[self.name]
        self.scripts: dict[str, Any] = {}

    @property
    def can_cancel(self) -> bool:
        return self.cancel_route is not None

    def status(self, phase: str) -> str:
        """The system's word for a phase."""
        return SYSTEMS[self.name].statuses[phase]

    def slow_cancels(self, seconds: float) -> None:
        """Let the answer to each cancel request take a while."""
        if self.cancel_route is not None:
            method, path = self.cancel_route
            self.emulator.faults.add(Fault("latency", method=method, path=path, seconds=seconds, times=None))

    def add(self, name: str, seconds: float = math.inf, *, fails: bool = False) -> None:
        """A script; it runs until somebody ends it, or for some seconds."""
        raise NotImplementedError

    def executions(self, script: str) -> Sequence[Any]:
        """Of a script, the oldest first."""
        raise NotImplementedError

    def reads(self, execution: Any) -> int:
        """How often it was asked how it goes."""
        return self.emulator.ledger.count("GET", f"{execution.ref.rpartition('/')[2]}(/compact)?$", system=self.name)

    def starts(self, script: str) -> int:
        """Start requests that arrived."""
        raise NotImplementedError

    def cancels(self, execution: Any) -> int:
        """Cancel requests that arrived."""
        raise NotImplementedError

    def finish(self, script: str) -> None:
        """Let what still runs succeed."""
        for execution in self.executions(script):
            self.finish_one(execution)

    def finish_one(self, execution: Any) -> None:
        """Let it succeed, if it still runs."""
        if not self.over(execution):
            self.system.finish(execution)

    def over(self, execution: Any) -> bool:
        return execution.status not in (self.status("RUNNING"), SYSTEMS[self.name].statuses.get("WAITING"))

    def _posts(self, path: str) -> list[LedgerEntry]:
        return self.emulator.ledger.select("POST", path, system=self.name)


class Buddy(Remote):
    name = "buddy"
    cancel_route = ("PATCH", r"/executions/\d+$")

    def add(self, name: str, seconds: float = math.inf, *, fails: bool = False) -> None:
        end = "FAILED" if fails else "SUCCESSFUL"
        actions = [buddy.Action("Checkout", seconds=0.1, log=["checked out"]), buddy.Action("Build", seconds=seconds, status=end)]
        self.add_pipeline(name, *actions)

    def add_pipeline(self, name: str, *actions: buddy.Action | buddy.Gate) -> None:
        self.scripts[name] = self.system.add_pipeline(buddy.Pipeline(name, actions=actions))

    def executions(self, script: str) -> Sequence[Any]:
        return list(self.system.executions_of(self.scripts[script]))

    def reads(self, execution: Any) -> int:
        return self.emulator.ledger.count("GET", f"/pipelines/{execution.pipeline.id}/executions/{execution.id}$", system=self.name)

    def starts(self, script: str) -> int:
        return len(self._posts(f"/pipelines/{self.scripts[script].id}/executions$"))

    def cancels(self, execution: Any) -> int:
        path = f"/pipelines/{execution.pipeline.id}/executions/{execution.id}$"
        return self.emulator.ledger.count("PATCH", path, system=self.name)


class Tracecat(Remote):
    name = "tracecat"
    cancel_route = ("POST", "/cancel$")

    def add(self, name: str, seconds: float = math.inf, *, fails: bool = False) -> None:
        action = tracecat.Action("build", seconds=seconds, error="it broke" if fails else None)
        self.scripts[name] = self.system.add_workflow(tracecat.Workflow(name, name, actions=[action]))

    def executions(self, script: str) -> Sequence[Any]:
        return [one for one in self.system.executions if one.workflow.id == self.scripts[script].id]

    def starts(self, script: str) -> int:
        asked = [entry.json["workflow_id"] for entry in self._posts("/workflow-executions$")]
        return sum(self.system.find_workflow(one).id == self.scripts[script].id for one in asked)

    def cancels(self, execution: Any) -> int:
        return len(self._posts(f"{execution.ref.rpartition('/')[2]}/(cancel|terminate)$"))


class AlgaPsa(Remote):
    name = "alga_psa"
    cancel_route = None

    def add(self, name: str, seconds: float = math.inf, *, fails: bool = False) -> None:
        action = alga_psa.Action(seconds=seconds, log=["began"], error="it broke" if fails else None)
        self.scripts[name] = self.system.add_rule(alga_psa.Rule(name, [action], max_concurrent_executions=10))

    def executions(self, script: str) -> Sequence[Any]:
        return list(self.system.executions_of(self.scripts[script]))

    def starts(self, script: str) -> int:
        return len(self._posts(f"/rules/{self.scripts[script].id}/execute$"))

    def cancels(self, execution: Any) -> int:
        """There is no route for it; so whatever else was sent about it."""
        return len(self._posts(f"/executions/{execution.ref}/"))


REMOTES: dict[str, type[Remote]] = {remote.name: remote for remote in (Buddy, Tracecat, AlgaPsa)}
