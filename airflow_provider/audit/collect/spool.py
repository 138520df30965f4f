"""
A buffer of records between the APIs and the rules, in parts of some megabytes, so that memory does not grow with their number.

Each part ends with the progress of the collection, so an incomplete part is recognised and ignored. This works on object stores (which
can't append) as on disks, and a later attempt on any host continues after the last complete part.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider import _clock, _compat

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

    from airflow_provider.audit.records.export import Record

    Folder = ObjectStoragePath | Path

PROGRESS = "spool.progress"
PART_BYTES = 4 * 1024 * 1024
PART_SECONDS = 30.0


class Spool:
    """
    A folder of parts. The records contain secrets in plain text, so restrict access to it.

    :param folder: used by this collection only.
    :param header: what is collected; parts with another header are deleted. JSON. None: keep existing parts.
    :param note: data to keep from the first attempt on, see :attr:`note`. JSON.
    :param part_bytes, part_seconds: size and age of a full part: the maximum loss by a crash.
    """

    def __init__(
        self,
        folder: Folder,
        header: Mapping[str, Any] | None = None,
        note: Mapping[str, Any] | None = None,
        *,
        part_bytes: int = PART_BYTES,
        part_seconds: float = PART_SECONDS,
    ) -> None:
        self.folder = folder
        self._part_bytes, self._part_seconds = part_bytes, part_seconds
        self._lines: list[str] = []
        self._size = 0
        self._since = _clock.monotonic()
        self._writing = asyncio.Lock()
        self._last, progress = self._newest()
        if header is not None and (progress is None or progress["header"] != json.loads(json.dumps(header))):
            self.delete()
            self._last, progress = 0, None
        progress = progress or {"header": header, "note": note, "done": [], "at": {}, "count": 0, "finished": False}
        self.header: dict[str, Any] = dict(progress["header"] or {})
        self.note: dict[str, Any] = dict(progress["note"] or {})
        self.done: set[str] = set(progress["done"])
        self.at: dict[str, Any] = progress["at"]
        """Positions of the units that are read in part."""
        self.count: int = progress["count"]
        self.finished: bool = progress["finished"]
        self.resumed = self._last > 0

    # -- writing

    def add(self, lines: Iterable[str], unit: str, at: Any) -> None:
        """
        Add records of a unit.

        :param at: position to continue at; None if the unit is complete.
        """
        for line in lines:
            self._lines.append(line)
            self._size += len(line)
            self.count += 1
        if at is None:
            self.at.pop(unit, None)
            self.done.add(unit)
        else:
            self.at[unit] = at

    async def flush(self, *, if_full: bool = False) -> None:
        """
        Write a part; with ``if_full`` only if it is full.

        The part is written even if the caller is cancelled meanwhile, since later parts rely on it.

        :raises OSError: if it could not be written; its records go into the next part.
        """
        await asyncio.shield(self._flush(if_full))

    async def _flush(self, if_full: bool) -> None:
        async with self._writing:
            if if_full and self._size < self._part_bytes and _clock.monotonic() - self._since < self._part_seconds:
                return
            progress = {
                "kind": PROGRESS,
                "header": self.header,
                "note": self.note,
                "done": sorted(self.done),
                "at": dict(self.at),
                "count": self.count,
                "finished": self.finished,
            }
            lines, size = self._lines, self._size
            self._lines, self._size = [], 0
            try:
                await _compat.to_thread(self._write, self._path(self._last + 1), [*lines, json.dumps(progress)])
            except BaseException:
                self._lines, self._size = [*lines, *self._lines], size + self._size
                raise
            self._last += 1
            self._since = _clock.monotonic()

    async def finish(self) -> None:
        """Write the rest, and mark the collection as complete."""
        self.finished = True
        await self.flush()

    @staticmethod
    def _write(path: Folder, lines: list[str]) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(line + "\n")

    # -- reading

    def records(self) -> Iterator[Record]:
        """All records, one in memory at a time."""
        for number in range(1, self._last + 1):
            with self._path(number).open("r", encoding="utf-8") as file:
                for line in _compat.lines_of(file):
                    record: Record = json.loads(line)
                    if record["kind"] != PROGRESS:
                        yield record

    def delete(self) -> None:
        """Remove all parts."""
        for path in self._parts():
            path.unlink()
        if isinstance(self.folder, Path) and self.folder.exists():
            self.folder.rmdir()

    def _path(self, number: int) -> Folder:
        return self.folder / f"part-{number:06}.jsonl"

    def _parts(self) -> list[Folder]:
        if not self.folder.exists():
            return []
        return sorted((path for path in self.folder.iterdir() if path.name.startswith("part-")), key=lambda path: path.name)

    def _newest(self) -> tuple[int, dict[str, Any] | None]:
        """Number and progress of the last complete part."""
        for path in reversed(self._parts()):
            last = ""
            with path.open("r", encoding="utf-8", errors="replace") as file:
                for last in _compat.lines_of(file):  # noqa: B007
                    pass
            try:
                progress = json.loads(last)
                if progress["kind"] == PROGRESS:
                    return int(path.name[5:11]), progress
            except (ValueError, KeyError, TypeError):  # truncated by a crash
                continue
        return 0, None
