"""The line that a finding is about, without secrets."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from airflow_provider.audit.analysis.secrets.values import is_reference, names_secret, secrets_shaped, secrets_within
from airflow_provider.audit.analysis.shell.parsing import parse
from airflow_provider.audit.analysis.shell.passed_secrets import passed_secrets
from airflow_provider.execution.results.redaction import clean

LIMIT = 200
"""Maximum number of characters that are shown."""
MAX_LINE = 4_000
"""Longer lines are not shown."""
HIDDEN = "***"
_PAIR = re.compile(r"^(?P<before>[\s-]*[\"']?(?P<name>\w[\w.-]*)[\"']?\s*:\s+)(?P<value>\S.*)$")
_VALUES = frozenset({"value", "defaults", "default"})
"""Keys that a name beside them may make secret."""
_LOGIN = re.compile(r":(?!//)([^\s\"']{1,500})@[\w.\[]")
"""``user:password@host``, with or without a scheme."""
_RANDOM = re.compile(r"(?<![\w+/=.-])(?=[\w+/=-]*[a-z])(?=[\w+/=-]*[A-Z])(?=[\w+/=-]*\d)[\w+/=-]{20,}")
"""A long word of small and capital letters and digits."""
_WITHOUT_QUOTES = str.maketrans("", "", "\\\"'")
_ITEM = re.compile(r"(?:-\s+)?[\"']?")


def excerpt(line: str, secret: str | None, others: Iterable[str] = ()) -> str | None:
    """
    A line as a report may show it.

    Every text that looks like a secret is replaced, whether a rule reports it or not.

    :param secret: what the finding is about, if that is a secret.
    :param others: other values to hide.
    :returns: None if the line is too long, empty, or does not contain the whole secret, so that parts of it may be visible.
    """
    text = line.rstrip("\r\n")
    if not any(map(str.isalnum, text)) or len(text) > MAX_LINE or (secret and secret not in text):
        return None
    elsewhere = {value for value in others if value not in line}
    if any(_shows_part(line, value) for value in elsewhere):
        return None
    for value in sorted({*([secret] if secret else []), *others, *_secrets(text)} - elsewhere, key=len, reverse=True):
        if value not in line:
            return None  # the parser sees another text, so it can't be found and hidden
        text = text.replace(value, HIDDEN)
    if (match := _PAIR.match(text)) and (match["name"] in _VALUES or names_secret(match["name"])) and not is_reference(match["value"]):
        text = match["before"] + HIDDEN
    return clean(text.strip(), limit=LIMIT)


def _shows_part(line: str, value: str) -> bool:
    """Whether a line contains a word of a value that is written differently, or on several lines."""
    shown = line.translate(_WITHOUT_QUOTES)
    return any(len(word) > 3 and word in shown for word in value.translate(_WITHOUT_QUOTES).split())


def _secrets(line: str) -> Iterator[str]:
    """At any confidence: one too many does no harm here."""
    for secret in (*secrets_shaped(line), *secrets_within(line)):
        yield secret.value
    yield from (match[1] for match in _LOGIN.finditer(line))
    yield from _RANDOM.findall(line)
    item = line.strip()
    item = item[_ITEM.match(item).end() :].removesuffix('"').removesuffix("'")  # type: ignore[union-attr]
    for script in (parse(line, None), parse(item, None)):
        for assignment in script.assignments:
            if names_secret(assignment.name) and assignment.value.text and not is_reference(assignment.value.text):
                yield assignment.value.text
        for pipeline in script.every_pipeline():
            passed = (value for name, value in passed_secrets(pipeline) if names_secret(name))
            yield from (value for value in passed if len(value) > 1 and not is_reference(value))
