"""The command line takes definitions, API answers and records, as files and folders."""

from __future__ import annotations

import io
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.audit.__main__ import main
from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Pipeline
from airflow_provider.emulator.tracecat import Workflow
from tests.virtual_clock import VirtualClock

BUDDY = """\
- pipeline: "deploy"
  actions:
  - action: "Build"
    type: "BUILD"
    docker_image_name: "node"
    docker_image_tag: latest
    timeout: 60
"""
TRACECAT = """\
definition:
  title: Triage
  description: ""
  entrypoint: {ref: ask}
  config: {timeout: 60}
  actions:
  - ref: ask
    action: core.http_request
    args:
      url: https://siem.acme.io
      verify_ssl: false
"""
SECRET = "5ec2e7" * 10 + "5ec2"
JSON_WORKFLOW = """{"definition": {"title": "t", "entrypoint": {}, "actions": [
{"ref": "a", "action": "core.http_request", "args": {"verify_ssl": false}}]}}"""
PLACE = "https://api.buddy.works/workspaces/acme/projects/web/pipelines/89"
PIPELINE = {
    "id": 89,
    "name": "Deploy",
    "url": PLACE,
    "refs": ["main"],
    "events": [],
    "variables": [{"key": "API_TOKEN", "value": "aP9x-7Kq2mZ4tRw8"}],
}
VARIABLES = "https://api.buddy.works/workspaces/acme/variables"
VARIABLE = {"url": f"{VARIABLES}/2", "id": 2, "key": "DB_PASSWORD", "value": "correct-h0rse", "type": "VAR", "encrypted": False}
ACTION = {
    "id": 1,
    "name": "Build",
    "type": "RUN_DOCKER_CONTAINER",
    "url": f"{PLACE}/actions/1",
    "docker_image_name": "node",
    "docker_image_tag": "latest",
}
EXECUTION = {
    "id": 7,
    "status": "SUCCESSFUL",
    "start_date": "2026-03-01T00:00:00Z",
    "finish_date": "2026-02-01T00:00:00Z",
    "url": f"{PLACE}/executions/7",
}
ALGA = {
    "execution_id": "11111111-2222-4333-8444-555555555555", "status": "completed", "actions_total": 3, "actions_failed": 1,
    "actions_successful": 2, "started_at": "2026-03-01T00:00:00Z", "completed_at": "2026-03-01T00:01:00Z",
}  # fmt: skip
COMPACT = {
    "id": "wf_abc/exec_def", "history_length": 99_999, "workflow_type": "DSLWorkflow", "status": "COMPLETED", "events": [],
    "start_time": "2026-03-01T00:00:00Z",
}  # fmt: skip
WORKFLOW = {
    "id": "wf_abc", "title": "Triage", "webhook": {"status": "online", "api_key": None},
    "actions": {"a": {"id": "a", "type": "core.http_request", "ref": "ask", "inputs": "url: https://a.acme.io\nverify_ssl: false\n"}},
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def audit(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    code = main([*arguments, "--format", "json"])
    out, err = capsys.readouterr()
    assert code in (0, 4, 12, 13, 14, 15), err
    read: dict[str, Any] = json.loads(out)
    assert not read["errors"]
    return read


def rules(result: dict[str, Any]) -> set[str]:
    return {finding["rule"] for finding in result["findings"]}


@pytest.mark.parametrize(
    ("name", "text", "rule", "line"),
    [
        ("buddy.yml", BUDDY, "BDY001", 6),
        ("deploy.fixed.yml", BUDDY, "BDY001", 6),
        ("workflow.yaml", TRACECAT, "TRC004", 11),
        ("workflow.json", JSON_WORKFLOW, "TRC004", 2),
        ("bom.yml", "\ufeff" + BUDDY, "BDY001", 6),
    ],
)  # fmt: skip
def test_a_file_of_definitions_is_judged_with_its_lines(
    capsys: pytest.CaptureFixture[str], folder: Path, name: str, text: str, rule: str, line: int
) -> None:
    (folder / name).write_text(text)
    finding = next(item for item in audit(capsys, name)["findings"] if item["rule"] == rule)
    assert (finding["location"]["file"], finding["location"]["line"]) == (name, line)


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (ACTION, "BDY001"),
        ({"url": "x", "actions": [ACTION]}, "BDY001"),
        (PIPELINE, "BDY028"),
        ({"pipelines": [PIPELINE]}, "BDY028"),
        ([PIPELINE, ACTION], "BDY001"),
        (EXECUTION, "EXE016"),
        ({"executions": [EXECUTION], "page": 1}, "EXE016"),
        (COMPACT, "EXE023"),
        ({"items": [COMPACT], "next_cursor": None}, "EXE023"),
        (WORKFLOW, "TRC007"),
        ({"data": ALGA}, "EXE015"),
        ({"data": [ALGA], "pagination": {}}, "EXE015"),
        ({"url": VARIABLES, "html_url": "https://app.buddy.works/acme/variables", "variables": [VARIABLE]}, "BDY028"),
        ({"variables": [VARIABLE]}, "BDY028"),
        (VARIABLE, "BDY028"),
        ([VARIABLE], "BDY028"),
    ],
)
def test_an_answer_of_an_api_is_taken_as_it_is(capsys: pytest.CaptureFixture[str], folder: Path, answer: Any, rule: str) -> None:
    (folder / "answer.json").write_text(json.dumps(answer))
    assert rule in rules(audit(capsys, "answer.json"))


@pytest.mark.parametrize(
    "url", ["https://hooks.slack.com/services/T0AAAAAAA/B0BBBBBBB/aBcDeFgHiJkLmNoPqRsTuVwX", "https://u:Xk29vLq8ZpT4@x.example/hook"]
)
def test_the_address_that_an_action_of_a_file_asks_is_searched(capsys: pytest.CaptureFixture[str], folder: Path, url: str) -> None:
    (folder / "buddy.yml").write_text(f"- pipeline: P\n  actions:\n  - action: A\n    type: HTTP\n    timeout: 10\n    url: {url}\n")
    [finding] = [one for one in audit(capsys, "buddy.yml")["findings"] if one["rule"] == "BDY030"]
    assert finding["location"]["line"] == 6


BUILD = {"id": 1, "name": "Build", "type": "BUILD", "docker_image_name": "node", "docker_image_tag": "latest"}
WITH_ACTION = {"url": PLACE, "id": 89, "name": "Deploy", "actions": [BUILD]}
RECORD = {"kind": "buddy.pipeline", "workspace": "acme", "project": "web"}


@pytest.mark.parametrize(
    "answer", [WITH_ACTION, [WITH_ACTION], {"pipelines": [WITH_ACTION]}, {"data": WITH_ACTION}, {**RECORD, "data": WITH_ACTION}]
)
def test_the_actions_in_the_answer_about_a_pipeline_are_judged(capsys: pytest.CaptureFixture[str], folder: Path, answer: Any) -> None:
    (folder / "answer.json").write_text(json.dumps(answer))
    assert "BDY001" in rules(audit(capsys, "answer.json"))


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"execute_commands": ["curl -k https://a.acme.io"]}, "BDY011"),
        ({"execute_commands": ["mysql -pZx9kPq2rT a"]}, "BDY009"),
        ({"execute_commands": ["curl https://a.acme.io/x.sh | sh"]}, "BDY010"),
        ({"execute_commands": ["set -x"]}, "BDY012"),
        ({"execute_commands": ["docker run --privileged a:1"]}, "BDY018"),
        ({"variables": [{"key": "API_TOKEN", "value": "aP9x-7Kq2mZ4tRw8"}]}, "BDY008"),
        ({"volume_mappings": ["/var/run/docker.sock:/x"]}, "BDY018"),
    ],
)
def test_an_action_in_the_answer_about_its_pipeline_is_judged_like_one_of_its_own(
    capsys: pytest.CaptureFixture[str], folder: Path, fields: dict[str, Any], rule: str
) -> None:
    action = {"id": 1, "name": "Build", "type": "BUILD", "timeout": 60, **fields}
    (folder / "answer.json").write_text(json.dumps({**WITH_ACTION, "actions": [action]}))
    (folder / "own.json").write_text(json.dumps({**action, "url": f"{PLACE}/actions/1"}))
    (folder / "pipeline.json").write_text(json.dumps({**WITH_ACTION, "actions": []}))
    within, alone = audit(capsys, "answer.json"), audit(capsys, "pipeline.json", "own.json")
    assert rule in rules(within)
    assert [one["fingerprint"] for one in within["findings"]] == [one["fingerprint"] for one in alone["findings"]]


def test_short_actions_in_the_answer_about_a_pipeline_are_a_gap(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    short = {**WITH_ACTION, "actions": [{"id": 1, "name": "Build", "type": "BUILD"}]}
    (folder / "answer.json").write_text(json.dumps(short))
    assert main(["answer.json"]) == 4
    assert "Nothing of it could be judged" in capsys.readouterr().out


def test_a_pipeline_whose_actions_are_in_no_file_is_a_gap(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "pipeline.json").write_text(json.dumps(PIPELINE))
    [gap] = audit(capsys, "pipeline.json")["gaps"]
    assert "Its actions are not part of what was given" in gap["reason"]
    assert gap["subject"]["id"] == "buddy:acme/web/89"
    (folder / "actions.json").write_text(
        json.dumps({"actions": [{"id": 1, "type": "BUILD", "name": "Build", "url": f"{PLACE}/actions/1"}]})
    )
    for names in (["pipeline.json", "actions.json"], ["actions.json", "pipeline.json"], ["."]):
        assert audit(capsys, *names)["gaps"] == []


def test_variables_belong_to_what_they_name(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    scopes: list[dict[str, Any]] = [
        {},
        {"project": {"name": "web"}},
        {"project": {"name": "web"}, "pipeline": {"id": 89, "name": "Deploy"}},
        {"pipeline": {"id": 89}},
        {"project": "unreadable"},
    ]
    (folder / "answer.json").write_text(json.dumps({"url": VARIABLES, "variables": [{**VARIABLE, **scope} for scope in (*scopes, {})]}))
    result = audit(capsys, "answer.json")
    assert sorted((finding["subject"]["id"], finding["path"]) for finding in result["findings"]) == [
        ("buddy:acme/89/variables", "variables[0].value"),
        ("buddy:acme/variables", "variables[0].value"),
        ("buddy:acme/variables", "variables[1].value"),
        ("buddy:acme/variables", "variables[2].value"),
        ("buddy:acme/web/89/variables", "variables[0].value"),
        ("buddy:acme/web/variables", "variables[0].value"),
    ]
    assert [gap["reason"].partition(":")[0] for gap in result["gaps"]] == ["variables.project"]


def test_variables_of_a_pipeline_are_part_of_it(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "answer.json").write_text(json.dumps({**PIPELINE, "variables": [VARIABLE]}))
    result = audit(capsys, "answer.json")
    assert {finding["subject"]["kind"] for finding in result["findings"] if finding["rule"] == "BDY028"} == {"pipeline"}


def test_what_is_no_variable_is_a_gap_among_variables(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "answer.json").write_text(json.dumps({"url": VARIABLES, "variables": [5, VARIABLE]}))
    result = audit(capsys, "answer.json")
    assert rules(result) == {"BDY028"}
    assert [gap["reason"].partition(":")[0] for gap in result["gaps"]] == ["variables"]


def test_an_answer_on_standard_input(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(ACTION, indent=1)))
    assert "BDY001" in rules(audit(capsys, "-"))


def test_a_folder_is_judged_whole_and_what_is_something_else_is_a_gap(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / ".buddy").mkdir()
    (folder / ".git").mkdir()
    (folder / "api" / "deep").mkdir(parents=True)
    (folder / ".buddy" / "deploy.yml").write_text(BUDDY)
    (folder / ".git" / "x.yml").write_text(BUDDY)
    (folder / "workflow.yml").write_text(TRACECAT)
    (folder / "api" / "deep" / "execution.json").write_text(json.dumps(COMPACT))
    (folder / "compose.yml").write_text("services: {}\n")
    (folder / "broken.yml").write_text("a: [\n")
    (folder / "package.json").write_text('{"name": "shop"}')
    (folder / "README.md").write_text("# x")
    result = audit(capsys, ".")
    assert {"BDY001", "TRC004", "EXE023"} <= rules(result)
    assert {item["subject"]["id"] for item in result["findings"] if item["rule"] == "BDY001"} == {
        "buddy:.buddy/deploy.yml/deploy/action/Build"
    }
    assert sorted(gap["subject"]["id"] for gap in result["gaps"]) == ["file:broken.yml", "file:compose.yml", "package.json, record 1"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("compose.yml", "services: {}\n", "compose.yml is neither a definition of Buddy pipelines nor one of Tracecat workflows"),
        ("broken.yml", "a: 1\nb: c: d\n", "broken.yml, line 2 is not valid YAML"),
        ("empty.yml", "# nothing\n", "empty.yml is empty"),
        ("latin.yml", b"a: \xe4", "latin.yml is not UTF-8 text"),
        ("comment.yml", BUDDY + "# audit: ignore[BDY001]\n", "comment.yml, line 8: this comment accepts nothing"),
    ],
)
def test_a_named_file_that_cannot_be_judged_is_an_error(
    capsys: pytest.CaptureFixture[str], folder: Path, name: str, text: str | bytes, message: str
) -> None:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    assert main([name]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "names", [["buddy.yml", "buddy.yml"], ["buddy.yml", "."], [".", "./buddy.yml"], [".", "link"], [".", "."]], ids=str
)
def test_a_file_that_is_named_twice_counts_once(capsys: pytest.CaptureFixture[str], folder: Path, names: list[str]) -> None:
    (folder / "buddy.yml").write_text(BUDDY)
    (folder / "link").symlink_to(folder / "buddy.yml")
    once = audit(capsys, "buddy.yml")
    result = audit(capsys, *names)
    assert (result["findings"], result["outcomes"]) == (once["findings"], once["outcomes"])


@pytest.mark.parametrize("first", [True, False])
def test_a_foreign_document_of_a_file_hides_no_other(capsys: pytest.CaptureFixture[str], folder: Path, first: bool) -> None:
    foreign = "kind: Service\nmetadata: {name: shop}\n"
    (folder / "all.yml").write_text("---\n".join([foreign, BUDDY] if first else [BUDDY, foreign]))
    result = audit(capsys, "all.yml")
    assert "BDY001" in rules(result)
    [gap] = result["gaps"]
    assert f"Document {1 if first else 2} of the file is neither" in gap["reason"]


def test_each_workflow_of_a_list_is_judged_at_its_place(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    item = "- " + TRACECAT.replace("\n", "\n  ").rstrip(" ")
    (folder / "all.yml").write_text(item + item + "- kind: Service\n")
    result = audit(capsys, "all.yml")
    assert [finding["location"]["line"] for finding in result["findings"] if finding["rule"] == "TRC004"] == [11, 22]
    assert len({finding["subject"]["id"] for finding in result["findings"] if finding["rule"] == "TRC004"}) == 2
    [gap] = result["gaps"]
    assert gap["reason"].startswith("Item 3 of the list is neither")


SCRIPT = """\
title: Triage
entrypoint: {ref: run}
config: {timeout: 60}
actions:
- ref: run
  action: core.script.run_python
  args:
    script: |
      def main():
          key = "AKIAQYLPMN5HHHFPZAM2"
          name = "${{ TRIGGER.name }}"
          dsn = "postgres://app:Zx9kPq2rT@db.acme.io/app"
          return "${{ TRIGGER.id }}"
"""


@pytest.mark.parametrize(("rule", "lines"), [("TRC003", [10, 12]), ("TRC014", [11, 13])])
def test_each_fault_of_a_script_is_at_its_own_line(capsys: pytest.CaptureFixture[str], folder: Path, rule: str, lines: list[int]) -> None:
    (folder / "workflow.yml").write_text(SCRIPT)
    findings = [finding for finding in audit(capsys, "workflow.yml")["findings"] if finding["rule"] == rule]
    assert sorted(finding["location"]["line"] for finding in findings) == lines
    assert len({finding["fingerprint"] for finding in findings}) == 2


def test_folders_that_are_links_are_entered_once(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "real" / "buddy.yml").write_text(BUDDY)
    (folder / "real" / "back").symlink_to(folder / "real")
    (folder / "audited").mkdir()
    (folder / "audited" / ".buddy").symlink_to(folder / "real")
    (folder / "audited" / "ci").symlink_to(folder / "real")
    result = audit(capsys, "audited")
    assert [finding["rule"] for finding in result["findings"]].count("BDY001") == 1
    assert result["gaps"] == []


def test_a_named_pipe_in_a_folder_is_a_gap(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "buddy.yml").write_text(BUDDY)
    os.mkfifo(folder / "endless.yml")
    result = audit(capsys, ".")
    assert "BDY001" in rules(result)
    assert ["no regular file" in gap["reason"] for gap in result["gaps"]] == [True]


def test_standard_input_that_is_named_twice_is_read_once(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(BUDDY))
    assert "BDY001" in rules(audit(capsys, "-", "-"))


def test_a_folder_without_definitions_is_an_error(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "docs").mkdir()
    assert main(["docs"]) == 2
    assert "docs contains no file that can be audited" in capsys.readouterr().err


def test_a_sarif_result_has_the_region_and_the_line_without_the_secret(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    (folder / "buddy.yml").write_text('- pipeline: x\n  variables:\n  - {key: "API_TOKEN", value: "aP9x-7Kq2mZ4tRw8"}\n')
    main(["buddy.yml", "--format", "sarif"])
    (run,) = json.loads(capsys.readouterr().out)["runs"]
    assert "aP9x" not in json.dumps(run["results"])
    (result,) = [item for item in run["results"] if item["ruleId"] == "BDY028"]
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "buddy.yml"},
        "region": {"startLine": 3, "startColumn": 31, "snippet": {"text": '- {key: "API_TOKEN", value: "***"}'}},
    }


# -- export


@pytest.fixture
def installation(clock: VirtualClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    with Emulator(clock) as emulator:
        definition = {"docker_image_name": "node", "docker_image_tag": "latest", "timeout": 60}
        emulator.buddy.add_pipeline(Pipeline("p", actions=[Action("a", "RUN_DOCKER_CONTAINER", seconds=1.0, definition=definition)]))
        emulator.tracecat.add_workflow(Workflow("Triage", webhook="online", webhook_secret=SECRET))
        for system in emulator.systems.values():
            monkeypatch.setenv(system.connection_variable, system.connection_json())
        yield emulator


def test_what_is_exported_is_audited_like_the_connection_itself(
    capsys: pytest.CaptureFixture[str], folder: Path, installation: Emulator
) -> None:
    connections = ["--configuration", "buddy_default", "--configuration", "tracecat_default"]
    assert main(["export", *connections, "--output", "records.jsonl"]) == 0
    assert "records" in capsys.readouterr().err
    assert stat.S_IMODE((folder / "records.jsonl").stat().st_mode) == 0o600
    assert SECRET not in (folder / "records.jsonl").read_text()
    exported, direct = audit(capsys, "records.jsonl"), audit(capsys, *connections)
    assert {"BDY001", "TRC007"} <= rules(exported)
    assert exported["findings"] == direct["findings"]
    assert exported["subjects"] == direct["subjects"]


def test_an_export_needs_something_to_export(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as error:
        main(["export"])
    assert error.value.code == 2
    assert "nothing to export" in capsys.readouterr().err
    assert main(["export", "--configuration", "nowhere"]) == 2


@pytest.mark.parametrize(
    ("name", "text", "where"),
    [
        ("buddy.yml", BUDDY + '    docker_image_tag: "22"\n', "lines 6 and 8: docker_image_tag is there twice"),
        ("workflow.yaml", TRACECAT + "      verify_ssl: true\n", "lines 11 and 12: verify_ssl is there twice"),
        ("workflow.json", JSON_WORKFLOW.replace("false}", 'false, "verify_ssl":\ntrue}'), "lines 2 and 2: verify_ssl is there twice"),
    ],
)
def test_a_field_that_is_there_twice_is_a_gap(capsys: pytest.CaptureFixture[str], folder: Path, name: str, text: str, where: str) -> None:
    (folder / name).write_text(text)
    result = audit(capsys, name)
    assert [where in gap["reason"] for gap in result["gaps"]] == [True]
    assert main([name]) == 4


@pytest.mark.parametrize(
    ("text", "rule", "where"),
    [
        (BUDDY, "BDY001", "stdin"),
        ("\ufeff" + BUDDY, "BDY001", "stdin"),
        (TRACECAT, "TRC004", "stdin"),
        (JSON_WORKFLOW, "TRC004", "stdin"),
        (json.dumps(ACTION), "BDY001", None),
        (json.dumps([ACTION] * 3, indent=1), "BDY001", None),
        (json.dumps(ACTION) + "\n" + json.dumps({**ACTION, "description": "x" * 1_100_000}) + "\n" + json.dumps(ACTION), "BDY001", None),
    ],
    ids=["pipelines", "with a byte order mark", "workflow", "workflow in JSON", "record", "list", "long lines"],
)
def test_standard_input_is_read_whatever_it_holds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str, rule: str, where: str | None
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    findings = [item for item in audit(capsys, "-")["findings"] if item["rule"] == rule]
    assert {item["location"] and item["location"]["file"] for item in findings} == {where}


@pytest.mark.parametrize(("text", "code", "message"), [("nonsense", 2, "neither a definition"), ("a: [", 2, "line 1"), ("", 5, "")])
def test_standard_input_that_is_nothing_known_is_told_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, text: str, code: int, message: str
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    assert main(["-"]) == code
    assert message in capsys.readouterr().err


def test_a_damaged_first_line_of_standard_input_is_one_gap(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("damaged\n" + json.dumps(ACTION) + "\nnull\n"))
    result = audit(capsys, "-")
    assert "BDY001" in rules(result)
    assert [gap["reason"] for gap in result["gaps"]] == ["It is not valid JSON: Expecting value.", "It is no record."]


@pytest.mark.parametrize("text", ["null", "7", "true", '"x"', "null\n" * 3])
def test_what_is_json_and_no_record_is_told_so(capsys: pytest.CaptureFixture[str], folder: Path, text: str) -> None:
    (folder / "some.json").write_text(text)
    assert main(["some.json", "--format", "json"]) in (2, 4, 5)
    read = json.loads(capsys.readouterr().out)
    assert all("characters" not in gap["reason"] for gap in read["gaps"])
    assert read["gaps"]
