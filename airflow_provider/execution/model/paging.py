"""Reading lists page by page, by numbers or by cursors, the same way for every system."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Any, TypeVar

from airflow_provider.errors import ProtocolError
from airflow_provider.execution.model.request import Flow, Pages

T = TypeVar("T")

PAGES_REMEMBERED = 20
"""Number of pages whose keys are remembered: enough, since fewer new items than that arrive while one page is read."""

CURSORS_REMEMBERED = 200
"""Number of cursors that are remembered, as short digests: a server that goes round in circles goes round in small ones."""

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


def by_cursor(get: Callable[[str | None], Flow[tuple[list[T], str | None]]], what: str) -> Pages[T]:
    """
    A list as pages, each of which names the next one by a cursor.

    :param get: flow that returns the items behind a cursor, and the next cursor; None: there is no further page.
    :param what: the list, for messages, such as ``Tracecat: the list of workflows``.
    :raises ProtocolError: from a page, if its cursor leads back to where the list was read already: there would be no end.
    """

    def page(position: tuple[str, list[str]] | None) -> Flow[tuple[list[T], tuple[str, list[str]] | None]]:
        cursor, seen = position or (None, [])
        items, following = yield from get(cursor)
        if following is None:
            return items, None
        digest = blake2b(following.encode(errors="surrogatepass"), digest_size=6).hexdigest()
        if digest in seen:
            raise ProtocolError(f"{what} has no end: a page leads back to one that was read already.")
        return items, (following, [*seen, digest][-CURSORS_REMEMBERED:])

    return page
