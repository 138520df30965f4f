"""Whether workers run: without them executions exist, and nothing happens to them."""

from __future__ import annotations

import math


class Workers:
    """Remembers when the workers came and went."""

    def __init__(self) -> None:
        self._changes: list[tuple[float, bool]] = [(-math.inf, True)]

    @property
    def up(self) -> bool:
        """Whether they run now."""
        return self._changes[-1][1]

    def set(self, up: bool, at: float) -> None:
        """Let them come, or go."""
        if up != self.up:
            self._changes.append((at, up))

    def first_up(self, at: float) -> float:
        """Return when they run first at or after a time; infinity: not yet known."""
        running = [up for since, up in self._changes if since <= at]
        if running and running[-1]:
            return at
        return next((since for since, up in self._changes if up and since > at), math.inf)
