"""The result of an audit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from airflow_provider import _clock
from airflow_provider.audit.engine.baseline import Baseline
from airflow_provider.audit.engine.finding import UNCHANGED, Finding, worst_first
from airflow_provider.audit.facts.fact import Subject
from airflow_provider.audit.facts.gap import GapFacts
from airflow_provider.audit.facts.window import WindowFacts
from airflow_provider.audit.rules.outcome import Status
from airflow_provider.audit.settings.levels import Severity
from airflow_provider.audit.settings.model import AuditSettings


@dataclass(frozen=True)
class RuleError:
    """An exception in a rule. ``where`` is file and line; the message is left out, since it may contain remote data."""

    rule: str
    subject: str
    error: str
    where: str


@dataclass(frozen=True)
class Point:
    """The counts of one audit, for the trend: without accepted findings, by severity."""

    at: datetime
    run: str
    counts: Mapping[str, int]
    new: int


@dataclass(frozen=True)
class Problem:
    """Why an audit is no pass, whatever it found. ``kind``: ``missing``, ``empty`` or ``gaps``."""

    kind: str
    text: str


@dataclass
class AuditResult:
    """
    The result of an audit.

    :param outcomes: number of facts by rule and status. A fact counts as ``waived`` if all its findings are waived.
    :param reasons: the most common reasons for *not available* by rule, and their numbers.
    :param subjects: number of checked subjects of each kind: those of which at least one rule passed or failed.
    :param fixed: findings of the baseline that are no longer found.
    :param findings_omitted: number of findings beyond ``MAX_FINDINGS``, by severity, without accepted ones. They are a gap, too.
    :param baseline: for the next audit.
    :param windows: facts for the plots of durations and failure rates.
    :param trend: the counts of the latest audits, this one last; empty if they are not kept.
    """

    started_at: datetime
    since: datetime | None = None
    until: datetime | None = None
    findings: list[Finding] = field(default_factory=list)
    fixed: list[Finding] = field(default_factory=list)
    outcomes: dict[str, Counter[Status]] = field(default_factory=dict)
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    subjects: Counter[str] = field(default_factory=Counter)
    gaps: list[GapFacts] = field(default_factory=list)
    gaps_omitted: int = 0
    errors: list[RuleError] = field(default_factory=list)
    errors_omitted: int = 0
    findings_omitted: Counter[Severity] = field(default_factory=Counter)
    baseline: Baseline = field(default_factory=Baseline)
    windows: list[WindowFacts] = field(default_factory=list)
    trend: list[Point] = field(default_factory=list)

    @property
    def checked(self) -> bool:
        """Whether anything was checked, apart from waivers."""
        return any(count for kind, count in self.subjects.items() if kind != "waiver")

    def problem(self, allow: Collection[str] = ()) -> Problem | None:
        """
        Tell why this audit is no pass, whatever it found.

        :param allow: problems that are no reason: ``missing``, ``empty``, ``gaps``.
        """
        missing = [gap for gap in self.gaps if gap.missing]
        gaps = len(self.gaps) + self.gaps_omitted
        if missing and "missing" not in allow:
            names = ", ".join(gap.subject.id for gap in missing[:3]) + (", ..." if len(missing) > 3 else "")
            return Problem("missing", f"what was named does not exist, or is not visible: {names}")
        if not self.checked and "empty" not in allow:
            return Problem("empty", f"nothing was checked: there was nothing to read{', or it could not be read' if gaps else ''}")
        if not self.complete and len(missing) < gaps + len(self.errors) and "gaps" not in allow:
            broken = len(self.errors) + self.errors_omitted
            rules = f" and {broken} rule error{'s' if broken > 1 else ''}" if broken else ""
            return Problem("gaps", f"not everything could be read or checked: {gaps} gap{'s' if gaps != 1 else ''}{rules}")
        return None

    @property
    def complete(self) -> bool:
        """Whether everything could be read, and no rule failed."""
        return not self.gaps and not self.errors

    def failing(self, settings: AuditSettings) -> list[Finding]:
        """The findings that fail the audit: not waived, at or above the fail line, and new if only those count."""
        line = settings.fail_on
        return [
            finding
            for finding in self.findings
            if finding.waiver is None
            and line.holds(finding.severity, finding.confidence)
            and not (line.new_only and finding.state == UNCHANGED)
        ]

    def failing_omitted(self, settings: AuditSettings) -> Counter[Severity]:
        """How many findings that are not listed fail the audit, by severity. No more is known of them, so they count as new and sure."""
        return Counter(
            {severity: count for severity, count in self.findings_omitted.items() if severity.reaches(settings.fail_on.severity)}
        )


def join(results: Sequence[AuditResult], now: datetime) -> AuditResult:
    """Join several results into one."""
    joined = AuditResult(now)
    joined.since = min((result.since for result in results if result.since), default=None)
    joined.until = max((result.until for result in results if result.until), default=None)
    marks: set[tuple[str, str]] = set()
    for result in results:
        for finding in result.findings:
            if (mark := (finding.fingerprint, finding.subject.conn_id)) not in marks:
                marks.add(mark)
                joined.findings.append(finding)
        joined.fixed += result.fixed
        joined.gaps += result.gaps
        joined.gaps_omitted += result.gaps_omitted
        joined.errors += result.errors
        joined.errors_omitted += result.errors_omitted
        joined.windows += result.windows
        joined.subjects.update(result.subjects)
        joined.findings_omitted.update(result.findings_omitted)
        for rule, outcomes in result.outcomes.items():
            joined.outcomes.setdefault(rule, Counter()).update(outcomes)
        for rule, reasons in result.reasons.items():
            joined.reasons.setdefault(rule, Counter()).update(reasons)
    joined.findings.sort(key=worst_first)
    joined.baseline = Baseline.of(joined.findings)
    return joined


def missing(what: object) -> AuditResult:
    """The result for an audit without a report: a gap."""
    result = AuditResult(_clock.utc_now())
    name = f"report {what}"
    result.gaps.append(GapFacts(subject=Subject(name, "report", name, "audit", ""), reason="The audit task returned no report."))
    return result
