"""What a refusal says, by the API or by what is in front of it, and what the task makes of it."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.emulator import Emulator
from tests.integration.conftest import Bench
from tests.integration.systems import SYSTEMS

REPEATING = {
    "buddy": {"errors": [{"message": "Branch fix/too-many-requests not found"}]},
    "tracecat": {"detail": "Workflow 'Quota reached notifier' is disabled"},
    "alga_psa": {"error": {"code": "CONFLICT", "message": "Rule 'Throttled import' is not active"}},
}
"""Refusals that repeat a name that the request had."""


@pytest.mark.parametrize("name", REPEATING)
@pytest.mark.parametrize("status", [400, 409])
def test_a_refusal_that_repeats_a_name_is_no_rate_limit(emulator: Emulator, name: str, status: int) -> None:
    """It is sent once, and the task says the reason, without advice about polling."""
    system = SYSTEMS[name](emulator)
    fault = system.fault("status", "start", status=status, body=REPEATING[name], times=None)
    ended = Bench(system, "operator").run("succeeded")
    assert not isinstance(ended.error, errors.RateLimited)
    assert "poll_interval" not in str(ended.error)
    assert fault.hits == 1


GATEWAYS: dict[str, tuple[Any, str]] = {
    "a message": ({"message": "No API key found in request"}, "No API key found in request"),
    "in capitals": ({"Message": "User is not authorized"}, "User is not authorized"),
    "of OAuth": ({"error_description": "The gateway's token has expired"}, "The gateway's token has expired"),
    "a problem": ({"type": "about:blank", "title": "No gateway token", "detail": None}, "No gateway token"),
    "a list": ({"errors": [{"title": "No gateway token"}]}, "No gateway token"),
    "a JSON text": ('"No gateway token"', "No gateway token"),
    "plain text": (b"\xef\xbb\xbf\r\nIP 10.0.0.1 is not on the allow list\r\nRay 77", "IP 10.0.0.1 is not on the allow list"),
    "a page": (
        "<!DOCTYPE html><html><body><h1 class='x'>Blocked by WAF policy &#39;77&#39;</h1></body></html>",
        "Blocked by WAF policy '77'",
    ),
}
"""Bodies of what is in front of an API, and the reason in each."""
SILENT: dict[str, Any] = {
    "nothing": b"", "empty objects": {"message": {}, "errors": [], "detail": [None]}, "a picture": b"\x89PNG\r\n\x1a\n\0\0\xff\xfe\xfd\xfc",
    "broken JSON": b'{"message": "half', "a page without a heading": "<html><body></body></html>", "a number": "5", "blanks": b" \r\n\t ",
}  # fmt: skip


@pytest.mark.parametrize("gateway", GATEWAYS)
@pytest.mark.parametrize("status", [400, 401, 403, 407])
@pytest.mark.parametrize("name", REPEATING)
def test_the_reason_of_a_gateway_is_said(emulator: Emulator, name: str, status: int, gateway: str) -> None:
    """And that it may be a gateway's: the advice about the token alone would name a wrong cause."""
    system = SYSTEMS[name](emulator)
    body, reason = GATEWAYS[gateway]
    system.fault("status", None, status=status, body=body, times=None)
    error = str(Bench(system, "operator").run("succeeded").error)
    assert f"answered {status}: {reason}. " in error
    own = (gateway, name) in [("a message", "tracecat")]
    assert ("a gateway or a proxy in between may have answered" in error) is not own
    assert ("HTTPS_PROXY" in error) is (status == 407)


@pytest.mark.parametrize("body", SILENT)
@pytest.mark.parametrize("name", REPEATING)
def test_what_says_no_reason_is_not_shown(emulator: Emulator, name: str, body: str) -> None:
    system = SYSTEMS[name](emulator)
    system.fault("status", None, status=403, body=SILENT[body], times=None)
    error = str(Bench(system, "operator").run("succeeded").error)
    assert "answered 403: Forbidden. " in error
    assert "gateway" not in error


@pytest.mark.parametrize("form", ["text", "page", "message"])
@pytest.mark.parametrize("name", REPEATING)
def test_the_reason_of_a_gateway_is_cleaned_and_bounded(emulator: Emulator, name: str, form: str) -> None:
    system = SYSTEMS[name](emulator)
    system.use_credential()
    text = f"Bad key {system.credential} \x1b[31m::error:: {'x' * 50_000}"
    body: Any = {"text": text.encode(), "page": f"<title>{text[:200]}</title>", "message": {"message": text}}[form]
    system.fault("status", None, status=401, body=body, times=None)
    ended = Bench(system, "operator").run("succeeded")
    error = str(ended.error)
    assert "Bad key ***" in error
    assert system.credential not in error + ended.text
    assert "\x1b" not in error
    assert len(error) < 1_600
