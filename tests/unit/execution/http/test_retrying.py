"""What is repeated, and how long after, by both senders, over real sockets."""

from __future__ import annotations

import email.utils
from contextlib import ExitStack
from typing import Any

import pytest

from airflow_provider import _clock, errors
from airflow_provider.buddy.api import routes
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Action, Pipeline
from airflow_provider.execution.http.api_errors import ApiErrors
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.rate_limit import MAX_HINT, MAX_WAIT
from airflow_provider.execution.http.retrying import MAX_ATTEMPTS
from tests.unit.execution.conftest import endpoint_of
from tests.unit.execution.http.requests import BACKOFF, JITTER, REQUESTS, UNANSWERED, attempts, get, post, struck
from tests.unit.senders import Driver
from tests.unit.servers import free_port
from tests.virtual_clock import VirtualClock


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
    # The first cancel took effect, so the second is refused: of that, the status counts, although its body is cut short as well.
    most = 2 if fault.kind == "truncated" and kind == "PATCH" else MAX_ATTEMPTS
    assert count == (most if kind in repeated else 1)
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


class Patient(ApiErrors):
    retry_500 = True


@pytest.mark.parametrize(("kind", "count"), [("GET", MAX_ATTEMPTS), ("PATCH", MAX_ATTEMPTS), ("POST", 1), ("PATCH once", 1)])
def test_a_500_is_repeated_only_where_the_contract_says_so(
    driver: Driver, emulator: Emulator, pipeline: Pipeline, kind: str, count: int
) -> None:
    emulator.faults.add(Fault("status", status=500, times=None))
    assert attempts(driver, emulator, endpoint_of(emulator.buddy.url, api_errors=Patient()), REQUESTS[kind]())[0] == count


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
