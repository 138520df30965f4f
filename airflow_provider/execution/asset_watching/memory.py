"""The memory of a watcher: which ends of executions it has reported, so that it reports each of them, and only once. No I/O."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from airflow_provider.execution.model.result import utc
from airflow_provider.execution.model.snapshot import Snapshot, signature
from airflow_provider.execution.waiting.search import START_SKEW_SECONDS

MAX_SEEN = 1_000
"""Maximum number of ends that are remembered: Airflow's asset state store warns above 64 KiB."""
MAX_ACTIVE = 5_000
"""Maximum number of executions whose end is awaited. Each takes 40 to 100 bytes of the stored state."""
MAX_AWAIT = 7 * 24 * 3600.0
"""Seconds for which an execution is awaited that no list shows any more, and that never ends; and for which the list may fail."""
MAX_MISSES = 3
"""After so many 404s in a row an execution counts as deleted."""


@dataclass
class EndMemory:
    """
    The ends that were reported, and the executions that have not ended. JSON by :meth:`dump`; all times are epoch seconds.

    An end is recognized by its signature, not by being later than the last one: executions overlap, lists lag and are out of order, and
    an execution that runs again under its id ends again. Ends before the floor (the start of watching, or the catch-up time) are old,
    except of an execution that was seen running.

    :param since: ends before this moment are never reported.
    :param seen: mark of each reported end, and when it ended.
    :param active: ref of each execution that has not ended, the one read longest ago first, and since when it is awaited.
    :param handled_until: moment of the last list all of whose ends were reported. Not stored: for one triggerer.
    """

    since: float
    seen: dict[str, float] = field(default_factory=dict)
    active: dict[str, float] = field(default_factory=dict)
    handled_until: float = math.inf
    _misses: dict[str, int] = field(default_factory=dict)

    @classmethod
    def load(cls, stored: Any) -> EndMemory | None:
        """Rebuild a memory from JSON; None if that is not one."""
        try:
            seen, active = ({str(key): _moment(moment) for key, moment in stored.get(name, {}).items()} for name in ("seen", "active"))
            return cls(_moment(stored["since"]), seen, active)
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
            return None

    def dump(self) -> dict[str, Any]:
        """The memory as JSON."""
        return {"since": self.since, "seen": dict(self.seen), "active": {ref: int(since) for ref, since in self.active.items()}}

    @property
    def newest(self) -> float:
        """The latest end that was reported."""
        return max(self.seen.values(), default=self.since)

    def floor(self, now: float, catch_up: float) -> float:
        """The moment up to which ends are old."""
        return max(self.since, self.look_back(now, catch_up)) - START_SKEW_SECONDS

    def look_back(self, now: float, catch_up: float) -> float:
        """The moment back to which ends may not be reported yet: by ``catch_up``, or to the last list that was handled."""
        return min(now - catch_up, max(self.handled_until, now - MAX_AWAIT))

    def take_list(self, items: Iterable[Snapshot], now: float, catch_up: float) -> tuple[list[Snapshot], list[str]]:
        """
        Learn from a list, which may lag, be out of order, and show an execution twice.

        :returns: the executions whose end was not reported yet; and the refs of active ones that the list shows neither as active nor
            with a new end, which have to be read one by one.
        """
        ended: dict[str, Snapshot] = {}
        running: set[str] = set()
        for item in items:
            if not item.phase.ended:
                self.active.setdefault(item.ref, now)
                running.add(item.ref)
            elif self._is_unreported(item, now, catch_up):
                ended[mark(item)] = item
        shown = running | {item.ref for item in ended.values()}
        return list(ended.values()), [ref for ref in self.active if ref not in shown]

    def take(self, item: Snapshot, now: float, catch_up: float) -> bool:
        """
        Learn from an execution that was read alone, which shows its present state.

        :returns: whether it has ended, and this was not reported yet.
        """
        self._misses.pop(item.ref, None)
        if not item.phase.ended:
            self._move_to_the_end(item.ref, now)
            return False
        if self._is_unreported(item, now, catch_up):
            return True
        self.active.pop(item.ref, None)
        return False

    def take_miss(self, ref: str, now: float) -> bool:
        """
        Learn that an execution was not found.

        :returns: whether it counts as deleted now.
        """
        self._misses[ref] = self._misses.get(ref, 0) + 1
        self._move_to_the_end(ref, now)
        if self._misses[ref] < MAX_MISSES:
            return False
        self._drop(ref)
        return True

    def mark_reported(self, *items: Snapshot, now: float) -> None:
        """Do not report the end of an execution again, in none of the forms in which it was seen."""
        for item in items:
            moment = ended_at(item)
            self.seen[mark(item)] = now if moment is None else moment
            self._drop(item.ref)

    def forget(self, now: float, catch_up: float) -> int:
        """
        Forget ends that are too old to be listed again, and whatever exceeds the limits.

        :returns: number of running executions that were forgotten because there are more than :data:`MAX_ACTIVE`.
        """
        floor = self.floor(now, catch_up)
        self.seen = {key: moment for key, moment in self.seen.items() if moment > floor}
        if len(self.seen) > MAX_SEEN:
            # Forgotten ends must not be reported again: the floor rises above them.
            last_forgotten = sorted(self.seen.values())[-MAX_SEEN - 1]
            self.since = last_forgotten + START_SKEW_SECONDS
            self.seen = {key: moment for key, moment in self.seen.items() if moment > last_forgotten}
        self.active = {ref: since for ref, since in self.active.items() if now - since < MAX_AWAIT}
        # The latest ones: they are listed for longest, so that they are seen again.
        excess = sorted(self.active, key=self.active.__getitem__)[MAX_ACTIVE:]
        for ref in excess:
            self._drop(ref)
        return len(excess)

    def _drop(self, ref: str) -> None:
        """Stop waiting for the end of an execution."""
        self.active.pop(ref, None)
        self._misses.pop(ref, None)

    def _is_unreported(self, item: Snapshot, now: float, catch_up: float) -> bool:
        key, moment = mark(item), ended_at(item)
        if key in self.seen:
            if moment is None:
                self.seen[key] = now  # remembered as long as it is listed
            return False
        return moment is None or moment > self.floor(now, catch_up) or item.ref in self.active

    def _move_to_the_end(self, ref: str, now: float) -> None:
        """Let others be read first next time."""
        self.active[ref] = self.active.pop(ref, now)


def _moment(value: object) -> float:
    """
    A stored moment.

    :raises TypeError: if it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise TypeError
    return float(value)


def mark(item: Snapshot) -> str:
    """A short text that identifies one end of one execution."""
    return hashlib.sha256(signature(item).encode()).hexdigest()[:12]


def ended_at(item: Snapshot) -> float | None:
    """When an execution ended, in epoch seconds; if that is not known, when it started."""
    moment = item.finished_at or item.started_at
    return None if moment is None else utc(moment).timestamp()
