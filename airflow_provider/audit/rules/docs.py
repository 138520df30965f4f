"""The docstring of a rule: what it finds, then sections headed ``Why:``, ``Fix:``, ``Before:`` and ``After:``."""

from __future__ import annotations

import inspect
import re

SECTIONS = ("Why", "Fix", "Before", "After")
_HEADING = re.compile(rf"^({'|'.join(SECTIONS)}):[ ]*\n?", re.MULTILINE)


def docs_of(docstring: str) -> dict[str, str]:
    """The parts of a docstring that has no indentation: ``what``, ``why``, ``fix``, ``before``, ``after``. Missing ones are empty."""
    what, *parts = _HEADING.split(docstring)
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    return {"what": what.strip(), **{name.lower(): inspect.cleandoc(sections.get(name, "")).strip() for name in SECTIONS}}
