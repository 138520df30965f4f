"""The outcomes of a rule for a fact. No outcome means: passed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from airflow_provider.audit.rules.evidence import Evidence, shown
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity


class Status(str, Enum):
    """The result of one rule for one fact."""

    PASS = "pass"  # noqa: S105
    FAIL = "fail"
    NOT_AVAILABLE = "not_available"
    """A field was missing or hidden. Never counted as a pass."""
    CUT_OFF = "cut_off"
    """Only a part was checked, since the fact is larger than a limit. Never counted as a pass."""
    NOT_APPLICABLE = "not_applicable"
    WAIVED = "waived"

    __hash__ = str.__hash__  # much faster than that of Enum

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Fail:
    """A fault at ``path``. None for severity, confidence or persona means the rule's own."""

    path: str
    evidence: Evidence
    message: str
    severity: Severity | None = None
    confidence: Confidence | None = None
    persona: Persona | None = None


@dataclass(frozen=True, slots=True)
class NotAvailable:
    """The rule can't tell, because data is missing."""

    reason: str


@dataclass(frozen=True, slots=True)
class CutOff:
    """The rule checked only a part, because the fact is larger than a limit."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotApplicable:
    """The rule does not apply to this fact."""

    reason: str = ""


Outcome = Fail | NotAvailable | CutOff | NotApplicable


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
    Report a fault.

    :param path: the field, such as ``execute_commands[2]``.
    :param evidence: what was found there; part of the fingerprint, so without times, ages or counts that differ between audits.
        Text is cleaned; pass secrets through :func:`~airflow_provider.audit.rules.evidence.hidden` first.
    :param message: one sentence for people, with numbers if they help. Not part of the fingerprint.
    """
    return Fail(path, evidence if isinstance(evidence, Evidence) else shown(evidence), message, severity, confidence, persona)


def not_available(reason: str) -> NotAvailable:
    """Report that the rule can't tell. Use the same ``reason`` for the same cause, since reasons are counted."""
    return NotAvailable(reason)


def cut_off(reason: str) -> CutOff:
    """Report that only a part was checked. The audit then counts as incomplete, and its report names the fact and the reason."""
    return CutOff(reason)


def not_applicable(reason: str = "") -> NotApplicable:
    """Report that the rule does not apply."""
    return NotApplicable(reason)
