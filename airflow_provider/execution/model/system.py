"""What the mechanism asks of a system: flows that give snapshots. A system's folder answers, and knows nothing of waiting."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from typing import Any, ClassVar, NamedTuple

from airflow_provider.errors import ConfigurationError, ExecutionApiError
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Flow, LastAnswer, Pages
from airflow_provider.execution.model.result import iso


@dataclass
class Output:
    """An outputted value, before anything is decided about it. ``secret``: the system flags it so."""

    value: Any
    secret: bool = False

    def __repr__(self) -> str:
        return f"Output({'***' if self.secret else type(self.value).__name__})"


def see(url: str | None) -> str:
    """Where to look, as a further sentence; nothing for a system without pages."""
    return f" See {url}" if url else ""


def web_link(url: str | None) -> str | None:
    """A page's address if it is one: it becomes a link in Airflow's web interface, and the remote side wrote it."""
    return url if url and re.fullmatch(r"https?://[^\s<>\"'\x00-\x1f\x7f]+", url, re.IGNORECASE) else None


@dataclass
class Step:
    """
    One step as the system tells it.

    :param definition: id of what it is a run of, where runs of it have ids of their own.
    :param tolerated: its failure does not fail the execution.
    """

    id: str
    name: str
    phase: Phase
    status: str
    type: str | None = None
    definition: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    url: str | None = None
    error: str | None = None
    actor: dict[str, Any] | None = None
    tolerated: bool = False
    outputs: dict[str, Output] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.url = web_link(self.url)


@dataclass
class Snapshot:
    """
    An execution as seen at one moment.

    :param run: which run of it, where an execution keeps its ref when it is run again.
    :param waiting_for: what a person has to do, if the phase is WAITING.
    :param settled: False if the status says that it has ended while parts of it still move.
    :param partial: what failed in an execution that succeeded, or None.
    :param outputs, outputs_omitted, log_tail: only in the detailed snapshot of the end.
    :param hidden: texts that must not be shown, besides secret outputs: secrets that the task itself passed.
    """

    ref: str
    phase: Phase
    status: str
    url: str | None = None
    run: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    error: str | None = None
    actor: dict[str, Any] | None = None
    progress: float | None = None
    steps: list[Step] = field(default_factory=list)
    system_fields: dict[str, Any] = field(default_factory=dict)
    waiting_for: str | None = None
    settled: bool = True
    partial: str | None = None
    outputs: dict[str, Output] = field(default_factory=dict)
    outputs_omitted: dict[str, str] = field(default_factory=dict)
    log_tail: list[str] = field(default_factory=list)
    hidden: list[str] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.url = web_link(self.url)


@dataclass(frozen=True)
class LogLine:
    """One line of the remote log, still as the remote side wrote it."""

    step: str
    text: str
    time: datetime | None = None
    level: str | None = None


Cursor = dict[str, int]
"""How far the log was read: step id to the number of lines."""

Memo = dict[str, Any]
"""What a search remembers between its looks. JSON."""


class Glance(NamedTuple):
    """An execution as a list of many shows it: no more than tells whether there is news of it."""

    ref: str
    status: str
    run: str | None = None


class Overview(NamedTuple):
    """
    A list that shows an execution beside others.

    :param scope: tells this list from others of the connection: what shares it is polled together.
    :param key: the execution's ref, as the list shows it.
    :param pages: the list. It need not be complete, nor in any order; those that have ended may be missing.
    """

    scope: tuple[str, ...]
    key: str
    pages: Pages[Glance]


def block_of(lines: Iterable[str]) -> bytes:
    """Lines in one piece; a line feed within a line is no end of it."""
    return "".join(line.replace("\n", "\v") + "\n" for line in lines).encode(errors="replace")


def signature(snapshot: Snapshot) -> str:
    """What tells an ended execution from the same one after it ran again."""
    return f"{snapshot.ref} {snapshot.run or ''} {snapshot.status} {iso(snapshot.finished_at)}"


class System(ABC):
    """One vendor's executions. Every method is a flow: it says what to ask, a sender asks."""

    name: str
    """Short name, such as ``buddy``."""
    title: str
    """Name for texts, such as ``Buddy``."""
    can_cancel: ClassVar[bool] = True
    """Whether executions can be cancelled at all."""
    outputs_lag: ClassVar[bool] = True
    """Whether outputs may appear some seconds after an execution has succeeded."""
    never_appeared: ClassVar[str] = ""
    """Why an execution may not appear although its start was accepted."""

    @abstractmethod
    def read(self, ref: str) -> Flow[Snapshot]:
        """
        Look at an execution, as cheaply as its status, steps and gates can be had.

        :raises NotFound: if there is none (any longer).
        :raises ConfigurationError: if ``ref`` is not one of this system's.
        """

    def read_again(self, ref: str, last: LastAnswer) -> Flow[Snapshot | None]:
        """
        Look as :meth:`read` does.

        :param last: what the last look's answer was.
        :returns: None if nothing at all has changed since.
        """
        return (yield from self.read(ref))

    def overview(self, ref: str) -> Overview | None:
        """The list by which an execution can be watched together with others, or None if there is none. Asks nothing."""
        return None

    @abstractmethod
    def details(self, ref: str) -> Flow[Snapshot]:
        """Look at an ended execution with everything: outputs, errors, actors, the tail of the log."""

    @abstractmethod
    def new_lines(self, snapshot: Snapshot, cursor: Cursor, limit: int) -> Flow[list[LogLine]]:
        """Read at most ``limit`` log lines behind ``cursor``, and move it."""

    def new_blocks(self, snapshot: Snapshot, cursor: Cursor) -> Flow[list[tuple[str, bytes | bytearray]]]:
        """Read some more of a log that is wanted as a whole: steps, each with lines as the remote side wrote them; nothing at its end."""
        lines = yield from self.new_lines(snapshot, cursor, 1_000)
        return [(step, block_of(line.text for line in group)) for step, group in groupby(lines, key=lambda line: line.step)]

    @abstractmethod
    def cancel(self, ref: str) -> Flow[None]:
        """
        Ask for the end of an execution; one that has ended already is no error.

        :raises ConfigurationError: if this system has no way to do so.
        """

    @abstractmethod
    def resume(self, ref: str) -> Flow[Snapshot]:
        """Go on with a failed execution by the system's own retry; the snapshot's ``ref`` may be a new one."""

    def just_changed(self, ref: str) -> Flow[Snapshot]:
        """Look at an execution after a request that was accepted, and stays so whatever this look gives."""
        try:
            return (yield from self.read(ref))
        except ExecutionApiError:
            return Snapshot(ref, Phase.UNKNOWN, "unknown")

    def before_resume(self, snapshot: Snapshot) -> Flow[str]:
        """What :meth:`resumed` has to know of the time before the request. No marker can travel with a retry."""
        return signature(snapshot)
        yield  # a flow that asks nothing

    def resumed(self, ref: str, before: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """
        Find out whether :meth:`resume` took effect.

        :param before: what :meth:`before_resume` gave.
        :param since: epoch seconds of the request.
        :returns: the execution that runs, or ran, again; and whether finding none proves that there is none.
        """
        snapshot = yield from self.read(ref)
        return ([] if signature(snapshot) == before else [snapshot]), True

    def listed(self, where: Mapping[str, Any], memo: Memo) -> Pages[Snapshot]:
        """
        List the executions among which ``where`` may mean one, newest first, as summaries.

        :param where: the system's own criteria, of a :class:`~airflow_provider.execution.waiting.search.Search`.
        """
        raise ConfigurationError(f"{self.title} has no list of executions to search.", system=self.name)

    def matches(self, where: Mapping[str, Any], snapshot: Snapshot) -> Flow[bool | None]:
        """Whether ``where`` means this listed execution; None if that can't be told yet."""
        return True
        yield  # a flow that asks nothing
