"""The line of a finding is shown without secrets."""

from __future__ import annotations

import pytest

from airflow_provider.audit.analysis.excerpt import excerpt
from airflow_provider.audit.facts.action import ActionFacts
from airflow_provider.audit.records.export import facts_of


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


def test_a_secret_in_a_file_that_a_command_writes_is_hidden_in_the_lines_of_other_findings() -> None:
    """In a definition the whole command may be one line, with ``\\n`` for the ends of its lines."""
    record = {
        "kind": "buddy.action",
        "conn_id": "buddy_default",
        "seen_at": "2026-03-10T03:00:00Z",
        "workspace": "acme",
        "project": "web",
        "pipeline": {"id": 89, "name": "Deploy"},
        "data": {
            "id": 1,
            "type": "BUILD",
            "execute_commands": ["cat > c.php <<EOF\ndefine('DB_PASSWORD', 'aP9x-7Kq2mZ4');\nEOF\ncurl -k https://x"],
        },
    }
    (action,) = (fact for fact in facts_of(record) if isinstance(fact, ActionFacts))
    assert "aP9x-7Kq2mZ4" in action.passed_values
