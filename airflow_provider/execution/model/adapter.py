"""The interface that a system implements: flows that read, list, cancel and resume executions. It knows nothing of waiting."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import groupby
from typing import ClassVar, NamedTuple

from airflow_provider._metrics import CancelReason, cancels
from airflow_provider.errors import ConfigurationError, ExecutionApiError
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Flow, LastAnswer, Pages
from airflow_provider.execution.model.snapshot import Cursor, LogLine, Snapshot, block_of, signature

Memo = dict[str, object]
"""What a search remembers between its polls. JSON."""


class Glance(NamedTuple):
    """An execution as a list shows it: just enough to tell whether it has changed. ``status`` and ``run`` as in a snapshot."""

    ref: str
    status: str
    run: str | None = None


class Overview(NamedTuple):
    """
    A list that shows an execution together with others.

    :param scope: identifies the list within the connection: executions with the same scope are polled together.
    :param key: the execution's ref, as the list shows it.
    :param pages: the list. It may be incomplete and in any order, and ended executions may be missing.
    """

    scope: tuple[str, ...]
    key: str
    pages: Pages[Glance]


class ExecutionAdapter(ABC):
    """One vendor's executions. Methods that need the API are flows: they yield requests, and a sender sends them."""

    name: str
    """Short name, such as ``buddy``."""
    title: str
    """Name for messages, such as ``Buddy``."""
    can_cancel: ClassVar[bool] = True
    """Whether the API can cancel executions."""
    outputs_lag: ClassVar[bool] = True
    """Whether outputs may appear a few seconds after an execution has succeeded."""
    never_appeared: ClassVar[str] = ""
    """For messages: why an execution may not appear although its start was accepted."""

    @abstractmethod
    def read(self, ref: str) -> Flow[Snapshot]:
        """
        Read status, steps and gates of an execution, as cheaply as possible.

        :raises NotFound: if it does not exist, or no longer exists.
        :raises ConfigurationError: if ``ref`` is not a ref of this system.
        """

    def read_again(self, ref: str, last: LastAnswer) -> Flow[Snapshot | None]:
        """
        Read an execution again, as :meth:`read` does.

        :param last: recognises the answer of the previous read.
        :returns: None if the answer is the same.
        """
        return (yield from self.read(ref))

    def overview(self, ref: str) -> Overview | None:
        """The list that shows an execution together with others, or None if there is none. Sends no request."""
        return None

    @abstractmethod
    def details(self, ref: str) -> Flow[Snapshot]:
        """Read an ended execution in full: with outputs, errors, actors and the tail of the log."""

    @abstractmethod
    def new_lines(self, snapshot: Snapshot, cursor: Cursor, limit: int) -> Flow[list[LogLine]]:
        """Read up to ``limit`` log lines after ``cursor``, and advance it."""

    def new_blocks(self, snapshot: Snapshot, cursor: Cursor) -> Flow[list[tuple[str, bytes | bytearray]]]:
        """
        Read the next part of the whole log, and advance ``cursor``.

        :returns: pairs of a step's name and a block of its lines, as the remote side wrote them; empty at the end of the log.
        """
        lines = yield from self.new_lines(snapshot, cursor, 1_000)
        return [(step, block_of(line.text for line in group)) for step, group in groupby(lines, key=lambda line: line.step)]

    @abstractmethod
    def cancel(self, ref: str) -> Flow[None]:
        """
        Request that an execution be cancelled. It is no error if it has ended already.

        :raises ConfigurationError: if the system can't cancel.
        """

    def cancel_because(self, reason: CancelReason, ref: str) -> Flow[None]:
        """See :meth:`cancel`. Counts it."""
        try:
            yield from self.cancel(ref)
        except ExecutionApiError:
            cancels(self.name, reason, "failed")
            raise
        cancels(self.name, reason, "asked")

    @abstractmethod
    def resume(self, ref: str) -> Flow[Snapshot]:
        """Run a failed execution again by the system's own retry. The snapshot may have a new ``ref``."""

    def just_changed(self, ref: str) -> Flow[Snapshot]:
        """Read an execution after an accepted request. If the read fails, its phase is UNKNOWN: the request remains accepted."""
        try:
            return (yield from self.read(ref))
        except ExecutionApiError:
            return Snapshot(ref, Phase.UNKNOWN, "unknown")

    def before_resume(self, snapshot: Snapshot) -> Flow[str]:
        """The state before :meth:`resume`, for :meth:`resumed`: a retry can't carry a marker."""
        return signature(snapshot)
        yield  # a flow without requests

    def resumed(self, ref: str, before: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """
        Find out whether :meth:`resume` took effect.

        :param before: the result of :meth:`before_resume`.
        :param since: epoch seconds of the request.
        :returns: the execution that runs, or ran, again, if any; and whether finding none proves that the request had no effect.
        """
        snapshot = yield from self.read(ref)
        return ([] if signature(snapshot) == before else [snapshot]), True

    def listed(self, where: Mapping[str, object], memo: Memo) -> Pages[Snapshot]:
        """
        List the executions that may meet the criteria, newest first, as summaries.

        :param where: the system's own criteria, see :class:`~airflow_provider.execution.waiting.search.Search`.
        :param memo: what the search remembers; the system may keep its own keys in it.
        :raises ConfigurationError: if the system has no such list.
        """
        raise ConfigurationError(f"{self.title} has no list of executions to search.", system=self.name)

    def matches(self, where: Mapping[str, object], snapshot: Snapshot) -> Flow[bool | None]:
        """Whether a listed execution meets the criteria; None if that is not known yet."""
        return True
        yield  # a flow without requests
