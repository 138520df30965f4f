"""The search for known secrets: the same with many parts as with few, and no slower for it."""

from __future__ import annotations

import json
from base64 import b64encode
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.snapshot import Snapshot, Step
from airflow_provider.execution.results.known_secrets import (
    MAX_PARTS_ONE_BY_ONE,
    Parts,
    Secrets,
    contains,
    hidden,
    hide_in,
    parts_of,
)
from airflow_provider.execution.results.redaction import clean

MANY = "\n".join(f"  certificate-{number}: canary/{number}+&<'{'x' * (number % 7)}" for number in range(300))


def one_by_one(text: str, parts: Parts) -> str:
    for part in parts:
        text = text.replace(part, "***")
    return text


@given(st.lists(st.text("abc", min_size=5, max_size=12), min_size=1, max_size=30), st.text("abcd", max_size=200))
def test_the_search_for_all_finds_what_a_search_for_each_does(words: list[str], text: str) -> None:
    few = Parts(sorted(set(words), key=lambda word: (-len(word), word)))
    more = Parts(sorted({*words, *(f"filler-{number}" for number in range(MAX_PARTS_ONE_BY_ONE + 1))}, key=lambda word: (-len(word), word)))
    assert list(more.within(text)) == [part for part in more if part in text]
    assert hidden(text, more) == one_by_one(text, few)


@pytest.mark.parametrize("number", [0, 7, 299])
@pytest.mark.parametrize(
    "form",
    [
        str,
        lambda text: quote(text, safe=""),
        lambda text: json.dumps(text)[1:-1],
        lambda text: text.replace("&", "&amp;").replace("<", "&lt;"),
    ],
    ids=["plain", "URL", "JSON", "HTML"],
)
def test_each_line_of_a_long_secret_is_hidden(number: int, form: object) -> None:
    line = MANY.splitlines()[number].strip()
    said = form(line)  # type: ignore[operator]
    assert "canary" not in clean(f"got {said} back", [MANY])
    assert "canary" not in hidden(f"got {said} back", parts_of([MANY]))


def test_base64_of_a_long_secret_is_hidden() -> None:
    for before in ("", "x", "xy"):
        said = b64encode(f"{before}{MANY}".encode()).decode()
        assert len(hidden(said, parts_of([MANY]))) < 20


def test_a_short_secret_is_hidden_line_by_line_in_base64_too() -> None:
    said = b64encode(b"second canary line").decode()
    assert said.rstrip("=")[:-2] not in hidden(f"x {said} y", parts_of(["first canary line\nsecond canary line"]))


def test_secrets_keep_their_parts() -> None:
    """However many others are asked for meanwhile."""
    secrets = Secrets([MANY])
    parts = parts_of(secrets)
    for number in range(100):
        parts_of([f"another-secret-{number}"])
    assert parts_of(secrets) is parts
    assert contains({"a": ["x", MANY.splitlines()[5]]}, parts)
    assert not contains({"a": ["x", 5, None, True]}, parts)


class Counting(str):
    """A text that counts how often it is searched, or cut."""

    looks = 0

    def __contains__(self, part: object) -> bool:
        Counting.looks += 1
        return super().__contains__(part)  # type: ignore[operator]

    def __getitem__(self, key: object) -> str:
        Counting.looks += 1
        return super().__getitem__(key)  # type: ignore[index]


@pytest.mark.parametrize("lines", [30, 300, 1_500])
def test_the_work_does_not_grow_with_the_lines_of_a_secret(lines: int) -> None:
    parts = parts_of(["\n".join(f"certificate-{number}: canary/{number}+&<'" for number in range(lines))])
    assert len(parts) > MAX_PARTS_ONE_BY_ONE
    Counting.looks = 0
    assert parts.within(Counting("a line of a log, as they are " * 4)) == ()
    assert Counting.looks <= 120


def test_a_snapshot_is_cleaned_of_a_long_secret() -> None:
    line = MANY.splitlines()[9].strip()
    steps = [Step("1", f"step {line}", Phase.RUNNING, "INPROGRESS", error=f"refused {line}")]
    snapshot = Snapshot("a/1", Phase.RUNNING, "INPROGRESS", "http://x/y", steps=steps, system_fields={"a": [{"b": line}]})
    assert "canary" not in str(hide_in(snapshot, Secrets([MANY])))
