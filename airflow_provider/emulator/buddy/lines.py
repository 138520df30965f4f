"""Logs that are too long to keep in memory: lines are generated when they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload


class RepeatedLines(Sequence[str]):
    """A log of ``count`` lines that repeats a few; ``$LINE`` in one inserts its number, from 0.

    :param pattern: the lines to repeat; if empty, all lines are empty.
    """

    def __init__(self, pattern: Sequence[str], count: int) -> None:
        self._pattern = pattern or ("",)
        self._count = max(0, count)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return [self._line(number) for number in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self._line(index % self._count)

    def _line(self, number: int) -> str:
        line = self._pattern[number % len(self._pattern)]
        return line.replace("$LINE", str(number)) if "$" in line else line
