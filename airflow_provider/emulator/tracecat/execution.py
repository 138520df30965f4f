"""The record of one execution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider.emulator.tracecat.access import Caller
from airflow_provider.emulator.tracecat.scenario import Workflow
from airflow_provider.emulator.tracecat.timeline import Place, Plan, Run, State, Step


@dataclass(eq=False)
class Execution:
    """An execution; everything that changes with time is computed when it is read.

    :ivar id: ``wf_.../exec_...``, or ``wf_.../sch-...``.
    :ivar runs: the first one, and one for each reset.
    :ivar exists_at: epoch seconds from which on it is found; infinity: its start failed.
    :ivar listed_at: epoch seconds from which on lists contain it.
    :ivar started_by: who started it.
    :ivar time_anchor: epoch microseconds of the workflow's logical start.
    :ivar parent: its parent execution.
    :ivar children: its child executions by run, place and item.
    """

    id: str
    workflow: Workflow
    plan: Plan
    runs: list[Run]
    exists_at: float
    listed_at: float
    started_by: Caller
    time_anchor: int
    _read: Callable[[Execution, Run], State] = field(repr=False)
    trigger_type: str = "manual"
    execution_type: str = "published"
    parent: Execution | None = None
    children: dict[tuple[str, Place, int], Execution] = field(default_factory=dict)
    deleted: bool = False

    @property
    def ref(self) -> str:
        """Its id."""
        return self.id

    @property
    def run(self) -> Run:
        """The latest run."""
        return self.runs[-1]

    @property
    def run_id(self) -> str:
        """Id of the latest run."""
        return self.run.id

    @property
    def inputs(self) -> Any:
        """What it was started with."""
        return self.plan.inputs

    @property
    def workspace(self) -> str:
        """Id of its workspace."""
        return self.workflow.workspace or ""

    @property
    def state(self) -> State:
        """The current state of its latest run."""
        return self._read(self, self.run)

    def state_of(self, run: Run) -> State:
        """Return the current state of one of its runs."""
        return self._read(self, run)

    @property
    def status(self) -> str:
        """The vendor's status now."""
        return self.state.status

    @property
    def steps(self) -> list[Step]:
        """Its actions that are scheduled by now."""
        return [step for step in self.state.steps if step.scheduled]
