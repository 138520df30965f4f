"""One line for each finding, for spreadsheets."""

from __future__ import annotations

import csv
import io

from airflow_provider.audit.engine.finding import Finding
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.reports.overview import acceptance, rule_of, state_of
from airflow_provider.execution.results.redaction import clean

COLUMNS = (
    "severity", "confidence", "rule", "title", "state", "system", "connection", "subject", "name", "file", "line", "column", "path",
    "message", "found", "accepted", "url", "fingerprint",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins with one of these is a formula to spreadsheets."""


def text(result: AuditResult) -> str:
    """The table, with fixed findings at the end."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for finding in result.findings:
        writer.writerow(_row(finding, state_of(finding)))
    for finding in result.fixed:
        writer.writerow(_row(finding, "fixed"))
    return file.getvalue()


def _row(finding: Finding, state: str) -> list[str]:
    rule, subject, place = rule_of(finding.rule), finding.subject, finding.location
    cells = [
        finding.severity, finding.confidence, finding.rule, rule.title if rule else "", state, subject.system, subject.conn_id, subject.id,
        subject.title, place.file if place else "", place.line if place else "", place.column if place else "", finding.path,
        finding.message, finding.evidence.text, acceptance(finding), subject.url or "", finding.fingerprint,
    ]  # fmt: skip
    return [_cell(str(cell)) for cell in cells]


def _cell(value: str) -> str:
    shown = clean(value)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
