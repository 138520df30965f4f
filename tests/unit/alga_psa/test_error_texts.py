"""What AlgaPSA's errors say, and what our errors make of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider import errors
from airflow_provider.alga_psa.api.error_texts import MAX_ISSUES, AlgaPsaApiErrors
from airflow_provider.alga_psa.hook import AlgaPsaHook
from airflow_provider.emulator import Emulator, Fault
from tests.unit.alga_psa.conftest import EXECUTION, RECORDINGS, RULE
from tests.virtual_clock import VirtualClock

BAD = [pytest.param(one, id=one["name"]) for one in RECORDINGS if one["status"] >= 300]
KINDS: dict[int, type[errors.StatusError]] = {
    400: errors.StatusError, 401: errors.Unauthorized, 403: errors.Forbidden, 404: errors.NotFound, 405: errors.StatusError,
    409: errors.Conflict, 429: errors.RateLimited, 500: errors.ServerError,
}  # fmt: skip
CALLS: dict[str, Callable[[AlgaPsaHook], Any]] = {
    "GET_META": lambda hook: hook.get_meta(),
    "LIST_RULES": lambda hook: hook.list_rules(),
    "GET_RULE": lambda hook: hook.get_rule(RULE),
    "EXECUTE_RULE": lambda hook: hook.execute_rule(RULE),
    "LIST_EXECUTIONS": lambda hook: hook.list_executions(),
    "GET_EXECUTION": lambda hook: hook.get_execution(EXECUTION),
    "RETRY_EXECUTION": lambda hook: hook.retry_execution(EXECUTION),
}


def text(body: Any) -> str | None:
    return AlgaPsaApiErrors().error_text(body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize("recording", BAD)
def test_every_recorded_error_is_one_line_of_the_right_kind(emulator: Emulator, hook: AlgaPsaHook, recording: dict[str, Any]) -> None:
    body = recording["body"]
    emulator.faults.add(
        Fault("body", body="" if body is None else body, status=recording["status"], headers=recording["headers"], times=None)
    )
    with pytest.raises(errors.StatusError) as caught:
        CALLS[recording["route"]](hook)
    error = caught.value
    assert type(error) is KINDS[recording["status"]]
    assert (error.system, error.status) == ("alga_psa", recording["status"])
    assert "\n" not in str(error)
    assert "<" not in str(error)
    assert "Traceback" not in str(error)
    if isinstance(body, dict):
        told = body["error"]
        assert (told if isinstance(told, str) else told["message"]) in str(error)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("deployed_001_meta_no_key", "answered 401: Unauthorized: API key missing. The API does not say which of these it is"),
        ("deployed_002_meta_bad_key", "expired, switched off or used up"),
        ("deployed_011_execute_stock_admin_forbidden", "Permission denied: Cannot execute automation. No installation has permissions"),
        ("deployed_010_execution_stock_admin_forbidden", "create them (resource 'automation', actions 'read' and 'execute'"),
        ("deployed_055_execute_no_body", "Validation failed: automation_rule_id: Required"),
        ("deployed_067_execution_get_nil_uuid_500", "missing, or this release cannot store executions"),
        ("deployed_064_executions_list_bad_status", "status: Invalid enum value"),
        ("deployed_097_limited_429", "Too many requests"),
        ("deployed_109_workflow_v1_executions_404", "Not Found. That is no answer of AlgaPSA's API"),
        ("deployed_071_execution_put_405", "Method Not Allowed. That is no answer of AlgaPSA's API"),
        ("store_024_execution_get_missing_404", "Automation execution not found. Check the ids"),
        ("store_041_retry_completed_409", "Only failed executions can be retried"),
    ],
)
def test_what_recorded_errors_become(emulator: Emulator, hook: AlgaPsaHook, name: str, says: str) -> None:
    recording = next(one for one in RECORDINGS if one["name"] == name)
    body = "" if recording["body"] is None else recording["body"]
    emulator.faults.add(Fault("body", body=body, status=recording["status"], headers=recording["headers"], times=None))
    with pytest.raises(errors.StatusError) as caught:
        CALLS[recording["route"]](hook)
    assert says in str(caught.value)


def test_the_rate_limit_tells_how_long_to_wait(emulator: Emulator, hook: AlgaPsaHook, clock: VirtualClock) -> None:
    recording = next(one for one in RECORDINGS if one["name"] == "deployed_097_limited_429")
    emulator.faults.add(Fault("body", body=recording["body"], status=429, headers=recording["headers"], times=2))
    assert hook.get_meta().execution_statuses
    assert len(clock.pauses) == 2
    assert all(9.9 <= pause <= 13.0 for pause in clock.pauses)


def union(alternatives: Any) -> dict[str, Any]:
    issue = {"code": "invalid_union", "message": "Invalid input", "path": ["c"], "unionErrors": alternatives}
    return {"error": {"message": "m", "details": [issue]}}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"error": "Unauthorized: API key missing"}, "Unauthorized: API key missing"),
        ({"error": {"message": "m"}}, "m"),
        ({"error": {"code": "C"}}, "C"),
        ({"error": {"code": "C", "message": None}}, "C"),
        ({"error": {}}, "no reason given"),
        ({"error": {"message": "m", "details": None}}, "m"),
        ({"error": {"message": "m", "details": {"retry_after_ms": 5}}}, "m"),
        ({"error": {"message": "m", "details": [{"path": ["a", 0, "b"], "message": "bad"}]}}, "m: a.0.b: bad"),
        ({"error": {"message": "m", "details": [{"path": [], "message": "bad"}]}}, "m: bad"),
        ({"error": {"message": "m", "details": [{"code": "custom"}, 5, None, "x"]}}, "m: custom"),
        (
            union([{"issues": [{"path": ["c", "to"], "message": "Required"}]}, {"issues": [{"path": ["c", "url"], "message": "Bad"}]}, 7]),
            "m: c.to: Required; c.url: Bad",
        ),
        (union([]), "m: c: Invalid input"),
        (union(None), "m: c: Invalid input"),
        ({"error": ""}, None),
        ({"error": None}, None),
        ({"error": 5}, None),
        ({"data": {"status": "error", "error": "x"}}, None),
        ([], None),
        ("x", None),
        (b"", None),
        (b"<html>", None),
        (b'{"error": ', None),
        (b"\xff\xfe", None),
    ],
)  # fmt: skip
def test_the_message_is_found_in_all_forms(body: Any, says: str | None) -> None:
    assert text(body) == says


def test_many_issues_are_told_in_short() -> None:
    issues = [{"path": [number], "message": "bad"} for number in range(20)]
    told = text({"error": {"message": "m", "details": [*issues, *issues]}})
    assert told is not None
    assert told.endswith("; and 15 more")
    assert told.count("bad") == MAX_ISSUES


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "message", "details", "path", "code", "unionErrors", "issues"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(json_values)
def test_no_body_breaks_it(body: Any) -> None:
    told = text({"error": body})
    assert told is None or told


def test_an_execution_of_a_rule_in_error_is_no_error(emulator: Emulator, hook: AlgaPsaHook) -> None:
    emulator.faults.add(Fault("body", body={"data": {"rule_id": RULE, "status": "error", "name": "error"}}))
    assert hook.get_rule(RULE).status == "error"


def test_an_error_with_a_good_status_is_an_error(emulator: Emulator, hook: AlgaPsaHook) -> None:
    emulator.faults.add(Fault("body", body={"error": {"message": "no storage"}}))
    with pytest.raises(errors.StatusError, match="answered 200 with an error: no storage"):
        hook.get_rule(RULE)


def test_a_500_is_not_asked_for_again_at_once_but_a_503_is(emulator: Emulator, hook: AlgaPsaHook) -> None:
    emulator.faults.add(Fault("status", status=500))
    with pytest.raises(errors.ServerError):
        hook.get_meta()
    assert len(emulator.ledger.entries) == 1
    emulator.faults.add(Fault("status", status=503))
    assert hook.get_meta().execution_statuses
    assert len(emulator.ledger.entries) == 3


def test_the_key_never_shows_in_an_error(emulator: Emulator, hook: AlgaPsaHook) -> None:
    emulator.faults.add(Fault("body", body={"error": {"message": "bad key emulator-key here"}}, status=400))
    with pytest.raises(errors.StatusError) as caught:
        hook.get_meta()
    assert "emulator-key" not in str(caught.value)
    assert "bad key ***" in str(caught.value)
