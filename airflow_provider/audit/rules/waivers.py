"""Rules about waivers."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_provider.audit.facts.waiver import WaiverFacts
from airflow_provider.audit.rules.outcome import Outcome, fail, not_applicable
from airflow_provider.audit.rules.rule import rule
from airflow_provider.audit.settings.levels import Confidence, Severity
from airflow_provider.audit.settings.model import AuditSettings


@rule(
    "AUD001",
    "Expired waiver",
    on=WaiverFacts,
    systems=("audit",),
    severity=Severity.MEDIUM,
    confidence=Confidence.HIGH,
    reads=("expires",),
)
def expired_waiver(waiver: WaiverFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    A waiver has expired and no longer applies.

    Why:
    Somebody promised to review it by that day, and did not.

    Fix:
    Fix what was waived and delete the waiver, or review it and set a new date.

    Before:
    {"rule": "BDY013", "subject": "buddy:acme/web/*", "expires": "2024-01-31"}

    After:
    {"rule": "BDY013", "subject": "buddy:acme/web/*", "expires": "2030-01-31"}
    """
    if waiver.expired:
        yield fail("expires", f"{waiver.rule} {waiver.glob}", f"{waiver.owner}'s waiver of {waiver.rule} for {waiver.glob} has expired.")


@rule(
    "AUD002",
    "Unused waiver",
    on=WaiverFacts,
    systems=("audit",),
    severity=Severity.INFO,
    confidence=Confidence.MEDIUM,
    reads=("rule", "subject"),
)
def unused_waiver(waiver: WaiverFacts, settings: AuditSettings) -> Iterator[Outcome]:
    """
    The waiver covers no finding of this audit.

    Why:
    The finding was fixed, or the glob is wrong. An unused waiver hides the next finding that it matches.

    Fix:
    Delete it, or correct the glob. Keep it if this audit covered only part of the scope.

    Before:
    {"rule": "BDY013", "subject": "buddy:acme/wbe/*"}

    After:
    {"rule": "BDY013", "subject": "buddy:acme/web/*"}
    """
    if waiver.expired:
        yield not_applicable("it has expired")
    elif not waiver.used:
        yield fail("subject", f"{waiver.rule} {waiver.glob}", f"Nothing that {waiver.rule} found matches {waiver.glob}.")
