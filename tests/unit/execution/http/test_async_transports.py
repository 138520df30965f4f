"""The async sender over httpx and over aiohttp: what goes over the wire, whose answers are taken, what a failed request tells."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import re
import socket
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import pytest

from airflow_provider import errors
from airflow_provider.execution.http.retrying import MAX_ATTEMPTS
from airflow_provider.execution.http.senders import AsyncSender, Sender
from airflow_provider.execution.model.request import Flow, Part, Request, Route, send
from tests import virtual_clock
from tests.unit.execution.conftest import endpoint_of
from tests.unit.senders import Driver
from tests.unit.servers import free_port, self_signed, serving
from tests.virtual_clock import VirtualClock

T = TypeVar("T")
Play = Callable[[socket.socket, int], None]

READ: Route[Any] = Route("GET", "/read", bytearray)
START: Route[Any] = Route("POST", "/start", bytearray)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood"


@contextmanager
def playing(play: Play) -> Iterator[str]:
    """Let ``play`` lead each connection, in a thread; it gets the socket and the connection's number from 0."""
    threads: list[threading.Thread] = []
    sockets: list[socket.socket] = []

    def lead(connection: socket.socket, number: int) -> None:
        with connection, suppress(OSError, EOFError):
            play(connection, number)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listening.accept()
                sockets.append(connection)
                threads.append(threading.Thread(target=lead, args=(connection, len(threads)), daemon=True))
                threads[-1].start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for connection in sockets:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def next_request(connection: socket.socket) -> bytes:
    """
    Read one request, with its body.

    :raises EOFError: if there is none any more.
    """
    data = b""
    while b"\r\n\r\n" not in data:
        data += received(connection)
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", data)
    while length and len(data.partition(b"\r\n\r\n")[2]) < int(length[1]):
        data += received(connection)
    return data


def received(connection: socket.socket) -> bytes:
    if not (data := connection.recv(65_536)):
        raise EOFError
    return data


def answering(*answers: bytes) -> Play:
    """Give one connection's requests these answers, then close it."""

    def play(connection: socket.socket, number: int) -> None:
        for answer in answers:
            next_request(connection)
            connection.sendall(answer)

    return play


def sent(url: str, *requests: Request[Any], **fields: Any) -> list[Any]:
    """Send requests one after the other, by one sender; gives their answers."""

    async def main() -> list[Any]:
        async with AsyncSender.shared(endpoint_of(url, **fields)) as sender:
            return [await sender.send(request) for request in requests]

    return virtual_clock.run(main())


def delivered(connection: socket.socket) -> None:
    """Wait until all that was sent has arrived: the other side's system says so."""
    for _ in range(1_000):
        if not any(fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4))):
            return
        threading.Event().wait(0.001)


async def taken_in(clock: VirtualClock) -> None:
    """Wait until this loop has read what has arrived, and has nothing left to do."""
    before = clock.loop_was_idle
    await clock.until(lambda: clock.loop_was_idle >= before + 2)


# What goes over the wire

TRICKY = ["a/b", "a%2Fb", "50% & more?", "a b+c", "ü ☃", "'\"<>^`{|}", "x;y=z,w", "..%2f", "~-._!$&*()@:"]
SHOWN: Route[Any] = Route("GET", "/objects/{id}/of/{other}", bytearray)
WRITES = {method: Route(method, "/objects/{id}", bytearray) for method in ("POST", "PATCH", "PUT")}


def requests_of(url: str) -> dict[str, Request[Any]]:
    addresses = [
        "/a%2Fb/c%20d?signature=a%2Bb/c=&x=%C3%BC", "/a?", "/a?b?c=/d", "/ü?ü=ü", "/a//b/./c/../d", "?x=1",
        "/a;b=c,d'(e)!*~", "/%7euser?%7e", "/a%zz?b%zz", "/[x]{y}|z\\^`?[x]{y}|z\\^`", "/a?b=1&b=2&c", "/a?x=1+2#fragment", "/a:b@c",
    ]  # fmt: skip
    return {
        **{f"id {id}": SHOWN(id=id, other=id) for id in TRICKY},
        **{f"query {id}": READ(query={"page": 1, "filter": id, id: "x"}) for id in TRICKY},
        **{f"address {address}": READ.at(url + address) for address in addresses},
        **{f"{method} json": route(id=1, body={"text": "ü\n\"'", "list": [1, None]}) for method, route in WRITES.items()},
        **{f"{method} without body": route(id=1) for method, route in WRITES.items()},
        "form": START(form={"user": "a b&c=d", "password": "ü+%"}),
        "part": READ.at(f"{url}/file", part=Part(0, 10)),
        "elsewhere": READ.at(url.replace("127.0.0.1", "localhost") + "/x"),
    }


def on_the_wire(data: bytes) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
    """Request line, headers whose order says nothing, body."""
    head, _, body = data.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    pairs = [header.partition(b": ") for header in headers]
    return line, sorted((name.lower(), value) for name, _, value in pairs), body


@pytest.mark.parametrize("name", list(requests_of("http://x")))
@pytest.mark.usefixtures("over")
def test_a_request_is_on_the_wire_what_the_sync_sender_makes_of_it(name: str) -> None:
    seen: list[bytes] = []

    def play(connection: socket.socket, number: int) -> None:
        while True:
            seen.append(next_request(connection))
            connection.sendall(OK)

    with playing(play) as url:
        request, headers = requests_of(url)[name], (("authorization", "Bearer token"), ("x-tenant", "one"))
        with Sender(endpoint_of(url, headers=headers)) as sender:
            assert sender.send(request) == b"good"
        assert sent(url, request, headers=headers) == [b"good"]
    assert len(seen) == 2
    assert on_the_wire(seen[1]) == on_the_wire(seen[0])


@pytest.mark.usefixtures("over")
def test_the_connection_is_used_again() -> None:
    numbers: list[int] = []

    def play(connection: socket.socket, number: int) -> None:
        while True:
            next_request(connection)
            numbers.append(number)
            connection.sendall(OK)

    with playing(play) as url:
        assert sent(url, *[READ()] * 3, START(body={}), READ()) == [b"good"] * 5
    assert numbers == [0] * 5


@pytest.mark.usefixtures("over")
def test_no_cookie_is_kept() -> None:
    with serving(b"{}", {"Set-Cookie": "session=stolen; Path=/"}) as server:
        sent(server.url, READ(), READ())
    assert [headers.get("cookie") for _, _, headers in server.requests] == [None, None]


@pytest.mark.usefixtures("over")
def test_credentials_of_the_machine_are_not_sent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\nmachine localhost login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with serving() as server:
        sent(server.url, READ(), READ.at(server.url.replace("127.0.0.1", "localhost")), headers=())
    assert [headers.get("authorization") for _, _, headers in server.requests] == [None, None]


@pytest.mark.usefixtures("over")
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with serving() as proxy:
        monkeypatch.setenv(name, proxy.url)
        sent("http://api.invalid", READ())
    assert [path for _, path, _ in proxy.requests] == ["http://api.invalid/read"]


@pytest.mark.usefixtures("over")
@pytest.mark.parametrize("exempt", ["127.0.0.1", "*"])
def test_what_the_environment_exempts_is_sent_past_its_proxy(monkeypatch: pytest.MonkeyPatch, exempt: str) -> None:
    with serving() as proxy, serving() as server:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", exempt)
        sent(server.url, READ())
    assert (len(proxy.requests), len(server.requests)) == (0, 1)


# What is known of a request that failed


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("route", [READ, START], ids=str)
def test_a_request_is_not_sent_again_behind_our_back(driver: Driver, route: Route[Any], reset: bool) -> None:
    """A connection that was used before and breaks: aiohttp by itself would send a GET again."""
    seen: list[bytes] = []

    def play(connection: socket.socket, number: int) -> None:
        seen.append(next_request(connection))
        connection.sendall(OK)
        seen.append(next_request(connection))
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def flow() -> Flow[Any]:
        yield from send(READ())
        return (yield from send(route(body={} if route is START else None)))

    with playing(play) as url:
        if route is START:
            with pytest.raises(errors.TransportError) as raised:
                driver.run(endpoint_of(url), flow())
            assert raised.value.sent is True
            assert (len(seen), driver.pauses) == (2, [])
        else:
            assert driver.run(endpoint_of(url), flow()) == b"good"
            assert (len(seen), len(driver.pauses)) == (3, 1)


BROKEN = {
    "closed without answer": b"",
    "status line cut": b"HTTP/1.1 20",
    "no status line": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "status is a word": b"HTTP/1.1 fine OK\r\nContent-Length: 0\r\n\r\n",
    "headers cut": b"HTTP/1.1 200 OK\r\nContent-Le",
    "header with a zero byte": b"HTTP/1.1 200 OK\r\nX-A: emulator-token\0\r\nContent-Length: 0\r\n\r\n",
    "body cut": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ngood",
    "length is a word": b"HTTP/1.1 200 OK\r\nContent-Length: emulator-token\r\n\r\ngood",
    "length below zero": b"HTTP/1.1 200 OK\r\nContent-Length: -4\r\n\r\ngood",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Length: 2\r\n\r\ngood",
    "chunks cut": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ngood\r\n",
    "chunk cut": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\ngood",
    "chunk of no size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nemulator-token\r\ngood\r\n0\r\n\r\n",
    "chunk of a size below zero": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-4\r\ngood\r\n0\r\n\r\n",
    "nothing but interim answers": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 50,
    "a header without end": b"HTTP/1.1 200 OK\r\nX-Canary: " + b"emulator-token" * 50_000,
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"X-Canary: emulator-token\r\n" * 20_000,
}


@pytest.mark.parametrize("answer", BROKEN.values(), ids=BROKEN)
def test_after_a_broken_answer_a_start_may_have_been_sent(driver: Driver, answer: bytes) -> None:
    with playing(answering(answer)) as url, pytest.raises(errors.TransportError) as raised:
        driver.send(endpoint_of(url), START(body={}))
    assert raised.value.sent is True
    assert driver.pauses == []
    assert "emulator-token" not in str(raised.value)


GOOD = {
    "plain": OK,
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\ngood",
    "to the end of the connection": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\ngood",
    "interim answers": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + OK,
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\ngo\r\n2;x=y\r\nod\r\n0\r\nX-Trailer: x\r\n\r\n",
    "no reason": b"HTTP/1.1 200 \r\nContent-Length: 4\r\n\r\ngood",
    "long header": b"HTTP/1.1 200 OK\r\nX-Policy: " + b"x" * 20_000 + b"\r\nContent-Length: 4\r\n\r\ngood",
    "header that is no ASCII": b"HTTP/1.1 200 OK\r\nX-Name: \xfc\xff\r\nContent-Length: 4\r\n\r\ngood",
    "packed": b"HTTP/1.1 200 OK\r\nContent-Encoding: identity\r\nContent-Length: 4\r\n\r\ngood",
}


@pytest.mark.parametrize("answer", GOOD.values(), ids=GOOD)
def test_an_unusual_answer_is_read(driver: Driver, answer: bytes) -> None:
    with playing(answering(answer)) as url:
        assert driver.send(endpoint_of(url), START(body={})) == b"good"


def test_an_address_that_is_too_long_is_told_before_anything_is_sent(driver: Driver) -> None:
    with playing(answering(OK)) as url, pytest.raises(errors.ConfigurationError, match="address is not usable"):
        driver.send(endpoint_of(url), SHOWN(id="x" * 70_000, other=1))


def test_a_host_is_named_as_it_was_given(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A signature may cover it."""
    heard: list[bytes] = []

    def play(connection: socket.socket, number: int) -> None:
        heard.append(next_request(connection))
        connection.sendall(OK)

    look_up = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *more, **named: look_up("127.0.0.1", *more, **named))
    with playing(play) as url:
        there = url.replace("127.0.0.1", "s3.test.")
        driver.send(endpoint_of(url), READ.at(f"{there}/log"))
    assert b"host: " + there.removeprefix("http://").encode() in heard[0].lower()


ODD = {
    "two encodings": (b"200 OK\r\nContent-Encoding: identity\r\nContent-Encoding: br", "encoding that was not asked for"),
    "nowhere to go": (b"302 Found\r\nLocation: ftp://\xff\xfe", "redirected to something that is not http"),
    "two ways to go": (b"302 Found\r\nLocation: ftp://a\r\nLocation: ftp://b", "redirected to something that is not http"),
    "an id that is no text": (b"418 I'm a teapot\r\nX-Request-Id: \xff\xfe\x80", "answered 418: good"),
}


@pytest.mark.parametrize(("head", "said"), ODD.values(), ids=ODD)
def test_odd_headers_are_told_in_the_same_words(driver: Driver, head: bytes, said: str) -> None:
    answer = b"HTTP/1.1 " + head + b"\r\nContent-Length: 4\r\n\r\ngood"
    with playing(answering(answer)) as url, pytest.raises(errors.ExecutionApiError, match=said) as raised:
        driver.send(endpoint_of(url), READ())
    json.dumps(raised.value.to_event(), ensure_ascii=False).encode()


@pytest.mark.whole
@pytest.mark.parametrize("kind", ["no answer to the handshake", "no room for a connection", "hang up in the handshake"])
def test_without_a_connection_nothing_was_sent(driver: Driver, kind: str) -> None:
    def play(connection: socket.socket, number: int) -> None:
        received(connection)
        if kind == "no answer to the handshake":
            received(connection)

    with socket.socket() as full, socket.socket() as first, playing(play) as url:
        url = url.replace("http:", "https:")
        if kind == "no room for a connection":
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            first.connect(full.getsockname())
            url = f"http://127.0.0.1:{full.getsockname()[1]}"
        timeout = 5.0 if kind == "hang up in the handshake" else 0.2
        with pytest.raises(errors.TransportError) as raised:
            driver.send(endpoint_of(url, timeout=timeout), START(body={}))
    assert raised.value.sent is False
    assert len(driver.pauses) == MAX_ATTEMPTS - 1
    assert ("No answer within 0.2 s" in str(raised.value)) is (kind != "hang up in the handshake")


# Whose answer it is


@pytest.mark.parametrize("with_answer", [True, False], ids=["with the answer before", "later"])
def test_an_answer_that_nobody_asked_for_is_not_taken_for_the_next_one(clock: VirtualClock, over: str, with_answer: bool) -> None:
    """Of a proxy that mixes answers up, say: it could show another execution as ended."""
    if over == "httpx" and with_answer:
        pytest.skip("httpcore keeps what came with an answer for the next one")
    forged = OK.replace(b"good", b"evil")
    answered, came = threading.Event(), threading.Event()

    def play(connection: socket.socket, number: int) -> None:
        while True:
            next_request(connection)
            if with_answer:
                connection.sendall(OK + forged)
            else:
                connection.sendall(OK)
                answered.wait(10)
                connection.sendall(forged)
            delivered(connection)
            came.set()

    async def main(url: str) -> list[Any]:
        answers = []
        async with AsyncSender.shared(endpoint_of(url)) as sender:
            for _ in range(3):
                answers.append(await sender.send(READ()))
                answered.set()
                await asyncio.to_thread(came.wait, 10)
                answered.clear()
                came.clear()
                await taken_in(clock)
        return answers

    with playing(play) as url:
        assert virtual_clock.run(main(url)) == [b"good"] * 3


@pytest.mark.usefixtures("over")
@pytest.mark.parametrize("begun", [b"", OK[:-2]], ids=["before the answer", "in its body"])
def test_the_answer_to_a_cancelled_request_is_not_taken_for_the_next_one(clock: VirtualClock, begun: bytes) -> None:
    asked = threading.Event()

    def play(connection: socket.socket, number: int) -> None:
        next_request(connection)
        if number:
            connection.sendall(OK)
            return
        connection.sendall(begun)
        delivered(connection)
        asked.set()
        with suppress(EOFError):
            next_request(connection)
        connection.sendall(OK.replace(b"good", b"evil")[len(begun) :])

    async def main(url: str) -> Any:
        async with AsyncSender.shared(endpoint_of(url)) as sender:
            first = asyncio.create_task(sender.send(READ()))
            await asyncio.to_thread(asked.wait)
            await taken_in(clock)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            return await sender.send(READ())

    with playing(play) as url:
        assert virtual_clock.run(main(url)) == b"good"


# TLS


@pytest.mark.usefixtures("over")
def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    context, certificate = self_signed(tmp_path)
    names: list[str | None] = []
    context.sni_callback = lambda connection, name, of: names.append(name)
    with serving(tls=context) as server, pytest.raises(errors.TransportError, match=r"certificate.*ca_bundle") as raised:
        sent(server.url.replace("127.0.0.1", "localhost"), START(body={}), verify=str(certificate))
    assert raised.value.sent is False
    assert set(names) == {"localhost"}
    assert server.requests == []


@pytest.mark.usefixtures("over")
def test_a_connection_over_tls_is_used_again_and_closed(tmp_path: Path) -> None:
    context, certificate = self_signed(tmp_path)
    with serving(b"good", tls=context) as server:
        assert sent(server.url, READ(), READ(), verify=str(certificate)) == [b"good"] * 2


@pytest.mark.usefixtures("over")
def test_a_server_that_knows_several_protocols_is_asked_for_http_1(tmp_path: Path) -> None:
    context, certificate = self_signed(tmp_path)
    context.set_alpn_protocols(["h2", "http/1.1"])
    chosen: list[str | None] = []

    def play(connection: socket.socket, number: int) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            chosen.append(tls.selected_alpn_protocol())
            next_request(tls)
            tls.sendall(OK)

    with playing(play) as url:
        assert sent(url.replace("http:", "https:"), READ(), verify=str(certificate)) == [b"good"]
    assert chosen == ["http/1.1"]


# Logs


@pytest.mark.usefixtures("over")
def test_no_log_tells_a_credential_or_an_address(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = {"authorization": "Bearer s3cr3t-token"}
    with serving(b"{}", {"Set-Cookie": "a=s3cr3t-cookie; b c=d; ,", "Location": "/x?s3cr3t-location"}) as server:

        async def main() -> None:
            asyncio.get_running_loop().set_debug(True)
            async with AsyncSender.shared(endpoint_of(server.url, headers=tuple(secrets.items()))) as sender:
                await sender.send(READ())
                with pytest.raises(errors.TransportError) as raised:
                    await sender._once(READ.at(f"http://127.0.0.1:{free_port()}/log?signature=s3cr3t-refused"))
                assert "s3cr3t" not in str(raised.value)

        virtual_clock.run(main())
    assert len(server.requests) == 1
    assert [record.getMessage() for record in caplog.records if "s3cr3t" in record.getMessage()] == []


# Where aiohttp comes from

WATCHED = """
import asyncio, sys, threading
from types import ModuleType

airflow = sys.modules["airflow"] = sys.modules["airflow.sdk"] = sys.modules["airflow.sdk.exceptions"] = ModuleType("airflow")
airflow.AirflowException = airflow.AirflowFailException = Exception  # all of it takes seconds

from airflow_provider.execution.http.api_errors import ApiErrors
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.senders import AsyncSender
assert "aiohttp" not in sys.modules

class Watching:
    def find_spec(self, name, path, target=None):
        if name == "aiohttp" and threading.current_thread() is threading.main_thread():
            raise AssertionError("imported on the event loop")

async def main():
    sys.meta_path.insert(0, Watching())
    async with AsyncSender.shared(Endpoint("model", "Model", "one", "http://127.0.0.1:1", (), ApiErrors())) as sender:
        print(type(sender._carrier).__name__)

asyncio.run(main())
"""


def test_aiohttp_is_imported_in_a_thread_for_the_first_sender_only() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", WATCHED], capture_output=True, text=True, timeout=280, check=False)
    assert (done.stdout.split(), done.returncode) == (["AiohttpCarrier"], 0), done.stderr


@pytest.mark.parametrize("code", ["raise ImportError", "__version__ = '3.13.3'", "__version__ = '2.0'"])
def test_without_a_usable_aiohttp_httpx_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, code: str) -> None:
    import_module("airflow_provider.execution.http.carrier_aiohttp")  # is there again afterwards
    package = tmp_path / "aiohttp"
    package.mkdir()
    (package / "__init__.py").write_text(code)
    (package / "connector.py").write_text("Connection = None")
    for name in list(sys.modules):
        if name == "airflow_provider.execution.http.carrier_aiohttp" or name.partition(".")[0] == "aiohttp":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)

    async def main() -> str:
        async with AsyncSender.shared(endpoint_of("http://127.0.0.1:1")) as sender:
            return type(sender._carrier).__name__

    assert virtual_clock.run(main()) == "HttpxCarrier"
    assert str(tmp_path) in str(sys.modules.get("aiohttp", tmp_path))
