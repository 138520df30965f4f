"""Each row of the tables of behaviour and faults in the documentation names the tests that hold it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
ROOT = TESTS.parent
DOCS = ROOT / "docs"
PAGES = {"behaviour.md": 70, "faults.md": 45}
"""Pages, and how many rows their tables have at least."""
NAME = re.compile(r"`((?:\w+/)*test_\w+)::(test_\w+)`")


@cache
def modules() -> dict[str, Path]:
    """Each test module by its path below ``tests``, without suffix."""
    return {path.relative_to(TESTS).with_suffix("").as_posix(): path for path in TESTS.rglob("test_*.py")}


@cache
def functions(module: str) -> Counter[str]:
    body = ast.parse(modules()[module].read_text()).body
    return Counter(node.name for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)))


def wrong(module: str, function: str) -> str | None:
    """What is wrong with a name: the end of a module's path, as much of it as tells it from others, and a function of it."""
    found = [path for path in modules() if f"/{path}".endswith(f"/{module}")]
    if len(found) != 1:
        return f"{module} is {' or '.join(sorted(found)) or 'no test module'}"
    times = functions(found[0])[function]
    return None if times == 1 else f"{found[0]} has {times} functions {function}"


def tables(text: str) -> list[list[list[str]]]:
    """The tables of a page, each as its rows, each as its cells; the head is the first row."""
    found: list[list[list[str]]] = []
    before = ""
    for line in text.splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            found[-1].append([cell.strip() for cell in line.strip().strip("|").split("|")])
        before = line
    return [[head, *rows] for head, _, *rows in found]


def problems(text: str) -> list[str]:
    """What is wrong with the tables of a page."""
    found = []
    for head, *rows in tables(text):
        if head[-1] != "Test":
            found.append(f"the table of {head[0]} has no column of tests")
        for row in rows:
            names = NAME.findall(row[-1])
            if len(row) != len(head):
                found.append(f"{row[0]}: {len(row)} cells")
            if NAME.sub("", row[-1]).replace(",", "").strip() or not names:
                found.append(f"{row[0]}: {row[-1] or 'nothing'} in place of tests")
            found += [f"{row[0]}: {text}" for text in (wrong(*name) for name in names) if text]
    return found


@pytest.mark.parametrize("page", PAGES)
def test_each_row_names_the_tests_that_hold_it(page: str) -> None:
    text = (DOCS / page).read_text()
    assert problems(text) == []
    assert sum(len(table) - 1 for table in tables(text)) >= PAGES[page]


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ("", "nothing in place of tests"),
        ("`test_outcomes`", "in place of tests"),
        ("see `test_outcomes::test_failed`", "in place of tests"),
        ("`test_outcomes::test_fail`", "has 0 functions test_fail"),
        ("`test_outcome_s::test_failed`", "is no test module"),
        ("`test_search::test_the_latest`", "is integration/test_search or unit/execution/waiting/test_search"),
        ("`search::test_the_latest`", "in place of tests"),
    ],
)
def test_a_wrong_name_is_found(cell: str, says: str) -> None:
    page = "| Event | Test |\n|---|---|\n| good | `test_outcomes::test_failed`, `integration/test_search::test_the_latest` |\n"
    assert problems(page) == []
    [problem] = problems(f"{page}| bad | {cell} |\n")
    assert problem.startswith("bad: ")
    assert says in problem
    assert problems(page.replace(" Test ", " Tests ")) != []


def test_the_guide_to_a_new_system_shows_code_that_runs() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text().partition("## Add a system")[2].partition("\n## ")[0]
    blocks = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    files = [path.read_text() for path in (ROOT / "tests/integration/made_up").glob("*.py")]
    assert len(blocks) >= 6
    assert [block for block in blocks if not any(block.strip() in text for text in files)] == []
