"""YAML is read with the place of each value, and within limits."""

from __future__ import annotations

import io
import json
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from airflow_provider.audit.definitions.document import MAX_CHARACTERS, MAX_DEPTH, MAX_VALUES, read_document
from airflow_provider.audit.facts.origin import FieldPath, Location, Origin
from airflow_provider.errors import ConfigurationError

KEYS = st.from_regex(r"[a-z]{1,8}", fullmatch=True)
WORDS = st.from_regex(r"w[a-z0-9 :#'\"\-]{0,20}w", fullmatch=True)
VALUES = st.recursive(
    WORDS | st.integers(-999, 999) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=25,
)


@pytest.mark.long
@given(VALUES, st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_data_is_what_was_written_and_each_text_is_at_its_place(value: object, flow: bool) -> None:
    if flow:
        text = json.dumps({"top": value}, indent=1)
    else:
        file, writer = io.StringIO(), YAML(typ="safe", pure=True)
        writer.default_flow_style, writer.width = False, 10_000
        writer.dump({"top": value}, file)
        text = file.getvalue()
    document = read_document(text, "file.yml")
    assert document.data == [{"top": value}]
    for key, place in document.places.items():
        found: object = document.data
        for part in key:
            found = found[part]  # type: ignore[index]
        if isinstance(found, str):
            assert found[:1] in document.lines[place.line - 1][place.column - 1 :][:2]


LAUGHS = "a: &a [1, 2, 3, 4, 5, 6, 7, 8, 9]\n" + "\n".join(
    f"{here}: &{here} [{', '.join([f'*{before}'] * 9)}]" for before, here in pairwise("abcdefghi")
)
"""Each line holds nine times what the line before holds."""


@pytest.mark.long
@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [", 1),
        ("a: 1\nb: c: d", 2),
        ("a: 1\n\t- x", 2),
        ("a: 'x", 1),
        ("a: *b", 1),
        ("{" * 3000, None),
        ("[" * 3000, None),
        ("a: &a [*a]", None),
        ("a: &a {<<: *a}", None),
        ("a: \x00", None),
        ("x: " + "y" * MAX_CHARACTERS, None),
        (LAUGHS, None),
    ],
)  # fmt: skip
def test_what_is_no_yaml_or_too_much_is_refused_with_its_line(text: str, line: int | None) -> None:
    with pytest.raises(ConfigurationError, match=rf"file\.yml, line {line} " if line else r"file\.yml"):
        read_document(text, "file.yml")


@pytest.mark.long
def test_the_limits_themselves_are_read() -> None:
    assert read_document("[" * (MAX_DEPTH - 2) + "]" * (MAX_DEPTH - 2), "x").data
    assert len(read_document("\n".join(["- 1"] * (MAX_VALUES // 20)), "x").data[0]) == MAX_VALUES // 20


@pytest.mark.parametrize(
    ("text", "data", "written"),
    [
        ("on: on", {"on": "on"}, {}),
        ("a: 8.10", {"a": 8.1}, {(0, "a"): "8.10"}),
        ("a: 0777", {"a": 777}, {(0, "a"): "0777"}),
        ("a: 2024-01-01", {"a": "2024-01-01"}, {}),
        ("a: !name x", {"a": "!name x"}, {}),
        ("a: !!str 8", {"a": "8"}, {}),
        ("b: &b {x: 1, y: 2}\na: {<<: *b, x: 3}", {"b": {"x": 1, "y": 2}, "a": {"x": 3, "y": 2}}, None),
        ("a: 1\na: 2", {"a": 2}, None),
        ("1: a\nnull: b", {"1": "a", "null": "b"}, {}),
    ],
)
def test_words_stay_words_and_numbers_remember_how_they_are_written(text: str, data: object, written: dict[object, str] | None) -> None:
    document = read_document(text, "x")
    assert document.data == [data]
    assert written is None or document.written == written


@pytest.mark.parametrize(
    ("text", "repeated"),
    [
        ("a: 1\nb: 2\na: 3", {(1, 3): "a"}),
        ("- a: 1\n- a: 1", {}),
        ("a: {b: 1, c: 2,\n b: 3}\nb: 1", {(1, 2): "b"}),
        ("a: 1\na: 2\n'a': 3", {(1, 2): "a", (2, 3): "a"}),
        ("b: &b {x: 1}\na: {<<: *b, x: 3}\nc: *b", {}),
        ("b: &b {x: 1,\n x: 2}\na: {<<: *b, x: 3}\nc: *b", {(1, 2): "x"}),
        ("a: 1\n---\na: 1", {}),
    ],
)
def test_a_name_that_is_there_twice_is_told_with_both_lines(text: str, repeated: dict[tuple[int, int], str]) -> None:
    assert read_document(text, "x").repeated == repeated


BLOCK = """\
top:
  run:
    - |
      first
      second
    - >
      folded
      line
    - "quoted"
  # nothing
  size: 3
"""


@pytest.mark.parametrize(
    ("path", "line", "at"),
    [
        ("run[0]", 0, (4, 7)),
        ("run[0]", 1, (5, 7)),
        ("run[0]", 9, (5, 7)),
        ("run[1]", 0, (7, 7)),
        ("run[1]", 1, (7, 7)),
        ("run[2]", 0, (9, 7)),
        ("size", 0, (11, 9)),
        ("run[7]", 0, (3, 5)),
        ("missing", 0, (2, 3)),
        ("missing.too[3]", 0, (2, 3)),
        ("name", 0, (11, 9)),
        ("", 0, (2, 3)),
    ],
)
def test_a_field_is_found_and_else_what_encloses_it(path: str, line: int, at: tuple[int, int]) -> None:
    document = read_document(BLOCK, "f.yml")
    origin = Origin("f.yml", document.lines, document.places, (0, "top"), {"name": "size"})
    assert origin.at(FieldPath(path, line)) == Location("f.yml", *at)


SEVERAL = """\
literal: |-

  a1
    a2
folded: >
  b1
  b1

  b2
   b3
   b4
  b5


  b6
quoted: "c1
  c1\\nc2 \\
  c2

  c3"
single: {x: "n\\nn", y: 'd1

     d2'}
plain: e1
  e1

  e2
last: >-

  f1"""


@pytest.mark.parametrize("key", [("literal",), ("folded",), ("quoted",), ("single", "y"), ("plain",), ("last",)])
@pytest.mark.parametrize("end", ["", "\n", "\n\n# nothing\n"])
def test_each_line_of_a_text_is_at_its_own_line_of_the_file(key: tuple[str, ...], end: str) -> None:
    document = read_document(SEVERAL + end, "f.yml")
    text = document.data[0]
    for name in key:
        text = text[name]
    origin = Origin("f.yml", document.lines, document.places, (0,))
    words = {number: line.split()[0] for number, line in enumerate(text.split("\n")) if line.strip()}
    places = {number: origin.at(FieldPath(".".join(key), number)) for number in words}
    assert len(words) > 1 or key == ("last",)
    for number, word in words.items():
        place = places[number]
        assert word in document.lines[place.line - 1]
        assert word not in document.lines[place.line - 2]
        if place.line > places[min(words)].line:
            assert place.column == document.lines[place.line - 1].index(document.lines[place.line - 1].split()[0]) + 1
