"""One execution of any of the three systems."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from airflow_provider.audit.facts.fact import NONE, Answer, Connection, Damage, Person, RunFacts, Subject, Variable, seconds
from airflow_provider.execution.model.phase import Phase


@dataclass(frozen=True, slots=True)
class Definition:
    """The definition that an execution is a run of. ``exists`` is None if it was not looked up."""

    id: str
    name: str
    url: str | None = None
    exists: bool | None = None
    disabled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StepFacts(Answer):
    """
    One step: a Buddy action execution, a Tracecat action in one stream, an AlgaPSA action in the answer.

    :param path: of the step in the answer, for field paths of findings.
    :param tolerated: its failure does not fail the execution; None if unknown.
    :param max_attempts: 0 for no limit.
    :param retry_until: condition that ends its retries.
    """

    path: str
    id: str | None
    name: str
    status: str
    phase: Phase
    fields: frozenset[str] = NONE
    type: str | None = None
    definition: str | None = None
    disabled: bool | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None
    progress: float | None = None
    tolerated: bool | None = None
    attempt: int | None = None
    max_attempts: int | None = None
    retry_until: str | None = None
    url: str | None = None
    api_url: str | None = None
    log_url: str | None = None
    approver: Person | None = None
    approved_at: datetime | None = None
    terminator: Person | None = None
    terminated_at: datetime | None = None
    passed: tuple[Variable, ...] = ()
    outputs: tuple[Variable, ...] = ()

    @property
    def duration(self) -> float | None:
        """Seconds from start to end."""
        return seconds(self.started_at, self.finished_at)

    def __repr__(self) -> str:
        return f"StepFacts({self.name!r}, {self.status!r})"


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a log. ``path`` is its place in the answer."""

    path: str
    text: str
    level: str | None = None


@dataclass(frozen=True, slots=True)
class BuddyPart:
    """Fields of Buddy executions only."""

    workspace: str
    project: str
    triggered_on: str | None = None
    delay_until: datetime | None = None
    priority: str | None = None
    branch: str | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Interaction:
    """A person's interaction with a Tracecat execution."""

    path: str
    action_ref: str | None
    type: str | None
    status: str | None
    actor: Person | None = None
    created_at: datetime | None = None
    answered_at: datetime | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """An event of a Tracecat history that has an actor or a failure."""

    id: int
    type: str | None
    actor: Person | None = None
    workspace: str | None = None
    access_level: str | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class TracecatPart:
    """Fields of Tracecat executions only. ``events`` is None if the history was not read."""

    workspace: str | None
    history_length: int | None = None
    trigger_type: str | None = None
    execution_type: str | None = None
    workflow_timeout: float | None = None
    """Seconds; None if there is no limit, or if it is unknown (see ``events``)."""
    events: tuple[Event, ...] | None = None
    interactions: tuple[Interaction, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class AlgaPsaPart:
    """Fields of AlgaPSA executions only."""

    tenant: str | None = None
    trigger_data: Mapping[str, Any] = field(default_factory=dict)
    duration_ms: float | None = None
    actions_total: float | None = None
    actions_successful: float | None = None
    actions_failed: float | None = None
    failed_action_index: float | None = None
    error_stack: str | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ExecutionFacts(RunFacts):
    """
    One execution of any of the three systems. Exactly one of the last three fields is set.

    :param seen_at: when the answer was received: *now* for rules about age.
    :param detailed: whether each step was read on its own (Buddy: variables, errors, actors and logs are only there).
    :param queued_at, executed_at: when it was accepted, and when its work began, if the system reports both.
    :param progressed_at: time of the last known progress.
    :param starter: None if unknown; see ``fields`` (``starter``).
    :param outputs: of the execution as a whole (Tracecat: result, AlgaPSA: execution_context).
    :param logs: the last lines, as far as the collector keeps them; ``logs_read`` tells whether the log was read.
    :param log_hosts: hosts of the URLs in the answer, by field path.
    :param marker: this provider's correlation value, if any.
    :param damage: fields that could not be read, or only in part.
    """

    subject: Subject
    fields: frozenset[str] = NONE
    seen_at: datetime
    system: str
    conn_id: str
    ref: str
    definition: Definition | None
    status: str
    phase: Phase
    url: str | None = None
    api_url: str | None = None
    detailed: bool = False
    queued_at: datetime | None = None
    started_at: datetime | None = None
    executed_at: datetime | None = None
    finished_at: datetime | None = None
    progressed_at: datetime | None = None
    starter: Person | None = None
    error: str | None = None
    marker: str | None = None
    steps: tuple[StepFacts, ...] = ()
    outputs: tuple[Variable, ...] = ()
    logs: tuple[LogLine, ...] = ()
    logs_read: bool = False
    log_hosts: Mapping[str, str] = field(default_factory=dict)
    connection: Connection | None = None
    buddy: BuddyPart | None = None
    tracecat: TracecatPart | None = None
    alga_psa: AlgaPsaPart | None = None
    damage: tuple[Damage, ...] = ()

    @property
    def duration(self) -> float | None:
        """Seconds from start to end."""
        return seconds(self.started_at, self.finished_at)

    @property
    def queue_time(self) -> float | None:
        """Seconds in the queue; None if the system does not report it."""
        return seconds(self.queued_at, self.executed_at)
