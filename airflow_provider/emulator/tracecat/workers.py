"""When workers run: without them executions exist, but do not progress."""

from __future__ import annotations

import math


class Workers:
    """Records when workers started and stopped."""

    def __init__(self) -> None:
        self._changes: list[tuple[float, bool]] = [(-math.inf, True)]

    @property
    def up(self) -> bool:
        """Whether workers run now."""
        return self._changes[-1][1]

    def set(self, up: bool, at: float) -> None:
        """Start or stop the workers at a time, epoch seconds."""
        if up != self.up:
            self._changes.append((at, up))

    def first_up(self, at: float) -> float:
        """Return when workers first run at or after a time, epoch seconds; infinity: not yet known."""
        running = [up for since, up in self._changes if since <= at]
        if running and running[-1]:
            return at
        return next((since for since, up in self._changes if up and since > at), math.inf)
