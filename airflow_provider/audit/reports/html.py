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

from airflow_provider.audit.engine.finding import Finding
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.reports.overview import TITLES, WORST_FIRST, acceptance, href, overview, readable_time, rule_of, state_of
from airflow_provider.audit.reports.plots import plots_of
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


def text(result: AuditResult, settings: AuditSettings) -> str:
    """The page."""
    numbers, shown = overview(result), result.findings[:MAX_SHOWN]
    style, script = (_part(name) for name in ("page.css", "page.js"))
    states = Counter(state_of(finding) for finding in shown) + Counter(fixed=len(result.fixed[:MAX_SHOWN]))
    return _template().render(
        result=result,
        seen=numbers,
        settings=settings,
        groups=_groups(shown),
        fixed=result.fixed[:MAX_SHOWN],
        omitted=numbers.total + len(numbers.accepted) - len(shown),
        failing=len(result.failing(settings)),
        severities=WORST_FIRST,
        shown=Counter(finding.severity for finding in (*shown, *result.fixed[:MAX_SHOWN])),
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
    """Grouped by rule, the rule with the most severe finding first."""
    groups: dict[str, Group] = {}
    for finding in findings:
        group = groups.setdefault(finding.rule, Group(finding.rule, rule_of(finding.rule), finding.severity, []))
        group.findings.append(finding)
    return list(groups.values())


def prose(text: str) -> Markup:
    """Documentation of rules as HTML: backticks mark code, asterisks emphasis."""
    marked = re.sub(r"(`{1,2})(.+?)\1", r"<code>\2</code>", str(escape(" ".join(text.split()))))
    return Markup(re.sub(r"(?<!\w)\*(\w[^*]*)\*(?!\w)", r"<em>\1</em>", marked))  # noqa: S704 # escaped


@lru_cache(maxsize=1)
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    names: dict[str, Any] = {"clean": clean, "prose": prose, "href": href, "when": readable_time, "state": state_of, "accepted": acceptance}
    environment.filters.update(names, system=lambda name: TITLES.get(name, name))
    return environment.get_template("page.html.jinja")


@lru_cache(maxsize=2)
def _part(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def _hash(part: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(part.encode()).digest()).decode()}'"
