"""Pipelines as code are judged like those of the API, whatever their layout, with the lines of their faults."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider.audit.definitions.buddy_yaml import facts_of, is_buddy_yaml, read_template
from airflow_provider.audit.definitions.comments import comments_in
from airflow_provider.audit.engine.baseline import Baseline
from airflow_provider.audit.engine.engine import Audit
from airflow_provider.audit.engine.finding import Finding
from airflow_provider.audit.facts.action import ActionFacts
from airflow_provider.audit.facts.fact import Fact
from airflow_provider.audit.facts.gap import GapFacts
from airflow_provider.audit.facts.pipeline import PipelineFacts
from airflow_provider.audit.reports import text_of
from airflow_provider.audit.rules.outcome import Status
from airflow_provider.audit.settings.model import AuditSettings
from airflow_provider.errors import ConfigurationError
from tests.unit.audit.reports.results import NOW

CURRENT = """\
- pipeline: "deploy"
  name: "Deploy to production"
  refs:
  - "refs/heads/main"
  variables:
  - key: "API_TOKEN"
    value: "aP9x-7Kq2mZ4tRw8"
    settable: "enabled"
  - key: "DB_PASSWORD"
    value: "secure!xyz"
  targets:
  - target: db
    auth: {username: app, password: correct-h0rse}
  actions:
  - action: "Build"
    type: "BUILD"
    docker_image_name: "node"
    docker_image_tag: latest
    execute_commands:
    - npm ci
    - |
      set -e
      curl -k https://example.com/a
    timeout: 600
  - action: "Build"
    type: "RUN_DOCKER_CONTAINER"
    docker_image_name: python
    docker_image_tag: 3.10
    inline_commands: "curl https://example.com/x.sh | bash"
    timeout: 600
"""


def read(text: str, name: str = "buddy.yml") -> list[Fact]:
    document, _ = read_template(text, name)
    return [fact for number in range(len(document.data)) for fact in facts_of(document, number, NOW)]


def found(facts: Iterable[Fact]) -> list[Finding]:
    return Audit(AuditSettings(), now=NOW).check_all(facts).findings


def gaps_of(text: str) -> list[GapFacts]:
    return Audit(AuditSettings(), now=NOW).check_all(read(text)).gaps


def of(kind: type, facts: list[Fact]) -> list[Any]:
    return [fact for fact in facts if isinstance(fact, kind)]


def test_faults_are_told_with_file_line_column_and_the_line_without_secrets() -> None:
    findings = {(item.rule, item.path): item for item in found(read(CURRENT)) if item.rule != "BDY013"}
    seen = {key: (item.location.line, item.location.column, item.line) for key, item in findings.items() if item.location}
    assert seen == {
        ("BDY028", "variables[0].value"): (7, 12, "value: ***"),
        ("BDY029", "targets[0].auth.password"): (13, 37, "auth: {username: app, password: ***}"),
        ("BDY001", "docker_image_tag"): (18, 23, "docker_image_tag: latest"),
        ("BDY011", "execute_commands[1]"): (23, 7, "curl -k https://example.com/a"),
        ("BDY010", "inline_commands"): (29, 22, 'inline_commands: "curl https://example.com/x.sh | bash"'),
    }


def test_subjects_have_names_and_no_ids_and_the_same_name_twice_is_told_apart() -> None:
    assert [fact.subject.id for fact in read(CURRENT)] == [
        "buddy:buddy.yml/deploy",
        "buddy:buddy.yml/deploy/action/Build",
        "buddy:buddy.yml/deploy/action/Build (2)",
    ]
    assert [fact.subject.title for fact in read(CURRENT)][:2] == ["Deploy to production", "Deploy to production / Build"]
    twice = read(CURRENT + CURRENT)
    assert len({fact.subject.id for fact in twice}) == len(twice) == 6


def test_numbers_where_texts_are_expected_are_read_as_written() -> None:
    assert of(ActionFacts, read(CURRENT))[1].config.docker_image_tag == "3.10"


def test_a_second_audit_knows_what_the_first_has_found() -> None:
    first = Audit(AuditSettings(), now=NOW).check_all(read(CURRENT))
    moved = "# a line more\n" + CURRENT
    second = Audit(AuditSettings(), now=NOW, baseline=first.baseline).check_all(read(moved))
    assert {item.state for item in second.findings} == {"unchanged"}
    assert not second.fixed
    pinned = CURRENT.replace("tag: latest", "tag: 22.1.0@sha256:" + "a" * 64)
    third = Audit(AuditSettings(), now=NOW, baseline=first.baseline).check_all(read(pinned))
    assert [item.rule for item in third.fixed] == ["BDY001"]


ACTION = '- action: "Build"\n  type: "BUILD"\n  docker_image_name: "node"\n  docker_image_tag: latest\n  timeout: 9\n'
INDENTED = "".join(f"  {line}\n" for line in ACTION.splitlines())
LAYOUTS = {
    "a list of pipelines": f"- pipeline: x\n  actions:\n{INDENTED}",
    "one pipeline in a file": f"pipeline: x\nactions:\n{ACTION}",
    "a list of actions": ACTION,
    "with on and refs": f"- pipeline: x\n  on: EVENT\n  refs: [refs/heads/main]\n  actions:\n{INDENTED}",
    "with trigger mode": f"- pipeline: x\n  trigger_mode: ON_EVERY_PUSH\n  ref_name: main\n  ref_type: BRANCH\n  actions:\n{INDENTED}",
    "several documents": f"---\n- pipeline: y\n  actions: []\n---\n- pipeline: x\n  actions:\n{INDENTED}",
    "with an anchor": f"- pipeline: y\n  actions: &a\n{INDENTED}- pipeline: x\n  actions: *a\n",
    "JSON": '[{"pipeline": "x", "actions": [{"action": "a", "type": "BUILD", "docker_image_name": "node", "docker_image_tag": "latest"}]}]',
}


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=LAYOUTS)
def test_every_layout_is_judged(text: str) -> None:
    assert not of(GapFacts, read(text))
    assert "BDY001" in {item.rule for item in found(read(text))}
    document, _ = read_template(text, "x.yml")
    assert all(is_buddy_yaml(data) for data in document.data)


@pytest.mark.parametrize(
    ("fields", "refs", "events"),
    [
        ({"trigger_mode": "MANUAL", "ref_name": "main", "ref_type": "BRANCH"}, ("refs/heads/main",), ()),
        ({"on": "CLICK", "refs": ["refs/tags/*"]}, ("refs/tags/*",), ()),
        ({"on": "EVENT", "refs": "main"}, ("main",), ("PUSH",)),
        ({"on": "SCHEDULE", "cron": "0 1 * * *"}, (), ("SCHEDULE",)),
        ({"events": [{"type": "PULL_REQUEST", "branches": ["main"]}]}, (), ("PULL_REQUEST",)),
    ],
)
def test_older_triggers_are_those_of_the_api(fields: dict[str, Any], refs: tuple[str, ...], events: tuple[str, ...]) -> None:
    (pipeline,) = of(PipelineFacts, read(json.dumps([{"pipeline": "x", **fields}])))
    assert pipeline.refs == refs
    assert tuple(event["type"] for event in pipeline.events) == events


TEMPLATE = """\
- pipeline: "template"
  actions:
  - action: "build"
    type: "BUILD"
    docker_image_name: "!{image:node}"
    docker_image_tag: "!tag"
    timeout: !{limit:60}
    retry_count: "!retries"
    execute_commands:
    - "npm test"
!more
"""


def test_a_template_is_judged_with_its_defaults_and_what_it_leaves_open_is_not_guessed() -> None:
    document, parameters = read_template(TEMPLATE, "t.yml")
    assert parameters == [(11, "!more")]
    facts = list(facts_of(document, 0, NOW))
    (action,) = of(ActionFacts, facts)
    assert (action.config.docker_image_name, action.config.timeout) == ("node", 60)
    assert action.unknown == {"retry_count"}
    audit = Audit(AuditSettings(), now=NOW)
    result = audit.check_all(facts)
    assert result.outcomes["BDY001"][Status.NOT_AVAILABLE] == 1
    assert result.outcomes["BDY016"][Status.NOT_AVAILABLE] == 1
    assert ["t.yml, line 8" in gap.reason for gap in result.gaps] == [True]


def test_a_remote_definition_is_a_gap_that_says_where_and_its_parameters_are_judged() -> None:
    text = """\
- pipeline: "child"
  definition_source: "REMOTE"
  remote_path: "/t1.yml"
  remote_branch: "master"
  remote_project_name: "templates"
  remote_parameters:
  - key: "npm_token"
    value: "aP9x-7Kq2mZ4tRw8"
"""
    result = Audit(AuditSettings(), now=NOW).check_all(read(text))
    assert [gap.reason for gap in result.gaps] == [
        "buddy.yml, line 1: Its actions are in project templates, branch master, file /t1.yml, which is not part of this file."
    ]
    assert [(item.rule, item.location.line) for item in result.findings if item.location] == [("BDY028", 8)]
    assert not result.complete


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "- pipeline: x\n  actions:\n  - action: a\n    type: BUILD\n    timeout: soon\n",
            "timeout: buddy.yml, line 5: the value is invalid",
        ),
        ("- pipeline: x\n  actions: {a: 1}\n", "line 2: This is not a list of actions"),
        ("- pipeline: x\n  actions:\n  - npm test\n", "line 3: This is not an action"),
        ("- pipeline: x\n  on: CLICK\n", "line 1: It has no actions, and does not say where they are"),
        ("- pipeline: x\n  actions:\n", "line 1: It has no actions"),
        (
            "- pipeline: x\n  git_config_ref: FIXED\n  git_config: {project: other, branch: main, path: .buddy/x.yml}\n",
            "line 1: Its actions are in project other, branch main, file .buddy/x.yml, which is not part of this file",
        ),
        ("- pipeline: x\n  actions: []\n- npm test\n", "This is neither a pipeline nor an action"),
        (
            "- pipeline: x\n  actions:\n  - action: a\n    type: BUILD\n    variables: 7\n",
            "variables: buddy.yml, line 5: the value is invalid",
        ),
        (
            "- pipeline: x\n  actions:\n  - action: a\n    type: BUILD\n    inline_commands: [a, {b: c}]\n",
            "inline_commands: buddy.yml, line 5: the value is invalid",
        ),
    ],
)
def test_what_is_not_understood_is_a_gap_with_its_line_and_the_rest_is_judged(text: str, reason: str) -> None:
    more = "- pipeline: other\n  actions:\n" + INDENTED
    result = Audit(AuditSettings(), now=NOW).check_all(read(text + more))
    assert [reason in gap.reason for gap in result.gaps] == [True]
    assert "BDY001" in {item.rule for item in result.findings}
    assert not result.errors


def test_a_command_with_a_colon_is_judged_as_it_is_written() -> None:
    text = "- pipeline: x\n  actions:\n  - action: a\n    type: BUILD\n    execute_commands:\n    - curl -k -H Accept: text https://example.com\n"
    assert "BDY011" in {item.rule for item in found(read(text))}
    single = "- pipeline: x\n  actions:\n  - action: a\n    type: BUILD\n    execute_commands: curl -k https://example.com\n"
    assert "BDY011" in {item.rule for item in found(read(single))}


@pytest.mark.parametrize(
    "data", [{"pipeline": {"id": 1}}, {"version": 3, "services": {}}, ["a"], [], "x", None, {"kind": "x", "pipeline": "y"}]
)
def test_other_yaml_is_no_pipeline(data: Any) -> None:
    assert not is_buddy_yaml(data)


COMMENTED = """\
- pipeline: "prod"
  actions:
  # audit: ignore[BDY013] until=2999-01-01 reason=accepted_risk owner=web-team It ends by itself
  - action: "Build"
    type: "BUILD"
    docker_image_name: "node"
    docker_image_tag: latest  # audit: ignore[BDY001, BDY007] until={until} reason=planned Pinned with Node 24
"""


def test_comments_accept_the_findings_of_their_line() -> None:
    result = Audit(AuditSettings(), now=NOW).check_all(read(COMMENTED.replace("{until}", "2999-12-31")))
    waivers = {item.rule: item.waiver for item in result.findings if item.subject.kind == "action"}
    assert waivers == {
        "BDY001": {"reason": "planned", "text": "Pinned with Node 24", "owner": "buddy.yml", "expires": "2999-12-31"},
        "BDY013": {"reason": "accepted_risk", "text": "It ends by itself", "owner": "web-team", "expires": "2999-01-01"},
    }
    unused = [item for item in result.findings if item.rule == "AUD002"]
    assert [(item.location.line, item.subject.title) for item in unused if item.location] == [(7, "Comment in buddy.yml, line 7")]


def of_block(*commands: str) -> str:
    lines = "".join(f"      {line}\n" for command in commands for line in command.split("\n"))
    return f"- pipeline: x\n  actions:\n  - action: a\n    type: BUILD\n    timeout: 9\n    execute_commands:\n    - |\n{lines}"


ACCEPTED = "  # audit: ignore[{rule}] until=2999-12-31 reason=accepted_risk Internal"


@pytest.mark.parametrize(
    ("line", "accepted"),
    [
        ('echo "see {}"; curl -k https://x.io', False),
        ("echo 'see {}'; curl -k https://x.io", False),
        ('curl -k https://x.io; echo "a \\" {} "', False),
        ('curl -k https://x.io  {} "quoted"', True),
        ("echo \"it's\"; curl -k https://x.io  {} it's", True),
        ("echo 'a\\'; curl -k https://x.io  {}", True),
    ],
)
def test_what_is_like_a_comment_within_quotes_is_text(line: str, accepted: bool) -> None:
    text = of_block(line.replace("{}", ACCEPTED.strip().replace("{rule}", "BDY011")))
    assert [bool(item.waiver) for item in found(read(text)) if item.rule == "BDY011"] == [accepted]
    assert found(read(of_block('echo "see # audit: ignore ..."; curl -k https://x.io')))


def test_an_apostrophe_in_a_word_is_no_quote() -> None:
    assert len(comments_in(["- action: Don't  # audit: ignore[BDY013] until=2999-01-01 reason=planned It's short"], "buddy.yml")) == 1


def test_an_expired_comment_accepts_nothing_and_is_told() -> None:
    result = Audit(AuditSettings(), now=NOW).check_all(read(COMMENTED.replace("{until}", "2020-01-01")))
    by_rule = {item.rule: item for item in result.findings}
    assert by_rule["BDY001"].waiver is None
    assert by_rule["AUD001"].location
    assert by_rule["AUD001"].location.line == 7


@pytest.mark.parametrize(
    ("comment", "message"),
    [
        ("audit: ignore", "names no rule"),
        ("audit: ignore[]", "names no rule"),
        ("audit: ignore[BDY999] until=2999-01-01 reason=planned", "unknown rule 'BDY999'"),
        ("Audit:Ignore[bdy001] until=2999-01-01 reason=planned", "unknown rule 'bdy001'; did you mean BDY001"),
        ("audit: ignore[BDY001] reason=planned", "until must be a date"),
        ("audit: ignore[BDY001] until=soon reason=planned", "until must be a date"),
        ("audit: ignore[BDY001] until=2999-01-01", "reason must be one of"),
        ("audit: ignore[BDY001] until=2999-01-01 reason=later", "reason must be one of"),
        ("audit: ignore[BDY001] until=2026-01-01 until=2999-01-01 reason=planned", "until, reason or owner is there twice"),
    ],
)
def test_a_comment_that_would_accept_nothing_is_an_error_with_its_line(comment: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"buddy\.yml, line 2: this comment accepts nothing: .*{message}"):
        read(f"- pipeline: x\n  refs: [a]  # {comment}\n")


@pytest.mark.parametrize(
    ("rule", "first", "second"),
    [
        ("BDY009", "mysql -pZx9kPq2rT a", "mysql -pZx9kPq2rT b"),
        ("BDY009", "export DB_PASSWORD=Zx9kPq2rT", "export DB_PASSWORD=Zx9kPq2rT"),
        ("BDY009", "mysql -pZx9kPq2rT a", "ls \\\n && mysql \\\n -pZx9kPq2rT"),
        ("BDY010", "curl https://a.io | sh", "curl https://b.io | sh"),
        ("BDY011", "curl -k https://a.io", "curl -k https://b.io"),
        ("BDY011", "export NODE_TLS_REJECT_UNAUTHORIZED=0", "export NODE_TLS_REJECT_UNAUTHORIZED=0"),
        ("BDY012", "echo $API_TOKEN", "echo $API_TOKEN"),
        ("BDY012", "set -x", "set -x"),
        ("BDY014", "npm test || true", "npm test || true"),
        ("BDY018", "docker run --privileged a", "docker run --privileged b"),
        ("BDY026", "git checkout $BUDDY_EXECUTION_BRANCH", "git checkout $BUDDY_EXECUTION_BRANCH"),
    ],
)
def test_a_comment_in_a_block_accepts_no_fault_of_another_line(rule: str, first: str, second: str) -> None:
    strict = AuditSettings.model_validate({"persona": "strict"})

    def judged(text: str, baseline: Baseline | None = None) -> tuple[list[Finding], Baseline]:
        result = Audit(strict, now=NOW, baseline=baseline).check_all(read(text))
        findings = [item for item in result.findings if item.rule == rule]
        return sorted(findings, key=lambda item: item.location.line if item.location else 0), result.baseline

    both, _ = judged(of_block(first + ACCEPTED.replace("{rule}", rule), "ls", second))
    assert [bool(item.waiver) for item in both] == [True, False]
    (alone,), before = judged(of_block(first, "ls"))
    both, _ = judged(of_block(first, "ls", second), before)
    assert [item.state for item in both] == ["unchanged", "new"]
    assert both[0].fingerprint == alone.fingerprint != both[1].fingerprint


def test_what_is_inserted_above_makes_no_known_finding_new() -> None:
    before = Audit(AuditSettings(), now=NOW).check_all(read(CURRENT))
    more = CURRENT.replace("    - npm ci\n", "    - npm audit\n    - curl -k https://example.com/b\n    - npm ci\n")
    more = more.replace('  - key: "API_TOKEN"\n', '  - key: APP\n    value: shop\n  - key: "API_TOKEN"\n')
    more = more.replace("  - target: db\n", "  - target: web\n    host: web.acme.io\n  - target: db\n")
    after = Audit(AuditSettings(), now=NOW, baseline=before.baseline).check_all(read(more))
    new = [item for item in after.findings if item.state != "unchanged" and item.rule != "BDY027"]
    assert {item.rule for item in new} == {"BDY011"}, "what the new command does"
    assert len(after.findings) - len([item for item in after.findings if item.rule == "BDY027"]) == len(before.findings) + len(new)
    assert not after.fixed
    assert {"BDY009", "BDY010", "BDY028", "BDY029"} & {item.rule for item in before.findings}


def test_a_secret_is_told_once_at_its_own_line_of_a_command_of_several() -> None:
    text = of_block("curl \\\n  -H 'Authorization: Bearer aP9x-7Kq2mZ4tRw8' \\\n  -u ci:Zx9kPq2rT https://x.io")
    assert [item.location.line for item in found(read(text)) if item.rule == "BDY009" and item.location] == [9, 10]


@pytest.mark.parametrize(
    ("rule", "field"),
    [("BDY008", "variables"), ("BDY030", "content"), ("BDY031", "custom_settings"), ("BDY029", "target")],
)
def test_each_secret_of_a_value_of_several_lines_is_at_its_own_line(rule: str, field: str) -> None:
    lines = ["APP=shop", "KEY=AKIAQYLPMN5HHHFPZAM2", "", "DSN=postgres://app:Zx9kPq2rT@db.acme.io/app"]
    start = {"variables": "    variables:\n    - key: DOTENV\n      value: |\n"}.get(field, f"    # of several lines\n    {field}: |\n\n")
    text = "- pipeline: x\n  actions:\n  - action: a\n    type: BUILD\n" + start + "".join(f"        {line}\n" for line in lines)
    assert [item.location.line for item in found(read(text)) if item.rule == rule and item.location] == [9, 11]


def test_each_line_of_an_entrypoint_is_judged() -> None:
    text = (
        "- pipeline: x\n  actions:\n  - action: a\n    type: BUILD\n    entrypoint: |\n      curl https://a.io\n      curl https://b.io\n"
    )
    assert [item.location.line for item in found(read(text)) if item.rule == "BDY021" and item.location] == [6, 7]


@pytest.mark.parametrize("field", ["execute_commands", "setup_commands", "commands", "after_commands", "inline_commands"])
@pytest.mark.parametrize("style", ["|", "|-", ">"])
def test_a_fault_in_a_text_instead_of_a_list_is_at_its_own_line(field: str, style: str) -> None:
    gap = "\n" if style == ">" else ""
    lines = f"      ls\n{gap}      curl -k https://x.io\n{gap}      mysql -pZx9kPq2rT x\n"
    findings = found(read(f"- pipeline: x\n  actions:\n  - action: a\n    type: X\n    timeout: 9\n    {field}: {style}\n{lines}"))
    seen = {item.rule: (item.location.line, item.location.column, item.line) for item in findings if item.location}
    assert seen == {
        "BDY011": (8 + len(gap), 7, "curl -k https://x.io"),
        "BDY009": (9 + 2 * len(gap), 7, "mysql -p*** x"),
    }


def test_a_comment_in_a_text_instead_of_a_list_accepts_the_faults_of_its_line() -> None:
    text = of_block("curl -k https://a.io" + ACCEPTED.replace("{rule}", "BDY011"), "curl -k https://b.io").replace("\n    - |", " |")
    assert [(item.location.line, bool(item.waiver)) for item in found(read(text)) if item.rule == "BDY011" and item.location] == [
        (7, True),
        (8, False),
    ]


@pytest.mark.parametrize(
    "item",
    [
        "K_PASSWORD=hG7!kslP2qzX",
        {"K_PASSWORD": "hG7!kslP2qzX"},
        {"name": "K_PASSWORD", "value": "hG7!kslP2qzX"},
        {"key": "K_PASSWORD", "value": "hG7!kslP2qzX", "encrypted": "maybe"},
        {"key": "K_PASSWORD", "value": "hG7!kslP2qzX", "encrypted": "false"},
    ],
    ids=str,
)
@pytest.mark.parametrize("field", ["variables", "remote_parameters"])
def test_a_variable_in_any_form_is_judged_at_its_line(item: object, field: str) -> None:
    variables = f"{field}: [\n7,\n{json.dumps(item)}]"
    own = f"- {{pipeline: y, actions: [{{action: a, type: X, timeout: 9, {variables}}}]}}\n" if field == "variables" else ""
    result = Audit(AuditSettings(), now=NOW).check_all(read(f"- {{pipeline: x, actions: [], {variables}}}\n{own}"))
    seen = {(found.rule, found.path, found.location.line) for found in result.findings if found.location}
    assert seen == {("BDY028", f"{field}[1].value", 3), *([("BDY008", "variables[1].value", 6)] if own else [])}
    assert {"This is no variable with a key and a value" in gap.reason for gap in result.gaps} == {True}


@pytest.mark.parametrize(
    "item", ["K_PASSWORD", 7, None, ["K=v"], {"value": "x"}, {"key": "K", "value": ["x"]}, {"key": {}, "value": "x"}, {}]
)
def test_a_variable_that_is_not_understood_is_a_gap_and_the_others_keep_their_numbers(item: object) -> None:
    text = f"- {{pipeline: x, actions: [], variables: [\n{json.dumps(item)},\n{{key: A_PASSWORD, value: 'hG7!kslP2qzX'}}]}}"
    result = Audit(AuditSettings(), now=NOW).check_all(read(text))
    assert [gap.reason for gap in result.gaps] == ["buddy.yml, line 2: This is no variable with a key and a value."]
    assert [(item.path, item.location.line) for item in result.findings if item.location] == [("variables[1].value", 3)]


def test_variables_that_are_no_list_are_judged_or_a_gap() -> None:
    text = "- pipeline: x\n  actions: []\n  variables:\n    A: b\n    K_PASSWORD: hG7!kslP2qzX\n    L: {value: hG7, encrypted: true}\n"
    assert [(item.rule, item.location.line) for item in found(read(text)) if item.location] == [("BDY028", 5)]
    result = Audit(AuditSettings(), now=NOW).check_all(read("- pipeline: x\n  actions: []\n  variables: FOO\n"))
    assert ["line 3: the value is invalid" in gap.reason for gap in result.gaps] == [True]


@pytest.mark.parametrize("target", ["build", 89, {"name": "build"}])
def test_the_pipeline_that_an_action_runs_is_no_gap(target: object) -> None:
    lines = f"  - action: a\n    type: RUN_NEXT_PIPELINE\n    project: shop\n    pipeline: {json.dumps(target)}\n    timeout: 9\n"
    assert gaps_of(f"- pipeline: x\n  actions:\n{lines}") == []


@pytest.mark.parametrize("name", ["script", "before_script", "post_commands", "run", "cmds", "remoteCommands", "shell-command"])
@pytest.mark.parametrize("value", ["curl -k https://a.acme.io", ["curl -k https://a.acme.io"]])
def test_an_unknown_field_that_may_hold_commands_is_a_gap(name: str, value: object) -> None:
    text = f"- pipeline: x\n  actions:\n  - action: a\n    type: BUILD\n    {name}: {json.dumps(value)}\n"
    assert [f"line 5: {name} is not known. If it holds commands" in gap.reason for gap in gaps_of(text)] == [True]


@pytest.mark.parametrize("value", [True, 3, None, {}])
def test_a_flag_is_no_command(value: object) -> None:
    assert gaps_of(f"- pipeline: x\n  actions:\n  - action: a\n    type: BUILD\n    skip_run: {json.dumps(value)}\n") == []


@pytest.mark.parametrize(
    "lines",
    [
        ["echo it's", "ls", "curl -k https://a.acme.io"],
        ["sed -i 's/a/b/ x", "curl -k https://a.acme.io"],
        ['set X=a"b', "curl -k https://a.acme.io"],
        ["if true", "fi ) (", "curl -k https://a.acme.io"],
    ],
)
@pytest.mark.parametrize("more", [[], ["npm ci"]])
def test_a_broken_line_of_a_block_hides_no_other(lines: list[str], more: list[str]) -> None:
    text = of_block("\n".join(lines)) + "".join(f"    - {line}\n" for line in more)
    assert [item.location.line for item in found(read(text)) if item.rule == "BDY011" and item.location] == [7 + len(lines)]


def test_a_text_that_is_passed_on_by_a_broken_block_is_no_command() -> None:
    text = of_block("cat > NOTES <<EOF\ncurl -k https://a.acme.io\nEOF\necho it's")
    assert [item for item in found(read(text)) if item.rule == "BDY011"] == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("execute_comands", "execute_commands"),
        ("execute_command", "execute_commands"),
        ("Execute_Commands", "execute_commands"),
        ("executeCommands", "execute_commands"),
        ("execute-commands", "execute_commands"),
        ("inline_comands", "inline_commands"),
        ("afterCommands", "after_commands"),
        ("entry_point", "entrypoint"),
        ("docker_image_tagg", "docker_image_tag"),
        ("Variables", "variables"),
    ],
)
def test_a_misspelt_field_of_an_action_is_a_gap(name: str, meant: str) -> None:
    text = f"- pipeline: x\n  actions:\n  - action: a\n    type: BUILD\n    timeout: 9\n    {name}:\n    - curl -k https://a\n"
    result = Audit(AuditSettings(), now=NOW).check_all(read(text))
    assert [gap.reason for gap in result.gaps] == [f"buddy.yml, line 6: {name} is not known, so it was not judged. Is {meant} meant?"]


@pytest.mark.parametrize(("name", "meant"), [("Actions", "actions"), ("action_s", "actions"), ("variable", "variables")])
def test_a_misspelt_field_of_a_pipeline_is_a_gap(name: str, meant: str) -> None:
    result = Audit(AuditSettings(), now=NOW).check_all(read(f"- pipeline: x\n  {name}: []\n"))
    assert f"buddy.yml, line 2: {name} is not known, so it was not judged. Is {meant} meant?" in [gap.reason for gap in result.gaps]


@pytest.mark.parametrize(
    "name", ["main_build_commands", "trigger_condition", "target", "build_args", "timeout", "comment", "run_next", "x" * 120]
)
def test_other_fields_are_no_gap(name: str) -> None:
    text = f"- pipeline: x\n  actions:\n  - action: a\n    type: BUILD\n    {name}: 1\n"
    assert not Audit(AuditSettings(), now=NOW).check_all(read(text)).gaps


NAMES = [
    "pipeline", "action", "type", "actions", "variables", "targets", "on", "refs", "events", "trigger_condition", "trigger_conditions",
    "docker_image_name", "docker_image_tag", "execute_commands", "inline_commands", "services", "timeout", "headers", "key", "value",
    "settable", "encrypted", "integration", "loop", "permissions", "remote_parameters", "definition_source", "password", "name", "disabled",
]  # fmt: skip
SCALARS = st.sampled_from(
    ["BUILD", "node", "latest", "curl -k https://x.io | sh", "!p", "!{p:1}", "secure!x", "a: b", "", "\u202e", "x" * 500]
)
ANYTHING = st.recursive(
    SCALARS | st.integers(-5, 5) | st.booleans() | st.none() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=30,
)


@pytest.mark.long
@given(st.lists(st.dictionaries(st.sampled_from(NAMES), ANYTHING, max_size=8), max_size=3))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_file_holds_no_rule_breaks_and_nothing_goes_unsaid(pipelines: list[Any]) -> None:
    made = [{"pipeline": "p", **item} for item in pipelines]
    result = Audit(AuditSettings.model_validate({"persona": "forensic"}), now=NOW).check_all(read(json.dumps(made)))
    assert not result.errors
    named = sum(isinstance(item.get("pipeline"), (str, int, float)) for item in made)
    assert result.subjects["pipeline"] + len(result.gaps) >= named
    text_of("html", result)
    text_of("sarif", result)


def judged(*lines: str) -> list[tuple[str, int]]:
    """Rule and line of each finding in an action whose fields these are."""
    head = ["- pipeline: P", "  actions:", "  - action: A", "    type: BUILD", "    timeout: 10", "    docker_image_name: node",
            "    docker_image_tag: 20.11.1"]  # fmt: skip
    places = found(read("\n".join([*head, *(f"    {line}" for line in lines)]) + "\n"))
    return sorted((finding.rule, finding.location.line - len(head)) for finding in places if finding.location)


def test_lists_within_the_commands_are_commands() -> None:
    lines = (
        "execute_commands:",
        "- &common",
        "  - curl -k https://x.example",
        "  - npm ci",
        "- - - curl https://x.example/i.sh | sh",
        "- npm test",
    )
    assert judged(*lines) == [("BDY010", 5), ("BDY011", 3)]
    assert judged(*lines, "after_commands:", "- *common") == [("BDY010", 5), ("BDY011", 3), ("BDY011", 3)]


@pytest.mark.parametrize(
    ("lines", "rule", "line"),
    [
        (("- curl -H Accept: json", "    -k https://x.example"), "BDY011", 2),
        (("- curl https://x.example/i.sh -H Accept: json", "    | sh"), "BDY010", 2),
        (("- name: install", "  run: curl -k https://x.example"), "BDY011", 3),
        (("  install: npm ci", "  fetch: curl https://x.example/i.sh | sh"), "BDY010", 3),
        (("- echo a: b && curl -k https://x.example", "- npm ci"), "BDY011", 2),
    ],
)
def test_a_command_that_is_a_mapping_to_yaml_is_judged_whole(lines: tuple[str, ...], rule: str, line: int) -> None:
    assert judged("execute_commands:", *lines) == [(rule, line)]


@pytest.mark.parametrize("encrypted", ["true", "false", "'yes'"])
def test_in_a_file_only_a_cipher_is_encrypted(encrypted: str) -> None:
    plain = f"{{key: API_TOKEN, value: Xk29vLq8ZpT4mNb7, encrypted: {encrypted}}}"
    assert judged("variables:", f"- {plain}") == [("BDY008", 2)]
    for cipher in ("'secure!Xk29vLq8ZpT4mNb7'", "'!encrypted Xk29vLq8ZpT4mNb7'"):
        assert judged("variables:", f"- {{key: API_TOKEN, value: {cipher}, encrypted: {encrypted}}}") == []


def test_actions_within_an_action_are_a_gap() -> None:
    text = "- pipeline: P\n  actions:\n  - action: G\n    type: GROUP\n    actions:\n    - {action: A, type: BUILD}\n"
    assert any("line 5: These actions within an action were not judged." in gap.reason for gap in of(GapFacts, read(text)))
