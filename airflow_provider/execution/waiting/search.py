"""Finding an execution that somebody else starts: the same choice for every system that lists its executions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, TypedDict, cast

from airflow_provider import _clock
from airflow_provider.errors import ConfigurationError, NotFound
from airflow_provider.execution.model.adapter import ExecutionAdapter, Memo
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Flow
from airflow_provider.execution.model.result import utc
from airflow_provider.execution.model.snapshot import Snapshot

Match = Literal["first", "latest", "first_succeeded"]

MAX_PAGES = 100
"""Maximum number of pages of a list that one look reads."""
MAX_REJECTED_REFS = 100
"""Maximum number of executions that a search remembers as not meant, or as without a start: it travels with the task."""
START_SKEW_SECONDS = 300.0
"""Seconds by which start times may be out of the list's order."""


class Search(TypedDict):
    """What to look for. JSON; times are epoch seconds, by the remote clock."""

    what: str
    """For texts, such as ``pipeline 'release' in demo/shop``."""
    where: dict[str, object]
    """The system's own criteria."""
    match: Match
    started_after: float | None
    started_before: float | None
    finished_after: float | None


class _Known(TypedDict, total=False):
    """What a search itself keeps in the memo; the rest is the system's."""

    oldest: float
    rejected: list[str]
    undated: list[str]


def find(system: ExecutionAdapter, search: Search, memo: Memo) -> Flow[tuple[Snapshot | None, list[Snapshot]]]:
    """
    Look once for the execution that ``search`` means.

    The list is read from its newest end, as far as needed. ``memo`` holds what the next look need not read again.

    :returns: the execution to follow, or None; and all that meet the criteria so far, oldest first.
    :raises ConfigurationError: if the list is too long to find its first execution without ``started_after``.
    """
    matching: list[Snapshot] = []
    rejected: list[str] = []
    placed: list[float | None] = []
    undated: list[str] = []
    pages, at = system.listed(search["where"], memo), None
    known = cast("_Known", memo)
    oldest = _latest(search["started_after"], known.get("oldest"))
    complete = False
    newest: float | None = None
    for _ in range(MAX_PAGES):
        items, at = yield from pages(at)
        items = yield from _dated(system, items, known.get("undated", ()), undated)
        newest = _latest(newest, *(_place(item, ()) for item in items))
        for position, item in enumerate(items):
            place = _place(item, items[position + 1 :])
            if not _in_time(search, item, place):
                continue
            fits = item.ref not in known.get("rejected", ()) and (yield from system.matches(search["where"], item))
            if fits:
                matching.append(item)
            if fits is False:
                rejected.append(item.ref)
            else:
                placed.append(place)
        dated = [place for item in items if (place := _place(item, ())) is not None]
        complete = at is None or (oldest is not None and bool(dated) and max(dated) < oldest - START_SKEW_SECONDS)
        if complete or (matching and search["match"] == "latest"):
            break
    if not complete and oldest is None and search["match"] != "latest":
        raise ConfigurationError(
            f"{system.title}: {search['what']} has too many executions to find its first one without a bound. Give started_after, "
            "such as '{{ dag_run.run_after }}'.",
            system=system.name,
        )
    known["rejected"], known["undated"] = rejected[:MAX_REJECTED_REFS], undated[:MAX_REJECTED_REFS]
    starts = [place for place in placed if place is not None]
    if complete and newest is not None and len(starts) == len(placed):
        known["oldest"] = min([*starts, newest])
    matching.reverse()
    return _chosen(search["match"], matching), matching


def _dated(system: ExecutionAdapter, items: list[Snapshot], known: Sequence[str], undated: list[str]) -> Flow[list[Snapshot]]:
    """Read those whose start the list does not tell although they must have one; ``undated`` gets those that have none."""
    told: list[Snapshot] = []
    for item in items:
        if item.started_at is None and item.phase is not Phase.QUEUED:
            if item.ref not in known:
                try:
                    item = yield from system.read(item.ref)
                except NotFound:  # gone since
                    continue
            if item.started_at is None:
                undated.append(item.ref)
        told.append(item)
    return told


def _chosen(match: Match, matching: list[Snapshot]) -> Snapshot | None:
    if match == "latest":
        return matching[-1] if matching else None
    if match == "first_succeeded":
        matching = [item for item in matching if item.phase is Phase.SUCCEEDED]
    # Which of several queued ones is the first shows when they start: one may be delayed for days.
    matching = [item for item in matching if item.started_at or item.phase is not Phase.QUEUED]
    return min(matching, key=lambda item: _epoch(item.started_at) if item.started_at else float("inf"), default=None)


def _place(item: Snapshot, older: Sequence[Snapshot]) -> float | None:
    """When it started; of one that has no start, the least that can be said: when the next older one did."""
    moment = item.started_at or item.finished_at or next((other.started_at for other in older if other.started_at), None)
    return None if moment is None else _epoch(moment)


def _in_time(search: Search, item: Snapshot, place: float | None) -> bool:
    """Whether its times fit. One that is still to start is as new as can be."""
    after, before, finished = search["started_after"], search["started_before"], search["finished_after"]
    to_start = item.started_at is None and item.phase is Phase.QUEUED
    started = _clock.now() if to_start else place
    if after is not None and (started is None or _before(started, after)):
        return False
    if before is not None and (started is None or started >= before):
        return False
    return not (finished is not None and item.phase.ended and item.finished_at is not None and _before(_epoch(item.finished_at), finished))


def _before(told: float, bound: float) -> bool:
    """Whether a moment that the system told is before a bound; one in whole seconds may have been any moment within its second."""
    return told < (math.floor(bound) if told.is_integer() else bound)


def _epoch(moment: datetime) -> float:
    return utc(moment).timestamp()


def _latest(*moments: float | None) -> float | None:
    return max((moment for moment in moments if moment is not None), default=None)
