"""Whether waivers are still good for something."""

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
    A waiver has expired, so it no longer holds.

    Why:
    Somebody promised to look again by that day, and did not.

    Mend:
    Mend what was waived and delete the waiver, or decide anew and set another date.

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
    No finding of this audit is covered by the waiver.

    Why:
    What it was for is mended, or its glob is wrong. Left in place, it hides the next finding there.

    Mend:
    Delete it, or correct the glob. Keep it if this audit looked at a part only.

    Before:
    {"rule": "BDY013", "subject": "buddy:acme/wbe/*"}

    After:
    {"rule": "BDY013", "subject": "buddy:acme/web/*"}
    """
    if waiver.expired:
        yield not_applicable("it has expired")
    elif not waiver.used:
        yield fail("subject", f"{waiver.rule} {waiver.glob}", f"Nothing that {waiver.rule} found matches {waiver.glob}.")
