"""Flags and numbers as people and APIs write them."""

from __future__ import annotations

import re
from typing import Any

_NUMBER = re.compile(r"[+-]?\d{1,15}(?:\.\d{1,15})?")
_WORDS = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}


def flag(value: Any) -> bool | None:
    """
    The meaning of a flag: ``"off"``, 0 and the ``no`` of YAML are as good as ``false``.

    :returns: None if it has none, such as null and ``"perhaps"``.
    """
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower())
    return bool(value) if isinstance(value, (int, float)) and value in (0, 1) else None


def is_unreadable(value: Any) -> bool:
    """Whether a flag is set to something that can't be understood."""
    return value is not None and flag(value) is None


def may_be_set(value: Any) -> bool:
    """Whether a flag is set, or can't be understood: what depends on it is then not claimed."""
    return value is not None and flag(value) is not False


def number(value: Any) -> float | None:
    """The number that a value is, also as a text such as ``"0"``; None if it is none, or none that anybody means."""
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value := value.strip()) else None
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15 else None
