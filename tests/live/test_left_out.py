"""What is left out is said, and nothing is left out that is not there. Needs no server."""

from __future__ import annotations

from pathlib import Path

from tests.live.left_out import LEFT_OUT, MODULES, OTHER_MODULES, named_in, remaining
from tests.live.settings import BuddyAccount, TracecatServer


def test_each_test_that_is_left_out_exists() -> None:
    names = [name for module in MODULES for name in named_in(module)]
    assert len(names) == len(set(names)), "two modules have a test of the same name: one would hide the other"
    assert LEFT_OUT.keys() <= set(names)
    assert len(remaining()) == len(names) - len(LEFT_OUT) > 80


def test_each_module_of_the_suite_is_run_or_left_out() -> None:
    suite = {path.stem for path in Path(__file__).parents[1].joinpath("integration").glob("test_*.py")}
    assert {module.__name__.rpartition(".")[2] for module in MODULES} | OTHER_MODULES.keys() == suite


def test_what_is_missing_is_named() -> None:
    assert TracecatServer.given({}) == (
        "no Tracecat is given: TRACECAT_LIVE_URL, TRACECAT_LIVE_WORKSPACE, TRACECAT_LIVE_KEY (or LOGIN and PASSWORD)"
    )
    assert BuddyAccount.given({"BUDDY_LIVE_TOKEN": "t"}) == "no account at Buddy is given: BUDDY_LIVE_WORKSPACE, BUDDY_LIVE_PROJECT"
    given = TracecatServer.given({"TRACECAT_LIVE_URL": "https://t.example/api/", "TRACECAT_LIVE_WORKSPACE": "w", "TRACECAT_LIVE_KEY": "k"})
    assert given == TracecatServer("https://t.example/api", "w", "k")


def test_secrets_are_not_shown() -> None:
    assert "k1" not in repr(TracecatServer("u", "w", "k1"))
    assert "p1" not in repr(TracecatServer("u", "w", login="l", password="p1"))
    assert "t1" not in repr(BuddyAccount("t1", "w", "p"))
