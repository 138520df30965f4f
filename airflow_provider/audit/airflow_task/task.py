"""The audit operators in the worker: folders, window, checks, reports."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict
from zoneinfo import ZoneInfo

from airflow_provider.audit.engine.baseline import Baseline
from airflow_provider.audit.engine.engine import Audit
from airflow_provider.audit.engine.finding import UNCHANGED
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.engine.waivers import Waivers
from airflow_provider.audit.facts.fact import Fact
from airflow_provider.audit.reports import FORMATS, result_json, text_of
from airflow_provider.audit.settings.document import validated
from airflow_provider.audit.settings.levels import Severity
from airflow_provider.audit.settings.model import AuditSettings, FailLine
from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.arguments import moment
from airflow_provider.execution.results.outputs import safe_name

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

FIRST_WINDOW = timedelta(hours=24)
"""The window of the first audit of a task."""


class AuditSummary(TypedDict):
    """The return value of an audit task: counts and paths, no findings."""

    findings: str
    """Path of the JSON report, which ``AuditReportOperator`` takes."""
    reports: dict[str, str]
    """Path of each report, by format."""
    since: str | None
    """Window of executions, ISO 8601, UTC; None for configuration."""
    until: str | None
    counts: dict[str, int]
    """Number of findings that are not waived, by severity."""
    new: int
    """Number of findings that the baseline does not have, and that are not waived: without a baseline, all."""
    fixed: int
    waived: int
    gaps: int
    """Number of things that could not be read."""
    subjects: dict[str, int]
    """Number of checked subjects, by kind."""
    complete: bool
    """Whether everything could be read, and no rule failed."""
    summary: str
    """The counts as one line of plain text."""


def folder_of(base: str, context: Context, *, run: bool) -> ObjectStoragePath:
    """The folder of a task below ``base``; with ``run`` that of the run."""
    from airflow.sdk import ObjectStoragePath

    ti = context["ti"]
    folder = ObjectStoragePath(base) / safe_name(ti.dag_id) / safe_name(ti.task_id)
    if ti.map_index is not None and ti.map_index >= 0:
        folder = folder / str(ti.map_index)
    return folder / safe_name(ti.run_id) if run else folder


def private_folder(context: Context) -> Path:
    """
    A folder for records of this run that only the current user of the machine can read, since records contain secrets.

    :raises ConfigurationError: if others can access it.
    """
    ti = context["ti"]
    base = Path(tempfile.gettempdir()) / f"airflow-audit-{os.getuid()}"
    base.mkdir(mode=0o700, exist_ok=True)
    status = base.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ConfigurationError(f"{base} is accessible to others, so no records are stored there. Remove it, or set spool_path.")
    return base / safe_name("\n".join(str(part) for part in (ti.dag_id, ti.task_id, ti.map_index, ti.run_id)))


def window(since: datetime | str | None, until: datetime | str | None, last: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """
    The window to audit: by default from the end of the last one to now.

    :param last: end of the last successful audit of the task.
    :raises ConfigurationError: if it is empty or ends before it begins.
    """
    end = moment(until, "until") or now
    begin = moment(since, "since") or last or end - FIRST_WINDOW
    if begin >= end:
        raise ConfigurationError(
            f"The audit's window is empty: it would begin at {begin.isoformat()} and end at {end.isoformat()}. "
            "Under Airflow's cron schedules data intervals have no length: omit since and until, or base them on dag_run.run_after."
        )
    try:
        begin - (end - begin)
    except OverflowError:
        raise ConfigurationError(f"The audit's window is too long: it would begin at {begin.isoformat()}.") from None
    return begin, end


def run_audit(
    facts: Iterable[Fact],
    settings: AuditSettings,
    *,
    now: datetime,
    since: datetime | None,
    until: datetime | None,
    waivers: str | None,
    baseline: ObjectStoragePath | Path | None,
    progress: Callable[[int, int], None] | None = None,
) -> AuditResult:
    """
    Check all facts by all rules.

    :param waivers: path of a file.
    :param progress: see :meth:`~airflow_provider.audit.engine.engine.Audit.check_all`.
    :raises ConfigurationError: if waivers or baseline can't be read.
    """
    accepted = Waivers.load(waivers, now.astimezone(ZoneInfo(settings.time_zone)).date()) if waivers else None
    previous = None
    if baseline is not None and baseline.exists():
        previous = Baseline.from_json(baseline.read_text(encoding="utf-8", errors="replace"))
    audit = Audit(settings, now=now, since=since, until=until, waivers=accepted, baseline=previous)
    return audit.check_all(facts, progress)


def fail_line(value: str | Mapping[str, Any] | None) -> FailLine | None:
    """
    The fail line: a severity, or ``severity``, ``confidence`` and ``new_only``; None for never.

    :raises ConfigurationError: if it is invalid.
    """
    if value is None or value == "":
        return None
    return validated(FailLine, {"severity": value} if isinstance(value, str) else value, "fail_on")


def store(result: AuditResult, settings: AuditSettings, folder: ObjectStoragePath, formats: Sequence[str]) -> AuditSummary:
    """
    Write the reports.

    :param formats: of the reports; ``json`` is always written.
    :raises ConfigurationError: if a format is unknown.
    """
    names = dict.fromkeys(("json", *formats))
    texts = {name: text_of(name, result, settings) for name in names}
    folder.mkdir(parents=True, exist_ok=True)
    reports: dict[str, str] = {}
    for name, text in texts.items():
        path = folder / FORMATS[name][0]
        path.write_text(text, encoding="utf-8")
        reports[name] = str(path)
    return summary_of(result, reports)


def summary_of(result: AuditResult, reports: dict[str, str]) -> AuditSummary:
    """Counts and paths."""
    counts = Counter(finding.severity for finding in result.findings if finding.waiver is None)
    counts.update(result.findings_omitted)
    new = sum(finding.state != UNCHANGED and finding.waiver is None for finding in result.findings)
    waived = sum(finding.waiver is not None for finding in result.findings)
    gaps = len(result.gaps) + result.gaps_omitted
    by_severity = {str(severity): counts[severity] for severity in reversed(Severity)}
    text = ", ".join(f"{count} {severity}" for severity, count in by_severity.items() if count) or "no findings"
    changes = [
        f"{count} {word}" for count, word in ((new, "new"), (len(result.fixed), "fixed"), (waived, "waived"), (gaps, "gaps")) if count
    ]
    return AuditSummary(
        findings=reports["json"],
        reports=reports,
        since=result.since.isoformat() if result.since else None,
        until=result.until.isoformat() if result.until else None,
        counts=by_severity,
        new=new,
        fixed=len(result.fixed),
        waived=waived,
        gaps=gaps,
        subjects=dict(result.subjects),
        complete=result.complete,
        summary=f"Audit: {text}" + (f" ({', '.join(changes)})" if changes else ""),
    )


def read_result(path: str) -> AuditResult:
    """
    Read a JSON report.

    :raises ConfigurationError: if it does not exist or has another format.
    """
    from airflow.sdk import ObjectStoragePath

    file = ObjectStoragePath(path)
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
    except Exception as error:  # object stores have classes of errors of their own
        raise ConfigurationError(f"{path} can't be read as a report: {type(error).__name__}.") from error
    return result_json.load(data)
