"""The hook over the emulator: connections in all their forms, twins, the connection test, errors' advice."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from airflow.sdk import Connection

from airflow_provider import errors
from airflow_provider.buddy.api import requests
from airflow_provider.buddy.api.error_texts import BuddyApiErrors
from airflow_provider.buddy.hook import REGIONS, BuddyHook
from airflow_provider.emulator import Emulator, Fault, ManualClock
from airflow_provider.emulator.buddy import Action, Gate, Pipeline, Variable
from tests import virtual_clock
from tests.unit.servers import free_port

CONN_ID = "buddy_default"


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Callable[..., BuddyHook]:
    """Set the connection as an environment variable, and give a hook for it."""

    def connect(*, workspace: str | None = None, project: str | None = None, **fields: Any) -> BuddyHook:
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps({"conn_type": "buddy", **fields}))
        return BuddyHook(workspace=workspace, project=project)

    return connect


@pytest.fixture
def hook(emulator: Emulator, connect: Callable[..., BuddyHook]) -> Iterator[BuddyHook]:
    with connect(**json.loads(emulator.buddy.connection_json())) as hook:
        yield hook


@pytest.fixture
def ended(emulator: Emulator, clock: ManualClock) -> str:
    """The ref of an ended execution."""
    build = Action("Build", log=[f"line {number}" for number in range(5)], outputs={"IMAGE": "shop:1"})
    pipeline = emulator.buddy.add_pipeline(Pipeline("release", actions=[build]))
    ref = str(emulator.buddy.add_execution(pipeline, started_by="Mike").ref)
    emulator.buddy.scopes = [*emulator.buddy.scopes, "VARIABLE_INFO"]
    emulator.buddy.add_variable(Variable("STAGE", "test"))
    clock.advance(100)
    return ref


# Twins


def _action_ref(hook: BuddyHook, ref: str) -> str:
    return f"{ref}/{hook.get_execution(ref).action_executions[0].id}"


CALLS: dict[str, Callable[[BuddyHook, str], tuple[Any, ...]]] = {
    "get_execution": lambda hook, ref: (ref,),
    "get_action_execution": lambda hook, ref: (_action_ref(hook, ref),),
    "list_log_lines": lambda hook, ref: (_action_ref(hook, ref), 1, 3),
    "list_executions": lambda hook, ref: ("release",),
    "get_pipeline": lambda hook, ref: ("release",),
    "get_pipeline_id": lambda hook, ref: ("release",),
    "list_workspaces": lambda hook, ref: (),
    "list_projects": lambda hook, ref: (),
    "list_pipelines": lambda hook, ref: (1,),
    "get_workspace": lambda hook, ref: ("demo",),
    "get_project": lambda hook, ref: (),
    "list_variables": lambda hook, ref: (),
    "get_variable": lambda hook, ref: (1,),
    "list_actions": lambda hook, ref: ("release",),
    "get_action": lambda hook, ref: ("release", "Build"),
    "get_token": lambda hook, ref: (),
    "get_user": lambda hook, ref: (),
}
WRONG: dict[str, tuple[str | None, type[errors.ExecutionApiError]]] = {
    "get_execution": ("demo/shop/1/999", errors.NotFound),
    "get_action_execution": ("demo/shop/1/999/x", errors.NotFound),
    "list_log_lines": ("demo/shop/1/999/x", errors.NotFound),
    "list_executions": ("999", errors.NotFound),
    "get_pipeline": ("999", errors.NotFound),
    "get_pipeline_id": ("nobody", errors.ConfigurationError),
    "get_workspace": ("nobody", errors.StatusError),
    "get_variable": ("999", errors.NotFound),
    "list_actions": ("999", errors.NotFound),
    "get_action": ("999", errors.NotFound),
    **dict.fromkeys(
        ["list_workspaces", "list_projects", "list_pipelines", "get_project", "list_variables", "get_token", "get_user"],
        (None, errors.Forbidden),
    ),
}


@pytest.mark.parametrize("name", list(CALLS))
def test_twins_give_the_same(hook: BuddyHook, ended: str, name: str) -> None:
    arguments = CALLS[name](hook, ended)
    one = getattr(hook, name)(*arguments)
    other = virtual_clock.run(getattr(hook, f"a{name}")(*arguments))
    assert one == other
    assert one


def test_every_async_twin_is_tested_and_has_the_same_parameters() -> None:
    twins = {name[1:] for name, _ in inspect.getmembers(BuddyHook, inspect.iscoroutinefunction) if name.startswith(("aget_", "alist_"))}
    assert {name for name in twins if name in vars(BuddyHook)} == set(CALLS)
    for name in CALLS:
        assert inspect.signature(getattr(BuddyHook, name)) == inspect.signature(getattr(BuddyHook, f"a{name}"))


@pytest.mark.parametrize("name", list(CALLS))
def test_twins_raise_the_same(hook: BuddyHook, emulator: Emulator, ended: str, name: str) -> None:
    argument, kind = WRONG[name]
    arguments: tuple[Any, ...] = () if argument is None else (argument, 1) if name == "get_action" else (argument,)
    if argument is None:
        emulator.faults.add(Fault("status", status=403, times=None))
    with pytest.raises(kind) as one:
        getattr(hook, name)(*arguments)
    with pytest.raises(kind) as other:
        virtual_clock.run(getattr(hook, f"a{name}")(*arguments))
    assert str(one.value) == str(other.value)
    assert one.value.ref == other.value.ref


def test_what_the_hook_reads(hook: BuddyHook, ended: str) -> None:
    execution = hook.get_execution(ended)
    assert (execution.status, execution.creator and execution.creator.name) == ("SUCCESSFUL", "Mike")
    action = hook.get_action_execution(_action_ref(hook, ended))
    assert [(variable.key, variable.value) for variable in action.outputted_variables] == [("IMAGE", "shop:1")]
    assert hook.list_log_lines(_action_ref(hook, ended), offset=1, limit=2) == ["line 1", "line 2"]
    assert [execution.id for execution in hook.list_executions("release")] == [1]
    assert hook.get_pipeline_id("release") == 1


def test_logs_of_older_installations(hook: BuddyHook, emulator: Emulator, ended: str) -> None:
    emulator.buddy.has_logs_route = False
    assert hook.list_log_lines(_action_ref(hook, ended), offset=3) == ["line 3", "line 4"]


@pytest.mark.parametrize("name", ["get_action_execution", "list_log_lines"])
def test_a_ref_without_action_execution_is_refused_where_one_is_needed(hook: BuddyHook, emulator: Emulator, name: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="names no action execution"):
        getattr(hook, name)("demo/shop/1/1")
    assert emulator.ledger.entries == []


def test_cancelling(hook: BuddyHook, emulator: Emulator) -> None:
    pipeline = emulator.buddy.add_pipeline(Pipeline("release", actions=[Action("Build", seconds=600)]))
    hook.cancel_execution(str(emulator.buddy.add_execution(pipeline).ref))
    assert emulator.buddy.executions[0].status == "TERMINATED"
    with pytest.raises(errors.ConfigurationError):
        hook.cancel_execution("4098")


def test_the_connection_is_an_open_sender(hook: BuddyHook, ended: str) -> None:
    assert hook.get_conn().run(requests.get_execution(ended)) == hook.get_execution(ended)
    assert hook.get_conn() is hook.get_conn()
    assert getattr(hook, BuddyHook.conn_name_attr) == CONN_ID


def test_a_closed_hook_can_be_used_again(hook: BuddyHook, ended: str) -> None:
    first = hook.get_execution(ended)
    hook.close()
    assert hook.get_execution(ended) == first


def test_a_hook_is_rebuilt_from_its_arguments_without_secrets(connect: Callable[..., BuddyHook]) -> None:
    hook = connect(password="t0ken-canary", workspace="w", project="p")
    assert BuddyHook(**json.loads(json.dumps(hook.arguments()))).arguments() == hook.arguments()
    assert "canary" not in str(hook.arguments())
    assert "canary" not in str(vars(hook))
    hook.open()
    assert "canary" not in str(vars(hook))
    hook.close()


# Connection forms


def endpoint(hook: BuddyHook) -> Any:
    with hook:
        hook.open()
    return hook._endpoint


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "https://buddy.example/api"}, "https://buddy.example/api"),
        ({"host": "https://buddy.example/api/"}, "https://buddy.example/api"),
        ({"host": "buddy.example"}, "https://buddy.example"),
        ({"host": "buddy.example", "schema": "http", "port": 8080}, "http://buddy.example:8080"),
        ({"host": "buddy.example", "schema": "HTTP"}, "http://buddy.example"),
        ({"host": "buddy.example", "schema": "Https "}, "https://buddy.example"),
        ({"host": "buddy.example/api", "schema": "https"}, "https://buddy.example/api"),
        ({}, REGIONS["us"]),
        ({"host": ""}, REGIONS["us"]),
        ({"extra": {"region": "us"}}, "https://api.buddy.works"),
        ({"extra": {"region": "EU"}}, "https://api.eu.buddy.works"),
        ({"extra": {"region": None}}, "https://api.buddy.works"),
        ({"host": "https://buddy.example", "extra": {"region": "eu"}}, "https://buddy.example"),
    ],
    ids=str,
)
def test_where_a_connection_leads(connect: Callable[..., BuddyHook], fields: dict[str, Any], url: str) -> None:
    assert endpoint(connect(**{"password": "t", **fields})).base_url == url


@pytest.mark.parametrize("uri", [
    "buddy://:t0ken@buddy.example/https?workspace=w&project=p",
    "buddy://:t0ken@/?__extra__=%7B%22workspace%22%3A%20%22w%22%2C%20%22project%22%3A%20%22p%22%2C%20%22region%22%3A%20%22eu%22%7D",
])  # fmt: skip
def test_a_connection_may_be_a_uri(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_BUDDY_DEFAULT", uri)
    hook = BuddyHook()
    with hook:
        assert hook.namespace() == ("w", "p")
    found = endpoint(hook)
    assert found.base_url in ("https://buddy.example", REGIONS["eu"])
    assert dict(found.headers) == {"authorization": "Bearer t0ken"}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"host": "https://x"}, "no token"),
        ({"host": "https://x", "password": ""}, "no token"),
        ({"host": "https://x", "password": "  "}, "no token"),
        ({"host": "https://x", "password": "two words"}, "spaces or control characters"),
        ({"host": "https://x", "password": "t\nX-Injected: 1"}, "spaces or control characters"),
        ({"host": "https://x", "password": "żeton"}, "spaces or control characters"),
        ({"password": "t", "extra": {"region": "mars"}}, "region must be one of us, eu, asia, not 'mars'"),
        ({"password": "t", "host": "ftp://x"}, "not an http"),
        ({"password": "t", "host": "https://user:t0ken-canary@x"}, "token in the password field"),
        ({"password": "t", "extra": {"request_timeout": "soon"}}, "'request_timeout' must be a number above 0"),
        ({"password": "t", "extra": {"request_timeout": 0}}, "'request_timeout' must be a number above 0"),
        ({"password": "t", "extra": {"request_timeout": -1}}, "'request_timeout' must be a number above 0"),
        ({"password": "t", "extra": {"request_timeout": "nan"}}, "'request_timeout' must be a number above 0"),
        ({"password": "t", "extra": {"request_timeout": "inf"}}, "'request_timeout' must be a number above 0"),
        ({"password": "t", "extra": {"max_concurrent_requests": 0}}, "'max_concurrent_requests' must be"),
        ({"password": "t", "extra": {"max_concurrent_requests": 0.5}}, "'max_concurrent_requests' must be"),
        (
            {"password": "t", "extra": {"ca_bundle": "/no/such/file.pem"}},
            f"{CONN_ID!r}: extra 'ca_bundle' ('/no/such/file.pem') can't",
        ),
    ],
    ids=str,
)
def test_a_connection_that_can_not_be_used_says_why(connect: Callable[..., BuddyHook], fields: dict[str, Any], says: str) -> None:
    hook = connect(**fields)
    with pytest.raises(errors.ConfigurationError) as raised:
        hook.open()
    assert says in str(raised.value)
    assert "canary" not in str(raised.value)
    assert "Injected" not in str(raised.value)
    assert "żeton" not in str(raised.value)


def test_settings_of_the_connection_reach_the_endpoint(connect: Callable[..., BuddyHook]) -> None:
    plain = endpoint(connect(password="t"))
    assert (plain.system, plain.title, plain.conn_id) == ("buddy", "Buddy", CONN_ID)
    assert (plain.timeout, plain.max_in_flight, plain.verify) == (30.0, 8, True)
    assert endpoint(connect(password="t", extra={"request_timeout": "5.5", "max_concurrent_requests": "3"})) != plain
    filled = endpoint(connect(password="t", extra={"request_timeout": "5.5", "max_concurrent_requests": "3", "ca_bundle": ""}))
    assert (filled.timeout, filled.max_in_flight, filled.verify) == (5.5, 3, True)


@pytest.mark.parametrize("value", [False, "false", "False", "0"])
def test_switching_tls_verification_off_is_warned_of(connect: Callable[..., BuddyHook], value: Any) -> None:
    hook = connect(password="t", extra={"verify_tls": value})
    with pytest.warns(UserWarning, match="switches TLS verification off"):
        assert endpoint(hook).verify is False


@pytest.mark.parametrize("value", [True, "true", None, ""])
def test_tls_is_verified_otherwise(connect: Callable[..., BuddyHook], value: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert endpoint(connect(password="t", extra={"verify_tls": value})).verify is True


@pytest.mark.parametrize(
    ("hooks", "extra", "place"),
    [
        ({}, {"workspace": "w", "project": "p"}, ("w", "p")),
        ({"workspace": "a"}, {"workspace": "w", "project": "p"}, ("a", "p")),
        ({"workspace": "a", "project": "b"}, {}, ("a", "b")),
        ({"project": "b"}, {"workspace": "w"}, ("w", "b")),
    ],
)
def test_workspace_and_project_are_the_hooks_or_else_the_connections(
    connect: Callable[..., BuddyHook], hooks: dict[str, str], extra: dict[str, str], place: tuple[str, str]
) -> None:
    with connect(password="t", extra=extra, **hooks) as hook:
        assert hook.namespace() == place


@pytest.mark.parametrize(
    ("extra", "missing"),
    [({}, "workspace"), ({"project": "p"}, "workspace"), ({"workspace": "w"}, "project"), ({"workspace": "", "project": "p"}, "workspace")],
)
def test_a_missing_place_is_said(connect: Callable[..., BuddyHook], extra: dict[str, str], missing: str) -> None:
    with connect(password="t", extra=extra) as hook, pytest.raises(errors.ConfigurationError, match=f"no {missing} is given.*'{CONN_ID}'"):
        hook.namespace()


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_missing_connection_is_said_and_may_be_retried(asynchronous: bool) -> None:
    """Airflow says the same while its API server is away."""
    hook = BuddyHook("no_such_connection")

    def read() -> Any:
        return virtual_clock.run(hook.aget_execution("a/b/1/2")) if asynchronous else hook.get_execution("a/b/1/2")

    with pytest.raises(errors.ConnectionMissing, match=r"no connection 'no_such_connection'\. Create it, with type 'buddy'"):
        read()


def test_the_token_goes_to_airflows_masker(connect: Callable[..., BuddyHook]) -> None:
    from airflow.sdk.log import redact

    with connect(password="m4sked-canary-only-here", extra={"workspace": "w", "project": "p"}) as hook:
        hook.open()
    assert "canary" not in str(redact("Bearer m4sked-canary-only-here"))


# The connection test


def test_a_good_connection(hook: BuddyHook, emulator: Emulator) -> None:
    good, text = hook.test_connection()
    assert good
    assert emulator.buddy.url in text
    assert "'Emulator'" in text
    assert "scopes: WORKSPACE, EXECUTION_INFO, EXECUTION_RUN, USER_INFO" in text
    assert emulator.buddy.token not in text


def test_an_expiring_token_says_when(hook: BuddyHook, emulator: Emulator) -> None:
    body = {"id": "1", "name": "ci", "expires_at": "2026-12-31T10:00:00Z", "scopes": ["EXECUTION_RUN"]}
    emulator.faults.add(Fault("body", body=body))
    assert hook.test_connection() == (
        True,
        f"Connected to {emulator.buddy.url} with token 'ci', valid until 2026-12-31 10:00 UTC; scopes: EXECUTION_RUN.",
    )


@pytest.mark.parametrize("kind", ["workspace", "project"])
@pytest.mark.parametrize("value", [["x"], "a/b", "..", ".", True, {"a": 1}, 1.5, "https://app.buddy.works/x"], ids=str)
def test_a_place_that_is_no_handle_is_named(connect: Callable[..., BuddyHook], emulator: Emulator, kind: str, value: object) -> None:
    hook = connect(host=emulator.buddy.url, password=emulator.buddy.token, extra={"workspace": "w", "project": "p", kind: value})
    good, text = hook.test_connection()
    assert not good
    assert f"{kind} {value!r} is no handle" in text
    with hook, pytest.raises(errors.ConfigurationError, match="is no handle"):
        hook.namespace()


def test_a_connection_without_a_place_is_good(connect: Callable[..., BuddyHook], emulator: Emulator) -> None:
    assert connect(host=emulator.buddy.url, password=emulator.buddy.token, extra={"workspace": "", "project": None}).test_connection()[0]


def test_a_wrong_token(emulator: Emulator, connect: Callable[..., BuddyHook]) -> None:
    good, text = connect(host=emulator.buddy.url, password="wr0ng-canary").test_connection()
    assert not good
    assert "401" in text
    assert "Check the token in the connection's password field." in text
    assert "canary" not in text


def test_an_older_installation_proves_the_token_by_its_user(hook: BuddyHook, emulator: Emulator) -> None:
    emulator.faults.add(Fault("status", status=404, path=r"/user/token$"))
    good, text = hook.test_connection()
    assert good
    assert "as Airflow" in text
    assert "does not tell the token's scopes" in text


def test_no_connection() -> None:
    good, text = BuddyHook("no_such_connection").test_connection()
    assert not good
    assert "no_such_connection" in text


def test_a_host_that_does_not_answer(connect: Callable[..., BuddyHook]) -> None:
    good, text = connect(host=f"http://127.0.0.1:{free_port()}", password="t").test_connection()
    assert not good
    assert "Check that the API can be reached from here" in text


@pytest.mark.parametrize("fault", [
    Fault("html"), Fault("empty"), Fault("body", body={}), Fault("body", body={"status": "ok"}), Fault("body", body=[]),
    Fault("body", body=None),
    Fault("body", body={"errors": [{"message": "API is disabled"}]}), Fault("redirect", location="https://login.invalid/", status=307),
    Fault("status", status=500), Fault("status", status=403),
], ids=str)  # fmt: skip
def test_a_host_that_is_not_buddys_api(hook: BuddyHook, emulator: Emulator, fault: Fault) -> None:
    if fault.kind == "redirect":
        fault = Fault("redirect", location=f"http://127.0.0.1:{free_port()}/login")
    emulator.faults.add(Fault(fault.kind, times=None, **fault.parameters))
    good, text = hook.test_connection()
    assert not good
    assert "\n" not in text


def test_the_web_address_in_place_of_the_apis(emulator: Emulator, connect: Callable[..., BuddyHook]) -> None:
    good, text = connect(host=emulator.url, password=emulator.buddy.token).test_connection()
    assert not good
    assert "404" in text


# Errors


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"errors": [{"message": "one"}, {"message": "two"}, {"code": 5}, "x", {"message": null}]}', "one; two"),
        (b'{"errors": [{"message": {"a": 1}}]}', "{'a': 1}"),
        (b'{"errors": []}', None),
        (b'{"errors": "x"}', None),
        (b'{"errors": null, "error": "oauth"}', "oauth"),
        (b'{"error": "invalid_grant"}', "invalid_grant"),
        (b'{"error": {"a": 1}}', None),
        (b"[]", None),
        (b"5", None),
        (b"null", None),
        (b"", None),
        (b"<html>", None),
        (b"\xff\xfe", None),
    ],
)
def test_how_buddy_words_its_errors(body: bytes, text: str | None) -> None:
    assert BuddyApiErrors().error_text(body) == text


def test_a_refusal_names_the_scopes_there_are_and_those_needed(hook: BuddyHook, emulator: Emulator, ended: str) -> None:
    emulator.buddy.scopes = ["WORKSPACE"]
    with pytest.raises(errors.Forbidden) as raised:
        hook.get_execution(ended)
    assert "The token has the scopes WORKSPACE; this route takes EXECUTION_INFO." in str(raised.value)
    assert raised.value.ref == ended


def test_a_refusal_without_scope_headers_has_the_general_advice(hook: BuddyHook, emulator: Emulator, ended: str) -> None:
    emulator.faults.add(Fault("status", status=403))
    with pytest.raises(errors.Forbidden, match="Give the credential the permission"):
        hook.get_execution(ended)


def test_connections_are_those_of_the_sdk(connect: Callable[..., BuddyHook]) -> None:
    with connect(password="t") as hook:
        assert isinstance(hook.get_connection(CONN_ID), Connection)


# Acts


@pytest.fixture(params=["sync", "async"])
def call(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Call a method or its async twin; of an iterator, collect its items."""

    def call(hook: BuddyHook, name: str, *arguments: Any, **named: Any) -> Any:
        if request.param == "sync":
            answer = getattr(hook, name)(*arguments, **named)
            return list(answer) if name.startswith("iter_") else answer

        async def collect() -> list[Any]:
            return [item async for item in getattr(hook, f"a{name}")(*arguments, **named)]

        return virtual_clock.run(collect() if name.startswith("iter_") else getattr(hook, f"a{name}")(*arguments, **named))

    return call


ACTS = ["run_pipeline", "cancel_execution", "retry_execution", "approve_execution"]


@pytest.mark.parametrize("name", [*ACTS, "iter_projects", "iter_pipelines", "iter_executions", "iter_log_lines"])
def test_acts_and_iterators_have_twins_with_the_same_parameters(name: str) -> None:
    one, other = inspect.signature(getattr(BuddyHook, name)), inspect.signature(getattr(BuddyHook, f"a{name}"))
    assert one.parameters == other.parameters


def test_running_a_pipeline(hook: BuddyHook, emulator: Emulator, call: Callable[..., Any]) -> None:
    emulator.buddy.add_pipeline(Pipeline("release", actions=[Action("Build")]))
    body = {"to_revision": {"revision": "HEAD"}, "branch": {"name": "main"}, "comment": "by hook"}
    assert call(hook, "run_pipeline", "release", branch="main", comment="by hook").id == 1
    [entry] = emulator.ledger.select("POST")
    assert entry.json == body


def test_running_a_pipeline_with_all_there_is(hook: BuddyHook, emulator: Emulator, call: Callable[..., Any]) -> None:
    emulator.buddy.add_pipeline(Pipeline("release", actions=[Action("Build", id=7), Action("Test")]))
    named = {
        "tag": "v1", "revision": "506e22f", "variables": {"A": 1, "B": True}, "secret_variables": {"C": "s"}, "priority": "HIGH",
        "refresh": True, "clear_cache": True, "delay_until": "2026-12-01T10:00:00+01:00", "actions_to_run": ["Build"],
    }  # fmt: skip
    call(hook, "run_pipeline", "release", **named)
    [entry] = emulator.ledger.select("POST")
    variables = [{"key": "A", "value": "1"}, {"key": "B", "value": "true"}, {"key": "C", "value": "s", "encrypted": True}]
    assert entry.json == {
        "tag": {"name": "v1"}, "to_revision": {"revision": "506e22f"}, "variables": variables, "priority": "HIGH", "refresh": True,
        "clear_cache": True, "delay_until": "2026-12-01T09:00:00.000Z", "actions_to_run": [7],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("named", "says"),
    [({"branch": "a", "tag": "b"}, "only one of branch, tag and pull_request"), ({"variables": [1]}, "variables must be a dict"),
     ({"priority": "SOON"}, "priority must be"), ({"actions_to_run": "Build"}, "must be a list of ids and names")],
)  # fmt: skip
def test_a_run_that_buddy_would_refuse_is_not_asked_for(
    hook: BuddyHook, emulator: Emulator, call: Callable[..., Any], named: dict[str, Any], says: str
) -> None:
    with pytest.raises(errors.ConfigurationError, match=says):
        call(hook, "run_pipeline", "release", **named)
    assert emulator.ledger.entries == []


@pytest.mark.parametrize("name", ["run_pipeline", "retry_execution", "approve_execution"])
def test_acts_are_sent_once_even_if_they_fail(hook: BuddyHook, emulator: Emulator, ended: str, call: Callable[..., Any], name: str) -> None:
    emulator.faults.add(Fault("status", status=503, method="POST" if name == "run_pipeline" else "PATCH", times=None))
    with pytest.raises(errors.ServerError):
        call(hook, name, 1 if name == "run_pipeline" else ended)
    assert len(emulator.ledger.select("POST")) + len(emulator.ledger.select("PATCH")) == 1


@pytest.mark.parametrize("keeps", [True, False])
def test_retrying(hook: BuddyHook, emulator: Emulator, clock: ManualClock, call: Callable[..., Any], keeps: bool) -> None:
    emulator.buddy.retry_keeps_id = keeps
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", status=["FAILED", "SUCCESSFUL"])]))
    ref = str(emulator.buddy.add_execution(pipeline).ref)
    clock.advance(10)
    assert call(hook, "retry_execution", ref).id == (1 if keeps else 2)
    assert [entry.json for entry in emulator.ledger.select("PATCH")] == [{"operation": "RETRY"}]


def test_approving_says_what_and_with_which_values(
    hook: BuddyHook, emulator: Emulator, clock: ManualClock, call: Callable[..., Any]
) -> None:
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Gate("Ask", action_execution_id="gate")]))
    ref = str(emulator.buddy.add_execution(pipeline).ref)
    clock.advance(1)
    call(hook, "approve_execution", ref, "APPLY", variables={"A": 1}, approve_action_id="gate")
    assert [entry.json for entry in emulator.ledger.select("PATCH")] == [
        {"operation": "APPLY", "variables": [{"key": "A", "value": "1"}], "approve_action_id": "gate"}
    ]


def test_cancelling_by_either_twin(hook: BuddyHook, emulator: Emulator, call: Callable[..., Any]) -> None:
    pipeline = emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("Build", seconds=600)]))
    call(hook, "cancel_execution", str(emulator.buddy.add_execution(pipeline).ref))
    assert emulator.buddy.executions[0].status == "TERMINATED"


# Iterators


KEYS = {"iter_projects": ("projects", "name"), "iter_pipelines": ("pipelines", "id"), "iter_executions": ("executions", "id")}


class Pages:
    """A list whose items move while it is read, at an address of its own. Newest first."""

    def __init__(self, name: str, count: int) -> None:
        self.field, self.key = KEYS[name]
        self.count = self.asked = 0
        self.add(count)
        self.grow, self.ignores_page, self.fails_at, self.counters = 0, False, 0, False

    def add(self, count: int) -> None:
        self.count += count

    def answer(self, path: str) -> tuple[int, Any]:
        query = {name: int(values[0]) for name, values in parse_qs(urlsplit(path).query).items()}
        page, size = query["page"], query["per_page"]
        self.asked += 1
        if page == self.fails_at:
            return 400, {"errors": [{"message": "no"}]}
        start = 0 if self.ignores_page else (page - 1) * size
        newest_first = range(self.count, 0, -1)
        items = [{self.key: number if self.key == "id" else f"p{number}", "status": "FAILED"} for number in newest_first]
        body: dict[str, Any] = {self.field: items if self.ignores_page else items[start : start + size]}
        if self.counters:
            body["total_page_count"] = -(-self.count // size)
        self.add(self.grow)
        return 200, body


@pytest.fixture
def pages(connect: Callable[..., BuddyHook]) -> Iterator[Callable[..., tuple[BuddyHook, Pages]]]:
    with ExitStack() as stack:

        def pages(name: str, count: int) -> tuple[BuddyHook, Pages]:
            listed = Pages(name, count)

            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    status, body = listed.answer(self.path)
                    text = json.dumps(body).encode()
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)

                def log_message(self, *arguments: Any) -> None:
                    pass

            server = stack.enter_context(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
            stack.callback(server.shutdown)
            address = f"http://127.0.0.1:{server.server_address[1]}"
            hook = connect(host=address, password="t", extra={"workspace": "w", "project": "p"})
            return stack.enter_context(hook), listed

        yield pages


def iterate(call: Callable[..., Any], hook: BuddyHook, name: str) -> list[int]:
    items = call(hook, name, *(["1"] if name == "iter_executions" else []))
    return [int(str(getattr(item, KEYS[name][1])).removeprefix("p")) for item in items]


@pytest.mark.parametrize("name", list(KEYS))
@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 130])
@pytest.mark.parametrize("ignores", [False, True])
def test_a_list_of_any_length(pages: Any, call: Callable[..., Any], name: str, count: int, ignores: bool) -> None:
    hook, listed = pages(name, count)
    listed.ignores_page = ignores
    assert iterate(call, hook, name) == list(range(count, 0, -1))
    assert listed.asked <= count // 50 + 3


@pytest.mark.parametrize("name", list(KEYS))
@pytest.mark.parametrize("grow", [1, 7, 49, 50, 51, 75])
def test_items_that_move_while_they_are_read(pages: Any, call: Callable[..., Any], name: str, grow: int) -> None:
    """None of those that were there is lost, and none comes twice, even if more than a page comes in between."""
    hook, listed = pages(name, 130)

    def slower(path: str, answer: Any = listed.answer) -> Any:
        listed.grow = grow if listed.asked < 1 else 0
        return answer(path)

    listed.answer = slower
    found = iterate(call, hook, name)
    assert len(found) == len(set(found))
    assert [number for number in found if number <= 130] == list(range(130, 0, -1))


def test_counters_spare_the_last_request(pages: Any, call: Callable[..., Any]) -> None:
    hook, listed = pages("iter_executions", 100)
    listed.counters = True
    assert len(iterate(call, hook, "iter_executions")) == 100
    assert listed.asked == 2


@pytest.mark.parametrize("name", list(KEYS))
def test_a_page_is_asked_for_when_it_is_needed(pages: Any, name: str) -> None:
    hook, listed = pages(name, 130)
    items = getattr(hook, name)(*(["1"] if name == "iter_executions" else []))
    assert listed.asked == 0
    for number in range(1, 102):
        next(items)
        assert listed.asked == 1 + (number - 1) // 50
    items.close()
    assert listed.asked == 3


@pytest.mark.parametrize("name", list(KEYS))
def test_an_error_in_the_middle_comes_behind_the_items_before_it(pages: Any, name: str) -> None:
    hook, listed = pages(name, 130)
    listed.fails_at = 2
    items = getattr(hook, name)(*(["1"] if name == "iter_executions" else []))
    assert len([next(items) for _ in range(50)]) == 50
    with pytest.raises(errors.StatusError):
        next(items)


def test_all_lines_of_a_log(hook: BuddyHook, emulator: Emulator, clock: ManualClock, call: Callable[..., Any]) -> None:
    build = Action("Build", log=["line $LINE"], lines=2_500, action_execution_id="given")
    ref = str(emulator.buddy.add_execution(emulator.buddy.add_pipeline(Pipeline("p", actions=[build]))).ref)
    clock.advance(10)
    assert call(hook, "iter_log_lines", f"{ref}/given") == [f"line {number}" for number in range(2_500)]
    assert call(hook, "iter_log_lines", f"{ref}/given", 2_498) == ["line 2498", "line 2499"]
    emulator.buddy.has_logs_route, emulator.buddy.log_url_above = False, 0
    assert call(hook, "iter_log_lines", f"{ref}/given", 2_498) == ["line 2498", "line 2499"]
