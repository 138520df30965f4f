"""
How late an end is seen, and after how many looks, by the gaps of a wait and by fixed ones: a simulation.

Each execution takes as long as its distribution says, and is looked at alone: when the wait begins, then after each gap. The delay is the
time from the end to the first look behind it; how long a look takes is left out. Fixed intervals are jittered as the gaps are.
"""

from __future__ import annotations

import random
import statistics
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from airflow_provider import _clock
from airflow_provider.execution.waiting.wait import Wait, WaitPolicy, WaitState

HOUR = 3_600.0
EXECUTIONS = 10_000
LOOKS = 50_000
"""By which waits are simulated at least."""

DISTRIBUTIONS: dict[str, Callable[[random.Random], float]] = {
    "short: 5 to 100 s": lambda chance: chance.uniform(5, 100),
    "builds: median 4 min": lambda chance: chance.lognormvariate(5.5, 0.8),
    "long: median 1 h": lambda chance: chance.lognormvariate(8.2, 0.7),
    "heavy tailed: 20 s to 24 h": lambda chance: min(20 * chance.paretovariate(0.8), 24 * HOUR),
    "mixed: 80 % short, 20 % long": lambda chance: chance.uniform(5, 100) if chance.random() < 0.8 else chance.lognormvariate(8.2, 0.7),
}
"""Name to a draw of a duration, in seconds."""


class Outcome(NamedTuple):
    """Means over all executions: seconds, and looks per execution."""

    delay: float
    looks: float


def allowed(duration: float) -> float:
    """Seconds that an end may be seen late: 5 % of the duration or 5 s, whichever is more."""
    return max(0.05 * duration, 5.0)


def durations(name: str, count: int = EXECUTIONS) -> list[float]:
    """Draw from a distribution; always the same."""
    chance = random.Random(name)
    return [DISTRIBUTIONS[name](chance) for _ in range(count)]


def simulate(given: list[float], gap: Callable[[float], float]) -> Outcome:
    """
    Look at each execution until it has ended. When a wait looks depends on its age only: so each wait stands for one of each execution.

    :param gap: gives seconds until the next look, from the age of the wait.
    """
    ordered = sorted(given)
    sums = [0.0, *accumulate(ordered)]
    made = waits = looks = 0
    delay = 0.0
    while made < LOOKS:
        age, ended = 0.0, 0
        waits += 1
        looks += len(ordered)
        while ended < len(ordered):
            looks += len(ordered) - ended
            made += 1
            age += gap(age)
            before, ended = ended, bisect_right(ordered, age)
            delay += age * (ended - before) - (sums[ended] - sums[before])
    return Outcome(delay / waits / len(given), looks / waits / len(given))


def of_a_wait(poll_interval: float) -> Callable[[float], float]:
    """The gaps of the product."""
    policy: Any = {"poll_interval": poll_interval, "timeout": 1e9, "waiting_counts": True}
    unused: Any = None
    wait = Wait(unused, "ref", WaitPolicy(**policy), WaitState(since=0.0), unused)

    def gap(age: float) -> float:
        wait.state.since = _clock.now() - age
        return wait.gap()

    return gap


def fixed(seconds: float) -> Callable[[float], float]:
    """A fixed interval."""
    return lambda age: seconds * random.uniform(0.9, 1.1)


RULES: dict[str, Callable[[float], float]] = {
    "growing, to 30 s": of_a_wait(30.0),
    "growing, to 300 s": of_a_wait(300.0),
    "every 10 s": fixed(10.0),
    "every 30 s": fixed(30.0),
    "every 300 s": fixed(300.0),
}


def main() -> None:
    """Simulate and print."""
    table = Table(
        "durations", "rule", "delay, s", "allowed, s", "looks", "looks, to every 10 s",
        title=f"Delay of an end and looks per execution (means of {EXECUTIONS}; simulated)",
    )  # fmt: skip
    for name in DISTRIBUTIONS:
        given = durations(name)
        random.seed(name)
        limit = statistics.fmean(map(allowed, given))
        outcomes = {rule: simulate(given, gap) for rule, gap in RULES.items()}
        for number, (rule, outcome) in enumerate(outcomes.items()):
            ratio = outcome.looks / outcomes["every 10 s"].looks
            table.add_row(
                "" if number else name, rule, f"{outcome.delay:.1f}", f"{limit:.1f}", f"{outcome.looks:.1f}", f"{ratio:.2f}",
                end_section=number == len(outcomes) - 1,
            )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
