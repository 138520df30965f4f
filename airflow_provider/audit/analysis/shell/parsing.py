"""
Parsing of scripts, within bounds.

The time and the memory that the grammars take grow with the square of some texts, such as a thousand pipes. So a long script that turns
out to be such a text is parsed in small pieces instead, and counts as :attr:`~airflow_provider.audit.analysis.shell.script.Script.cut`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from types import ModuleType

from airflow_provider.audit.analysis.shell.script import Block, Script
from airflow_provider.audit.analysis.shell.trees import SHORT, TooComplex

MAX_CHARACTERS = 64 * 1024
"""Maximum number of characters of a script that are parsed, see :attr:`Script.cut`."""
PIECE = SHORT // 4
"""Maximum number of characters of a piece of a script that can't be parsed as a whole."""


@lru_cache(maxsize=8)
def parse(text: str, shell: str | None = None) -> Script:
    """
    Parse a script. Never fails: parts with syntax errors are left out, and ``broken`` is set.

    :param shell: ``SH``, ``BASH`` or ``POWERSHELL``; None for a shell like sh.
    """
    if (shell or "").upper() in ("POWERSHELL", "PWSH"):
        from airflow_provider.audit.analysis.shell import powershell as grammar
    else:
        from airflow_provider.audit.analysis.shell import bash as grammar  # type: ignore[no-redef]
    cut, text = len(text) > MAX_CHARACTERS, text[:MAX_CHARACTERS]
    try:
        return grammar.parse(text, cut=cut)
    except TooComplex:
        return _in_pieces(text, grammar)


def _in_pieces(text: str, grammar: ModuleType) -> Script:
    scripts: list[Script] = [grammar.parse(piece, cut=True, first=first) for first, piece in _pieces(text)]
    return Script(
        tuple(pipeline for script in scripts for pipeline in script.pipelines),
        tuple(assignment for script in scripts for assignment in script.assignments),
        broken=True,
        cut=True,
        body=Block("list", tuple(script.body for script in scripts), ("\n",) * (len(scripts) - 1)),
    )


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """Whole lines, as many as fit; of a longer line its beginning. Each piece with the number of its first line."""
    lines: list[str] = []
    first = size = 0
    for number, line in enumerate(text.split("\n"), 1):
        if size + len(line) >= PIECE and lines:
            yield first, "\n".join(lines)
            lines, size = [], 0
        first = first if lines else number
        lines.append(line[:PIECE])
        size += len(line) + 1
    yield first, "\n".join(lines)
