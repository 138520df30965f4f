"""The record of one run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider.emulator.buddy.run_request import RunRequest
from airflow_provider.emulator.buddy.scenario import Pipeline
from airflow_provider.emulator.buddy.timeline import Attempt, Person, Plan, State, Step


@dataclass(eq=False)
class Execution:
    """A run; everything that changes with time is computed when it is read.

    :ivar id: number within the pipeline.
    :ivar hex_id: the 24 hex digits that only ``html_url`` contains.
    :ivar creator: who started it.
    :ivar request: the request that started it.
    """

    id: int
    hex_id: str
    pipeline: Pipeline
    creator: Person
    request: RunRequest
    plan: Plan
    attempts: list[Attempt]
    _read: Callable[[Execution], State] = field(repr=False)
    triggered_on: str = "CLICK"
    deleted: bool = False

    @property
    def workspace(self) -> str:
        """Handle of the workspace."""
        return self.pipeline.workspace

    @property
    def project(self) -> str:
        """Handle of the project."""
        return self.pipeline.project

    @property
    def ref(self) -> str:
        """``workspace/project/pipeline id/id``."""
        return f"{self.workspace}/{self.project}/{self.pipeline.id}/{self.id}"

    @property
    def comment(self) -> str | None:
        """The comment of the request."""
        return self.request.comment

    @property
    def variables(self) -> dict[str, str]:
        """Name to value of the variables passed with the run and at its gates."""
        passed = list(self.request.variables)
        for attempt in self.attempts:
            for act in attempt.acts:
                passed += act.variables
        return {str(variable["key"]): str(variable.get("value", "")) for variable in passed}

    @property
    def request_body(self) -> Mapping[str, Any]:
        """The body of the request that started it; empty if it was started otherwise."""
        return self.request.raw

    @property
    def state(self) -> State:
        """Its current state."""
        return self._read(self)

    @property
    def status(self) -> str:
        """The vendor's status now; a gate shows as ``WAITING_...`` regardless of the option ``gate_in``."""
        return self.state.status

    @property
    def action_executions(self) -> list[Step]:
        """Its steps now, in the order of the script."""
        return self.state.steps
