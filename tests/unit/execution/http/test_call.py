"""What answers mean, over real sockets: errors, what is not what the contract says, redirects."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.buddy.api import models, routes
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Pipeline
from airflow_provider.execution.http.call import MAX_REDIRECTS
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.senders import MAX_INLINE_BODY
from airflow_provider.execution.model.request import UNCHANGED, Flow, LastAnswer, Request, Route, send
from tests.unit.execution.conftest import endpoint_of
from tests.unit.execution.http.requests import PLACE, REF, REQUESTS, get, post
from tests.unit.senders import Driver
from tests.unit.servers import raw_serving, serving

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
    assert len(text) <= errors.MAX_MESSAGE_CHARACTERS
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
        (Fault("body", body={**EXECUTION, "start_date": "s3cr3t-canary", "status": 5}), "at status"),
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
    names = [f"pipeline {number} {'x' * 1_000}" for number in range(MAX_INLINE_BODY // 1_000)]
    emulator.faults.add(Fault("body", body={"pipelines": [{"id": 1, "name": name} for name in names]}))
    emulator.faults.add(Fault("body", body={"pipelines": [{"id": "s3cr3t-canary" * (MAX_INLINE_BODY // 10)}]}))

    def flow() -> Flow[list[Any]]:
        answer = yield from send(get())
        with pytest.raises(errors.ProtocolError, match=r"pipelines\.0\.id") as raised:
            yield from send(get())
        assert "s3cr3t-canary" not in str(raised.value)
        return [item.name for item in answer.pipelines]

    assert driver.run(endpoint, flow()) == names


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
        nothing_done = status in (301, 307, 308)
        says = f"to {other.url}: nothing was done. Put the API's own address" if nothing_done else "Check the host"
        with pytest.raises(errors.ConfigurationError if nothing_done else errors.ProtocolError) as raised:
            driver.send(endpoint, REQUESTS[kind]())
        assert f"redirected (HTTP {status})" in str(raised.value)
        assert says in str(raised.value)
    assert other.requests == []
    assert len(emulator.ledger.entries) == 1


BROKEN_BODIES: dict[str, bytes] = {
    "another encoding": b"Content-Encoding: br\r\nContent-Length: 4\r\n\r\nabcd",
    "cut short": b'Content-Length: 400\r\n\r\n{"errors": [',
    "no gzip": b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x00\x01\x02\x03",
    "plain in spite of gzip": b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
}


@pytest.mark.parametrize(
    ("status", "error"), [(400, errors.StatusError), (401, errors.Unauthorized), (429, errors.RateLimited), (503, errors.ServerError)]
)
@pytest.mark.parametrize("body", BROKEN_BODIES.values(), ids=BROKEN_BODIES)
def test_of_an_error_the_status_decides(driver: Driver, body: bytes, status: int, error: type[Exception]) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(f"HTTP/1.1 {status} No\r\nConnection: close\r\n".encode() + body)

    with raw_serving(answer) as url, pytest.raises(error) as raised:
        driver.send(endpoint_of(url), post())
    assert type(raised.value) is error


@pytest.mark.parametrize("encoding", ["", "none", "utf-8", "gzip", "identity"])
def test_an_encoding_that_means_nothing_is_plain(driver: Driver, encoding: str) -> None:
    with serving(b'{"pipelines": []}', {"Content-Encoding": encoding}) as server:
        assert driver.send(endpoint_of(server.url), get()).pipelines == []


def test_redirects_in_a_circle_end(driver: Driver, emulator: Emulator, endpoint: Endpoint) -> None:
    emulator.faults.add(Fault("redirect", location="/buddy/api/again", times=None))
    with pytest.raises(errors.ProtocolError, match="redirected"):
        driver.send(endpoint, get())
    assert len(emulator.ledger.entries) == 1 + MAX_REDIRECTS


@pytest.mark.parametrize("path", ["", "/api/"])
def test_an_error_behind_a_redirect_says_that_it_was_one(driver: Driver, emulator: Emulator, endpoint: Endpoint, path: str) -> None:
    """The user never named that host."""
    emulator.faults.add(Fault("redirect", location=f"http://127.0.0.1:1{path}", times=None))
    with pytest.raises(
        errors.TransportError, match=r"at http://127\.0\.0\.1:1\. \(It was redirected to http://127\.0\.0\.1:1, which is not"
    ):
        driver.send(endpoint, get())


def test_a_page_behind_a_redirect_says_that_it_was_one(driver: Driver, emulator: Emulator, endpoint: Endpoint) -> None:
    with Emulator() as other:
        other.faults.add(Fault("html", times=None))
        emulator.faults.add(Fault("redirect", location=f"{other.url}/login", times=None))
        with pytest.raises(errors.ProtocolError, match=f"It was redirected to {other.url}, which is not the connection's host"):
            driver.send(endpoint, get())
        other.faults.clear()
        other.faults.add(Fault("status", status=401, body=b"Log in first", times=None))
        with pytest.raises(errors.ProtocolError, match=f"answered 401: Log in first.*It was redirected to {other.url}"):
            driver.send(endpoint, get())


def test_an_error_behind_a_redirect_on_the_own_host_says_that_it_was_one(driver: Driver, emulator: Emulator, endpoint: Endpoint) -> None:
    emulator.faults.add(Fault("redirect", location="/buddy/elsewhere"))
    with pytest.raises(errors.NotFound, match="It was redirected, to another address on the connection's host"):
        driver.send(endpoint, get())
