"""
Workflow commands of GitHub Actions, which it shows as annotations at the lines of a pull request.

See https://docs.github.com/actions/reference/workflow-commands-for-github-actions. GitHub shows ten of each kind for each step.
"""

from __future__ import annotations

from airflow_provider.audit.engine.finding import NEW, Finding
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.reports.overview import overview, rule_of
from airflow_provider.audit.settings.levels import Severity
from airflow_provider.execution.results.redaction import clean

MAX_SHOWN = 500
_KINDS = {Severity.CRITICAL: "error", Severity.HIGH: "error", Severity.MEDIUM: "warning"}
_IN_MESSAGE = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_IN_PROPERTY = _IN_MESSAGE | str.maketrans({":": "%3A", ",": "%2C"})


def text(result: AuditResult) -> str:
    """The commands, new findings first, then what could not be read."""
    numbers = overview(result)
    ordered = sorted(numbers.open, key=lambda finding: finding.state not in (NEW, None))
    lines = [_line(finding) for finding in ordered[:MAX_SHOWN]]
    lines += [f"::warning title=Not read::{_message(f'{gap.subject.id}: {gap.reason}')}" for gap in result.gaps[:MAX_SHOWN]]
    left = numbers.total - min(len(ordered), MAX_SHOWN)
    summary = (
        f"Audit: {numbers.counts}" + (f" ({numbers.changes})" if numbers.changes else "") + (f"; {left} not shown here" if left else "")
    )
    return "\n".join([*lines, _message(summary)]) + "\n"


def _line(finding: Finding) -> str:
    rule, place = rule_of(finding.rule), finding.location
    title = f"{finding.rule} {rule.title if rule else ''}".strip()
    properties = {"title": title}
    if place:
        properties = {"file": place.file, "line": str(place.line), "col": str(place.column), **properties}
    told = ",".join(f"{name}={clean(value).translate(_IN_PROPERTY)}" for name, value in properties.items())
    message = f"{finding.subject.title}: {finding.message} ({finding.path}: {finding.evidence.text})"
    return f"::{_KINDS.get(finding.severity, 'notice')} {told}::{_message(message)}"


def _message(value: str) -> str:
    """Escaped. A text that begins like a command is none."""
    shown = clean(value).translate(_IN_MESSAGE)
    return shown.replace("::", ": :").replace("##[", "## [")
