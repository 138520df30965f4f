"""Foreign text can't hold up the package: the time of every regular expression grows with the text, not with its square."""

from __future__ import annotations

import re
from itertools import chain

import pytest

from tests.unit.patterns import FAMILIES, PACKAGE, TOO_STEEP, Pattern, attacks, patterns, steepness

PARTS = sorted({path.relative_to(PACKAGE).with_suffix("").parts[0] for path in PACKAGE.rglob("*.py")})


@pytest.mark.long
@pytest.mark.parametrize("part", PARTS)
def test_a_pattern_is_linear(part: str) -> None:
    steep = [
        (place, name)
        for place, pattern in patterns().items()
        if re.split("[.:]", place)[0] == part
        for name, make in chain(FAMILIES.items(), attacks(pattern.pattern))
        if steepness(pattern, make) > TOO_STEEP
    ]
    assert steep == []


@pytest.mark.long
def test_the_patterns_of_all_parts_are_found() -> None:
    found = {re.split("[.:]", place)[0] for place in patterns()}
    assert {"execution", "audit", "emulator", "tracecat"} <= found <= set(PARTS)
    assert len(patterns()) > 200


@pytest.mark.parametrize(
    ("pattern", "family"),
    [(r"\s+$", "blanks and something"), (r"\r+\n", "carriage returns"), (r"\{\{.*?\}\}", "brackets"), (r"a*b", "one letter")],
)
def test_a_pattern_that_is_not_linear_is_found(pattern: str, family: str) -> None:
    assert steepness(Pattern("here", re.compile(pattern), anchored_only=False), FAMILIES[family]) > TOO_STEEP


@pytest.mark.parametrize("pattern", [r"key:[a-z]*[a-z]*;", r"set (?:.* )?option"])
def test_text_is_made_that_a_pattern_would_be_slow_on(pattern: str) -> None:
    made = Pattern("here", re.compile(pattern), anchored_only=False)
    assert any(steepness(made, make) > TOO_STEEP for _, make in attacks(made.pattern))
