"""One self-contained HTML page: it embeds its style and script, and its content security policy forbids loading anything else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from airflow_provider.audit.engine.finding import NEW, Finding, worst_first
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.reports.overview import (
    TITLES,
    WORST_FIRST,
    acceptance,
    href,
    overview,
    place_of,
    readable_time,
    rule_of,
    state_of,
)
from airflow_provider.audit.reports.plots import BAR, BAR_GAP, TREND_HEIGHT, plots_of, trend_of
from airflow_provider.audit.rules.outcome import Status
from airflow_provider.audit.rules.rule import Rule
from airflow_provider.audit.settings.levels import Severity
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.execution.results.redaction import clean

MAX_SHOWN = 2_000
"""Maximum number of findings on the page, so that filtering stays fast."""
FOLDER = Path(__file__).parent
STATES = ("new", "known", "open", "accepted", "fixed")


@dataclass
class Group:
    """The findings of one rule."""

    id: str
    rule: Rule | None
    severity: Severity
    findings: list[Finding]

    @property
    def open(self) -> int:
        """Number of its findings that no waiver covers."""
        return sum(finding.waiver is None for finding in self.findings)

    @property
    def new(self) -> int:
        """Number of its findings that are new."""
        return sum(_is_new(finding) for finding in self.findings)


def text(result: AuditResult, settings: AuditSettings) -> str:
    """The page."""
    numbers, shown = overview(result), result.findings[:MAX_SHOWN]
    style, script = (_part(name) for name in ("page.css", "page.js"))
    states = Counter(state_of(finding) for finding in shown) + Counter(fixed=len(result.fixed[:MAX_SHOWN]))
    trend = trend_of(result.trend)
    return _template().render(
        result=result,
        seen=numbers,
        settings=settings,
        groups=_groups(shown),
        fixed=result.fixed[:MAX_SHOWN],
        omitted=numbers.total + len(numbers.accepted) - len(shown),
        failing=len(result.failing(settings)) + result.failing_omitted(settings).total(),
        severities=WORST_FIRST,
        shown=Counter(finding.severity for finding in shown if finding.waiver is None),
        anchors=_anchors((*shown, *result.fixed[:MAX_SHOWN])),
        trend=trend,
        trend_width=len(trend) * (BAR + BAR_GAP),
        trend_height=TREND_HEIGHT,
        bar=BAR,
        states=[state for state in STATES if states[state]],
        systems=sorted({finding.subject.system for finding in (*shown, *result.fixed)}),
        plots=plots_of(result.windows),
        windows=len(result.windows),
        rules=[(id, rule_of(id), outcomes, result.reasons.get(id, Counter())) for id, outcomes in sorted(result.outcomes.items())],
        statuses=tuple(Status),
        style=Markup(style),  # noqa: S704 # our own files
        script=Markup(script),  # noqa: S704
        policy=f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; form-action 'none'",
    )


def _groups(findings: Iterable[Finding]) -> list[Group]:
    """Grouped by rule. Rules with new findings come first, then those with the most severe ones; so do the findings of a rule."""
    groups: dict[str, Group] = {}
    for finding in sorted(findings, key=_order):
        group = groups.setdefault(finding.rule, Group(finding.rule, rule_of(finding.rule), finding.severity, []))
        group.severity = max(group.severity, finding.severity, key=lambda severity: severity.rank)
        group.findings.append(finding)
    return list(groups.values())


def _order(finding: Finding) -> tuple[Any, ...]:
    return finding.waiver is not None, not _is_new(finding), *worst_first(finding)


def _is_new(finding: Finding) -> bool:
    return finding.state == NEW and finding.waiver is None


def _anchors(findings: Iterable[Finding]) -> dict[int, str]:
    """A name for each finding on the page, which is the same in the next report."""
    names: dict[int, str] = {}
    used: Counter[str] = Counter()
    for finding in findings:
        name = f"f-{finding.fingerprint[:12]}"
        used[name] += 1
        names[id(finding)] = name if used[name] == 1 else f"{name}-{used[name]}"
    return names


def prose(text: str) -> Markup:
    """Documentation of rules as HTML: backticks mark code, asterisks emphasis."""
    marked = re.sub(r"(`{1,2})(.+?)\1", r"<code>\2</code>", str(escape(" ".join(text.split()))))
    return Markup(re.sub(r"(?<!\w)\*(\w[^*]*)\*(?!\w)", r"<em>\1</em>", marked))  # noqa: S704 # escaped


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    names: dict[str, Any] = {
        "clean": clean,
        "prose": prose,
        "href": href,
        "when": readable_time,
        "state": state_of,
        "accepted": acceptance,
        "place": place_of,
    }
    environment.filters.update(names, identity=id, system=lambda name: TITLES.get(name, name))
    return environment.get_template("page.html.jinja")


@lru_cache(maxsize=2)
def _part(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _hash(part: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"
