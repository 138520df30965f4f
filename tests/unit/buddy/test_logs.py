"""Reading logs by whichever route there is: nothing lost, nothing twice, no credential given away, memory bounded."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_provider import errors
from airflow_provider.buddy.api import models
from airflow_provider.buddy.api.error_texts import BuddyApiErrors
from airflow_provider.buddy.executions import logs
from airflow_provider.buddy.executions.logs import PAGE, TAIL, LogOf, LogReader
from airflow_provider.buddy.ref import BuddyRef
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.senders import Sender
from airflow_provider.execution.model.snapshot import Cursor
from tests.unit.buddy.log_server import ACTION, STEP, TOKEN, LogServer
from tests.unit.servers import free_port, serving

REF = BuddyRef("demo", "shop", 1, 7)
ENDED = LogOf(REF, STEP, ACTION)
RUNNING = LogOf(REF, STEP, ACTION, ended=False)


def sender_of(server: LogServer) -> Sender:
    headers = (("authorization", f"Bearer {TOKEN}"),)
    return Sender(Endpoint("buddy", "Buddy", "c", server.url, headers, BuddyApiErrors(), timeout=60.0))


@pytest.fixture
def server() -> Iterator[LogServer]:
    with LogServer([f"line {number}" for number in range(25)]) as server:
        yield server


@pytest.fixture
def sender(server: LogServer) -> Iterator[Sender]:
    with sender_of(server) as sender:
        yield sender


def read(sender: Sender, cursor: Cursor, limit: int = PAGE, of: LogOf = ENDED, reader: LogReader | None = None) -> list[str]:
    """Read on until there is no more for now; the cursor goes through JSON as between two tries."""
    reader = reader or LogReader()
    lines: list[str] = []
    more = True
    while more:
        some, more = sender.run(reader.lines(of, cursor, limit))
        assert len(some) <= limit
        lines += some
        kept = json.loads(json.dumps(cursor))
        cursor.clear()
        cursor.update(kept)
    return lines


def by_address(server: LogServer, where: str = "elsewhere") -> None:
    server.paged, server.inline = None, False
    server.log_url = lambda: str(getattr(server, where))


# Which route


def _paged(server: LogServer) -> None:
    pass


def _inline(server: LogServer) -> None:
    server.paged = None


def _legacy(server: LogServer) -> None:
    server.paged, server.there = None, {"action", "actions"}


def _older_legacy(server: LogServer) -> None:
    server.paged, server.there = None, {"actions"}


def _empty_page(server: LogServer) -> None:
    """The paged route is there, but the log lies behind an address."""
    by_address(server)
    server.paged = list


ROUTES: dict[str, Callable[[LogServer], None]] = {
    "paged": _paged, "inline": _inline, "legacy": _legacy, "older legacy": _older_legacy, "address": by_address,
    "own address": lambda server: by_address(server, "here"), "empty page": _empty_page,
}  # fmt: skip


@pytest.fixture(params=list(ROUTES))
def route(request: pytest.FixtureRequest, server: LogServer) -> str:
    ROUTES[request.param](server)
    return str(request.param)


@pytest.mark.parametrize("limit", [1, 7, 25, PAGE])
@pytest.mark.usefixtures("route")
def test_every_line_once_by_whichever_route(server: LogServer, sender: Sender, limit: int) -> None:
    cursor: Cursor = {}
    assert read(sender, cursor, limit) == server.lines
    assert read(sender, cursor, limit) == []


@pytest.mark.usefixtures("route")
def test_the_tail_by_whichever_route(server: LogServer, sender: Sender) -> None:
    server.lines = [f"line {number}" for number in range(3 * TAIL)]
    assert sender.run(LogReader().tail(ENDED, None)) == server.lines[-TAIL:]


@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.usefixtures("route")
def test_the_tail_of_what_was_read_already(server: LogServer, sender: Sender, inline: bool) -> None:
    seen = models.ActionExecution(log=server.lines if inline else [], log_url=server.log_url())
    assert sender.run(LogReader().tail(ENDED, seen)) == server.lines


@pytest.mark.usefixtures("route")
def test_an_empty_log(server: LogServer, sender: Sender) -> None:
    server.lines = []
    assert read(sender, {}) == []
    assert sender.run(LogReader().tail(ENDED, None)) == []


@pytest.mark.usefixtures("route")
def test_another_reader_goes_on_where_one_has_stopped(server: LogServer, sender: Sender) -> None:
    """As after a hand-over to another triggerer: what a reader knows besides the cursor must not matter."""
    cursor: Cursor = {}
    lines: list[str] = []
    for _ in range(30):
        lines += sender.run(LogReader().lines(ENDED, cursor, 2))[0]
    assert lines == server.lines


@pytest.mark.parametrize("ended", [True, False])
def test_a_log_that_grows_between_looks(server: LogServer, sender: Sender, route: str, ended: bool) -> None:
    cursor: Cursor = {}
    reader, lines = LogReader(), server.lines
    got: list[str] = []
    of = ENDED if ended else RUNNING
    for length in (1, 1, 8, 20, 25):
        server.lines = lines[:length]
        got += read(sender, cursor, 3, of, reader)
        assert got == ([] if route == "empty page" and not ended else server.lines)  # which may only be about to fill
    assert got + read(sender, cursor, 3, ENDED, reader) == lines


def test_a_log_that_no_route_has(server: LogServer, sender: Sender) -> None:
    server.paged, server.there = None, set()
    with pytest.raises(errors.NotFound) as raised:
        read(sender, {})
    assert raised.value.ref == str(REF)
    with pytest.raises(errors.NotFound, match="names neither action nor action execution"):
        sender.run(LogReader().lines(LogOf(REF, None, None), {}, 5))


def test_a_step_without_id_is_read_by_its_action(server: LogServer, sender: Sender) -> None:
    assert read(sender, {}, of=LogOf(REF, None, ACTION)) == server.lines
    assert [asked.what for asked in server.asked] == ["action"]


def test_a_route_that_is_not_there_is_not_asked_for_at_each_look(server: LogServer, sender: Sender) -> None:
    _older_legacy(server)
    reader, cursor = LogReader(), {}
    read(sender, cursor, of=RUNNING, reader=reader)
    server.asked.clear()
    for _ in range(3):
        read(sender, cursor, of=RUNNING, reader=reader)
    assert [asked.what for asked in server.asked] == ["actions"] * 3


@pytest.mark.parametrize("told", [True, False])
def test_a_server_that_gives_shorter_pages_than_asked_for(server: LogServer, sender: Sender, told: bool) -> None:
    """How many lines a page may have on older installations is not known; the total, if told, says whether there are more."""
    server.most, server.total = 10, told
    cursor: Cursor = {}
    if told:
        assert read(sender, cursor) == server.lines
    else:  # as at the next looks
        assert read(sender, cursor) + read(sender, cursor) + read(sender, cursor) == server.lines


def test_the_tail_of_a_paged_log_whose_total_is_not_told(server: LogServer, sender: Sender) -> None:
    server.total = False
    server.lines = [f"line {number}" for number in range(PAGE + 20)]
    assert sender.run(LogReader().tail(ENDED, None)) == server.lines[-TAIL:]


# Behind an address


@pytest.mark.parametrize(("where", "token"), [("elsewhere", None), ("here", f"Bearer {TOKEN}")])
def test_only_our_own_origin_gets_the_token(server: LogServer, sender: Sender, where: str, token: str | None) -> None:
    by_address(server, where)
    assert read(sender, {}) == server.lines
    files = [asked for asked in server.asked if asked.what == "file"]
    assert files
    for asked in files:
        assert asked.headers.get("authorization") == token
        assert asked.query == {"X-Signature": "s"}
        assert (token is None) == (TOKEN not in str(asked.headers))


@pytest.mark.parametrize("started", ["here", "elsewhere"])
def test_a_redirect_takes_no_token_to_another_origin(server: LogServer, sender: Sender, started: str) -> None:
    by_address(server, started)
    with serving(b"one\ntwo\n") as other:
        server.redirect = other.url + "/final"
        lines, more = sender.run(LogReader().lines(ENDED, {}, 10))
        assert (lines, more) == (["one", "two"], False)
        assert other.requests
        assert all("authorization" not in headers and TOKEN not in str(headers) for _, _, headers in other.requests)


@pytest.mark.parametrize("url", [
    "file:///etc/passwd", "ftp://127.0.0.1/log", "garbage", "//127.0.0.1/log", "http://", "http://[", "javascript:alert(1)", "https:///x",
    "http://127.0.0.1:99999/x", "http://a b/", "data:text/plain,x", "\x00", "gopher://127.0.0.1/",
])  # fmt: skip
def test_an_address_that_is_none_of_http(server: LogServer, sender: Sender, url: str) -> None:
    by_address(server)
    server.log_url = lambda: url
    with pytest.raises((errors.ProtocolError, errors.TransportError)) as raised:
        read(sender, {})
    assert server.count("file") == 0
    assert "passwd" not in str(raised.value)
    with pytest.raises((errors.ProtocolError, errors.TransportError)):
        sender.run(LogReader().tail(ENDED, None))


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/log", "http://["])
def test_a_redirect_to_none_of_http(server: LogServer, sender: Sender, target: str) -> None:
    by_address(server)
    server.redirect = target
    with pytest.raises(errors.ProtocolError):
        read(sender, {})


def test_a_storage_that_can_not_be_reached(server: LogServer, sender: Sender) -> None:
    by_address(server)
    server.log_url = lambda: f"http://127.0.0.1:{free_port()}/file?X-Signature=canary"
    with pytest.raises(errors.TransportError) as raised:
        read(sender, {})
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("status", [401, 403, 400, 404, 410])
def test_an_expired_address_is_asked_for_again_once(server: LogServer, sender: Sender, status: int) -> None:
    by_address(server)
    reader, cursor = LogReader(), {}
    first, more = sender.run(reader.lines(ENDED, cursor, 10))
    assert more
    server.refusals = [status]
    steps = server.count("step")
    assert first + read(sender, cursor, 10, reader=reader) == server.lines
    assert server.count("step") == steps + 1
    # one that is refused again is an error, and the cursor stays
    before = dict(cursor)
    server.refusals = [status] * 2
    with pytest.raises(errors.StatusError):
        sender.run(reader.lines(ENDED, cursor, 10))
    assert cursor == before
    assert server.refusals == []


def test_an_address_that_is_gone_when_asked_for_again(server: LogServer, sender: Sender) -> None:
    by_address(server)
    reader, cursor = LogReader(), {}
    sender.run(reader.lines(ENDED, cursor, 10))
    server.refusals, server.log_url = [403], lambda: None
    assert sender.run(reader.lines(ENDED, cursor, 10)) == ([], False)


@pytest.mark.parametrize("ranges", [True, False])
@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n"])
def test_ends_of_lines(server: LogServer, sender: Sender, ranges: bool, end: bytes) -> None:
    """What has no end yet comes once the action has ended."""
    by_address(server)
    server.ranges = ranges
    server.file = b"one\r\n\ntwo\n 10 %\r 20 %\nlast" + end
    rest = [""] if end == b"\n\n" else []
    whole = ["one", "", "two", " 10 %\r 20 %", "last", *rest]
    cursor: Cursor = {}
    assert read(sender, cursor, 2, RUNNING) == (whole if end else whole[:-1])
    assert read(sender, cursor, 2, ENDED) == ([] if end else ["last"])
    assert read(sender, {}, 2) == whole
    assert sender.run(LogReader().tail(ENDED, None)) == whole


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r"])
def test_other_separators_end_no_line(server: LogServer, sender: Sender, separator: str) -> None:
    """A line by the address is the line that the paged route gives: the cursor counts on it."""
    server.lines = [f"a{separator}b", "c"]
    assert read(sender, {}) == server.lines
    by_address(server)
    assert read(sender, {}) == server.lines
    assert sender.run(LogReader().tail(ENDED, None)) == server.lines


@pytest.mark.parametrize("ranges", [True, False])
def test_text_that_is_no_utf8_is_kept_as_far_as_it_goes(server: LogServer, sender: Sender, ranges: bool) -> None:
    by_address(server)
    server.ranges, server.file = ranges, b"gr\xc3\xb6\xc3\x9fer \xff\nplain\n"
    assert read(sender, {}) == ["größer \N{REPLACEMENT CHARACTER}", "plain"]


@pytest.mark.parametrize("taken", [0, 3, 25])
@pytest.mark.parametrize("paged_at_the_end", ["none", "empty"])
def test_paged_while_it_runs_then_behind_an_address(server: LogServer, sender: Sender, taken: int, paged_at_the_end: str) -> None:
    """Whichever way the paged route ends, the lines that were read by it do not come again, and the others come."""
    cursor: Cursor = {}
    reader, lines = LogReader(), server.lines
    server.lines = lines[:taken]
    got = read(sender, cursor, of=RUNNING, reader=reader)
    server.lines = [*lines, "the end"]
    by_address(server)
    server.paged = None if paged_at_the_end == "none" else list
    for limit in (4, 1_000):
        got += read(sender, cursor, limit, reader=reader)
    assert got == server.lines


def test_a_packed_file_is_refused(server: LogServer, sender: Sender) -> None:
    """Parts of one can't be unpacked; the bytes must not pass for text."""
    by_address(server)
    server.packed = True
    with pytest.raises(errors.ProtocolError, match="encoding that was not asked for"):
        read(sender, {})
    assert all(asked.headers["accept-encoding"] == "identity" for asked in server.asked if asked.what == "file")


@pytest.mark.parametrize("character", ["x", "ü", "\N{OK HAND SIGN}"])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_line_larger_than_the_window_comes_in_pieces(server: LogServer, sender: Sender, character: str, ranges: bool) -> None:
    by_address(server)
    server.ranges = ranges
    long = "a" + character * (5 * logs.WINDOW // 2 // len(character.encode()))
    server.lines = ["before", long, "after"]
    lines = read(sender, {})
    assert (lines[0], lines[-1], "".join(lines[1:-1])) == ("before", "after", long)
    assert len(lines) == 5


def test_a_long_line_that_was_read_before_is_skipped_whole(server: LogServer, sender: Sender) -> None:
    cursor: Cursor = {}
    server.lines = ["before", "x" * (3 * logs.WINDOW)]
    assert read(sender, cursor, of=RUNNING) == server.lines
    server.lines.append("after")
    by_address(server)
    assert read(sender, cursor) == ["after"]


# Of any size


@pytest.mark.long
def test_a_log_of_50_mb_is_read_once_in_bounded_memory(server: LogServer, sender: Sender) -> None:
    count = 60_000
    server.file = b"".join(b"%06d %s\n" % (number, b"x" * (800 + number % 67)) for number in range(count))
    size = len(server.file)
    assert size > 50_000_000
    by_address(server)
    reader, cursor = LogReader(), {}
    number, more = 0, True
    sender.run(reader.lines(LogOf(REF, "other", ACTION), {}, 1))  # imports
    server.written = 0
    tracemalloc.start(1)
    while more:
        lines, more = sender.run(reader.lines(ENDED, cursor, PAGE))
        for line in lines:
            assert int(line[:6]) == number
            number += 1
        if number == PAGE:
            tracemalloc.reset_peak()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert number == count
    assert peak < 16 * 1024 * 1024
    assert server.written < 4 * size  # no window is read again and again


def test_the_tail_of_a_large_log_reads_its_end_only(server: LogServer, sender: Sender) -> None:
    server.file = b"".join(b"line %07d\n" % number for number in range(400_000))
    by_address(server)
    server.written = 0
    assert sender.run(LogReader().tail(ENDED, None)) == [f"line {number:07}" for number in range(400_000 - TAIL, 400_000)]
    assert server.written < 2 * logs.TAIL_WINDOW


@pytest.mark.parametrize("length", [20, 50, 60, 1_000, 70_000])
@pytest.mark.parametrize("ranges", [True, False])
def test_the_tail_begins_with_a_whole_line(server: LogServer, sender: Sender, length: int, ranges: bool) -> None:
    server.lines = [f"{number:05} " + "ü" * length for number in range(200)]
    by_address(server)
    server.ranges = ranges
    tail = sender.run(LogReader().tail(ENDED, None))
    if length == 70_000:  # one line is more than is read
        assert len(tail) == 1
        assert server.lines[-1].endswith(tail[0][1:])
        assert len(tail[0]) > 30_000
    else:
        assert tail == server.lines[-len(tail) :]
        assert len(tail) == (TAIL if length < 1_000 else 32)


# Any log


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=9)
_LOGS = st.lists(st.one_of(_TEXT, st.integers(0, 400).map(lambda length: "ż" * length)), max_size=12)


@pytest.mark.long
@pytest.mark.parametrize("shape", ["text", "no end"])
def test_in_total_the_log(monkeypatch: pytest.MonkeyPatch, shape: str) -> None:
    """Any lines, limits, windows, growth, and a change of routes in the middle."""
    with LogServer() as server, sender_of(server) as sender:

        @given(st.data(), _LOGS, st.integers(60, 600), st.booleans(), st.booleans())
        @settings(max_examples=40)
        def check(data: st.DataObject, lines: list[str], window: int, ranges: bool, paged: bool) -> None:
            longest = max((len(json.dumps(line)) + len(line.encode()) for line in lines), default=0)
            monkeypatch.setattr(logs, "WINDOW", window)
            monkeypatch.setattr(logs, "LEAST_WINDOW", min(window, 64), raising=False)
            server.__dict__.update(paged=(lambda: server.lines) if paged else None, ranges=ranges, inline=paged)
            server.log_url = (lambda: None) if paged else (lambda: server.elsewhere)
            cursor: Cursor = {}
            reader = LogReader()
            got: list[str] = []
            cuts = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=3)))
            for length in [*cuts, len(lines)]:
                server.lines, server.file = lines[:length], None
                ended = length == len(lines)
                if paged and data.draw(st.booleans()):
                    by_address(server)
                    paged = False
                if not paged and shape == "no end":
                    server.file = "\n".join(server.lines).encode()
                    if ended and (not lines or not lines[-1]):
                        server.file = None
                limit = data.draw(st.integers(1, 60))
                got += read(sender, cursor, limit, ENDED if ended else RUNNING, reader)
                if data.draw(st.booleans()):
                    reader = LogReader()
            if longest + 8 < window:
                assert got == lines
            else:  # lines longer than the window are in pieces
                assert "".join(got) == "".join(lines)

        check()


@pytest.mark.long
@pytest.mark.parametrize("ranges", [True, False])
def test_in_blocks_the_log(monkeypatch: pytest.MonkeyPatch, ranges: bool) -> None:
    """Whole lines, none lost or torn, whatever the size of a block; a line that is longer comes in pieces of whole characters."""
    with LogServer() as server, sender_of(server) as sender:
        server.ranges = ranges
        by_address(server)

        @given(st.data(), _LOGS.filter(any), st.integers(10, 600))
        @settings(max_examples=40)
        def check(data: st.DataObject, lines: list[str], size: int) -> None:
            monkeypatch.setattr(logs, "BLOCK", size)
            cursor: Cursor = {f"{ENDED.key} bytes": 0}
            reader, got = LogReader(), b""
            for length in [*sorted(data.draw(st.lists(st.integers(1, len(lines)), max_size=3))), len(lines)]:
                server.file = "".join(f"{line}\n" for line in lines[:length]).encode()
                more = True
                while more:
                    block, more = sender.run(reader.block(ENDED if length == len(lines) else RUNNING, cursor))
                    assert not block or block.endswith(b"\n")
                    got += block
            if all(len(line.encode()) < size for line in lines):
                assert got.decode() == server.file.decode()
            else:
                assert got.decode().replace("\n", "") == "".join(lines)

        check()
