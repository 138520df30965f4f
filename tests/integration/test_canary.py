"""
Canaries: credentials and secret values go through every path, in every mode, with debug logging on. Afterwards all that the tasks left
is searched: logs, XComs, notes, trigger arguments, events, rendered fields, exceptions. The controls show that the search would find them.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Pipeline
from airflow_provider.execution.http import http_logs
from airflow_provider.execution.results import known_secrets, passwords, redaction
from tests.harness import Ended, TaskRun
from tests.integration.conftest import ALL_MODES, Bench
from tests.integration.systems import SYSTEMS, Adapter, TracecatSystem
from tests.integration.test_kill import looked_at
from tests.integration.test_start_once import crash_at, crashed_try
from tests.unit.senders import send_over

GITHUB = "ghp_" + "canary" * 6
JWT = "eyJhbGciOiJub25lIn0.eyJ3aG8iOiJib2IifQ.canaryCanary"
PEM = "-----BEGIN PRIVATE KEY-----\ncanaryCanary\ncanaryAgain1\n-----END PRIVATE KEY-----"
OUTPUTS = {"DEPLOY_TOKEN": "canary-by-name-4711", "KEY": PEM, "SESSION": JWT, "GH": GITHUB, "IMAGE": "shop:1"}
NESTED = {
    "NESTED": {"list": [{"password": "canary-nested-4711"}]},
    "DEEP": {"text": f"use {GITHUB}"},
    "API_KEY": {"id": "canary-below-4711"},
}
LINES = [f"using {GITHUB}", f"session {JWT}.", PEM.replace("\n", "\\n"), *PEM.split("\n")]
HOSTILE = [f"it failed with {GITHUB}", "", f"key {PEM}", f"bad session {JWT}", f"and {GITHUB}"]
KINDS = ("failed", "partial", "timed_out", "skipped", "not_executed", "unknown", "gate", "gate_approved", "lagging")
"""Scenarios without secrets of their own: only the credential could get out."""


class LoginSystem(TracecatSystem):
    """Tracecat, by a login: its password, and the cookie of the session, are secrets."""

    credential = "canary-password-4711"

    @property
    def connections(self) -> dict[str, dict[str, Any]]:
        fields = json.loads(self.tracecat.connection_json("login"))
        return {self.conn_id: {**fields, "extra": json.dumps(fields["extra"])}}

    def use_credential(self) -> None:
        self.tracecat.user.password = self.credential

        def begin(user: Any, seconds: float, begin: Any = self.tracecat.sessions.begin) -> str:
            sessions = self.tracecat.sessions._open
            sessions["canary-cookie"] = sessions.pop(begin(user, seconds))
            return "canary-cookie"

        self.tracecat.sessions.begin = begin  # type: ignore[method-assign]


class Hunt:
    """Runs tasks of one bench, keeps what they leave, and looks for canaries in it."""

    def __init__(self, bench: Bench, records: pytest.LogCaptureFixture) -> None:
        self.bench = bench
        self.system = bench.system
        self.system.use_credential()
        self.records = records
        self.left: list[tuple[str, str]] = []
        self.tasks: list[tuple[str, TaskRun]] = []

    def task(self, what: str, kind: str, **arguments: Any) -> TaskRun:
        interval = {"poke_interval" if self.bench.sensor else "poll_interval": 0.5}
        task = self.bench.task(kind, **{**interval, **arguments})
        self.tasks.append((what, task))

        def deferred(message: Any) -> None:
            self.keep(f"{what}: trigger's arguments", message.trigger_kwargs)
            self.keep(f"{what}: arguments for the resumption", message.next_kwargs)

        task.on_defer = deferred
        task.after_trigger = lambda event: self.keep(f"{what}: event", event)
        return task

    def run(self, what: str, kind: str = "", **arguments: Any) -> Ended:
        return self.ended(what, self.task(what, kind, **arguments).run())

    def ended(self, what: str, ended: Ended) -> Ended:
        self.keep(f"{what}: log", ended.logs)
        self.keep(f"{what}: XComs", ended.xcoms)
        if ended.error is not None:
            self.keep(f"{what}: exception", "".join(traceback.format_exception(ended.error)))
            self.keep(f"{what}: its fields", vars(ended.error))
        return ended

    def keep(self, place: str, value: Any) -> None:
        self.left.append((place, str(value)))

    def found(self) -> list[str]:
        """Where canaries are."""
        for what, task in self.tasks:
            self.keep(f"{what}: task state store", task.api.store)
            self.keep(f"{what}: XCom rows", task.api.xcoms)
            for method, path, body in task.api.calls:
                self.keep(f"{what}: {method} {path}", body)
        ours = [record for record in self.records.records if not record.name.startswith("uvicorn")]  # that is the emulator
        self.keep("logging", "\n".join(f"{record.name}: {record.getMessage()} {record.exc_text or ''}" for record in ours))
        # Debug logging was on; aiohttp has none.
        assert any(record.name.startswith(("httpcore", "asyncio")) and record.levelno == logging.DEBUG for record in self.records.records)
        return [
            f"{place}: ...{text[max(hit.start() - 60, 0) : hit.end() + 20]!r}"
            for place, text in self.left
            for hit in re.finditer("canary", text, re.IGNORECASE)
        ]


ADAPTERS: dict[str, type[Adapter]] = {**SYSTEMS, "tracecat login": LoginSystem}


@pytest.fixture(params=list(ADAPTERS))
def system(request: pytest.FixtureRequest, emulator: Emulator) -> Adapter:
    return ADAPTERS[request.param](emulator)


@pytest.fixture
def hunt(bench: Bench, caplog: pytest.LogCaptureFixture) -> Iterator[Hunt]:
    with caplog.at_level(logging.DEBUG):
        yield Hunt(bench, caplog)


@pytest.fixture
def operator_hunt(operator_bench: Bench, caplog: pytest.LogCaptureFixture) -> Iterator[Hunt]:
    with caplog.at_level(logging.DEBUG):
        yield Hunt(operator_bench, caplog)


def secret_argument(hunt: Hunt) -> dict[str, Any]:
    """Arguments of an operator with a canary among them, where the system has such."""
    if hunt.bench.sensor or "secret arguments" in hunt.system.lacks:
        return {}
    return hunt.system.secret_argument("canary-argument-4711")


def outputs_script(hunt: Hunt) -> Any:
    system = hunt.system
    if system.name == "buddy":  # its values are texts; it flags some
        action = Action("Build", seconds=0.1, outputs={**OUTPUTS, "FLAGGED": "canary"}, encrypted_outputs=["FLAGGED"], log=LINES)
        return system.emulator.buddy.add_pipeline(Pipeline("p", actions=[action]))
    return system.script("outputs", seconds=0.1, outputs={**OUTPUTS, **NESTED}, lines=LINES)


def test_secret_outputs(hunt: Hunt) -> None:
    ended = hunt.run("success", script=outputs_script(hunt), push_outputs=["IMAGE", "*"], **secret_argument(hunt))
    assert ended.state == "success", ended.text
    assert ended.xcoms["IMAGE"] == "shop:1"
    omitted = set(ended.result["outputs_omitted"])
    assert omitted >= set(OUTPUTS) - {"IMAGE"} | ({"FLAGGED"} if hunt.system.name == "buddy" else set(NESTED))
    ended = hunt.run("missing output", script=outputs_script(hunt), push_outputs=["GH"], **secret_argument(hunt))
    assert "secret" in str(ended.error)
    assert hunt.found() == []


def test_failures(hunt: Hunt) -> None:
    hunt.run("failure", script=hunt.system.script("hostile", texts=HOSTILE), **secret_argument(hunt))
    for kind in KINDS:
        if kind not in hunt.system.lacks:
            hunt.run(kind, kind, timeout=1.0, **({"on_waiting": "fail"} if kind == "gate" else {}))
    assert hunt.found() == []


@pytest.mark.long
def test_acts(operator_hunt: Hunt) -> None:
    """Cancel, retry, clear, timeout, a lost start, a resumption."""
    hunt, system = operator_hunt, operator_hunt.system
    secret = secret_argument(hunt)
    ended = hunt.run("timeout", "slow", timeout=0.3, **secret)
    assert "timeout passed" in str(ended.error)
    system.emulator.ledger.clear()
    task = hunt.task("killed", "slow", **secret)
    if hunt.bench.deferrable:
        task.on_defer = lambda message: (_ for _ in ()).throw(StopIteration)
        with pytest.raises((StopIteration, RuntimeError)):
            task.run()
        hunt.keep("killed: trigger's log", task.kill_trigger(looked_at(system), "failed", linger=1.0, until=lambda: system.cancels == 1))
    else:
        with task.terminated(looked_at(system), "failed"):
            hunt.ended("killed", task.run())
    task = hunt.task("crashed", "succeeded", **secret)
    crash_at(task, "POST", "/xcoms/", before=True)
    crashed_try(task)
    hunt.ended("retried", task.run())
    task.clear()
    assert hunt.ended("cleared", task.run()).state == "success"
    system.fault("drop_after", "start")
    hunt.run("lost start", "succeeded", **secret)
    task = hunt.task("resumed", "failed", on_retry="resume", **secret)
    for _ in range(2):
        hunt.ended("resumed", task.run())
    assert hunt.found() == []


def echoes(system: Adapter) -> dict[str, dict[str, Any]]:
    """Faults whose answers say the credential back, in each place that an answer has."""
    said = f"no entry with {system.credential}" + (" or canary-cookie" if isinstance(system, LoginSystem) else "")
    headers = {"x-request-id": system.credential, "retry-after": "0", "www-authenticate": said, "set-cookie": f"s={system.credential}"}
    play: Any = system.emulator.systems.get(system.name)
    body: Callable[[int], Any] = lambda status: play.error_body(status, said) if play else {"error": said}  # noqa: E731
    faults: dict[str, dict[str, Any]] = {
        str(status): {"kind": "status", "status": status, "body": body(status), "headers": headers}
        for status in (400, 401, 403, 404, 408, 409, 422, 429, 500, 502, 503, 504)
    }
    own, other = system.emulator.url, "http://localhost:9"
    return faults | {
        "page": {"kind": "html", "html": f"<html>{said}</html>"},
        "error page": {"kind": "html", "html": f"<html>{said}</html>", "status": 502},
        "error in a good answer": {"kind": "body", "body": body(200), "headers": headers},
        "wrong types": {"kind": "body", "body": {name: {said: said} for name in ("id", "status", "data", "events", "state")}},
        "text": {"kind": "body", "body": said},
        "cut": {"kind": "truncated", "cut": "json"},
        "nothing": {"kind": "drop_before"},
        "redirect": {"kind": "redirect", "location": f"{own}/?token={system.credential}"},
        "redirect elsewhere": {"kind": "redirect", "location": f"{other}/?token={system.credential}"},
        "redirect nowhere": {"kind": "redirect", "location": f"file:///{system.credential}"},
        "redirect to a bad address": {"kind": "redirect", "location": f"http://[{system.credential}/"},
    }


@pytest.mark.long
def test_errors_that_echo_the_credential(hunt: Hunt) -> None:
    """Each on each system, in two of the six modes."""
    system, turn = hunt.system, ALL_MODES.index(hunt.bench.mode)
    for number, (name, fault) in enumerate(echoes(system).items()):
        if number % 3 != turn % 3:
            continue
        system.fault(at="read", times=None, **fault)
        hunt.run(f"{name} while waiting", "", script=system.script("succeeded", seconds=0.05), timeout=1.0)
        system.emulator.faults.clear()
    assert hunt.found() == []


@pytest.mark.long
def test_errors_that_echo_the_credential_to_a_start_or_a_cancel(operator_hunt: Hunt) -> None:
    hunt, system = operator_hunt, operator_hunt.system
    for name, fault in echoes(system).items():
        system.fault(at="start", times=None, **fault)
        hunt.run(f"{name} at the start", "succeeded", **secret_argument(hunt))
        system.emulator.faults.clear()
        if system.can_cancel:
            system.fault(at="cancel", times=None, **fault)
            hunt.run(f"{name} at the cancel", "slow", timeout=0.1)
            system.emulator.faults.clear()
    assert hunt.found() == []


# The controls: without masking the same search finds them.


@pytest.fixture
def unmasked(monkeypatch: pytest.MonkeyPatch) -> None:
    nothing = re.compile("(?!)")
    monkeypatch.setattr(redaction, "_SECRET_NAME", nothing)
    monkeypatch.setattr(redaction, "SECRET_VALUE", nothing)
    for name in ("_ADDRESS", "_NAMED", "_GO"):
        monkeypatch.setattr(passwords, name, nothing)
    monkeypatch.setattr(known_secrets, "_parts_of", lambda secrets: ())
    monkeypatch.setattr(http_logs, "hide_headers", lambda record: None)
    send_over("httpx", monkeypatch)  # aiohttp logs nothing that would have to be quieted


def places(found: list[str]) -> str:
    return "\n".join(found)


def test_control_without_masking_secret_outputs_are_found(hunt: Hunt, unmasked: None) -> None:
    hunt.run("success", script=outputs_script(hunt), push_outputs=["IMAGE", "*"])
    found = places(hunt.found())
    for word in ("canary-by-name", "canaryAgain", GITHUB, JWT[-12:]):
        assert word in found
    assert "success: XComs" in found
    assert "success: XCom rows" in found
    if "log" not in hunt.system.lacks and not hunt.bench.sensor:
        assert "success: log" in found


def test_control_without_masking_failures_are_found(hunt: Hunt, unmasked: None) -> None:
    hunt.run("failure", script=hunt.system.script("hostile", texts=HOSTILE))
    found = places(hunt.found())
    for place in ("failure: XComs", "failure: exception", "failure: log"):
        assert place in found


def test_control_without_masking_echoes_are_found(hunt: Hunt, unmasked: None) -> None:
    hunt.system.fault(at="read", times=None, **echoes(hunt.system)["401"])
    hunt.run("401", "succeeded")
    found = places(hunt.found())
    assert "401: exception" in found or hunt.system.name == "kiln"  # it never quotes an answer
    assert "logging" in found
