"""The executions of one definition in a window of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from airflow_provider.audit.facts.execution import Definition
from airflow_provider.audit.facts.fact import NONE, RunFacts, Subject
from airflow_provider.execution.model.phase import Phase


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """
    Counts of a definition's executions that started in a window.

    :param durations, queue_times: seconds, sorted; a uniform sample of at most ``counting.SAMPLE``. Durations are of successful executions.
    :param longest, shortest: ``(seconds, ref, url)`` of the extremes of the successful executions.
    :param turns: number of changes between success and failure, in order of start.
    :param repeats: ``(key hash, count, first ref)`` of starts with equal inputs (same revision and variables, same trigger data).
    :param inputs_unknown: number of starts whose inputs the system does not tell; those of a schedule don't count.
    :param marked, unmarked: number of executions with this provider's correlation value, and without it although it would be visible.
    """

    since: datetime
    until: datetime
    phases: Mapping[Phase, int] = field(default_factory=dict)
    durations: tuple[float, ...] = ()
    queue_times: tuple[float, ...] = ()
    longest: tuple[tuple[float, str, str | None], ...] = ()
    shortest: tuple[tuple[float, str, str | None], ...] = ()
    turns: int = 0
    repeats: tuple[tuple[str, int, str], ...] = ()
    inputs_unknown: int = 0
    marked: int = 0
    unmarked: int = 0

    @property
    def total(self) -> int:
        """Number of executions."""
        return sum(self.phases.values())

    @property
    def failed(self) -> int:
        """Number of executions that failed or timed out."""
        return self.phases.get(Phase.FAILED, 0) + self.phases.get(Phase.TIMED_OUT, 0)

    @property
    def ended(self) -> int:
        """Number of executions that succeeded or failed: the denominator of the failure rate."""
        return self.failed + self.phases.get(Phase.SUCCEEDED, 0)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WindowFacts(RunFacts):
    """A definition's executions in the current and the previous window, of equal length."""

    subject: Subject
    fields: frozenset[str] = NONE
    seen_at: datetime
    system: str
    conn_id: str
    definition: Definition
    current: WindowCounts
    previous: WindowCounts
