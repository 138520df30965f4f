"""The gaps between looks, on given distributions of durations: how late an end is seen, for how many requests."""

from __future__ import annotations

import random
import statistics

import pytest

from tests.benchmarks.gaps import DISTRIBUTIONS, allowed, durations, fixed, of_a_wait, simulate

pytestmark = pytest.mark.long

JITTER = 1.01
"""Jitter of 10 % makes an end seen later by 0.3 %, whatever the rule; the rest is chance."""


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("poll_interval", [10.0, 30.0, 300.0])
def test_an_end_is_seen_in_time(name: str, poll_interval: float) -> None:
    given = durations(name)
    limit = statistics.fmean(map(allowed, given))
    assert simulate(given, of_a_wait(poll_interval)).delay <= limit * JITTER


@pytest.mark.parametrize("poll_interval", [30.0, 300.0])
@pytest.mark.parametrize("duration", [5.0, 20.0, 60.0, 150.0, 400.0, 1_000.0, 5_000.0, 40_000.0])
def test_an_end_is_seen_in_time_whatever_the_duration(duration: float, poll_interval: float) -> None:
    """Of all about as long: one duration alone may fall just before a look, or just behind."""
    given = [duration * random.uniform(0.6, 1.4) for _ in range(1_000 if duration < 10_000 else 200)]
    limit = statistics.fmean(map(allowed, given))
    assert simulate(given, of_a_wait(poll_interval)).delay <= limit * 1.1


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("poll_interval", [30.0, 300.0])
def test_it_takes_no_more_requests_than_looking_every_10_seconds(name: str, poll_interval: float) -> None:
    """A fixed interval must be 10 s, if ends of short executions are to be seen 5 s late."""
    given = durations(name)
    assert simulate(given, of_a_wait(poll_interval)).looks <= simulate(given, fixed(10.0)).looks * JITTER


@pytest.mark.parametrize("name", ["builds: median 4 min", "long: median 1 h", "heavy tailed: 20 s to 24 h", "mixed: 80 % short, 20 % long"])
def test_long_executions_take_less_than_half_of_the_requests(name: str) -> None:
    given = durations(name)
    part = 0.75 if name.startswith("builds") else 0.5
    assert simulate(given, of_a_wait(30.0)).looks <= part * simulate(given, fixed(10.0)).looks


def test_the_longest_gap_is_the_poll_interval() -> None:
    for interval in (0.5, 10.0, 30.0, 300.0):
        gap = of_a_wait(interval)
        assert all(gap(age) <= 1.1 * interval for age in (0.0, 50.0, 500.0, 50_000.0))
