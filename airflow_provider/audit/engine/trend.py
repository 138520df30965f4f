"""The counts of the latest audits, in a small file next to the reports."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_provider.audit.engine.finding import UNCHANGED
from airflow_provider.audit.engine.result import AuditResult, Point
from airflow_provider.audit.settings.levels import Severity
from airflow_provider.errors import ConfigurationError

if TYPE_CHECKING:
    from airflow.sdk import ObjectStoragePath

SCHEMA, VERSION = "airflow-provider-executions/audit-trend", 1
MAX_POINTS = 30
"""Audits that are remembered."""


def point_of(result: AuditResult, run: str) -> Point:
    """The counts of an audit, without accepted findings."""
    counts = {str(severity): result.findings_omitted[severity] for severity in Severity}
    new = 0
    for finding in result.findings:
        if finding.waiver is None:
            counts[str(finding.severity)] += 1
            new += finding.state != UNCHANGED
    return Point(result.started_at, run, counts, new)


def remember(path: ObjectStoragePath | Path, result: AuditResult, run: str = "") -> list[Point]:
    """
    Add an audit to the file.

    :param run: audits of the same run replace each other, unless it is empty.
    :returns: the latest audits, this one last.
    :raises ConfigurationError: if the file has another format.
    """
    earlier = [point for point in _read(path) if not run or point.run != run]
    points = [*earlier, point_of(result, run)][-MAX_POINTS:]
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = {"schema": SCHEMA, "version": VERSION, "audits": plain(points)}
    path.write_text(json.dumps(kept, indent=1), encoding="utf-8")
    return points


def _read(path: ObjectStoragePath | Path) -> list[Point]:
    if not path.exists():
        return []
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if (data["schema"], data["version"]) != (SCHEMA, VERSION):
            raise ValueError("schema")
        return points_of(data["audits"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigurationError(f"{path} does not hold the trend of audits. Remove it to start over.") from error


def plain(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Plain data."""
    return [{**asdict(point), "at": point.at.isoformat()} for point in points]


def points_of(data: Sequence[Mapping[str, Any]]) -> list[Point]:
    """
    Read what :func:`plain` wrote.

    :raises ValueError, KeyError, TypeError: if it is something else.
    """
    return [
        Point(
            datetime.fromisoformat(item["at"]),
            str(item["run"]),
            {str(severity): int(item["counts"].get(str(severity), 0)) for severity in Severity},
            int(item["new"]),
        )
        for item in data
    ]
