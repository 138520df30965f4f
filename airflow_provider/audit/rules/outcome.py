"""What a rule can say of a fact. Saying nothing means: it passed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from airflow_provider.audit.rules.evidence import Evidence, shown
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity


class Status(str, Enum):
    """What came of one rule on one fact."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    NOT_AVAILABLE = "not_available"
    """A field was missing or hidden. Never counted as a pass."""
    NOT_APPLICABLE = "not_applicable"
    WAIVED = "waived"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Fail:
    """Something is wrong at ``path``. Severity, confidence and persona of None are the rule's own."""

    path: str
    evidence: Evidence
    message: str
    severity: Severity | None = None
    confidence: Confidence | None = None
    persona: Persona | None = None


@dataclass(frozen=True, slots=True)
class NotAvailable:
    """It can't be told."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """The question does not arise."""

    reason: str = ""


Outcome = Fail | NotAvailable | NotApplicable


def fail(
    path: str,
    evidence: Evidence | object,
    message: str,
    *,
    severity: Severity | None = None,
    confidence: Confidence | None = None,
    persona: Persona | None = None,
) -> Fail:
    """
    Say that something is wrong.

    :param path: the field, such as ``execute_commands[2]``.
    :param evidence: what was found there; it makes up the fingerprint, so no times, ages or counts that differ from audit to audit.
        Text is cleaned; what is secret goes through :func:`~airflow_provider.audit.rules.evidence.hidden` first.
    :param message: one sentence for a person, with numbers if they help. Not in the fingerprint.
    """
    return Fail(path, evidence if isinstance(evidence, Evidence) else shown(evidence), message, severity, confidence, persona)


def not_available(reason: str) -> NotAvailable:
    """Say that it can't be told; ``reason`` is the same text for the same cause, so that it can be counted."""
    return NotAvailable(reason)


def not_applicable(reason: str = "") -> NotApplicable:
    """Say that the question does not arise."""
    return NotApplicable(reason)
