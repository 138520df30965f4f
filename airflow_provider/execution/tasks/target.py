"""What a sensor follows: a known execution, or one that a search is to find."""

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
    A ref or a search, one of the two.

    :param ref: the execution.
    :param search: how to find it.
    """

    ref: str | None = None
    search: Search | None = None

    def key(self, view: Mapping[str, Any]) -> str:
        """Tells a wait from one for something else, should the DAG be changed between two tries."""
        sought = self.ref if self.search is None else [self.search["where"], self.search["match"]]
        return json.dumps([sought, view], sort_keys=True)

    def as_noted(self, noted: Any) -> Target:
        """The same, with the bounds of the first look: a template may give others at each poke."""
        if self.search is None or not isinstance(noted, dict) or noted.keys() != self.search.keys():
            return self
        return Target(search=cast("Search", noted))

    def not_found(self, passed: Sequence[str], timeout: float) -> str | None:
        """
        What to say if the search has found nothing; None if there is nothing to search.

        :param passed: refs that it passed over. :param timeout: seconds.
        """
        if self.search is None:
            return None
        over = f" Passed over: {', '.join(passed[-10:])}." if passed else ""
        what, match = self.search["what"], self.search["match"]
        return f"No execution of {what} was found within the sensor's timeout of {timeout:g} s (match={match!r}).{over}"
