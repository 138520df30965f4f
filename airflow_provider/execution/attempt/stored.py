"""
The format of what outlives a process: notes, the arguments of triggers, and their events.

Fields that a version does not know are ignored, and fields that are missing have a default, so versions can differ for a while. Only a
change that an earlier version would misread raises the number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider.errors import ExecutionInterrupted

FORMAT = 1
"""Format that this version writes. It reads this one and all earlier ones."""
FORMAT_KEY = "format"


def check_format(stored: Mapping[str, Any], what: str, ref: str | None = None) -> None:
    """
    Refuse what this version would misread.

    :param stored: JSON. :param what: what it is, for the message.
    :raises ExecutionInterrupted: if a later version has written it.
    """
    written = stored.get(FORMAT_KEY, FORMAT)
    if not isinstance(written, int) or written > FORMAT:
        raise ExecutionInterrupted(
            f"{what} has format {written!r}, and this version of airflow-provider-executions reads formats up to {FORMAT}: a later version "
            "has written it. Nothing was started, nothing was cancelled. Install the later version in all components of Airflow; a retry "
            "of the task then goes on.",
            ref=ref,
        )
