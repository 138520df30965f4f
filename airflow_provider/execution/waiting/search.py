"""The search for an execution that somebody else starts, the same for every system that lists its executions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timezone
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
"""Maximum number of pages of a list that one poll reads."""
MAX_REJECTED_REFS = 100
"""Maximum number of executions that a search remembers as rejected, or as without a start: its memo travels with the task."""
START_SKEW_SECONDS = 300.0
"""Maximum difference between the order of the list and the order of start times, in seconds."""


class Search(TypedDict):
    """Which execution to find. JSON. Times are epoch seconds by the remote clock."""

    what: str
    """For messages, such as ``pipeline 'release' in demo/shop``."""
    where: dict[str, object]
    """The system's own criteria."""
    match: Match
    started_after: float | None
    started_before: float | None
    finished_after: float | None


class _SearchMemo(TypedDict, total=False):
    """The keys of the memo that the search itself uses; all others belong to the system."""

    oldest: float
    rejected: list[str]
    undated: list[str]


def find(system: ExecutionAdapter, search: Search, memo: Memo) -> Flow[tuple[Snapshot | None, list[Snapshot]]]:
    """
    Poll once for the execution that meets the criteria. The list is read from its newest end, as far as needed.

    :param memo: what the next poll need not read again; updated here.
    :returns: the execution to wait for, or None; and all executions that meet the criteria so far, oldest first.
    :raises ConfigurationError: if the list is too long to find its first execution, without ``started_after`` or since then.
    """
    matching: list[Snapshot] = []
    rejected: list[str] = []
    placed: list[float | None] = []
    undated: list[str] = []
    pages, position = system.listed(search["where"], memo), None
    search_memo = cast("_SearchMemo", memo)
    oldest = _latest(search["started_after"], search_memo.get("oldest"))
    complete = False
    newest: float | None = None
    for _ in range(MAX_PAGES):
        items, position = yield from pages(position)
        items = yield from _dated(system, items, search_memo.get("undated", ()), undated)
        newest = _latest(newest, *(_place(item, ()) for item in items))
        for index, item in enumerate(items):
            place = _place(item, items[index + 1 :])
            if not _in_time(search, item, place):
                continue
            fits = item.ref not in search_memo.get("rejected", ()) and (yield from system.matches(search["where"], item))
            if fits:
                matching.append(item)
            if fits is False:
                rejected.append(item.ref)
            else:
                placed.append(place)
        dated = [place for item in items if (place := _place(item, ())) is not None]
        complete = position is None or (oldest is not None and bool(dated) and max(dated) < oldest - START_SKEW_SECONDS)
        if complete or (matching and search["match"] == "latest"):
            break
    if not complete and search["match"] != "latest":
        since, advice = " without a bound", "Set started_after, such as '{{ dag_run.run_after }}'."
        if search["started_after"] is not None:
            since, advice = (
                f" since {datetime.fromtimestamp(search['started_after'], timezone.utc).isoformat()}",
                "Set a later started_after.",
            )
        raise ConfigurationError(
            f"{system.title}: {search['what']} has too many executions{since} to find the first one: {MAX_PAGES} pages of the list were "
            f"read. {advice}",
            system=system.name,
        )
    search_memo["rejected"], search_memo["undated"] = rejected[:MAX_REJECTED_REFS], undated[:MAX_REJECTED_REFS]
    starts = [place for place in placed if place is not None]
    if complete and newest is not None and len(starts) == len(placed):
        search_memo["oldest"] = min([*starts, newest])
    matching.reverse()
    return _chosen(search["match"], matching), matching


def _dated(system: ExecutionAdapter, items: list[Snapshot], known_undated: Sequence[str], undated: list[str]) -> Flow[list[Snapshot]]:
    """Read the executions whose start the list does not show although they must have one. Adds those without one to ``undated``."""
    dated: list[Snapshot] = []
    for item in items:
        if item.started_at is None and item.phase is not Phase.QUEUED:
            if item.ref not in known_undated:
                try:
                    item = yield from system.read(item.ref)
                except NotFound:  # deleted meanwhile
                    continue
            if item.started_at is None:
                undated.append(item.ref)
        dated.append(item)
    return dated


def _chosen(match: Match, matching: list[Snapshot]) -> Snapshot | None:
    if match == "latest":
        return matching[-1] if matching else None
    if match == "first_succeeded":
        matching = [item for item in matching if item.phase is Phase.SUCCEEDED]
    # Which of several queued executions is the first is known once they start: one may be delayed for days.
    matching = [item for item in matching if item.started_at or item.phase is not Phase.QUEUED]
    return min(matching, key=lambda item: _epoch(item.started_at) if item.started_at else float("inf"), default=None)


def _place(item: Snapshot, older: Sequence[Snapshot]) -> float | None:
    """Epoch seconds of its start. Without a start: of its end, or of the start of the next older execution, as a lower bound."""
    moment = item.started_at or item.finished_at or next((other.started_at for other in older if other.started_at), None)
    return None if moment is None else _epoch(moment)


def _in_time(search: Search, item: Snapshot, place: float | None) -> bool:
    """Whether its times are within the bounds. An execution that has not started yet counts as starting now."""
    after, before, finished = search["started_after"], search["started_before"], search["finished_after"]
    not_started = item.started_at is None and item.phase is Phase.QUEUED
    started = _clock.now() if not_started else place
    if after is not None and (started is None or _before(started, after)):
        return False
    if before is not None and (started is None or started >= before):
        return False
    return not (finished is not None and item.phase.ended and item.finished_at is not None and _before(_epoch(item.finished_at), finished))


def _before(moment: float, bound: float) -> bool:
    """Whether a moment of the remote system is before a bound. One in whole seconds may be any moment within that second."""
    return moment < (math.floor(bound) if moment.is_integer() else bound)


def _epoch(moment: datetime) -> float:
    return utc(moment).timestamp()


def _latest(*moments: float | None) -> float | None:
    return max((moment for moment in moments if moment is not None), default=None)
