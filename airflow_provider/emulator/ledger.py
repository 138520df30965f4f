"""The ledger: every request that an emulator received, unchanged."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass
from typing import Any


@dataclass
class LedgerEntry:
    """One request.

    ``at``: epoch seconds on the emulator's clock. ``system``: the name of the system, or ``storage`` for requests to the second origin,
    which serves long logs and results. ``path``: as sent, percent-encoding kept. ``headers``: names in lower
    case. ``status``: HTTP status of the answer; None while in progress and for a dropped connection. ``route``: the path
    template that matched; None if none did. ``fault``: kind of the fault that hit the request.
    """

    at: float
    system: str
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    status: int | None = None
    route: str | None = None
    fault: str | None = None

    @property
    def json(self) -> Any:
        """The body read as JSON; None if it is empty.

        :raises ValueError: the body is not JSON.
        """
        return json.loads(self.body) if self.body else None


class Ledger:
    """All requests in order of arrival, without de-duplication. Thread-safe."""

    def __init__(self) -> None:
        self._entries: list[LedgerEntry] = []
        self._lock = threading.Lock()

    @property
    def entries(self) -> list[LedgerEntry]:
        """A copy of the list of entries."""
        with self._lock:
            return list(self._entries)

    def add(self, entry: LedgerEntry) -> None:
        """Append ``entry``."""
        with self._lock:
            self._entries.append(entry)

    def clear(self) -> None:
        """Remove all entries."""
        with self._lock:
            self._entries.clear()

    def select(
        self,
        method: str | None = None,
        path_re: str | None = None,
        *,
        system: str | None = None,
        status: int | None = None,
    ) -> list[LedgerEntry]:
        """Return the entries that match all criteria; ``path_re`` is a regular expression, searched in the path."""
        return [
            entry
            for entry in self.entries
            if (method is None or entry.method == method.upper())
            and (path_re is None or re.search(path_re, entry.path))
            and (system is None or entry.system == system)
            and (status is None or entry.status == status)
        ]

    def count(
        self,
        method: str | None = None,
        path_re: str | None = None,
        *,
        system: str | None = None,
        status: int | None = None,
    ) -> int:
        """Return how many entries match; see :meth:`select`."""
        return len(self.select(method, path_re, system=system, status=status))
