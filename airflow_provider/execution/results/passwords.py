"""Passwords within a text, by what stands around them: in addresses, connection strings, JSON and Go's data source names."""

from __future__ import annotations

import re
from collections.abc import Iterator

ADDRESS = r"(://[^\s/:@\"'<>]*:)([^\s/\"'<>]+)(?=@)"
"""A password in an address, up to the last ``@`` before the path. No part of it matches at two places, so it takes linear time."""
NAMED = (
    r"(?:passw(?:or)?d|(?<![a-z0-9])pwd|(?:account|access|secret)_?key|api[_-]?key|client_?secret|(?:access|refresh|auth)_?token)"
    r"(?:\]?[ \t]{0,2}=>?|\\{0,4}[\"'](?:\]?[ \t]{0,2}=>?|[ \t]{0,2}:))"
)
"""The name of a password, and what separates it from the password: ``=``, or ``:`` behind a name in quotes. Without regard to case."""
NAME_PARTS = ("passw", "pwd", "key", "token", "secret")
"""Each name contains one of these, for a quick search. In lower case."""
GO = "@(?:tcp[46]?|udp[46]?|unix|cloudsql)\\("
"""What follows the password in a data source name of Go."""

_ADDRESS = re.compile(ADDRESS)
_NAMED = re.compile(
    NAMED
    # In quotes (that JSON within JSON escapes), or up to what ends a value in a connection string, a query or a shell
    + r"[ \t]{0,2}(?:\\{1,4}[\"']([^\"']*)|\"((?:[^\"\\]|\\.?)*)|'((?:[^'\\]|\\.?)*)|([^\s&;\"'<>]+))",
    re.IGNORECASE | re.ASCII | re.DOTALL,
)
_GO = re.compile(rf"(?<![^\s\"'=])([\w.$%-]{{1,64}}:)([^\s\"']{{1,128}})(?={GO})", re.ASCII)
_NO_PASSWORD = re.compile(r"[*x.]+|\$.*|%.*|\{.*\}|\[.*\]|\d{1,5}[?#].*", re.IGNORECASE)
"""What stands for a password: asterisks, a variable, a placeholder. And a port before a query."""
_NO_VALUE = re.compile(
    r".{0,2}|[*x.#•-]+|\$.*|%.*|\{\{.*|\{[\w. ]*\}?|\[[\w. ]*\]?|<.*>|!\w.*|"
    r"(?:true|false|yes|no|none|null|nil|undefined|(?:un)?set|empty|blank|required|optional|missing|invalid|expired|changed|"
    r"redacted|hidden|masked|filtered|secret|encrypted|str|string|text|prompt|password|pwd)",
    re.IGNORECASE | re.DOTALL,
)
"""What is no password behind its name: a mask, a variable, a placeholder, a word about it, and what is too short."""
_PATH = re.compile(r"[/~.]|[a-z]:[/\\]", re.IGNORECASE)
"""How a folder begins: to shells ``PWD`` is one."""


def passwords(text: str) -> list[str]:
    """The passwords in a text."""
    return [text[start:end] for start, end in _places(text)]


def without_passwords(text: str, put: str) -> str:
    """The text with something else in the place of each password."""
    pieces, done = [], 0
    for start, end in sorted(_places(text)):
        if start >= done:
            pieces += [text[done:start], put]
        done = max(done, end)
    return "".join([*pieces, text[done:]]) if done else text


def _places(text: str) -> Iterator[tuple[int, int]]:
    """Start and end of each password. Some may overlap."""
    if "://" in text:
        yield from (match.span(2) for match in _ADDRESS.finditer(text) if not _NO_PASSWORD.fullmatch(match[2]))
    lowered = text.lower()
    if any(part in lowered for part in NAME_PARTS):
        for match in _NAMED.finditer(text):
            group = match.lastindex or 0
            value = match[group].rstrip("\\").rstrip(",.)]}") if group == 4 else match[group].rstrip("\\")
            is_folder = _PATH.match(value) and match[0][:3].lower() == "pwd"
            if not _NO_VALUE.fullmatch(value) and not is_folder:
                yield match.start(group), match.start(group) + len(value)
    if "@" in text and "(" in text:
        yield from (match.span(2) for match in _GO.finditer(text) if not _NO_PASSWORD.fullmatch(match[2]))
