"""Text that somebody else wrote, made plain: it must not colour, break, group or turn what is shown."""

from __future__ import annotations

import re

# CSI, OSC (such as hyperlinks and titles) and two-character escape sequences; none goes over a line's end
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\n\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])|\x9b[0-?]*[ -/]*[@-~]")
# What starts a new line becomes a space, other control characters but tab go, and so do the marks that turn the reading
# direction, and halves of characters, which JSON may hold and no file can.
_BREAK = re.compile("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")
_CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_GROUP = re.compile(r"::(?=(?:end)?group::)", re.IGNORECASE)


def uncoloured(text: str) -> str:
    """Without escape sequences."""
    return _ANSI.sub("", text)


def on_one_line(text: str) -> str:
    """Without line breaks and control characters."""
    return _CONTROL.sub("", _BREAK.sub(" ", text))


def ungrouped(text: str) -> str:
    """Without the marks by which Airflow's log viewer folds lines."""
    return _GROUP.sub(": :", text)


def plain(text: object) -> str:
    """All of these."""
    return ungrouped(on_one_line(uncoloured(str(text))))
