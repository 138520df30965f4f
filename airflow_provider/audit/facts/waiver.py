"""A waiver, after the audit that used it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from airflow_provider.audit.facts.fact import NONE, Fact, Subject


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class WaiverFacts(Fact):
    """A waiver, after the audit that used it."""

    subject: Subject
    fields: frozenset[str] = NONE
    seen_at: datetime
    rule: str
    glob: str
    owner: str
    expired: bool
    used: bool
