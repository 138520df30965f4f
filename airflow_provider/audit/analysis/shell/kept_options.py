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

Options = Mapping[str, tuple[Word, ...]]


def options_in(assignments: Iterable[Assignment]) -> Options:
    """The variables whose values are options, with the words of the value."""
    options: dict[str, tuple[Word, ...]] = {}
    for item in assignments:
        text = item.value.text.strip()
        text = text[1:-1] if text.startswith("(") and text.endswith(")") else text
        if item.value.literal and text.startswith("-"):
            try:
                words = shlex.split(text)
            except ValueError:
                continue
            options[item.name] = (*options.get(item.name, ()), *map(Word, words[:MAX_WORDS]))[:MAX_WORDS]
    return options


def with_options(command: Command, options: Options) -> Command:
    """The command with the values of such variables in their place."""
    if not options or all(word.literal for word in command.words):
        return command
    words: list[Word] = []
    for word in command.words:
        match = None if word.literal else _WHOLE.fullmatch(word.text)
        words += options.get(match[1] or match[2], (word,)) if match else (word,)
    return replace(command, words=tuple(words))
