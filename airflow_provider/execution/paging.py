"""Lists whose pages are counted: the same reading for every system that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from airflow_provider.execution.route import Flow, Pages

T = TypeVar("T")

REMEMBERED = 10
"""Pages: as far an item may move while the list is read, and be known again. Remembering all would fill memory with a long list."""

_Place = tuple[int, tuple[frozenset[object], ...], bool]
"""The number of the next page, the keys of the items on the last ones, and whether the last page had new ones."""


def numbered(get: Callable[[int], Flow[tuple[list[T], bool]]], key: Callable[[T], object]) -> Pages[T]:
    """
    A list as pages, by their number from 1.

    It ends where the API says so, or with an empty page, since how many items a page may have is not always known. Items move to later
    pages while somebody adds new ones: none is given twice, and a page of known ones is not the end yet, unless the next one is such a
    page, too, as from a server that gives its whole list at once, whatever number is asked for.

    :param get: flow that gives a page, and whether the API says that it is the last.
    :param key: tells items apart; None for one that can't be told.
    """

    def page(at: _Place | None) -> Flow[tuple[list[T], _Place | None]]:
        number, pages, went_on = at or (1, (), True)
        items, last = yield from get(number)
        new = [item for item in items if key(item) is None or not any(key(item) in page for page in pages)]
        ends = last or not items or not (new or went_on)
        return new, None if ends else (number + 1, (*pages, frozenset(map(key, items)))[-REMEMBERED:], bool(new))

    return page
