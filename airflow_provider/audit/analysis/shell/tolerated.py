"""Tests and scans in a script whose failure counts as success."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from airflow_provider.audit.analysis.shell.checks import Check, check_of
from airflow_provider.audit.analysis.shell.handlers import STAGES, STATUS, Handler, Handlers, Result, only_succeeds, reads_status
from airflow_provider.audit.analysis.shell.script import Assignment, Block, Command, Pipeline, Script, Statement
from airflow_provider.audit.settings.levels import Confidence

_FORMATTERS = frozenset({
    "cat", "faucet", "go-junit-report", "gotestfmt", "head", "tail", "tap-spec", "tee", "ts", "xcbeautify", "xcpretty",
})  # fmt: skip
"""Commands at the end of a pipe that succeed whatever they read."""
MAX_LEAVES = 100
"""Maximum number of commands on a line that are searched for one that reads an exit code."""


@dataclass(frozen=True, slots=True)
class Tolerated:
    """A test or scan whose failure counts as success. ``shown``: what makes it so, without values of the script."""

    line: int
    shown: str
    confidence: Confidence


@dataclass(frozen=True, slots=True)
class _Fate:
    """
    What becomes of the failure of a test.

    :param lost: whether it counts as success.
    :param shown: what makes it so.
    :param unless_errexit: not after ``set -e``, since the script has ended before.
    """

    lost: bool
    shown: str = ""
    confidence: Confidence = Confidence.LOW
    unless_errexit: bool = False


_COUNTS = _Fate(lost=False)
"""It fails the script, unless this goes on after failures."""
_HANDLED = _Fate(lost=False)
"""It is handled, maybe so that the script fails. Told apart from :data:`_COUNTS` by its identity."""
_SUCCESS = _Fate(lost=True)
"""What was made of it is success."""


@dataclass(frozen=True, slots=True)
class _Visit:
    """
    A statement to be visited.

    :param failed: what becomes of the failure of a test if the statement fails because of it.
    :param passed: the same if the statement succeeds nevertheless.
    :param number: of the statement of a list that it is part of.
    """

    statement: Statement
    failed: _Fate
    passed: _Fate
    number: int


@dataclass(frozen=True, slots=True)
class _Open:
    """A test that may be lost unless the next statement reads one of these variables."""

    found: Tolerated
    number: int
    names: frozenset[str]
    at_end: bool


def tolerated_checks(script: Script) -> list[Tolerated]:
    """The tests and scans of a script whose failure counts as success."""
    return _Search(Handlers(script.body)).found(script.body, _COUNTS)


class _Search:
    def __init__(self, handlers: Handlers, *, inner: bool = False) -> None:
        self._handlers, self._inner = handlers, inner
        self._found: list[tuple[Check, Tolerated]] = []
        self._others: list[Tolerated] = []
        self._open: list[_Open] = []
        self._ignored: list[Tolerated] = []
        """Tests after ``set +e``."""
        self._counting: dict[tuple[str, tuple[str, ...]], int] = {}
        """The tests that count, each with the number of tolerated ones before it."""
        self._counting_tools: set[str] = set()
        self._errexit: bool | None = None
        self._pipefail = False
        self._number = 0
        self._last: Statement | None = None

    def found(self, body: Block, fate: _Fate) -> list[Tolerated]:
        """Walks without recursion, since hostile text can nest deeply."""
        waiting = [_Visit(body, fate, _SUCCESS, 0)]
        while waiting:
            waiting.extend(reversed(list(self._visit(waiting.pop()))))
        self._others += [item.found for item in self._open if item.at_end]
        sure = self._last is not None and only_succeeds(self._last)
        self._others += [replace(item, confidence=Confidence.MEDIUM) if sure else item for item in self._ignored]
        return [*self._not_checked_later(), *self._others]

    def _not_checked_later(self) -> Iterator[Tolerated]:
        for number, (check, found) in enumerate(self._found):
            if check.tolerant:
                # often the first of two: one that only reports, and one that fails because of what is severe
                yield replace(found, confidence=Confidence.LOW) if check.tool in self._counting_tools else found
            elif self._counting.get((check.tool, check.operands), 0) <= number:
                yield found

    def _visit(self, visit: _Visit) -> Iterator[_Visit]:
        statement = visit.statement
        if isinstance(statement, Pipeline):
            yield from self._pipeline(statement, visit)
        elif isinstance(statement, Assignment):
            self._next_leaf(statement, visit.number)
            yield from (_Visit(nested.body, _HANDLED, _HANDLED, visit.number) for nested in statement.value.nested)
        elif statement.kind == "chain":
            yield from self._chain(statement, visit)
        elif statement.kind == "if":
            yield from self._branches(statement, visit)
        elif statement.kind == "not":
            failed = _Fate(lost=True, shown="!") if visit.passed is _SUCCESS else visit.passed
            yield from (_Visit(part, failed, visit.failed, visit.number) for part in statement.parts)
        elif statement.kind == "loop":
            yield from (_Visit(part, _HANDLED, _HANDLED, visit.number) for part in statement.parts[:1])
            yield from (_Visit(part, visit.failed, visit.passed, visit.number) for part in statement.parts[1:])
        else:
            yield from self._list(statement, visit)

    def _list(self, block: Block, visit: _Visit) -> Iterator[_Visit]:
        fates = [visit.failed] * len(block.parts)
        start = 0
        for end in range(1, len(block.parts) + 1):
            if end < len(block.parts) and block.operators[end - 1] != "\n":
                continue
            line = block.parts[start:end]
            shown = only_succeeds(line[-1]) if visit.failed is _COUNTS and len(line) > 1 else None
            if shown and not any(map(reads_status, islice((leaf for part in line for leaf in _leaves(part)), MAX_LEAVES))):
                fate = _Fate(lost=True, shown=f"; {shown}", confidence=Confidence.MEDIUM, unless_errexit=True)
                fates[start : end - 1] = [fate] * (len(line) - 1)
            start = end
        for part, fate in zip(block.parts, fates, strict=True):
            self._number += 1
            yield _Visit(part, fate, visit.passed, self._number)

    def _chain(self, block: Block, visit: _Visit) -> Iterator[_Visit]:
        """From the end to the start: what becomes of a failure depends on what follows."""
        failed, passed = visit.failed, visit.passed
        if failed is _COUNTS and any(isinstance(part, Assignment) for part in block.parts):
            failed = _HANDLED  # the success may be kept in a variable
        visits: list[_Visit] = []
        for number in range(len(block.parts) - 1, -1, -1):
            part = block.parts[number]
            visits.append(_Visit(part, failed, passed, visit.number))
            if not number:
                break
            handler = self._handlers.handler(part)
            if block.operators[number - 1] == "||":
                failed = _after(handler, f"|| {handler.shown}", failed, passed)
            elif handler.result is Result.FAILS:
                passed = failed
        yield from reversed(visits)

    def _branches(self, block: Block, visit: _Visit) -> Iterator[_Visit]:
        parts = block.parts
        other = self._handlers.handler(parts[-1]) if len(parts) % 2 else Handler(Result.SUCCEEDS, confidence=Confidence.LOW)
        shown = "if ... else" if len(parts) % 2 else "if without else"
        for number in range(0, len(parts) - 1, 2):
            last = number + 3 >= len(parts)
            failed = _after(other, shown, visit.failed, visit.passed) if last else _HANDLED
            handler = self._handlers.handler(parts[number + 1])
            passed = _after(handler, f"if ! ... then {handler.shown}", visit.failed, visit.passed)
            yield _Visit(parts[number], failed, passed, visit.number)
            yield _Visit(parts[number + 1], visit.failed, visit.passed, visit.number)
        if len(parts) % 2:
            yield _Visit(parts[-1], visit.failed, visit.passed, visit.number)

    def _pipeline(self, pipeline: Pipeline, visit: _Visit) -> Iterator[_Visit]:
        self._next_leaf(pipeline, visit.number)
        commands = pipeline.commands
        formatted = len(commands)  # from here on, only what formats
        while formatted > 1 and commands[formatted - 1].name in _FORMATTERS:
            formatted -= 1
        for number, command in enumerate(commands):
            fate = visit.failed
            if number < len(commands) - 1 and not fate.lost:
                fate = _HANDLED
                if number >= formatted - 1 and visit.failed is _COUNTS and not self._pipefail and not self._inner:
                    fate = _Fate(lost=True, shown=f"| {commands[number + 1].name}")
            if check := check_of(command):
                self._check(check, command, fate, visit)
            if command.name == "set":
                self._set(command.arguments)
            for nested in command.nested:
                inner = _HANDLED if nested.via in ("command", "process") else fate
                if nested.via in ("string", "heredoc"):
                    self._others += _Search(self._handlers, inner=True).found(nested.body, inner)
                else:
                    yield _Visit(nested.body, inner, visit.passed if inner is visit.failed else _HANDLED, visit.number)

    def _check(self, check: Check, command: Command, fate: _Fate, visit: _Visit) -> None:
        if check.tolerant:
            self._found.append((check, Tolerated(command.line, check.tolerant, Confidence.MEDIUM)))
        elif fate is _COUNTS and self._errexit is False:
            self._open.append(_Open(Tolerated(command.line, "set +e", Confidence.LOW), visit.number, STATUS, at_end=False))
        elif fate is _COUNTS or (fate.unless_errexit and self._errexit):
            self._counting[check.tool, check.operands] = len(self._found)
            self._counting_tools.add(check.tool)
        elif fate.lost:
            found = Tolerated(command.line, fate.shown, Confidence.LOW if check.fixes else fate.confidence)
            if fate.shown.startswith("| "):
                self._open.append(_Open(found, visit.number, STAGES, at_end=True))
            else:
                self._found.append((check, found))

    def _next_leaf(self, leaf: Pipeline | Assignment, number: int) -> None:
        """The statement after a test may read its exit code."""
        self._last = leaf
        same = []
        for item in self._open:
            if item.number == number:
                same.append(item)
            elif not reads_status(leaf, item.names):
                (self._others if item.at_end else self._ignored).append(item.found)
        self._open = same

    def _set(self, arguments: tuple[str, ...]) -> None:
        for text, following in pairwise((*arguments, "")):
            if text[:1] in ("-", "+") and text[1:].isalpha():
                on, letters = text[0] == "-", text[1:]
                if "e" in letters or ("o" in letters and following == "errexit"):
                    self._errexit = on
                if "o" in letters and following == "pipefail":
                    self._pipefail = on


def _after(handler: Handler, shown: str, failed: _Fate, passed: _Fate) -> _Fate:
    """What becomes of a failure when a handler runs after it."""
    if handler.result is Result.SUCCEEDS:
        return _Fate(lost=True, shown=shown, confidence=handler.confidence) if passed is _SUCCESS else passed
    return failed if handler.result is Result.FAILS or failed.lost else _HANDLED


def _leaves(statement: Statement) -> Iterator[Pipeline | Assignment]:
    return statement.leaves() if isinstance(statement, Block) else iter((statement,))
