"""What runs after a command has failed: whether the failure still counts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import islice

from airflow_provider.audit.analysis.shell.script import Assignment, Block, Command, Pipeline, Statement, Word
from airflow_provider.audit.settings.levels import Confidence

_NOTHING = frozenset({"true", ":", "echo", "printf"})
"""Commands that succeed and do no more than write something."""
_HARMLESS = frozenset({"cat", "cp", "curl", "date", "head", "logger", "ls", "mkdir", "mv", "rm", "tail", "tee", "touch", "wget"})
"""Commands that succeed as a rule."""
_DECLARE = frozenset({"declare", "export", "local", "readonly", "typeset"})
_LEAVE = frozenset({"exit", "return"})
_FAIL = frozenset({"abort", "die", "fail", "false", "kill"})
_NAME = re.compile(r"[A-Za-z_]\w*")
STAGES = frozenset({"PIPESTATUS", "pipestatus"})
"""Variables with the exit codes of all commands of a pipe."""
STATUS = STAGES | {"?"}
"""Variables with the exit code of what ran before."""
MAX_LEAVES = 50
"""Maximum number of commands that are looked at. With more, it is not known what they do."""


class Result(Enum):
    """How commands end."""

    FAILS = "fails"
    SUCCEEDS = "succeeds"
    UNKNOWN = "unknown"
    """Also if they keep the failure for later."""


@dataclass(frozen=True, slots=True)
class Handler:
    """How the commands after a failure end. ``shown``: the last one, without values."""

    result: Result
    shown: str = ""
    confidence: Confidence = Confidence.LOW


_UNKNOWN = Handler(Result.UNKNOWN)
_FAILS = Handler(Result.FAILS)


class Handlers:
    """The commands of a script that run after a failure."""

    def __init__(self, body: Block) -> None:
        self._positions: dict[int, int] = {}
        self._reads: dict[str, int] = {}
        """Position of the last statement that reads a variable, or names a file."""
        self._files: dict[int, list[str]] = {}
        """The files that a statement writes, if the grammar reads ``a || b > file`` as ``{ a || b; } > file``."""
        for position, leaf in enumerate(_every_leaf(body)):
            self._positions[id(leaf)] = position
            for name in _read_by(leaf):
                self._reads[name] = position
            for last, names in _redirected(leaf):
                self._files[id(last)] = names

    def handler(self, statement: Statement) -> Handler:
        """How a statement that runs after a failure ends."""
        result, confidence, shown = Result.SUCCEEDS, Confidence.MEDIUM, ""
        parts = list(islice(_every_part(statement), MAX_LEAVES + 1))
        if len(parts) > MAX_LEAVES or not parts:
            return _UNKNOWN
        for part in parts:
            if isinstance(part, Block):
                result = Result.UNKNOWN
                continue
            ends = _of_assignment(part) if isinstance(part, Assignment) else _of_pipeline(part)
            if ends.result is Result.FAILS:
                return ends
            marks = [*_marks(part), *self._files.get(id(part), ())]
            if ends.result is Result.UNKNOWN or any(self._is_read_later(name, part) for name in marks):
                result = Result.UNKNOWN
            if ends.confidence is Confidence.LOW or marks:
                confidence = Confidence.LOW
            shown = ends.shown or shown
        return Handler(result, shown, confidence)

    def _is_read_later(self, name: str, leaf: Pipeline | Assignment) -> bool:
        return self._reads.get(name, -1) > self._positions.get(id(leaf), 0)


def only_succeeds(statement: Statement) -> str | None:
    """``true`` or ``exit 0``, if a statement is no more than that."""
    if not isinstance(statement, Pipeline) or len(statement.commands) != 1:
        return None
    command = statement.commands[0]
    if command.name in ("true", ":"):
        return command.name
    return f"{command.name} 0" if command.name in _LEAVE and command.arguments == ("0",) else None


def reads_status(leaf: Pipeline | Assignment, names: frozenset[str] = STATUS) -> bool:
    """Whether it reads the exit code of what ran before."""
    return not names.isdisjoint(_variables(leaf))


def _of_assignment(assignment: Assignment) -> Handler:
    return Handler(Result.SUCCEEDS, f"{assignment.name}=...")


def _of_pipeline(pipeline: Pipeline) -> Handler:
    result = Handler(Result.SUCCEEDS, confidence=Confidence.MEDIUM)
    for command in pipeline.commands:
        ends = _of_command(command)
        if ends.result is not Result.SUCCEEDS:
            return ends
        result = Handler(Result.SUCCEEDS, ends.shown, min(result.confidence, ends.confidence, key=lambda item: item is not Confidence.LOW))
    return result


def _of_command(command: Command) -> Handler:
    name = command.name
    if name in _LEAVE:
        return Handler(Result.SUCCEEDS, f"{name} 0", Confidence.MEDIUM) if command.arguments == ("0",) else _FAILS
    if name in _FAIL:
        return _FAILS
    if name in _NOTHING or (not name and command.nested and all(nested.via == "group" for nested in command.nested)):
        return Handler(Result.SUCCEEDS, name, Confidence.MEDIUM)
    return Handler(Result.SUCCEEDS, name) if name in _HARMLESS | _DECLARE or (not name and command.assignments) else _UNKNOWN


def _marks(leaf: Pipeline | Assignment) -> list[str]:
    """The variables that it sets, and the files that it writes: a later statement may find there that something has failed."""
    if isinstance(leaf, Assignment):
        return [leaf.name]
    names: list[str] = []
    for command in leaf.commands:
        names += [item.name for item in command.assignments]
        names += _written(command)
        if command.name in ("touch", "tee"):
            names += [name for word in command.effective[1:] for name in _files(word)]
        elif command.name in _DECLARE:
            names += [text for text in command.arguments if _NAME.fullmatch(text)]
    return names


def _written(command: Command) -> list[str]:
    files = [name for item in command.redirections if item.operator in (">", ">>", ">|") for name in _files(item.target)]
    return [name for name in files if not name.startswith("/dev/")]


def _redirected(leaf: Pipeline | Assignment) -> Iterator[tuple[Statement, list[str]]]:
    """The last statement of a chain whose output goes to files, with the files."""
    for command in leaf.commands if isinstance(leaf, Pipeline) else ():
        chain = command.nested[0].body.parts[-1:] if command.nested and not command.words else ()
        if chain and isinstance(chain[0], Block) and chain[0].kind == "chain" and (names := _written(command)):
            last = chain[0].parts[-1]
            if only_succeeds(last) is None:
                yield last, names


def _read_by(leaf: Pipeline | Assignment) -> Iterator[str]:
    """The variables that it reads, and the words that may name a file that it reads."""
    yield from _variables(leaf)
    for command in leaf.commands if isinstance(leaf, Pipeline) else ():
        if command.name not in ("touch", "rm", "mkdir", "tee", "echo", "printf"):
            for word in command.effective[1:]:
                yield from _files(word)
        for item in command.redirections:
            if item.operator == "<":
                yield from _files(item.target)


def _variables(leaf: Pipeline | Assignment) -> Iterator[str]:
    words: list[Word] = [leaf.value] if isinstance(leaf, Assignment) else []
    for command in leaf.commands if isinstance(leaf, Pipeline) else ():
        words += [*command.words, *(item.value for item in command.assignments), *(item.target for item in command.redirections)]
        if command.name == "((":
            yield from (name for word in command.words for name in _NAME.findall(word.text))
    for word in words:
        yield from (item.name.partition("[")[0] for item in word.expansions)
        if "$((" in word.text:
            yield from _NAME.findall(word.text)


def _files(word: Word) -> list[str]:
    return [part.strip("\"'").removeprefix("./") for part in word.text.split()]


def _every_part(statement: Statement) -> Iterator[Statement]:
    """The leaves of a statement, in groups that are part of a pipe too, and the blocks in it that are more than a list or a chain."""
    waiting: list[Statement] = [statement]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Block):
            if part.kind not in ("list", "chain"):
                yield part
            waiting.extend(reversed(part.parts))
            continue
        yield part
        if isinstance(part, Pipeline):
            waiting.extend(nested.body for command in part.commands for nested in command.nested if nested.via == "group")


def _every_leaf(body: Block) -> Iterator[Pipeline | Assignment]:
    """All leaves, nested ones after the one that contains them."""
    waiting: list[Statement] = [body]
    while waiting:
        part = waiting.pop()
        if isinstance(part, Block):
            waiting.extend(reversed(part.parts))
            continue
        yield part
        nested = part.value.nested if isinstance(part, Assignment) else [item for command in part.commands for item in command.nested]
        waiting.extend(item.body for item in reversed(nested))
