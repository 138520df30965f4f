"""Which cases ``make test`` runs."""

from __future__ import annotations

from collections.abc import Hashable
from itertools import combinations, product
from typing import Any

import pytest

from tests.selection import _name, _parameters, selected

Case = tuple[str, dict[str, Hashable]]


def module(**tests: dict[str, list[Any]]) -> list[tuple[str, dict[str, Hashable], Case]]:
    """All cases of some tests, each with parameters of its own."""
    cases = [(name, dict(zip(given, values, strict=True))) for name, given in tests.items() for values in product(*given.values())]
    return [(name, parameters, (name, parameters)) for name, parameters in cases]


def pairs(cases: list[Case]) -> set[Any]:
    return {pair for _, parameters in cases for pair in combinations(sorted(parameters.items()), 2)}


SYSTEMS, MODES = ["buddy", "tracecat", "alga_psa"], ["poke", "reschedule", "deferrable", "operator"]


def test_each_test_sees_each_value() -> None:
    cases = module(a={"system": SYSTEMS, "mode": MODES}, b={"system": SYSTEMS, "mode": MODES, "status": [1, 2, 3, 4, 5]})
    chosen = selected(cases)
    for name, parameters, _ in cases:
        for parameter in parameters.items():
            assert any(name == test and parameter in values.items() for test, values in chosen), (name, parameter)


def test_each_pair_of_system_and_mode_is_seen_in_the_module() -> None:
    cases = module(
        a={"system": SYSTEMS, "mode": MODES}, b={"system": SYSTEMS, "mode": MODES}, c={"system": SYSTEMS, "status": [1, 2]}, d={}
    )
    chosen = selected(cases)
    wanted = {pair for pair in pairs([case for _, _, case in cases]) if {name for name, _ in pair} == {"mode", "system"}}
    assert len(wanted) == len(SYSTEMS) * len(MODES)
    assert wanted <= pairs(chosen)
    assert ("d", {}) in chosen


def test_no_case_is_chosen_twice_and_most_are_left_out() -> None:
    tests = {f"test_{number}": {"system": SYSTEMS, "mode": MODES} for number in range(10)}
    chosen = selected(module(**tests))
    assert len({(name, *values.items()) for name, values in chosen}) == len(chosen) < 10 * 12 / 2


@pytest.mark.parametrize("tests", [{}, {"a": {}}, {"a": {"n": [1]}}])
def test_little_is_chosen_whole(tests: dict[str, Any]) -> None:
    cases = module(**tests)
    assert selected(cases) == [case for _, _, case in cases]


def test_the_choice_is_the_same_each_time() -> None:
    cases = module(a={"system": SYSTEMS, "mode": MODES}, b={"system": SYSTEMS, "mode": MODES, "status": [1, 2, 3]})
    assert selected(cases) == selected(cases)


@pytest.mark.parametrize("sizes", [{1}, {2}, {3}], ids=str)
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_values_that_have_no_hash_are_told_apart_and_known_again(request: pytest.FixtureRequest, size: int, sizes: set[int]) -> None:
    own = request.node.originalname
    items = [item for item in request.session.items if isinstance(item, pytest.Function) and item.originalname == own]
    chosen = selected((_name(item), _parameters(item), item) for item in items)
    assert request.node in items
    assert len(chosen) <= 4
    assert {str(item.callspec.params["sizes"]) for item in chosen} == {str(item.callspec.params["sizes"]) for item in items}
