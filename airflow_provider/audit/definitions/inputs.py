"""What the command line is given: a file of definitions, of records or of API answers, or a folder of them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import IO, Any

from airflow_provider import _clock
from airflow_provider.audit.definitions import buddy_yaml, tracecat_file
from airflow_provider.audit.definitions.comments import comments_in
from airflow_provider.audit.definitions.document import MAX_CHARACTERS, Document
from airflow_provider.audit.facts.fact import Fact, Subject
from airflow_provider.audit.facts.gap import GapFacts
from airflow_provider.audit.facts.origin import Origin, Place
from airflow_provider.errors import ConfigurationError

YAML = (".yml", ".yaml")
READ = (*YAML, ".json", ".jsonl")
MAX_FILES = 10_000

_RECORD = re.compile('^{"', re.MULTILINE)
_NEITHER = "is neither a definition of Buddy pipelines nor one of Tracecat workflows."
INPUT = "stdin"
"""The name of standard input in reports."""

Records = Callable[[str], Iterator[Fact]]
"""Reads a file of records, or standard input (``-``)."""


def facts_in(name: str, records: Records, seen: set[Path] | None = None) -> Iterator[Fact]:
    """
    The facts of a file or a folder.

    In a folder, files that can't be read are gaps; hidden folders other than ``.buddy`` are not entered.

    :param records: reads a file of records.
    :param seen: the files that were read already, such as one that is named beside its folder: they are left out, and others added.
    :raises ConfigurationError: if the file can't be read, or the folder holds none.
    """
    path, seen = Path(name), set() if seen is None else seen
    if name == "-" or not path.is_dir():
        if not _is_new(path, seen):
            return
        yield from records(name) if name == "-" else _facts(path, records)
        return
    files = sorted(islice(_files(path), MAX_FILES + 1))
    if not files:
        raise ConfigurationError(f"{name} contains no file that can be audited ({', '.join(READ)}).")
    if len(files) > MAX_FILES:
        raise ConfigurationError(f"{name} contains more than {MAX_FILES:,} files. Name the folders to audit.")
    for file in files:
        try:
            if file.exists() and not file.is_file():  # such as a named pipe, which may never end
                raise ConfigurationError(f"{file} is no regular file.")
            yield from _facts(file, records) if _is_new(file, seen) else ()
        except (ConfigurationError, OSError) as error:
            yield _gap(file, str(error))


def facts_in_input(file: IO[str], records: Callable[[IO[str], str], Iterator[Fact]]) -> Iterator[Fact]:
    """
    The facts of standard input, whose name does not tell what it holds: definitions, or records, which are JSON and may be long.

    :raises ConfigurationError: if it is neither.
    """
    text = file.read(MAX_CHARACTERS + 1).removeprefix("\ufeff")
    is_json = text.lstrip()[:1] in ("{", "[") or _RECORD.search(text)  # the first line may be damaged
    if text.strip() and (not is_json or (len(text) <= MAX_CHARACTERS and _is_workflow(text))):
        yield from _defined(Path(INPUT), text)
    else:
        yield from records(_Again(text, file), "-")  # type: ignore[arg-type]


def _is_new(path: Path, seen: set[Path]) -> bool:
    known = path.resolve()
    if known in seen:
        return False
    seen.add(known)
    return True


class _Again:
    """What was read of a file, and the rest of it."""

    def __init__(self, text: str, file: IO[str]) -> None:
        self._text, self._file = StringIO(text), file

    def read(self, size: int) -> str:
        """The next characters."""
        text = self._text.read(size)
        return text + self._file.read(size - len(text)) if len(text) < size else text

    def readline(self, size: int) -> str:
        """The next line, or as much of it as asked for."""
        text = self._text.readline(size)
        return text if text.endswith("\n") or len(text) == size else text + self._file.readline(size - len(text))


def _files(folder: Path) -> Iterator[Path]:
    entered: set[str] = set()
    for place, folders, names in os.walk(folder, followlinks=True):
        if (real := os.path.realpath(place)) in entered:  # a link back, or a second one
            folders.clear()
            continue
        entered.add(real)
        folders[:] = sorted(one for one in folders if not one.startswith(".") or one == ".buddy")
        yield from (Path(place, one) for one in names if one.lower().endswith(READ))


def _facts(path: Path, records: Records) -> Iterator[Fact]:
    suffix = path.suffix.lower()
    if suffix in YAML or (suffix == ".json" and _holds_workflow(path)):
        yield from _definitions(path)
    else:
        yield from records(str(path))


def _definitions(path: Path) -> Iterator[Fact]:
    yield from _defined(path, _text(path))


def _defined(path: Path, text: str) -> Iterator[Fact]:
    name, now = shown(path), _clock.utc_now()
    document, parameters = buddy_yaml.read_template(text, name)
    comments = comments_in(document.lines, name)
    if not any(data is not None for data in document.data):
        raise ConfigurationError(f"{name} is empty.")
    for line, parameter in parameters:
        yield _gap(path, f"line {line}: what {parameter} stands for is not part of this file.", line)
    for (first, last), key in document.repeated.items():
        yield _gap(path, f"lines {first} and {last}: {key} is there twice, and only the last was read.", last)
    places = list(_places(document))
    known = [tracecat_file.is_workflow(data) or buddy_yaml.is_buddy_yaml(data) for _, data in places]
    for place, data in places:
        if tracecat_file.is_workflow(data):
            yield from tracecat_file.facts_of(document, place, now, comments)
        elif buddy_yaml.is_buddy_yaml(data):
            yield from buddy_yaml.facts_of(document, place[0], now, comments)
        elif any(known):
            what = f"Document {place[0] + 1} of the file" if len(place) == 1 else f"Item {place[1] + 1} of the list"
            yield _gap(path, f"{what} {_NEITHER}", document.places[place].line)
        else:
            raise ConfigurationError(f"{name} {_NEITHER}")


def _places(document: Document) -> Iterator[tuple[tuple[int, ...], Any]]:
    """The definitions of a file: its documents, or the items of a list of workflows."""
    for number, data in enumerate(document.data):
        if isinstance(data, list) and any(map(tracecat_file.is_workflow, data)):
            yield from (((number, position), item) for position, item in enumerate(data))
        elif data is not None:
            yield (number,), data


def _holds_workflow(path: Path) -> bool:
    try:
        return path.stat().st_size <= MAX_CHARACTERS and _is_workflow(_text(path))
    except ConfigurationError:  # told by the reader of records
        return False


def _is_workflow(text: str) -> bool:
    try:
        return tracecat_file.is_workflow(json.loads(text))
    except (ValueError, RecursionError):  # told by the reader of records
        return False


def _text(path: Path) -> str:
    if path.stat().st_size > 4 * MAX_CHARACTERS:
        raise ConfigurationError(f"{shown(path)} has more than {MAX_CHARACTERS:,} characters, so it was not read.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigurationError(f"{shown(path)} is not UTF-8 text.") from None


def shown(path: Path) -> str:
    """The name of a file in reports: relative to the working directory, if it is below that."""
    try:
        return path.resolve().relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return path.as_posix()


def _gap(path: Path, reason: str, line: int = 1) -> GapFacts:
    name = shown(path)
    origin = Origin(name, [], {(): Place(line, 1)})
    return GapFacts(subject=Subject(f"file:{name}", "file", name, "audit", "", None, origin), reason=reason)
