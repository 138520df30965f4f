"""How bad a finding is, how sure the rule is of it, and who wants to hear of it."""

from __future__ import annotations

from enum import Enum


class Level(str, Enum):
    """Base: members are ordered as they are written, the lowest first."""

    @property
    def rank(self) -> int:
        """Position, from 0."""
        return list(type(self)).index(self)

    def reaches(self, line: Level) -> bool:
        """Whether it is at or above a line of the same kind."""
        return self.rank >= line.rank

    def __str__(self) -> str:
        return str(self.value)


class Severity(Level):
    """What happens if nobody acts."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Confidence(Level):
    """How sure it is that a finding means what it says."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Persona(Level):
    """How much noise the reader bears: each hears what those before it hear, and more."""

    DEFAULT = "default"
    STRICT = "strict"
    FORENSIC = "forensic"
