"""A table for terminals."""

from __future__ import annotations

import io

from rich.console import Console
from rich.table import Table
from rich.text import Text

from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.reports.overview import overview, place_of, state_of
from airflow_provider.audit.settings.levels import Severity
from airflow_provider.execution.results.redaction import clean

MAX_SHOWN = 500
WIDTH = 160
"""Characters of a line without a terminal."""
_STYLES = {
    Severity.CRITICAL: "bold white on red",
    Severity.HIGH: "bold red",
    Severity.MEDIUM: "yellow",
    Severity.LOW: "blue",
    Severity.INFO: "dim",
}


def text(result: AuditResult) -> str:
    """The table without colors."""
    file = io.StringIO()
    show(result, Console(file=file, width=WIDTH, color_system=None, legacy_windows=False))
    return file.getvalue()


def show(result: AuditResult, console: Console) -> None:
    """Print the table, then gaps and rule errors, then the counts."""
    numbers = overview(result)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("Severity", "Rule", "Subject", "Where", "What"):
        table.add_column(name, overflow="fold", no_wrap=name in ("Severity", "Rule"))
    for finding in numbers.open[:MAX_SHOWN]:
        new = Text(" new", style="green") if state_of(finding) == "new" else ""
        table.add_row(
            Text.assemble((str(finding.severity), _STYLES[finding.severity]), new),
            Text(finding.rule),
            Text(clean(finding.subject.title)),
            Text(clean(f"{place_of(finding)} {finding.path}".strip())),
            Text(clean(f"{finding.message} ({finding.evidence.text})")),
        )
    if numbers.open:
        console.print(table)
        if len(numbers.open) > MAX_SHOWN:
            console.print(Text(f"{len(numbers.open) - MAX_SHOWN} more findings are in the JSON report."))
        console.print()
    for gap in result.gaps[:MAX_SHOWN]:
        console.print(Text(f"Not read: {clean(gap.subject.id)}: {clean(gap.reason)}", style="yellow"))
    for error in result.errors:
        console.print(Text(clean(f"{error.rule} failed on {error.subject}: {error.error} at {error.where}"), style="yellow"))
    changes = f" ({numbers.changes})" if numbers.changes else ""
    console.print(Text(f"{numbers.counts.capitalize()}{changes}. Checked: {sum(result.subjects.values())}.", style="bold"))
