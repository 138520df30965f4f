"""Reports of an audit: for programs, for code scanning, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import IO, Any

from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.reports import html, markdown, result_json, sarif, table
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.errors import ConfigurationError

FORMATS: dict[str, tuple[str, Callable[[AuditResult, AuditSettings], str]]] = {
    "json": ("findings.json", lambda result, settings: result_json.text(result)),
    "sarif": ("findings.sarif", lambda result, settings: sarif.text(result)),
    "markdown": ("report.md", markdown.text),
    "summary": ("summary.md", lambda result, settings: markdown.summary(result)),
    "html": ("report.html", html.text),
    "table": ("findings.txt", lambda result, settings: table.text(result)),
}
"""File name and text function of each format."""


def text_of(format: str, result: AuditResult | Mapping[str, Any], settings: AuditSettings | None = None) -> str:
    """
    Make a report.

    :param format: one of :data:`FORMATS`.
    :param result: of an audit, or a parsed JSON report.
    :param settings: of the audit; by default the default settings.
    :raises ConfigurationError: if the format is unknown or the JSON report has another format.
    """
    if format not in FORMATS:
        raise ConfigurationError(f"formats: {format!r} is unknown; available are {', '.join(FORMATS)}.")
    audit = result_json.load(result) if isinstance(result, Mapping) else result
    text = FORMATS[format][1](audit, settings or AuditSettings())
    return text.encode("utf-8", "replace").decode()  # JSON may contain lone surrogates, which can't be written


def write(format: str, result: AuditResult | Mapping[str, Any], file: IO[str], settings: AuditSettings | None = None) -> None:
    """Write a report to an open text file. See :func:`text_of`."""
    file.write(text_of(format, result, settings))
