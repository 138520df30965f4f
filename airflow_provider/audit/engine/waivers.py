"""Waivers: findings that are accepted, for a reason and until a date."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, datetime
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, StringConstraints

from airflow_provider.audit.engine.finding import Finding
from airflow_provider.audit.facts.fact import Subject
from airflow_provider.audit.facts.waiver import WaiverFacts
from airflow_provider.audit.settings.document import read
from airflow_provider.audit.settings.reasons import Reason
from airflow_provider.audit.settings.rule_names import RuleId

Filled = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Waiver(BaseModel):
    """Accepts one finding, or several similar ones, up to and including the day ``expires``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule: RuleId
    subject: Filled
    """Glob over the subject's id."""
    reason: Reason
    text: Filled
    owner: Filled
    expires: date
    path: Filled | None = None
    """Glob over the field path; None for any."""

    def covers(self, finding: Finding) -> bool:
        """Whether it matches a finding, expired or not."""
        return (
            self.rule == finding.rule
            and _glob(self.subject).match(finding.subject.id) is not None
            and (self.path is None or _glob(self.path).match(finding.path) is not None)
        )


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> re.Pattern[str]:
    """Wildcards are ``*`` and ``?``; square brackets are literal, since paths contain them."""
    return re.compile(translate(pattern.replace("[", "[[]")))


class WaiverFile(BaseModel):
    """A file of waivers."""

    model_config = ConfigDict(extra="forbid")

    waivers: list[Waiver] = []


class Waivers:
    """
    Waivers on one day, and which of them were used.

    :param today: the day of the audit, in its time zone.
    """

    def __init__(self, waivers: list[Waiver], today: date) -> None:
        self._today = today
        self._used = [False] * len(waivers)
        self._waivers = waivers
        self._by_rule: dict[str, list[int]] = {}
        for number, waiver in enumerate(waivers):
            self._by_rule.setdefault(waiver.rule, []).append(number)

    @classmethod
    def load(cls, path: str | Path, today: date) -> Waivers:
        """
        Read a file.

        :raises ConfigurationError: with file, line and key.
        """
        return cls(read(path, WaiverFile).waivers, today)

    def covering(self, finding: Finding) -> Waiver | None:
        """The waiver that covers a finding today. An expired one counts as used, but does not cover it."""
        holding = None
        for number in self._by_rule.get(finding.rule, ()):
            waiver = self._waivers[number]
            if waiver.covers(finding):
                self._used[number] = True
                if holding is None and waiver.expires >= self._today:
                    holding = waiver
        return holding

    def facts(self, seen_at: datetime) -> Iterator[WaiverFacts]:
        """Facts about the waivers, after everything else was checked."""
        for waiver, used in zip(self._waivers, self._used, strict=True):
            name = f"{waiver.rule} {waiver.subject}"
            yield WaiverFacts(
                subject=Subject(f"waiver:{waiver.rule}:{waiver.subject}", "waiver", f"Waiver of {name}", "audit", ""),
                fields=frozenset(Waiver.model_fields),
                seen_at=seen_at,
                rule=waiver.rule,
                glob=waiver.subject,
                owner=waiver.owner,
                expired=waiver.expires < self._today,
                used=used,
            )


def waiver_data(waiver: Waiver) -> dict[str, str]:
    """The data of a waiver that a finding holds."""
    return {"reason": waiver.reason.value, "text": waiver.text, "owner": waiver.owner, "expires": waiver.expires.isoformat()}
