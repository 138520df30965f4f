"""Start and stop, the clocks, the control routes, the command line, the pytest fixture."""

from __future__ import annotations

import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import threading

import httpx
import pytest

from airflow_provider import _clock
from airflow_provider.emulator import Emulator, Fault, ManualClock, RealClock
from airflow_provider.emulator.buddy import Action, Gate, Pipeline
from airflow_provider.emulator.cli import main
from airflow_provider.emulator.scenario_file import load_scenario
from airflow_provider.emulator.system import ScenarioError

GOOD = """
buddy:
  pipelines:
    - name: release
      id: 89
      actions:
        - {name: Build, seconds: 2, log: [one], outputs: {IMAGE: x}}
        - {gate: Approve, type: WAIT_FOR_VARIABLES}
"""


def left(emulator):
    """Connections and requests that its server left as they were, since it had waited long enough."""
    state = emulator._server._server.server_state
    return state.connections, state.tasks


class Noticed(Fault):
    """A fault that tells when it strikes."""

    def __init__(self, *arguments, **named):
        super().__init__(*arguments, **named)
        self.struck = threading.Event()

    def strikes(self, method, path):
        if hit := super().strikes(method, path):
            self.struck.set()
        return hit


def test_it_starts_and_stops_and_frees_its_port():
    with Emulator() as emulator:
        url = emulator.url
        assert httpx.get(url + "/nothing", timeout=60).status_code == 404
        with httpx.Client(timeout=60) as idle:
            idle.get(url + "/nothing")
            emulator.stop()
            assert left(emulator) == (set(), set())
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, timeout=60)


def test_it_stops_while_answers_are_held_back():
    with Emulator() as emulator:
        fault = emulator.faults.add(Noticed("no_answer"))
        failures = []

        def call() -> None:
            try:
                httpx.get(emulator.buddy.url + "/user", timeout=30)
            except httpx.HTTPError as error:
                failures.append(error)

        caller = threading.Thread(target=call)
        caller.start()
        assert fault.struck.wait(30)
    assert left(emulator) == (set(), set())
    caller.join(30)
    assert len(failures) == 1


def test_a_taken_port_is_an_error():
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"), Emulator(port=taken.getsockname()[1]):
        pass


def test_its_address_is_known_only_once_started():
    with pytest.raises(RuntimeError, match="not started"):
        _ = Emulator().url


def test_a_scenario_can_be_set_before_the_start():
    emulator = Emulator(ManualClock())
    pipeline = emulator.buddy.add_pipeline(Pipeline("early", actions=[Action("Build")]))
    emulator.buddy.add_execution(pipeline)
    with emulator:
        answer = httpx.get(
            f"{emulator.buddy.url}/workspaces/demo/projects/shop/pipelines/{pipeline.id}/executions/1",
            headers={"Authorization": f"Bearer {emulator.buddy.token}"},
            timeout=60,
        )
    assert answer.json()["status"] == "INPROGRESS"


def test_clocks_tell_epoch_seconds(clock):
    clock.jump(5)
    assert RealClock().now() == _clock.now() == clock.now() + 5
    clock = ManualClock(start=100)
    assert (clock.advance(5), clock.set(50), clock.now()) == (105, 50, 50)
    with pytest.raises(ValueError, match="forward"):
        clock.advance(-1)


def test_another_process_can_drive_it(api, clock, emulator, gated):
    control = f"{emulator.url}/_emulator"
    added = httpx.post(f"{control}/pipelines", json={"name": "made", "actions": [{"gate": "Approve"}]}, timeout=60)
    assert added.status_code == 201
    made = added.json()[0]["id"]
    assert httpx.post(f"{control}/faults", json={"kind": "status", "times": 1}, timeout=60).status_code == 201
    assert api.call("POST", f"/{made}/executions", {}).status_code == 503
    assert api.call("POST", f"/{made}/executions", {"comment": "m"}).status_code == 201
    ref = f"demo/shop/{made}/1"
    approved = httpx.post(f"{control}/acts", json={"act": "approve", "ref": ref, "by": "Ann"}, timeout=60)
    assert approved.status_code == 200
    (execution,) = httpx.get(f"{control}/executions", timeout=60).json()
    assert (execution["ref"], execution["status"], execution["comment"]) == (ref, "SUCCESSFUL", "m")
    ledger = httpx.get(f"{control}/ledger", timeout=60).json()
    assert [(entry["method"], entry["status"]) for entry in ledger] == [("POST", 503), ("POST", 201)]
    assert httpx.delete(f"{control}/ledger", timeout=60).status_code == 204
    assert httpx.delete(f"{control}/faults", timeout=60).status_code == 204
    assert emulator.ledger.entries == []


@pytest.mark.parametrize(
    ("route", "body", "status"),
    [
        ("acts", {"act": "cancel", "ref": "no/such/1/1"}, 404),
        ("acts", {"act": "explode", "ref": "no/such/1/1"}, 400),
        ("acts", {"act": "cancel", "ref": "x", "colour": "red"}, 400),
        ("acts", {"act": "cancel", "ref": "x", "system": "other"}, 404),
        ("faults", {"kind": "explode"}, 400),
        ("faults", {}, 400),
        ("pipelines", {"name": "x", "colour": "red"}, 400),
        ("pipelines", [], 400),
    ],
)
def test_a_wrong_control_request_says_why(emulator, route, body, status):
    answer = httpx.post(f"{emulator.url}/_emulator/{route}", json=body, timeout=60)
    assert answer.status_code == status
    assert answer.json()["error"]


def test_a_scenario_file_describes_pipelines(tmp_path):
    path = tmp_path / "scenario.yaml"
    path.write_text(GOOD)
    emulator = Emulator(ManualClock())
    load_scenario(emulator.systems, path)
    (pipeline,) = emulator.buddy.pipelines
    build, gate = pipeline.actions
    assert (pipeline.id, pipeline.identifier) == (89, "release")
    assert isinstance(build, Action)
    assert (build.seconds, build.outputs) == (2.0, {"IMAGE": "x"})
    assert isinstance(gate, Gate)
    assert gate.type == "WAIT_FOR_VARIABLES"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (GOOD.replace("seconds", "secnds"), r"buddy.pipelines\[0\].actions\[0\]: unknown key 'secnds' \(known: .*seconds"),
        (GOOD.replace("seconds: 2", "seconds: soon"), r"actions\[0\].seconds: .*number"),
        (GOOD.replace("name: release", "queue_seconds: 1"), r"pipelines\[0\].name: .*required"),
        (GOOD.replace("WAIT_FOR_VARIABLES", "WAIT"), "unknown gate type 'WAIT'"),
        (GOOD.replace("buddy:", "buddies:"), "unknown key 'buddies'"),
        ("buddy: {pipeline: []}", "unknown key 'pipeline'"),
        ("buddy: {pipelines: 5}", "must be a list"),
        ("buddy: {pipelines: [5]}", "must be a mapping"),
        ("buddy: 5", "must be a mapping"),
        ("- 1", "must be a mapping"),
        ("a: [", "while parsing"),
    ],
)
def test_a_wrong_scenario_is_told_in_one_line(tmp_path, text, says):
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=says) as caught:
        load_scenario(Emulator().systems, path)
    assert "\n" not in str(caught.value)


def test_the_command_refuses_a_wrong_scenario(tmp_path, capsys):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    try:
        assert main(["--scenario", str(tmp_path / "missing.yaml")]) == 2
    finally:
        for number, handler in zip((signal.SIGINT, signal.SIGTERM), before, strict=True):
            signal.signal(number, handler)
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_the_demonstration_until_a_signal_comes(number):
    command = [sys.executable, "-W", "error", "-m", "airflow_provider.emulator"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Emulator: http://127.0.0.1:")
            word, assignment = shlex.split(process.stdout.readline())
            name, _, value = assignment.partition("=")
            assert (word, name) == ("export", "AIRFLOW_CONN_BUDDY_DEFAULT")
            connection = json.loads(value)
            answer = httpx.get(
                f"{connection['host']}/workspaces/demo/projects/shop/pipelines",
                headers={"Authorization": f"Bearer {connection['password']}"},
                timeout=60,
            )
            names = [one["name"] for one in answer.json()["pipelines"]]
            os.kill(process.pid, number)
            _, errors = process.communicate(timeout=20)
        finally:
            process.kill()
    assert names == ["release", "release-broken", "release-gated"]
    assert (process.returncode, errors) == (0, "")


@pytest.mark.parametrize(
    ("name", "seconds", "status"),
    [("release", 8, "SUCCESSFUL"), ("release-broken", 8, "FAILED"), ("release-gated", 8, "WAITING_FOR_APPLY")],
)
def test_the_demonstration_plays(clock, emulator, name, seconds, status):
    emulator.buddy.load_demo()
    pipeline = next(one for one in emulator.buddy.pipelines if one.name == name)
    record = emulator.buddy.add_execution(pipeline)
    clock.advance(seconds)
    assert record.status == status


def test_importing_it_loads_no_web_framework():
    code = (
        "import sys, airflow_provider.emulator.pytest_plugin\n"
        "before = sorted(name for name in sys.modules if name.startswith('airflow_provider.emulator.'))\n"
        "from airflow_provider.emulator import Emulator, Fault, ManualClock\n"
        "Emulator()\n"
        "heavy = {'fastapi', 'uvicorn', 'starlette', 'pydantic', 'yaml', 'httpx', 'airflow'} & set(sys.modules)\n"
        "print(before, heavy)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "['airflow_provider.emulator.pytest_plugin'] set()"


def test_the_fixture_gives_a_started_emulator(execution_emulator):
    pipeline = execution_emulator.buddy.add_pipeline(Pipeline("mine"))
    assert execution_emulator.buddy.add_execution(pipeline).status == "SUCCESSFUL"
    assert httpx.get(execution_emulator.buddy.url + "/user", timeout=60).status_code == 401
