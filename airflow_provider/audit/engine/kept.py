"""The findings that an audit keeps: of too many the worst, whenever they come."""

from __future__ import annotations

from collections import Counter
from heapq import heappush, heappushpop

from airflow_provider.audit.engine.finding import UNCHANGED, Finding
from airflow_provider.audit.settings.levels import Severity

_Worth = tuple[bool, int, int, bool]


class Kept:
    """Findings up to a number. A worse one takes the place of the least severe one, and the earlier of two alike stays."""

    def __init__(self) -> None:
        self._heap: list[tuple[_Worth, int, Finding]] = []
        """The least severe one first: each finding costs a few comparisons, however many there are."""
        self._number = 0
        self.omitted: Counter[Severity] = Counter()
        """Number of findings that are not kept, without accepted ones."""
        self.accepted = 0
        """Number of accepted findings that are not kept."""

    def add(self, finding: Finding, limit: int) -> None:
        """Keep a finding, or count it."""
        self._number += 1
        item = (_worth(finding), -self._number, finding)
        if len(self._heap) < limit:
            heappush(self._heap, item)
            return
        dropped = heappushpop(self._heap, item)[2]
        if dropped.waiver is None:
            self.omitted[dropped.severity] += 1
        else:
            self.accepted += 1

    @property
    def findings(self) -> list[Finding]:
        """The kept ones, as they came."""
        return [finding for _, _, finding in sorted(self._heap, key=lambda item: -item[1])]

    def told(self) -> str | None:
        """What is not listed; None if nothing is."""
        count = self.omitted.total() + self.accepted
        if not count:
            return None
        words = [f"{self.omitted[severity]:,} {severity}" for severity in reversed(Severity) if self.omitted[severity]]
        words += [f"{self.accepted:,} of them accepted"] if self.accepted else []
        subject = f"{count:,} finding{'s are' if count > 1 else ' is'} not listed"
        return f"{subject}, since a report holds the {len(self._heap):,} most severe ones: {', '.join(words)}."


def _worth(finding: Finding) -> _Worth:
    """Which findings are kept rather than others: those that nobody has accepted, then severe, then sure, then new ones."""
    return finding.waiver is None, finding.severity.rank, finding.confidence.rank, finding.state != UNCHANGED
