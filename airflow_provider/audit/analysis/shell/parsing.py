"""Parsing of scripts."""

from __future__ import annotations

from functools import lru_cache

from airflow_provider.audit.analysis.shell.script import Script

MAX_CHARACTERS = 256 * 1024
"""Maximum number of characters of a script that are parsed, see :attr:`Script.cut`."""


@lru_cache(maxsize=32)
def parse(text: str, shell: str | None = None) -> Script:
    """
    Parse a script. Never fails: parts with syntax errors are left out, and ``broken`` is set.

    :param shell: ``SH``, ``BASH`` or ``POWERSHELL``; None for a shell like sh.
    """
    if (shell or "").upper() in ("POWERSHELL", "PWSH"):
        from airflow_provider.audit.analysis.shell import powershell as grammar
    else:
        from airflow_provider.audit.analysis.shell import bash as grammar  # type: ignore[no-redef]
    return grammar.parse(text[:MAX_CHARACTERS], cut=len(text) > MAX_CHARACTERS)
