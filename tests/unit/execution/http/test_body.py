"""How large a body may be, and how long it may take."""

from __future__ import annotations

import gzip
import socket
import threading
import tracemalloc
import zlib

import pytest

from airflow_provider import errors
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Pipeline
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.model.request import Flow, Sleep, send
from tests.unit.execution.conftest import endpoint_of
from tests.unit.execution.http.requests import PLACE, SMALL, WRITE, get
from tests.unit.senders import Driver
from tests.unit.servers import raw_serving, serving
from tests.virtual_clock import VirtualClock


@pytest.mark.parametrize("fault", [Fault("endless"), Fault("huge", bytes=2_001), Fault("huge", bytes=10**10)], ids=str)
def test_a_body_over_the_cap_is_not_read_to_its_end(driver: Driver, emulator: Emulator, endpoint: Endpoint, fault: Fault) -> None:
    emulator.faults.add(Fault(fault.kind, times=None, **fault.parameters))
    with pytest.raises(errors.ProtocolError, match=r"more than 2000 bytes") as raised:
        driver.send(endpoint, SMALL(**PLACE))
    assert raised.value.route == str(SMALL)
    assert len(emulator.ledger.entries) == 1


def test_a_body_at_the_cap_is_read(driver: Driver, emulator: Emulator, endpoint: Endpoint) -> None:
    emulator.faults.add(Fault("huge", bytes=2_000))
    assert list(driver.send(endpoint, SMALL(**PLACE))) == ["huge"]


PACKED = gzip.compress(b'{"pipelines": []}', mtime=0)


@pytest.mark.parametrize(
    ("body", "encoding", "good"),
    [
        (PACKED, "gzip", True),
        (PACKED, "GZIP", True),
        (b'{"pipelines": []}', "identity", True),
        (PACKED[:-12], "gzip", False),
        (b"not packed", "gzip", False),
        (b'{"pipelines": []}', "br", False),
        (PACKED, "gzip, gzip", False),
    ],
)
def test_packed_answers(driver: Driver, body: bytes, encoding: str, good: bool) -> None:
    with serving(body, {"Content-Encoding": encoding}) as server:
        if good:
            assert driver.send(endpoint_of(server.url), get()).pipelines == []
        else:
            with pytest.raises(errors.ProtocolError):
                driver.send(endpoint_of(server.url), get())
    assert len(server.requests) == 1


def test_a_body_that_unpacks_to_far_more_is_not_unpacked_whole(driver: Driver) -> None:
    packing = zlib.compressobj(9, wbits=31)  # as gzip does
    first, again = (packing.compress(b"x" * 1_000_000) + packing.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    packed = first + 199 * again
    assert len(packed) < 250_000
    with serving(packed, {"Content-Encoding": "gzip"}) as server:
        tracemalloc.start()
        try:
            with pytest.raises(errors.ProtocolError, match="more than 2000 bytes"):
                driver.send(endpoint_of(server.url), SMALL(**PLACE))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 20_000_000


def test_a_body_that_drips_is_given_up(driver: Driver, clock: VirtualClock) -> None:
    """Each byte comes in time, but all of them would take 1,000 s, where 10 timeouts are 50 s."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
        for _ in range(60):
            clock.advance(1.0)
            connection.sendall(b" ")
        connection.recv(1)  # until the client leaves

    with raw_serving(answer) as url, pytest.raises(errors.TransportError, match="took longer than 50 s"):
        driver.send(endpoint_of(url, timeout=5.0), WRITE())


def repeated(connection: socket.socket, first: bytes, again: bytes, count: list[int]) -> None:
    """Write a part of an answer again and again, each time before the client would give up."""
    connection.sendall(first)
    while count[0] < 1_000:
        threading.Event().wait(0.05)
        connection.sendall(again)
        count[0] += 1


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
DRIPS = {
    "status line": (b"HTTP/1.1 200 ", b"x"),
    "header": (OK + b"X-Drip: ", b"x"),
    "headers": (OK, b"X-Drip: x\r\n"),
    "informational answers": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
    "length of a chunk": (CHUNKED, b"0"),
    "extension of a chunk": (CHUNKED + b"2;a=", b"x"),
    "trailer": (CHUNKED + b"2\r\n{}\r\n0\r\nX-Drip: ", b"x"),
    "body": (OK + b"Content-Length: 100000\r\n\r\n", b" "),
}


@pytest.mark.long
@pytest.mark.parametrize("drip", DRIPS)
def test_whatever_drips_is_given_up(driver: Driver, drip: str) -> None:
    """By a limit in real time: each byte comes in time, all of them do not."""
    count = [0]
    with raw_serving(lambda connection: repeated(connection, *DRIPS[drip], count)) as url, pytest.raises(errors.ExecutionApiError):
        driver.send(endpoint_of(url, timeout=0.1), WRITE())
    assert count[0] < 1_000


@pytest.mark.whole
@pytest.mark.parametrize("drip", ["header", "trailer"])
def test_a_flow_that_has_little_time_waits_no_longer_for_an_answer(driver: Driver, drip: str) -> None:
    count = [0]
    with raw_serving(lambda connection: repeated(connection, *DRIPS[drip], count)) as url, pytest.raises(errors.TransportError):
        driver.run(endpoint_of(url, timeout=60.0), send(get()), within=0.5)
    assert count[0] < 1_000


def test_a_flow_that_has_little_time_does_not_wait_for_the_rate_limit(driver: Driver, emulator: Emulator, clock: VirtualClock) -> None:
    emulator.faults.add(Fault("rate_limit", retry_after="40"))
    with pytest.raises(errors.RateLimited):
        driver.run(endpoint_of(emulator.buddy.url), send(get()), within=20.0)
    assert clock.passed < 20


def test_the_pauses_of_a_flow_do_not_count(driver: Driver, emulator: Emulator, pipeline: Pipeline) -> None:
    def flow() -> Flow[None]:
        for _ in range(3):
            yield Sleep(100.0)
            yield get()

    driver.run(endpoint_of(emulator.buddy.url), flow(), within=60.0)


def _packed(wbits: int, text: bytes = b"") -> bytes:
    packing = zlib.compressobj(9, wbits=wbits)
    return packing.compress(text) + packing.flush()


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b"") * 5_000),
        ("x-gzip", gzip.compress(b"{}") + gzip.compress(b"") * 5_000),
        ("gzip", gzip.compress(b"{}") + b"\0" * 100_000),
        ("deflate", _packed(15) * 10_000),
    ],
)
def test_a_packed_body_without_content_is_bounded_by_what_is_received(driver: Driver, encoding: str, packed: bytes) -> None:
    with serving(packed, {"Content-Encoding": encoding}) as server, pytest.raises(errors.ProtocolError, match="more than 2000 bytes"):
        driver.send(endpoint_of(server.url), SMALL(**PLACE))
