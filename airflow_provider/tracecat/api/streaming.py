"""Reads a long JSON answer item by item: reading it as a whole takes fifteen times its size in memory."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ijson  # type: ignore[import-untyped]

MAX_DEPTH = 200
"""Nesting beyond which an answer is refused, as in short answers: walking through it would end in a RecursionError."""
CHUNK = 64 * 1024
"""Number of bytes that the parser gets at once."""


def read_object(body: bytes | bytearray, list_name: str, keep: Callable[[Any], Any]) -> dict[str, Any]:
    """
    Read a JSON object that holds one long list.

    :param body: the answer's body. With a number of thousands of digits the process may end, since ijson 3.6 goes on with what Python has
        refused: see :func:`~airflow_provider.execution.http.json_text.has_long_number`.
    :param list_name: key of that list in the object.
    :param keep: makes of each item what is kept of it.
    :returns: the object as of :func:`json.loads`, with what ``keep`` made of the list's items.
    :raises ValueError: if the body is not a JSON object.
    """
    try:
        return _object(body, list_name, keep)
    except (ijson.JSONError, ArithmeticError):  # ArithmeticError: a number beyond what Decimal takes
        raise ValueError("not a JSON object") from None  # the parser quotes the body, which may hold secrets


def _object(body: bytes | bytearray, list_name: str, keep: Callable[[Any], Any]) -> dict[str, Any]:
    whole = ijson.ObjectBuilder()
    item: ijson.ObjectBuilder | None = None
    items: list[Any] | None = None
    key: str | None = None
    in_list, depth = False, 0
    for event, value in ijson.basic_parse(_Chunks(body), buf_size=CHUNK):
        if isinstance(value, Decimal):
            value = float(value)
        if event in ("end_map", "end_array"):
            depth -= 1
        if in_list and depth > 1:
            item = item or ijson.ObjectBuilder()
            item.event(event, value)
            if depth == 2 and items is not None and event not in ("start_map", "start_array"):
                items.append(keep(item.value))
                item = None
        else:
            if depth == 0 and event not in ("start_map", "end_map"):
                raise ValueError("not a JSON object")
            if depth == 1 and event == "map_key":
                key = value
                items = None if key == list_name else items
            in_list = depth == 1 and event == "start_array" and key == list_name
            if in_list:
                items = []
            whole.event(event, value)
        if event in ("start_map", "start_array"):
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError("nested too deep")
    return whole.value if items is None else {**whole.value, list_name: items}


class _Chunks:
    """A file over a body that makes no copy of the whole."""

    def __init__(self, body: bytes | bytearray) -> None:
        self._rest = memoryview(body)

    def read(self, size: int) -> bytes:
        """Give the next ``size`` bytes, or what is left."""
        chunk, self._rest = self._rest[:size], self._rest[size:]
        return bytes(chunk)
