"""How Tracecat words its errors: all bodies of section 4 of the contract."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.tracecat import ServiceKey, Workflow
from airflow_provider.emulator.tracecat.system import Tracecat
from airflow_provider.tracecat.api.error_texts import TracecatApiErrors
from airflow_provider.tracecat.hook import TracecatHook

REF = "wf_7wG6ZFwlUmPT8YtnWfZo1I/exec_50vreC4NIDSu5D4cA9FSqx"
BODIES: list[tuple[int, Any, str | None]] = [
    (400, {"detail": "Invalid workflow executions cursor"}, "Invalid workflow executions cursor"),
    (400, {"detail": {"type": "ValidationError", "message": "no", "detail": None}}, "no"),
    (400, {"detail": {"type": "TracecatValidationError", "message": None, "detail": "inner"}}, "inner"),
    (400, {"detail": {"type": "TracecatValidationError", "detail": [{"loc": ["a", 0], "msg": "bad"}, "x"]}}, "a.0: bad; x"),
    (401, {"detail": "Unauthorized"}, "Unauthorized"),
    (401, {"detail": "Unauthorized webhook request"}, "Unauthorized webhook request"),
    (403, {"detail": "Forbidden"}, "Forbidden"),
    (
        403,
        {"error": {"code": "insufficient_scope", "message": "Missing", "required_scopes": ["a"], "missing_scopes": ["a:b", "c"]}},
        "Missing Missing scopes: a:b, c.",
    ),
    (403, {"error": {"code": "x", "message": "Missing", "missing_scopes": None}}, "Missing"),
    (403, {"type": "EntitlementRequired", "message": "Upgrade.", "detail": {"entitlement": "service_accounts"}}, "Upgrade."),
    (403, {"detail": "Action result is masked by `mask_output` x"}, "Action result is masked by `mask_output` x"),
    (404, {"detail": "Not Found"}, "Not Found"),
    (404, {"detail": "Workflow execution not found"}, "Workflow execution not found"),
    (409, {"detail": "taken"}, "taken"),
    (413, {"detail": {"kind": "download_file", "download_url": "http://x/?Signature=canary"}}, None),
    (422, {"detail": [{"type": "missing", "loc": ["body", "n"], "msg": "Field required", "input": "canary"}]}, "body.n: Field required"),
    (422, {"detail": "workspace_id is required"}, "workspace_id is required"),
    (422, {"detail": [{"loc": ["q", n], "msg": "m"} for n in range(9)]}, "q.0: m; q.1: m; q.2: m; q.3: m; q.4: m"),
    (500, {"message": "An unexpected error occurred. Please try again later."}, "An unexpected error occurred. Please try again later."),
    (500, {"type": "T", "message": "broken", "detail": None}, "broken"),
    (503, {"detail": {"code": "auth_database_unavailable", "message": "The pool is used up"}}, "The pool is used up"),
]
ODD: list[bytes] = [
    b"", b"<html>", b"null", b"5", b"[]", b'"x"', b"{}", b'{"detail": null}', b'{"detail": 5}', b'{"detail": []}', b'{"detail": {}}',
    b"\xff\xfe",
    b'{"error": "text"}', b'{"error": {"message": 5}}', b'{"message": 5}', b'{"message": null}', b"[" * 100_000,
    b'{"detail": ' * 20_000, b'{"detail": {"detail": {"detail": null}}}',
]  # fmt: skip


@pytest.mark.parametrize(("status", "body", "text"), BODIES, ids=str)
def test_the_message_is_found(hook: TracecatHook, emulator: Emulator, status: int, body: Any, text: str | None) -> None:
    assert TracecatApiErrors().error_text(json.dumps(body).encode()) == text
    emulator.faults.add(Fault("status", status=status, body=body, times=None))
    with pytest.raises(errors.StatusError) as raised:
        hook.get_execution(REF)
    said = str(raised.value)
    assert said.startswith(
        f"Tracecat: GET /workspaces/{{workspace}}/workflow-executions/{{execution}} (execution {REF}) answered {status}: "
    )
    assert (text or "").rstrip(".") in said
    assert "canary" not in said
    assert (raised.value.status, raised.value.ref) == (status, REF)


@pytest.mark.parametrize("body", ODD, ids=lambda body: str(body[:30]))
def test_odd_bodies_are_no_message(body: bytes) -> None:
    assert TracecatApiErrors().error_text(body) is None


@pytest.mark.parametrize("detail", [
    [{"loc": None, "msg": "m"}], [{"loc": 5, "msg": "m"}], [{"msg": "m"}], [{"loc": "body", "msg": "m"}], [{"loc": ["a"]}], [None],
    [[]], [{}],
])  # fmt: skip
def test_odd_lists_of_problems_are_survived(hook: TracecatHook, emulator: Emulator, detail: Any) -> None:
    emulator.faults.add(Fault("status", status=422, body={"detail": detail}))
    with pytest.raises(errors.StatusError, match="answered 422"):
        hook.get_execution(REF)


@pytest.mark.parametrize(
    ("status", "body", "over"),
    [
        (401, b"", True), (401, b'{"detail": "Unauthorized"}', True), (403, b'{"detail": "Forbidden"}', True),
        (403, b'{"error": {"message": "Forbidden scope"}}', False), (403, b"", False), (403, b"<html>Forbidden", False),
        (403, b'{"detail": "Action result is masked by `mask_output`"}', False), (200, b'{"detail": "Forbidden"}', False),
        (404, b'{"detail": "Forbidden"}', False), (500, b"", False),
    ],
)  # fmt: skip
def test_when_a_session_is_over(status: int, body: bytes, over: bool) -> None:
    assert TracecatApiErrors().logged_out(status, body) is over


def test_a_500_is_worth_repeating_where_that_does_no_harm(hook: TracecatHook, emulator: Emulator, tracecat: Tracecat) -> None:
    emulator.faults.add(Fault("status", status=500, times=3))
    with pytest.raises(errors.NotFound):
        hook.get_execution(REF)
    assert len(emulator.ledger.entries) == 4
    emulator.ledger.clear()
    emulator.faults.add(Fault("status", status=500, times=3))
    with pytest.raises(errors.ServerError):
        hook.reset_execution(REF)
    assert len(emulator.ledger.entries) == 1


def test_a_missing_scope_is_named(hook: TracecatHook, tracecat: Tracecat) -> None:
    tracecat.key.scopes = ["workspace:read"]
    with pytest.raises(errors.Forbidden, match="workflow:read"):
        hook.get_execution(REF)


# Two kinds of 404, two places for the workspace


@pytest.mark.parametrize("name", ["get_execution", "get_compact_execution", "list_reset_points", "reset_execution", "cancel_execution"])
def test_an_execution_that_is_not_there_is_asked_for_once(hook: TracecatHook, emulator: Emulator, name: str) -> None:
    with pytest.raises(errors.NotFound, match="Workflow execution not found") as raised:
        getattr(hook, name)(REF)
    assert raised.value.reason != "Not Found"
    assert len(emulator.ledger.entries) == 1


def test_a_route_that_is_not_there_is_asked_for_in_its_older_form(hook: TracecatHook, emulator: Emulator, tracecat: Tracecat) -> None:
    workflow = tracecat.add_workflow(Workflow("Scan", "scan", seconds=600))
    execution = tracecat.add_execution(workflow)
    tracecat.workspace_in = "query"
    assert hook.get_execution(execution.ref).id == execution.id
    first, second = emulator.ledger.entries
    assert (first.status, second.status) == (404, 200)
    assert second.path == first.path.replace(f"/workspaces/{tracecat.workspace}", "")
    assert second.query == f"workspace_id={tracecat.workspace}"


def test_all_reading_and_acting_goes_by_the_older_form(hook: TracecatHook, tracecat: Tracecat) -> None:
    tracecat.add_workflow(Workflow("Scan", "scan", seconds=600))
    tracecat.workspace_in = "query"
    started = hook.run_workflow("scan", {"n": 1})
    assert len(tracecat.executions) == 1
    assert [item.id for item in hook.iter_executions(status=["RUNNING", "FAILED"])] == [started.wf_exec_id]
    assert [item.id for item in hook.list_executions(limit=5)] == [started.wf_exec_id]
    hook.terminate_execution(started.wf_exec_id)
    assert hook.get_compact_execution(started.wf_exec_id).status == "TERMINATED"
    assert [item.alias for item in hook.iter_workflows()] == ["scan"]
    with pytest.raises(errors.NotFound, match="Workflow execution not found"):
        hook.get_execution(REF)


def test_a_path_only_server_is_never_asked_twice(hook: TracecatHook, emulator: Emulator, tracecat: Tracecat) -> None:
    tracecat.workspace_in = "path"
    assert hook.list_executions() == []
    assert len(emulator.ledger.entries) == 1


def test_where_neither_form_is_there(emulator: Emulator, tracecat: Tracecat, connect: Any) -> None:
    """The web address in place of the API's, for one."""
    with (
        connect(host=tracecat.url.removesuffix("/api"), password=tracecat.key.key, extra={"workspace_id": tracecat.workspace}) as hook,
        pytest.raises(errors.NotFound, match="Not Found") as raised,
    ):
        hook.run_workflow("wf_7wG6ZFwlUmPT8YtnWfZo1I")
    assert "/workspaces/{workspace}" in str(raised.value)
    assert [entry.method for entry in emulator.ledger.entries] == ["POST", "POST"]


def test_another_workspaces_key_is_refused(hook: TracecatHook, emulator: Emulator, tracecat: Tracecat) -> None:
    other = tracecat.add_workspace("Other")
    tracecat.keys[0] = ServiceKey(workspace=other.id, key=tracecat.key.key)
    with pytest.raises(errors.Forbidden, match="Forbidden"):
        hook.get_execution(REF)
    assert len(emulator.ledger.entries) == 1
