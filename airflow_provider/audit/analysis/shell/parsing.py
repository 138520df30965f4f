"""Texts as scripts."""

from __future__ import annotations

from functools import lru_cache

from airflow_provider.audit.analysis.shell.script import Script

MOST = 256 * 1024
"""Characters of a script that are parsed; :attr:`Script.cut` says if there are more."""


@lru_cache(maxsize=32)
def parse(text: str, shell: str | None = None) -> Script:
    """
    Take a script apart. Never fails: what can't be understood is left out, and ``broken`` says so.

    :param shell: ``SH``, ``BASH`` or ``POWERSHELL``; None for a shell like sh.
    """
    if (shell or "").upper() in ("POWERSHELL", "PWSH"):
        from airflow_provider.audit.analysis.shell import powershell as grammar
    else:
        from airflow_provider.audit.analysis.shell import bash as grammar  # type: ignore[no-redef]
    return grammar.parse(text[:MOST], cut=len(text) > MOST)
