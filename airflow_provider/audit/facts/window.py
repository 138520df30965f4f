"""The executions of one definition in a window of time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from airflow_provider.audit.facts.execution import Definition
from airflow_provider.audit.facts.fact import NONE, RunFacts, Subject
from airflow_provider.execution.phase import Phase


@dataclass(frozen=True, slots=True)
class Counted:
    """
    A definition's executions that started in a time, in a space that does not grow with their number.

    :param durations, queue_times: seconds, sorted; an even sample of at most ``window.SAMPLE`` of those that succeeded (durations).
    :param longest, shortest: ``(seconds, ref, url)`` of the extremes among those that succeeded.
    :param turns: how often a success followed a failure or the other way round, in order of start.
    :param repeats: ``(key hash, count, first ref)`` of starts with equal inputs (same revision and variables, same trigger data).
    :param marked, unmarked: how many have this provider's correlation value, and how many have none although it would be seen.
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
    marked: int = 0
    unmarked: int = 0

    @property
    def total(self) -> int:
        """How many executions."""
        return sum(self.phases.values())

    @property
    def failed(self) -> int:
        """How many failed or ran into the remote's time limit."""
        return self.phases.get(Phase.FAILED, 0) + self.phases.get(Phase.TIMED_OUT, 0)

    @property
    def judged(self) -> int:
        """How many ended one way or the other: what a failure rate is a part of."""
        return self.failed + self.phases.get(Phase.SUCCEEDED, 0)


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WindowFacts(RunFacts):
    """A definition's executions in the window and in the one before it, of equal length."""

    subject: Subject
    given: frozenset[str] = NONE
    seen_at: datetime
    system: str
    conn_id: str
    definition: Definition
    current: Counted
    previous: Counted
