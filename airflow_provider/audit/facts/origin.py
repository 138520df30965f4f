"""Where a definition is written: the file, and the place of each of its fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

Key = tuple[str | int, ...]
_PART = re.compile(r"[^.\[\]]+|\[\d+\]")


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a file. Line and column count from 1."""

    file: str
    line: int
    column: int = 1


@dataclass(frozen=True, slots=True)
class Place:
    """
    The place of a value in a file.

    :param text_lines: of a text on several lines, the line of the file where each of its own lines begins; empty for other values.
    """

    line: int
    column: int
    text_lines: Sequence[int] = ()


class FieldPath(str):
    """The path of a field, such as ``execute_commands[2]``, with the line of its text that is meant, from 0."""

    __slots__ = ("line",)
    line: int

    def __new__(cls, path: str, line: int = 0) -> FieldPath:
        """Make a path."""
        made = super().__new__(cls, path)
        made.line = line
        return made

    @property
    def place(self) -> tuple[str, int]:
        """Distinguishes the lines of one text, whose paths are equal."""
        return str(self), self.line


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment that accepts findings, see :mod:`airflow_provider.audit.definitions.comments`. ``covers``: the line that it is about."""

    location: Location
    rules: tuple[str, ...]
    covers: int
    reason: str
    text: str
    owner: str
    expires: date


@dataclass(frozen=True)
class Origin:
    """
    Where a subject is written.

    :param places: of all values of the file.
    :param root: of the subject in the file.
    :param names: fields of the API that the file names differently, such as ``name``, which is ``action`` in ``buddy.yml``.
    :param comments: of the whole file.
    """

    file: str
    lines: Sequence[str] = field(repr=False)
    places: Mapping[Key, Place] = field(repr=False)
    root: Key = ()
    names: Mapping[str, str] = field(default_factory=dict, repr=False)
    comments: tuple[Comment, ...] = field(default=(), repr=False)

    @cached_property
    def start(self) -> Location:
        """Where the subject begins."""
        return self.at("")

    def at(self, path: str) -> Location:
        """Where a field is; if the file does not have it, where the nearest enclosing value begins."""
        parts = _PART.findall(path)
        key: Key = tuple(int(part[1:-1]) if part.startswith("[") else self.names.get(part, part) for part in parts)
        for end in range(len(key), -1, -1):
            if place := self.places.get((*self.root, *key[:end])):
                lines = place.text_lines if end == len(key) else ()
                line = lines[min(getattr(path, "line", 0), len(lines) - 1)] if lines else place.line
                return Location(self.file, line, place.column if line == place.line else self._indented(line))
        return Location(self.file, 1)

    def _indented(self, line: int) -> int:
        """The column where a line begins, behind its blanks."""
        text = self.lines[line - 1] if line <= len(self.lines) else ""
        return len(text) - len(text.lstrip()) + 1

    def text_at(self, location: Location) -> str:
        """The line."""
        return self.lines[location.line - 1] if location.line <= len(self.lines) else ""
