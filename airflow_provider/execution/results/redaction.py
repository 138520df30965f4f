"""Cleans remote text, so that it can't colour, forge, group or flood our logs, nor leak secrets."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from airflow_provider import _token_shapes
from airflow_provider._text import on_one_line, uncoloured, ungrouped
from airflow_provider.execution.model.arguments import NO_LISTS, as_sent
from airflow_provider.execution.model.result import iso
from airflow_provider.execution.model.snapshot import LogLine, Output, Snapshot
from airflow_provider.execution.results.known_secrets import HIDDEN, Secrets, parts_of
from airflow_provider.execution.results.known_secrets import hidden as without
from airflow_provider.execution.results.passwords import passwords, without_passwords

MIN_GROUP_LINES = 4
"""Minimum number of lines to fold into a group: a few lines are easier to read without one."""
MAX_LINE_CHARACTERS = 2_000
"""Maximum number of characters of a remote line to show."""
MAX_SCANNED_CHARACTERS = 16 * 1024
"""Maximum number of characters of a remote line to process."""

_SECRET_NAME = re.compile(
    r"(?:^|[^a-z])(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|secret[_-]?key|credentials?|"
    r"authorization|bearer)(?:$|[^a-z])",
    re.IGNORECASE,
)
SECRET_VALUE = re.compile("|".join(pattern for _, pattern, _ in _token_shapes.HIDDEN), re.DOTALL | re.ASCII)
"""Matches the shapes of secrets."""

_KEY_BEGINS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_KEY_ENDS = "-----END "
_KEY_HEADERS = ("Proc-Type:", "DEK-Info:")
_BASE64 = f"{string.ascii_letters}{string.digits}+/"
_MAX_KEY_LINES = 400
"""Maximum number of lines of a private key."""


def looks_secret(name: str, value: object) -> bool:
    """Whether an output is secret by its name or shape. Both are closed lists: entropy is not considered."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)  # camelCase
    return bool(_SECRET_NAME.search(words)) or (isinstance(value, str) and (bool(SECRET_VALUE.search(value)) or bool(passwords(value))))


def secret_shapes(text: str) -> list[str]:
    """The parts of a text that have the shape of a secret."""
    return SECRET_VALUE.findall(text)


def secret_texts(value: Any) -> Iterator[str]:
    """
    The texts within a value that are secret by their name or shape. For what a task sends, which the remote side may echo.

    :param value: JSON, or what becomes JSON when it is sent, see :func:`~airflow_provider.execution.model.arguments.plain_json`.
    """
    value = as_sent(value)
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from all_texts(item) if looks_secret(str(as_sent(key)), None) else secret_texts(item)
    elif isinstance(value, Sequence) and not isinstance(value, NO_LISTS):
        for item in value:
            yield from secret_texts(item)
    elif isinstance(value, str) and looks_secret("", value):
        yield value
        yield from passwords(value)


def all_texts(value: Any) -> Iterator[str]:
    """All texts and numbers within a value, such as below a secret name, as they are sent."""
    value = as_sent(value)
    if isinstance(value, Mapping):
        for item in value.values():
            yield from all_texts(item)
    elif isinstance(value, Sequence) and not isinstance(value, NO_LISTS):
        for item in value:
            yield from all_texts(item)
    elif isinstance(value, (str, int, float)) and not isinstance(value, bool):
        yield str(value)


def secrets_in(snapshot: Snapshot) -> list[str]:
    """The texts to hide: those of secret outputs of the execution and all its steps, and what the task itself passed."""
    places = [snapshot.outputs, *(step.outputs for step in snapshot.steps)]
    return [*snapshot.hidden, *(text for outputs in places for name, output in outputs.items() for text in output_secrets(name, output))]


def output_secrets(name: str, output: Output) -> Iterator[str]:
    """The secret texts of an output: all texts if the output is secret as a whole, and the secret ones within it."""
    if output.secret:
        yield from all_texts(output.value)
    yield from secret_texts({name: output.value})


def clean(text: object, secrets: Iterable[str] = (), limit: int | None = MAX_LINE_CHARACTERS) -> str:
    """
    Clean one remote line for our logs, messages and XComs.

    :param text: the line, unchanged.
    :param secrets: values to hide, besides those that have the shape of a secret.
    :param limit: maximum number of characters to keep; None for all.
    """
    whole = str(text)
    line = cleaned(uncoloured(whole if limit is None else whole[:MAX_SCANNED_CHARACTERS]), parts_of(secrets))
    return line if limit is None or len(line) <= limit else f"{line[:limit]}… (cut; {len(whole)} characters in total)"


def cleaned(line: str, hidden: Sequence[str]) -> str:
    """
    Clean a line of any length that has no escape sequences.

    :param hidden: see :func:`~airflow_provider.execution.results.known_secrets.parts_of`.
    """
    line = without(on_one_line(without(line, hidden)), hidden)
    return ungrouped(without_passwords(SECRET_VALUE.sub(HIDDEN, line), HIDDEN))


def within_key(line: LogLine, inside: dict[str, int]) -> bool:
    """
    Whether a line belongs to a private key that is printed over several lines: a single one of them has no known shape.

    :param inside: step to the number of lines of its key so far; updated here. JSON.
    """
    text, so_far = uncoloured(line.text[:MAX_SCANNED_CHARACTERS]), inside.pop(line.step, 0)
    if _begins_key(text):
        inside[line.step] = 1
        return False  # the rest of this line has a known shape
    if not so_far or so_far > _MAX_KEY_LINES or not (_KEY_ENDS in text or _may_be_of_key(text)):
        return False
    if _KEY_ENDS not in text:
        inside[line.step] = so_far + 1
    return True


def _begins_key(text: str) -> bool:
    """Whether a private key begins on this line, and does not end on it."""
    ends = [match.end() for match in _KEY_BEGINS.finditer(text)]
    return bool(ends) and _KEY_ENDS not in text[ends[-1] :]


def _may_be_of_key(text: str) -> bool:
    """Whether a line looks like one of a private key, perhaps with the prefix of a logger. By hand: a pattern would backtrack."""
    line = text.strip()
    padded = line.rstrip("=")
    before, padding = padded.rstrip(_BASE64), len(line) - len(padded)
    characters = len(padded) - len(before)
    if any(header in line for header in _KEY_HEADERS) or (not before and not padding):
        return True
    # The last line may be short, but as base64 its length is a multiple of 4
    whole = characters >= 12 or (characters and padding) or (characters in (4, 8) and not padding)
    return bool(whole) and padding <= 2 and (not before or before[-1].isspace() or before[-1] in "]:|>")


def without_keys(lines: Iterable[LogLine], inside: dict[str, int]) -> list[LogLine]:
    """Log lines, with private keys that span several lines hidden. ``inside``: see :func:`within_key`."""
    return [replace(line, text=HIDDEN) if within_key(line, inside) else line for line in lines]


def tail_without_keys(tail: Sequence[str]) -> list[str]:
    """The same for the tail of a log, which may begin in the middle of a key."""
    marks = [(number, _begins_key(text[:MAX_SCANNED_CHARACTERS])) for number, text in enumerate(tail) if "PRIVATE KEY-----" in text]
    cut = marks[0][0] if marks and not marks[0][1] and "-----BEGIN" not in tail[marks[0][0]] else 0
    return [HIDDEN] * cut + [line.text for line in without_keys([LogLine("", text) for text in tail[cut:]], {})]


def forward(log: Any, title: str, lines: Sequence[LogLine], secrets: Iterable[str] = ()) -> None:
    """
    Write remote log lines to a task's log, in a group for each step, with the remote step, time and level as fields.

    :param log: Airflow's structured logger. Text is only ever an argument, and the names of the fields can't clash with Airflow's.
    :param title: name of the system.
    :param secrets: values to hide.
    """
    hide = secrets if isinstance(secrets, Secrets) else tuple(secrets)
    for step, group in groupby(lines, key=lambda line: line.step):
        name = clean(step, hide)
        together = list(group)
        fold = len(together) >= MIN_GROUP_LINES
        if fold:
            log.info("::group::%s log%s", title, f": {name}" if name else "")
        for line in together:
            fields = {"remote_step": name, "remote_time": iso(line.time), "remote_level": line.level and clean(line.level, hide)}
            log.info("%s", clean(line.text, hide), **{key: value for key, value in fields.items() if value})
        if fold:
            log.info("::endgroup::")
