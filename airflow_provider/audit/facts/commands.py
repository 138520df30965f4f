"""Fields that a shell runs."""

from __future__ import annotations

import json
import re
import shlex
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate

from airflow_provider.audit.analysis.shell.parsing import parse
from airflow_provider.audit.analysis.shell.script import Assignment, Command, Pipeline, Script
from airflow_provider.audit.facts.origin import FieldPath

MAX_LINES = 50
"""Number of lines of a command that are searched for one of its words."""


@dataclass(frozen=True)
class Commands:
    """A field that a shell runs: a block, or a list of lines that run as one script."""

    path: str
    lines: tuple[str, ...]
    shell: str | None
    block: bool = False
    short: bool = False
    """Whether lines or parts of them were left out, since there are too many."""

    def shortened(self, limit: int) -> Commands:
        """The first ``limit`` characters."""
        lines: list[str] = []
        for line in self.lines:
            if len(line) > limit:
                return replace(self, lines=(*lines, line[: max(limit, 0)]), short=True)
            lines.append(line)
            limit -= len(line) + 1
        return self

    @cached_property
    def text(self) -> str:
        """The script."""
        return "\n".join(self.lines)

    @cached_property
    def parsed(self) -> tuple[tuple[int, Script], ...]:
        """
        The parsed script, with the number of lines before it.

        One script; if the whole has syntax errors, each element on its own, and of a broken one of several lines also each line, so that a
        stray quote does not hide what follows.
        """
        whole = parse(_with_plain_names(self.text), self.shell)
        if not whole.broken:
            return ((0, whole),)
        if len(self.lines) < 2:
            return ((0, whole), *self._lost_lines(0, self.text, whole))
        made: list[tuple[int, Script]] = []
        for start, line in zip(self._starts, self.lines, strict=False):
            made.append((start - 1, parse(_with_plain_names(line), self.shell)))
            if made[-1][1].broken:
                made += self._lost_lines(start - 1, line, made[-1][1])
        return tuple(made)

    def _lost_lines(self, before: int, text: str, script: Script) -> Iterator[tuple[int, Script]]:
        """The lines of a broken script in which no command was seen, each as a script. Not those of texts that are passed by ``<<``."""
        seen = {command.line for command in script.every_command()}
        end: str | None = None
        for number, line in enumerate(text.split("\n"), 1):
            if end is not None:
                end = None if line.strip() == end else end
            elif number not in seen and line.strip():
                yield before + number - 1, parse(_with_plain_names(line), self.shell)
            if end is None and (opened := _HERE.search(line)):
                end = opened[1]

    @property
    def cut(self) -> bool:
        """Whether it is so long that only its first part was parsed."""
        return self.short or any(script.cut for _, script in self.parsed)

    @cached_property
    def _starts(self) -> list[int]:
        return list(accumulate((line.count("\n") + 1 for line in self.lines), initial=1))

    def every_pipeline(self) -> Iterator[tuple[FieldPath, Pipeline]]:
        """All pipelines, each with the path of its element."""
        for before, script in self.parsed:
            for pipeline in script.every_pipeline():
                yield self.path_at(before + pipeline.line), pipeline

    def every_command(self) -> Sequence[tuple[FieldPath, Command]]:
        """All commands, likewise."""
        return self._commands

    def every_assignment(self) -> Iterator[tuple[FieldPath, Assignment]]:
        """All assignments, likewise."""
        for before, script in self.parsed:
            for assignment in script.assignments:
                yield self.path_at(before + assignment.line), assignment

    def path_at(self, line: int) -> FieldPath:
        """Path of the element that contains a line of :attr:`text` (from 1), with the line within the element."""
        if self.block:
            return FieldPath(self.path, line - 1)
        number = bisect_right(self._starts, line) - 1
        return FieldPath(f"{self.path}[{number}]", line - self._starts[number])

    def path_of(self, value: str, path: FieldPath) -> FieldPath:
        """Path of the line that contains a value of the command at a path, whose words may be on several lines."""
        before = path.line if self.block else self._starts[int(path.rpartition("[")[2][:-1])] - 1 + path.line
        first = value.partition("\n")[0]
        lines = self._text_lines[before : before + MAX_LINES]
        return self.path_at(before + 1 + next((number for number, line in enumerate(lines) if first in line), 0))

    @cached_property
    def _commands(self) -> tuple[tuple[FieldPath, Command], ...]:
        """Kept, since many rules ask for them."""
        return tuple((self.path_at(before + command.line), command) for before, script in self.parsed for command in script.every_command())

    @cached_property
    def _text_lines(self) -> list[str]:
        return self.text.split("\n")


_HERE = re.compile(r"<<-?\s?[\"']?(\w{1,100})")
_DOTTED = re.compile(r"\$\{[A-Za-z_]\w*(?:\.\w+)+\}")
_TEMPLATED = re.compile(r"\$(?:\{\{|\[\[)[ \t]{0,20}([A-Za-z_][\w.-]{0,200})[ \t]{0,20}(?:\}\}|\]\])")


def _with_plain_names(text: str) -> str:
    """
    The same, with names that are replaced before a shell sees them in a form that is valid in one.

    They are Buddy's older variables such as ``${execution.tag.name}``, and ``${{ secrets.TOKEN }}`` of templates.
    """
    if "${" not in text and "$[[" not in text:
        return text
    plain = _TEMPLATED.sub(lambda match: f"${{{match[1].replace('.', '_').replace('-', '_')}}}", text)
    return _DOTTED.sub(lambda match: match[0].replace(".", "_"), plain)


def in_one_line(entrypoint: str) -> str:
    """An entrypoint as a shell command; it may be a JSON list of words."""
    try:
        words = json.loads(entrypoint) if entrypoint.lstrip().startswith("[") else None
    except ValueError:
        words = None
    return shlex.join(words) if isinstance(words, list) and all(isinstance(word, str) for word in words) else entrypoint
