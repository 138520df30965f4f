"""The model of a script, independent of the shell: pipelines of simple commands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from airflow_provider.audit.analysis.shell.wrappers import WRAPPERS, behind_wrapper


@dataclass(frozen=True, slots=True)
class Expansion:
    """A variable in a word. ``quoted``: its value is not split into words."""

    name: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class Word:
    """
    A word of a command.

    :param text: without quotes; expansions are unchanged.
    :param literal: whether the text is the value, without expansions.
    :param nested: command substitutions.
    :param line: where it begins; 0 if that is not known.
    """

    text: str
    literal: bool = True
    expansions: tuple[Expansion, ...] = ()
    nested: tuple[Nested, ...] = ()
    line: int = 0


@dataclass(frozen=True, slots=True)
class Assignment:
    """An assignment to a variable. ``exported``: visible to all following commands."""

    name: str
    value: Word
    line: int
    exported: bool = False


@dataclass(frozen=True, slots=True)
class Redirection:
    """``operator`` such as ``>``, ``<``, ``<<<``, ``2>``; the target of a heredoc is its body."""

    operator: str
    target: Word


@dataclass(frozen=True, slots=True)
class Nested:
    """
    A script in a command.

    :param via: ``group`` for a subshell, loop or branch that is part of a pipe, ``command`` for ``$(...)``, ``process`` for ``<(...)``,
        ``string`` for ``sh -c '...'`` and ``eval '...'``, ``heredoc`` for one that a shell reads.
    :param body: how the pipelines are joined; empty if unknown.
    """

    via: str
    pipelines: tuple[Pipeline, ...]
    body: Block = field(default_factory=lambda: Block("list"))


@dataclass(frozen=True)
class Command:
    """
    One simple command.

    :param words: its name and arguments, wrappers such as ``sudo`` included; see :attr:`effective`. Empty for a group or an expression
        that is part of a pipe: :attr:`nested` holds what runs in it.
    :param line: in the script, from 1.
    """

    words: tuple[Word, ...]
    line: int
    assignments: tuple[Assignment, ...] = ()
    redirections: tuple[Redirection, ...] = ()
    nested: tuple[Nested, ...] = ()

    @cached_property
    def effective(self) -> tuple[Word, ...]:
        """The words of the command that actually runs, without wrappers such as ``sudo -E``, ``env A=b``, ``timeout 5``."""
        texts = [word.text for word in self.words]
        start = 0
        while start < len(texts) and (wrapper := WRAPPERS.get(name := base_name(texts[start]))):
            if name == "command" and texts[start + 1 : start + 2] in (["-v"], ["-V"]):
                break  # only prints its path
            behind = behind_wrapper(texts, start, wrapper)
            if behind is None:
                break
            start = behind
        return self.words[start:]

    @cached_property
    def name(self) -> str:
        """Name of the program that actually runs, in lower case, without path or ``.exe``; empty if there is none."""
        words = self.effective
        return base_name(words[0].text) if words else ""

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """The words after the name."""
        return tuple(word.text for word in self.effective[1:])

    def has(self, *options: str) -> bool:
        """
        Whether one of these options is set: ``--insecure`` (also ``--insecure=...``), or ``-k`` (also in ``-fsSk``).

        Words after ``--`` are not options.
        """
        for text in self.arguments:
            if text == "--":
                return False
            for option in options:
                short = len(option) == 2 and option[0] == "-" and option[1] != "-"
                if (
                    text == option
                    or text.startswith(f"{option}=")
                    or (short and text[:1] == "-" != text[1:2] and option[1] in _letters(text))
                ):
                    return True
        return False


def _letters(text: str) -> str:
    return text[1:] if text[1:].isalpha() else ""


def base_name(text: str) -> str:
    """Name of a program without its path, in lower case."""
    return text.replace("\\", "/").rstrip("/").rpartition("/")[2].lower().removesuffix(".exe")


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Commands joined by ``|``, usually one."""

    commands: tuple[Command, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Block:
    """
    Statements, and how they are joined.

    :param kind: ``list`` for one after another, ``chain`` for ``a && b || c``, ``not`` for ``! a``, ``if`` for conditions and branches by
        turns (at the end there may be a branch without a condition), ``loop`` for the condition and the body of ``while`` and ``until``.
    :param operators: what stands between the parts: ``&&`` or ``||`` in a chain, ``;``, ``&`` or a line end in a list.
    """

    kind: str
    parts: tuple[Statement, ...] = ()
    operators: tuple[str, ...] = ()

    def leaves(self) -> Iterator[Pipeline | Assignment]:
        """The pipelines and assignments in source order, without nested ones."""
        waiting: list[Statement] = [self]
        while waiting:
            part = waiting.pop()
            if isinstance(part, Block):
                waiting.extend(reversed(part.parts))
            else:
                yield part


Statement = Pipeline | Assignment | Block


@dataclass(frozen=True, slots=True)
class Script:
    """
    A parsed script.

    :param pipelines: at the top level and in loops, branches and functions, in source order.
    :param broken: whether parts have syntax errors; the rest is parsed.
    :param cut: whether only the first part was parsed.
    :param body: how the pipelines are joined; empty for PowerShell.
    """

    pipelines: tuple[Pipeline, ...]
    assignments: tuple[Assignment, ...] = ()
    broken: bool = False
    cut: bool = False
    body: Block = field(default_factory=lambda: Block("list"))

    def every_pipeline(self) -> Iterator[Pipeline]:
        """All pipelines, nested ones after the one that contains them."""
        yield from _all(self.pipelines)

    def every_command(self) -> Iterator[Command]:
        """All commands, including nested ones."""
        for pipeline in self.every_pipeline():
            yield from pipeline.commands


def _all(pipelines: tuple[Pipeline, ...]) -> Iterator[Pipeline]:
    waiting = list(reversed(pipelines))
    while waiting:
        pipeline = waiting.pop()
        yield pipeline
        inner = [item for command in pipeline.commands for nested in command.nested for item in nested.pipelines]
        waiting.extend(reversed(inner))
