"""The settings of the three connection types: trimmed, checked and named alike."""

from __future__ import annotations

import json
import warnings
from typing import Any

import pytest
from airflow.sdk._shared.secrets_masker import _secrets_masker
from structlog.testing import capture_logs

from airflow_provider import errors
from airflow_provider.alga_psa.hook import AlgaPsaHook
from airflow_provider.buddy.hook import BuddyHook
from airflow_provider.execution.http.connection_settings import unreadable_variable
from airflow_provider.execution.http.endpoint import Endpoint
from airflow_provider.execution.http.hook import ExecutionHook
from airflow_provider.tracecat.hook import TracecatHook
from tests.virtual_clock import VirtualClock

HOOKS: dict[str, type[ExecutionHook]] = {"buddy": BuddyHook, "tracecat": TracecatHook, "alga_psa": AlgaPsaHook}


@pytest.fixture(params=["worker", "triggerer"])
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Reading:
    """Reads a connection as a worker and a triggerer do."""

    def __init__(self, system: str, place: str, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.system, self.place, self.clock, self.patch = system, place, clock, monkeypatch

    def __call__(self, **fields: Any) -> Endpoint:
        given = {"conn_type": self.system, "host": "https://remote.example", "password": "tokentoken", **fields}
        self.patch.setenv(f"AIRFLOW_CONN_{self.system.upper()}_DEFAULT", json.dumps(given))
        self.hook = HOOKS[self.system](f"{self.system}_default")
        if self.place == "triggerer":
            return self.clock.run(self.hook.aopen())
        return self.hook._read()

    def refused(self, **fields: Any) -> str:
        with pytest.raises(errors.ConfigurationError) as raised:
            self(**fields)
        text = str(raised.value)
        assert f"Connection '{self.system}_default'" in text
        assert "\n" not in text
        return text


@pytest.fixture(params=list(HOOKS))
def read(request: pytest.FixtureRequest, place: str, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Reading:
    return Reading(request.param, place, clock, monkeypatch)


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ('["verify_tls"]', "but is a list"),
        ("5", "but is a number"),
        ("true", "but is true or false"),
        ("null", "but is null"),
        (json.dumps(json.dumps([1])), "but is a list"),
        (json.dumps(json.dumps("text")), "but is a text"),
        ("{'verify_tls': False}", "is not JSON"),
    ],
)
def test_extra_that_is_no_object_is_refused(read: Reading, extra: str, says: str) -> None:
    assert says in read.refused(extra=extra)


@pytest.mark.parametrize("extra", [None, "", "{}", '"{}"'])
def test_no_extra_is_fine(read: Reading, extra: str | None) -> None:
    assert read(extra=extra).timeout == 30.0


def test_an_object_that_was_encoded_twice_is_read(read: Reading) -> None:
    assert read(extra=json.dumps(json.dumps({"request_timeout": 7}))).timeout == 7.0


@pytest.mark.parametrize("value", ["FALSE", "no", "Off", " 0 ", "False\r", 0, False])
def test_verification_is_switched_off_by_any_word_for_it(read: Reading, value: object) -> None:
    with pytest.warns(UserWarning, match="switches TLS verification off"):
        assert read(extra=json.dumps({"verify_tls": value})).verify is False


@pytest.mark.parametrize("value", ["TRUE", "yes", "On", "1", 1, True, None, ""])
def test_it_stays_on_otherwise(read: Reading, value: object) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(extra=json.dumps({"verify_tls": value})).verify is True


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"extra": {"verify_tls": "nope"}}, "extra 'verify_tls' must be true or false, not 'nope'"),
        ({"extra": {"verify_tls": 2}}, "extra 'verify_tls' must be true or false, not 2"),
        ({"extra": {"verify_tls": []}}, "extra 'verify_tls' must be true or false, not []"),
        ({"extra": {"ca_bundle": True}}, "extra 'ca_bundle' must be a text, not True"),
        ({"extra": {"ca_bundle": ["/a.pem"]}}, "extra 'ca_bundle' must be a text"),
        ({"extra": {"request_timeout": True}}, "extra 'request_timeout' must be a number above 0 and up to 86400, not True"),
        ({"extra": {"request_timeout": 1e10}}, "extra 'request_timeout' must be a number above 0 and up to 86400, not 10000000000.0"),
        ({"extra": {"request_timeout": "1e300"}}, "up to 86400"),
        ({"extra": {"max_concurrent_requests": 10**30}}, "must be a whole number from 1 to 10000"),
        ({"extra": {"max_concurrent_requests": 2.5}}, "must be a whole number from 1 to 10000, not 2.5"),
        ({"extra": {"request_timeout": "1\n2"}}, "extra 'request_timeout' holds a line break"),
        ({"host": "https://http://h"}, "host 'https://http://h'"),
        ({"host": "https://h\nx"}, "host holds a line break"),
        ({"host": "https://h:70000"}, "not an http(s) URL"),
        ({"port": 70_000}, "port must be a number from 1 to 65535, not 70000"),
        ({"port": -1}, "port must be a number from 1 to 65535, not -1"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_named_with_its_value(read: Reading, fields: dict[str, Any], says: str) -> None:
    if isinstance(extra := fields.get("extra"), dict):
        fields = {**fields, "extra": json.dumps(extra)}
    assert says in read.refused(**fields)


def test_settings_are_trimmed(read: Reading) -> None:
    endpoint = read(host=" https://remote.example/x \r", password=" tokentoken\r\n", extra=json.dumps({"request_timeout": " 7 \r"}))
    assert (endpoint.base_url, endpoint.timeout) == ("https://remote.example/x", 7.0)
    assert "tokentoken" in endpoint.secrets


def test_handles_are_trimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {"conn_type": "buddy", "password": "t", "extra": json.dumps({"workspace": "acme ", "project": "shop\r"})}
    monkeypatch.setenv("AIRFLOW_CONN_BUDDY_DEFAULT", json.dumps(fields))
    with BuddyHook() as hook:
        assert hook.namespace() == ("acme", "shop")


@pytest.mark.parametrize("key", ["asia", "as", "ap", "ASIA", " ap\r"])
def test_the_region_asia(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BUDDY_DEFAULT", json.dumps({"conn_type": "buddy", "password": "t", "extra": {"region": key}}))
    assert BuddyHook()._read().base_url == "https://api.asia.buddy.works"


def test_a_setting_that_nothing_reads_is_warned_of(read: Reading) -> None:
    with capture_logs() as logs:
        read(extra=json.dumps({"verify_ssl": False, "timeout": 5, "request_timeout": 5}))
    text = str([entry["event"] % entry["positional_args"] if "positional_args" in entry else entry["event"] for entry in logs])
    assert "nothing reads timeout, verify_ssl in its extra field" in text
    assert "verify_tls" in text


@pytest.mark.parametrize("given", [{"X-Gate": "canary-gate"}, '{"X-Gate": "canary-gate"}'])
def test_extra_headers_are_sent_and_masked(read: Reading, given: object) -> None:
    endpoint = read(extra=json.dumps({"secret_headers": given}))
    assert dict(endpoint.headers)["x-gate"] == "canary-gate"
    assert "canary-gate" in endpoint.secrets
    assert "canary" not in repr(endpoint) + str(read.hook.arguments())
    assert "canary" not in str(_secrets_masker().redact("see canary-gate"))


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"Host": "canary.example"}, "'Host' is set already"),
        ({"Cookie": "canary"}, "'Cookie' is set already"),
        ({"X-A": "canary-1", "x-a": "canary-2"}, "'x-a' is set already, or twice"),
        ({"X-A": "b", "X A": "canary"}, "header 2 has a name that is none of HTTP"),
        ({"canary with blanks": "X-A"}, "header 1 has a name that is none of HTTP"),
        ({"X-A\r\nX-B": "canary"}, "has a name that is none of HTTP"),
        ({"": "canary"}, "has a name that is none of HTTP"),
        ({"X-A": "canary\r\nX-B: 1"}, "'X-A' must have a text of printable ASCII"),
        ({"X-A": "zażółć canary"}, "'X-A' must have a text of printable ASCII"),
        ({"X-A": ""}, "'X-A' must have a text"),
        ({"X-A": 5}, "'X-A' must have a text"),
        (["X-A: canary"], "must be a JSON object"),
        ("X-A: canary", "must be a JSON object"),
        ({f"X-{number}": "canary" for number in range(21)}, "at most 20 headers"),
    ],
    ids=str,
)
def test_headers_that_can_not_be_sent_are_named_without_their_value(read: Reading, headers: object, says: str) -> None:
    text = read.refused(extra=json.dumps({"secret_headers": headers}))
    assert says in text
    assert "canary" not in text


@pytest.mark.parametrize(("system", "header"), [("buddy", "Authorization"), ("tracecat", "authorization"), ("alga_psa", "X-Api-Key")])
def test_a_header_never_replaces_the_credential(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch, place: str, system: str, header: str
) -> None:
    text = Reading(system, place, clock, monkeypatch).refused(extra=json.dumps({"secret_headers": {header: "canary"}}))
    assert f"{header!r} is set already" in text


@pytest.mark.parametrize(
    "host",
    [
        "https://h/api?token=canary",
        "https://h/?canary",
        "https://h/api#canary",
        "h?access=canary",
        "https://canary@h",
        "https://u:canary@h",
    ],
)
def test_a_host_with_a_credential_is_not_shown(read: Reading, host: str) -> None:
    text = read.refused(host=host)
    assert "put the token in the password field" in text
    assert "canary" not in text


PEM = "-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    "fields",
    [
        {"extra": {"private_key": PEM}},
        {"extra": {"token": "canary\nb"}},
        {"extra": {"api token": "canary\tb"}},
        {"extra": {"workspace": PEM, "tenant_id": PEM, "workspace_id": PEM}},
        {"extra": {"ca_bundle": PEM}},
        {"login": "canary\nb"},
        {"host": "https://user:canary@h\nx"},
        {"host": "https://h/api?token=canary\nx"},
        {"extra": {"workspace": "acme\ncanary"}},
        {"schema": "canary\nb"},
    ],
    ids=str,
)
def test_a_setting_with_a_line_break_that_may_be_secret_is_not_shown(read: Reading, fields: dict[str, Any]) -> None:
    if isinstance(extra := fields.get("extra"), dict):
        fields = {**fields, "extra": json.dumps(extra)}
    text = read.refused(**fields)
    assert "holds a line break" in text
    assert "canary" not in text


@pytest.mark.parametrize(
    "extra",
    [
        {"workspace": "demo", "project": "shop"},
        {"workspace_id": "abcd", "region": "eu"},
        {"env": "dev", "nested": {"token": "abc", "list": ["a", {"b": "c"}]}},
        {"verify_tls": "yes", "request_timeout": "7"},
        {"secret_headers": {"X-Gate": "abc"}},
    ],
    ids=str,
)
def test_airflow_is_not_asked_to_mask_short_texts(read: Reading, extra: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """It would warn of each at every task."""
    told: list[Any] = []
    monkeypatch.setattr(type(_secrets_masker()), "add_mask", lambda masker, secret, name=None: told.append(secret))
    read(extra=json.dumps(extra))

    def texts(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [text for item in value.values() for text in texts(item)]
        if isinstance(value, list):
            return [text for item in value for text in texts(item)]
        return [value] if isinstance(value, str) else []

    if extra in told:  # by Airflow itself, for a connection of an environment variable
        told.remove(extra)
    assert told
    assert [text for secret in told for text in texts(secret) if len(text) < 5] == []


@pytest.mark.parametrize(
    ("extra", "secret"),
    [
        ({"token": "canary-one"}, "canary-one"),
        ({"nested": {"api_key": "canary-two"}}, "canary-two"),
        ({"nested": {"list": [{"password": "canary-three"}]}}, "canary-three"),
        ({"secret_headers": {"X-Gate": "Token canary-four"}}, "canary-four"),
        ({"secret_headers": json.dumps({"X-Gate": "name=canary-five"})}, "canary-five"),
        ({"secret_headers": {"X-Gate": "Basic dXNlcjpjYW5hcnktc2l4"}}, "canary-six"),
    ],
    ids=str,
)
def test_what_is_secret_in_the_extra_field_is_masked(read: Reading, extra: dict[str, Any], secret: str) -> None:
    read(extra=json.dumps(extra))
    assert secret not in str(_secrets_masker().redact(f"see {secret}."))


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"password": 47114711}, "password must be text"),
        ({"password": ["canary"]}, "password must be text"),
        ({"host": 47114711}, "host must be text"),
        ({"login": 47114711, "password": 47114711}, "login and password must be text"),
    ],
    ids=str,
)
def test_a_connection_that_airflow_can_not_read_is_not_called_missing(read: Reading, fields: dict[str, Any], named: str) -> None:
    text = read.refused(**fields)
    assert named in text
    assert "4711" not in text
    assert "canary" not in text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"conn_type": "buddy", "password": "canary-1"', "it is not valid JSON"),
        ('["buddy", "canary-1"]', "it is not a JSON object"),
        ("buddy://:canary/x@h/", "it is no valid URI. Percent-encode"),
        ("buddy://:canary#x@h:99999999", "it is no valid URI. Percent-encode"),
        ("buddy://[canary", "it is no valid URI. Percent-encode"),
        ('{"conn_type": "buddy", "password": "canary-1", "port": "80x"}', "port must be a number"),
        ('{"conn_type": "buddy", "passwd": "canary-1"}', "it has no field passwd; there are conn_id, conn_type,"),
        ('{"conn_type": "buddy", "password": 47114711}', "password must be text, in quotes"),
    ],
)
def test_what_is_wrong_in_a_variable_is_said(monkeypatch: pytest.MonkeyPatch, text: str, problem: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MINE", text)
    told = unreadable_variable("mine")
    assert told is not None
    assert f"in the environment variable AIRFLOW_CONN_MINE, but Airflow can't read it: {problem}" in told
    assert "canary" not in told
    assert "4711" not in told


@pytest.mark.parametrize("text", ["", "buddy://:token@host", '{"conn_type": "buddy", "port": 443, "extra": {"a": 1}}', '{"port": "443"}'])
def test_a_variable_that_airflow_can_read_is_not_blamed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MINE", text)
    assert unreadable_variable("mine") is None


@pytest.mark.parametrize(
    "text", ['{"conn_type": "buddy", "password": "canary-1"', '{"conn_type": "buddy", "password": "c", "port": "80x"}']
)
def test_a_connection_with_broken_json_is_not_called_missing(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BUDDY_DEFAULT", text)
    with pytest.raises(errors.ConfigurationError, match="Airflow can't read it"):
        BuddyHook()._read()
