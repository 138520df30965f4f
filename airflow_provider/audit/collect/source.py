"""Common parts of the collectors: sources, their units, and a reader that turns refused objects into gaps."""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel

from airflow_provider import _clock
from airflow_provider.audit.facts.fact import Connection
from airflow_provider.errors import (
    ConnectionMissing,
    ExecutionApiError,
    Forbidden,
    NotFound,
    ProtocolError,
    StatusError,
    Unauthorized,
)
from airflow_provider.execution.model.request import Flow

if TYPE_CHECKING:
    from airflow_provider.execution.http.endpoint import Endpoint
    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.http.senders import AsyncSender

T = TypeVar("T")

CLOSED = 5
"""Number of refusals without a success after which a route is skipped."""
GROUP = 16
"""Executions of one unit that are read concurrently."""
FAILURES = 20
"""Number of consecutive failed requests after which the API counts as unavailable."""


@dataclass(frozen=True)
class Window:
    """Executions from ``since`` to before ``until``, UTC. Those of a previous window of the same length are counted, for comparison."""

    since: datetime
    until: datetime

    @property
    def before(self) -> datetime:
        """Start of the previous window."""
        return self.since - (self.until - self.since)


@dataclass
class Chunk:
    """
    The result of one step of reading.

    :param at: position of the next step, JSON; None if this was the last step.
    :param read: share of the unit that is read so far, if known.
    """

    lines: list[str]
    at: Any = None
    read: float = 1.0


@dataclass(frozen=True)
class Unit:
    """A part of a source that is read in steps, such as a pipeline. ``key`` is the same in each attempt."""

    key: str
    read: Callable[[Any], AsyncIterator[Chunk]]


@dataclass(frozen=True)
class Gap:
    """Something that could not be read, and why. An empty reason is already reported. ``missing``: it was named and does not exist."""

    reason: str
    missing: bool = False


class Reader:
    """Reads single objects. A refused object is a gap; if all are refused, it is an error."""

    def __init__(self, sender: AsyncSender, log: Any) -> None:
        self._sender, self._log = sender, log
        self._turns = asyncio.Semaphore(sender.endpoint.max_in_flight)
        self._refused: Counter[str] = Counter()
        self._opened: set[str] = set()
        self._failed = 0
        self.requests = 0

    async def ask(self, route: str, flow: Flow[T]) -> T | Gap:
        """
        Run a flow.

        :param route: name of the kind of object; a route that refuses everything is skipped after a while.
        :raises Unauthorized: the credential is rejected.
        :raises ExecutionApiError: the API is unavailable, or the connection is wrong.
        """
        async with self._turns:  # the route may be closed while a request waits
            if self._refused[route] >= CLOSED:
                flow.close()
                return Gap("")
            self.requests += 1
            return await self._run(route, flow)

    async def _run(self, route: str, flow: Flow[T]) -> T | Gap:
        try:
            answer = await self._sender.run(flow)
        except (Unauthorized, ConnectionMissing):
            raise
        except (Forbidden, NotFound) as error:
            self._failed = 0
            if route not in self._opened:
                self._refused[route] += 1
            consequence = f" No further {route} is requested." if self._refused[route] == CLOSED else ""
            return Gap(f"{error}{consequence}", missing=isinstance(error, NotFound))
        except ExecutionApiError as error:
            self._failed += 1
            away = not isinstance(error, ProtocolError) and not (isinstance(error, StatusError) and (error.status or 0) < 429)
            if away and (self._failed >= FAILURES or not self._opened):
                raise
            self._log.warning("%s", error)
            return Gap(str(error))
        self._failed = 0
        self._opened.add(route)
        return answer


class Source(ABC):
    """
    What to read from one connection.

    :param hook: of the connection.
    :param window: for executions; None for configuration.
    """

    system: str
    apart = False
    """Whether ids of subjects contain the connection, because another connection may have the same ids."""

    def __init__(self, hook: ExecutionHook, window: Window | None = None) -> None:
        self.hook, self.window = hook, window
        self.conn_id = hook.conn_id

    @property
    @abstractmethod
    def key(self) -> str:
        """Unique key of the source, the same in each attempt."""

    @abstractmethod
    async def units(self, reader: Reader) -> Sequence[Unit]:
        """
        Find the units to read.

        :raises ConfigurationError: if the scope is invalid.
        """

    # -- records

    def line(self, kind: str, **fields: Any) -> str:
        """A record as a line of JSON."""
        apart = {"apart": True} if self.apart else {}
        return json.dumps(
            {"kind": kind, "conn_id": self.conn_id, **apart, "seen_at": _clock.utc_now().isoformat(), **fields}, default=_plain
        )

    def gap(self, subject: str, what: str, gap: Gap, *, named: bool = False) -> list[str]:
        """The record of a gap, unless it is already reported. ``named``: a person named the subject, so that it should exist."""
        subject = f"{self.system}:{subject}"
        missing = {"missing": True} if named and gap.missing else {}
        return [self.line("gap", system=self.system, subject=subject, what=what, reason=gap.reason, **missing)] if gap.reason else []

    def connection(self, endpoint: Endpoint, **place: str | None) -> dict[str, Any]:
        """Configuration of the connection, for the records."""
        parts = urlsplit(endpoint.base_url)
        host = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
        return asdict(Connection(host=host, **place))


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json", exclude_unset=True, by_alias=True, warnings=False)
    raise TypeError(type(value).__name__)


async def all_of(work: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Run concurrently; the first error cancels the others, so that none of them outlives the sender."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def in_groups(
    items: Sequence[T],
    place: tuple[Any, Any, Sequence[Any]],
    name: Callable[[T], Any],
    read: Callable[[T], Coroutine[Any, Any, list[str]]],
    so_far: float,
) -> AsyncIterator[Chunk]:
    """
    Read the items of a page in groups: each may take many requests, which should not be repeated after a crash.

    :param place: position of this page and the next one, and the names of items that an earlier attempt has read.
    :param name: unique name of an item; JSON.
    :param so_far: share of the unit that is read with this page.
    """
    here, following, known = place
    todo, done = [item for item in items if name(item) not in known], list(known)
    for start in range(0, max(len(todo), 1), GROUP):
        group = todo[start : start + GROUP]
        lines = [line for found in await all_of(map(read, group)) for line in found]
        done += map(name, group)
        last = start + GROUP >= len(todo)
        yield Chunk(lines, ([following, list(known)] if following is not None else None) if last else [here, list(done)], so_far)


def gap_units(key: str, lines: list[str]) -> list[Unit]:
    """A unit of the gaps found while listing the units."""

    async def read(at: Any) -> AsyncIterator[Chunk]:
        yield Chunk(lines)

    return [Unit(f"{key} gaps", read)] if lines else []


def matches(patterns: Sequence[str], *names: object) -> bool:
    """Whether one of the names matches a pattern with the wildcards ``*`` and ``?``, ignoring case."""
    return any(fnmatchcase(str(name).lower(), pattern.lower()) for pattern in patterns for name in names if name is not None)


def literal(patterns: Sequence[str]) -> bool:
    """Whether the patterns have no wildcards."""
    return not any(character in pattern for pattern in patterns for character in "*?[")


def share(newest: datetime, oldest: datetime | None, horizon: datetime) -> float:
    """Share of a period that is read, newest first; 0 if unknown."""
    whole = (newest - horizon) / timedelta(seconds=1)
    return 0.0 if oldest is None or whole <= 0 else min(max((newest - oldest) / timedelta(seconds=1) / whole, 0.0), 1.0)
