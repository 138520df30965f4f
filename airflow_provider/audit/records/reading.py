"""
Reads data of any size and form as a model: within bounds, and so that a field that can't be read hides no other.

What was left out is told as :class:`~airflow_provider.audit.facts.fact.Damage`, so that no rule passes because of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from types import NoneType
from typing import Any, NamedTuple

from pydantic import TypeAdapter, ValidationError

from airflow_provider.audit.analysis.scalars import is_unreadable
from airflow_provider.audit.facts.fact import Damage
from airflow_provider.execution.http.reading import AS_SENT, read_value

MAX_CHARACTERS = 64 * 1024
"""Maximum number of characters of one text."""
MAX_ITEMS = 20_000
"""Maximum number of items of one list or object."""
MAX_LOG_LINES = 1_000
"""Of a log the last lines are kept."""
MAX_SIZE = 8_000_000
"""Maximum size of an action or an execution: characters of its texts and names, and 8 for each other value."""
MAX_DEPTH = 60
"""Maximum number of lists and objects within each other."""
_LOGS = frozenset({"log", "logs"})
_FLAG = "encrypted"
"""The models take what they can't understand for true, so that it is hidden. An audit that passes it for that reason has to tell."""


class Read(NamedTuple):
    """A model, and what of its data it does not have."""

    model: Any
    damage: tuple[Damage, ...]


def read(type: Any, data: Any, source: str) -> Read:
    """
    Read data as a model.

    :param type: one that pydantic knows.
    :param source: what it is, for the log.
    :raises ValidationError: if what identifies it can't be read.
    """
    if _is_harmless(data):  # nearly all are, and a copy takes longer than all rules
        try:
            return Read(_adapter(type).validate_python(data), ())
        except ValidationError:
            pass
    bounds = _Bounds()
    value = bounds.copy(data, "", 0)
    model = read_value(type, value, source)
    unreadable = sorted({*_taken_out(value), *_unclear(value)})
    return Read(
        model,
        (
            *(Damage(name) for name in unreadable),
            *(Damage(name, cut=True) for name in sorted(bounds.cut)),
        ),
    )


@lru_cache(maxsize=64)
def _adapter(type: Any) -> TypeAdapter[Any]:
    return TypeAdapter(type)


def _is_harmless(data: Any) -> bool:
    """Whether JSON is within all limits, has no fields that were taken out when it was read, and only clear flags."""
    level, left = [data], MAX_SIZE
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for value in level:
            kind = type(value)
            if kind is str:
                left -= len(value)
                if len(value) > MAX_CHARACTERS:
                    return False
            elif kind is dict:
                left -= 32 * len(value)
                if len(value) > MAX_ITEMS or AS_SENT in value or not isinstance(value.get(_FLAG), (bool, NoneType)):
                    return False
                inner.extend(value.values())
            elif kind is list:
                left -= 8 * len(value)
                if len(value) > MAX_LOG_LINES:
                    return False
                inner.extend(value)
        if left < 0:
            return False
        if not inner:
            return True
        level = inner
    return False


class _Bounds:
    """Copies plain data, except what is beyond the limits."""

    def __init__(self) -> None:
        self._left = MAX_SIZE
        self.cut: set[str] = set()
        """Names of the fields that lack something, with those of the objects around them: ``variables.value``."""

    def copy(self, value: Any, path: str, depth: int) -> Any:
        if isinstance(value, str):
            limit = min(MAX_CHARACTERS, max(self._left, 0))
            self._left -= min(len(value), limit)
            if len(value) > limit:
                self._lacks(path)
            return value[:limit]
        self._left -= 8
        if isinstance(value, Mapping):
            return {
                str(key): self.copy(value[key], f"{path}.{key}" if path else str(key), depth + 1) for key in self._some(value, path, depth)
            }
        if isinstance(value, (list, tuple)):
            return [self.copy(item, path, depth + 1) for item in self._some(value, path, depth)]
        return value

    def _some(self, value: Any, path: str, depth: int) -> Iterable[Any]:
        """The items of a list, or the keys of an object, that are read."""
        if depth >= MAX_DEPTH or self._left <= 0:
            if value:
                self._lacks(path)
            return ()
        if isinstance(value, Mapping):
            self._left -= sum(len(str(key)) for _, key in zip(range(MAX_ITEMS), value, strict=False))
        elif path.rpartition(".")[2] in _LOGS:  # the lines keep their numbers
            return ["" if number < len(value) - MAX_LOG_LINES and isinstance(item, str) else item for number, item in enumerate(value)]
        if len(value) > MAX_ITEMS:
            self._lacks(path)
        return (item for _, item in zip(range(MAX_ITEMS), value, strict=False))

    def _lacks(self, path: str) -> None:
        if len(self.cut) < MAX_ITEMS:
            self.cut.add(path[:200])


def _taken_out(value: Any, path: str = "") -> Iterable[str]:
    """Names of the fields that were taken out because they could not be read."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            here = f"{path}.{name}" if path else str(name)
            if name == AS_SENT and isinstance(item, Mapping):
                yield from (f"{path}.{field}" if path else str(field) for field in item)
            else:
                yield from _taken_out(item, here)
    elif isinstance(value, list):
        for item in value:
            yield from _taken_out(item, path)


def _unclear(value: Any, path: str = "") -> Iterable[str]:
    """Names of the flags that can't be understood."""
    if isinstance(value, Mapping):
        for name, item in value.items():
            here = f"{path}.{name}" if path else str(name)
            if name == _FLAG and is_unreadable(item):
                yield here
            elif name != AS_SENT:
                yield from _unclear(item, here)
    elif isinstance(value, list):
        for item in value:
            yield from _unclear(item, path)
