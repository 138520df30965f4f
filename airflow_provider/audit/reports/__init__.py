"""Reports of an audit: for programs, for code scanning, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import IO, TYPE_CHECKING, Any

from airflow_provider.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow_provider.audit.engine.result import AuditResult
    from airflow_provider.audit.settings.model import AuditSettings


def _text(name: str, with_settings: bool, result: AuditResult, settings: AuditSettings) -> str:
    """Call a function, ``module:name``, of a format. Its module is imported here: most are not needed, and some take long."""
    module, _, function = name.partition(":")
    make = getattr(import_module(f"{__name__}.{module}"), function)
    text: str = make(result, settings) if with_settings else make(result)
    return text


FORMATS: dict[str, tuple[str, Callable[[AuditResult, AuditSettings], str]]] = {
    "json": ("findings.json", partial(_text, "result_json:text", False)),
    "sarif": ("findings.sarif", partial(_text, "sarif:text", False)),
    "markdown": ("report.md", partial(_text, "markdown:text", True)),
    "summary": ("summary.md", partial(_text, "markdown:summary", False)),
    "html": ("report.html", partial(_text, "html:text", True)),
    "junit": ("findings.xml", partial(_text, "junit:text", False)),
    "csv": ("findings.csv", partial(_text, "csv_table:text", False)),
    "github": ("annotations.txt", partial(_text, "github:text", False)),
    "table": ("findings.txt", partial(_text, "table:text", False)),
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
    from airflow_provider.audit.reports import result_json
    from airflow_provider.audit.settings.model import AuditSettings

    if format not in FORMATS:
        raise ConfigurationError(f"formats: {format!r} is unknown; available are {', '.join(FORMATS)}.")
    audit = result_json.load(result) if isinstance(result, Mapping) else result
    text = FORMATS[format][1](audit, settings or AuditSettings())
    return text.encode("utf-8", "replace").decode()  # JSON may contain lone surrogates, which can't be written


def write(format: str, result: AuditResult | Mapping[str, Any], file: IO[str], settings: AuditSettings | None = None) -> None:
    """Write a report to an open text file. See :func:`text_of`."""
    file.write(text_of(format, result, settings))
