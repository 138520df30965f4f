"""A session as credential: begun once, renewed when it is over, shown to nobody."""

from __future__ import annotations

import asyncio
import logging
import re
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.emulator import Emulator, Fault, ManualClock
from airflow_provider.emulator.tracecat import Action, Workflow, Workspace
from airflow_provider.emulator.tracecat.system import Tracecat
from airflow_provider.execution.http.endpoint import Login
from airflow_provider.tracecat.api import requests
from airflow_provider.tracecat.hook import TracecatHook
from tests import virtual_clock
from tests.unit.servers import serving

REF = "wf_7wG6ZFwlUmPT8YtnWfZo1I/exec_50vreC4NIDSu5D4cA9FSqx"
PASSWORD = "p4ssword-canary"


def logins(emulator: Emulator) -> int:
    return len(emulator.ledger.select("POST", "/auth/login$"))


def cookies(emulator: Emulator) -> list[str | None]:
    return [entry.headers.get("cookie") for entry in emulator.ledger.entries if not entry.path.endswith("/auth/login")]


@pytest.fixture(params=["sync", "async"])
def reads(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Read several times with one sender."""

    def reads(hook: TracecatHook, *acts: Callable[[], Any]) -> None:
        if request.param == "sync":
            for act in acts:
                act()
                hook.list_recent_executions()
            return

        async def main() -> None:
            async with hook.asender():
                for act in acts:
                    act()
                    await hook.alist_recent_executions()

        virtual_clock.run(main())

    return reads


def nothing() -> None:
    pass


@pytest.mark.parametrize("name", ["fastapiusersauth", "tracecat_auth_0a1b2c3d", "x"])
def test_one_login_serves_all_requests(
    with_login: TracecatHook, emulator: Emulator, tracecat: Tracecat, reads: Callable[..., Any], name: str
) -> None:
    tracecat.cookie_name = name
    reads(with_login, nothing, nothing, nothing)
    assert logins(emulator) == 1
    sent = cookies(emulator)
    assert len(sent) == 3
    assert len(set(sent)) == 1
    assert re.fullmatch(rf"{name}=[\w-]+", sent[0] or "")
    assert not [entry for entry in emulator.ledger.entries if "authorization" in entry.headers]


def test_a_session_that_is_over_is_renewed_once(
    with_login: TracecatHook, emulator: Emulator, tracecat: Tracecat, reads: Callable[..., Any]
) -> None:
    reads(with_login, nothing, tracecat.sessions.end_all, nothing, tracecat.sessions.end_all)
    assert logins(emulator) == 3
    assert len(cookies(emulator)) == 6


def test_a_session_that_runs_out_is_renewed(
    with_login: TracecatHook, emulator: Emulator, clock: ManualClock, tracecat: Tracecat, reads: Callable[..., Any]
) -> None:
    reads(with_login, nothing, lambda: clock.advance(tracecat.session_seconds + 1))
    assert logins(emulator) == 2


def test_a_start_is_sent_again_after_a_new_login_and_starts_once(with_login: TracecatHook, tracecat: Tracecat) -> None:
    """A 403 did nothing, so this is no repeat of a start."""
    tracecat.add_workflow(Workflow("Scan", "scan"))
    workflow = with_login.get_workflow_id("scan")
    tracecat.sessions.end_all()
    with_login.run_workflow(workflow)
    assert len(tracecat.executions) == 1


@pytest.mark.parametrize("before", [False, True])
def test_a_scope_that_lacks_is_no_end_of_the_session(
    with_login: TracecatHook, emulator: Emulator, tracecat: Tracecat, before: bool
) -> None:
    if before:
        with_login.list_recent_executions()
    tracecat.user.scopes = ["workspace:read"]
    with pytest.raises(errors.Forbidden, match="workflow:read"):
        with_login.list_recent_executions()
    with pytest.raises(errors.Forbidden, match="workflow:read"):
        virtual_clock.run(with_login.alist_recent_executions())
    assert logins(emulator) == 2  # one for each sender


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_what_stays_forbidden_costs_one_new_login_at_most(with_login: TracecatHook, emulator: Emulator, kind: str) -> None:
    emulator.faults.add(Fault("status", status=403, body={"detail": "Forbidden"}, path="/workflow-executions$", times=None))
    with pytest.raises(errors.Forbidden, match="Forbidden"):
        with_login.list_recent_executions() if kind == "sync" else virtual_clock.run(with_login.alist_recent_executions())
    assert logins(emulator) == 1  # the session was new: another one would not help
    assert len(cookies(emulator)) == 1


def test_requests_at_once_share_one_login(with_login: TracecatHook, emulator: Emulator, tracecat: Tracecat) -> None:
    async def main() -> None:
        async with with_login.asender() as sender:
            await asyncio.gather(*(sender.run(requests.list_executions(tracecat.workspace, {})) for _ in range(12)))
            assert logins(emulator) == 1
            tracecat.sessions.end_all()
            await asyncio.gather(*(sender.run(requests.list_executions(tracecat.workspace, {})) for _ in range(12)))

    virtual_clock.run(main())
    assert logins(emulator) == 2


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("switched_off", [False, True])
def test_a_refused_login_is_said_without_the_password(
    tracecat: Tracecat, emulator: Emulator, connect: Callable[..., TracecatHook], kind: str, switched_off: bool
) -> None:
    tracecat.password_login = not switched_off
    extra = {"workspace_id": tracecat.workspace}
    with connect(host=tracecat.url, login="ada@example.com", password=PASSWORD, extra=extra) as hook:
        with pytest.raises(errors.StatusError) as raised:
            hook.list_recent_executions() if kind == "sync" else virtual_clock.run(hook.alist_recent_executions())
        assert isinstance(raised.value, errors.Unauthorized)
        assert "Check its login and password, and that the server allows logins by password" in str(raised.value)
        assert logins(emulator) == 1
        shown = "".join(traceback.format_exception(raised.value))
        assert "canary" not in shown
        assert hook.test_connection()[0] is False


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_neither_password_nor_cookie_show_anywhere(
    tracecat: Tracecat, emulator: Emulator, connect: Callable[..., TracecatHook], kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    tracecat.user.password = PASSWORD
    extra = {"workspace_id": tracecat.workspace}
    with caplog.at_level(logging.INFO), connect(host=tracecat.url, login="ada@example.com", password=PASSWORD, extra=extra) as hook:
        cookie = f"s={tracecat.sessions.begin(tracecat.user, 600)}"
        tracecat.sessions.begin = lambda *_: cookie.partition("=")[2]  # type: ignore[method-assign]
        hook.list_recent_executions()
        echo = {"detail": f"bad: {cookie} and {cookie.partition('=')[2]} and {PASSWORD}"}
        emulator.faults.add(Fault("status", status=400, body=echo, path="/workflow-executions$"))
        with pytest.raises(errors.StatusError) as raised:
            hook.list_recent_executions() if kind == "sync" else virtual_clock.run(hook.alist_recent_executions())
        text = "".join(traceback.format_exception(raised.value)) + repr(hook._endpoint) + str(hook.arguments()) + repr(hook)
        emulator.faults.add(Fault("status", status=500, body={"detail": f"no {PASSWORD} fits"}, path="/auth/login$", times=None))
        hook.close()
        with pytest.raises(errors.ServerError) as raised:
            hook.list_recent_executions()
        text += "".join(traceback.format_exception(raised.value)) + repr(raised.value.__dict__)
    text += "".join(record.getMessage() for record in caplog.records if "uvicorn" not in record.name)
    assert PASSWORD not in text
    assert cookie.partition("=")[2] not in text


def test_a_login_shows_no_form() -> None:
    assert "canary" not in repr(Login("/auth/login", (("password", PASSWORD),)))


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_the_cookie_goes_to_no_other_origin(with_login: TracecatHook, emulator: Emulator, kind: str) -> None:
    with serving(b"[]", {"Set-Cookie": "stranger=1; Path=/"}) as other:
        emulator.faults.add(Fault("redirect", location=f"{other.url}/x", path="/workflow-executions$"))
        if kind == "sync":
            with_login.list_recent_executions()
            with_login.list_recent_executions()
        else:
            virtual_clock.run(with_login.alist_recent_executions())
    [(_, _, headers)] = other.requests
    assert "cookie" not in headers
    assert "authorization" not in headers
    assert not [cookie for cookie in cookies(emulator) if "stranger" in str(cookie)]


def test_stored_results_are_fetched_without_the_cookie(
    with_login: TracecatHook, emulator: Emulator, clock: ManualClock, tracecat: Tracecat
) -> None:
    tracecat.inline_limit = 10
    long = {"text": "x" * 100}
    workflow = tracecat.add_workflow(Workflow("Long", "long", [Action("a", result=long)], returns="${{ ACTIONS.a.result }}"))
    execution = tracecat.add_execution(workflow)
    clock.advance(10)
    snapshot = with_login.run_flow(with_login.adapter().details(execution.ref))
    assert snapshot.outputs["text"].value == "x" * 100
    [fetched] = emulator.ledger.select(system="storage")
    assert "cookie" not in fetched.headers
    assert "authorization" not in fetched.headers


class Balanced:
    """A server behind a proxy that sets cookies of its own."""

    def __init__(self, set_cookies: list[str]) -> None:
        self.got: list[str | None] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length", 0)))
                self.send_response(204)
                for one in set_cookies:
                    self.send_header("Set-Cookie", one)
                self.end_headers()

            def do_GET(self) -> None:
                outer.got.append(self.headers.get("cookie"))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"[]")

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)


EXPIRES = "Expires=Thu, 29 Nov 2026 08:00:00 GMT"


@pytest.mark.parametrize(
    ("set_cookies", "sent"),
    [
        ([f"s=1; HttpOnly; {EXPIRES}; Path=/"], "s=1"),
        ([f"AWSALB=lb; {EXPIRES}; Path=/", "fastapiusersauth=t0; Max-Age=604800; Path=/"], "AWSALB=lb; fastapiusersauth=t0"),
        (["fastapiusersauth=t0; HttpOnly", f"AWSALB=lb; {EXPIRES}"], "fastapiusersauth=t0; AWSALB=lb"),
        (['old=""; Max-Age=0', "s=1"], "s=1"),
        (["gone=; Max-Age=0", "s=a=b=="], "s=a=b=="),
        ([], None), (["nothing"], None), (["=x"], None), (["s="], None), (["s=\x01"], None),
    ],
)  # fmt: skip
def test_every_cookie_of_the_login_is_sent_back(connect: Callable[..., TracecatHook], set_cookies: list[str], sent: str | None) -> None:
    """The session may be any of them: a proxy before the server may set one of its own."""
    balanced = Balanced(set_cookies)
    Thread(target=balanced.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        extra = {"workspace_id": Workspace("x").id}
        with connect(host=f"http://127.0.0.1:{balanced.server.server_address[1]}", login="a", password="b", extra=extra) as hook:
            if sent is None:
                with pytest.raises(errors.ProtocolError, match="without a session"):
                    hook.list_recent_executions()
            else:
                hook.list_recent_executions()
    finally:
        balanced.server.shutdown()
        balanced.server.server_close()
    assert balanced.got == ([] if sent is None else [sent])
