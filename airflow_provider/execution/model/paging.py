"""Lists whose pages are counted: the same reading for every system that has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from airflow_provider.execution.model.request import Flow, Pages

T = TypeVar("T")

PAGES_REMEMBERED = 20
"""Pages whose keys are remembered: a list may be of any length, but not that many new items come while one page is read."""

_Place = tuple[int, list[list[Any]], bool]
"""The number of the next page, the keys of the items on the latest pages, and whether the last one had new ones. JSON, if the keys are."""


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
        number, kept, went_on = at or (1, [], True)
        items, last = yield from get(number)
        seen = {one for keys in kept for one in keys}
        new = [item for item in items if key(item) is None or key(item) not in seen]
        ends = last or not items or not (new or went_on)
        return new, None if ends else (number + 1, [*kept, [key(item) for item in items]][-PAGES_REMEMBERED:], bool(new))

    return page
