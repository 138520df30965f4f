"""A finding: a fault that an audit reports, with a fingerprint that identifies it in the next audit."""

from __future__ import annotations

import hashlib
import re
from dataclasses import asdict, dataclass, replace
from typing import Any

from airflow_provider.audit.analysis.excerpt import excerpt
from airflow_provider.audit.facts.action import ActionFacts
from airflow_provider.audit.facts.fact import Fact, Subject
from airflow_provider.audit.facts.origin import Location
from airflow_provider.audit.rules.evidence import Evidence
from airflow_provider.audit.rules.outcome import Fail
from airflow_provider.audit.rules.rule import Rule
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity
from airflow_provider.execution.model.snapshot import web_link
from airflow_provider.execution.results.redaction import clean

NEW, UNCHANGED = "new", "unchanged"
MAX_TITLE = 200

_POSITION = re.compile(r"\[\d+\]")


@dataclass(frozen=True, slots=True)
class Finding:
    """
    All texts are cleaned: one line, without secrets. They are not escaped for HTML or Markdown.

    :param fingerprint: hash of rule, subject, field path and evidence.
    :param state: ``new`` or ``unchanged`` compared with the baseline; None without one.
    :param waiver: reason, text, owner and expiry date of the waiver that covers it, if any.
    :param location: in the file that the subject is written in; None for what was read from an API.
    :param line: the line that it is about, without secrets; None if there is none, or if it can't be shown.
    """

    rule: str
    severity: Severity
    confidence: Confidence
    persona: Persona
    subject: Subject
    path: str
    message: str
    evidence: Evidence
    fingerprint: str
    state: str | None = None
    waiver: dict[str, str] | None = None
    location: Location | None = None
    line: str | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain data, as in a JSON report."""
        return {
            "rule": self.rule,
            "severity": self.severity.value,
            "confidence": self.confidence.value,
            "persona": self.persona.value,
            "subject": subject_as_json(self.subject),
            "path": self.path,
            "message": self.message,
            "evidence": {"text": self.evidence.text, "secret": self.evidence.secret},
            "fingerprint": self.fingerprint,
            "state": self.state,
            "waiver": self.waiver,
            "location": None if self.location is None else asdict(self.location),
            "line": self.line,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Finding:
        """Read what :meth:`as_json` wrote."""
        return cls(
            **{
                **data,
                "severity": Severity(data["severity"]),
                "confidence": Confidence(data["confidence"]),
                "persona": Persona(data["persona"]),
                "subject": Subject(**data["subject"]),
                "evidence": Evidence(**data["evidence"]),
                "location": Location(**data["location"]) if data.get("location") else None,
            }
        )


def subject_as_json(subject: Subject) -> dict[str, str | None]:
    """Plain data of a subject."""
    return {name: getattr(subject, name) for name in ("id", "kind", "title", "system", "conn_id", "url")}


def cleaned(subject: Subject) -> Subject:
    """A subject that can be shown: its title is remote text, its URL may be invalid."""
    title = clean(subject.title, limit=MAX_TITLE)
    return Subject(clean(subject.id), subject.kind, title, subject.system, subject.conn_id, web_link(subject.url))


def finding_of(rule: Rule, fact: Fact, outcome: Fail, severity: Severity | None = None, confidence: Confidence | None = None) -> Finding:
    """
    Make a finding of the outcome of a rule.

    :param severity, confidence: overrides from the settings.
    """
    about = cleaned(fact.subject)
    path = clean(outcome.path, limit=MAX_TITLE)
    origin = fact.subject.origin
    location = origin.at(outcome.path) if origin else None
    line = origin.text_at(location) if origin and location else _command(fact, outcome.path)
    others = fact.passed_values if line and isinstance(fact, ActionFacts) else ()
    shown = excerpt(line, outcome.evidence.value or None, others) if line else None
    return Finding(
        rule=rule.id,
        severity=severity or outcome.severity or rule.severity,
        confidence=confidence or outcome.confidence or rule.confidence,
        persona=outcome.persona or rule.persona,
        subject=about,
        path=path,
        message=clean(outcome.message),
        evidence=replace(outcome.evidence, value=""),
        location=replace(location, file=clean(location.file)) if location else None,
        line=shown,
        fingerprint=fingerprint(rule.id, about.id, path, outcome.evidence.text),
    )


def _command(fact: Fact, path: str) -> str | None:
    """The line of a command."""
    if not isinstance(fact, ActionFacts):
        return None
    field, _, number = path.rstrip("]").partition("[")
    script = next((script for script in fact.scripts() if script.path == field), None)
    position = int(number) if number.isdecimal() else 0
    if script is None or script.block == bool(number) or position >= len(script.lines):
        return None
    lines, line = script.lines[position].split("\n"), getattr(path, "line", 0)
    return lines[line] if line < len(lines) else None


def fingerprint(rule: str, subject: str, path: str, evidence: str) -> str:
    """
    Hash that identifies a finding in the next audit: 32 hexadecimal digits.

    It leaves positions in lists out: a command that is inserted above does not make it new.
    """
    parts = (rule, subject, _POSITION.sub("[]", path), " ".join(evidence.split()))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def again(finding: Finding, count: int) -> Finding:
    """The same for the ``count``-th of a rule and subject with this fingerprint, such as one of the next line. The first keeps it."""
    if count == 1:
        return finding
    return replace(finding, fingerprint=fingerprint(finding.rule, finding.subject.id, finding.path, f"{finding.fingerprint} {count}"))


def worst_first(finding: Finding) -> tuple[int, int, str, str, str]:
    """Sort key of reports."""
    return -finding.severity.rank, -finding.confidence.rank, finding.rule, finding.subject.id, finding.path
