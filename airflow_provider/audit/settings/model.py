"""Settings: what an organisation allows. Every value has a default; an unknown key is an error."""

from __future__ import annotations

import re
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
        raise ValueError("is not a time zone such as Europe/Berlin") from error
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
    """Allowed registries, with a path to allow only that path (``docker.io/library``). Empty: all."""
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
    """What counts as a secret."""

    names: Names = frozenset()
    """Names of variables that are not secrets. ``*`` and ``?`` are wildcards."""
    entropy: bool = True
    """Also report random-looking values, at confidence low."""

    def excludes(self, name: str) -> bool:
        """Whether a variable of this name is not a secret."""
        return _matches(name, self.names)


class Limits(Section):
    """Limits of time, number and size."""

    action_timeout: Positive = timedelta(hours=2)
    """Maximum time limit of an action."""
    retries: int = Field(default=3, ge=0)
    """Maximum number of retries of an action."""
    retry_time: Positive = timedelta(hours=4)
    """Maximum total time of all attempts of an action."""
    running: Positive = timedelta(hours=6)
    """Age at which a running execution counts as stuck."""
    queued: Positive = timedelta(hours=1)
    """Age at which a queued execution counts as stuck."""
    stopping: Positive = timedelta(minutes=15)
    """Age at which an execution that is being stopped counts as stuck."""
    no_progress: Positive = timedelta(hours=1)
    """Time without progress after which a running execution counts as stuck."""
    waiting: Positive = timedelta(hours=24)
    """Maximum time that an execution may wait for a person."""
    approval_least: timedelta = timedelta(seconds=10)
    """Minimum time that a person needs for an approval."""
    attempts: int = Field(default=5, ge=1)
    """Maximum number of attempts of one step."""
    repeats: int = Field(default=5, ge=1)
    """Maximum number of executions with the same inputs in one window."""
    history_length: int = Field(default=10_000, ge=1)
    """Maximum number of events in a Tracecat history."""


class Workflows(Section):
    """Tracecat workflows."""

    hosts: Names = frozenset()
    """Hosts that actions may call. ``*`` and ``?`` are wildcards. Empty: all."""

    def allows(self, host: str) -> bool:
        """Whether actions may call a host."""
        return not self.hosts or _matches(host, self.hosts)


class Drift(Section):
    """What counts as a change in durations and failure rates."""

    least: int = Field(default=10, ge=2)
    """Minimum number of executions in each window."""
    deviations: float = Field(default=5.0, gt=0)
    """Allowed deviation of a duration, in median absolute deviations."""
    least_seconds: float = Field(default=60.0, ge=0)
    """Smaller differences, in seconds, are ignored."""
    z: float = Field(default=1.96, gt=0)
    """Width of the Wilson interval, in standard deviations."""
    turns: float = Field(default=0.5, gt=0, le=1)
    """Share of consecutive executions with different outcomes at which a definition counts as flaky."""


class People(Section):
    """Ids or names, as the systems report them."""

    terminators: Names = frozenset()
    """Who may terminate executions: ids, since no system reports names here. Empty: only an unknown person is reported."""
    approvers: Names = frozenset()
    """Who may approve. Empty: anyone except the person who started the execution."""
    starters: Names = frozenset()
    """Who may start executions. Empty: anyone."""
    services: Names = frozenset()
    """Service accounts."""


class WorkingHours(Section):
    """Working hours, in ``time_zone``."""

    days: Annotated[Names, AfterValidator(_days)] = frozenset(DAYS[:5])
    start: time = time(7)
    end: time = time(20)


class RuleSettings(Section):
    """Overrides for one rule."""

    enabled: bool = True
    severity: Severity | None = None
    confidence: Confidence | None = None


class Line(Section):
    """A minimum severity and confidence."""

    severity: Severity = Severity.INFO
    confidence: Confidence = Confidence.LOW

    def holds(self, severity: Severity, confidence: Confidence) -> bool:
        """Whether a finding is at or above the line."""
        return severity.reaches(self.severity) and confidence.reaches(self.confidence)


class FailLine(Line):
    """Findings that fail the audit."""

    severity: Severity = Severity.HIGH
    confidence: Confidence = Confidence.MEDIUM
    new_only: bool = True


class AuditSettings(Section):
    """All settings. In a file each section is a table: ``[limits]``, ``[rules.EXE001]``."""

    persona: Persona = Persona.DEFAULT
    time_zone: Annotated[str, AfterValidator(_zone)] = "UTC"
    report: Line = Line()
    """Findings below this line are not reported."""
    fail_on: FailLine = FailLine()
    images: Images = Images()
    secrets: Secrets = Secrets()
    limits: Limits = Limits()
    workflows: Workflows = Workflows()
    drift: Drift = Drift()
    people: People = People()
    working_hours: WorkingHours = WorkingHours()
    production: Names = frozenset({"*prod*", "*live*", "*release*", "*deploy*"})
    """
    Names of pipelines, workflows and rules that affect production. ``*`` and ``?`` are wildcards, case is ignored.

    Of the default, names with a word such as ``staging`` or ``dev`` are left out, unless they say ``prod`` or ``live``.
    """
    rules: dict[RuleId, RuleSettings] = {}

    def is_production(self, name: str) -> bool:
        """Whether a definition of this name affects production."""
        return _matches(name, self.production) and ("production" in self.model_fields_set or not _is_trial(name))

    def of(self, rule: str) -> RuleSettings:
        """The settings of one rule."""
        return self.rules.get(rule) or _AS_IT_IS


_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_TRIAL = frozenset({
    "dev", "develop", "development", "stage", "staging", "stg", "qa", "uat", "alpha", "beta", "pre", "preprod", "preview", "previews",
    "review", "sandbox", "demo",
})  # fmt: skip
_PRODUCTION = frozenset({"prod", "production", "live"})


def _is_trial(name: str) -> bool:
    """Whether a name says that it is not about production: ``Deploy to staging``, ``deploy test``; not ``Test and deploy``."""
    words = [word.lower() for word in _WORD.findall(name[:200])]
    if _PRODUCTION.intersection(words):
        return False
    behind = words[words.index("deploy") :] if "deploy" in words else []
    return bool(_TRIAL.intersection(words)) or not {"test", "tests", "testing"}.isdisjoint(behind)


_AS_IT_IS = RuleSettings()


def load_settings(source: str | Path | Mapping[str, Any] | None = None) -> AuditSettings:
    """
    Read settings.

    :param source: path of a file, or a dict of the same structure; None for the defaults.
    :raises ConfigurationError: naming the key, and file and line of a file.
    """
    if isinstance(source, Mapping):
        return validated(AuditSettings, source, "settings")
    return read(source, AuditSettings) if source else AuditSettings()
