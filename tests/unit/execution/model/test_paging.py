"""Lists whose pages are counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider.errors import ProtocolError
from airflow_provider.execution.model.paging import CURSORS_REMEMBERED, PAGES_REMEMBERED, by_cursor, numbered
from airflow_provider.execution.model.request import Flow

SIZE = 10


def walked(pages: Any, limit: int) -> tuple[list[Any], int]:
    """All items, and the length of the longest position in JSON."""
    found, largest = list[Any](), 0
    at: Any = None
    for _ in range(limit):
        flow = pages(at)
        try:
            next(flow)
        except StopIteration as end:
            items, at = end.value
        found += items
        largest = max(largest, len(json.dumps(at)))
        at = json.loads(json.dumps(at))
        if at is None:
            return found, largest
    raise AssertionError("it does not end")


def read(get: Callable[[int], tuple[list[int], bool]], limit: int = 10_000) -> tuple[list[int], int]:
    """All items, and the bytes of the largest place on the way, as a crash-proof note would hold it."""

    def page(number: int) -> Flow[tuple[list[int], bool]]:
        return get(number)
        yield  # a flow without requests

    return walked(numbered(page, lambda item: item), limit)


def test_it_ends_with_an_empty_page() -> None:
    assert read(lambda number: (list(range(35))[(number - 1) * SIZE : number * SIZE], False))[0] == list(range(35))


def test_a_server_that_gives_all_at_once_gives_each_once() -> None:
    assert read(lambda number: (list(range(500)), False))[0] == list(range(500))


def test_items_that_move_to_later_pages_come_once() -> None:
    there = list(range(300))

    def get(number: int) -> tuple[list[int], bool]:
        there[:0] = [1_000 + len(there) + n for n in range(3)]  # three new ones before each page
        return there[(number - 1) * SIZE : number * SIZE], False

    found, _ = read(get)
    assert [item for item in found if item < 300] == list(range(300))


def test_what_is_remembered_does_not_grow_with_the_list() -> None:
    def get(number: int) -> tuple[list[int], bool]:
        return [10_000_000 + (number - 1) * SIZE + n for n in range(SIZE)], number == pages

    pages = 3 * PAGES_REMEMBERED
    _, some = read(get)
    pages = 12 * PAGES_REMEMBERED
    found, many = read(get)
    assert len(found) == pages * SIZE
    assert many <= some + 10


def follow(following: Callable[[str | None], str | None], limit: int = 2_000) -> tuple[list[str | None], int]:
    """The cursors of a list, and the bytes of the largest place on the way."""

    def page(cursor: str | None) -> Flow[tuple[list[str | None], str | None]]:
        return [cursor], following(cursor)
        yield  # a flow without requests

    return walked(by_cursor(page, "The list"), limit)


def test_cursors_are_followed_to_the_end() -> None:
    found, largest = follow(lambda cursor: None if cursor == "999" else str(int(cursor or 0) + 1))
    assert found == [None, *map(str, range(1, 1_000))]
    assert largest < 20 * CURSORS_REMEMBERED


@pytest.mark.parametrize("circle", [1, 2, 7, CURSORS_REMEMBERED])
@pytest.mark.parametrize("before", [0, 3])
def test_cursors_that_go_round_in_circles_are_no_list(circle: int, before: int) -> None:
    with pytest.raises(ProtocolError, match="The list has no end"):
        follow(lambda cursor: str((at + 1 - before) % circle + before if (at := int(cursor or 0)) >= before else at + 1))


def test_a_cursor_may_be_any_text() -> None:
    with pytest.raises(ProtocolError):
        follow(lambda _: "\ud800" * 10_000)
