"""Routes and requests: ids stay in their place."""

from __future__ import annotations

from urllib.parse import unquote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.request import MAX_BODY_BYTES, Flow, Request, Route, Sleep, segment, send

ROUTE: Route[None] = Route("GET", "/a/{one}/b/{two}/c")
ANY_TEXT = (
    st.text()
    | st.text(st.characters(codec=None, categories=["Cs", "Cc", "Zs", "Po"]))
    | st.sampled_from(["..", ".", "", " ", "a/b", "%2F"])
)


@given(ANY_TEXT)
def test_an_id_stays_in_its_segment_or_is_refused(text: str) -> None:
    try:
        encoded = segment(text)
    except ConfigurationError:
        return
    assert not set("/?#\\ ") & set(encoded)
    assert encoded not in {"", ".", ".."}
    assert encoded.isascii()
    assert encoded.isprintable()
    assert unquote(encoded, errors="strict") == text


@given(ANY_TEXT, ANY_TEXT)
def test_no_id_changes_what_goes_over_the_wire_around_it(one: str, two: str) -> None:
    try:
        path = ROUTE(one=one, two=two).path
    except ConfigurationError:
        return
    target = httpx.URL("https://api.example/prefix" + path).raw_path.decode()
    parts = target.split("/")
    assert [parts[place] for place in (0, 1, 2, 4, 6)] == ["", "prefix", "a", "b", "c"]
    assert len(parts) == 7
    assert [unquote(parts[place]) for place in (3, 5)] == [one, two]


@pytest.mark.parametrize("text", ["", " ", "\t\n", ".", "..", "\ud800", "a\udfff"], ids=ascii)
def test_what_no_encoding_makes_safe_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        ROUTE(one=text, two="x")


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (89, "89"),
        ("my shop", "my%20shop"),
        ("a/b", "a%2Fb"),
        ("%2e%2e", "%252e%252e"),
        ("ż", "%C5%BC"),
        ("{two}", "%7Btwo%7D"),
        ("...", "..."),
    ],
)
def test_how_ids_are_encoded(value: object, encoded: str) -> None:
    assert ROUTE(one=value, two="x").path == f"/a/{encoded}/b/x/c"


def test_query_parameters_that_are_none_are_left_out() -> None:
    request = ROUTE(one=1, two=2, query={"page": 1, "branch": None, "all": True, "empty": ""})
    assert request.query == (("page", "1"), ("all", "True"), ("empty", ""))


def test_a_route_shows_as_method_and_template() -> None:
    assert str(ROUTE) == "GET /a/{one}/b/{two}/c"


def test_a_route_is_not_repeatable_and_bounded_unless_it_says_otherwise() -> None:
    assert (ROUTE.repeatable, ROUTE.max_body) == (False, MAX_BODY_BYTES)


def test_a_request_shows_neither_body_nor_given_address() -> None:
    request = Request(route=ROUTE, path="", body={"value": "s3cr3t-canary"}, url="https://x/?sig=s3cr3t-canary")
    assert "s3cr3t-canary" not in repr(request)


def test_send_gives_what_the_sender_answers() -> None:
    request = ROUTE(one=1, two=2)

    def flow() -> Flow[object]:
        yield Sleep(1.0)
        return (yield from send(request))

    running = flow()
    assert next(running) == Sleep(1.0)
    assert next(running) is request
    with pytest.raises(StopIteration) as end:
        running.send("answer")
    assert end.value.value == "answer"
