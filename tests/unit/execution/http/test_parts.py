"""Parts of files: whatever a server makes of the range that is asked for, no more is kept, and no more is read."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider import _clock, errors
from airflow_provider.execution.http.senders import KEEP_ALIVE, AsyncSender
from airflow_provider.execution.model.request import Flow, Part, Request, Route, send
from tests import virtual_clock
from tests.unit.execution.conftest import endpoint_of
from tests.unit.senders import Driver
from tests.unit.servers import raw_serving, serving
from tests.virtual_clock import VirtualClock

FILE = Route[bytearray]("GET", "(file)", bytearray, max_body=1_000)
TEXT = bytes(range(48, 123))


def ask(url: str, start: int, length: int) -> Request[bytearray]:
    return FILE.at(url, part=Part(start, length), ref="a/b/1/2")


def answering(status: str, body: bytes, *headers: str) -> Callable[[socket.socket], None]:
    head = "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", ""])
    return lambda connection: connection.sendall(head.encode() + body)


@pytest.mark.parametrize(
    ("part", "header"),
    [(Part(0, 10), "bytes=0-9"), (Part(5, 1), "bytes=5-5"), (Part(10**12, 2), f"bytes={10**12}-{10**12 + 1}"), (Part(-7, 7), "bytes=-7")],
)
def test_how_a_part_is_asked_for(driver: Driver, part: Part, header: str) -> None:
    with serving(TEXT) as server:
        driver.send(endpoint_of("http://127.0.0.1:1"), FILE.at(server.url, part=part))
    [(_, _, headers)] = server.requests
    assert (headers["range"], headers["accept-encoding"], headers["accept"]) == (header, "identity", "*/*")
    assert "authorization" not in headers


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, 10), (0, 75), (0, 76), (0, 500), (3, 1), (70, 5), (70, 6), (74, 1), (75, 1), (500, 9), (-10, 10), (-75, 75), (-500, 500), (-1, 1)],
)
def test_a_server_that_gives_the_whole(driver: Driver, start: int, length: int) -> None:
    with serving(TEXT) as server:
        got = driver.send(endpoint_of(server.url), ask(server.url, start, length))
    assert got == (TEXT[start : start + length] if start >= 0 else TEXT[start:])


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(-90, 90), st.integers(1, 90), st.lists(st.integers(1, 30), max_size=6))
def test_however_the_whole_is_cut_into_chunks(driver: Driver, start: int, length: int, cuts: list[int]) -> None:
    length = -start if start < 0 else length

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
        at = 0
        for size in [*cuts, len(TEXT)]:
            if chunk := TEXT[at : at + size]:
                connection.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            at += size
        connection.sendall(b"0\r\n\r\n")

    with raw_serving(answer) as url:
        got = driver.send(endpoint_of(url), ask(url, start, length))
    assert got == (TEXT[start : start + length] if start >= 0 else TEXT[start:])


def test_a_part_is_taken_as_it_comes(driver: Driver) -> None:
    with raw_serving(answering("206 Partial Content", b"abcde", "Content-Range: bytes 5-9/75")) as url:
        assert driver.send(endpoint_of(url), ask(url, 5, 5)) == b"abcde"
    with raw_serving(answering("206 Partial Content", b"abc", "Content-Range: bytes 72-74/75")) as url:
        assert driver.send(endpoint_of(url), ask(url, 72, 50)) == b"abc"
        assert driver.send(endpoint_of(url), ask(url, -50, 50)) == b"abc"


@pytest.mark.parametrize("start", [5, -5])
def test_of_a_part_that_is_longer_than_asked_for_no_more_is_kept(driver: Driver, start: int) -> None:
    with raw_serving(answering("206 Partial Content", b"x" * 50_000, "Content-Range: bytes 5-50004/60000")) as url:
        assert driver.send(endpoint_of(url), ask(url, start, 5)) == b"xxxxx"


@pytest.mark.parametrize("start", [0, 75, -5])
def test_behind_the_end_there_is_nothing(driver: Driver, start: int) -> None:
    with raw_serving(answering("416 Range Not Satisfiable", b"<Error/>", "Content-Range: bytes */0")) as url:
        assert driver.send(endpoint_of(url), ask(url, start, 5)) == b""


def test_a_416_that_was_not_asked_for_is_an_error(driver: Driver) -> None:
    with raw_serving(answering("416 Range Not Satisfiable", b"")) as url, pytest.raises(errors.StatusError) as raised:
        driver.send(endpoint_of(url), FILE.at(url))
    assert raised.value.status == 416


@pytest.mark.parametrize(("status", "kind"), [(403, errors.Forbidden), (404, errors.NotFound), (400, errors.StatusError)])
def test_errors_are_no_parts(driver: Driver, status: int, kind: type[errors.StatusError]) -> None:
    with raw_serving(answering(f"{status} No", b"<Error>no</Error>")) as url, pytest.raises(kind) as raised:
        driver.send(endpoint_of(url), ask(url, 0, 5))
    assert raised.value.status == status


def test_passing_errors_are_ridden_out(driver: Driver) -> None:
    answers = [answering("503 Away", b""), answering("206 Partial Content", b"abc")]
    with raw_serving(lambda connection: answers.pop(0)(connection)) as url:
        assert driver.send(endpoint_of(url), ask(url, 0, 3)) == b"abc"
    assert len(driver.pauses) == 1


@pytest.mark.parametrize("status", ["200 OK", "206 Partial Content"])
def test_a_part_that_breaks_off_is_asked_for_again_and_never_given_short(driver: Driver, status: str) -> None:
    def cut(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 10\r\n\r\nabc".encode())

    answers = [cut, cut, answering(status, b"abcdefghij")]
    with raw_serving(lambda connection: answers.pop(0)(connection)) as url:
        assert driver.send(endpoint_of(url), ask(url, 0, 10)) == b"abcdefghij"
    assert answers == []


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "zstd"])
@pytest.mark.parametrize("status", ["200 OK", "206 Partial Content"])
def test_a_part_that_comes_packed_is_refused(driver: Driver, encoding: str, status: str) -> None:
    with (
        raw_serving(answering(status, b"\x1f\x8b\x08", f"Content-Encoding: {encoding}")) as url,
        pytest.raises(errors.ProtocolError, match="encoding that was not asked for"),
    ):
        driver.send(endpoint_of(url), ask(url, 0, 3))


@pytest.mark.parametrize("status", ["200 OK", "206 Partial Content"])
@pytest.mark.parametrize("start", [0, 70_000])
def test_an_endless_body_is_left_as_soon_as_the_part_is_there(driver: Driver, status: str, start: int) -> None:
    """Really left: the server sees the connection close, and can send no more."""
    closed = threading.Event()
    sent: list[int] = []

    def answer(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        connection.settimeout(60.0)
        with suppress(OSError):
            for _ in range(100_000):
                connection.sendall(b"400\r\n" + b"x" * 1_024 + b"\r\n")
                sent.append(1_024)
            return
        closed.set()

    with raw_serving(answer) as url:
        assert driver.send(endpoint_of(url), ask(url, start, 500)) == b"x" * 500
        assert closed.wait(60.0)
    assert sum(sent) < 30_000_000


def test_the_end_of_an_endless_body_is_never_there(driver: Driver, clock: VirtualClock) -> None:
    """A server that knows no ranges, and a file that never ends: given up by time, with no more kept than was asked for."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(1_000_000):
            clock.advance(1.0)
            connection.sendall(b"400\r\n" + b"x" * 1_024 + b"\r\n")

    with raw_serving(answer) as url, pytest.raises(errors.TransportError, match="took longer than 50 s"):
        driver.send(endpoint_of(url, timeout=5.0), ask(url, -500, 500))


@pytest.mark.parametrize("start", [0, 3, -5])
def test_a_part_over_the_cap_of_its_route_is_refused(driver: Driver, start: int) -> None:
    with serving(b"x" * 5_000) as server, pytest.raises(errors.ProtocolError, match="more than 1000 bytes"):
        driver.send(endpoint_of(server.url), ask(server.url, start, 2_000) if start >= 0 else ask(server.url, -2_000, 2_000))


def test_a_part_within_the_cap_of_a_file_over_it_is_read(driver: Driver) -> None:
    with serving(b"x" * 50_000 + b"end") as server:
        assert driver.send(endpoint_of(server.url), ask(server.url, 50_000, 900)) == b"end"
        assert driver.send(endpoint_of(server.url), ask(server.url, -900, 900)) == b"x" * 897 + b"end"


def test_the_parts_of_a_log_come_over_one_connection(driver: Driver) -> None:
    """A connection for each part would take the log of a gigabyte a thousand handshakes."""
    connections: list[socket.socket] = []
    file = bytes(range(256)) * 16

    def answer(connection: socket.socket) -> None:
        """The parts that are asked for; of the first one, the head has been read."""
        connections.append(connection)
        start = 0
        while True:
            body = file[start : start + 900]
            head = f"HTTP/1.1 206 Partial Content\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            asked = b""
            while b"\r\n\r\n" not in asked:
                if not (received := connection.recv(65_536)):
                    return
                asked += received
            [wanted] = re.findall(rb"(?i)range: bytes=(\d+)-", asked)
            start = int(wanted)

    def flow() -> Flow[bytearray]:
        got = b""
        while len(got) < len(file):
            got += yield from send(ask(url, len(got), 900))
        return got

    with raw_serving(answer) as url:
        assert driver.run(endpoint_of(url), flow()) == file
    assert len(connections) == 1


@pytest.mark.usefixtures("over")
def test_a_connection_serves_the_next_poll_of_a_wait_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Polls are ten seconds apart and more; a new connection for each would cost a TLS handshake, which is more than the poll."""
    connections: list[socket.socket] = []
    monkeypatch.setattr("httpcore._async.http11.time", SimpleNamespace(monotonic=_clock.monotonic))
    monkeypatch.setattr("aiohttp.connector.monotonic", _clock.monotonic)

    def answer(connection: socket.socket) -> None:
        connections.append(connection)
        while True:
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
            if not connection.recv(65_536):
                return

    async def main(url: str) -> None:
        async with AsyncSender.shared(endpoint_of(url)) as sender:
            for pause, made in ((33.0, 1), (KEEP_ALIVE + 1.0, 1), (0.0, 2)):  # httpx alone closes an idle connection after 5 seconds
                assert await sender.send(FILE.at(url)) == b"abc"
                assert len(connections) == made
                await _clock.asleep(pause)

    with raw_serving(answer) as url:
        virtual_clock.run(main(url))


def test_a_connection_that_was_left_early_is_not_used_again(driver: Driver) -> None:
    """Else the rest of one file would be the beginning of the next answer."""
    with serving(b"x" * 200_000) as server:
        endpoint = endpoint_of(server.url)

        def flow():  # type: ignore[no-untyped-def]
            first = yield ask(server.url, 0, 3)
            second = yield ask(server.url, -2, 2)
            return first, second

        assert driver.run(endpoint, flow()) == (b"xxx", b"xx")
