"""What arrives in a StatsD server of what workers and triggerers count, over real sockets."""

from __future__ import annotations

import re
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from airflow.sdk._shared.observability.metrics import stats as stats_module
from airflow.sdk.observability import stats
from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

from airflow_provider import _metrics, errors
from airflow_provider._compat import conf
from airflow_provider.buddy.operators import BuddyCancelExecutionOperator
from airflow_provider.emulator import Emulator
from tests.harness import TaskRun
from tests.integration.conftest import Bench
from tests.integration.systems import Adapter, BuddySystem
from tests.integration.test_gate_in_airflow import GateStage
from tests.integration.test_kill import crashed, deferred, looked_at
from tests.virtual_clock import VirtualClock

ROWS = re.findall(r"^\| `executions\.(\w+)` \| (?:\w+) \| ([^|]*) \| ([^|]*) \|", Path("docs/monitoring.md").read_text(), re.MULTILINE)
DOCUMENTED = {name: (tags.split(", "), text) for name, tags, text in ROWS}
"""Of each metric its tags, and the sentences that name their values."""
OPEN = {"system", "phase", "status", "hostname"}
"""Tags whose values are not listed there."""
LINE = re.compile(r"airflow\.executions\.(\w+)((?:,\w+=[\w.-]+)*):(-?[\d.]+)\|(c|g|ms)")


class Sent(NamedTuple):
    """One datagram."""

    name: str
    tags: dict[str, str]
    value: float
    kind: str


class StatsdServer:
    """Receives datagrams on loopback. What has arrived is in the buffer of its socket."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.text = ""
        self.all: list[Sent] = []

    def receive(self) -> list[Sent]:
        """Everything that was sent so far."""
        while True:
            try:
                line = self.socket.recv(65_536).decode()
            except BlockingIOError:
                return self.all
            self.text += f"{line}\n"
            if ".executions." in line:
                match = LINE.fullmatch(line)
                assert match, line
                tags = dict(pair.split("=") for pair in match[2].split(",")[1:])
                self.all.append(Sent(match[1], tags, float(match[3]), match[4]))

    def counted(self, name: str, **tags: str) -> int:
        """The sum of a counter, over all tags that are not given."""
        return int(sum(one.value for one in self.receive() if one.name == name and one.tags.items() >= tags.items()))

    def times(self, name: str) -> list[float]:
        """The values of a timer, in seconds."""
        return [one.value / 1000 for one in self.receive() if one.name == name]

    def gauges(self, name: str) -> Iterator[dict[str, float]]:
        """The values of a gauge by phase, after each change."""
        current: dict[str, float] = {}
        for one in self.receive():
            if one.name == name:
                current[one.tags["phase"]] = one.value
                yield {phase: value for phase, value in current.items() if value}


def set_up() -> None:
    """Set Airflow's statistics up as configured, as the processes of a worker and of a triggerer do."""
    if client := getattr(stats_module._backend, "statsd", None):
        client.close()
    stats_module.initialize(factory=get_stats_factory(), export_legacy_names=conf.getboolean("metrics", "legacy_names_on"))


@pytest.fixture
def statsd(monkeypatch: pytest.MonkeyPatch) -> Iterator[StatsdServer]:
    """A server that Airflow's statistics go to."""
    server = StatsdServer()
    host, port = server.socket.getsockname()
    for option, value in {"statsd_on": True, "statsd_influxdb_enabled": True, "statsd_host": host, "statsd_port": port}.items():
        monkeypatch.setenv(f"AIRFLOW__METRICS__{option.upper()}", str(value))
    set_up()
    yield server
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "False")
    set_up()
    for one in server.receive():
        tags, text = DOCUMENTED[one.name]
        assert sorted(f"`{tag}`" for tag in one.tags) == sorted(tags), one
        assert all(f"`{value}`" in text for tag, value in one.tags.items() if tag not in OPEN), one
    server.socket.close()
    assert +_metrics._deferred == Counter()


def check_no_ref(system: Adapter, statsd: StatsdServer) -> None:
    statsd.receive()
    for ref in system.refs:
        for part in re.split(r"[/:]", ref):
            if len(part) > 4:
                assert part not in statsd.text
    ours = [line for line in statsd.text.splitlines() if ".executions." in line]
    assert not [line for line in ours if "harness" in line or "manual__1" in line or system.conn_id in line]


def test_a_task_is_counted_wherever_it_waits(bench: Bench, statsd: StatsdServer) -> None:
    system = bench.system
    script = system.script("succeeded", seconds=25.0)
    ended = bench.run("", script=script, **bench.every(30.0))
    assert ended.state == "success"
    mine = {"system": system.name}
    assert statsd.counted("starts", **mine) == statsd.counted("starts") == (0 if bench.sensor else 1)
    assert statsd.counted("waits", **mine, phase="SUCCEEDED", end="ended") == statsd.counted("waits") == 1
    assert 2 <= statsd.counted("polls", **mine, result="read") + statsd.counted("polls", **mine, result="unchanged") <= 5
    accepted = [entry for entry in system.emulator.ledger.entries if entry.status == 200 or entry.status == 201]
    answered = statsd.counted("requests", **mine, status="200") + statsd.counted("requests", **mine, status="201")
    assert answered == len(accepted)
    [delay] = statsd.times("detection_delay")
    assert 0 <= delay <= 30.0
    changes = list(statsd.gauges("deferred_waits"))
    assert bool(changes) == bench.deferrable
    if changes:
        assert {"RUNNING": 1} in changes
        assert {"SUCCEEDED": 1} in changes
        assert changes[-1] == {}
    check_no_ref(system, statsd)


def test_a_wait_that_ends_otherwise_says_how(operator_bench: Bench, statsd: StatsdServer) -> None:
    system = operator_bench.system
    operator_bench.run("failed")
    operator_bench.run("slow", timeout=20)
    system.fault("status", "read", status=403, times=None)
    operator_bench.run("slow")
    assert statsd.counted("waits", phase="FAILED", end="ended") == 1
    assert statsd.counted("waits", phase="RUNNING", end="timeout") == 1
    assert statsd.counted("waits", end="error") == statsd.counted("polls", result="failed") == 1
    assert statsd.counted("requests", status="403") == 1
    assert statsd.counted("waits") == 3


def test_what_a_poll_gave(operator_bench: Bench, statsd: StatsdServer) -> None:
    system = operator_bench.system
    system.fault("status", "read", status=404)
    system.fault("html", "read", after=1, times=2 if system.name == "tracecat" else 1)  # Tracecat has two views to read
    ended = operator_bench.run("", script=system.script("succeeded", seconds=35.0), **operator_bench.every(2.0))
    assert ended.state == "success", ended.text
    assert statsd.counted("polls", result="missing") == 1
    assert statsd.counted("polls", result="failed") == 1
    assert statsd.counted("polls", result="read") >= 1
    assert statsd.counted("requests", status="404") == 1


def test_an_execution_that_had_ended_before_was_not_detected_late(sensor_bench: Bench, statsd: StatsdServer, clock: VirtualClock) -> None:
    task = sensor_bench.task("succeeded")
    clock.advance(3600.0)
    assert task.run().state == "success"
    assert statsd.times("detection_delay") == []


@pytest.mark.parametrize(("fault", "verdict"), [("drop_after", "found"), ("drop_before", "none")])
def test_a_start_without_an_answer_is_looked_up(operator_bench: Bench, statsd: StatsdServer, fault: str, verdict: str) -> None:
    operator_bench.system.fault(fault, "start")
    operator_bench.run("succeeded")
    assert statsd.counted("start_lookups", verdict=verdict) == statsd.counted("start_lookups") == 1
    assert statsd.counted("starts") == 1
    assert statsd.counted("requests", status="none") >= 1


def test_a_look_up_that_fails_proves_nothing(operator_bench: Bench, statsd: StatsdServer) -> None:
    operator_bench.system.fault("drop_after", "start")
    operator_bench.system.break_lookups()
    assert isinstance(operator_bench.run("succeeded").error, errors.StartUnknown)
    assert statsd.counted("start_lookups", verdict="unknown") == statsd.counted("start_lookups") == 1
    assert statsd.counted("starts") == 0


def test_a_refusal_by_the_rate_limit(operator_bench: Bench, statsd: StatsdServer) -> None:
    operator_bench.system.fault("rate_limit", "read", retry_after="17")
    assert operator_bench.run("", script=operator_bench.system.script("succeeded", seconds=25.0)).state == "success"
    assert statsd.times("rate_limit_pauses") == [17.0]
    assert statsd.counted("requests", status="429") == 1


@pytest.mark.parametrize("outcome", ["asked", "failed"])
def test_a_cancel_of_a_task_that_was_ended(system: Adapter, statsd: StatsdServer, outcome: str) -> None:
    system.need("cancel")
    task = Bench(system, "operator").task("slow")
    if outcome == "failed":
        system.fault("status", "cancel", status=403, times=None)
    with task.terminated(looked_at(system), "failed"):
        task.run()
    assert statsd.counted("cancels", system=system.name, reason="killed", result=outcome) == statsd.counted("cancels") == 1


def test_a_cancel_of_a_deferred_task_that_was_ended(system: Adapter, statsd: StatsdServer) -> None:
    system.need("cancel")
    task = deferred(system)
    task.kill_trigger(looked_at(system), "failed", linger=2.0, until=lambda: system.cancels == 1)
    assert statsd.counted("cancels", reason="killed", result="asked") == statsd.counted("cancels") == 1
    assert list(statsd.gauges("deferred_waits"))[-1] == {}


def test_a_cancel_after_the_timeout(operator_bench: Bench, statsd: StatsdServer) -> None:
    operator_bench.system.need("cancel")
    operator_bench.run("slow", timeout=20)
    assert statsd.counted("cancels", reason="timeout", result="asked") == statsd.counted("cancels") == 1


def test_a_cancel_of_what_was_cleared(system: Adapter, statsd: StatsdServer) -> None:
    system.need("cancel")
    task = crashed(system)
    task.clear()
    assert task.run().state == "success"
    assert statsd.counted("cancels", reason="cleared", result="asked") == statsd.counted("cancels") == 1


def test_a_cancel_operator(emulator: Emulator, statsd: StatsdServer) -> None:
    system = BuddySystem(emulator)
    ref = system.start_elsewhere(system.script("slow"))
    task = TaskRun(lambda: BuddyCancelExecutionOperator(task_id="stop", ref=ref), system.connections)
    assert task.run().state == "success"
    assert statsd.counted("cancels", reason="requested", result="asked") == statsd.counted("cancels") == 1
    assert statsd.counted("starts") == 0


def test_a_gate_that_is_declined(emulator: Emulator, statsd: StatsdServer) -> None:
    stage = GateStage(emulator)
    task = stage.task(stage.start())
    assert stage.run(task, lambda: task.api.answer("Decline")).state == "skipped"
    assert statsd.counted("cancels", reason="declined", result="asked") == statsd.counted("cancels") == 1


def test_a_gate_that_is_opened_elsewhere(emulator: Emulator, statsd: StatsdServer) -> None:
    stage = GateStage(emulator)
    ref = stage.start()
    assert stage.run(stage.task(ref), lambda: stage.buddy.approve(ref)).state == "success"
    assert [one.tags["end"] for one in statsd.receive() if one.name == "waits"] == ["waiting", "opened", "ended"]


def test_a_server_that_is_away_and_a_client_that_fails_are_no_harm(
    operator_bench: Bench, statsd: StatsdServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise OSError("no more sockets")

    monkeypatch.setattr(stats.Stats, "incr", broken)
    monkeypatch.setattr(stats.Stats, "timing", broken)
    monkeypatch.setattr(stats.Stats, "gauge", broken)
    assert operator_bench.run("succeeded").state == "success"
    assert statsd.receive() == []


def test_plain_statsd_has_names_only(system: Adapter, statsd: StatsdServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_INFLUXDB_ENABLED", "False")
    set_up()
    Bench(system, "operator").run("succeeded")
    names = {one.name for one in statsd.receive()}
    assert names >= {"starts", "waits", "polls", "requests"}
    assert all(not one.tags for one in statsd.all)
    statsd.all.clear()


def test_without_configuration_nothing_is_sent(system: Adapter, statsd: StatsdServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__METRICS__STATSD_ON", "False")
    set_up()
    assert Bench(system, "operator-deferrable").run("succeeded").state == "success"
    statsd.receive()
    assert statsd.text == ""
