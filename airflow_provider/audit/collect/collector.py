"""Reading several sources concurrently into a spool, with progress in the log."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from airflow_provider import _clock
from airflow_provider.audit.collect import alga_psa, buddy, tracecat
from airflow_provider.audit.collect.source import Reader, Source, Unit, Window, all_of
from airflow_provider.audit.collect.spool import Spool
from airflow_provider.audit.facts.fact import Fact, Subject
from airflow_provider.audit.facts.gap import GapFacts
from airflow_provider.audit.records.export import Record, facts_of
from airflow_provider.errors import ConfigurationError

HOOKS = {
    "buddy": "airflow_provider.buddy.hook:BuddyHook",
    "tracecat": "airflow_provider.tracecat.hook:TracecatHook",
    "alga_psa": "airflow_provider.alga_psa.hook:AlgaPsaHook",
}
UNITS_AT_ONCE = 4
"""Units of one source that are read concurrently. The connection limits the concurrent requests."""
PROGRESS_SECONDS = 10.0

Wanted = Mapping[str, Any]
"""
What to read, as JSON: ``system``, ``conn_id``; for configuration ``workspace``, ``projects``, ``pipelines``, ``workflows``, for executions
``scope``, and ``since`` and ``until`` (ISO 8601).
"""


def source_of(wanted: Wanted) -> Source:
    """
    Make the source.

    :raises ConfigurationError: if the system is unknown, or the scope is invalid.
    """
    system, conn_id, scope = wanted["system"], wanted["conn_id"], wanted.get("scope")
    if system not in HOOKS:
        raise ConfigurationError(
            f"Connection {conn_id!r} is of type {system!r}, which can't be audited. Supported types: {', '.join(HOOKS)}."
        )
    arguments: dict[str, Any] = {}
    if system == "tracecat":
        arguments["workspace_id"], place = tracecat.place_of(scope)
        arguments["workspace_id"] = wanted.get("workspace") or arguments["workspace_id"]
        if wanted.get("workflows"):
            place["workflows"] = wanted["workflows"]
    hook: Any = resolve_name(HOOKS[system])(conn_id, **arguments)
    hook.stand_ins = True
    if wanted.get("since") is None:
        if system == "tracecat":
            return tracecat.TracecatSource(hook, None, **place)
        if system != "buddy":
            raise ConfigurationError(f"Connection {conn_id!r}: only the configuration of Buddy and Tracecat can be audited.")
        chosen = {name: wanted[name] for name in ("workspace", "projects", "pipelines") if wanted.get(name) is not None}
        return buddy.BuddySource(hook, **chosen)
    window = Window(datetime.fromisoformat(wanted["since"]), datetime.fromisoformat(wanted["until"]))
    if system == "buddy":
        return buddy.BuddySource(hook, window, **buddy.place_of(scope))
    if system == "tracecat":
        return tracecat.TracecatSource(hook, window, **place)
    return alga_psa.AlgaPsaSource(hook, window, **alga_psa.place_of(scope))


def sources_of(wanted: Sequence[Wanted]) -> list[Source]:
    """
    Make the sources and read their connections, before there is an event loop.

    :raises ConfigurationError: if a scope or a connection is invalid.
    :raises ConnectionMissing: if there is no such connection.
    """
    sources = [source_of(scope) for scope in wanted]
    for source in sources:
        source.hook.open()
        source.hook.close()
    return sources


@dataclass
class Progress:
    """Progress of the collection."""

    spool: Spool
    log: Any
    readers: list[Reader] = field(default_factory=list)
    total: int = 0
    done: int = 0
    read: dict[str, float] = field(default_factory=dict)
    began: float = field(default_factory=_clock.monotonic)

    def __post_init__(self) -> None:
        self._told, self._before, self._first = self.began, self.spool.count, 0.0

    @property
    def share(self) -> float:
        """Share of the work that is done."""
        return (self.done + sum(self.read.values())) / self.total if self.total else 0.0

    def plan(self, units: int, done: int) -> None:
        """Add the units of a source."""
        self.total += units
        self.done += done
        self._first += done

    def tell(self, *, last: bool = False) -> None:
        """Log the progress from time to time."""
        now = _clock.monotonic()
        if not last and now - self._told < PROGRESS_SECONDS:
            return
        self._told = now
        took, count = max(now - self.began, 0.001), self.spool.count
        rate, requests = (count - self._before) / took, sum(reader.requests for reader in self.readers)
        fresh = self.share - (self._first / self.total if self.total else 0.0)
        remaining = took / fresh * (1 - self.share) if fresh > 0 else None
        ahead = "" if last or remaining is None else f"; about {remaining:.0f} s left"
        self.log.info(
            "Read %d records, %d of %d parts (%.0f %%), %.0f records/s, %d requests%s.",
            count, self.done, self.total, 100 * self.share, rate, requests, ahead,
        )  # fmt: skip


async def collect(sources: Sequence[Source], spool: Spool, log: Any) -> int:
    """
    Read everything into the spool, except what an earlier attempt has read.

    A single object that is refused becomes a record of kind ``gap``.

    :returns: number of requests.
    :raises Unauthorized: a credential is rejected.
    :raises ConfigurationError: a connection is invalid.
    :raises ExecutionApiError: an API is unavailable; the spool keeps what was read.
    """
    if spool.finished:
        return 0
    _tell_apart(sources)
    if spool.resumed:
        log.info("Continuing after %d records that an earlier attempt has read.", spool.count)
    progress = Progress(spool, log)
    try:
        await all_of(_read(source, spool, progress, log) for source in sources)
    except BaseException:
        await spool.flush()
        raise
    await spool.finish()
    progress.tell(last=True)
    return sum(reader.requests for reader in progress.readers)


def _tell_apart(sources: Sequence[Source]) -> None:
    """Mark sources whose ids may clash with those of another installation. The first connection of each system keeps the short ids."""
    first: dict[str, str] = {}
    for source in sources:
        source.apart = first.setdefault(source.system, source.conn_id) != source.conn_id


async def _read(source: Source, spool: Spool, progress: Progress, log: Any) -> None:
    async with source.hook.asender() as sender:
        reader = Reader(sender, log)
        progress.readers.append(reader)
        units = await source.units(reader)
        waiting = iter([unit for unit in units if unit.key not in spool.done])
        progress.plan(len(units), sum(unit.key in spool.done for unit in units))

        async def work() -> None:
            for unit in waiting:
                await _read_unit(unit, spool, progress)

        await all_of(work() for _ in range(UNITS_AT_ONCE))


async def _read_unit(unit: Unit, spool: Spool, progress: Progress) -> None:
    async for chunk in unit.read(spool.at.get(unit.key)):
        spool.add(chunk.lines, unit.key, chunk.at)
        progress.read[unit.key] = chunk.read
        progress.tell()
        await spool.flush(if_full=True)
    progress.read.pop(unit.key, None)
    progress.done += 1


def facts_in(spool: Spool) -> Iterator[Fact]:
    """The facts in a spool; an invalid record is a gap."""
    for record in spool.records():
        yield from _facts(record)


def _facts(record: Record) -> Iterator[Fact]:
    try:
        yield from facts_of(record)
    except ConfigurationError as error:
        system, conn_id = str(record["kind"]).partition(".")[0], str(record.get("conn_id") or "")
        name = f"{system}:{record.get('workspace', '')}/{record.get('project', '')}"
        yield GapFacts(subject=Subject(name, "record", name, system, conn_id), reason=str(error))


@contextmanager
def collected(wanted: Sequence[Wanted], log: Any, folder: Path | None = None) -> Iterator[Iterator[Fact]]:
    """
    Read, then yield the facts; for scripts.

    :param folder: where to keep the records, so that a later call with the same ``wanted`` continues; by default a temporary folder.
    """
    with tempfile.TemporaryDirectory(prefix="airflow-audit-") as temporary:
        spool = Spool(folder or Path(temporary) / "spool", {"wanted": list(wanted)})
        asyncio.run(collect(sources_of(wanted), spool, log))
        yield facts_in(spool)


@contextmanager
def collected_records(wanted: Sequence[Wanted], log: Any) -> Iterator[Iterator[Record]]:
    """Read, then yield the records; for the command ``export``."""
    with tempfile.TemporaryDirectory(prefix="airflow-audit-") as temporary:
        spool = Spool(Path(temporary) / "spool", {"wanted": list(wanted)})
        asyncio.run(collect(sources_of(wanted), spool, log))
        yield spool.records()
