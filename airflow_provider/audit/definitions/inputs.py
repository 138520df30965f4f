"""What the command line is given: a file of definitions, of records or of API answers, or a folder of them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from airflow_provider import _clock
from airflow_provider.audit.definitions import buddy_yaml, tracecat_file
from airflow_provider.audit.definitions.comments import comments_in
from airflow_provider.audit.definitions.document import MAX_CHARACTERS
from airflow_provider.audit.facts.fact import Fact, Subject
from airflow_provider.audit.facts.gap import GapFacts
from airflow_provider.audit.facts.origin import Origin, Place
from airflow_provider.errors import ConfigurationError

YAML = (".yml", ".yaml")
READ = (*YAML, ".json", ".jsonl")
MAX_FILES = 10_000

Records = Callable[[str], Iterator[Fact]]
"""Reads a file of records, or standard input (``-``)."""


def facts_in(name: str, records: Records) -> Iterator[Fact]:
    """
    The facts of a file or a folder.

    In a folder, files that can't be read are gaps; hidden folders other than ``.buddy`` are not entered.

    :param records: reads a file of records.
    :raises ConfigurationError: if the file can't be read, or the folder holds none.
    """
    path = Path(name)
    if name == "-" or not path.is_dir():
        yield from _facts(path, records) if name != "-" else records(name)
        return
    files = sorted(_files(path))
    if not files:
        raise ConfigurationError(f"{name} contains no file that can be audited ({', '.join(READ)}).")
    if len(files) > MAX_FILES:
        raise ConfigurationError(f"{name} contains more than {MAX_FILES:,} files. Name the folders to audit.")
    for file in files:
        try:
            yield from _facts(file, records)
        except (ConfigurationError, OSError) as error:
            yield _gap(file, str(error))


def _files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith(".") or one == ".buddy")
        yield from (Path(place, one) for one in names if one.lower().endswith(READ))


def _facts(path: Path, records: Records) -> Iterator[Fact]:
    suffix = path.suffix.lower()
    if suffix in YAML or (suffix == ".json" and _holds_workflow(path)):
        yield from _definitions(path)
    else:
        yield from records(str(path))


def _definitions(path: Path) -> Iterator[Fact]:
    name, now = shown(path), _clock.utc_now()
    text = _text(path)
    document, parameters = buddy_yaml.read_template(text, name)
    comments = comments_in(document.lines, name)
    if not any(data is not None for data in document.data):
        raise ConfigurationError(f"{name} is empty.")
    for line, parameter in parameters:
        yield _gap(path, f"line {line}: what {parameter} stands for is not part of this file.", line)
    for (first, last), key in document.repeated.items():
        yield _gap(path, f"lines {first} and {last}: {key} is there twice, and only the last was read.", last)
    for number, data in enumerate(document.data):
        if data is None:
            continue
        if tracecat_file.is_workflow(data):
            yield from tracecat_file.facts_of(document, number, now, comments)
        elif buddy_yaml.is_buddy_yaml(data):
            yield from buddy_yaml.facts_of(document, number, now, comments)
        else:
            raise ConfigurationError(f"{name} is neither a definition of Buddy pipelines nor one of Tracecat workflows.")


def _holds_workflow(path: Path) -> bool:
    try:
        return path.stat().st_size <= MAX_CHARACTERS and tracecat_file.is_workflow(json.loads(_text(path)))
    except (ValueError, RecursionError, ConfigurationError):  # told by the reader of records
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
