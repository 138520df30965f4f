"""The record of one execution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_provider.emulator.alga_psa.scenario import Rule
from airflow_provider.emulator.alga_psa.timeline import Attempt, Plan, State


@dataclass(eq=False)
class Execution:
    """An execution; everything that changes with time is computed when it is read.

    :ivar id: a UUID; a retry keeps it.
    :ivar rule: its rule, which may have been changed or deleted since.
    :ivar request_body: body of the request that started it; empty if it was started otherwise.
    """

    id: str
    rule: Rule
    plan: Plan
    attempts: list[Attempt]
    created_at: float
    _read: Callable[[Execution], State] = field(repr=False)
    request_body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ref(self) -> str:
        """Its id."""
        return self.id

    @property
    def rule_id(self) -> str:
        """Id of its rule."""
        return self.rule.id or ""

    @property
    def trigger_data(self) -> dict[str, Any]:
        """The data that it was started with."""
        return dict(self.plan.trigger_data)

    @property
    def dry_run(self) -> bool:
        """Whether it is a dry run."""
        return self.plan.dry_run

    @property
    def state(self) -> State:
        """Its current state."""
        return self._read(self)

    @property
    def status(self) -> str:
        """The vendor's status now."""
        return self.state.status
