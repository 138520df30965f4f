"""Long histories: ten times as many executions take no more memory to read through, and no more requests than there are pages."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_provider.alga_psa.hook import AlgaPsaHook
from airflow_provider.buddy.hook import BuddyHook
from tests.benchmarks import stub

MANY = 10_000


def read(each: Iterator[Any]) -> tuple[int, int]:
    """How many there are, and the peak of memory while they were read, in bytes."""
    tracemalloc.start()
    try:
        return sum(1 for _ in each), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.long
@pytest.mark.parametrize("system", ["buddy", "alga_psa"])
def test_ten_times_as_many_executions_take_no_more_memory(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = []
    for count in (100, MANY // 10, MANY):  # the first brings what is loaded and built once
        with stub.running(count, 1) as url:
            fields = {"conn_type": system, "host": f"{url}/{system}", "password": "none-none"}
            extra = json.dumps({"workspace": "demo", "project": "shop"}) if system == "buddy" else "{}"
            monkeypatch.setenv(f"AIRFLOW_CONN_{system.upper()}_DEFAULT", json.dumps({**fields, "extra": extra}))
            with BuddyHook() if system == "buddy" else AlgaPsaHook() as hook:
                each = hook.iter_executions(1) if isinstance(hook, BuddyHook) else hook.iter_executions(status="running")
                found, peak = read(each)
        assert found == count
        peaks.append(peak)
    print(f"{system}: peaks of {peaks[1] >> 10} KiB and {peaks[2] >> 10} KiB")
    assert (
        peaks[2] < 3.5 * peaks[1]
    )  # pydantic keeps short texts, some thousands at most; whoever kept all items would take ten times as much
