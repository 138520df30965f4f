"""Both senders, over real sockets: retries, errors, bodies, redirects, rate limits, clients, TLS."""

from __future__ import annotations

import asyncio
import email.utils
import gc
import gzip
import socket
import threading
import tracemalloc
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_provider import _clock, errors
from airflow_provider.buddy.api import models, routes
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Action, Pipeline
from airflow_provider.execution.http.endpoint import Dialect, Endpoint
from airflow_provider.execution.http.transport import (
    MAX_ATTEMPTS,
    MAX_HINT,
    MAX_REDIRECTS,
    MAX_WAIT,
    OFF_LOOP,
    AsyncSender,
    Sender,
    _RateLimit,
)
from airflow_provider.execution.model.request import UNCHANGED, Flow, LastAnswer, Request, Route, Sleep, send
from tests import virtual_clock
from tests.unit.execution.conftest import endpoint_of
from tests.unit.senders import Driver
from tests.unit.servers import free_port, raw_serving, self_signed, serving
from tests.virtual_clock import VirtualClock

PLACE = {"workspace": "demo", "project": "shop"}
REF = "demo/shop/1/1"
JITTER = 2.0
"""Seconds put at most on top of the server's word."""
BACKOFF = 20.0


@pytest.fixture
def pipeline(emulator: Emulator) -> Pipeline:
    return emulator.buddy.add_pipeline(Pipeline("release", actions=[Action("Build", seconds=600)]))


def get(**query: Any) -> Request[models.PipelineList]:
    return routes.LIST_PIPELINES(query=query, **PLACE)


def post() -> Request[models.Execution]:
    return routes.RUN_PIPELINE(pipeline=1, body={"comment": "x"}, **PLACE)


def patch() -> Request[models.Execution]:
    return routes.CANCEL_EXECUTION(ref=REF, pipeline=1, execution=1, body={"operation": "CANCEL"}, **PLACE)


def patch_once() -> Request[models.Execution]:
    return routes.CHANGE_EXECUTION(ref=REF, pipeline=1, execution=1, body={"operation": "RETRY"}, **PLACE)


REQUESTS: dict[str, Callable[[], Request[Any]]] = {"GET": get, "POST": post, "PATCH": patch, "PATCH once": patch_once}


UNANSWERED = 0.5
"""Real seconds after which a client gives up where no answer ever comes."""


def struck(emulator: Emulator, fault: Fault) -> Endpoint:
    """Let a fault strike; gives an endpoint whose limit is short where no answer ever comes."""
    timeout = 5.0
    if fault.kind == "no_answer":
        timeout = UNANSWERED
        with Sender(endpoint_of(emulator.buddy.url)) as sender:  # the first answer of an emulator comes late: it sets up its routes
            sender.send(routes.GET_TOKEN())
        emulator.ledger.clear()
    emulator.faults.add(fault)
    return endpoint_of(emulator.buddy.url, timeout=timeout)


def attempts(driver: Driver, emulator: Emulator, endpoint: Endpoint, request: Request[Any]) -> tuple[int, errors.ExecutionApiError]:
    """Send a request that keeps failing: how often it arrived, and the error."""
    with pytest.raises(errors.ExecutionApiError) as raised:
        driver.send(endpoint, request)
    return emulator.ledger.count(method=request.route.method), raised.value


# The same answer once more


def test_an_answer_is_known_again(driver: Driver, emulator: Emulator, endpoint: Endpoint) -> None:
    one, other, gone = Fault("body", body='{"pipelines": []}'), Fault("body", body='{"pipelines": [ ]}'), Fault("status", status=404)
    script = [one, one, other, other, gone, other, one]
    for fault in script:
        emulator.faults.add(Fault(fault.kind, **fault.parameters))
    last = LastAnswer()

    def flow() -> Flow[list[Any]]:
        found: list[Any] = []
        for _ in script:
            try:
                found.append((yield from send(replace(get(), last=last))))
            except errors.NotFound:
                found.append(None)
        return found

    found = driver.run(endpoint, flow())
    assert [item is UNCHANGED for item in found] == [False, True, False, True, False, True, False]
    assert all(isinstance(found[at], models.PipelineList) for at in (0, 2, 6))


def test_a_wrong_answer_is_never_known_again(driver: Driver, emulator: Emulator, endpoint: Endpoint) -> None:
    emulator.faults.add(Fault("body", body={"pipelines": 1}, times=None))
    request = replace(get(), last=LastAnswer())
    for _ in range(2):
        with pytest.raises(errors.ProtocolError):
            driver.send(endpoint, request)


# What is repeated


@pytest.mark.parametrize("kind", ["GET", "PATCH"])
@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_passing_errors_of_repeatable_requests_are_ridden_out(
    driver: Driver, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline, status: int, kind: str
) -> None:
    emulator.buddy.add_execution(pipeline)
    emulator.faults.add(Fault("status", status=status))
    request = REQUESTS[kind]()
    assert driver.send(endpoint, request)
    assert [entry.status for entry in emulator.ledger.entries] == [status, 200]
    assert len(driver.pauses) == 1


@pytest.mark.parametrize(
    ("fault", "repeated"),
    [
        *[(Fault("status", status=status, times=None), {"GET", "PATCH"}) for status in (502, 503, 504)],
        (Fault("status", status=429, times=None), set(REQUESTS)),
        *[(Fault("status", status=status, times=None), set()) for status in (400, 401, 403, 404, 409, 422, 500, 501, 505)],
        (Fault("status_after", status=502, times=None), {"GET", "PATCH"}),
        (Fault("drop_before", times=None), {"GET", "PATCH"}),
        (Fault("drop_after", times=None), {"GET", "PATCH"}),
        (Fault("truncated", times=None), {"GET", "PATCH"}),
        (Fault("no_answer", effect=True, times=None), {"GET", "PATCH"}),
        (Fault("truncated", cut="json", times=None), set()),
        (Fault("html", times=None), set()),
        (Fault("empty", times=None), set()),
    ],
    ids=lambda value: "" if isinstance(value, set) else f"{value.kind}-{value.parameters}",
)
@pytest.mark.parametrize("kind", list(REQUESTS))
def test_what_is_repeated(driver: Driver, emulator: Emulator, pipeline: Pipeline, fault: Fault, repeated: set[str], kind: str) -> None:
    """A start that may have taken effect is never sent again."""
    emulator.buddy.add_execution(pipeline, status="FAILED" if kind == "PATCH once" else None)
    endpoint = struck(emulator, Fault(fault.kind, times=None, **fault.parameters))
    count, error = attempts(driver, emulator, endpoint, REQUESTS[kind]())
    assert count == (MAX_ATTEMPTS if kind in repeated else 1)
    assert len(driver.pauses) == count - 1
    assert getattr(error, "sent", True)


@pytest.mark.parametrize("kind", list(REQUESTS))
def test_a_refused_connection_is_tried_again_by_every_request(driver: Driver, clock: VirtualClock, kind: str) -> None:
    port = free_port()
    emulator = Emulator(clock, port)
    pipeline = emulator.buddy.add_pipeline(Pipeline("release", actions=[Action("Build", seconds=600)]))
    emulator.buddy.add_execution(pipeline, status="FAILED" if kind == "PATCH once" else None)
    with ExitStack() as stack:
        clock.when(lambda: clock.pauses, lambda: stack.enter_context(emulator))
        driver.send(endpoint_of(f"http://127.0.0.1:{port}/buddy/api"), REQUESTS[kind]())
    assert len(emulator.ledger.entries) == 1
    assert len(driver.pauses) == 1


def test_attempts_end_on_a_refused_connection(driver: Driver) -> None:
    with pytest.raises(errors.TransportError) as raised:
        driver.send(endpoint_of(f"http://127.0.0.1:{free_port()}"), post())
    assert raised.value.sent is False
    assert len(driver.pauses) == MAX_ATTEMPTS - 1
    assert "Check that the API can be reached from here" in str(raised.value)


@pytest.mark.parametrize(
    "fault",
    [Fault("drop_before"), Fault("drop_after"), Fault("truncated"), Fault("no_answer")],
    ids=lambda fault: fault.kind,
)
def test_only_a_refused_connection_proves_that_nothing_was_sent(
    driver: Driver, emulator: Emulator, pipeline: Pipeline, fault: Fault
) -> None:
    endpoint = struck(emulator, Fault(fault.kind, **fault.parameters))
    with pytest.raises(errors.TransportError) as raised:
        driver.send(endpoint, post())
    assert raised.value.sent is True
    assert (raised.value.system, raised.value.route) == ("buddy", f"POST {routes.RUN_PIPELINE.path}")


def test_the_error_of_a_timeout_names_the_timeout(driver: Driver, emulator: Emulator, pipeline: Pipeline) -> None:
    endpoint = struck(emulator, Fault("no_answer"))
    with pytest.raises(errors.TransportError, match=rf"No answer within {UNANSWERED} s"):
        driver.send(endpoint, post())


class Patient(Dialect):
    retry_500 = True


@pytest.mark.parametrize(("kind", "count"), [("GET", MAX_ATTEMPTS), ("PATCH", MAX_ATTEMPTS), ("POST", 1), ("PATCH once", 1)])
def test_a_500_is_repeated_only_where_the_contract_says_so(
    driver: Driver, emulator: Emulator, pipeline: Pipeline, kind: str, count: int
) -> None:
    emulator.faults.add(Fault("status", status=500, times=None))
    assert attempts(driver, emulator, endpoint_of(emulator.buddy.url, dialect=Patient()), REQUESTS[kind]())[0] == count


# How long between attempts


def _date(seconds: float) -> str:
    return email.utils.formatdate(_clock.now() + seconds, usegmt=True)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("hint", "least", "most"),
    [
        ("2", 2.0, 2.0),
        ("0", 0.0, 0.0),
        ("1.5", 1.5, 1.5),
        ("60", 60.0, 60.0),
        ("-5", 0.0, 0.0),
        ("-inf", 0.0, 0.0),
        (lambda: _date(30), 30.0, 30.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0, 0.0),
        ("Wed, 21 Oct 2015 07:28:00", 0.0, 0.0),
        (None, 0.0, BACKOFF),
        ("", 0.0, BACKOFF),
        ("nan", 0.0, BACKOFF),
        ("soon", 0.0, BACKOFF),
        ("Wed, 99 Oct 2026 07:28:00 GMT", 0.0, BACKOFF),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", 0.0, BACKOFF),
    ],
)
def test_retry_after_rules_the_pause(
    driver: Driver, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline, hint: Any, least: float, most: float, status: int
) -> None:
    text = hint() if callable(hint) else hint
    emulator.faults.add(Fault("status", status=status, headers={} if text is None else {"Retry-After": text}))
    driver.send(endpoint, get())
    assert len(driver.pauses) == 1
    assert least <= driver.pauses[0] <= most + JITTER


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("hint", ["1e9", "inf", "61", str(MAX_HINT + 1), lambda: _date(1_000_000)])
def test_a_pause_beyond_reason_is_left_to_the_caller(
    driver: Driver, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline, hint: Any, status: int
) -> None:
    emulator.faults.add(Fault("status", status=status, headers={"Retry-After": hint() if callable(hint) else hint}))
    with pytest.raises((errors.RateLimited, errors.ServerError)) as raised:
        driver.send(endpoint, get())
    assert driver.pauses == []
    assert isinstance(raised.value, (errors.RateLimited, errors.ServerError))
    assert raised.value.retry_after is not None
    assert MAX_WAIT < raised.value.retry_after <= MAX_HINT


@pytest.mark.parametrize(
    ("reset", "least", "most"),
    [
        (lambda: str(int(_clock.now()) + 20), 20.0, 20.0),
        (lambda: str(int(_clock.now()) - 20), 0.0, 0.0),
        (lambda: "soon", 0.0, BACKOFF),
        (lambda: "nan", 0.0, BACKOFF),
    ],
)
def test_without_retry_after_the_reset_of_the_rate_limit_rules(
    driver: Driver, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline, reset: Callable[[], str], least: float, most: float
) -> None:
    emulator.faults.add(Fault("rate_limit", headers={"X-Rate-Limit-Reset": reset()}))
    driver.send(endpoint, get())
    assert len(driver.pauses) == 1
    assert least <= driver.pauses[0] <= most + JITTER


@pytest.mark.parametrize(
    ("reset", "least", "most"),
    [(lambda: _clock.now() + 30, 30.0, 30.0), (lambda: _clock.now() + 5_000, MAX_WAIT, MAX_WAIT), (lambda: "inf", MAX_WAIT, MAX_WAIT)],
)
def test_a_used_up_rate_limit_holds_the_next_request_back(
    driver: Driver, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline, reset: Callable[[], Any], least: float, most: float
) -> None:
    used_up = {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": str(reset())}
    emulator.faults.add(Fault("body", body={"pipelines": []}, headers=used_up))

    def flow() -> Flow[int]:
        first = yield from send(get())
        assert driver.pauses == []
        second = yield from send(get())
        return len(first.pipelines) + len(second.pipelines)

    assert driver.run(endpoint, flow()) == 1
    assert len(driver.pauses) == 1
    assert least <= driver.pauses[0] <= most


@pytest.mark.parametrize("headers", [
    {"X-Rate-Limit-Remaining": "1", "X-Rate-Limit-Reset": "99999999999"},
    {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "1000"},
    {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "soon"},
    {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "nan"},
    {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": ""},
    {"X-Rate-Limit-Remaining": "0"},
    {"X-Rate-Limit-Reset": "99999999999"},
])  # fmt: skip
def test_rate_limit_headers_without_a_wait_hold_nothing_back(
    driver: Driver, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline, headers: dict[str, str]
) -> None:
    emulator.faults.add(Fault("body", body={"pipelines": []}, headers=headers))

    def flow() -> Flow[None]:
        yield from send(get())
        yield from send(get())

    driver.run(endpoint, flow())
    assert driver.pauses == []
    assert len(emulator.ledger.entries) == 2


def test_the_newest_word_on_the_rate_limit_counts(driver: Driver, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline) -> None:
    """A reset that is far off, or in milliseconds, must not slow down every later request."""
    emulator.faults.add(
        Fault("body", body={"pipelines": []}, headers={"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": "1767225600000"})
    )
    emulator.faults.add(Fault("body", body={"pipelines": []}, headers={"X-Rate-Limit-Remaining": "900"}))

    def flow() -> Flow[None]:
        for _ in range(3):
            yield from send(get())

    driver.run(endpoint, flow())
    assert len(driver.pauses) == 1


# Errors


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (304, errors.StatusError),
        (400, errors.StatusError),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (410, errors.StatusError),
        (418, errors.StatusError),
        (422, errors.StatusError),
        (429, errors.RateLimited),
        (500, errors.ServerError),
        (501, errors.ServerError),
        (502, errors.ServerError),
        (503, errors.ServerError),
        (504, errors.ServerError),
        (599, errors.ServerError),
    ],
)
def test_each_status_has_its_exception(driver: Driver, emulator: Emulator, endpoint: Endpoint, status: int, kind: type[Exception]) -> None:
    body = {"errors": [{"message": "no\nthank you"}]}
    emulator.faults.add(Fault("status", status=status, body=body, headers={"X-Request-Id": "r-1"}, times=None))
    route = routes.GET_EXECUTION
    with pytest.raises(errors.ExecutionApiError) as raised:
        driver.send(endpoint, route(ref=REF, pipeline=1, execution=1, **PLACE))
    error = raised.value
    assert type(error) is kind
    assert (error.system, error.ref, error.route, error.status) == ("buddy", REF, f"GET {route.path}", status)
    text = str(error)
    assert "\n" not in text
    assert "emulator-token" not in text
    for part in ("Buddy", REF, f"GET {route.path}", str(status)):
        assert part in text
    if status != 304:
        assert error.request_id == "r-1"
        assert "no thank you" in text


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ("<html>Bad gateway</html>", "Internal Server Error"),
        ("", "Internal Server Error"),
        ({"error": "x y"}, "x y"),
        ([1], "Internal Server"),
    ],
)
def test_an_error_without_a_message_falls_back_to_the_reason(
    driver: Driver, emulator: Emulator, endpoint: Endpoint, body: Any, shown: str
) -> None:
    emulator.faults.add(Fault("status", status=500, body=body))
    with pytest.raises(errors.ServerError, match=shown):
        driver.send(endpoint, get())


def test_remote_error_texts_are_data(driver: Driver, emulator: Emulator, endpoint: Endpoint) -> None:
    """They end up in logs and mails: no colours, no group markers, no secrets by shape, no megabytes."""
    message = "\x1b[31mred\x07 ::group::x ghp_" + "a" * 36 + " " + "y" * 100_000
    emulator.faults.add(Fault("status", status=400, body={"errors": [{"message": message}]}))
    with pytest.raises(errors.StatusError) as raised:
        driver.send(endpoint, get())
    text = str(raised.value)
    assert "red" in text
    assert len(text) <= errors.MAX_MESSAGE
    assert not any(sign in text for sign in ("\x1b", "\x07", "::group::", "ghp_a"))


# Answers that are not what the contract says

EXECUTION = {"id": 1, "status": "FAILED"}


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        (Fault("html"), "HTML page"),
        (Fault("empty"), "body"),
        (Fault("body", body='{"id": 1, "status": "FAI'), "body"),
        (Fault("body", body="s3cr3t-canary"), "body"),
        (Fault("body", body=b"\xff\xfe\x00"), "body"),
        (Fault("body", body=None), "body"),
        (Fault("body", body=[]), "body"),
        (Fault("body", body=["s3cr3t-canary"]), "body"),
        (Fault("body", body="5"), "body"),
        (Fault("body", body={}), "at id"),
        (Fault("body", body={"id": "s3cr3t-canary", "status": "FAILED"}), "at id"),
        (Fault("body", body={"id": None, "status": "FAILED"}), "at id"),
        (Fault("body", body={"id": 1, "status": ["s3cr3t-canary"]}), "at status"),
        (Fault("body", body={**EXECUTION, "start_date": "s3cr3t-canary"}), "at start_date"),
        (Fault("body", body={**EXECUTION, "action_executions": "s3cr3t-canary"}), "at action_executions"),
        (Fault("body", body={**EXECUTION, "action_executions": [{}, {"progress": "s3cr3t-canary"}]}), "at action_executions.1.progress"),
        (Fault("body", body={**EXECUTION, "creator": "s3cr3t-canary"}), "at creator"),
    ],
    ids=str,
)
def test_a_wrong_answer_names_route_and_field(driver: Driver, emulator: Emulator, endpoint: Endpoint, fault: Fault, where: str) -> None:
    emulator.faults.add(Fault(fault.kind, **fault.parameters))
    with pytest.raises(errors.ProtocolError) as raised:
        driver.send(endpoint, routes.GET_EXECUTION(ref=REF, pipeline=1, execution=1, **PLACE))
    text = str(raised.value)
    assert where in text
    assert f"GET {routes.GET_EXECUTION.path}" in text
    assert REF in text
    assert "\n" not in text
    assert not any(word in text for word in ("emulator-token", "s3cr3t-canary", "pydantic", "input_value"))
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert (raised.value.ref, raised.value.status, len(emulator.ledger.entries)) == (REF, 200, 1)


ALL_ROUTES = {
    name: route(
        **{
            field: 1
            for field in ("workspace", "project", "pipeline", "execution", "action_execution", "action", "variable")
            if f"{{{field}}}" in route.path
        }
    )
    for name, route in vars(routes).items()
    if isinstance(route, Route) and route.answer is not bytearray
}


@pytest.mark.parametrize("name", list(ALL_ROUTES))
def test_an_error_under_status_200_is_an_error_on_every_route(driver: Driver, emulator: Emulator, endpoint: Endpoint, name: str) -> None:
    """Taken for an empty list it would prove that nothing was started, and the pipeline would be started twice."""
    emulator.faults.add(Fault("body", body={"errors": [{"message": "API is disabled"}]}))
    with pytest.raises((errors.StatusError, errors.ProtocolError), match="API is disabled"):
        driver.send(endpoint, ALL_ROUTES[name])


@pytest.mark.parametrize("name", ["LIST_EXECUTIONS", "LIST_PIPELINES"])
@pytest.mark.parametrize("body", [{}, {"status": "ok"}, {"huge": "x" * 1_000}])
def test_an_object_that_is_no_list_of_executions_is_not_an_empty_list(
    driver: Driver, emulator: Emulator, endpoint: Endpoint, name: str, body: Any
) -> None:
    emulator.faults.add(Fault("body", body=body))
    with pytest.raises(errors.ProtocolError):
        driver.send(endpoint, ALL_ROUTES[name])


def test_a_long_answer_is_read_like_a_short_one(driver: Driver, emulator: Emulator, endpoint: Endpoint) -> None:
    """The async sender parses it off the event loop."""
    names = [f"pipeline {number} {'x' * 1_000}" for number in range(OFF_LOOP // 1_000)]
    emulator.faults.add(Fault("body", body={"pipelines": [{"id": 1, "name": name} for name in names]}))
    emulator.faults.add(Fault("body", body={"pipelines": [{"id": "s3cr3t-canary" * (OFF_LOOP // 10)}]}))

    def flow() -> Flow[list[Any]]:
        answer = yield from send(get())
        with pytest.raises(errors.ProtocolError, match=r"pipelines\.0\.id") as raised:
            yield from send(get())
        assert "s3cr3t-canary" not in str(raised.value)
        return [item.name for item in answer.pipelines]

    assert driver.run(endpoint, flow()) == names


# Size and time


SMALL: Route[Any] = Route("GET", "/workspaces/{workspace}/projects/{project}/pipelines", dict[str, Any], max_body=2_000)
WRITE: Route[Any] = Route("POST", "/x", dict[str, Any])


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
        driver.send(endpoint_of(url), WRITE())


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


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("absolute", [True, False])
def test_a_redirect_on_the_own_origin_is_followed_with_credentials(
    driver: Driver, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline, status: int, absolute: bool
) -> None:
    target = "/buddy/api/workspaces/demo/projects/shop/pipelines?page=1"
    emulator.faults.add(Fault("redirect", location=emulator.url + target if absolute else target, status=status))
    answer = driver.send(endpoint, get(page=7))
    assert [item.name for item in answer.pipelines] == ["release"]
    first, second = emulator.ledger.entries
    assert (first.query, second.query) == ("page=7", "page=1")
    assert second.headers["authorization"] == "Bearer emulator-token"
    assert driver.pauses == []


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_origin_is_followed_without_credentials(
    driver: Driver, emulator: Emulator, endpoint: Endpoint, status: int
) -> None:
    with serving(b'{"pipelines": [{"id": 1, "name": "elsewhere"}]}') as other:
        emulator.faults.add(Fault("redirect", location=f"{other.url}/stored?signature=1", status=status))
        answer = driver.send(endpoint, get(page=7))
    assert [item.name for item in answer.pipelines] == ["elsewhere"]
    [(method, path, headers)] = other.requests
    assert (method, path) == ("GET", "/stored?signature=1")
    assert "authorization" not in headers
    assert "emulator-token" not in str(headers)


def test_an_address_of_the_remote_side_on_another_origin_gets_no_credentials(
    driver: Driver, emulator: Emulator, endpoint: Endpoint
) -> None:
    with serving() as other:
        route: Route[Any] = Route("GET", "/log", dict[str, Any])
        for url in (f"{other.url}/log", f"{emulator.buddy.url}/user/token"):
            driver.send(endpoint, Request(route=route, path="", url=url))
    assert "authorization" not in other.requests[0][2]
    assert emulator.ledger.entries[0].headers["authorization"] == "Bearer emulator-token"


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://127.0.0.1/x", "javascript:alert(1)", "data:,x", "http://[", "http://127.0.0.1:99999/", "http://a b/"],
)
def test_a_redirect_to_something_else_than_http_is_refused(driver: Driver, emulator: Emulator, endpoint: Endpoint, location: str) -> None:
    """Not the user's mistake, so no ConfigurationError, which Airflow would not retry."""
    emulator.faults.add(Fault("redirect", location=location))
    with pytest.raises(errors.ProtocolError, match="redirected"):
        driver.send(endpoint, get())
    assert len(emulator.ledger.entries) == 1


def test_a_redirect_without_target_is_refused(driver: Driver, emulator: Emulator, endpoint: Endpoint) -> None:
    emulator.faults.add(Fault("redirect", location=""))
    with pytest.raises(errors.ProtocolError, match="redirected"):
        driver.send(endpoint, get())


@pytest.mark.parametrize("kind", ["POST", "PATCH", "PATCH once"])
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_the_redirect_of_a_write_is_refused(driver: Driver, emulator: Emulator, endpoint: Endpoint, kind: str, status: int) -> None:
    with serving() as other:
        emulator.faults.add(Fault("redirect", location=f"{other.url}/x", status=status, times=None))
        with pytest.raises(errors.ProtocolError, match=f"redirected \\(HTTP {status}\\).*Check the host") as raised:
            driver.send(endpoint, REQUESTS[kind]())
    assert raised.value.status == status
    assert other.requests == []
    assert len(emulator.ledger.entries) == 1


def test_redirects_in_a_circle_end(driver: Driver, emulator: Emulator, endpoint: Endpoint) -> None:
    emulator.faults.add(Fault("redirect", location="/buddy/api/again", times=None))
    with pytest.raises(errors.ProtocolError, match="redirected"):
        driver.send(endpoint, get())
    assert len(emulator.ledger.entries) == 1 + MAX_REDIRECTS


# Flows


def test_a_flow_pauses_between_its_requests(
    driver: Driver, clock: VirtualClock, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline
) -> None:
    seen: list[int] = []
    clock.when(lambda: clock.pauses, lambda: seen.append(len(emulator.ledger.entries)))

    def flow() -> Flow[str]:
        yield from send(get())
        yield Sleep(7.5)
        yield from send(get())
        return "done"

    assert driver.run(endpoint, flow()) == "done"
    assert (driver.pauses, seen) == ([7.5], [1])


def test_a_flow_may_handle_an_error_and_go_on(driver: Driver, emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline) -> None:
    emulator.faults.add(Fault("status", status=404))

    def flow() -> Flow[int]:
        try:
            yield from send(get())
        except errors.NotFound:
            return len((yield from send(get())).pipelines)
        raise AssertionError("no error")

    assert driver.run(endpoint, flow()) == 1


def test_a_flow_without_requests_just_ends(driver: Driver, endpoint: Endpoint) -> None:
    def flow() -> Flow[int]:
        return 5
        yield Sleep(1)

    assert driver.run(endpoint, flow()) == 5


def _noting(notes: list[str], *requests: Request[Any] | Sleep) -> Flow[None]:
    try:
        yield from requests
    finally:
        notes.append("closed")


def test_a_flow_is_closed_when_its_error_is_not_handled(driver: Driver, emulator: Emulator, endpoint: Endpoint) -> None:
    notes: list[str] = []
    emulator.faults.add(Fault("status", status=400))
    with pytest.raises(errors.StatusError):
        driver.run(endpoint, _noting(notes, get()))
    assert notes == ["closed"]


@pytest.mark.parametrize("wants", [Sleep(1.0), get()], ids=["sleep", "retry"])
def test_a_flow_is_closed_when_a_pause_is_broken_off(
    driver: Driver, clock: VirtualClock, emulator: Emulator, endpoint: Endpoint, wants: Any
) -> None:
    notes: list[str] = []
    emulator.faults.add(Fault("status", status=503))

    def stop() -> None:
        raise KeyboardInterrupt

    clock.when(lambda: clock.pauses, stop)
    flow = _noting(notes, wants)
    with pytest.raises(KeyboardInterrupt):
        driver.run(endpoint, flow)
    assert notes == ["closed"]


@pytest.mark.parametrize("wants", [Sleep(1.0), get()], ids=["sleep", "retry"])
def test_the_end_of_the_task_is_not_taken_for_an_error_of_the_api(emulator: Emulator, endpoint: Endpoint, wants: Any) -> None:
    """A worker that is told to stop breaks the pause off; a flow that rides out API errors must not ride this out."""
    emulator.faults.add(Fault("status", status=503))
    handled: list[Exception] = []

    def flow() -> Flow[None]:
        try:
            yield wants
        except errors.ExecutionApiError as error:
            handled.append(error)

    def stop(duration: float) -> None:
        raise errors.ExecutionInterrupted("The worker was told to stop")

    with Sender(endpoint, sleep=stop) as sender, pytest.raises(errors.ExecutionInterrupted):
        sender.run(flow())
    assert handled == []


@pytest.mark.usefixtures("over")
def test_a_cancelled_wait_closes_its_flow(clock: VirtualClock, endpoint: Endpoint) -> None:
    notes: list[str] = []

    async def main() -> None:
        async with AsyncSender.shared(endpoint) as sender:
            task = asyncio.create_task(sender.run(_noting(notes, Sleep(600))))
            await clock.until(lambda: clock.pauses)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    virtual_clock.run(main())
    assert notes == ["closed"]


# Clients and sockets


def connections(emulator: Emulator) -> int:
    """Sockets of this process that lead to the emulator, as a client."""
    port = int(emulator.url.rsplit(":", 1)[1])
    return sum(
        1
        for connection in psutil.Process().net_connections("tcp")
        if connection.raddr and connection.raddr.port == port and connection.status == psutil.CONN_ESTABLISHED
    )


@pytest.mark.usefixtures("over")
def test_users_of_one_connection_share_a_client_until_the_last_has_left(emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline) -> None:
    async def main() -> None:
        async with AsyncSender.shared(endpoint) as first:
            async with AsyncSender.shared(endpoint_of(emulator.buddy.url)) as second:
                assert first is second
                await second.send(get())
            await first.send(get())
            assert connections(emulator) == 1
        assert connections(emulator) == 0
        async with AsyncSender.shared(endpoint) as third:
            assert third is not first
            await third.send(get())

    virtual_clock.run(main())
    assert connections(emulator) == 0


@pytest.mark.usefixtures("over")
def test_another_connection_gets_another_client(emulator: Emulator, endpoint: Endpoint) -> None:
    other = replace(endpoint_of(emulator.buddy.url, token="other"), conn_id="other")

    async def main() -> None:
        async with AsyncSender.shared(endpoint) as first, AsyncSender.shared(other) as second:
            assert first is not second
            with pytest.raises(errors.Unauthorized):
                await second.send(get())


@pytest.mark.usefixtures("over")
def test_another_credential_of_a_connection_gets_the_same_client(emulator: Emulator, endpoint: Endpoint) -> None:
    async def main() -> None:
        async with AsyncSender.shared(endpoint) as first, AsyncSender.shared(endpoint_of(emulator.buddy.url, token="other")) as second:
            assert first is second
            with pytest.raises(errors.Unauthorized):
                await second.send(get())

    virtual_clock.run(main())


@pytest.mark.usefixtures("over")
def test_the_shared_client_is_closed_after_a_failure(emulator: Emulator, endpoint: Endpoint) -> None:
    async def main() -> None:
        with pytest.raises(errors.NotFound):
            async with AsyncSender.shared(endpoint) as sender:
                await sender.send(get())
        assert connections(emulator) == 0

    virtual_clock.run(main())


@pytest.mark.usefixtures("over")
def test_two_event_loops_have_two_clients(emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline) -> None:
    """A client belongs to the loop that it was used on first."""
    senders: list[AsyncSender] = []
    both = threading.Barrier(2, timeout=30)
    failures: list[BaseException] = []

    async def main() -> None:
        async with AsyncSender.shared(endpoint) as sender:
            senders.append(sender)
            await asyncio.to_thread(both.wait)
            await sender.send(get())
            await asyncio.to_thread(both.wait)

    def run() -> None:
        try:
            virtual_clock.run(main())
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert senders[0] is not senders[1]
    assert connections(emulator) == 0


@pytest.mark.usefixtures("over")
def test_the_async_sender_bounds_the_requests_under_way(clock: VirtualClock) -> None:
    busy = most = 0
    lock = threading.Lock()
    pair = threading.Barrier(2, timeout=60.0)

    def answer(connection: socket.socket) -> None:
        nonlocal busy, most
        with lock:
            busy += 1
            most = max(most, busy)
        pair.wait()
        before = clock.loop_was_idle
        while clock.loop_was_idle < before + 2:  # a third request would be on its way by then
            threading.Event().wait(0.001)
        with lock:
            busy -= 1
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")

    async def main(url: str) -> None:
        async with AsyncSender.shared(endpoint_of(url, max_in_flight=2)) as sender:
            await asyncio.gather(*(sender.send(SMALL(**PLACE)) for _ in range(6)))

    with raw_serving(answer) as url:
        virtual_clock.run(main(url))
    assert most == 2


@pytest.mark.usefixtures("over", "pipeline")
def test_all_users_of_a_connection_heed_its_rate_limit(clock: VirtualClock, emulator: Emulator, endpoint: Endpoint) -> None:
    used_up = {"X-Rate-Limit-Remaining": "0", "X-Rate-Limit-Reset": str(_clock.now() + 30)}
    emulator.faults.add(Fault("body", body={"pipelines": []}, headers=used_up))

    async def main() -> None:
        async with AsyncSender.shared(endpoint) as one, AsyncSender.shared(endpoint) as other:
            await one.send(get())
            await other.send(get())

    virtual_clock.run(main())
    assert clock.pauses == [30.0]


@pytest.mark.usefixtures("over")
def test_a_refusal_pauses_those_too_that_queue_already(emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline) -> None:
    async def main() -> None:
        async with AsyncSender.shared(replace(endpoint, max_in_flight=1)) as sender:
            await sender.send(get())
            emulator.faults.add(Fault("rate_limit", retry_after="2"))
            await asyncio.gather(*(sender.send(get()) for _ in range(5)))

    virtual_clock.run(main())
    _, refused, *others = emulator.ledger.entries
    assert refused.status == 429
    assert [entry.status for entry in others] == [200] * 5
    assert all(entry.at >= refused.at + 2.0 for entry in others)


def test_a_late_answer_does_not_end_the_pause_after_a_refusal() -> None:
    limit = _RateLimit()
    limit.note(429, {"retry-after": "30"})
    limit.note(200, {"x-rate-limit-remaining": "50", "x-rate-limit-reset": str(_clock.now() + 60)})
    assert limit.take() == limit.refused() == 30.0


def test_refusals_that_say_nothing_pause_longer_only_if_nothing_was_answered_between_them(clock: VirtualClock) -> None:
    limit, pauses = _RateLimit(), []
    for status in (429, 429, 429, 200, 429):
        pauses.append(limit.note(status, {}))
        clock.advance(MAX_WAIT)
    assert pauses == [1.0, 2.0, 4.0, None, 1.0]


def test_of_answers_that_overtake_each_other_the_one_with_less_left_counts() -> None:
    limit, reset = _RateLimit(), str(_clock.now() + 30)
    for left in ("2", "0", "1"):
        limit.note(200, {"x-rate-limit-remaining": left, "x-rate-limit-reset": reset})
    assert limit.take() == 30.0


@pytest.mark.usefixtures("over")
def test_requests_are_spread_before_the_api_refuses_one(emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline) -> None:
    emulator.buddy.rate_limit = (20, 2.0)

    async def main() -> None:
        async with AsyncSender.shared(replace(endpoint, max_in_flight=4)) as sender:
            await asyncio.gather(*(sender.send(get()) for _ in range(50)))

    virtual_clock.run(main())
    assert emulator.ledger.count(status=200) == 50
    assert emulator.ledger.count(status=429) == 0


@pytest.fixture
def only_new_garbage() -> Iterator[None]:
    """Have the garbage collector look at new objects only: else it takes seconds."""
    gc.freeze()
    yield
    gc.unfreeze()


FAULTS: list[Fault | None] = [
    None,
    Fault("status", status=404, times=None),
    Fault("drop_before", times=None),
    Fault("truncated", times=None),
    Fault("endless", times=None),
    Fault("redirect", location="/buddy/api/user/token", times=None),
    Fault("no_answer"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=str)
@pytest.mark.filterwarnings("error::ResourceWarning")
@pytest.mark.usefixtures("only_new_garbage")
def test_no_socket_is_left_open(driver: Driver, emulator: Emulator, pipeline: Pipeline, fault: Fault | None) -> None:
    endpoint = struck(emulator, Fault(fault.kind, times=fault.times, **fault.parameters)) if fault else endpoint_of(emulator.buddy.url)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            driver.send(endpoint, SMALL(**PLACE))
        except errors.ExecutionApiError:
            assert fault
        assert connections(emulator) == 0
        gc.collect()
    assert [str(warning.message) for warning in caught] == []


@pytest.mark.usefixtures("only_new_garbage")
def test_a_forgotten_sender_closes_its_sockets(emulator: Emulator, endpoint: Endpoint, pipeline: Pipeline) -> None:
    sender = Sender(endpoint)
    sender.send(get())
    assert connections(emulator) == 1
    del sender
    gc.collect()
    assert connections(emulator) == 0


# TLS


@pytest.fixture
def tls(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """URL of a server with a private certificate, and the path of the certificate."""
    context, certificate = self_signed(tmp_path)
    with serving(b'{"pipelines": []}', tls=context) as server:
        yield server.url, str(certificate)


def test_a_private_certificate_is_refused(driver: Driver, tls: tuple[str, str]) -> None:
    with pytest.raises(errors.TransportError, match=r"certificate.*ca_bundle") as raised:
        driver.send(endpoint_of(tls[0]), post())
    assert raised.value.sent is False


def test_a_private_certificate_is_accepted_with_its_bundle(driver: Driver, tls: tuple[str, str]) -> None:
    assert driver.send(endpoint_of(tls[0], verify=tls[1]), get()).pipelines == []


def test_a_private_certificate_is_accepted_without_verification(driver: Driver, tls: tuple[str, str]) -> None:
    assert driver.send(endpoint_of(tls[0], verify=False), get()).pipelines == []


def test_a_bundle_that_can_not_be_read_is_a_wrong_setting(driver: Driver, tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("not a certificate")
    for path in (tmp_path / "missing.pem", tmp_path, garbage):
        with pytest.raises(errors.ConfigurationError, match="CA bundle"):
            driver.send(endpoint_of("https://127.0.0.1:1", verify=str(path)), get())


def test_a_plain_answer_on_a_tls_address_is_a_transport_error(driver: Driver, emulator: Emulator) -> None:
    with pytest.raises(errors.TransportError) as raised:
        driver.send(endpoint_of(emulator.url.replace("http:", "https:")), post())
    assert raised.value.sent is False


@pytest.mark.usefixtures("over")
def test_a_sender_of_its_own_queues_behind_nobody(clock: VirtualClock, emulator: Emulator) -> None:
    """A cancel request must not wait for the polls of others, nor for the rate limit that they have used up."""
    endpoint = endpoint_of(emulator.buddy.url, max_in_flight=1)
    emulator.faults.add(Fault("no_answer", path="/pipelines$", times=None))

    async def main() -> None:
        async with AsyncSender.shared(endpoint) as shared, AsyncSender.own(endpoint) as own:
            poll = asyncio.create_task(shared.send(get()))
            await clock.until(lambda: emulator.ledger.count("GET", "/pipelines$"))
            await own.send(routes.GET_TOKEN())
            assert not poll.done()
            poll.cancel()

    virtual_clock.run(main())


@pytest.mark.usefixtures("over")
def test_a_cancel_in_the_moment_of_the_answer_is_not_lost(endpoint: Endpoint) -> None:
    """A trigger that is taken away must end, whatever it is in the middle of."""

    class Busy(AsyncSender):
        async def _exchange(self, call: Any) -> Any:
            answer = await super()._exchange(call)
            waiting.cancel()
            return answer

    async def poll(sender: AsyncSender) -> None:
        for _ in range(5):
            await sender.send(routes.GET_TOKEN())

    async def main() -> None:
        nonlocal waiting
        async with Busy.own(endpoint) as sender:
            waiting = asyncio.create_task(poll(sender))
            await asyncio.wait([waiting])
        assert waiting.cancelled()

    waiting: asyncio.Task[None]
    virtual_clock.run(main())


@pytest.mark.usefixtures("over", "pipeline")
def test_a_request_that_waits_for_its_turn_has_its_part_of_the_limit(clock: VirtualClock, emulator: Emulator, endpoint: Endpoint) -> None:
    """An answer that comes meanwhile does not count it yet: without it, the part would be given to another request as well."""
    reset = str(clock.now() + 60)
    for left in ("100", "20", "1", "0", "99"):
        told = {"X-Rate-Limit-Remaining": left, "X-Rate-Limit-Reset": reset}
        emulator.faults.add(Fault("body", body={"pipelines": []}, headers=told))
    emulator.faults.add(Fault("latency", seconds=10, after=3))  # of the second of those below

    async def main() -> None:
        async with AsyncSender.shared(endpoint) as sender:
            await sender.send(get())
            await sender.send(get())  # little is left from here on: requests are spread
            first, second = (asyncio.create_task(sender.send(get())) for _ in range(2))
            await first  # one is left: that of the second request, which still sleeps
            await asyncio.gather(second, sender.send(get()))

    virtual_clock.run(main())
    began = emulator.ledger.entries[0].at
    times = [entry.at - began for entry in emulator.ledger.entries]
    assert times[3] < 60 <= times[4]
