"""Whatever an action or an execution holds: no rule breaks, and work and memory are bounded and grow no faster than it does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider.audit.__main__ import main
from airflow_provider.audit.engine.engine import MAX_SECONDS, Audit
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.records import files, reading
from airflow_provider.audit.rules.outcome import Status
from airflow_provider.audit.settings.levels import Persona
from airflow_provider.audit.settings.model import AuditSettings
from tests.unit.audit.reports.results import NOW, action, record

PIECES = (
    "curl -sSL https://x.example/i.sh",
    " | ",
    "bash",
    "\n",
    "; ",
    " && ",
    " || true",
    "$(",
    ")",
    "`",
    "'",
    '"',
    "\\",
    "<<EOF\n",
    "EOF\n",
    "{ ",
    "}",
    "( ",
    "if x; then ",
    "fi",
    "case $x in ",
    "esac",
    "for i in a; do ",
    "done",
    "a=(",
    "[[ ",
    "]]",
    "$TOKEN",
    "${execution.tag.name}",
    "${",
    "=",
    "export PASSWORD=",
    "Zx9!kPq2rT",
    "echo ",
    "sudo -S ",
    "-H 'X-Key: ab12'",
    "postgres://a:b@",
    "docker run -v /:/h ",
    "ssh -o ",
    "eval ",
    "sh -c ",
    "iex (irm x)",
    "pip install ",
    "-----BEGIN PRIVATE KEY-----",
    "ghp_",
    "eyJ",
    "\x00",
    "\ud800",
    "\u202e",
    "\U0001f600",
    " ",
    "0",
    "npm test",
    "--exit-code 0",
    "set +e",
    "! ",
    " || { echo x; }",
    "npx ",
)
SCRIPTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8)), max_size=40).map("".join)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), SCRIPTS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=6,
)
FIELDS = (
    "id",
    "name",
    "type",
    "timeout",
    "disabled",
    "variables",
    "execute_commands",
    "setup_commands",
    "inline_commands",
    "commands",
    "entrypoint",
    "shell",
    "services",
    "docker_image_name",
    "docker_image_tag",
    "image_location",
    "registry",
    "login",
    "password",
    "volume_mappings",
    "working_directory",
    "cached_dirs",
    "run_as_user",
    "ignore_errors",
    "retry_count",
    "trigger_time",
    "integration",
    "loop",
    "permissions",
    "html_url",
)
ACTIONS = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6)
COMMANDS = st.builds(
    lambda lines, block, shell: {"execute_commands": lines, "inline_commands": block, "shell": shell},
    st.lists(SCRIPTS, max_size=4),
    SCRIPTS,
    st.sampled_from([None, "SH", "BASH", "POWERSHELL"]),
)
STEPS = st.fixed_dictionaries({}, optional={"action": JSON, "status": JSON, "log": JSON, "outputted_variables": JSON, "start_date": JSON})
EXECUTIONS = st.dictionaries(
    st.sampled_from(["id", "status", "start_date", "finish_date", "action_executions", "creator", "comment", "branch", "url", "html_url"]),
    st.one_of(JSON, st.lists(STEPS, max_size=3)),
    max_size=6,
)
KINDS = (
    "buddy.action",
    "buddy.pipeline",
    "buddy.execution",
    "tracecat.execution",
    "alga_psa.execution",
    "tracecat.workflow",
    "window",
    "gap",
)
RECORDS = st.one_of(
    COMMANDS.map(lambda data: action(1, **data)),
    ACTIONS.map(lambda data: {**(made := action(1)), "data": {**made["data"], **data}}),
    st.lists(ACTIONS, max_size=3).map(
        lambda actions: record("buddy.pipeline", workspace="w", project="p", data={"id": 1, "name": "n"}, actions=actions)
    ),
    EXECUTIONS.map(
        lambda data: record(
            "buddy.execution", workspace="w", project="p", pipeline={"id": 1}, data={"id": 1, "status": "FAILED", **data}, details=[data]
        )
    ),
    st.dictionaries(
        st.sampled_from(["kind", "data", "workspace", "project", "pipeline", "seen_at", "connection", "rule"]), JSON, max_size=6
    ),
    st.tuples(st.sampled_from(KINDS), JSON, JSON).map(lambda parts: {"kind": parts[0], "data": parts[1], "history": parts[2]}),
)


def audited(*records: Any) -> AuditResult:
    """What a strict audit of a file of these records says."""
    audit = Audit(AuditSettings(persona=Persona.FORENSIC), now=NOW)
    for fact in files.facts_in(StringIO("\n".join(json.dumps(one) for one in records)), "records.jsonl"):
        audit.feed(fact)
    return audit.finish()


def no_rule_breaks(made: Any) -> None:
    result = audited(made, action(2, docker_image_name="node", docker_image_tag="latest"))
    assert not result.errors
    assert any(finding.rule == "BDY001" and finding.subject.id.endswith("/action/2") for finding in result.findings)
    assert result.checked


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS)
def test_nothing_that_a_record_holds_breaks_an_audit(made: Any) -> None:
    no_rule_breaks(made)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=5_000, suppress_health_check=[HealthCheck.too_slow])
@given(RECORDS)
def test_nothing_that_5000_records_hold_breaks_an_audit(made: Any) -> None:
    no_rule_breaks(made)


FAMILIES: dict[str, str] = {
    "pipes": "curl x |",
    "groups in pipes": "{ curl x; } | ",
    "statements": "curl x; ",
    "brackets": "(",
    "substitutions": "$(curl x ",
    "arrays": "a=(",
    "options": "-H 'X-Key: Zx9kPq2rT8' ",
    "files": "wget https://x.example/a/b ",
    "variables in one word": "$A_TOKEN",
    "assignments": "A_TOKEN=x9!kaaaa1 ",
    "addresses": "a://b:",
    "passwords": "postgres://a:Zx9kPq2r!@h/ ",
    "scripts in scripts": 'bash -c "',
    "heredocs": "cat <<E\n",
    "keys": "-----BEGIN PRIVATE KEY-----",
    "dotted names": "${a.b",
    "quotes": "'",
    "lines": "export A=b\n",
    "interpreters": 'python -c "$(curl x)" ',
}


def work(function: Callable[[], Any]) -> int:
    """The number of calls that a function makes."""
    calls = 0

    def count(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return calls


@pytest.mark.long
@pytest.mark.parametrize("shell", [None, "POWERSHELL"])
@pytest.mark.parametrize("family", FAMILIES)
def test_work_grows_no_faster_than_the_commands(family: str, shell: str | None) -> None:
    def of(size: int) -> int:
        text = (FAMILIES[family] * size)[:size]
        return work(lambda: audited(action(1, execute_commands=[text], shell=shell)))

    of(10)
    small, large = of(1_500), of(6_000)
    assert large < 6 * small, "four times the text"


@pytest.mark.long
@pytest.mark.parametrize("item", ["{action: Build, type: BUILD}", "{action: Step %d, type: BUILD}"], ids=["same name", "other names"])
@pytest.mark.parametrize("head", ["- pipeline: Deploy\n  actions:\n", ""], ids=["in a pipeline", "fragment"])
def test_work_grows_no_faster_than_the_actions_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str], item: str, head: str) -> None:
    def of(count: int) -> int:
        lines = (f"{'  ' * bool(head)}- {item % number if '%' in item else item}\n" for number in range(count))
        (tmp_path / "buddy.yml").write_text(head + "".join(lines))
        return work(lambda: main([str(tmp_path / "buddy.yml"), "--format", "json"]))

    of(2)
    small, large = of(400), of(1_600)
    capsys.readouterr()
    assert large < 4.5 * small, "four times the actions"


@pytest.mark.long
@pytest.mark.parametrize("family", FAMILIES)
def test_commands_beyond_the_bounds_are_told_and_are_no_pass(family: str) -> None:
    result = audited(action(1, execute_commands=[FAMILIES[family] * (100_000 // len(FAMILIES[family]))], timeout=60))
    assert not result.complete
    assert [gap.reason.partition(":")[0] for gap in result.gaps] == ["execute_commands"]
    for rule in ("BDY009", "BDY010", "BDY011", "BDY012", "BDY026"):
        assert result.outcomes[rule][Status.PASS] == 0
    assert result.outcomes["BDY013"] == {Status.PASS: 1}, "what does not read them is judged"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("variables", [{"key": f"A{number}", "value": "x"} for number in range(reading.MAX_ITEMS + 1)]),
        ("variables", [{"key": "A", "value": "x" * (reading.MAX_CHARACTERS + 1)}]),
        ("services", [["nested"] * 3]),
        ("services", "deep"),
    ],
)
def test_fields_beyond_the_bounds_are_told(field: str, value: Any) -> None:
    if value == "deep":
        for _ in range(reading.MAX_DEPTH + 2):
            value = [value]
    result = audited(action(1, **{field: value}, timeout=60))
    cut = field != "services" or value != [["nested"] * 3]
    assert result.complete is not cut
    readers = {"variables": "BDY008", "services": "BDY022"}
    assert (result.outcomes[readers[field]][Status.CUT_OFF] == 1) is cut


def test_a_fact_that_takes_too_long_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider.audit.engine.engine.MAX_SECONDS", -1.0)
    result = audited(action(1, execute_commands=["curl https://x.example | sh"]))
    assert not result.findings
    assert not result.complete
    assert result.outcomes["BDY010"] == {Status.CUT_OFF: 1}
    assert MAX_SECONDS > 0


MEMORY = """
import io, json, sys
from airflow_provider._alone import do_without_airflow
do_without_airflow()
from airflow_provider import _clock
from airflow_provider.audit.engine.engine import Audit
from airflow_provider.audit.records.files import facts_in
from airflow_provider.audit.settings.model import AuditSettings
audit = Audit(AuditSettings(), now=_clock.utc_now())
for text in json.loads(sys.stdin.read()):
    for fact in facts_in(io.StringIO(json.dumps({"kind": "buddy.action", "workspace": "w", "project": "p",
            "pipeline": {"id": 1, "name": "n"},
            "data": {"id": 1, "name": "n", "type": "BUILD", "execute_commands": [text * (400_000 // len(text))]}})), "records"):
        audit.feed(fact)
assert not audit.finish().errors
print(next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


@pytest.mark.long
def test_memory_is_bounded() -> None:
    """400 KB of commands took 15 GB. In a process of its own, whose peak is that of the audit."""
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], input=json.dumps(list(FAMILIES.values())), capture_output=True, text=True, timeout=280, check=True
    )
    assert int(done.stdout) < 200


FOREIGN = """
from airflow_provider._alone import do_without_airflow
do_without_airflow()
from airflow_provider.audit.analysis.shell.parsing import parse
texts = (
    "export PASSWORD=[\U00077bc6\U000521cc\u00e4K{\U000d35d7",
    "echo \U0001f600 done",
    "a=\U0010ffff", "${\u4e2d\u6587}", "[\U000fffff]=1",
)
for text in texts:
    for shell in (None, "POWERSHELL"):
        parse(text, shell)
"""


def test_no_character_ends_the_process() -> None:
    """Whether a look-up beyond a table does depends on where the process lies in memory."""
    for _ in range(8):
        subprocess.run([sys.executable, "-c", FOREIGN], timeout=280, check=True)


@pytest.mark.parametrize("command", ["export PASSWORD='Zx9\U0001f600kPq2rT'", "curl -u 'ci:Zx9\u4e2dkPq2rT' https://x.example"])
def test_a_secret_with_foreign_characters_is_found_and_not_shown(command: str) -> None:
    result = audited(action(1, execute_commands=[command]))
    found = [finding for finding in result.findings if finding.rule == "BDY009"]
    assert found
    assert "kPq2rT" not in json.dumps([finding.as_json() for finding in found])
