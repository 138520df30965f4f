"""The commands of ``airflow executions``, against the emulator. ``list`` needs a database: ``tests/airflow/test_platform.py``."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from airflow_provider import purge_notes
from airflow_provider.__main__ import main
from airflow_provider.commands.reading import system_of
from airflow_provider.emulator import Emulator, Fault
from airflow_provider.emulator.buddy import Action, Pipeline
from tests.integration.systems import Adapter, AlgaPsaSystem, BuddySystem, TracecatSystem
from tests.virtual_clock import VirtualClock

REAL: dict[str, type[Adapter]] = {"buddy": BuddySystem, "tracecat": TracecatSystem, "alga_psa": AlgaPsaSystem}
HOSTILE = "\x1b[31mred\x1b[0m [bold]markup[/bold] <script> \u202egnp.exe \x07"


@pytest.fixture(params=list(REAL))
def system(request: pytest.FixtureRequest, emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Adapter:
    """A system behind Airflow's default connection to it."""
    system = REAL[request.param](emulator)
    for conn_id, fields in system.connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")  # no database here; and the command must not set it for other tests
    return system


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    return Run(capfd)


class Run:
    """Runs a command in this process."""

    def __init__(self, capfd: pytest.CaptureFixture[str]) -> None:
        self.capfd = capfd
        self.out = self.err = ""

    def __call__(self, *arguments: str) -> int:
        """Its exit code; what it printed is in :attr:`out` and :attr:`err`."""
        self.capfd.readouterr()
        code: int | str | None = 0
        try:
            main(arguments)
        except SystemExit as exit:
            code = exit.code
        self.out, self.err = self.capfd.readouterr()
        return int(code or 0)

    def fails(self, *arguments: str) -> str:
        """The one line that it says if it fails."""
        assert self(*arguments) == 1, self.err
        assert self.out == ""
        [line] = [line for line in self.err.splitlines() if "error: " in line]
        assert "Traceback" not in self.err
        return line


def ended(system: Adapter, kind: str = "succeeded", **given: object) -> str:
    ref = system.start_elsewhere(system.script(kind, **given))  # type: ignore[arg-type]
    system.emulator.clock.advance(60.0)  # type: ignore[attr-defined]
    return ref


def test_show(system: Adapter, run: Run) -> None:
    ref = ended(system)
    assert run("show", ref, "-o", "json") == 0
    shown = json.loads(run.out)
    assert (shown["system"], shown["conn_id"], shown["ref"], shown["phase"]) == (system.name, system.conn_id, ref, "SUCCEEDED")
    assert shown["outputs"]["IMAGE"] == "shop:1.2.3"
    assert [step["name"] for step in shown["steps"]] == [name for name, _ in system.looks["succeeded"].steps]
    assert run("show", ref, "--conn-id", system.conn_id) == 0
    names = [name for name, _ in system.looks["succeeded"].steps]
    for text in (ref, "SUCCEEDED", "output IMAGE", "shop:1.2.3", *names):
        assert text in run.out


def test_show_a_failure(system: Adapter, run: Run) -> None:
    ref = ended(system, "failed")
    assert run("show", ref) == 0, "the command has worked"
    assert "FAILED" in run.out
    assert "1 test failed" in run.out


def test_hostile_text_stays_text(system: Adapter, run: Run) -> None:
    ref = ended(system, "hostile", texts=[HOSTILE] * 9)
    assert run("show", ref) == 0
    assert "\x1b" not in run.out
    assert "\x07" not in run.out
    assert "[bold]markup[/bold]" in run.out
    assert run("show", ref, "--output", "json") == 0
    assert "\x1b" not in run.out
    assert json.loads(run.out)["phase"] == "FAILED"
    assert run("logs", ref) == 0
    assert "\x1b" not in run.out


def test_logs(system: Adapter, run: Run) -> None:
    ref = ended(system, "log", lines=[f"line {number}" for number in range(1, 301)])
    assert run("logs", ref) == 0
    lines = run.out.splitlines()
    assert [line.rpartition("line ")[2] for line in lines if "line " in line] == [str(number) for number in range(1, 301)]


def test_cancel(system: Adapter, run: Run) -> None:
    ref = system.start_elsewhere(system.script("slow"))
    if not system.can_cancel:
        assert "can't cancel executions" in run.fails("cancel", ref, "--yes")
        return
    assert run("cancel", ref, "--yes", "-o", "json") == 0, run.err
    assert system.cancels == 1
    assert json.loads(run.out)["ref"] == ref
    system.pass_until(system.emulator.clock, lambda: system.status(ref) == system.statuses["CANCELLED"])  # type: ignore[arg-type]
    assert run("cancel", ref) == 0, "nothing to ask"
    assert "CANCELLED" in run.out
    assert system.cancels == 1


@pytest.mark.parametrize("answer", [None, "n\n", "\n", "y\n"])
def test_cancel_asks(emulator: Emulator, run: Run, monkeypatch: pytest.MonkeyPatch, answer: str | None) -> None:
    system = BuddySystem(emulator)
    monkeypatch.setenv("AIRFLOW_CONN_BUDDY_DEFAULT", json.dumps(system.connections["buddy_default"]))
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "client")
    ref = system.start_elsewhere(system.script("slow"))
    terminal, ours = os.openpty()
    try:
        with os.fdopen(ours if answer else os.open(os.devnull, os.O_RDONLY), encoding="utf-8") as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            if answer == "y\n":
                os.write(terminal, answer.encode())
                assert run("cancel", ref) == 0, run.err
                assert f"Cancel Buddy execution {ref}, which is RUNNING?" in run.err
            elif answer:
                os.write(terminal, answer.encode())
                assert "Nothing was cancelled" in run.fails("cancel", ref)
            else:
                assert "add --yes" in run.fails("cancel", ref)
    finally:
        os.close(terminal)
    assert system.cancels == (answer == "y\n")


def test_errors_are_one_line(system: Adapter, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    system.use_credential()
    for conn_id, fields in system.connections.items():
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(fields))
    ref = ended(system)
    system.fault("status", None, status=403, times=None)
    for command in (["show", ref], ["logs", ref]):
        assert "403" in run.fails(*command)
        assert system.credential not in run.err
    assert "finds no connection 'nowhere'" in run.fails("show", ref, "--conn-id", "nowhere")
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps({"conn_type": "http", "host": "https://elsewhere.test"}))
    assert "has the type 'http'" in run.fails("show", ref, "--conn-id", "other")
    monkeypatch.setenv("AIRFLOW_CONN_NUMBER", json.dumps({"conn_type": system.name, "password": 47114711}))
    assert "Airflow can't read it: password must be text" in run.fails("show", ref, "--conn-id", "number")
    assert "4711" not in run.err


@pytest.mark.parametrize("ref", ["", "4711", "acme/shop", "acme/shop/x/1", "wf_1", "\x1b[31m"])
def test_what_is_no_ref(run: Run, ref: str) -> None:
    assert "is not the ref of an execution" in run.fails("show", ref)
    assert "\x1b" not in run.err


@pytest.mark.parametrize("system", ["buddy"], indirect=True)
@pytest.mark.parametrize("command", [["show"], ["logs"], ["cancel", "--yes"]], ids=" ".join)
def test_a_part_of_an_execution_is_not_taken_for_the_whole(system: Adapter, run: Run, command: list[str]) -> None:
    ref = system.start_elsewhere(system.script("slow"))
    assert "Give that of its execution, without 'zzz'" in run.fails(command[0], f"{ref}/zzz", *command[1:])
    assert system.cancels == 0
    assert system.status(ref) == system.statuses["RUNNING"]


@pytest.mark.parametrize("system", ["buddy"], indirect=True)
def test_the_log_of_an_execution_that_goes_on_is_printed_up_to_now(system: Adapter, run: Run, clock: VirtualClock) -> None:
    emulator = system.emulator
    pipeline = emulator.buddy.add_pipeline(Pipeline("chatty", actions=[Action("Build", seconds=3_600, log=["line"], lines=36_000)]))
    ref = system.start_elsewhere(pipeline)
    clock.advance(60)
    emulator.faults.add(Fault("latency", path=r"/logs", seconds=0.5, times=None))
    before = clock.passed
    assert run("logs", ref) == 0
    assert clock.passed - before < 60
    assert run.out.count("line") >= 500


@pytest.mark.parametrize(
    ("ref", "system"),
    [
        ("acme/shop/89/4098", "buddy"),
        ("acme/shop/89/4098/5f3a", "buddy"),
        ("wf_4itKqkgCZrLhgYiq5L211X/exec_7xLZrkWWbpVHGSBvXUUNUM", "tracecat"),
        ("8c0e6f24-6a1c-4d63-9a5c-b0b0d9a5b5b6", "alga_psa"),
    ],
)
def test_the_system_of_a_ref(ref: str, system: str) -> None:
    assert system_of(ref) == system


def test_an_audit_takes_the_arguments_of_its_own(run: Run, tmp_path: Path) -> None:
    assert run("audit", "--list-rules") == 0
    assert "BDY" in run.out
    assert run("audit", str(tmp_path / "missing.yml"), "--format", "json") == 2
    assert run("audit", "--no-such-option") == 2


def airflow(*arguments: str) -> Sequence[str]:
    return str(Path(sys.executable).with_name("airflow")), *arguments


@pytest.mark.long
@pytest.mark.parametrize("system", ["buddy"], indirect=True)
def test_airflow_has_the_commands(system: Adapter) -> None:
    """In a process of its own: standard output has the JSON only."""
    ref = ended(system)
    shown = subprocess.run(airflow("executions", "show", ref, "-o", "json"), capture_output=True, text=True, timeout=280, check=False)
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["ref"] == ref
    rules = subprocess.run(airflow("executions", "audit", "--list-rules"), capture_output=True, text=True, timeout=280, check=False)
    assert rules.returncode == 0, rules.stderr
    assert "BDY" in rules.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        *(
            pytest.param(arguments, marks=pytest.mark.long)  # each is a process, which imports Airflow
            for arguments in (
                ["list", "--active"],
                ["show", "demo/shop/1/1"],
                ["logs", "demo/shop/1/1"],
                ["cancel", "a/b/1/1", "--yes", "--conn-id", "x"],
            )
        ),
    ],
    ids=" ".join,
)
def test_without_a_database_a_command_says_one_line(tmp_path: Path, arguments: list[str]) -> None:
    """In a process of its own: Airflow takes its database once."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "_AIRFLOW"))}
    environment |= {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__UNIT_TEST_MODE": "False"}
    command = [sys.executable, "-m", "airflow_provider", *arguments]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 1, ran.stderr
    assert "Traceback" not in ran.stderr
    [line] = [line for line in ran.stderr.splitlines() if "error: " in line]
    assert arguments[0] != "list" or "airflow db migrate" in line


@pytest.mark.long
@pytest.mark.parametrize("system", ["buddy"], indirect=True)
@pytest.mark.parametrize(("command", "redirected"), [("show", "> /dev/full"), ("logs", "> /dev/full"), ("show", ">&-"), ("logs", ">&-")])
def test_an_output_that_can_not_be_written_is_no_traceback(system: Adapter, command: str, redirected: str) -> None:
    ref = ended(system)
    line = f"{shlex.quote(sys.executable)} -m airflow_provider {command} {ref} {redirected}"
    ran = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=280, check=False)
    assert "Traceback" not in ran.stderr
    assert ran.returncode == (1 if "full" in redirected else 0), ran.stderr
    assert ("No space left" in ran.stderr) == ("full" in redirected)


@pytest.mark.parametrize("days", ["nan", "-1", "0", "inf", "x", ""])
def test_notes_are_never_deleted_by_a_number_that_is_none(capsys: pytest.CaptureFixture[str], days: str) -> None:
    with pytest.raises(SystemExit) as ended:
        purge_notes.main(["--days", days])
    assert ended.value.code == 2
    assert f"must be a number above 0, not {days!r}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--since", "nan"], ["--since", "-1"], ["--since", "inf"], ["--limit", "0"], ["--limit", "x"]], ids=str
)
def test_what_is_no_number_of_hours_is_refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["list", *arguments])
    assert ended.value.code == 2
    assert f"invalid number{' of hours' if arguments[0] == '--since' else ''} value" in capsys.readouterr().err
