"""Evidence that can be shown: cleaned text; for a secret its kind and a short hash, which identifies it in the next audit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from airflow_provider.execution.results.redaction import clean

LIMIT = 300
"""Maximum number of characters."""
HASH = 8
"""Hexadecimal digits: enough to distinguish the secrets of one installation, too few to look one up."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    Text that a report may show.

    :param secret: it stands for a value that it does not contain.
    :param value: that value, to hide it elsewhere. It is never stored.
    """

    text: str
    secret: bool = False
    value: str = field(default="", repr=False, compare=False)


def shown(value: object) -> Evidence:
    """Any value, cleaned; secrets of a known format are masked."""
    return Evidence("null" if value is None else clean(str(value), limit=LIMIT))


def hidden(kind: str, value: object) -> Evidence:
    """
    Evidence for a secret, without its value.

    :param kind: such as ``private key``.
    """
    digest = hashlib.sha256(str(value).encode("utf-8", "surrogatepass")).hexdigest()
    return Evidence(f"{clean(kind, limit=80)} (sha256 {digest[:HASH]}…)", secret=True, value=str(value))
