"""Proof that can be shown: cleaned text, or of a secret its kind and a short hash, by which it is recognised in the next audit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from airflow_provider.execution.remote_text import clean

LIMIT = 300
"""Characters of evidence."""
HASH = 8
"""Hexadecimal digits: enough to tell secrets of one installation apart, too few to look one up."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a report may show. ``secret``: the text stands for a value that is not in it."""

    text: str
    secret: bool = False


def shown(value: object) -> Evidence:
    """Any value, cleaned; what is secret by its shape is masked."""
    return Evidence("null" if value is None else clean(str(value), limit=LIMIT))


def hidden(kind: str, value: object) -> Evidence:
    """
    Stand for a secret.

    :param kind: what it is, in words, such as ``private key``.
    """
    digest = hashlib.sha256(str(value).encode("utf-8", "surrogatepass")).hexdigest()
    return Evidence(f"{clean(kind, limit=80)} (sha256 {digest[:HASH]}…)", secret=True)
