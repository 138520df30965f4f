"""The phases of an execution, the same for every system."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum


class Phase(str, Enum):
    """The state of an execution, or of one of its steps. The vendor's own status is kept beside it."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    WAITING = "WAITING"
    """Waits for manual approval or input."""
    STOPPING = "STOPPING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMED_OUT = "TIMED_OUT"
    """Ended by the remote system's own time limit."""
    SKIPPED = "SKIPPED"
    UNKNOWN = "UNKNOWN"
    """A status that this version does not know. Never counts as an end."""

    __hash__ = str.__hash__  # much faster than that of Enum

    @property
    def ended(self) -> bool:
        """Whether it has ended: nothing more happens unless somebody runs it again."""
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
    """The phase of several things together: unfinished if one is, failed if one failed, skipped only if all are. None for none."""
    present = set(phases)
    return next((phase for phase in _DECISIVE if phase in present), None)
