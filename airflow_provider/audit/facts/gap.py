"""Something that could not be read."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider.audit.facts.fact import NONE, Fact, Subject


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class GapFacts(Fact):
    """Something that could not be read, and why: no permission, an error. Nothing below it was checked."""

    subject: Subject
    fields: frozenset[str] = NONE
    reason: str
    missing: bool = False
    """Whether it was named and does not exist."""
