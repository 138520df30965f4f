"""What a sensor waits for: a known execution, or one that a search finds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from airflow_provider.execution.waiting.search import Search


@dataclass(frozen=True)
class Target:
    """
    A ref or a search, exactly one of the two.

    :param ref: ref of the execution.
    :param search: which execution to find.
    """

    ref: str | None = None
    search: Search | None = None

    def key(self, view: Mapping[str, Any]) -> str:
        """Identifies what is waited for, in case the DAG changes between two attempts."""
        subject = self.ref if self.search is None else [self.search["where"], self.search["match"]]
        return json.dumps([subject, view], sort_keys=True)

    def as_stored(self, stored: Any) -> Target:
        """The same, with the bounds of the first poll: a template may render to others at each poke."""
        if self.search is None or not isinstance(stored, dict) or stored.keys() != self.search.keys():
            return self
        return Target(search=cast("Search", stored))

    def not_found(self, passed: Sequence[str], timeout: float) -> str | None:
        """
        The message if a search has found nothing; None without a search.

        :param passed: refs of executions that it passed over.
        :param timeout: seconds.
        """
        if self.search is None:
            return None
        passed_over = f" Passed over: {', '.join(passed[-10:])}." if passed else ""
        subject, match = self.search["what"], self.search["match"]
        return f"No execution of {subject} was found within the sensor's timeout of {timeout:g} s (match={match!r}).{passed_over}"
