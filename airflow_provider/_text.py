"""Makes foreign text plain, so that it can't colour, break, group or reverse what is shown."""

from __future__ import annotations

import re

# CSI, OSC (such as hyperlinks and titles) and two-character escape sequences; none spans lines
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\n\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])|\x9b[0-?]*[ -/]*[@-~]")
# Line breaks become spaces. Other control characters except tab are removed, and so are marks that change the reading direction, and
# lone surrogates, which JSON may contain and a file can't.
_BREAK = re.compile("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_GROUP = re.compile(r"::(?=(?:end)?group::)", re.IGNORECASE)


def uncoloured(text: str) -> str:
    """The text without escape sequences."""
    return _ANSI.sub("", text)


def on_one_line(text: str) -> str:
    """The text without line breaks and control characters."""
    return _CONTROL.sub("", _BREAK.sub(" ", text))


def ungrouped(text: str) -> str:
    """The text without the marks with which Airflow's log viewer folds lines."""
    return _GROUP.sub(": :", text)


def plain(text: object) -> str:
    """The text after all of these."""
    return ungrouped(on_one_line(uncoloured(str(text))))
