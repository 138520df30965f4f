"""Reading lists whose pages are numbered, the same way for every system."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from airflow_provider.execution.model.request import Flow, Pages

T = TypeVar("T")

PAGES_REMEMBERED = 20
"""Number of pages whose keys are remembered: enough, since fewer new items than that arrive while one page is read."""

_Position = tuple[int, list[list[Any]], bool]
"""Number of the next page, keys of the items on the latest pages, and whether the last page had new items. JSON, if the keys are."""


def numbered(get: Callable[[int], Flow[tuple[list[T], bool]]], key: Callable[[T], object]) -> Pages[T]:
    """
    A list as pages, numbered from 1.

    It ends where the API says so, or with an empty page, since the page size is not always known. Items move to later pages while new
    ones are added, so no item is returned twice. One page without new items is not the end; two in a row are: a server that ignores the
    page number returns the whole list each time.

    :param get: flow that returns the items of a page, and whether the API says that it is the last page.
    :param key: identifies an item; None for one that has no identity.
    """

    def page(position: _Position | None) -> Flow[tuple[list[T], _Position | None]]:
        number, recent_keys, had_new = position or (1, [], True)
        items, last = yield from get(number)
        known_keys = {item_key for keys in recent_keys for item_key in keys}
        new = [item for item in items if key(item) is None or key(item) not in known_keys]
        ends = last or not items or not (new or had_new)
        return new, None if ends else (number + 1, [*recent_keys, [key(item) for item in items]][-PAGES_REMEMBERED:], bool(new))

    return page
