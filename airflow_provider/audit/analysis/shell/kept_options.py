"""Options that a script keeps in a variable: ``OPTIONS="-k -s"``, ``OPTIONS=(--insecure)``, and ``curl $OPTIONS``."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import replace

from airflow_provider.audit.analysis.shell.script import Assignment, Command, Word

MAX_WORDS = 50
"""Maximum number of words of one value that are read."""
_WHOLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:\[[@*]\])?\})")

Options = Mapping[str, list[tuple[int, tuple[Word, ...]]]]
"""Name to the values that a script gives it: line, and the words of the value; none if it is no option."""


def options_in(assignments: Iterable[Assignment]) -> Options:
    """The variables that hold options at some place of a script."""
    values: dict[str, list[tuple[int, tuple[Word, ...]]]] = {}
    for item in assignments:
        values.setdefault(item.name, []).append((item.line, _words(item)))
    return {name: each for name, each in values.items() if any(words for _, words in each)}


def _words(item: Assignment) -> tuple[Word, ...]:
    text = item.value.text.strip()
    text = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    if not item.value.literal or not text.startswith("-"):
        return ()
    try:
        return tuple(map(Word, shlex.split(text)[:MAX_WORDS]))
    except ValueError:
        return ()


def with_options(command: Command, options: Options) -> Command:
    """The command with the values of such variables in their place: the last that each was given before it."""
    if not options or all(word.literal for word in command.words):
        return command
    words: list[Word] = []
    for word in command.words:
        match = None if word.literal else _WHOLE.fullmatch(word.text)
        given = [value for line, value in options.get(match[1] or match[2], ()) if line <= command.line] if match else []
        words += given[-1] if given and given[-1] else (word,)
    return replace(command, words=tuple(words))
