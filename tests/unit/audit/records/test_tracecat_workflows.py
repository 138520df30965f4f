"""Definitions of Tracecat workflows: a value that can't be read is a gap, and spoils no other."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from airflow_provider.audit.definitions.inputs import facts_in
from airflow_provider.audit.engine.engine import Audit
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.facts.fact import Subject
from airflow_provider.audit.facts.workflow import MAX_DEPTH
from airflow_provider.audit.records import tracecat_workflows
from airflow_provider.audit.records.export import facts_of
from airflow_provider.audit.records.tracecat_workflows import workflow_facts
from airflow_provider.audit.rules import all_rules
from airflow_provider.audit.rules.outcome import Status
from airflow_provider.audit.settings.levels import Persona
from airflow_provider.audit.settings.model import AuditSettings

NOW = datetime(2026, 3, 10, 3, tzinfo=timezone.utc)
GOOD_ACTION = {"ref": "get", "action": "core.http_request", "args": {"url": "http://api.acme.io/x"}}


def run(record: dict[str, Any]) -> AuditResult:
    all_rules()
    audit = Audit(AuditSettings(persona=Persona.STRICT), now=NOW)
    for fact in facts_of(record):
        audit.feed(fact)
    return audit.finish()


def exported(action: Any, **fields: Any) -> dict[str, Any]:
    definition = {"title": "T", "entrypoint": {"ref": "get"}, "config": {"timeout": 60}, "error_handler": "tell", **fields}
    return {"kind": "tracecat.workflow", "data": {"definition": {"actions": [GOOD_ACTION, action], **definition}}}


def answered(action: Any, **fields: Any) -> dict[str, Any]:
    good = {"type": "core.http_request", "ref": "get", "inputs": "url: http://api.acme.io/x"}
    webhook = {"status": "online", "api_key": {"is_active": True}, "allowlisted_cidrs": ["10.0.0.0/8"]}
    workflow = {"id": "wf_abc", "title": "T", "config": {"timeout": 60}, "error_handler": "tell", "webhook": webhook}
    return {"kind": "tracecat.workflow", "data": {**workflow, "actions": {"a1": good, "a2": action}, **fields}}


def http(**fields: Any) -> dict[str, Any]:
    return {"ref": "b", "action": "core.http_request", "args": {}, **fields}


def by_answer(inputs: Any = "url: https://a.acme.io", **fields: Any) -> dict[str, Any]:
    return {"type": "core.http_request", "ref": "b", "inputs": inputs, **fields}


UNREADABLE = {
    "arguments that are a text": (exported(http(args="url: http://x")), "definition.actions[1].args", "TRC004"),
    "arguments that are a list": (exported(http(args=[1])), "definition.actions[1].args", "TRC003"),
    "broken YAML": (answered(by_answer("headers: {a: b: c}")), "actions.a2.args", "TRC004"),
    "YAML that is a text": (answered(by_answer("just words")), "actions.a2.args", "TRC003"),
    "too much YAML": (answered(by_answer("a: " + "x" * 200_000)), "actions.a2.args", "TRC003"),
    "retries without an object": (exported(http(retry_policy="forever")), "definition.actions[1].retry_policy", "TRC001"),
    "attempts that are no number": (
        exported(http(retry_policy={"max_attempts": "many"})),
        "definition.actions[1].retry_policy.max_attempts",
        "TRC001",
    ),
    "a flag as attempts": (
        exported(http(retry_policy={"max_attempts": True})),
        "definition.actions[1].retry_policy.max_attempts",
        "TRC001",
    ),
    "a timeout that is no number": (
        exported(http(retry_policy={"timeout": "1h"})),
        "definition.actions[1].retry_policy.timeout",
        "TRC012",
    ),
    "a condition that is an object": (
        exported(http(retry_policy={"retry_until": {}})),
        "definition.actions[1].retry_policy.retry_until",
        "TRC001",
    ),
    "control flow without an object": (answered(by_answer(control_flow="x")), "actions.a2.control_flow", "TRC001"),
    "a question without an object": (exported(http(interaction="ask")), "definition.actions[1].interaction", "TRC011"),
    "a question with a wrong timeout": (
        exported(http(interaction={"type": "approval", "timeout": "a day"})),
        "definition.actions[1].interaction.timeout",
        "TRC011",
    ),
    "an action that is a text": (exported("x"), "definition.actions[1]", "TRC003"),
    "an action that is a text in an answer": (answered("x"), "actions.a2", "TRC003"),
    "an action without a type": (exported({"ref": "b", "args": {}}), "definition.actions[1].action", "TRC009"),
    "actions that are a text": (exported(None, actions="x"), "definition.actions", "TRC003"),
    "no actions": ({"kind": "tracecat.workflow", "data": {"id": "wf_abc", "config": {"timeout": 60}}}, "actions", "TRC009"),
    "configuration that is a text": (exported(http(), config="broken"), "definition.config", "TRC002"),
    "a time limit that is a text": (exported(http(), config={"timeout": "long"}), "definition.config.timeout", "TRC002"),
    "an error handler that is a list": (exported(http(), error_handler=["tell"]), "definition.error_handler", "TRC010"),
    "a webhook that is a text": (answered(by_answer(), webhook="on"), "webhook", "TRC007"),
    "a state that is not known": (answered(by_answer(), webhook={"status": "half"}), "webhook.status", "TRC007"),
    "a key that is a text": (answered(by_answer(), webhook={"status": "online", "api_key": "tc"}), "webhook.api_key", "TRC007"),
    "a key that may be active": (
        answered(by_answer(), webhook={"status": "online", "api_key": {"is_active": "perhaps"}}),
        "webhook.api_key",
        "TRC007",
    ),
    "networks that are a text": (
        answered(by_answer(), webhook={"status": "online", "api_key": {}, "allowlisted_cidrs": "10.0.0.0/8"}),
        "webhook.allowlisted_cidrs",
        "TRC008",
    ),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_a_value_that_cannot_be_read_is_a_gap_and_no_pass(kind: str) -> None:
    record, path, rule = UNREADABLE[kind]
    result = run(record)
    assert [gap.reason.partition(": ")[0] for gap in result.gaps] == [path]
    assert result.outcomes[rule] == {Status.NOT_AVAILABLE: 1}
    if "actions" in record["data"].get("definition", record["data"]) and kind != "actions that are a text":
        assert "TRC005" in [finding.rule for finding in result.findings], "the other action is judged"


def test_arguments_nested_too_deeply_are_a_gap() -> None:
    value: Any = "x"
    for _ in range(MAX_DEPTH + 1):
        value = [value]
    result = run(exported(http(args={"list": value})))
    assert result.outcomes["TRC003"] == {Status.CUT_OFF: 1}
    assert len(result.gaps) == 1


@pytest.mark.parametrize("written", [0, "0", " 0 ", 0.0, "0.0"])
def test_a_number_may_be_written_as_a_text(written: Any) -> None:
    result = run(exported(http(retry_policy={"max_attempts": written, "timeout": written}, interaction={"timeout": written})))
    assert {"TRC001", "TRC011", "TRC012"} <= {finding.rule for finding in result.findings}
    assert result.complete


@pytest.mark.parametrize("name", ["verify_ssl", "insecure"])
@pytest.mark.parametrize(("no", "yes"), [(False, True), ("off", "on"), ("f", "t"), ("n", "Y"), ("No", "yes"), (0, 1), ("0", "1")])
def test_a_switch_may_be_written_in_any_way(name: str, no: Any, yes: Any) -> None:
    for value, found in ((no, name == "verify_ssl"), (yes, name != "verify_ssl")):
        result = run(exported(http(args={name: value})))
        assert result.outcomes["TRC004"] == {Status.FAIL if found else Status.PASS: 1}


def test_one_bad_action_does_not_hide_that_a_file_is_a_workflow(tmp_path: Path) -> None:
    file = tmp_path / "w.yml"
    file.write_text("title: T\nentrypoint: {ref: a}\nactions:\n- ref: a\n  action: core.http_request\n  args: {url: http://acme.io}\n- x\n")
    audit = Audit(AuditSettings(), now=NOW)
    for fact in facts_in(str(file), lambda name: iter(())):
        audit.feed(fact)
    result = audit.finish()
    assert [finding.rule for finding in result.findings] == ["TRC005"]
    assert [gap.reason for gap in result.gaps] == [f"actions[1]: {file}, line 7: its value is not what Tracecat's contract says."]


def test_of_very_many_values_each_kind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracecat_workflows, "MAX_DAMAGE", 3)
    data = {"actions": [*("x" for _ in range(50)), http(args="x"), http(retry_policy="x")], "entrypoint": {}}
    facts = workflow_facts(data, Subject("tracecat:w", "workflow", "w", "tracecat", ""), NOW)
    assert [item.name for item in facts.damage] == ["actions", "actions", "actions", "args", "retry_policy"]
