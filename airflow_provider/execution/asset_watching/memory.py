"""Which ends of executions are news: what a watcher remembers, so that it tells each end, and tells it once. No I/O."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider.execution.model.result import utc
from airflow_provider.execution.model.snapshot import Snapshot, signature
from airflow_provider.execution.waiting.search import SKEW

MAX_SEEN = 1_000
"""Ends that are remembered at most: Airflow's asset state store warns of more than 64 KiB."""
MAX_ACTIVE = 250
"""Executions whose end is awaited at most."""
MAX_AGE = 7 * 24 * 3600.0
"""Seconds after which an execution that no list shows any longer, and that never ends, is no longer asked for."""
MISSES = 3
"""Answers 404 in a row after which an execution counts as deleted."""


@dataclass
class Ends:
    """
    The ends that were told, and the executions whose end is to come. JSON by :meth:`dump`; all times are epoch seconds.

    An end is told by its signature, not by the moment of the last one: executions overlap, lists lag and are out of order, and one
    that runs again under its id ends again. Ends before the floor (the start of watching, or the catch-up time) are old, except of an
    execution that was seen running.

    :param since: no end before this moment is news.
    :param seen: the mark of each end that was told, and the moment of that end.
    :param active: ref of each execution that has not ended, the one asked for longest ago first, and since when it is awaited.
    """

    since: float
    seen: dict[str, float] = field(default_factory=dict)
    active: dict[str, float] = field(default_factory=dict)
    _missed: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, stored: object) -> Ends | None:
        """Rebuild from JSON; None if that is none of ours."""
        if not isinstance(stored, dict) or not isinstance(stored.get("since"), (int, float)):
            return None
        seen, active = ({str(key): float(at) for key, at in (stored.get(name) or {}).items()} for name in ("seen", "active"))
        return cls(float(stored["since"]), seen, active)

    def dump(self) -> dict[str, Any]:
        """Give it as JSON."""
        return {"since": self.since, "seen": dict(self.seen), "active": dict(self.active)}

    @property
    def newest(self) -> float:
        """The moment of the last end that was told."""
        return max(self.seen.values(), default=self.since)

    def floor(self, now: float, catch_up: float) -> float:
        """The moment up to which ends are old."""
        return max(self.since, now - catch_up) - SKEW

    def listed(self, items: Iterable[Snapshot], now: float, catch_up: float) -> tuple[list[Snapshot], list[str]]:
        """
        Take in a list, which may lag, be out of order, and show an execution twice.

        :returns: the ended ones whose end is news; and the active ones that the list does not show as either, which have to be read one
            by one.
        """
        news: dict[str, Snapshot] = {}
        going: set[str] = set()
        for item in items:
            if not item.phase.ended:
                self.active.setdefault(item.ref, now)
                going.add(item.ref)
            elif self._is_news(item, now, catch_up):
                news[mark(item)] = item
        shown = going | {item.ref for item in news.values()}
        return list(news.values()), [ref for ref in self.active if ref not in shown]

    def read(self, item: Snapshot, now: float, catch_up: float) -> bool:
        """Take in an execution that was read by itself, which shows it as it is; say whether its end is news."""
        self._missed.pop(item.ref, None)
        if not item.phase.ended:
            self._later(item.ref, now)
            return False
        if self._is_news(item, now, catch_up):
            return True
        self.active.pop(item.ref, None)
        return False

    def missing(self, ref: str, now: float) -> bool:
        """Take in that an execution was not found; say whether that is its end: it was deleted."""
        self._missed[ref] = self._missed.get(ref, 0) + 1
        self._later(ref, now)
        if self._missed[ref] < MISSES:
            return False
        self.drop(ref)
        return True

    def told(self, *items: Snapshot, now: float) -> None:
        """Remember that the end of an execution is no news any longer, in each form in which it was seen."""
        for item in items:
            self.seen[mark(item)] = now if (at := ended_at(item)) is None else at
            self.drop(item.ref)

    def drop(self, ref: str) -> None:
        """Await the end of an execution no longer."""
        self.active.pop(ref, None)
        self._missed.pop(ref, None)

    def forget(self, now: float, catch_up: float) -> None:
        """Forget what no list brings up again, and what is too much."""
        floor = self.floor(now, catch_up)
        self.seen = {key: at for key, at in self.seen.items() if at > floor}
        if len(self.seen) > MAX_SEEN:
            # What is forgotten must not be news again: the floor rises above it.
            last = sorted(self.seen.values())[-MAX_SEEN - 1]
            self.since = last + SKEW
            self.seen = {key: at for key, at in self.seen.items() if at > last}
        kept = [(ref, since) for ref, since in self.active.items() if now - since < MAX_AGE]
        self.active = dict(kept[-MAX_ACTIVE:])

    def _is_news(self, item: Snapshot, now: float, catch_up: float) -> bool:
        key, at = mark(item), ended_at(item)
        if key in self.seen:
            if at is None:
                self.seen[key] = now  # remembered for as long as it is shown
            return False
        return at is None or at > self.floor(now, catch_up) or item.ref in self.active

    def _later(self, ref: str, now: float) -> None:
        """Others are asked for first next time."""
        self.active[ref] = self.active.pop(ref, now)


def mark(item: Snapshot) -> str:
    """A short text that stands for one end of one execution."""
    return hashlib.sha256(signature(item).encode()).hexdigest()[:12]


def ended_at(item: Snapshot) -> float | None:
    """When it ended; if that is not told, when it started."""
    moment = item.finished_at or item.started_at
    return None if moment is None else utc(moment).timestamp()
