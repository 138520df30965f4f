"""
The table of faults: what can go wrong with a request, and what is to come of it at each moment. ``docs/faults.md`` shows it.

``test_faults.py`` plays it on each system in each mode.
"""

from __future__ import annotations

import email.utils
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from airflow_provider import _clock
from airflow_provider.emulator import Fault
from tests.integration.systems import Adapter
from tests.virtual_clock import VirtualClock

HOST = "executions.test"
NONE = "-"
LONG = 7_200.0
"""Seconds that an execution takes which ends when its :class:`Course` says so."""


@dataclass(frozen=True, eq=False)
class Play:
    """
    One way in which a fault shows.

    :param kind: of the emulator; or ``"refused"``, ``"unresolved"``, what :class:`Network` does.
    :param parameters: of the fault; callables are given the system.
    :param timeout: seconds, the connection's ``request_timeout``: real ones.
    :param lasts: seconds that pass each time.
    :param hides: whether the sender's own repeats are let get over it, since each time costs much.
    """

    kind: str
    parameters: dict[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    lasts: float = 0.0
    hides: bool = False

    def fault(self, system: Adapter, at: str) -> dict[str, Any]:
        """Arguments of the emulator's fault."""
        if self.kind in ("refused", "unresolved"):
            return {"kind": "drop_before", "reset": True}
        given = {name: value(system, at) if callable(value) else value for name, value in self.parameters.items()}
        return {"kind": self.kind, **given}


@dataclass(frozen=True, eq=False)
class Row:
    """
    A fault, and what comes of it. The texts are the cells of the table; what they mean is told there, and tested by ``test_faults.py``.

    :param start: at the start request. :param wait: at a look while the task waits. :param last: at the last look.
    :param log: when the log is read. :param cancel: at the cancel request.
    """

    fault: str
    plays: tuple[Play, ...]
    start: str = "looked up"
    wait: str = "goes on"
    last: str = "read again"
    log: str = "warns"
    cancel: str = "sent again"

    @property
    def cells(self) -> list[str]:
        return [self.fault, self.start, self.wait, self.last, self.log, self.cancel]


def _status(*statuses: int, **more: Any) -> tuple[Play, ...]:
    return tuple(Play("status_after" if more.get("after") else "status", {"status": status}) for status in statuses)


def _error_body(system: Adapter, at: str) -> Any:
    return system.emulator.systems[system.name].error_body(500, "it broke")


def _wrong(name: str, value: Any) -> Callable[[Adapter, str], dict[str, Any]]:
    """A change of a field, by the system's name of it; a start tells less."""
    return lambda system, at: {system.fields["started" if at == "start" else name]: value}


def _http_date(seconds: float) -> str:
    return email.utils.formatdate(_clock.now() + seconds, usegmt=True)


def _elsewhere(system: Adapter, at: str) -> str:
    return f"{system.emulator.storage_url}/elsewhere"


ROWS = [
    Row("connection refused", (Play("refused"),), start="sent again"),
    Row("name not resolved", (Play("unresolved"),), start="sent again"),
    Row("connection reset", (Play("drop_after", {"reset": True}), Play("drop_before", {"reset": True}))),
    Row("connection closed without an answer", (Play("drop_after"), Play("drop_before"))),
    Row("no answer within `request_timeout`", (Play("no_answer", {"effect": True}, 1.0, lasts=600, hides=True),)),
    Row("answer that never ends", (Play("endless", {"effect": True}, lasts=301),)),
    Row("answer that breaks off", (Play("truncated"),)),
    Row("401", _status(401), "refused: Unauthorized", "Unauthorized", "Unauthorized", cancel="said"),
    Row("403", _status(403), "refused: Forbidden", "Forbidden", "Forbidden", cancel="said"),
    Row("404", _status(404), "refused: NotFound", "ExecutionVanished", "ExecutionVanished", "other route", "said"),
    Row("408", (*_status(408, after=True), *_status(408))),
    Row("429", (Play("rate_limit"),), "sent again", "pauses"),
    Row(
        "429 with `Retry-After`: seconds, or a date",
        (Play("rate_limit", {"retry_after": "0.1"}), Play("rate_limit", {"retry_after": lambda *_: _http_date(3)})),
        "sent again",
        "pauses",
    ),
    Row(
        "429 with a `Retry-After` that makes no sense: negative, NaN, no number, a date of 1970",
        tuple(
            Play("rate_limit", {"retry_after": hint}) for hint in ("-5", "nan", "soon", "Thu, 01 Jan 1970 00:00:00 GMT", "-1e99", "0x10")
        ),
        "sent again",
        "pauses",
    ),
    Row(
        "429 with a `Retry-After` of more than 60 seconds, `1e99` and `inf` included",
        tuple(Play("rate_limit", {"retry_after": hint}) for hint in ("1e99", "61", "inf")),
        "refused: RateLimited",
        "pauses long",
        cancel="said",
    ),
    Row("500", (*_status(500, after=True), *_status(500)), cancel="said (Tracecat: sent again)"),
    Row("502, 503, 504", (*_status(502, after=True), *_status(502, 503, 504))),
    Row("HTML page with 200", (Play("html", {"effect": True}), Play("html")), cancel="said"),
    Row("empty body", (Play("empty", {"effect": True}), Play("empty")), cancel="said (Tracecat: fine)"),
    Row("truncated JSON", (Play("truncated", {"cut": "json"}),), cancel="said (Tracecat: fine)"),
    Row(
        "error body with 200",
        (Play("body", {"body": _error_body, "effect": True}), Play("body", {"body": _error_body})),
        cancel="said (Tracecat: fine)",
    ),
    Row(
        "wrong types in fields",
        (
            Play("altered", {"changes": _wrong("id", {"a": 1})}),
            Play("altered", {"changes": _wrong("status", ["RUNNING"])}),
            Play("altered", {"changes": _wrong("started_at", "the day before yesterday")}),
            Play("body", {"body": [1], "effect": True}),
        ),
        cancel="said (Tracecat: fine)",
    ),
    Row("100 MB answer", (Play("huge", {"bytes": 100_000_000, "effect": True}, hides=True),), cancel="said"),
    Row("redirect to another origin", (Play("redirect", {"location": _elsewhere, "effect": True}),), cancel="said"),
    Row(
        "redirect to what is no http(s) address",
        (
            Play("redirect", {"location": "file:///etc/passwd", "effect": True}),
            Play("redirect", {"location": f"http://{'a' * 64}.example/"}),
        ),
        cancel="said",
    ),
]
"""The faults of single requests."""

SPECIAL = [
    Row("TLS failure", (), start="sent again"),
    Row("401, and the connection has another credential by now", (), "sent again", "goes on", "read again", "goes on", "sent again"),
    Row("status that this version does not know", (), NONE, "waits on", "waits on", NONE, NONE),
    Row("ended, then not ended", (), NONE, NONE, "followed", NONE, NONE),
    Row("times that go backwards or are out of all range; the server's clock is put back", (), NONE, "fine", "fine", NONE, NONE),
    Row("fields of any other type or value", (), NONE, "goes on", "read again", "warns", NONE),
    Row("log of 1 GiB", (), NONE, "fine", "fine", "in pieces", NONE),
    Row("expired address of a log or of a stored result", (), NONE, "fine", "asked for again", "asked for again", NONE),
]
"""Those that are more than an answer to a single request. Each has a test of its own."""


class Network:
    """The name service and the way to the server, as far as a test spoils them for :data:`HOST`."""

    def __init__(self) -> None:
        self._real = socket.getaddrinfo
        self.kind = ""
        self.left = 0
        self.hits = 0

    def spoil(self, kind: str, times: int) -> None:
        self.kind, self.left = kind, times

    def getaddrinfo(self, host: Any, *arguments: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name != HOST:
            return self._real(host, *arguments, **options)
        if self.left <= 0:
            return self._real("127.0.0.1", *arguments, **options)
        self.left -= 1
        self.hits += 1
        if self.kind == "unresolved":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return self._real("127.0.0.2", *arguments, **options)  # where nobody listens


@contextmanager
def played_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    network = Network()
    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", network.getaddrinfo)
        yield network


def connections(system: Adapter, play: Play) -> dict[str, dict[str, Any]]:
    """The system's connection, as the fault needs it."""
    fields = dict(system.connections[system.conn_id])
    if play.kind in ("refused", "unresolved"):
        fields["host"] = str(fields["host"]).replace("127.0.0.1", HOST)
    if play.timeout is not None:
        fields["extra"] = json.dumps({**json.loads(fields.get("extra") or "{}"), "request_timeout": play.timeout})
    return {system.conn_id: fields}


class Course(Fault):
    """
    Plays the course of an execution: it ends at the first look that nothing hits; the looks behind that are the last ones.

    Hits nothing itself. The first of the emulator's faults, so that it sees all looks.
    """

    def __init__(self, system: Adapter, end: Callable[[], None]) -> None:
        route = system.routes["read"]
        super().__init__("status", method=route["method"], path=route["path"])
        self.before: list[Fault] = []
        self.over = self.last = False
        self._end = end

    def strikes(self, method: str, path: str) -> bool:
        if (self.method and self.method != method) or not self._pattern.search(path):
            return False
        if self.over:
            self.last = True
        elif all(fault.times is not None and fault.hits >= fault.times for fault in self.before):
            self.over = True
            self._end()
        return False


class Then(Fault):
    """A fault that waits for its moment, has its parameters made for it then, and may do something besides."""

    def __init__(self, when: Callable[[], bool], act: Callable[[], None], make: Callable[[], dict[str, Any]], **route: Any) -> None:
        super().__init__(**make(), **route)
        self._when = when
        self._act = act
        self._make = make

    def strikes(self, method: str, path: str) -> bool:
        if not self._when() or not super().strikes(method, path):
            return False
        self._act()
        self.parameters = {name: value for name, value in self._make().items() if name != "kind"}
        return True


class Faults:
    """Spoils the requests of a system."""

    def __init__(self, system: Adapter, network: Network, clock: VirtualClock) -> None:
        self.system = system
        self.network = network
        self.clock = clock
        self.course = Course(system, self.end)
        system.emulator.faults.add(self.course)
        self.all: list[Fault] = []

    def end(self) -> None:
        """Let the execution have ended by now, by the system's clock."""
        self.clock.set(self.clock.now() + LONG + 60)

    def add(self, play: Play, at: str, times: int | None, *, when: Callable[[], bool] = lambda: True, moment: str = "") -> Fault:
        """Let requests of a route go wrong, ``times`` times, or for ever."""
        spoilt = 10_000 if times is None else 1 if at == "cancel" else 4

        def act() -> None:
            if play.kind in ("refused", "unresolved"):
                self.network.spoil(play.kind, spoilt)
            self.clock.advance(play.lasts)

        fault = Then(when, act, lambda: play.fault(self.system, at), **self.system.routes[at], times=times)
        self.system.emulator.faults.add(fault)
        self.all.append(fault)
        if moment == "wait":
            self.course.before.append(fault)
        return fault

    def last(self) -> bool:
        """Whether the execution was seen to have ended."""
        return self.course.last

    def keep_running(self) -> None:
        """Let the execution not end."""
        self.course.before.append(Fault("status", times=None))
