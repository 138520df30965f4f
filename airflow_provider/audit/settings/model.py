"""What an organisation allows: data that rules are given. Every value has a default; an unknown key is an error."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import time, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainSerializer

from airflow_provider.audit.settings.document import read, validated
from airflow_provider.audit.settings.levels import Confidence, Persona, Severity
from airflow_provider.audit.settings.rule_names import RuleId

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError("is no time zone; it looks like Europe/Berlin") from error
    return name


def _days(names: frozenset[str]) -> frozenset[str]:
    if unknown := names.difference(DAYS):
        raise ValueError(f"knows the days {', '.join(DAYS)}, not {', '.join(sorted(unknown))}")
    return names


def _matches(name: str, patterns: frozenset[str]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


Names = Annotated[frozenset[str], PlainSerializer(sorted)]
Positive = Annotated[timedelta, Field(gt=timedelta(0))]
"""Seconds, or ISO 8601 such as ``PT2H``."""


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)


class Images(Section):
    """Container images."""

    registries: Names = frozenset()
    """Allowed registries, with a path if only that is (``docker.io/library``). Empty: any."""
    floating_tags: Names = frozenset(
        {
            "latest",
            "main",
            "master",
            "develop",
            "dev",
            "edge",
            "nightly",
            "stable",
            "lts",
            "current",
            "rolling",
            "snapshot",
            "canary",
            "beta",
            "alpha",
            "preview",
            "next",
            "mainline",
            "trunk",
            "head",
            "devel",
            "development",
            "unstable",
            "testing",
            "test",
            "qa",
            "staging",
            "release",
            "prod",
            "production",
            "live",
            "daily",
            "weekly",
            "experimental",
            "insiders",
            "tip",
        }
    )
    """Tags that are known to move."""


class Secrets(Section):
    """What passes for no secret."""

    names: Names = frozenset()
    """Names of variables that are no secrets, whatever they look like. ``*`` and ``?`` are wildcards."""
    entropy: bool = True
    """Look for random-looking texts too, at confidence low."""

    def excludes(self, name: str) -> bool:
        """Whether a variable of this name is no secret."""
        return _matches(name, self.names)


class Limits(Section):
    """How long, how often, how large."""

    action_timeout: Positive = timedelta(hours=2)
    """Longest time limit that an action may have."""
    retries: int = Field(default=3, ge=0)
    """Most retries that an action may have."""
    retry_time: Positive = timedelta(hours=4)
    """Longest time that all tries of an action may take together."""
    running: Positive = timedelta(hours=6)
    """Age from which on an execution that runs is stuck."""
    queued: Positive = timedelta(hours=1)
    """Age from which on an execution that waits for its turn is stuck."""
    stopping: Positive = timedelta(minutes=15)
    """Age from which on an execution that is being stopped is stuck."""
    no_progress: Positive = timedelta(hours=1)
    """Time without a sign of life from which on an execution that runs is stuck."""
    waiting: Positive = timedelta(hours=24)
    """How long an execution may wait for a person."""
    approval_least: timedelta = timedelta(seconds=10)
    """Time that a person takes at least to read what is approved."""
    attempts: int = Field(default=5, ge=1)
    """Most attempts of one step."""
    repeats: int = Field(default=5, ge=1)
    """Most executions with equal inputs in one window."""
    history_length: int = Field(default=10_000, ge=1)
    """Events that a Tracecat history may have."""


class Drift(Section):
    """What counts as a change in durations and failure rates."""

    least: int = Field(default=10, ge=2)
    """Executions that both windows must have."""
    deviations: float = Field(default=5.0, gt=0)
    """How many median absolute deviations a duration may be off."""
    least_seconds: float = Field(default=60.0, ge=0)
    """Differences below this many seconds are none."""
    z: float = Field(default=1.96, gt=0)
    """Width of the Wilson interval, in standard deviations."""
    turns: float = Field(default=0.5, gt=0, le=1)
    """Share of neighbours with unlike ends from which on a definition is flapping."""


class People(Section):
    """Ids or names, as the systems tell them."""

    terminators: Names = frozenset()
    """Who may terminate executions: ids, since no system tells names here. Empty: only a missing identity is told."""
    approvers: Names = frozenset()
    """Who may approve. Empty: anyone but the starter."""
    starters: Names = frozenset()
    """Who may start executions. Empty: anyone."""
    services: Names = frozenset()
    """Which of them are service accounts."""


class WorkingHours(Section):
    """When people are at work, in ``time_zone``."""

    days: Annotated[Names, AfterValidator(_days)] = frozenset(DAYS[:5])
    start: time = time(7)
    end: time = time(20)


class RuleSettings(Section):
    """What is to be otherwise for one rule."""

    enabled: bool = True
    severity: Severity | None = None
    confidence: Confidence | None = None


class Line(Section):
    """Findings at or above both."""

    severity: Severity = Severity.INFO
    confidence: Confidence = Confidence.LOW

    def holds(self, severity: Severity, confidence: Confidence) -> bool:
        """Whether a finding such as this is at or above the line."""
        return severity.reaches(self.severity) and confidence.reaches(self.confidence)


class FailLine(Line):
    """Findings that fail the audit."""

    severity: Severity = Severity.HIGH
    confidence: Confidence = Confidence.MEDIUM
    new_only: bool = True


class AuditSettings(Section):
    """Everything. In a file each section is a table: ``[limits]``, ``[rules.EXE001]``."""

    persona: Persona = Persona.DEFAULT
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    report: Line = Line()
    """What is reported at all."""
    fail_on: FailLine = FailLine()
    images: Images = Images()
    secrets: Secrets = Secrets()
    limits: Limits = Limits()
    drift: Drift = Drift()
    people: People = People()
    working_hours: WorkingHours = WorkingHours()
    production: Names = frozenset({"*prod*", "*live*", "*release*", "*deploy*"})
    """Names of pipelines, workflows and rules that production hangs on; ``*`` and ``?`` are wildcards, case does not count."""
    rules: dict[RuleId, RuleSettings] = {}

    def is_production(self, name: str) -> bool:
        """Whether a definition of this name is one that production hangs on."""
        return _matches(name, self.production)

    def of(self, rule: str) -> RuleSettings:
        """The settings of one rule."""
        return self.rules.get(rule) or _AS_IT_IS


_AS_IT_IS = RuleSettings()


def load_settings(source: str | Path | Mapping[str, Any] | None = None) -> AuditSettings:
    """
    Read settings.

    :param source: path of a file, or a dict of the same shape; the defaults without.
    :raises ConfigurationError: naming the key, and file and line of a file.
    """
    if isinstance(source, Mapping):
        return validated(AuditSettings, source, "settings")
    return read(source, AuditSettings) if source else AuditSettings()
