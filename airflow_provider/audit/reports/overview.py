"""Counts and names that all reports share."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from urllib.parse import quote
from zoneinfo import ZoneInfo

from airflow_provider.audit.engine.finding import NEW, UNCHANGED, Finding
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.rules import all_rules
from airflow_provider.audit.rules.rule import Rule
from airflow_provider.audit.settings.levels import Severity
from airflow_provider.execution.model.snapshot import web_link
from airflow_provider.provider_info import SYSTEMS

TITLES = {**SYSTEMS, "audit": "Audit"}
WORST_FIRST = tuple(reversed(Severity))


@dataclass
class Overview:
    """
    An audit in numbers.

    :param open: findings that no waiver covers.
    :param by_severity: number of open findings, including those beyond the limit of findings that are kept.
    """

    open: list[Finding]
    accepted: list[Finding]
    by_severity: Counter[Severity]
    new_by_severity: Counter[Severity]
    by_system: dict[str, Counter[Severity]] = field(default_factory=dict)
    fixed: int = 0
    gaps: int = 0
    errors: int = 0

    @property
    def new(self) -> int:
        """Number of open findings that are not in the baseline."""
        return sum(self.new_by_severity.values())

    @property
    def total(self) -> int:
        """Number of open findings."""
        return sum(self.by_severity.values())

    @property
    def counts(self) -> str:
        """For example ``2 critical, 5 high``."""
        return (
            ", ".join(f"{self.by_severity[severity]} {severity}" for severity in WORST_FIRST if self.by_severity[severity]) or "no findings"
        )

    @property
    def changes(self) -> str:
        """For example ``3 new, 2 fixed``; empty without changes."""
        words = ((self.new, "new"), (self.fixed, "fixed"), (len(self.accepted), "accepted"), (self.gaps, "not read"))
        broken = [f"{self.errors} rule error{'s' if self.errors > 1 else ''}"] if self.errors else []
        return ", ".join([f"{count} {word}" for count, word in words if count] + broken)


def overview(result: AuditResult) -> Overview:
    """Count."""
    open_ = [finding for finding in result.findings if finding.waiver is None]
    numbers = Overview(
        open=open_,
        accepted=[finding for finding in result.findings if finding.waiver is not None],
        by_severity=Counter(finding.severity for finding in open_) + result.findings_omitted,
        new_by_severity=Counter(finding.severity for finding in open_ if finding.state == NEW),
        fixed=len(result.fixed),
        gaps=len(result.gaps) + result.gaps_omitted,
        errors=len(result.errors) + result.errors_omitted,
    )
    for finding in open_:
        numbers.by_system.setdefault(finding.subject.system, Counter())[finding.severity] += 1
    return numbers


@lru_cache(maxsize=1)
def _rules() -> dict[str, Rule]:
    return {rule.id: rule for rule in all_rules()}


def rule_of(id: str) -> Rule | None:
    """A rule; None if this version does not have it, since a report may come from another version."""
    return _rules().get(id)


def state_of(finding: Finding) -> str:
    """``accepted``, ``new``, ``known``, or ``open`` without a baseline."""
    if finding.waiver is not None:
        return "accepted"
    return {NEW: "new", UNCHANGED: "known"}.get(finding.state or "", "open")


def acceptance(finding: Finding) -> str:
    """Why, by whom and until when a finding is accepted; empty if it is not."""
    waiver = finding.waiver
    return f"{waiver['reason'].replace('_', ' ')}: {waiver['text']} ({waiver['owner']}, until {waiver['expires']})" if waiver else ""


def href(url: str | None) -> str | None:
    """A URL that is safe as a link, with special characters of Markdown, templates and URI parsers quoted."""
    link = web_link(url)
    return quote(link, safe=":/?#@!$&'()*+,;=%~-._", errors="replace") if link else None


def readable_time(time: datetime | None, zone: str) -> str:
    """A time in readable form."""
    return time.astimezone(ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M %Z") if time else ""


def place_of(finding: Finding) -> str:
    """File, line and column of a finding in a file; else empty."""
    at = finding.location
    return f"{at.file}:{at.line}:{at.column}" if at else ""
