"""One tree of exceptions, and their way through a trigger's event."""

from __future__ import annotations

import inspect
import json
import pickle
from typing import Any

import pytest
from airflow.sdk.serde import deserialize, serialize
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider import errors
from airflow_provider._compat import AirflowException, AirflowFailException
from airflow_provider.errors import MAX_MESSAGE_CHARACTERS, ExecutionApiError, ExecutionError, StatusError, from_event, one_line

ALL = [cls for _, cls in inspect.getmembers(errors, inspect.isclass) if issubclass(cls, ExecutionApiError)]
NOT_RETRIED = {
    errors.Unauthorized,
    errors.Forbidden,
    errors.ConfigurationError,
    errors.ArgumentError,
    errors.ExecutionWaiting,
    errors.AuditFailed,
}
FIELDS = {"system": "buddy", "ref": "w/1", "route": "GET /x", "status": 404, "request_id": "r", "url": "https://x"}


@pytest.mark.parametrize("cls", ALL)
def test_everything_is_one_tree_under_airflows_exception(cls: type[ExecutionApiError]) -> None:
    assert issubclass(cls, AirflowException)
    assert issubclass(cls, AirflowFailException) == (cls in NOT_RETRIED)


@pytest.mark.parametrize(
    ("parent", "children"),
    [
        (StatusError, ["Unauthorized", "Forbidden", "NotFound", "Conflict", "RateLimited", "ServerError"]),
        (
            ExecutionError,
            [
                "ExecutionFailed", "ExecutionCancelled", "ExecutionTimedOut", "ExecutionWaiting", "ExecutionDeadlineExceeded",
                "ExecutionVanished", "ExecutionUnreachable", "StartUnknown", "OutputMissing",
            ],
        ),
        (ExecutionApiError, ["TransportError", "StatusError", "ProtocolError", "ExecutionError", "ConfigurationError"]),
    ],
)  # fmt: skip
def test_the_branches_of_the_tree(parent: type[Exception], children: list[str]) -> None:
    for name in children:
        assert parent in getattr(errors, name).__mro__


@pytest.mark.parametrize("cls", ALL)
def test_each_error_carries_its_fields_through_an_event(cls: type[ExecutionApiError]) -> None:
    error = cls("It broke. Do this.", **FIELDS)
    assert {name: getattr(error, name) for name in FIELDS} == FIELDS
    back = from_event(deserialize(json.loads(json.dumps(serialize(error.to_event())))))
    assert type(back) is cls
    assert str(back) == "It broke. Do this."
    assert {name: getattr(back, name) for name in FIELDS} == FIELDS


@given(st.text(), st.none() | st.text(), st.none() | st.integers())
def test_any_message_survives_an_event(message: str, ref: str | None, status: int | None) -> None:
    error = errors.NotFound(message, ref=ref, status=status)
    back = from_event(json.loads(json.dumps(error.to_event())))
    assert (str(back), back.ref, back.status) == (str(error), ref, status)


@pytest.mark.parametrize(
    "event", [{}, {"type": "FromTheFuture", "message": "x"}, {"type": None}, {"type": "AirflowException"}, {"message": 5}], ids=str
)
def test_an_unknown_type_is_an_execution_error(event: dict[str, Any]) -> None:
    back = from_event(event)
    assert type(back) is ExecutionError
    assert str(back) == str(event.get("message", "unknown error"))


def test_an_event_is_small() -> None:
    assert len(json.dumps(errors.ExecutionFailed("x " * 100_000, **FIELDS).to_event())) < MAX_MESSAGE_CHARACTERS + 500


@given(st.text(), st.integers(1, 50))
def test_a_line_is_one_line_and_bounded(text: str, limit: int) -> None:
    line = one_line(text, limit)
    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
    assert line == one_line(line, limit)


@pytest.mark.parametrize(
    ("text", "limit", "line"),
    [("a\n b\t\r\nc ", 100, "a b c"), ("abcdef", 4, "abc…"), ("abcd", 4, "abcd"), (5, 4, "5"), ("", 4, "")],
)
def test_lines(text: object, limit: int, line: str) -> None:
    assert one_line(text, limit) == line


def test_a_transport_error_may_have_been_sent_unless_it_says_otherwise() -> None:
    assert errors.TransportError("x").sent is True
    assert errors.TransportError("x", sent=False).sent is False


@pytest.mark.parametrize("cls", [errors.RateLimited, errors.ServerError])
def test_the_wait_that_a_server_asks_for(cls: Any) -> None:
    assert (cls("x").retry_after, cls("x", retry_after=2.0).retry_after) == (None, 2.0)


@pytest.mark.parametrize("cls", ALL)
def test_errors_survive_a_process_boundary(cls: type[ExecutionApiError]) -> None:
    """Executors and test runners pickle them."""
    back = pickle.loads(pickle.dumps(cls("It broke.", ref="w/1")))
    assert type(back) is cls
    assert (str(back), back.ref) == ("It broke.", "w/1")
