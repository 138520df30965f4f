"""Options and commands that a script keeps in a variable: ``OPTIONS="-k -s"``, ``OPTIONS=(--insecure)``, ``CURL="curl -k"``."""

from __future__ import annotations

import re
import shlex
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import replace

from airflow_provider.audit.analysis.shell.script import Assignment, Command, Word

MAX_WORDS = 50
"""Maximum number of words of one value that are read."""
_WHOLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:\[[@*]\])?\})")
_OPTION = re.compile(r"\(?\s*-")
_PROGRAM = re.compile(r"\(?\s*[A-Za-z/~][\w./~+-]*(?=[\s)]|$)")

Options = Mapping[str, list[tuple[int, tuple[Word, ...]]]]
"""Name to the values that a script gives it, in the order of their lines: line, and the words of the value; none if it is neither."""


def options_in(assignments: Iterable[Assignment]) -> Options:
    """The variables that hold options or a command at some place of a script."""
    values: dict[str, list[tuple[int, tuple[Word, ...]]]] = {}
    for item in assignments:
        values.setdefault(item.name, []).append((item.line, _words(item)))
    return {name: sorted(each, key=lambda value: value[0]) for name, each in values.items() if any(words for _, words in each)}


def _words(item: Assignment) -> tuple[Word, ...]:
    text = item.value.text.strip()
    if not item.value.literal or not (_OPTION.match(text) or _PROGRAM.match(text)):
        return ()
    text = text[1:-1] if text.startswith("(") and text.endswith(")") else text
    try:
        return tuple(map(Word, shlex.split(text)[:MAX_WORDS]))
    except ValueError:
        return ()


def with_options(command: Command, options: Options) -> Command:
    """The command with the values of such variables in their place: the last that each was given before it."""
    if not options or all(word.literal for word in command.words):
        return command
    words: list[Word] = []
    program = len(command.words) - len(command.effective)
    for place, word in enumerate(command.words):
        match = None if word.literal else _WHOLE.fullmatch(word.text)
        values = options.get(match[1] or match[2], ()) if match else ()
        number = bisect_right(values, command.line, key=lambda value: value[0])
        kept = values[number - 1][1] if number else ()
        # elsewhere a word such as "curl" is data
        words += kept if kept and (place == program or kept[0].text.startswith("-")) else (word,)
    return replace(command, words=tuple(words))
