"""
Every recorded answer of a route that the clients call, given by a server on a real socket: it is understood, or is an error of the right
kind that says what the server said.

The recordings lie beside the checkout (``../shared/recordings``); some of them, cut short, are in ``fixtures``, so that a clone runs these
tests, too.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import BaseModel

from airflow_provider import errors
from airflow_provider.alga_psa.api import routes as alga_psa
from airflow_provider.alga_psa.api.error_texts import AlgaPsaApiErrors
from airflow_provider.execution.http.api_errors import ApiErrors
from airflow_provider.execution.http.endpoint import Endpoint, Login
from airflow_provider.execution.http.senders import AsyncSender, Sender
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Flow, Route, send
from airflow_provider.tracecat.api import models, requests
from airflow_provider.tracecat.api import routes as tracecat
from airflow_provider.tracecat.api.error_texts import TracecatApiErrors
from airflow_provider.tracecat.executions.adapter import TracecatAdapter
from airflow_provider.tracecat.executions.mapping import snapshot_of
from airflow_provider.tracecat.ref import TracecatRef, in_path
from tests import virtual_clock
from tests.contract.replay import FIXTURES, SHARED, Exchange, Replay, match, query_of, recorded, replaying, routes_of

ROUTES = {"tracecat": routes_of(tracecat), "alga_psa": routes_of(alga_psa)}
API_ERRORS: dict[str, ApiErrors] = {"tracecat": TracecatApiErrors(), "alga_psa": AlgaPsaApiErrors()}
LEAST = {"tracecat": 18, "alga_psa": 12}
"""Fixtures of routes that are called, at least."""
LEAST_SHARED = {"tracecat": 150, "alga_psa": 60}
CREDENTIAL = "Cr3dentialCanary"
KINDS = {
    400: errors.StatusError, 401: errors.Unauthorized, 403: errors.Forbidden, 404: errors.NotFound, 405: errors.StatusError,
    409: errors.Conflict, 413: errors.StatusError, 422: errors.StatusError, 429: errors.RateLimited,
    500: errors.ServerError, 503: errors.ServerError,
}  # fmt: skip
LEAKS = re.compile(r"pydantic|traceback|input_value|object at 0x|validation error", re.IGNORECASE)


def collect(system: str, shared: bool) -> list[Any]:
    """Each recorded exchange once for each route that reads its answer."""
    found = []
    for name, exchange in recorded((SHARED if shared else FIXTURES) / system).items():
        asked = exchange["request"]
        routes, _ = match(ROUTES[system], asked["method"], asked["path"])
        place = "shared" if shared else "own"
        found += [pytest.param(system, route, exchange, id=f"{system}-{place}-{name}-{route}") for route in routes]
    return found


OWN = {system: collect(system, shared=False) for system in ROUTES}
BESIDE = {system: collect(system, shared=True) for system in ROUTES}


@pytest.mark.parametrize("system", list(ROUTES))
def test_the_projects_own_recordings_are_there(system: str) -> None:
    assert len(OWN[system]) >= LEAST[system]


@pytest.mark.parametrize("system", list(ROUTES))
def test_all_recordings_are_there(system: str) -> None:
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not there: it lies beside the project's own checkout only, and {FIXTURES} holds a part of it")
    assert len(BESIDE[system]) >= LEAST_SHARED[system]


@pytest.mark.parametrize("system", list(ROUTES))
def test_most_routes_were_recorded(system: str) -> None:
    """A route that nothing was recorded of is one that nothing proves."""
    seen = {parameters.values[1] for parameters in BESIDE[system] or OWN[system]}
    unproven = {name for name in ROUTES[system] if not name.endswith("(before)")} - seen
    assert not SHARED.is_dir() or unproven <= {"STORED_OBJECT", "GET_MY_SCOPES", "GET_OPENAPI"}


def endpoint(system: str, replay: Replay, login: Login | None = None) -> Endpoint:
    headers = () if login else (("authorization", f"Bearer {CREDENTIAL}"),)
    return Endpoint(system, system, f"{system}_default", replay.url, headers, API_ERRORS[system], timeout=60.0, login=login)


def run(kind: str, endpoint: Endpoint, flow: Flow[Any]) -> Any:
    if kind == "sync":
        with Sender(endpoint, sleep=lambda _: None) as sender:
            return sender.run(flow)

    async def main() -> Any:
        async with AsyncSender.shared(endpoint) as sender:
            return await sender.run(flow)

    return virtual_clock.run(main())


def ask(system: str, route: Route[Any], exchange: Exchange, replay: Replay) -> Any:
    """Send the recorded request as the client does."""
    asked = exchange["request"]
    _, fields = match(ROUTES[system], asked["method"], asked["path"])
    if "execution" in fields and system == "tracecat":
        fields["execution"] = in_path(fields["execution"])
    body = asked.get("body") if asked["method"] != "GET" else None
    request = replace(route(body=body, ref="the-ref", **fields), query=tuple(query_of(exchange)))
    return run("sync", endpoint(system, replay), send(request))


def saying(body: Any) -> set[str]:
    """The texts that an error's body holds, any of which is what the server said."""
    if isinstance(body, str):
        return {body}
    values = list(body.values()) if isinstance(body, dict) else body if isinstance(body, list) else []
    return {text for value in values for text in saying(value)}


@pytest.mark.parametrize(("system", "name", "exchange"), [one for many in (*OWN.values(), *BESIDE.values()) for one in many])
def test_a_recorded_answer_is_understood_or_said(system: str, name: str, exchange: Exchange) -> None:
    route, answer = ROUTES[system][name], exchange["response"]
    with replaying([exchange]) as replay:
        if answer["status"] < 300:
            parsed = ask(system, route, exchange, replay)
            understood(route, parsed, answer["body"])
            return
        with pytest.raises(errors.StatusError) as raised:
            ask(system, route, exchange, replay)
    error, text = raised.value, str(raised.value)
    assert type(error) is KINDS[answer["status"]]
    assert (error.status, error.ref, error.route) == (answer["status"], "the-ref", str(route))
    assert f"answered {answer['status']}" in text
    assert "\n" not in text
    assert not LEAKS.search(text)
    assert CREDENTIAL not in text
    said = {" ".join(part.split())[:60].rstrip(".") for part in saying(answer["body"]) if "<" not in part}
    assert not said or any(part and part in text for part in said), text
    assert "{'" not in text
    assert '{"' not in text


def understood(route: Route[Any], parsed: Any, body: Any) -> None:
    """Nothing that was told is lost but what the model leaves out on purpose."""
    if route.answer is None:
        assert parsed is None
        return
    if isinstance(body, list):
        assert isinstance(parsed, list)
        assert [one.id if hasattr(one, "id") else one.event_id for one in parsed] == [one.get("id", one.get("event_id")) for one in body]
        return
    assert isinstance(parsed, BaseModel)
    plain = parsed.model_dump(mode="json", by_alias=True)
    for name, value in body.items():
        if name in plain and isinstance(value, (str, int, bool)) and "time" not in name:
            assert plain[name] == value
    if parsed.model_config.get("extra") == "allow":  # the others keep what they are asked for only
        assert body.keys() <= plain.keys()
    for name in ("events", "items", "interactions"):
        if name in body:
            assert len(getattr(parsed, name)) == len(body[name])


# What the clients make of it


def of_route(name: str) -> list[Any]:
    """The good answers of a route of Tracecat's."""
    found = [one for many in (OWN["tracecat"], BESIDE["tracecat"]) for one in many]
    return [pytest.param(one.values[2], id=one.id) for one in found if one.values[1] == name and one.values[2]["response"]["status"] == 200]


PHASES = {
    "RUNNING": Phase.RUNNING, "COMPLETED": Phase.SUCCEEDED, "FAILED": Phase.FAILED, "CANCELED": Phase.CANCELLED,
    "TERMINATED": Phase.CANCELLED, "TIMED_OUT": Phase.TIMED_OUT,
}  # fmt: skip


@pytest.mark.parametrize("exchange", of_route("GET_COMPACT"))
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_recorded_executions_are_seen_as_they_were(exchange: Exchange, kind: str) -> None:
    body, path = exchange["response"]["body"], exchange["request"]["path"]
    workspace = path.split("/")[2]
    info = {"request": {"method": "GET", "path": "/info"}, "response": {"status": 200, "body": {"public_app_url": "https://t.example"}}}
    with replaying([info, exchange]) as replay:
        found = run(kind, endpoint("tracecat", replay), TracecatAdapter(lambda: workspace, lambda: replay.url).read(body["id"]))
        sent = replay.requests[0][1]
    assert sent.startswith(f"/workspaces/{workspace}/workflow-executions/{quote(quote(body['id'], safe=''), safe='')}/compact")
    waits = any(item["status"] == "pending" for item in body["interactions"])
    assert found.phase is (Phase.WAITING if waits else PHASES[body["status"]])
    assert (found.ref, found.status, found.run) == (body["id"], body["status"], body["run_id"])
    rows = [row for row in body["events"] if not row["action_ref"].startswith("__workflow_")]
    assert [(step.name, step.status) for step in found.steps] == [(row["action_ref"], row["status"]) for row in rows]
    if found.phase is Phase.FAILED:
        assert found.error
    assert found.url is not None
    assert re.fullmatch(r"https://t\.example/workspaces/[0-9a-f-]+/workflows/[\w-]+/executions/[\w%.-]+", found.url)
    assert snapshot_of(TracecatRef.parse(body["id"]), models.CompactExecution.model_validate(body)).phase is found.phase


def test_the_recorded_login_gives_a_session_under_its_own_name() -> None:
    recordings = recorded(FIXTURES / "tracecat")
    login, info = recordings["004_login_ok"], recordings["001_info"]
    login = json.loads(json.dumps(login).replace("<hex>", "0a1b2c3d").replace("<redacted>", "t0ken"))
    with replaying([login, info]) as replay:
        session = Login("/auth/login", (("username", "ada@example.com"), ("password", CREDENTIAL)))
        found = run("sync", endpoint("tracecat", replay, session), requests.get_info())
    assert found.version == info["response"]["body"]["version"]
    (_, path, headers, body), (_, _, with_cookie, _) = replay.requests
    assert (path, headers["content-type"]) == ("/auth/login", "application/x-www-form-urlencoded")
    assert body == f"username=ada%40example.com&password={CREDENTIAL}".encode()
    assert re.fullmatch(r"(tracecat_auth_\w+|fastapiusersauth)=[^;\s]+", with_cookie["cookie"])


# The time of the seed document


ROLE = {
    "type": "user",
    "workspace_id": "b894dcf2-0307-48a5-99bf-3d204fd3bb94",
    "user_id": None,
    "access_level": 999,
    "service_id": "tracecat-api",
}
TASK = {
    "ref": "first", "description": "", "action": "core.transform.reshape", "args": {"value": 1}, "depends_on": [],
    "interaction": {"type": "approval", "timeout": 5.0}, "run_if": None, "for_each": "x", "start_delay": 0.0, "wait_until": None,
    "retry_policy": {"max_attempts": 1, "timeout": 300, "retry_until": None}, "join_strategy": "all",
}  # fmt: skip
SEED: dict[str, Any] = {
    "id": "wf-0123456789abcdef0123456789abcdef:exec-1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed",
    "run_id": "1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed",
    "start_time": "2023-11-07T05:31:56Z",
    "execution_time": "2023-11-07T05:31:56Z",
    "close_time": "2023-11-07T05:31:56Z",
    "status": "RUNNING",
    "workflow_type": "DSLWorkflow",
    "task_queue": "tracecat-task-queue",
    "history_length": 123,
    "parent_wf_exec_id": None,
    "interaction_states": {"first": {"type": "approval", "ref": "first", "data": {}, "action_ref": "first"}},
    "events": [
        {
            "event_id": 1, "event_time": "2023-11-07T05:31:56Z", "event_type": "WORKFLOW_EXECUTION_STARTED", "task_id": 123, "role": ROLE,
            "failure": {"message": "it broke", "cause": {"a": 1}}, "result": None, "workflow_timeout": 123.0, "parent_wf_exec_id": None,
            "event_group": {
                "event_id": 123, "udf_namespace": "core", "udf_name": "reshape", "udf_key": "core.transform.reshape", "action_id": "act-1",
                "action_ref": "first", "action_title": "First", "action_description": "<string>", "action_result": "<any>",
                "action_input": {
                    "task": TASK, "exec_context": {}, "interaction_context": {"action_ref": "first", "interaction_id": "i"},
                    "run_context": {"wf_id": "wf-1", "wf_exec_id": "wf-1:exec-1", "wf_run_id": "1", "environment": "default"},
                },
                "current_attempt": 1, "retry_policy": {"max_attempts": 1, "timeout": 300, "retry_until": "<string>"},
                "start_delay": 0.0, "join_strategy": "all", "related_wf_exec_id": None,
            },
        }
    ],
}  # fmt: skip
"""What the seed document shows, by section 12 of the contract: as executions were told before 2025-05."""


@pytest.mark.parametrize("today", [False, True])
def test_an_execution_is_read_with_the_fields_of_then_and_of_today(today: bool) -> None:
    body = SEED
    if today:
        body = {key: value for key, value in SEED.items() if key != "interaction_states"}
        role = {**{k: v for k, v in ROLE.items() if k != "access_level"}, "scopes": ["workflow:read"], "service_account_id": None}
        asks = {"id": "i", "status": "pending", "type": "approval", "action_ref": "first"}
        event = {**SEED["events"][0], "role": role, "failure": {"message": "it broke", "cause": None, "root_cause_message": "root"}}
        body |= {"interactions": [asks], "trigger_type": "manual", "execution_type": "published", "events": [event]}
    exchange = {
        "request": {"method": "GET", "path": f"/workspaces/{ROLE['workspace_id']}/workflow-executions/{SEED['id']}"},
        "response": {"status": 200, "body": body},
    }
    with replaying([exchange]) as replay:
        found = run("sync", endpoint("tracecat", replay), requests.get_execution(str(ROLE["workspace_id"]), SEED["id"]))
    event = found.events[0]
    assert (found.status, event.event_group.action_ref, event.event_group.current_attempt) == ("RUNNING", "first", 1)
    assert event.failure.text == ("root (it broke)" if today else "it broke")
    assert event.role["access_level" if not today else "scopes"]
    assert found.interaction_states == (None if today else SEED["interaction_states"])
    assert [item.action_ref for item in found.interactions] == (["first"] if today else [])
    assert found.trigger_type == ("manual" if today else None)
