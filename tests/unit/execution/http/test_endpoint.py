"""Where a connection leads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.http.api_errors import ApiErrors
from airflow_provider.execution.http.endpoint import Endpoint, base_url, header_secrets, origin


@pytest.mark.parametrize(
    ("host", "fields", "url"),
    [
        ("https://api.buddy.works", {}, "https://api.buddy.works"),
        ("https://api.buddy.works/", {}, "https://api.buddy.works"),
        ("https://buddy.example/api", {}, "https://buddy.example/api"),
        ("https://buddy.example/api///", {}, "https://buddy.example/api"),
        ("https://buddy.example/deep/er/api/", {}, "https://buddy.example/deep/er/api"),
        ("  https://buddy.example/api  ", {}, "https://buddy.example/api"),
        ("HTTPS://Buddy.Example/API", {}, "https://buddy.example/API"),
        ("buddy.example", {}, "https://buddy.example"),
        ("buddy.example/api", {}, "https://buddy.example/api"),
        ("buddy.example", {"schema": "http"}, "http://buddy.example"),
        ("buddy.example", {"schema": "https"}, "https://buddy.example"),
        ("buddy.example", {"schema": "public"}, "https://buddy.example"),
        ("http://buddy.example", {"schema": "https"}, "http://buddy.example"),
        ("buddy.example", {"port": 8443}, "https://buddy.example:8443"),
        ("buddy.example/api", {"schema": "http", "port": 8080}, "http://buddy.example:8080/api"),
        ("buddy.example:9000/api", {"port": 8080}, "https://buddy.example:9000/api"),
        ("http://127.0.0.1:8080/buddy/api", {}, "http://127.0.0.1:8080/buddy/api"),
        ("http://[::1]:8080/api", {}, "http://[::1]:8080/api"),
        ("[::1]", {}, "https://[::1]"),
        ("[2001:DB8::1]", {"port": 8443}, "https://[2001:db8::1]:8443"),
        ("https://buddy.example/#", {}, "https://buddy.example"),
        ("https://buddy.example/api/?", {}, "https://buddy.example/api"),
    ],
)
def test_base_urls(host: str, fields: dict[str, object], url: str) -> None:
    assert base_url(host, **fields) == url  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "host",
    [
        "", "  ", "/", "https://", "https:///api", "ftp://buddy.example", "file:///etc/passwd", "javascript://x",
        "https://token@buddy.example", "https://user:token@buddy.example/api", "user:token@buddy.example", "https://:token@buddy.example",
        "https://buddy.example?token=x", "https://buddy.example/api?x=1", "https://buddy.example/#x",
        "https://buddy.example:port", "https://buddy.example:99999", "https://[::1", "::1",
        "https:/h", "http:/h/api", "https//h", "http:\\\\h", "https:h", "//h/api", "https", "HTTPS:/h", "https://https:/h", "https://http//h",
        "https://xn--zzzzzz", "https://xn--a.example", "http%3A%2F%2Fbuddy.example", "buddy.example%2Fapi", "https://buddy%2Eexample",
    ],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused(host: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        base_url(host)
    assert "token@" not in str(raised.value)
    assert "token=x" not in str(raised.value)


@given(st.text())
def test_every_host_gives_a_plain_url_or_is_refused(host: str) -> None:
    try:
        url = base_url(host)
    except ConfigurationError:
        return
    assert url.startswith(("http://", "https://"))
    assert not url.endswith("/")
    assert not set("?#@") & set(url)
    assert origin(url) == origin(url + "/x")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("https://a.example/x", "https://a.example/y?z", True),
        ("https://a.example", "https://A.EXAMPLE:443/", True),
        ("http://a.example", "http://a.example:80", True),
        ("https://a.example", "http://a.example", False),
        ("https://a.example", "https://a.example:8443", False),
        ("https://a.example", "https://b.a.example", False),
        ("https://a.example", "https://a.example.evil", False),
        ("https://a.example", "https://a.example@evil", False),
        ("https://a.example", "https://evil/https://a.example", False),
        ("https://a.example", "https://evil\\@a.example.evil", False),
        ("http://127.0.0.1", "http://localhost", False),
        ("http://[::1]", "http://[::1]:80", True),
    ],
)
def test_same_origin(one: str, other: str, same: bool) -> None:
    assert (origin(one) == origin(other)) is same


def test_an_endpoint_shows_no_credentials_and_differs_by_them() -> None:
    def make(token: str) -> Endpoint:
        return Endpoint("buddy", "Buddy", "c", "https://a", (("authorization", token),), ApiErrors())

    assert "s3cr3t-canary" not in repr(make("s3cr3t-canary"))
    assert make("a") == make("a")
    assert hash(make("a")) == hash(make("a"))
    assert make("a") != make("b")


def test_an_api_that_says_nothing_useful() -> None:
    assert ApiErrors().error_text(b'{"errors": []}') is None
    assert ApiErrors().hint(403, {}) is None
    assert ApiErrors().retry_500 is False


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("Bearer tokentoken", ("tokentoken",)),
        ("tokentoken", ("tokentoken",)),
        ("bearer tokentoken", ("bearer tokentoken", "tokentoken")),
        ("Token tokentoken", ("Token tokentoken", "tokentoken")),
        ("CF_Authorization=tokentoken", ("CF_Authorization=tokentoken", "tokentoken")),
        ("id=1; key=tokentoken==", ("id=1; key=tokentoken==", "1", "tokentoken")),
        ("Basic dXNlcjpwYXNz", ("Basic dXNlcjpwYXNz", "dXNlcjpwYXNz", "user:pass", "user", "pass")),
        ("basic not base64", ("basic not base64", "not base64")),
        ("part1 part2", ("part1 part2", "part2", "part1")),
        ('Signature key="abc"', ('Signature key="abc"', 'key="abc"', "abc")),
        ("tokentoken==", ("tokentoken==",)),
    ],
)
def test_the_parts_of_a_header_that_are_hidden(value: str, parts: tuple[str, ...]) -> None:
    """A scheme, or the name before a value, is none: hiding it would garble the log."""
    assert header_secrets(value) == parts
