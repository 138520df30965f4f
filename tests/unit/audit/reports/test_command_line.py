"""``python -m airflow_provider.audit``: what it writes, and what its exit code says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.audit.__main__ import main
from airflow_provider.audit.reports import FORMATS
from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Pipeline
from tests.unit.audit.reports.results import NOW, action
from tests.virtual_clock import VirtualClock

FLOATING = action(1, docker_image_name="node", docker_image_tag="latest")
PINNED = action(1, docker_image_name="node", docker_image_tag="22.1.0@sha256:" + "a" * 64, run_as_user="app")
SECRET = action(2, variables=[{"key": "PASSWORD", "value": "hunter2!", "encrypted": False}])


class Run:
    """Runs it in a folder, and keeps what it wrote."""

    def __init__(self, folder: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.folder, self.capture = folder, capture

    def file(self, name: str, content: object) -> str:
        path = self.folder / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return str(path)

    def __call__(self, *arguments: str) -> int:
        try:
            code = main(arguments)
        except SystemExit as error:
            code = int(error.code or 0)
        self.out, self.err = self.capture.readouterr()
        return code


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    return Run(tmp_path, capsys)


@pytest.mark.parametrize(
    ("records", "arguments", "code"),
    [
        ([PINNED], [], 0),
        ([FLOATING], [], 14),
        ([SECRET, FLOATING], [], 15),
        ([FLOATING], ["--fail-on", "critical"], 0),
        ([FLOATING], ["--fail-on", "never"], 0),
        ([action(3, timeout=None)], [], 0),
        ([action(3, timeout=None)], ["--fail-on", "low"], 13),
        ([{"kind": "gap", "system": "buddy", "subject": "buddy:acme", "reason": "403"}], [], 0),
        ([{"kind": "gap", "system": "buddy", "subject": "buddy:acme", "reason": "403"}], ["--fail-on-gaps"], 4),
    ],
)
def test_the_exit_code_is_that_of_the_worst_failing_finding(run: Run, records: list[Any], arguments: list[str], code: int) -> None:
    assert run(run.file("records.json", records), *arguments) == code


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_goes_to_standard_output_or_a_file(run: Run, tmp_path: Path, format: str) -> None:
    records = run.file("records.json", [FLOATING])
    assert run(records, "--format", format) == 14
    assert "BDY001" in run.out
    assert run(records, "--format", format, "--output", str(tmp_path / "report")) == 14
    assert run.out == ""
    assert "BDY001" in (tmp_path / "report").read_text()


def test_a_baseline_makes_known_findings_pass_and_tells_what_is_fixed(run: Run, tmp_path: Path) -> None:
    baseline = str(tmp_path / "baseline.json")
    assert run(run.file("before.json", [FLOATING]), "--save-baseline", baseline) == 14
    assert run(run.file("now.json", [FLOATING]), "--baseline", baseline) == 0
    assert run(run.file("now.json", [PINNED]), "--baseline", baseline) == 0
    assert "1 fixed" in run.out


def test_waivers_and_settings_are_heeded(run: Run) -> None:
    records = run.file("records.json", [FLOATING])
    waiver = {"rule": "BDY001", "subject": "*", "reason": "planned", "text": "Soon", "owner": "me", "expires": "2999-01-01"}
    assert run(records, "--waivers", run.file("waivers.yaml", {"waivers": [waiver]})) == 0
    assert "1 accepted" in run.out
    assert run(records, "--settings", run.file("audit.toml", "[rules.BDY001]\nenabled = false\n")) == 0
    assert run(records, "--settings", run.file("audit.toml", '[rules.BDY001]\nseverity = "critical"\n')) == 15


WAIVER = "waivers:\n- rule: %s\n  subject: x\n  reason: planned\n  text: t\n  owner: o\n  expires: 2030-01-01\n"


@pytest.mark.parametrize(
    ("option", "name", "content", "message"),
    [
        ("--settings", "a.toml", "[limits]\nretries = 1\n\n[rules.BDY999]\n", "a.toml, line 4, rules.BDY999: unknown rule 'BDY999'"),
        ("--settings", "a.yaml", "rules:\n  BDY001: {}\n  floating-tag: {}\n", "a.yaml, line 3, rules.floating-tag: unknown rule"),
        ("--settings", "a.toml", "[limits]\nretires = 1\n", "a.toml, line 2, limits.retires: unknown key."),
        ("--settings", "a.toml", "[limits\n", "a.toml is not valid TOML"),
        ("--waivers", "w.yaml", WAIVER % "floating-image-tag", "w.yaml, line 2, waivers.0.rule: unknown rule 'floating-image-tag'"),
        ("--waivers", "w.yaml", WAIVER % "floating-image", "did you mean BDY001."),
        ("--baseline", "b.json", "{}", "This is not an audit baseline"),
        ("--since", None, "yesterday", "since must be a moment"),
        ("--until", None, NOW.isoformat(), "--until requires --since"),
    ],
)
def test_what_makes_no_sense_is_named(run: Run, option: str, name: str | None, content: str, message: str) -> None:
    value = run.file(name, content) if name else content
    assert run(run.file("records.json", [FLOATING]), option, value) == 2
    assert message in run.err
    assert "Traceback" not in run.err
    assert run.out == ""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"kind": "buddy.action"}\n{', "Line 2 is not valid JSON"),
        ([FLOATING, {"kind": "nonsense"}], "records.json, record 2: Unknown kind of record 'nonsense'"),
        ([FLOATING, 7], "record 2"),
    ],
)
def test_what_is_no_record_is_named(run: Run, content: object, message: str) -> None:
    if isinstance(content, str):
        content = content.replace('{"kind": "buddy.action"}', json.dumps(FLOATING))
    assert run(run.file("records.json", content)) == 2
    assert message in run.err


def test_missing_files_and_arguments_are_usage_errors(run: Run, tmp_path: Path) -> None:
    assert run() == 2
    assert "nothing to audit" in run.err
    assert run(str(tmp_path / "none.json")) == 2
    assert "none.json: No such file" in run.err
    assert run(run.file("records.json", [PINNED]), "--baseline", str(tmp_path / "none.json")) == 2
    assert run(run.file("records.json", [PINNED]), "--output", str(tmp_path / "no" / "report")) == 2
    assert run("--fail-on", "loud", "x.json") == 2


def test_a_window_is_compared_only_if_it_is_given(run: Run) -> None:
    records = run.file("records.json", [PINNED])
    assert run(records, "--since", "36h", "--format", "json") == 0
    assert json.loads(run.out)["since"] is not None
    assert run(records, "--format", "json") == 0
    assert json.loads(run.out)["since"] is None


@pytest.fixture
def installation(clock: VirtualClock) -> Iterator[Emulator]:
    with Emulator(clock) as emulator:
        definition = {"docker_image_name": "node", "docker_image_tag": "latest", "timeout": 60}
        emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("a", "RUN_DOCKER_CONTAINER", seconds=1.0, definition=definition)]))
        yield emulator


def test_a_connection_is_audited(installation: Emulator) -> None:
    """In a process of its own: Airflow's loggers must not get at the report."""
    arguments = ["--configuration", "here", "--executions", "here", "--since", "2h", "--format", "json"]
    environment = {**os.environ, "AIRFLOW_CONN_HERE": installation.buddy.connection_json()}
    command = [sys.executable, "-m", "airflow_provider.audit", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 14, done.stderr
    report = json.loads(done.stdout)
    assert "BDY001" in [finding["rule"] for finding in report["findings"]]
    assert report["since"] is not None


def test_a_connection_that_is_refused_or_not_there_is_told(run: Run, installation: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = json.loads(installation.buddy.connection_json())
    monkeypatch.setenv("AIRFLOW_CONN_HERE", json.dumps({**connection, "password": "wrong"}))
    assert run("--configuration", "here") == 3, run.err
    assert "Traceback" not in run.err
    assert run("--configuration", "nowhere") == 2
