"""Severity and confidence of findings, and the persona that they are reported to."""

from __future__ import annotations

from enum import Enum


class Level(str, Enum):
    """Base: members in ascending order."""

    rank: int
    """Position, from 0."""

    def __init__(self, _: str) -> None:
        self.rank = len(type(self).__members__)

    def reaches(self, line: Level) -> bool:
        """Whether it is at or above another level."""
        return self.rank >= line.rank

    def __str__(self) -> str:
        return str(self.value)


class Severity(Level):
    """The impact if nobody acts."""

    INFO = "info"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Confidence(Level):
    """How certain it is that a finding is correct."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Persona(Level):
    """How much detail the reader wants: each persona includes the findings of those before it."""

    DEFAULT = "default"
    STRICT = "strict"
    FORENSIC = "forensic"
