"""A finding: a fault that an audit reports, with a fingerprint that identifies it in the next audit."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from airflow_provider.audit.facts.fact import Subject
from airflow_provider.audit.rules.evidence import Evidence
from airflow_provider.audit.rules.outcome import Fail
from airflow_provider.audit.rules.rule import Rule
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity
from airflow_provider.execution.model.snapshot import web_link
from airflow_provider.execution.results.redaction import clean

NEW, UNCHANGED = "new", "unchanged"
MAX_TITLE = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """
    All texts are cleaned: one line, without secrets. They are not escaped for HTML or Markdown.

    :param fingerprint: hash of rule, subject, field path and evidence.
    :param state: ``new`` or ``unchanged`` compared with the baseline; None without one.
    :param waiver: reason, text, owner and expiry date of the waiver that covers it, if any.
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
            }
        )


def subject_as_json(subject: Subject) -> dict[str, str | None]:
    """Plain data of a subject."""
    return {name: getattr(subject, name) for name in ("id", "kind", "title", "system", "conn_id", "url")}


def cleaned(subject: Subject) -> Subject:
    """A subject that can be shown: its title is remote text, its URL may be invalid."""
    title = clean(subject.title, limit=MAX_TITLE)
    return Subject(clean(subject.id), subject.kind, title, subject.system, subject.conn_id, web_link(subject.url))


def finding_of(
    rule: Rule, subject: Subject, outcome: Fail, severity: Severity | None = None, confidence: Confidence | None = None
) -> Finding:
    """
    Make a finding of the outcome of a rule.

    :param severity, confidence: overrides from the settings.
    """
    about = cleaned(subject)
    path = clean(outcome.path, limit=MAX_TITLE)
    return Finding(
        rule=rule.id,
        severity=severity or outcome.severity or rule.severity,
        confidence=confidence or outcome.confidence or rule.confidence,
        persona=outcome.persona or rule.persona,
        subject=about,
        path=path,
        message=clean(outcome.message),
        evidence=outcome.evidence,
        fingerprint=fingerprint(rule.id, about.id, path, outcome.evidence.text),
    )


def fingerprint(rule: str, subject: str, path: str, evidence: str) -> str:
    """Hash that identifies a finding in the next audit: 32 hexadecimal digits."""
    parts = (rule, subject, path, " ".join(evidence.split()))
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def worst_first(finding: Finding) -> tuple[int, int, str, str, str]:
    """Sort key of reports."""
    return -finding.severity.rank, -finding.confidence.rank, finding.rule, finding.subject.id, finding.path
