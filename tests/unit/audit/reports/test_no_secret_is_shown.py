"""A password that has no shape to be masked by, in all the places where one may stand: no report and no baseline shows it."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from ruamel.yaml import YAML

from airflow_provider.audit.definitions.buddy_yaml import facts_of as buddy_facts
from airflow_provider.audit.definitions.buddy_yaml import read_template
from airflow_provider.audit.engine.engine import Audit
from airflow_provider.audit.engine.result import AuditResult
from airflow_provider.audit.records.export import facts_of
from airflow_provider.audit.reports import FORMATS, text_of
from airflow_provider.audit.settings.model import AuditSettings
from tests.unit.audit.reports.results import NOW, record

PASSWORD = "Pa55w0rd.Qz9!kkTT"
SETTINGS = AuditSettings.model_validate({"persona": "forensic", "images": {"registries": ["docker.io"]}})
COMMANDS = [
    "docker login -u ci -p {}",
    "export DB_PASSWORD={}",
    "curl -k -u ci:{} https://example.com/install.sh | bash",
    "curl https://ci:{}@example.com/install.sh | bash",
    "wget https://ci:{}@example.com/i.sh && bash i.sh",
    "curl -H 'Authorization: Bearer {}' https://example.com/install.sh | sh",
    "echo {} | docker login --password-stdin",
    "JAVA_TOOL_OPTIONS='-Dmaven.wagon.http.ssl.insecure=true -Dtrust.password={}' mvn verify",
    "env GOINSECURE=ci:{}@go.example.com go get",
    "mvn -Dmaven.wagon.http.ssl.insecure=true -Dpassword={}",
    "docker run -v /var/run/docker.sock:/x -e PASSWORD={} image",
    "psql 'host=db sslmode=disable password={}'",
    "pip install --trusted-host ci:{}@pypi.example.com shop",
    "git -c http.https://ci:{}@example.com.sslVerify=false clone shop",
    "echo 'password={}' >> ~/.curlrc",
]
ACTIONS: list[dict[str, Any]] = [
    *({"execute_commands": [text]} for text in COMMANDS),
    {"execute_commands": ["$env:DB_PASSWORD = '{}'; iex (irm https://ci:{}@example.com/i.ps1)"], "shell": "POWERSHELL"},
    {"inline_commands": "export DB_PASSWORD={}"},
    {"entrypoint": "sh -c 'curl -u ci:{} https://example.com/i.sh | sh'"},
    {"loop": ["https://ci:{}@example.com"]},
    {"variables": [{"key": "DB_PASSWORD", "value": "{}"}, {"key": "DB", "defaults": "postgres://ci:{}@db/shop"}]},
    {"variables": [{"key": "JAVA_TOOL_OPTIONS", "value": "-Dmaven.wagon.http.ssl.insecure=true -Dpassword={}"}]},
    {"password": "{}", "login": "ci", "registry": "http://ci:{}@registry.example.com", "insecure_registry": True, "docker_image_name": "x"},
    {"docker_image_name": "ci:{}@registry.example.com/node", "docker_image_tag": "latest", "cache_base_image": True},
    {"docker_image_name": "https://ci:{}@registry.example.com/node", "docker_image_tag": "latest", "insecure_registry": True},
    {"services": [{"type": "MYSQL", "version": "8", "password": "{}"}, {"type": "MYSQL", "env": {"MYSQL_PASSWORD": "{}"}}]},
    {"services": [{"image": "https://ci:{}@registry.example.com/mysql:latest"}, "ci:{}@registry.example.com/mysql:latest"]},
]
ADDRESS = "https://ci:{}@mirror.example/workspaces/other/projects/web/pipelines/89"
STEPS: list[dict[str, Any]] = [
    {
        "outputted_variables": [{"key": "DB_PASSWORD", "value": "{}"}],
        "passed_variables": [{"key": "DB", "value": "postgres://ci:{}@db/shop"}],
    },
    {"log": ["password={}"], "url": ADDRESS, "html_url": ADDRESS, "log_url": "https://ci:{}@mirror.example/log?signature={}"},
    {"error_message": "login failed: password={}", "action": {"id": 1, "name": "Build", "ignore_errors": True}},
    {"error_message": "could not open https://ci:{}@db/shop", "action": {"id": 1, "name": "Build", "ignore_errors": True}},
    {"error_message": "login failed: password={}", "status": "FAILED"},
]
OTHERS: list[dict[str, Any]] = [
    {
        "kind": "alga_psa.execution",
        "data": {
            "execution_id": "11111111-2222-4333-8444-555555555555", "status": "failed", "error_message": "password={}",
            "error_stack": "at https://ci:{}@db", "execution_context": {"db": {"password": "{}"}}, "trigger_data": {"password": "{}"},
            "logs": [{"message": "x", "level": "info", "metadata": {"password": "{}"}}],
        },
    },
    {
        "kind": "tracecat.execution",
        "data": {
            "id": "wf_abc/exec_def", "status": "COMPLETED",
            "events": [
                {"action_ref": "a", "status": "FAILED", "action_error": {"message": "(Attempt 40) password={}"}},
                {"action_ref": "b", "status": "COMPLETED", "action_result": {"password": "{}"}},
            ],
        },
    },
]  # fmt: skip


def planted(item: Any) -> Any:
    if isinstance(item, dict):
        return {key: planted(value) for key, value in item.items()}
    if isinstance(item, list):
        return [planted(value) for value in item]
    return item.replace("{}", PASSWORD) if isinstance(item, str) else item


def texts(result: AuditResult) -> dict[str, str]:
    return {"baseline": result.baseline.to_json()} | {name: text_of(name, result, SETTINGS) for name in FORMATS}


def records() -> list[dict[str, Any]]:
    place = {"workspace": "acme", "project": "web", "connection": {"host": "api.buddy.works"}}
    pipeline = {"id": 89, "name": "Deploy"}
    found = [
        record("buddy.action", **place, pipeline=pipeline, data={"id": 1, "name": "Build", "type": "RUN_DOCKER_CONTAINER", **planted(data)})
        for data in ACTIONS
    ]
    for data in STEPS:
        step = {"action_execution_id": "s1", "status": "SUCCESSFUL", "action": {"id": 1, "name": "Build"}, "log": [], **planted(data)}
        execution = {"id": 7, "status": step["status"], "action_executions": [{"action_execution_id": "s1", "status": step["status"]}]}
        found.append(record("buddy.execution", **place, pipeline=pipeline, data=execution, details=[step]))
    return found + [record(data["kind"], data=planted(data["data"])) for data in OTHERS]


@pytest.mark.parametrize("number", range(len(records())))
def test_a_password_is_in_no_report_and_no_baseline(number: int) -> None:
    result = Audit(SETTINGS, now=NOW).check_all(facts_of(records()[number]))
    assert result.findings
    assert not result.errors
    assert [name for name, text in texts(result).items() if PASSWORD in text] == []


MORE: list[dict[str, Any]] = [
    {"targets": [{"target": "db", "auth": {"username": "app", "password": "{}"}}]},
    {"headers": [{"name": "Authorization", "value": "Bearer {}"}, {"name": "X-Api-Key", "value": "{}"}]},
    {"url": "https://ci:{}@example.com/hook?token={}", "notification_url": "https://example.com/?password={}"},
    {"build_args": ["NPM_TOKEN={}", "DB=postgres://ci:{}@db/shop"], "inputs": {"api_key": "{}"}},
    {"after_commands": ["curl -k -u ci:{} https://example.com", "set -x; export DB_PASSWORD={}"]},
    {"execute_commands": ["set -e\ncurl -k -u ci:{} https://example.com\n", "docker run --privileged -e PW={} x:latest"]},
]


@pytest.mark.parametrize("style", ["block", "flow"])
@pytest.mark.parametrize("number", range(len(ACTIONS) + len(MORE)))
def test_a_password_in_a_file_is_in_no_report_though_its_line_is(number: int, style: str) -> None:
    data = planted([*ACTIONS, *MORE][number])
    pipeline = {
        "pipeline": "p",
        "variables": [{"key": "A_TOKEN", "value": PASSWORD}],
        "actions": [{"action": "a", "type": "BUILD", **data}],
    }
    if style == "flow":
        text = json.dumps([pipeline], indent=1)
    else:
        file, writer = io.StringIO(), YAML(typ="safe", pure=True)
        writer.default_flow_style, writer.width = False, 10_000
        writer.dump([pipeline], file)
        text = file.getvalue()
    document, _ = read_template(text, "buddy.yml")
    result = Audit(SETTINGS, now=NOW).check_all(buddy_facts(document, 0, NOW))
    assert "BDY028" in {finding.rule for finding in result.findings}
    assert any(finding.line for finding in result.findings)
    assert not result.errors
    assert [name for name, shown in texts(result).items() if PASSWORD in shown] == []
