"""The phases that an execution of any system goes through."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Phase(str, Enum):
    """Where an execution, or one of its steps, is in its life. The vendor's own status is kept beside it."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    """For a person."""
    STOPPING = "STOPPING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"
    """By the remote system's own limit."""
    SKIPPED = "SKIPPED"
    UNKNOWN = "UNKNOWN"
    """A status that this version does not know. Never an end."""

    @property
    def ended(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in _ENDED

    def __str__(self) -> str:
        return self.value


_ENDED = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.TIMED_OUT, Phase.SKIPPED})
_DECISIVE = (
    Phase.WAITING,
    Phase.RUNNING,
    Phase.STOPPING,
    Phase.UNKNOWN,
    Phase.QUEUED,
    Phase.FAILED,
    Phase.TIMED_OUT,
    Phase.CANCELLED,
    Phase.SUCCEEDED,
    Phase.SKIPPED,
)


def decisive(phases: Iterable[Phase]) -> Phase | None:
    """What several things are together: unfinished if one is, failed if one has, skipped only if all are."""
    there = set(phases)
    return next((phase for phase in _DECISIVE if phase in there), None)
