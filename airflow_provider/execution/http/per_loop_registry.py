"""Objects that several users on one event loop share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class PerLoopRegistry(Generic[K, V]):
    """
    One object per key and event loop, for as long as somebody holds it. Sockets, tasks and locks belong to one loop each.

    Its methods are called on the event loop. Its length is the number of objects that are held on the running one.
    """

    def __init__(self) -> None:
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[K, _Held[V]]] = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._loops.get(asyncio.get_running_loop(), ()))

    def hold(self, key: K, make: Callable[[], V]) -> V:
        """
        Get the object of a key, until :meth:`release`.

        :param make: makes the object, if nobody holds it yet.
        """
        objects = self._loops.setdefault(asyncio.get_running_loop(), {})
        held = objects.get(key)
        if held is None:
            held = objects[key] = _Held(make())
        held.users += 1
        return held.value

    def release(self, key: K) -> bool:
        """
        Stop holding the object of a key.

        :returns: whether this was its last user. The registry has forgotten the object then; the caller closes it.
        """
        objects = self._loops[asyncio.get_running_loop()]
        held = objects[key]
        held.users -= 1
        if held.users:
            return False
        del objects[key]
        return True


class _Held(Generic[V]):
    __slots__ = ("users", "value")

    def __init__(self, value: V) -> None:
        self.value = value
        self.users = 0
