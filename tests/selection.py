"""
Which cases of a test with several parameters ``make test`` runs; ``make test-all`` runs the whole product.

The rule, for each module: every value of every parameter of every test is run; and every pair of system and mode that the module has is run
by one of its tests. So each test sees each system and each mode, and each system is seen in each mode, but not each test in each mode of
each system.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from itertools import combinations, groupby
from typing import TypeVar

import pytest

T = TypeVar("T")
Part = TypeVar("Part", bound=Hashable)
Value = tuple[str, Hashable]
Pair = tuple[Value, Value]
SHARED = {"system", "mode", "bench", "operator_bench", "sensor_bench"}
"""Names of the parameters that say which system, and which mode."""


def selected(cases: Iterable[tuple[str, Mapping[str, Hashable], T]]) -> list[T]:
    """
    Pick among the cases of a module.

    :param cases: of each its test's name, its parameters, and what stands for it; those of a test one after the other.
    """
    all_cases = [(name, _values(parameters), case) for name, parameters, case in cases]
    seen: set[Pair] = set()
    picked: list[T] = []

    def pick(candidates: list[tuple[str, list[Value], T]], wanted: set[Part], parts: Callable[[list[Value]], set[Part]]) -> None:
        while wanted:
            best = max(candidates, key=lambda case: (len(parts(case[1]) & wanted), len(_pairs(case[1]) - seen)))
            if not parts(best[1]) & wanted:
                return
            wanted -= parts(best[1])
            seen.update(_pairs(best[1]))
            picked.append(best[2])

    for _, group in groupby(all_cases, key=lambda case: case[0]):
        candidates = list(group)
        pick(candidates, {value for case in candidates for value in case[1]}, lambda values: set(values))
        picked += [case[2] for case in candidates if not case[1]]
    shared = {pair for case in all_cases for pair in _pairs(case[1]) if {name for name, _ in pair} <= SHARED}
    pick(all_cases, shared - seen, lambda values: set(_pairs(values)))
    return picked


def _values(parameters: Mapping[str, Hashable]) -> list[Value]:
    return sorted(parameters.items(), key=lambda value: value[0])


def _pairs(values: Sequence[Value]) -> set[Pair]:
    return set(combinations(values, 2))


def mark_the_rest(items: Sequence[pytest.Item]) -> None:
    """Leave what is not selected to ``make test-all``."""
    for _, group in groupby(items, key=lambda item: item.nodeid.partition("::")[0]):
        cases = [item for item in group if isinstance(item, pytest.Function) and not _is_decided(item)]
        chosen = {id(item) for item in selected((_name(item), _parameters(item), item) for item in cases)}
        for item in cases:
            if id(item) not in chosen:
                item.add_marker("long")


def _is_decided(item: pytest.Function) -> bool:
    return any(item.get_closest_marker(name) is not None for name in ("long", "whole"))


def _name(item: pytest.Function) -> str:
    return item.nodeid.partition("[")[0]


def _parameters(item: pytest.Function) -> dict[str, Hashable]:
    if not hasattr(item, "callspec"):
        return {}
    # What can't be hashed is known by being the same object in all cases. pytest's own indices count cases, not values, since 9.1.
    return {name: value if _is_hashable(value) else id(value) for name, value in item.callspec.params.items()}


def _is_hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
