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
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.senders import AsyncSender
from tests import virtual_clock
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


@pytest.mark.usefixtures("over")
def test_headers_that_drip_are_given_up() -> None:
    """By a limit in real time. The sync sender has none: it bounds headers in size only, by h11."""
    drops: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
        while len(drops) < 1_000:
            threading.Event().wait(0.05)
            connection.sendall(b"x")
            drops.append(b"x")

    async def main(url: str) -> None:
        async with AsyncSender.shared(endpoint_of(url, timeout=0.1)) as sender:
            await sender.send(WRITE())

    with raw_serving(answer) as url, pytest.raises(errors.TransportError):
        virtual_clock.run(main(url))
    assert len(drops) < 1_000
