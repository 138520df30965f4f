"""
Comments that accept findings::

    docker_image_tag: latest  # audit: ignore[BDY001] until=2026-12-31 reason=planned Pinned with the move to Node 24

It accepts the findings of its line. On a line of its own it is about the next line. Findings about what is missing are those of the line
where the action, pipeline or workflow begins. ``reason`` is one of :class:`airflow_provider.audit.settings.reasons.Reason`; the words that
follow are free. ``owner=name`` may be added. Within quotes it is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date

from airflow_provider.audit.facts.origin import Comment, Location
from airflow_provider.audit.settings.reasons import Reason
from airflow_provider.audit.settings.rule_names import known_rule
from airflow_provider.errors import ConfigurationError

_MARK = re.compile(r"(?:^|\s)#\s*audit:\s*ignore\b(?P<rest>.*)$", re.IGNORECASE)
_RULES = re.compile(r"\[(?P<rules>[^\]]*)\]\s*(?P<words>(?:\S.*)?)")
_WORD = re.compile(r"(until|reason|owner)=(\S+)")


def comments_in(lines: Sequence[str], file: str) -> tuple[Comment, ...]:
    """
    The comments of a file.

    :raises ConfigurationError: if one is invalid, since it would silently accept nothing; it names file and line.
    """
    return tuple(_comments(lines, file))


def _comments(lines: Sequence[str], file: str) -> Iterator[Comment]:
    for number, line in enumerate(lines, 1):
        if (match := _MARK.search(line)) and not _in_quotes(line, line.index("#", match.start())):
            alone = not line[: match.start()].strip()
            covers = next((n for n in range(number + 1, len(lines) + 1) if _matters(lines[n - 1])), number) if alone else number
            try:
                yield _comment(match["rest"], Location(file, number, line.index("#", match.start()) + 1), covers)
            except ValueError as error:
                raise ConfigurationError(f"{file}, line {number}: this comment accepts nothing: {error}.") from None


def _in_quotes(line: str, position: int) -> bool:
    """Whether a place is within quotes, of YAML or of a command, that end on its line: it is text then. An apostrophe in a word is none."""
    quote, number = "", 0
    while number < position:
        character = line[number]
        if character == "\\" and quote != "'":
            number += 1
        elif quote:
            quote = "" if character == quote else quote
        elif character == '"' or (character == "'" and not line[number - 1 : number].isalnum()):
            quote = character
        number += 1
    return bool(quote) and quote in line[position:]


def _matters(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def _comment(rest: str, location: Location, covers: int) -> Comment:
    match = _RULES.fullmatch(rest.strip())
    rules = tuple(known_rule(part.strip()) for part in match["rules"].split(",") if part.strip()) if match else ()
    if match is None or not rules:
        raise ValueError("it names no rule, as in ignore[BDY001]")
    words = dict(given := _WORD.findall(match["words"]))
    if len(given) > len(words):
        raise ValueError("until, reason or owner is there twice")
    try:
        expires = date.fromisoformat(words.get("until", ""))
    except ValueError:
        raise ValueError("until must be a date such as until=2030-12-31") from None
    reasons = [reason.value for reason in Reason]
    if words.get("reason") not in reasons:
        raise ValueError(f"reason must be one of {', '.join(reasons)}, as in reason=planned")
    text = " ".join(_WORD.sub("", match["words"]).split())
    return Comment(location, rules, covers, words["reason"], text or "see the file", words.get("owner", location.file), expires)
