"""Comments in definitions that accept findings, and which of them were used."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime

from airflow_provider.audit.engine.finding import Finding
from airflow_provider.audit.engine.waivers import Waiver
from airflow_provider.audit.facts.fact import Subject
from airflow_provider.audit.facts.origin import Comment, Origin, Place
from airflow_provider.audit.facts.waiver import WaiverFacts


class Comments:
    """
    The comments of all files that were read.

    :param today: the day of the audit.
    """

    def __init__(self, today: date) -> None:
        self._today = today
        self._used: dict[tuple[str, int, str], bool] = {}
        self._origins: dict[tuple[str, int, str], tuple[Comment, Origin]] = {}

    def read(self, origin: Origin | None) -> None:
        """Note the comments of a file."""
        for comment in origin.comments if origin else ():
            for rule in comment.rules:
                mark = (comment.location.file, comment.location.line, rule)
                if mark not in self._used:
                    assert origin is not None
                    self._used[mark], self._origins[mark] = False, (comment, origin)

    def covering(self, finding: Finding, origin: Origin | None) -> Waiver | None:
        """The comment that covers a finding today, as a waiver."""
        if origin is None or finding.location is None:
            return None
        for comment in origin.comments:
            if finding.rule in comment.rules and comment.covers == finding.location.line:
                self._used[comment.location.file, comment.location.line, finding.rule] = True
                if comment.expires >= self._today:
                    return Waiver.model_validate(
                        {
                            "rule": finding.rule,
                            "subject": finding.subject.id,
                            "reason": comment.reason,
                            "text": comment.text,
                            "owner": comment.owner,
                            "expires": comment.expires,
                        }
                    )
        return None

    def facts(self, seen_at: datetime) -> Iterator[WaiverFacts]:
        """Facts about the comments, after everything else was checked."""
        for mark, used in self._used.items():
            (file, line, rule), (comment, origin) = mark, self._origins[mark]
            place = Origin(file, origin.lines, {(): Place(comment.location.line, comment.location.column)})
            yield WaiverFacts(
                subject=Subject(f"waiver:{rule}:{file}:{line}", "waiver", f"Comment in {file}, line {line}", "audit", "", None, place),
                fields=frozenset(Waiver.model_fields),
                seen_at=seen_at,
                rule=rule,
                glob=f"{file}:{comment.covers}",
                owner=comment.owner,
                expired=comment.expires < self._today,
                used=used,
            )
