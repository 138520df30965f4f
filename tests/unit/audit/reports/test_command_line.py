"""``python -m airflow_provider.audit``: what it writes, and what its exit code says."""

from __future__ import annotations

import json
import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from airflow_provider import __version__
from airflow_provider.audit.__main__ import main
from airflow_provider.audit.engine import engine
from airflow_provider.audit.reports import FORMATS
from airflow_provider.audit.rules import all_rules
from airflow_provider.audit.rules.texts import rule_texts
from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Pipeline
from tests.unit.audit.reports.results import NOW, action, record
from tests.virtual_clock import VirtualClock

FLOATING = action(1, docker_image_name="node", docker_image_tag="latest")
PINNED = action(1, docker_image_name="node", docker_image_tag="22.1.0@sha256:" + "a" * 64, run_as_user="app")
SECRET = action(2, variables=[{"key": "PASSWORD", "value": "hunter2!", "encrypted": False}])

GAP = {"kind": "gap", "system": "buddy", "subject": "buddy:acme", "reason": "403"}


def execution(number: int, started: datetime) -> dict[str, Any]:
    data = {"id": number, "status": "SUCCESSFUL", "start_date": started.isoformat(), "finish_date": started.isoformat()}
    return record("buddy.execution", workspace="acme", project="web", pipeline={"id": 89, "name": "Deploy"}, data=data)


PATHS = ("settings", "waivers", "baseline", "save-baseline", "output", "trend")
"""Options that take a file."""


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
        ([PINNED, GAP], [], 4),
        ([PINNED, GAP], ["--allow", "gaps"], 0),
        ([FLOATING, GAP], [], 4),
        ([FLOATING, GAP], ["--allow", "gaps"], 14),
        ([FLOATING, GAP], ["--fail-on", "never"], 4),
        ([PINNED, {**GAP, "missing": True}], [], 6),
        ([PINNED, {**GAP, "missing": True}], ["--allow", "missing"], 0),
        ([PINNED, {**GAP, "missing": True}, GAP], ["--allow", "missing"], 4),
        ([GAP], [], 5),
        ([GAP], ["--allow", "empty"], 4),
        ([GAP], ["--allow", "empty", "--allow", "gaps"], 0),
        ([], [], 5),
        ([], ["--allow", "empty"], 0),
    ],
)
def test_the_exit_code_is_that_of_the_worst_failing_finding(run: Run, records: list[Any], arguments: list[str], code: int) -> None:
    assert run(run.file("records.json", records), *arguments) == code


@pytest.mark.parametrize(("arguments", "code"), [([], 4), (["--allow", "gaps"], 15), (["--allow", "gaps", "--fail-on", "never"], 0)])
def test_the_worst_finding_counts_however_many_come_before_it(
    run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int
) -> None:
    monkeypatch.setattr(engine, "MAX_FINDINGS", 2)
    mild = [action(number, docker_image_name="node", docker_image_tag="latest") for number in range(3, 9)]
    assert run(run.file("records.json", [*mild, SECRET]), *arguments) == code
    assert "BDY008" in run.out


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


A_LINE = json.dumps(FLOATING)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"{A_LINE}\n{{", "line 2: It is not valid JSON"),
        (f"{{\n{A_LINE}\n", "line 1: It is not valid JSON"),
        (f'{{"kind": "buddy\n{A_LINE}\n', "line 1: It is not valid JSON"),
        (f"{A_LINE}\n" + "[" * 100_000 + "\n", "line 2: It is nested too deeply"),
        (f"{A_LINE}\n" + '{"a": ' * 100_000 + "\n", "line 2: It is nested too deeply"),
        (f"{A_LINE}\n{{'kind': {'1' * 5000}}}\n", "line 2: It is not valid JSON"),
        (f'{A_LINE}\n{{"kind": {"1" * 5000}}}\n', "line 2: It is not valid JSON: a number is too long"),
        (f'{A_LINE}\n"text"\n', "line 2: It is no record"),
        ([FLOATING, {"kind": "nonsense"}], "records.json, record 2: Unknown kind of record 'nonsense'"),
        ([FLOATING, 7], "record 2"),
        ([FLOATING, {**FLOATING, "data": 7}], "record 2"),
        ([FLOATING, {**FLOATING, "data": {"id": 3, "pipeline": []}, "pipeline": []}], "record 2"),
        ([FLOATING, {**FLOATING, "seen_at": "yesterday"}], "record 2"),
        ([FLOATING, {**FLOATING, "workspace": None, "seen_at": 1e400}], "record 2"),
        ([FLOATING, {**FLOATING, "kind": ["buddy.action"]}], "record 2"),
    ],
)
def test_a_record_that_cannot_be_read_is_told_and_the_others_are_judged(run: Run, content: object, message: str) -> None:
    assert run(run.file("records.json", content)) == 4
    assert message in run.err
    assert "Traceback" not in run.err
    assert "BDY001" in run.out
    assert run(run.file("records.json", content), "--allow", "gaps") == 14


@pytest.mark.parametrize("content", ["[" * 100_000, "not JSON", '{"kind":', "\x00\x01", '[{"kind": "buddy.action"'])
def test_a_file_that_is_no_json_is_an_error(run: Run, content: str) -> None:
    assert run(run.file("records.json", content)) in (2, 5)
    assert "error: " in run.err
    assert "Traceback" not in run.err


@pytest.mark.parametrize("content", ["", " \n\n", "[]", "\ufeff", "\ufeff[]", "null\n"])
def test_nothing_judged_is_no_pass(run: Run, content: str) -> None:
    assert run(run.file("records.json", content)) == 5
    assert "nothing was checked" in run.err


@pytest.mark.parametrize("separator", ["\n", "\r\n"])
def test_a_byte_order_mark_and_line_ends_of_windows_do_not_matter(run: Run, separator: str) -> None:
    for content in ("\ufeff" + separator.join([A_LINE, json.dumps(SECRET)]), "\ufeff" + json.dumps([FLOATING, SECRET], indent=1)):
        (run.folder / "records.jsonl").write_bytes(content.replace("\n", separator).encode())
        assert run(str(run.folder / "records.jsonl")) == 15
        assert "BDY001" in run.out


def test_a_broken_byte_spoils_one_character(run: Run) -> None:
    (run.folder / "records.jsonl").write_bytes(A_LINE.encode().replace(b"Build", b"B\xffild"))
    assert run(str(run.folder / "records.jsonl")) == 14


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("timeout", "soon"),
        ("timeout", 1.5),
        ("disabled", "perhaps"),
        ("variables", {"a": 1}),
        ("variables", [{"value": "no key"}]),
        ("execute_commands", [{"a": 1}]),
        ("retry_count", []),
        ("integration", "a text"),
        ("services", 3),
    ],
)
def test_a_field_that_cannot_be_read_spoils_no_other(run: Run, field: str, value: object) -> None:
    damaged = action(1, docker_image_name="node", docker_image_tag="latest", **{field: value})
    assert run(run.file("records.json", [damaged]), "--format", "json", "--allow", "gaps") == 14
    report = json.loads(run.out)
    assert "BDY001" in [finding["rule"] for finding in report["findings"]]
    assert field in report["gaps"][0]["reason"]
    readers = {"timeout": "BDY013", "variables": "BDY008", "execute_commands": "BDY009", "retry_count": "BDY016", "services": "BDY022"}
    if field in readers:
        assert report["outcomes"][readers[field]] == {"not_available": 1}


@pytest.mark.parametrize(
    "since",
    ["2026-03-09T12:00:00Z", "2026-03-09T12:00:00+02:00", "2026-03-09T12:00", "2026-03-09", "20260309T120000Z", "2026-W11-1", "36h", "2d"],
)
@pytest.mark.parametrize("until", [None, "2026-03-10T03:00:00Z", "2026-03-10", "2026-03-10T05:00:00+02:00"])
def test_every_form_of_a_window_works(run: Run, clock: VirtualClock, since: str, until: str | None) -> None:
    clock.advance(max(NOW.timestamp() - clock.now(), 0))
    records = run.file("records.json", [execution(1, NOW - timedelta(hours=14)), execution(2, NOW - timedelta(days=40))])
    arguments = [] if until is None else ["--until", until]
    assert run(records, "--since", since, *arguments, "--format", "json") == 0, run.err
    assert json.loads(run.out)["subjects"]["execution"] == 1


@pytest.mark.parametrize("since", ["", "h", "36", "-3d", "P1D", "12:00", "99999999d", "0001-01-01"])
def test_a_window_that_makes_no_sense_is_told(run: Run, since: str) -> None:
    assert run(run.file("records.json", [PINNED]), f"--since={since}") == 2
    assert "error: " in run.err
    assert "Traceback" not in run.err


@pytest.mark.parametrize("rule", ["BDY009", "bdy009", "secret-in-commands"])
def test_a_rule_is_explained(run: Run, rule: str) -> None:
    assert run("--explain", rule) == 0
    assert run.out.startswith("BDY009 secret-in-commands: ")
    assert all(f"\n{part}:\n" in run.out for part in ("Why", "Fix", "Before", "After"))


def test_a_rule_that_is_not_there_is_told(run: Run) -> None:
    assert run("--explain", "BDY0099") == 2
    assert "Did you mean BDY009 (secret-in-commands)?" in run.err


def test_the_rules_are_listed_as_they_are(run: Run) -> None:
    assert run("--list-rules") == 0
    lines = [line.split() for line in run.out.splitlines()]
    assert [line[:4] for line in lines] == [[rule.id, str(rule.severity), str(rule.confidence), rule.slug] for rule in all_rules()]
    assert {text.id: text.docs for text in rule_texts()} == {rule.id: rule.docs for rule in all_rules()}
    assert {text.id: text.persona for text in rule_texts()} == {rule.id: str(rule.persona) for rule in all_rules()}


def test_the_version_is_told(run: Run) -> None:
    assert run("--version") == 0
    assert run.out.strip() == f"airflow-provider-executions {__version__}"


@pytest.mark.parametrize("arguments", [["--list-rules"], ["records.json", "--format", "json"]])
def test_whoever_reads_may_stop_reading(tmp_path: Path, arguments: list[str]) -> None:
    """``--list-rules | head``: no traceback."""
    (tmp_path / "records.json").write_text("[]")
    command = [sys.executable, "-m", "airflow_provider.audit", *arguments, "--allow", "empty"]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=280, check=False)
    assert (done.returncode, done.stderr) == (141, "")


LIMITS = {"--help": 0.5, "--version": 0.5, "--list-rules": 0.5, "--explain BDY009": 0.5, "records.json": 1.5}
"""Seconds of processor time."""


@pytest.mark.long
@pytest.mark.parametrize("arguments", LIMITS)
def test_what_needs_no_airflow_does_without_it(run: Run, arguments: str) -> None:
    run.file("records.json", [PINNED])
    module = ["-m", "airflow_provider.audit", *arguments.split()]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *module], cwd=run.folder, capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "argparse" in imported
    assert imported.isdisjoint({"airflow", "httpx", "aiohttp", "sqlalchemy", "pendulum"})
    taken = []
    for _ in range(3):  # the least of them: other processes make each slower
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *module], cwd=run.folder, capture_output=True, timeout=280, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(taken) < LIMITS[arguments]


def test_missing_files_and_arguments_are_usage_errors(run: Run, tmp_path: Path) -> None:
    assert run() == 2
    assert "nothing to audit" in run.err
    assert run(str(tmp_path / "none.json")) == 2
    assert "none.json: No such file" in run.err
    assert run(run.file("records.json", [PINNED]), "--baseline", str(tmp_path / "none.json")) == 2
    assert run(run.file("records.json", [PINNED]), "--output", str(tmp_path / "records.json" / "report")) == 2
    assert run("--fail-on", "loud", "x.json") == 2


@pytest.mark.parametrize("option", ["", *(f"--{name}" for name in PATHS), "--configuration", "--executions", "--explain"])
@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_argument_is_an_error(run: Run, option: str, value: str) -> None:
    """As an unset variable of a script gives it: an audit of the working directory, or without settings, would be another one."""
    records = run.file("records.json", [PINNED])
    assert run(*([records, option, value] if option else [value])) == 2
    assert "it is empty" in run.err
    assert run.out == ""


@pytest.mark.parametrize("arguments", [["--output"], ["--save-baseline"], ["--trend"]])
@pytest.mark.parametrize("read", ["records.json", "link.json", "settings.toml", "waivers.yaml"])
def test_no_file_that_is_read_is_overwritten(run: Run, tmp_path: Path, arguments: list[str], read: str) -> None:
    files = {name: run.file(name, content) for name, content in (("records.json", [PINNED]), ("settings.toml", ""), ("waivers.yaml", ""))}
    (tmp_path / "link.json").symlink_to(tmp_path / "records.json")
    before = {name: Path(path).read_text() for name, path in files.items()}
    options = ["--settings", files["settings.toml"], "--waivers", files["waivers.yaml"]]
    assert run(files["records.json"], *options, *arguments, str(tmp_path / read)) == 2
    assert "is read as well, and would be overwritten" in run.err
    assert {name: Path(path).read_text() for name, path in files.items()} == before


def test_no_file_is_written_twice(run: Run, tmp_path: Path) -> None:
    both = str(tmp_path / "both.json")
    assert run(run.file("records.json", [PINNED]), "--output", both, "--save-baseline", both) == 2
    assert "is written by --output as well" in run.err
    kept = str(tmp_path / "baselines" / "baseline.json")
    assert run(run.file("records.json", [PINNED]), "--save-baseline", kept) == 0
    assert run(run.file("records.json", [PINNED]), "--save-baseline", kept, "--baseline", kept) == 0


@pytest.mark.parametrize("option", ["settings", "waivers", "baseline", "trend"])
@pytest.mark.parametrize("content", [b"\xff\xfe\x00\x01", b"[" * 200_000, b"- " * 5_000, b"[]", b"7"])
def test_an_odd_file_of_an_option_is_an_error(run: Run, tmp_path: Path, option: str, content: bytes) -> None:
    (tmp_path / "odd.json").write_bytes(content)
    assert run(run.file("records.json", [PINNED]), f"--{option}", str(tmp_path / "odd.json")) == 2
    assert "odd.json" in run.err or "not an audit baseline" in run.err


def test_a_key_that_is_there_twice_is_an_error_and_a_byte_order_mark_is_none(run: Run) -> None:
    records = run.file("records.json", [PINNED])
    assert run(records, "--settings", run.file("twice.yaml", "report:\n  severity: low\n  severity: high\n")) == 2
    assert "twice.yaml, line 3, report.severity: the key is there twice" in run.err
    assert run(records, "--settings", run.file("mark.toml", '\ufeffpersona = "strict"\n')) == 0


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_console_that_lacks_a_character_gets_the_report(tmp_path: Path, format: str, encoding: str) -> None:
    (tmp_path / "records.json").write_text(json.dumps([{**FLOATING, "pipeline": {"id": 89, "name": "Развёртывание 部署"}}]))
    command = [sys.executable, "-m", "airflow_provider.audit", "records.json", "--format", format]
    ran = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True, check=False, timeout=280
    )
    assert ran.returncode == 14, ran.stderr
    if format == "table":
        assert b"BDY001" in ran.stdout
    else:
        assert "Развёртывание" in ran.stdout.decode()


def test_a_closed_standard_output_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "records.json").write_text(json.dumps([FLOATING]))
    command = f"{shlex.quote(sys.executable)} -m airflow_provider.audit records.json"
    for more in ("", " --output report.json --format json"):
        ran = subprocess.run(["sh", "-c", f"{command}{more} >&-"], cwd=tmp_path, capture_output=True, check=False, timeout=280)
        assert (ran.returncode, ran.stderr) == (14, b"")
    assert json.loads((tmp_path / "report.json").read_text())["findings"]


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
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
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


IN_THE_DATABASE = """
from airflow import settings
from airflow.models.connection import Connection
Connection.metadata.create_all(settings.engine)  # teams as well, which connections refer to
with settings.Session() as session:
    session.add(Connection(conn_id="kept", conn_type="http", host="http://127.0.0.1:9"))
    session.commit()
"""


@pytest.mark.long
@pytest.mark.timeout(400)
def test_a_connection_in_the_database_of_airflow_is_found(run: Run) -> None:
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(run.folder),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{run.folder}/airflow.db",
    }
    subprocess.run([sys.executable, "-c", IN_THE_DATABASE], env=environment, capture_output=True, text=True, timeout=280, check=True)
    for name, code, message in (
        ("kept", 2, "is of type 'http'"),
        ("nowhere", 2, "Airflow finds no connection 'nowhere'. Create it, or set AIRFLOW_CONN_NOWHERE"),
    ):
        command = [sys.executable, "-m", "airflow_provider.audit", "--configuration", name]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
        assert done.returncode == code, done.stderr
        assert message in done.stderr
        assert "Traceback" not in done.stderr
