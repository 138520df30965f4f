"""What a task returns: its times."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from airflow_provider.execution.model.result import seconds_between

START = datetime(2026, 1, 5, 10, tzinfo=timezone.utc)


@pytest.mark.parametrize(("later", "seconds"), [(9.12, 9.12), (0.0, 0.0), (-0.5, 0.0), (-3_600.0, 0.0)])
def test_a_duration_is_never_negative(later: float, seconds: float) -> None:
    """The remote clock may step back."""
    assert seconds_between(START, START + timedelta(seconds=later)) == seconds


def test_without_both_times_there_is_no_duration() -> None:
    assert seconds_between(START, None) is None
    assert seconds_between(None, START) is None
