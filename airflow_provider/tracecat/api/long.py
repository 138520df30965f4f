"""Reading a long answer piece by piece: read as a whole, JSON takes fifteen times its size of memory."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

STEP = 256 * 1024
"""Bytes that are decoded at once, at least."""
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


def read(body: bytes | bytearray, long: str, keep: Callable[[Any], Any]) -> dict[str, Any]:
    """
    Read a JSON object, one of whose lists is long.

    :param long: name of that list.
    :param keep: makes of each of its items what is kept of it.
    :raises ValueError: if it is no JSON object.
    """
    text = _Text(body)
    found: dict[str, Any] = {}
    text.take("{")
    while True:
        name = text.value()
        text.take(":")
        found[name] = [keep(item) for item in _items(text)] if name == long and text.peek() == "[" else text.value()
        if text.take(",}") == "}":
            text.end()
            return found


def _items(text: _Text) -> Iterator[Any]:
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        yield text.value()
        if text.take(",]") == "]":
            return


class _Text:
    """A text of which only the part that is being read is decoded."""

    def __init__(self, body: bytes | bytearray) -> None:
        self._body = memoryview(body)
        self._read = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._text = ""
        self._at = 0

    def _more(self) -> bool:
        """Decode more: at least as much again as could not be read yet, so that a long item is not tried too often."""
        chunk = self._body[self._read : self._read + max(STEP, len(self._text) - self._at)]
        more = self._decoder.decode(bytes(chunk), final=not chunk)
        if chunk:
            self._read += len(chunk)
            self._text, self._at = self._text[self._at :] + more, 0
        return bool(chunk)

    def peek(self) -> str:
        """The next character that is no space; nothing at the end."""
        while True:
            space = _SPACE.match(self._text, self._at)
            assert space is not None
            self._at = space.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def take(self, one_of: str) -> str:
        """Go behind the next character."""
        found = self.peek()
        if not found or found not in one_of:
            raise ValueError(f"not one of {one_of!r}")
        self._at += 1
        return found

    def value(self) -> Any:
        """Read the next value."""
        self.peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except ValueError:
                if not self._more():
                    raise
                continue
            if end > len(self._text) - 3 and self._more():
                continue  # a number may go on: of 1.5e+3, 1 may be all that can be read of "1.", or 1.5 of "1.5e+"
            self._at = end
            return value

    def end(self) -> None:
        """
        Make sure that nothing follows.

        :raises ValueError: if something does.
        """
        if self.peek():
            raise ValueError("something follows")
