"""
Files of records: JSON lines, a list, or one record.

A record that can't be read is a gap, so that the others are checked and the audit counts as incomplete.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from io import StringIO
from typing import IO, Any

import ijson  # type: ignore[import-untyped]
from pydantic_core import from_json

from airflow_provider.audit.facts.fact import Fact, Subject
from airflow_provider.audit.facts.gap import GapFacts
from airflow_provider.audit.records.export import facts_of
from airflow_provider.errors import ConfigurationError

MAX_CHARACTERS = 16_000_000
"""Maximum number of characters of one record. A longer list is read item by item."""
_BYTE_ORDER_MARK = "\ufeff"


def facts_in(file: IO[str], name: str) -> Iterator[Fact]:
    """
    The facts of a file, one record in memory at a time.

    :param name: of the file, for gaps.
    :raises ConfigurationError: if it is no JSON at all.
    """
    for number, item in enumerate(_records(file, name), 1):
        place = f"{name}, record {number}"
        if isinstance(item, _Unreadable):
            yield _gap(f"{name}, line {item.line}", item.reason)
            continue
        try:
            yield from (_named(fact, name) for fact in facts_of(item))
        except ConfigurationError as error:
            yield _gap(place, str(error))
        except RecursionError:
            yield _gap(place, "It is nested too deeply.")


def _named(fact: Fact, file: str) -> Fact:
    """A gap among the items of an answer, with the file."""
    if not isinstance(fact, GapFacts) or fact.subject.system != "audit":
        return fact
    place = f"{file}: {fact.subject.title}"
    return replace(fact, subject=replace(fact.subject, id=place, title=place))


class _Unreadable:
    def __init__(self, line: int, reason: str) -> None:
        self.line, self.reason = line, reason


def _records(file: IO[str], name: str) -> Iterator[Any]:
    lines = _lines(file)
    first = next(((number, line) for number, line in lines if line is None or line.strip(" \t\r\n" + _BYTE_ORDER_MARK)), None)
    if first is None:
        return
    number, line = first
    line = None if line is None else line.lstrip(_BYTE_ORDER_MARK)
    whole = None if line is None else _parsed(line)
    if isinstance(whole, list):
        yield from whole
    elif whole is not None and not isinstance(whole, str):
        yield whole
    elif line is not None and line.lstrip()[:1] in ("[", "{") and not line.rstrip().endswith("}"):  # on several lines
        yield from _document(line, file, name)
        return
    else:
        yield _Unreadable(number, whole or _TOO_LONG)
    for number, text in lines:
        if text is None:
            yield _Unreadable(number, _TOO_LONG)
        elif text.strip():
            record = _parsed(text)
            yield _Unreadable(number, record) if isinstance(record, str) else record


_TOO_LONG = f"It has more than {MAX_CHARACTERS:,} characters, so it was not read."


def _lines(file: IO[str]) -> Iterator[tuple[int, str | None]]:
    """The lines with their numbers; None for one that is too long."""
    number = 0
    while line := file.readline(MAX_CHARACTERS):
        number += 1
        if len(line) < MAX_CHARACTERS or line.endswith("\n"):
            yield number, line
            continue
        while (rest := file.readline(MAX_CHARACTERS)) and not rest.endswith("\n"):
            pass
        yield number, None


def _parsed(text: str) -> Any:
    """The JSON value of a text; or, as text, why it has none."""
    try:
        value = _fast(text)
    except json.JSONDecodeError as error:
        return f"It is not valid JSON: {error.msg}."
    except RecursionError:
        return "It is nested too deeply."
    except ValueError:  # a number of thousands of digits
        return "It is not valid JSON: a number is too long."
    return value if value is not None and not isinstance(value, str) else "It is no record."


def _fast(text: str) -> Any:
    """As ``json.loads``, in half the time for what both can read."""
    try:
        return from_json(text)
    except ValueError:  # single surrogates, for example
        return json.loads(text)


def _document(line: str, file: IO[str], name: str) -> Iterable[Any]:
    """The records of a document on several lines."""
    text = line + file.read(MAX_CHARACTERS)
    if len(text) >= MAX_CHARACTERS:
        return _items(text, file, name)
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        lines = [_parsed(part) for part in text.splitlines() if part.strip()]
        if any(isinstance(item, dict) and "kind" in item for item in lines):  # one record a line, of which the first is damaged
            return [_Unreadable(number, item) if isinstance(item, str) else item for number, item in enumerate(lines, 1)]
        raise ConfigurationError(f"{name}: Line {error.lineno} is not valid JSON: {error.msg}.") from None
    except RecursionError:
        raise ConfigurationError(f"{name}: It is nested too deeply.") from None
    except ValueError:
        raise ConfigurationError(f"{name}: It is not valid JSON: a number is too long.") from None
    return data if isinstance(data, list) else [data]


def _items(text: str, file: IO[str], name: str) -> Iterator[Any]:
    """The items of a long list."""
    if not text.lstrip().startswith("["):
        raise ConfigurationError(f"{name}: {_TOO_LONG}")
    try:
        yield from ijson.items(_Joined(text, file), "item", use_float=True)
    except ijson.JSONError as error:
        yield _Unreadable(1, f"What follows is not valid JSON: {str(error).splitlines()[0][:100]}.")


class _Joined:
    """What was read of a file, and the rest of it."""

    def __init__(self, text: str, file: IO[str]) -> None:
        self._text, self._file = StringIO(text), file

    def read(self, size: int = -1) -> bytes:
        return (self._text.read(size) or (self._file.read(size) if size else "")).encode("utf-8", "replace")


def _gap(place: str, reason: str) -> GapFacts:
    return GapFacts(subject=Subject(place, "record", place, "audit", ""), reason=reason)
