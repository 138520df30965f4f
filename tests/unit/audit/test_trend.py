"""The counts of the latest audits are kept."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from airflow_provider.audit.engine.trend import MAX_POINTS, remember
from airflow_provider.audit.settings.levels import Severity
from airflow_provider.errors import ConfigurationError
from tests.unit.audit.reports.results import everything


def test_the_last_thirty_audits_are_kept_oldest_first(tmp_path: Path) -> None:
    path, result = tmp_path / "reports" / "trend.json", everything()
    for number in range(MAX_POINTS + 5):
        points = remember(path, replace(result, started_at=result.started_at + timedelta(days=number)), f"run {number}")
    assert [point.run for point in points] == [f"run {number}" for number in range(5, MAX_POINTS + 5)]
    assert points[0].at == result.started_at + timedelta(days=5)


def test_a_point_counts_open_findings_and_those_beyond_the_limit(tmp_path: Path) -> None:
    result = everything()
    result.findings_omitted[Severity.LOW] += 7
    (point,) = remember(tmp_path / "t.json", result)
    waived = [item for item in result.findings if item.waiver]
    assert waived
    assert sum(point.counts.values()) == len(result.findings) - len(waived) + 7
    assert point.counts["critical"] == 1
    assert point.counts["low"] == 7
    assert point.new == sum(item.state == "new" and item.waiver is None for item in result.findings)


def test_a_run_that_is_cleared_counts_once(tmp_path: Path) -> None:
    result = everything()
    for run in ("a", "b", "a"):
        points = remember(tmp_path / "t.json", result, run)
    assert [point.run for point in points] == ["b", "a"]
    remember(tmp_path / "u.json", result)
    assert len(remember(tmp_path / "u.json", result)) == 2, "without a name each is one of its own"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "airflow-provider-executions/audit-trend", "version": 1, "audits": [{}]}'])
def test_another_file_is_not_overwritten(tmp_path: Path, text: str) -> None:
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match="does not hold the trend"):
        remember(path, everything())
    assert path.read_text() == text
