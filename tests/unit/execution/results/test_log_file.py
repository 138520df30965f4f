"""A log in a file: cleaned by blocks, it is what it would be line by line."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider.execution.model.snapshot import LogLine, block_of
from airflow_provider.execution.results.log_file import LogFile
from airflow_provider.execution.results.redaction import clean, without_keys
from tests.unit.execution.results.test_redaction import SHAPES


@pytest.fixture(params=["one scan", "searches"], scope="module", autouse=True)
def _way(request: pytest.FixtureRequest) -> Iterator[None]:
    """With hyperscan, and without."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "one scan":
            pytest.importorskip("hyperscan")
        else:
            patch.setitem(sys.modules, "hyperscan", None)
        yield


def by_blocks(blocks: list[bytes], secrets: list[str] | None = None) -> bytes:
    file = io.BytesIO()
    log_file = LogFile(file, secrets or [])
    for block in blocks:
        log_file.write("step", block)
    return file.getvalue()


def by_lines(blocks: list[bytes], secrets: list[str] | None = None) -> bytes:
    """The definition: each line on its own, behind what hides the keys that go over several."""
    lines = [LogLine("step", line.decode(errors="replace").rstrip("\r")) for block in blocks for line in block.split(b"\n")[:-1]]
    return "".join(f"[step] {clean(line.text, secrets or [], limit=None)}\n" for line in without_keys(lines, {})).encode()


PIECES = [
    *(shape.encode() for shape in SHAPES.values()),
    *(shape.encode()[:-4] for shape in SHAPES.values()),
    b"::group::x", b"p::", b"::ENDGroup::", b"::other::", b"\x1b[31m", b"\x1b]0;title", b"\x07", b"\x1b",
    b"\x00", b"\r", b"\r\r", b"\t", b"\x9b1m",
    b"-----BEGIN EC PRIVATE KEY-----", b"MIIEowIBAAKCAQEA7bq98fVQ", b"-----END EC PRIVATE KEY-----", b"hunter2",
    b"hun\x00ter2", b"hunter2xyz",
    "zażółć\u2028\u202e\x85\x9b31m".encode(), "\u2014\u2713\xa0é".encode(), b"\xff\xe2\x80", b"a" * 40,
    b"password=", b"'PassWord'", b":", b"\"", b"'", b"app:hunter2@tcp(h)", b"pwd=/x", b"\\", b"Pwd = ", b"s3cret;",
    b" ", b".", b"-", b"_", b"=", b"plain text",
]  # fmt: skip
line = st.lists(st.sampled_from(PIECES), max_size=6).map(b"".join) | st.binary(max_size=30).map(lambda data: data.replace(b"\n", b""))
block = st.lists(line, max_size=5).map(lambda lines: b"".join(item + b"\n" for item in lines))


@pytest.mark.long
@given(st.lists(block, max_size=4), st.lists(st.sampled_from(["hunter2", "hunter2xyz", "two\nlines", "żółć\x00x", "\x1b[31mred", "ab"])))
@example([b"\x1b\x1b[m[31mred\n"], [])
@example([b"cut \x1b]0;title\nnext\x07\n"], [])
@example([b"end\r\x1b[m\n"], [])
def test_a_block_is_cleaned_as_its_lines_are(blocks: list[bytes], secrets: list[str]) -> None:
    assert by_blocks(blocks, secrets) == by_lines(blocks, secrets)


@pytest.mark.long
@pytest.mark.parametrize("shape", [name for name in SHAPES if "PEM" not in name])
@pytest.mark.parametrize("before", ["", "at ", "zażółć "])
def test_a_secret_is_found_among_many_lines(shape: str, before: str) -> None:
    plain = b"compiling foo/bar-baz_1.2.3 sha256:0123456789abcdef0123456789abcdef\n" * 1_000
    written = by_blocks([plain + f"{before}{SHAPES[shape]} here\n".encode() + plain])
    assert SHAPES[shape].encode() not in written
    assert written.count(b"***") == 1
    assert written.count(b"compiling") == 2_000


def test_a_key_over_two_blocks_is_hidden() -> None:
    key = b"MIIEowIBAAKCAQEA7bq98fVQ\n"
    written = by_blocks([b"-----BEGIN PRIVATE KEY-----\n" + key, key + b"-----END PRIVATE KEY-----\nafter\n"])
    assert b"MII" not in written
    assert written.endswith(b"[step] after\n")


def test_line_feeds_within_a_line_do_not_end_it() -> None:
    assert by_blocks([block_of(["one\ntwo", "three"])]) == b"[step] one two\n[step] three\n"
    assert b"half" not in by_blocks([block_of(["key: 1st half\n2nd half"])], ["1st half\n2nd half"])


def test_nothing_plain_is_looked_at_more_closely(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With hyperscan: words, hashes, colons and letters of all languages need no second look, what is hidden does."""
    pytest.importorskip("hyperscan")
    if "searches" in request.node.name:
        pytest.skip("without hyperscan each block is searched")
    file = io.BytesIO()
    log_file = LogFile(file, ["hunter2"])
    looked: list[bytes] = []
    monkeypatch.setattr(log_file, "_suspects", lambda text, ascii_only: looked.append(text) or iter(()))
    for line in ("a b", "sha256:" + "0a" * 32, "Foo::bar", "tab\t✓ zażółć", "sk-short", "eyJ.eyJ"):
        log_file.write("step", line.encode() + b"\n")
    assert not looked
    log_file.write("step", b"hunter2\n")
    assert looked


@pytest.mark.long
def test_secrets_that_a_scan_can_not_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long ones, many, and such as would be patterns."""
    secrets = ["x" * 40_000, "[a-z]{5,}(", "a\\b.c*d", "żółć" * 5_000, *(f"secret-number-{number}-of-many" for number in range(1_000))]
    text = "".join(f"line {number} of the log has {secret}.\n" for number, secret in enumerate(secrets)) + "all letters\n"
    written = by_blocks([text.encode()], secrets)
    assert written.count(b"has ***.\n") == len(secrets)
    assert written.endswith(b"all letters\n")


def test_the_name_of_a_step_forges_no_line() -> None:
    file = io.BytesIO()
    LogFile(file).write("a\nb\x1b[31m", b"text\n")
    assert file.getvalue() == b"[a b] text\n"
