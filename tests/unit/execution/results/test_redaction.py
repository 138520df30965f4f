"""Remote text is data."""

from __future__ import annotations

import datetime
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.execution.model.snapshot import LogLine
from airflow_provider.execution.results.redaction import (
    MAX_LINE_CHARACTERS,
    MIN_GROUP_LINES,
    clean,
    forward,
    looks_secret,
    tail_without_keys,
    without_keys,
)

CONTROL = re.compile("[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]")
SHAPES = {
    "PEM": "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAKC\n-----END RSA PRIVATE KEY-----",
    "PEM without end": "-----BEGIN PRIVATE KEY-----MIIEowIBAAKC",
    "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    "GitHub": "ghp_" + "a1B2" * 9,
    "GitHub fine-grained": "github_pat_" + "a1B2" * 9,
    "GitLab": "glpat-" + "a1-B2" * 4,
    "Slack": "xoxb-123456789012-abcdef",
    "AWS": "AKIAIOSFODNN7EXAMPLE",
    "AWS temporary": "ASIAIOSFODNN7EXAMPLE",
    "Google": "AIza" + "a1B2c" * 7,
    "Stripe": "sk_live_" + "a1B2" * 5,
    "OpenAI": "sk-proj-" + "a1B2" * 6,
    "npm": "npm_" + "a1B2" * 9,
    "PyPI": "pypi-" + "a1B2" * 12,
    "Tracecat": "tc_ws_sk_" + "a1B2" * 4,
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("tab\tstays", "tab\tstays"),
        ("zażółć 🚀", "zażółć 🚀"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b[38;5;196mred\x1b[m", "red"),
        ("\x1b[2K\x1b[1A\x1b[?25lup", "up"),
        ("\x1b]8;;https://evil.example\x07link\x1b]8;;\x07", "link"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;title\x07text", "text"),
        ("\x9b31mred", "red"),
        ("\x1bMreverse", "reverse"),
        ("bell\x07back\x08null\x00del\x7f", "bellbacknulldel"),
        ("one\ntwo\rthree\x0bfour\x0cfive\x85six", "one two three four five six"),
        ("a\u2028b\u2029c", "a b c"),
        ("\u202egnp.exe\u202c \u2066x\u2069\u200e\u200f", "gnp.exe x"),
        ("::group::mine", ": :group::mine"),
        ("::endgroup::", ": :endgroup::"),
        ("x ::GROUP::y", "x : :GROUP::y"),
        ("::gr\x00oup::x", ": :group::x"),
        ("::gr\x1b[0moup::x", ": :group::x"),
        (":\u200e:group::x", ": :group::x"),
        ("::group::::endgroup::", ": :group::: :endgroup::"),
        ("std::vector::group", "std::vector::group"),
        ("100 %s of %d {0} {name} %(x)s", "100 %s of %d {0} {name} %(x)s"),
        (None, "None"),
        (5, "5"),
        ("", ""),
    ],
)
def test_lines_are_cleaned(text: object, shown: str) -> None:
    assert clean(text) == shown


@given(st.text(st.characters(codec=None)) | st.lists(st.sampled_from([
    "::", "group", "::group::", "end", ":", "\x1b", "[", "]", "8;;", "\x07", "\x9b", "m", "\x00", "\u202e", "GROUP::", "\x1b\\",
])).map("".join), st.lists(st.text(max_size=8).filter(bool), max_size=3))  # fmt: skip
def test_nothing_that_steers_a_terminal_or_the_log_view_comes_through(text: str, secrets: list[str]) -> None:
    shown = clean(text, secrets)
    assert not CONTROL.search(shown)
    assert "::group::" not in shown.lower()
    assert "::endgroup::" not in shown.lower()


@given(st.text(st.characters(codec=None), max_size=300), st.integers(1, 100))
def test_lines_are_bounded(text: str, limit: int) -> None:
    assert len(clean(text, limit=limit)) <= limit + len("… (cut; 1000000 characters in total)")


def test_a_megabyte_line_is_cut_and_says_so() -> None:
    shown = clean("x" * 1_000_000)
    assert shown == "x" * MAX_LINE_CHARACTERS + "… (cut; 1000000 characters in total)"
    assert clean("x" * MAX_LINE_CHARACTERS) == "x" * MAX_LINE_CHARACTERS
    assert len(clean("x" * 1_000_000, limit=None)) == 1_000_000


@pytest.mark.parametrize(
    "text", ["\x1b" * 100_000, "\x1b]" * 100_000, "::" * 100_000, "\x1b[" + "0" * 500_000, "eyJ" * 100_000, "-----BEGIN " * 50_000]
)
def test_hostile_lines_take_no_long_time(text: str) -> None:
    """Bounded by pytest's timeout: a regular expression that backtracks would take hours."""
    assert len(clean(text, limit=None)) <= len(text)


@pytest.mark.parametrize("shape", list(SHAPES))
def test_secrets_are_hidden_by_their_shape(shape: str) -> None:
    secret = SHAPES[shape]
    shown = clean(f"pushing with '{secret}' to origin")
    assert "***" in shown
    assert secret.replace("\n", "") not in shown
    assert shown.startswith("pushing with '***")


def test_given_secrets_are_hidden_the_longest_first() -> None:
    assert clean("token hunter2hunter2, then hunter2", ["hunter2", "hunter2hunter2"]) == "token ***, then ***"
    assert clean("hun\x00ter2", ["hunter2"]) == "***"
    assert clean("h\x1b[1munter2", ["hunter2"]) == "***"


def test_given_secrets_of_several_lines_are_hidden() -> None:
    secret = "first-half\nsecond-half"
    assert "half" not in clean(f"key: {secret}", [secret])
    assert "first-half" not in clean("key: first-half", [secret])


def test_a_secret_at_the_edge_of_a_long_line_is_hidden() -> None:
    """Colours take room before they are taken out, so that the place of the cut is no edge of what is shown."""
    colours = "\x1b[0m" * (MAX_LINE_CHARACTERS - 3)
    shown = clean(colours + "hunter2-hunter2-hunter2", ["hunter2-hunter2-hunter2"])
    assert "hunter2" not in shown


@pytest.mark.parametrize("name", [
    "IMAGE", "TOKENIZER_VERSION", "COMPASS", "URL", "BYPASS", "PASSWORDLESS", "SECRETARY", "KEYBOARD", "API_KEYS_COUNT", "MONKEY",
    "PRIMARY_KEY", "FOREIGN_KEY", "AUTHOR", "Tokenizer", "credentialed", "PWDX", "",
])  # fmt: skip
def test_harmless_names(name: str) -> None:
    assert looks_secret(name, "v1.2.3") is False


@pytest.mark.parametrize("name", [
    "DEPLOY_TOKEN", "apiKey", "db-password", "PASSWORD", "password", "dbPassword", "Secret", "AWS_SECRET_ACCESS_KEY", "api_key", "APIKEY",
    "private-key", "privateKey", "accessKey", "TOKEN_2", "token", "api-key", "DB_PASSWD", "PWD", "credential", "CREDENTIALS",
    "authorization",
    "my.token", "slack_bearer", "GITHUB_TOKEN", "clientSecret", "passphrase",
])  # fmt: skip
def test_names_that_tell_a_secret(name: str) -> None:
    assert looks_secret(name, "harmless") is True
    assert looks_secret(name, None) is True


@pytest.mark.parametrize("shape", list(SHAPES))
def test_values_that_tell_a_secret(shape: str) -> None:
    assert looks_secret("IMAGE", SHAPES[shape]) is True


@pytest.mark.parametrize("value", [
    None, 5, True, "shop:1.2.3", "sha256:" + "a1b2" * 16, "2aeec94b11d79263c0076e8281e93ceacf88211c", "https://shop.example/?a=1",
    "task-list-of-many-things",
    "risk-assessment-of-the-release", "-----BEGIN CERTIFICATE-----\nMII\n-----END CERTIFICATE-----", "ghp_short", {"a": 1},
])  # fmt: skip
def test_harmless_values(value: object) -> None:
    assert looks_secret("IMAGE", value) is False


class Log:
    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def info(self, event: str, *arguments: Any, **fields: Any) -> None:
        assert event.count("%s") == len(arguments)
        self.calls.append((event % arguments if arguments else event, arguments, fields))


def test_many_lines_of_a_step_are_folded_and_few_are_not() -> None:
    log = Log()
    many = [LogLine("::endgroup::\x1b[1mTest", f"{number} %s {{x}}") for number in range(MIN_GROUP_LINES)]
    forward(log, "Buddy", [LogLine("Build", "one"), LogLine("Build", "two %s {x}"), *many, LogLine("Build", "three")])
    assert [text for text, _, _ in log.calls] == [
        "one",
        "two %s {x}",
        "::group::Buddy log: : :endgroup::Test",
        *[f"{number} %s {{x}}" for number in range(MIN_GROUP_LINES)],
        "::endgroup::",
        "three",
    ]


def test_forwarded_lines_carry_remote_fields_that_can_not_clash_with_airflows() -> None:
    log = Log()
    when = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    forward(log, "Buddy", [LogLine("Build", "x", when, "ERR\x07OR"), LogLine("", "y")])
    assert [fields for _, _, fields in log.calls] == [
        {"remote_step": "Build", "remote_time": "2026-01-02T03:04:05+00:00", "remote_level": "ERROR"},
        {},
    ]


def test_forwarded_lines_hide_the_secrets_given() -> None:
    log = Log()
    forward(log, "Buddy", [LogLine("", "using hunter2"), LogLine("x", "again hunter2")], iter(["hunter2"]))
    assert [text for text, _, _ in log.calls] == ["using ***", "again ***"]


def test_nothing_is_said_where_there_are_no_lines() -> None:
    log = Log()
    forward(log, "Buddy", [])
    assert log.calls == []


KEY = [
    "-----BEGIN RSA PRIVATE KEY-----",
    "Proc-Type: 4,ENCRYPTED",
    "",
    "MIIEpAIBAAKCAQEA0m",
    "12:00 q1Zb+/a=",
    "-----END RSA PRIVATE KEY-----",
]


def test_a_key_over_several_lines_is_hidden_also_over_two_batches() -> None:
    inside: dict[str, int] = {}
    lines = [LogLine("Build", text) for text in ["before", *KEY, "after it"]]
    others = LogLine("Test", "untouched")
    texts = [line.text for batch in ([*lines[:4], others], lines[4:]) for line in without_keys(batch, inside)]
    assert texts == ["before", KEY[0], "***", "***", "untouched", "***", "***", "***", "after it"]
    assert inside == {}


@pytest.mark.parametrize("last", ["AbCd", "AbCdEf12", "AbCdEf12AbCd", "Ab==", "AbC="])
def test_the_last_line_of_a_key_may_be_short_and_stand_behind_a_time(last: str) -> None:
    lines = [LogLine("", text) for text in (KEY[0], f"12:00:01 {'A' * 64}", f"12:00:01 {last}", KEY[-1])]
    assert [line.text for line in without_keys(lines, {})] == [KEY[0], "***", "***", "***"]


def test_a_key_that_does_not_end_hides_no_more_than_what_looks_like_one() -> None:
    lines = [LogLine("", text) for text in (f"using {KEY[0]}", "MIIEpAIBAAKCAQEA0m", "the build goes on", "word")]
    assert [line.text for line in without_keys(lines, {})][1:] == ["***", "the build goes on", "word"]


@pytest.mark.parametrize(
    ("tail", "shown"),
    [
        (["MIIEpAIBAAKCAQEA0m", KEY[-1], "after it"], ["***", KEY[-1], "after it"]),
        (["before", *KEY[:2], "after it"], ["before", KEY[0], "***", "after it"]),
        (["MIIEpAIBAAKCAQEA0m", KEY[-1], "between", *KEY[:2]], ["***", KEY[-1], "between", KEY[0], "***"]),
        (["before", "after it"], ["before", "after it"]),
        ([], []),
    ],
)
def test_a_tail_may_begin_within_a_key(tail: list[str], shown: list[str]) -> None:
    assert tail_without_keys(tail) == shown
