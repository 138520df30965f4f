"""
Reads an answer as the type of its route, leniently: what nobody needs must not hide the rest.

A field that is not what the contract says becomes None, or is left out, and is kept as it came in ``as_sent`` beside it. Only ids and
statuses are demanded: a look-up that dropped an execution for its damaged id would take it for one that was never started.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json

from airflow_provider.execution.http.fields import DEMANDED
from airflow_provider.execution.http.json_text import has_nul, repaired
from airflow_provider.execution.results.redaction import clean

AS_SENT = "as_sent"
"""Key under which an object keeps the values that could not be read."""
LONG_BODY = 1024 * 1024
"""Size in bytes above which a body is read in pieces, where its type can: as a whole it takes fifteen times its size in memory."""
MAX_ROUNDS = 20
"""How often an answer is read anew: each time, everything wrong that shows is taken out."""
MAX_PROBLEMS = 1_000
"""How much may be wrong with an answer, however short it is."""
BYTES_OF_A_PROBLEM = 256
"""For each so many bytes of an answer one thing more may be wrong: a server may have changed a field of all items."""
_IDENTITY = frozenset({"id", "status", "execution_id", "rule_id", "wf_exec_id"})
"""Required fields without which an object of a list may not be dropped."""
_MAX_NOTED = 1_000
_noted: set[tuple[str, str]] = set()
"""What was logged in this process: a wait reads the same answer again and again."""
_log = logging.getLogger(__name__)

_Place = tuple[Any, ...]


class NotPlain(Exception):
    """An answer that has to be repaired or mended, which takes too long for an event loop."""


class Allowance:
    """
    How much may still be wrong with an answer. To list and take out what is wrong takes a thousand times as long as to read what is right.

    :param size: the answer's size in bytes.
    """

    def __init__(self, size: int = 0) -> None:
        self.left = MAX_PROBLEMS + size // BYTES_OF_A_PROBLEM

    def take(self, error: ValidationError) -> None:
        """
        Take an error's problems off.

        :raises ValidationError: the error, if they are too many.
        """
        if error.error_count() > self.left:
            raise error
        self.left -= error.error_count()


def read_answer(answer: Any, body: bytes | bytearray, source: str, charset: str | None = None, *, at_once: bool = False) -> Any:
    """
    Read a body as a type.

    :param answer: a type that pydantic knows. One with a ``from_body`` reads long bodies itself, with the means of this module.
    :param source: where it comes from, for the log.
    :param charset: see :func:`~airflow_provider.execution.http.json_text.repaired`.
    :param at_once: whether it must not take long.
    :raises ValidationError: if it is not JSON, lacks what is demanded, or is too damaged.
    :raises NotPlain: if it takes too long.
    """
    if has_nul(body):
        if at_once:
            raise NotPlain
        body = repaired(body)
    try:
        return _read(answer, body, source, at_once=at_once)
    except ValidationError as error:
        if not _not_json(error):
            raise
        if at_once:
            raise NotPlain from None
        body = repaired(body, charset)
        try:
            return _read(answer, body, source)
        except ValidationError as problem:
            raise (error if _not_json(problem) else problem) from None


def _read(answer: Any, body: bytes | bytearray, source: str, *, at_once: bool = False) -> Any:
    if (from_body := getattr(answer, "from_body", None)) is not None and len(body) > LONG_BODY:
        return from_body(body, source)
    try:
        return _adapter(answer).validate_json(body)
    except ValidationError as error:
        allowance = Allowance(len(body))
        if _not_json(error) or error.error_count() > allowance.left:
            raise
        if at_once:
            raise NotPlain from None
        return mended(answer, from_json(bytes(body)), error, source, allowance)


def read_value(answer: Any, value: Any, source: str, allowance: Allowance | None = None) -> Any:
    """
    Read a JSON value as a type, as :func:`read_answer` does. The value may be changed.

    :param allowance: of the answer that the value is a part of.
    :raises ValidationError: if it lacks what is demanded, or is too damaged.
    """
    try:
        return _adapter(answer).validate_python(value)
    except ValidationError as error:
        return mended(answer, value, error, source, allowance or Allowance())


def what_is_wrong(error: ValidationError) -> tuple[str, str]:
    """Where the first problem of an answer is, and what it is. Of too many there is no list, which would take too long to make."""
    if error.error_count() > MAX_PROBLEMS:
        return "", f"{error.error_count()} values are wrong"
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return ".".join(str(part) for part in first["loc"]), first["msg"]


def as_sent(answer: BaseModel) -> dict[str, Any]:
    """The fields of an object that were not what the contract says, as they came."""
    kept = (answer.model_extra or {}).get(AS_SENT)
    return kept if isinstance(kept, dict) else {}


def mended(answer: Any, value: Any, error: ValidationError, source: str, allowance: Allowance) -> Any:
    """
    Take out what is wrong until the rest can be read.

    :param value: the JSON value, which is changed here.
    :param error: what is wrong with it.
    :param allowance: how much may be wrong.
    :raises ValidationError: if what is wrong is demanded, or too much.
    """
    current, taken = error, set[str]()
    for _ in range(MAX_ROUNDS):
        allowance.take(current)
        problems = current.errors(include_url=False, include_input=False, include_context=False)
        places = [place for problem in problems if (place := _place(value, problem))]
        if not places:
            break
        for place in sorted(_innermost(places), key=_backwards, reverse=True):  # later items of a list first: the others keep their places
            taken.add(".".join("#" if isinstance(part, int) else str(part) for part in place))
            _take_out(value, place)
        try:
            mended_answer = _adapter(answer).validate_python(value)
        except ValidationError as next_error:
            current = next_error
        else:
            _note(source, taken)
            return mended_answer
    raise current


@lru_cache(maxsize=256)
def _adapter(answer: Any) -> TypeAdapter[Any]:
    return TypeAdapter(answer)


def _not_json(error: ValidationError) -> bool:
    return error.error_count() == 1 and error.errors(include_url=False, include_input=False)[0]["type"] == "json_invalid"


def _place(value: Any, problem: ErrorDetails) -> _Place:
    """Where to take something out because of a problem; empty if nothing may be."""
    place: list[int | str] = []
    within = value
    part: Any
    for part in problem["loc"]:  # a part that is not in the value names an alternative of a type
        if (isinstance(within, dict) and part in within) or (isinstance(within, list) and part in range(len(within))):
            within = within[part]
            place.append(part)
    name = problem["loc"][-1] if problem["loc"] else None
    is_demanded = name in _IDENTITY if problem["type"] == "missing" else name == "status" and place[-1:] == ["status"]
    return () if is_demanded or problem["type"] == DEMANDED else tuple(place)


def _innermost(places: Iterable[_Place]) -> list[_Place]:
    """The places that contain no other: what is wrong further in may be all that is wrong."""
    distinct = set(places)
    outer = {place[:end] for place in distinct for end in range(len(place))}
    return [place for place in distinct if place not in outer]


def _backwards(place: _Place) -> list[tuple[bool, int, str]]:
    """Sorts places, so that from the last to the first each is still where it was after those before it are taken out."""
    return [(isinstance(part, str), part if isinstance(part, int) else 0, str(part)) for part in place]


def _take_out(value: Any, place: _Place) -> None:
    """Move what is at a place into ``as_sent`` of the object around it. A plain item of a list of texts becomes a text instead."""
    around = [value]
    for part in place[:-1]:
        around.append(around[-1][part])
    within, last = around[-1], place[-1]
    item = within[last]
    if isinstance(within, list) and (item is None or isinstance(item, (bool, int, float))):
        within[last] = "" if item is None else json.dumps(item)
        return
    del within[last]
    for outer, name in zip(reversed(around), reversed(place), strict=True):
        if isinstance(outer, dict):
            kept = outer.setdefault(AS_SENT, {})
            if isinstance(kept, dict) and outer is within:
                kept[str(name)] = item
            elif isinstance(kept, dict):
                kept.setdefault(str(name), []).append(item)
            return


def _note(source: str, taken: Iterable[str]) -> None:
    """Say once in a process which fields of which answers were not what the contract says."""
    new = [field for field in sorted(taken) if (source, field) not in _noted]
    if new and len(_noted) < _MAX_NOTED:
        _noted.update((source, field) for field in new)
        fields = ", ".join(clean(field)[:100] for field in new[:10])
        _log.warning("%s answered with fields that are not what the API's contract says, and were left out: %s.", source, fields)
