"""Counts of executions by definition, in constant memory."""

from __future__ import annotations

import hashlib
import heapq
import json
from bisect import insort
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise

from airflow_provider.audit.facts.execution import Definition, ExecutionFacts
from airflow_provider.audit.facts.fact import Subject
from airflow_provider.audit.facts.window import WindowCounts, WindowFacts
from airflow_provider.execution.model.phase import Phase

SAMPLE = 256
"""Maximum number of durations kept for each definition and window."""
EXTREMES = 3
REPEATS = 64
"""Maximum number of different inputs counted at the same time."""
TURN_SAMPLE = 512
"""Maximum number of outcomes kept, in order of start, to count changes between success and failure."""
_MARKED_IN = {"buddy": "comment", "alga_psa": "trigger_data"}
"""The field of the correlation value."""


@dataclass
class Sample:
    """A uniform sample of a stream: the values with the smallest hashes, so it is independent of order, chance and duplicates."""

    kept: list[tuple[int, str, float]] = field(default_factory=list)

    def add(self, name: str, value: float) -> None:
        """Add a value, if it belongs to the sample."""
        key = -int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big")
        if len(self.kept) < SAMPLE:
            heapq.heappush(self.kept, (key, name, value))
        elif key > self.kept[0][0]:
            heapq.heapreplace(self.kept, (key, name, value))

    @property
    def values(self) -> tuple[float, ...]:
        """The sample, sorted."""
        return tuple(sorted(value for _, _, value in self.kept))


@dataclass
class RunningCounts:
    """Running counts of one definition in one window."""

    since: datetime
    until: datetime
    phases: Counter[Phase] = field(default_factory=Counter)
    durations: Sample = field(default_factory=Sample)
    queue_times: Sample = field(default_factory=Sample)
    longest: list[tuple[float, str, str | None]] = field(default_factory=list)
    shortest: list[tuple[float, str, str | None]] = field(default_factory=list)
    ends: list[tuple[float, bool]] = field(default_factory=list)
    repeats: dict[str, tuple[int, str]] = field(default_factory=dict)
    inputs_unknown: int = 0
    marked: int = 0
    unmarked: int = 0

    def add(self, execution: ExecutionFacts, started: datetime) -> None:
        """Count an execution."""
        self.phases[execution.phase] += 1
        self.marked += execution.marker is not None
        place = _MARKED_IN.get(execution.system)
        self.unmarked += execution.marker is None and place is not None and (execution.detailed or execution.has_fields(place))
        if execution.queue_time is not None:
            self.queue_times.add(execution.ref, execution.queue_time)
        if execution.phase in (Phase.SUCCEEDED, Phase.FAILED, Phase.TIMED_OUT):
            insort(self.ends, (started.timestamp(), execution.phase is Phase.SUCCEEDED))
            del self.ends[:-TURN_SAMPLE]
        if execution.phase is Phase.SUCCEEDED and (took := execution.duration) is not None:
            self.durations.add(execution.ref, took)
            entry = (took, execution.ref, execution.url)
            insort(self.longest, entry, key=lambda item: -item[0])
            insort(self.shortest, entry, key=lambda item: item[0])
            del self.longest[EXTREMES:], self.shortest[EXTREMES:]
        if not is_scheduled(execution):  # a schedule repeats the same inputs on purpose
            self._count_inputs(execution)

    def _count_inputs(self, execution: ExecutionFacts) -> None:
        key = inputs_of(execution)
        if key is None:
            self.inputs_unknown += 1
            return
        count, first = self.repeats.get(key, (0, execution.ref))
        if count == 0 and len(self.repeats) >= REPEATS:  # Misra-Gries: frequent inputs survive
            self.repeats = {name: (number - 1, ref) for name, (number, ref) in self.repeats.items() if number > 1}
        else:
            self.repeats[key] = (count + 1, first)

    def frozen(self) -> WindowCounts:
        """The facts."""
        ends = [good for _, good in self.ends]
        return WindowCounts(
            since=self.since,
            until=self.until,
            phases=dict(self.phases),
            durations=self.durations.values,
            queue_times=self.queue_times.values,
            longest=tuple(self.longest),
            shortest=tuple(self.shortest),
            turns=sum(first is not other for first, other in pairwise(ends)),
            repeats=tuple((key, count, ref) for key, (count, ref) in sorted(self.repeats.items()) if count > 1),
            inputs_unknown=self.inputs_unknown,
            marked=self.marked,
            unmarked=self.unmarked,
        )


def is_scheduled(execution: ExecutionFacts) -> bool:
    """Whether the system's own schedule started it."""
    if execution.buddy is not None:
        return execution.buddy.triggered_on == "SCHEDULE"
    return execution.tracecat is not None and execution.tracecat.trigger_type == "scheduled"


def inputs_of(execution: ExecutionFacts) -> str | None:
    """
    Hash of the inputs of an execution: revision and variables, or trigger data.

    :returns: None if the inputs are not known. Buddy does not return the variables of a run, so the same revision alone proves nothing:
        a DAG may run a pipeline once for each customer. Only an event, such as a push, comes without variables. Tracecat's inputs and
        secret variables are not read.
    """
    inputs: object = None
    if execution.buddy is not None and execution.buddy.revision:
        passed = {(variable.key, str(variable.value), variable.encrypted) for step in execution.steps for variable in step.passed}
        told = passed or execution.buddy.triggered_on == "EVENT"
        if told and not any(encrypted for _, _, encrypted in passed):
            inputs = [execution.buddy.revision, execution.buddy.branch, sorted((key, value) for key, value, _ in passed)]
    elif execution.alga_psa is not None:
        inputs = {key: value for key, value in execution.alga_psa.trigger_data.items() if key != "airflow_marker"} or None
    if inputs is None:
        return None
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, default=str).encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Windows:
    """
    All definitions in the current and the previous window.

    :param since, until: the current window, UTC. The previous one has the same length.
    """

    def __init__(self, since: datetime, until: datetime) -> None:
        self.since, self.until = since, until
        self.before = since - (until - since)
        self._counts: dict[str, tuple[Subject, Definition, RunningCounts, RunningCounts]] = {}

    def add(self, execution: ExecutionFacts) -> None:
        """Count an execution in its window. Executions outside both windows, or without definition or start, are ignored."""
        definition, started = execution.definition, execution.queued_at or execution.started_at
        if definition is None or started is None or not self.before <= started < self.until:
            return
        name = self._name(execution, definition)
        if name not in self._counts:
            subject = Subject(f"{name}/window", "window", definition.name, execution.system, execution.conn_id, definition.url)
            self._counts[name] = (subject, definition, RunningCounts(self.since, self.until), RunningCounts(self.before, self.since))
        _, _, current, previous = self._counts[name]
        (current if started >= self.since else previous).add(execution, started)

    @staticmethod
    def _name(execution: ExecutionFacts, definition: Definition) -> str:
        origin = execution.subject.id.partition(":")[0]
        if execution.buddy is not None:
            return f"{origin}:{execution.buddy.workspace}/{execution.buddy.project}/{definition.id}"
        return f"{origin}:{definition.id}"

    def facts(self, seen_at: datetime) -> Iterator[WindowFacts]:
        """One fact for each definition."""
        for subject, definition, current, previous in self._counts.values():
            yield WindowFacts(
                subject=subject,
                fields=frozenset({"current", "previous"}),
                seen_at=seen_at,
                system=subject.system,
                conn_id=subject.conn_id,
                definition=definition,
                current=current.frozen(),
                previous=previous.frozen(),
            )
