"""The line of a finding is shown without secrets."""

from __future__ import annotations

import pytest

from airflow_provider.audit.analysis.excerpt import excerpt


@pytest.mark.parametrize(
    ("line", "others", "shown"),
    [
        ("curl -k https://x.io", ["Zx9kPq2rT"], "curl -k https://x.io"),
        ("login Zx9kPq2rT", ["Zx9kPq2rT"], "login ***"),
        ('login "Zx9k\\"Pq2rT"', ['Zx9k"Pq2rT'], None),
        ("  second half of it", ["first\nsecond half"], None),
        ("  kPq2rT of it", ["Zx9 kPq2rT"], None),
    ],
)
def test_what_may_be_secret_elsewhere_hides_only_the_lines_that_contain_some_of_it(line: str, others: list[str], shown: str | None) -> None:
    assert excerpt(line, None, others) == shown
