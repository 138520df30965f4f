"""What the mechanism asks of a system: flows that give snapshots. A system's folder answers, and knows nothing of waiting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import groupby
from typing import ClassVar, NamedTuple

from airflow_provider.errors import ConfigurationError, ExecutionApiError
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Flow, LastAnswer, Pages
from airflow_provider.execution.model.snapshot import Cursor, LogLine, Snapshot, block_of, signature

Memo = dict[str, object]
"""What a search remembers between its looks. JSON."""


class Glance(NamedTuple):
    """An execution as a list of many shows it: just enough to tell whether it has changed."""

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


class ExecutionAdapter(ABC):
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

        :raises NotFound: if there is none, or no longer.
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
        """Read up to ``limit`` log lines behind ``cursor``, and move it."""

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

    def listed(self, where: Mapping[str, object], memo: Memo) -> Pages[Snapshot]:
        """
        List the executions among which ``where`` may mean one, newest first, as summaries.

        :param where: the system's own criteria, of a :class:`~airflow_provider.execution.waiting.search.Search`.
        """
        raise ConfigurationError(f"{self.title} has no list of executions to search.", system=self.name)

    def matches(self, where: Mapping[str, object], snapshot: Snapshot) -> Flow[bool | None]:
        """Whether ``where`` means this listed execution; None if that can't be told yet."""
        return True
        yield  # a flow that asks nothing
