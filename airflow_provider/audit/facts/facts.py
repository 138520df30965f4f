"""
What rules look at: frozen facts, made of API answers by ``from_buddy``, ``from_tracecat`` and ``from_alga_psa``.

Times are UTC, durations seconds. ``given`` names the fields that the answer held, be it as null: a field that is not in it was not
visible, and what depends on it is *not available*. Facts hold values as they came, secrets too, so their repr shows none.
"""

from __future__ import annotations

import json
import shlex
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import accumulate
from typing import Any

from airflow_provider.audit.analysis.shell.script import Assignment, Command, Pipeline, Script, parse
from airflow_provider.execution.phase import Phase

NONE: frozenset[str] = frozenset()
HIDDEN = frozenset({"permissions"})
"""Fields of an action that are left out for a token that may not see them."""


@dataclass(frozen=True, slots=True)
class Subject:
    """
    What a finding is about.

    :param id: the same in every audit, such as ``buddy:workspace/project/89/action/123``. Waivers match it.
    :param kind: ``action``, ``pipeline``, ``execution``, ``window`` (a definition's executions in a time), ``waiver``.
    """

    id: str
    kind: str
    title: str
    system: str
    conn_id: str
    url: str | None = None


class Given:
    """Base of what knows which fields the answer held."""

    __slots__ = ()
    given: frozenset[str]

    def gives(self, *names: str) -> bool:
        """Whether the answer held all these fields, be it as null."""
        return self.given.issuperset(names)


class Fact(Given):
    """Base of all that a rule can be asked about."""

    __slots__ = ()
    subject: Subject

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.subject.id!r})"


class RunFacts(Fact):
    """Base of what is about executions, one or many."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Connection:
    """What the connection is set to, to compare answers with. None: not set, or not known."""

    host: str | None = None
    """Of the API, with the port if it is not the scheme's own."""
    workspace: str | None = None
    project: str | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Who did something. ``kind`` as the system says, such as ``user`` or ``service``."""

    id: str | None = None
    name: str | None = None
    kind: str | None = None

    def is_one_of(self, names: frozenset[str]) -> bool:
        """Whether the id or the name is among these."""
        return self.id in names or self.name in names


@dataclass(frozen=True, slots=True, repr=False)
class Variable:
    """A variable, or another named value. ``encrypted`` is None where the answer says nothing of it."""

    key: str
    value: Any = None
    encrypted: bool | None = None
    type: str | None = None
    defaults: str | None = None
    settable: bool | None = None

    def __repr__(self) -> str:
        return f"Variable({self.key!r})"


@dataclass(frozen=True, slots=True)
class ActionSummary:
    """Another action of the same pipeline."""

    id: str
    name: str
    type: str | None = None
    disabled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class PipelineFacts(Fact):
    """
    A Buddy pipeline.

    :param detailed: whether it was read on its own, not as the short form within a list.
    :param actions: all its actions in their order; None if they are not known.
    :param other: fields that no attribute here holds, as they came.
    """

    subject: Subject
    given: frozenset[str] = NONE
    seen_at: datetime
    detailed: bool = True
    id: int
    name: str
    workspace: str
    project: str
    disabled: bool | None = None
    paused: bool | None = None
    refs: tuple[str, ...] = ()
    events: tuple[Mapping[str, Any], ...] = ()
    concurrent_pipeline_runs: bool | None = None
    always_from_scratch: bool | None = None
    auto_clear_cache: bool | None = None
    creator: Person | None = None
    actions: tuple[ActionSummary, ...] | None = None
    other: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Commands:
    """A field that a shell runs: a block, or a list of lines that run as one script."""

    path: str
    lines: tuple[str, ...]
    shell: str | None
    block: bool = False

    @cached_property
    def text(self) -> str:
        """The script."""
        return "\n".join(self.lines)

    @cached_property
    def parsed(self) -> tuple[tuple[int, Script], ...]:
        """
        What is in it, each with the number of lines before it.

        One script; where the whole is no valid syntax, each element on its own too: a stray quote must not hide what comes after it.
        """
        whole = parse(self.text, self.shell)
        if not whole.broken or len(self.lines) < 2:
            return ((0, whole),)
        return tuple((start - 1, parse(line, self.shell)) for start, line in zip(self._starts, self.lines, strict=False))

    @property
    def cut(self) -> bool:
        """Whether it is so long that only the first part was looked at."""
        return any(script.cut for _, script in self.parsed)

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate((line.count("\n") + 1 for line in self.lines), initial=1))

    def every_pipeline(self) -> Iterator[tuple[str, Pipeline]]:
        """All pipelines, each with the path of the element that it is in."""
        for before, script in self.parsed:
            for pipeline in script.every_pipeline():
                yield self.path_at(before + pipeline.line), pipeline

    def every_command(self) -> Iterator[tuple[str, Command]]:
        """All commands, likewise."""
        for before, script in self.parsed:
            for command in script.every_command():
                yield self.path_at(before + command.line), command

    def every_assignment(self) -> Iterator[tuple[str, Assignment]]:
        """All variables that are set, likewise."""
        for before, script in self.parsed:
            for assignment in script.assignments:
                yield self.path_at(before + assignment.line), assignment

    def path_at(self, line: int) -> str:
        """Path of the element that a line of :attr:`text` (from 1) is in."""
        return self.path if self.block else f"{self.path}[{bisect_right(self._starts, line) - 1}]"


@dataclass(frozen=True, kw_only=True, repr=False)
class ActionFacts(Fact):
    """
    How a Buddy action is configured. Fields are named as in the API; actions of other types fill those that they share.

    :param detailed: whether it was read on its own, not as the short form within something else.
    :param other: fields that no attribute here holds, or whose type is not the documented one, as they came.
    """

    subject: Subject
    given: frozenset[str] = NONE
    seen_at: datetime
    pipeline: PipelineFacts
    detailed: bool = True
    id: str
    name: str
    type: str | None = None
    current_revision: str | None = None
    trigger_time: str | None = None
    trigger_conditions: tuple[Mapping[str, Any], ...] = ()
    run_next: str | None = None
    run_only_on_first_failure: bool | None = None
    disabled: bool | None = None
    timeout: int | None = None
    ignore_errors: bool | None = None
    retry_count: int | None = None
    retry_interval: int | None = None
    integration: str | None = None
    permissions: Mapping[str, Any] | None = None
    loop: tuple[str, ...] = ()
    comment: str | None = None
    variables: tuple[Variable, ...] = ()
    docker_image_name: str | None = None
    docker_image_tag: str | None = None
    image_location: str | None = None
    docker_registry: str | None = None
    registry: str | None = None
    insecure_registry: bool | None = None
    login: str | None = None
    password: str | None = None
    region: str | None = None
    docker_build_action_id: int | None = None
    docker_build_action_name: str | None = None
    package: str | None = None
    version: str | None = None
    target_stage: str | None = None
    entrypoint: str | None = None
    reset_entrypoint: bool | None = None
    execute_commands: tuple[str, ...] = ()
    setup_commands: tuple[str, ...] = ()
    inline_commands: str | None = None
    commands: tuple[str, ...] = ()
    """Of remote-command actions such as ``SSH_COMMAND``."""
    execute_every_command: bool | None = None
    shell: str | None = None
    run_as_user: str | None = None
    working_directory: str | None = None
    main_service_name: str | None = None
    mount_filesystem_disable: bool | None = None
    volume_mappings: tuple[str, ...] = ()
    cached_dirs: tuple[str, ...] = ()
    export_container_path: str | None = None
    services: tuple[Any, ...] = ()
    ignore_image_pull_failures: bool | None = None
    cache_base_image: bool | None = None
    other: Mapping[str, Any] = field(default_factory=dict)

    def gives(self, *names: str) -> bool:
        """
        Whether the answer held all these fields, be it as null.

        Buddy's answers leave null fields out, so one that is absent from an action read on its own is null; but for those that a token
        may not see.
        """
        return super().gives(*(name for name in names if name in HIDDEN or not self.detailed))

    def scripts(self) -> tuple[Commands, ...]:
        """Every field that a shell runs and that is not empty."""
        return self._scripts

    @cached_property
    def _scripts(self) -> tuple[Commands, ...]:
        shell = self.shell or ("POWERSHELL" if "WINDOWS" in (self.type or "") else None)
        lists = [Commands(path, getattr(self, path), shell) for path in ("setup_commands", "execute_commands", "commands")]
        blocks = [
            Commands("inline_commands", (self.inline_commands or "",), shell, block=True),
            Commands("entrypoint", (_in_one_line(self.entrypoint or ""),), None, block=True),
        ]
        return tuple(commands for commands in (*lists, *blocks) if any(line.strip() for line in commands.lines))


@dataclass(frozen=True, slots=True)
class Definition:
    """What an execution is a run of. ``exists``: None if nobody looked."""

    id: str
    name: str
    url: str | None = None
    exists: bool | None = None
    disabled: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class StepFacts(Given):
    """
    One step: a Buddy action execution, a Tracecat action in one stream, an AlgaPSA action that the answer names.

    :param path: where the step is in the answer, for field paths of findings.
    :param tolerated: its failure does not fail the execution; None if that is not told.
    :param max_attempts: 0 means without limit.
    :param retry_until: condition that ends its retries.
    """

    path: str
    id: str | None
    name: str
    status: str
    phase: Phase
    given: frozenset[str] = NONE
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
    """A line of a log. ``path`` says where in the answer it is."""

    path: str
    text: str
    level: str | None = None
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class BuddyPart:
    """What only a Buddy execution has."""

    workspace: str
    project: str
    triggered_on: str | None = None
    delay_until: datetime | None = None
    priority: str | None = None
    branch: str | None = None
    tag: str | None = None
    revision: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Interaction:
    """A person's part in a Tracecat execution."""

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
    """An event of a Tracecat history that says who did it, or that something went wrong."""

    id: int
    type: str | None
    time: datetime | None = None
    actor: Person | None = None
    workspace: str | None = None
    access_level: str | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class TracecatPart:
    """What only a Tracecat execution has. ``events`` is None if the history was not read."""

    workspace: str | None
    history_length: int | None = None
    trigger_type: str | None = None
    execution_type: str | None = None
    workflow_timeout: float | None = None
    """Seconds; None: without limit, or not known (see ``events``)."""
    events: tuple[Event, ...] | None = None
    interactions: tuple[Interaction, ...] = ()


@dataclass(frozen=True, slots=True, repr=False)
class AlgaPsaPart:
    """What only an AlgaPSA execution has."""

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
    One execution of any of the three systems. Exactly one of the three last parts is there.

    :param seen_at: when the answer was given: the *now* of rules about age.
    :param detailed: whether each step was read on its own (Buddy: variables, errors, actors and logs are only there).
    :param queued_at, executed_at: when it was accepted, and when its work began, where the system tells both.
    :param progressed_at: when it was last seen to move, as far as known.
    :param starter: None if unknown; see ``given`` (``starter``).
    :param outputs: of the execution as a whole (Tracecat: result, AlgaPSA: execution_context).
    :param logs: at most so many lines as the collector keeps; ``logs_read`` says whether the log was read at all.
    :param log_hosts: hosts of the addresses in the answer, by field path.
    :param marker: this provider's own correlation value, if it is there.
    """

    subject: Subject
    given: frozenset[str] = NONE
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
    progress: float | None = None
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

    @property
    def duration(self) -> float | None:
        """Seconds from start to end."""
        return seconds(self.started_at, self.finished_at)

    @property
    def queue_time(self) -> float | None:
        """Seconds in the queue, where the system tells."""
        return seconds(self.queued_at, self.executed_at)


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


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ChangeFacts(Fact):
    """
    A definition now and in the last audit.

    :param before: digest of then, see :mod:`airflow_provider.audit.facts.changes`; None if the last audit did not know it.
    :param compared: whether there is a last audit to compare with.
    """

    subject: Subject
    given: frozenset[str] = NONE
    seen_at: datetime
    before: str | None
    now: str
    compared: bool = True


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WaiverFacts(Fact):
    """A waiver, after the audit that it was for."""

    subject: Subject
    given: frozenset[str] = NONE
    seen_at: datetime
    rule: str
    glob: str
    owner: str
    expired: bool
    used: bool


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class GapFacts(Fact):
    """Something that could not be read, and why: no permission, an error. Nothing below it was judged."""

    subject: Subject
    given: frozenset[str] = NONE
    reason: str


def _in_one_line(entrypoint: str) -> str:
    """An entrypoint as a shell would be told it, where it is a JSON list of words."""
    try:
        words = json.loads(entrypoint) if entrypoint.lstrip().startswith("[") else None
    except ValueError:
        words = None
    return shlex.join(words) if isinstance(words, list) and all(isinstance(word, str) for word in words) else entrypoint


def seconds(start: datetime | None, end: datetime | None) -> float | None:
    """Seconds between two times; None if one is unknown."""
    return None if start is None or end is None else (end - start).total_seconds()
