"""Finds the new entries of a log that comes whole with each answer, and that a retry may rewrite."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zlib import crc32

from airflow_provider.alga_psa.api.models import LogEntry
from airflow_provider.execution.model.result import iso
from airflow_provider.execution.model.snapshot import Cursor


def new_entries(entries: Sequence[LogEntry], cursor: Cursor, limit: int) -> list[LogEntry]:
    """
    At most ``limit`` entries after ``cursor``, which is advanced.

    As long as the list begins with the entries that were read, everything after them is new. If the list was rewritten, the last entry
    read is searched by its time and text; if it is gone, all entries are new: lines are shown twice rather than lost.
    """
    start = _start(entries, cursor)
    new = list(entries[start : start + limit])
    end = start + len(new)
    if end:
        cursor.update(lines=end, head=_sum(entries[:end]), last=_sum(entries[end - 1 : end]))
    return new


def _start(entries: Sequence[LogEntry], cursor: Cursor) -> int:
    read = cursor.get("lines", 0)
    if not read:
        return 0
    if read <= len(entries) and _sum(entries[:read]) == cursor.get("head"):
        return read
    for position in range(len(entries), 0, -1):
        entry = entries[position - 1]
        if entry.timestamp is not None and _sum([entry]) == cursor.get("last"):
            return position
    return 0


def _sum(entries: Sequence[LogEntry]) -> int:
    """A checksum that is the same in every process."""
    total = 0
    for entry in entries:
        time = iso(entry.timestamp) if isinstance(entry.timestamp, datetime) else entry.timestamp
        total = crc32(f"{time}\x1f{entry.level}\x1f{entry.action_index}\x1f{entry.message}\x1e".encode(errors="replace"), total)
    return total
