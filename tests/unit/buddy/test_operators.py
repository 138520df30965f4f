"""The run operator and the sensors before anything is started: arguments, request bodies, templates."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.buddy.operators import BuddyRunPipelineOperator
from airflow_provider.buddy.sensors import BuddyExecutionSensor
from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy import Action, Pipeline
from tests.harness import Ended, TaskRun


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        emulator.buddy.add_pipeline(
            Pipeline("release", identifier="rel", id=89, actions=[Action("Build", seconds=0.0)], refs=("main", "*"))
        )
        yield emulator


@pytest.fixture
def run(emulator: Emulator) -> Callable[..., Ended]:
    """Run a pipeline by the operator, as Airflow does."""

    def run(params: dict[str, Any] | None = None, **arguments: Any) -> Ended:
        fields = json.loads(emulator.buddy.connection_json())
        connections = {"buddy_default": {**fields, "extra": json.dumps(fields["extra"])}}
        given = {"pipeline": 89, "poll_interval": 0.05, "deferrable": False, "branch": "main", **arguments}
        if any(given.get(name) for name in ("tag", "pull_request")):
            given["branch"] = arguments.get("branch")
        return TaskRun(lambda: BuddyRunPipelineOperator(task_id="task", **given), connections, params=params).run()

    return run


def starts(emulator: Emulator) -> list[Any]:
    return [entry.json for entry in emulator.ledger.select("POST")]


# Arguments that are refused when the DAG is parsed


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"on_retry": "again"}, "on_retry must be one of 'start', 'resume', not 'again'"),
        ({"on_skipped": "ignore"}, "on_skipped"),
        ({"on_waiting": "skip"}, "on_waiting"),
        ({"on_partial": True}, "on_partial"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": datetime.timedelta(0)}, "timeout"),
        ({"timeout": -1}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": float("inf")}, "timeout"),
        ({"timeout": "1h"}, "timeout"),
        ({"timeout": True}, "timeout"),
        ({"timeout": None}, "timeout"),
        ({"poll_interval": 0}, "poll_interval"),
        ({"waiting_timeout": 0}, "waiting_timeout"),
        ({"log_lines": -1}, "log_lines"),
    ],
    ids=str,
)
def test_wrong_choices_are_refused_with_the_dag(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        BuddyRunPipelineOperator(task_id="t", pipeline=1, **arguments)


@pytest.mark.parametrize(
    "arguments", [{"on_skipped": "ignore"}, {"on_waiting": "x"}, {"on_partial": "x"}, {"waiting_timeout": -1}], ids=str
)
def test_wrong_choices_of_a_sensor_are_refused_with_the_dag(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(arguments))):
        BuddyExecutionSensor(task_id="t", ref="a/b/1/2", **arguments)


@pytest.mark.parametrize("value", [datetime.timedelta(minutes=1), 60, 60.0])
def test_durations_are_timedeltas_or_seconds(value: Any) -> None:
    operator = BuddyRunPipelineOperator(task_id="t", pipeline=1, timeout=value, poll_interval=value, waiting_timeout=value)
    assert (operator.timeout, operator.poll_interval, operator.waiting_timeout) == (60.0, 60.0, 60.0)


def test_the_defaults_are_those_promised() -> None:
    operator = BuddyRunPipelineOperator(task_id="t", pipeline=1)
    promised = {
        "wait_for_completion": True, "deferrable": False, "poll_interval": 30.0, "timeout": 86_400.0, "waiting_timeout": None,
        "on_retry": "start", "on_skipped": "skip", "on_waiting": "wait", "on_partial": "succeed", "cancel_on_kill": True,
        "push_outputs": (),
        "reveal_outputs": (), "outputs_path": None, "log_path": None, "log_lines": 2_000, "revision": "HEAD",
        "buddy_conn_id": "buddy_default",
        "poll_failure_budget": 600.0,
    }  # fmt: skip
    assert {name: getattr(operator, name) for name in promised} == promised


# Arguments that are refused when the task runs, before anything is started


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"branch": "a", "tag": "b"}, "only one of branch, tag and pull_request can be given, not branch and tag"),
        ({"branch": "a", "pull_request": "1"}, "only one of"),
        ({"tag": "a", "pull_request": "1"}, "only one of"),
        ({"priority": "URGENT"}, "priority must be LOW, NORMAL or HIGH, not 'URGENT'"),
        ({"priority": "low"}, "priority"),
        ({"actions_to_run": ["Bulid"]}, "'Bulid' names no action of the pipeline: 'Build' (1)"),
        ({"actions_to_run": [None]}, "actions_to_run must be a list of ids and names"),
        ({"actions_to_run": "12"}, "actions_to_run must be a list"),
        ({"actions_to_run": 12}, "actions_to_run must be a list"),
        ({"variables": {"A": None}}, "variable A must be a string, number or boolean, not NoneType"),
        ({"variables": {"A": ["s3cr3t-canary"]}}, "variable A must be a string, number or boolean, not list"),
        ({"secret_variables": {"A": {"s3cr3t-canary": 1}}}, "variable A must be"),
        ({"variables": {"A": "1"}, "secret_variables": {"A": "s3cr3t-canary"}}, "A given both in variables and in secret_variables"),
        ({"variables": {1: "a", "1": "b"}}, "variables has the key 1 (int)"),
        ({"variables": "A=1"}, "variables"),
        ({"variables": ["A"]}, "variables"),
        ({"secret_variables": "s3cr3t-canary"}, "secret_variables"),
        ({"delay_until": "tomorrow"}, "delay_until must be a moment"),
        ({"delay_until": 5}, "delay_until must be a moment"),
        ({"delay_until": "P1D"}, "delay_until must be a moment"),
        ({"delay_until": "12:30"}, "delay_until must be a moment"),
        ({"delay_until": "2026-11-18/2026-11-19"}, "delay_until must be a moment"),
        ({"pipeline": "nobody"}, "'nobody' names no pipeline"),
        ({"pipeline": "twin"}, "'twin' names several pipelines"),
        ({"pipeline": ""}, "pipeline is an empty text"),
        ({"workspace": ".."}, "is no handle"),
        ({"delay_until": ""}, "delay_until is an empty text"),
        ({"project": " "}, "project is an empty text"),
        ({"push_outputs": ["url"]}, "push_outputs can't push"),
        ({"push_outputs": [5]}, "push_outputs must be a list of texts"),
    ],
    ids=str,
)
def test_wrong_arguments_fail_the_task_for_good_before_anything_is_started(
    emulator: Emulator, run: Callable[..., Ended], arguments: dict[str, Any], says: str
) -> None:
    for number in (101, 102):
        emulator.buddy.add_pipeline(Pipeline("twin", identifier=f"twin-{number}", id=number))
    ended = run(**arguments)
    assert isinstance(ended.error, errors.ConfigurationError), ended.text
    assert any(part in str(ended.error) for part in says.split("|")), str(ended.error)
    assert "canary" not in str(ended.error)
    assert ended.state == "failed"
    assert starts(emulator) == []
    assert emulator.buddy.executions == []


# Request bodies

HEAD = {"to_revision": {"revision": "HEAD"}}
MAIN = {**HEAD, "branch": {"name": "main"}}


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ({}, MAIN),
        ({"branch": "release/1.0"}, {**HEAD, "branch": {"name": "release/1.0"}}),
        ({"tag": "v1"}, {**HEAD, "tag": {"name": "v1"}}),
        ({"pull_request": "12"}, {**HEAD, "pull_request": {"name": "12"}}),
        ({"pull_request": 12}, {**HEAD, "pull_request": {"name": "12"}}),
        ({"revision": "2aeec94b"}, {**MAIN, "to_revision": {"revision": "2aeec94b"}}),
        ({"variables": {}}, MAIN),
        (
            {"variables": {"A": "x", "B": 5, "C": 1.5, "D": True, "E": False, "F": "", "G": "None"}},
            {**MAIN, "variables": [
                {"key": "A", "value": "x"}, {"key": "B", "value": "5"}, {"key": "C", "value": "1.5"}, {"key": "D", "value": "true"},
                {"key": "E", "value": "false"}, {"key": "F", "value": ""}, {"key": "G", "value": "None"},
            ]},
        ),
        (
            {"variables": {"A": "x"}, "secret_variables": {"B": "y"}},
            {**MAIN, "variables": [{"key": "A", "value": "x"}, {"key": "B", "value": "y", "encrypted": True}]},
        ),
        ({"priority": "HIGH"}, {**MAIN, "priority": "HIGH"}),
        ({"refresh": True, "clear_cache": True}, {**MAIN, "refresh": True, "clear_cache": True}),
        ({"refresh": False, "clear_cache": False}, MAIN),
        ({"actions_to_run": [1, "2"]}, {**MAIN, "actions_to_run": [1, 2]}),
        ({"actions_to_run": (3,)}, {**MAIN, "actions_to_run": [3]}),
        ({"environment": "staging"}, {**MAIN, "environment": "staging"}),
        ({"delay_until": "2020-11-18T12:38:16Z"}, {**MAIN, "delay_until": "2020-11-18T12:38:16.000Z"}),
        ({"delay_until": "2020-11-18T12:38:16.5+02:00"}, {**MAIN, "delay_until": "2020-11-18T10:38:16.500Z"}),
        ({"delay_until": "2020-11-18T12:38:16"}, {**MAIN, "delay_until": "2020-11-18T12:38:16.000Z"}),
        (
            {"delay_until": datetime.datetime(2020, 11, 18, 12, tzinfo=datetime.timezone(datetime.timedelta(hours=1)))},
            {**MAIN, "delay_until": "2020-11-18T11:00:00.000Z"},
        ),
    ],
    ids=str,
)  # fmt: skip
def test_request_bodies(emulator: Emulator, run: Callable[..., Ended], arguments: dict[str, Any], body: dict[str, Any]) -> None:
    action = emulator.buddy.pipelines[0].actions[0]
    emulator.buddy.pipelines[0].actions = [Action(name, seconds=0.0, id=number) for number, name in ((1, "A"), (2, "B"), (3, "C"))]
    assert action.name == "Build"
    ended = run(**arguments)
    assert ended.state == "success", ended.text
    [sent] = starts(emulator)
    comment = sent.pop("comment")
    assert comment.startswith("[airflow-")
    assert sent == body


@pytest.mark.parametrize(("comment", "start"), [(None, "["), ("", "["), ("nightly", "nightly ["), ("{x} %s", "{x} %s [")])
def test_the_marker_goes_behind_the_users_comment(emulator: Emulator, run: Callable[..., Ended], comment: str | None, start: str) -> None:
    run(comment=comment)
    [sent] = starts(emulator)
    assert sent["comment"].startswith(f"{start}airflow-")
    assert sent["comment"].endswith("]")


@pytest.mark.parametrize("given", [89, "89", "rel", "release", " rel "])
def test_a_pipeline_is_named_by_id_identifier_or_name(emulator: Emulator, run: Callable[..., Ended], given: Any) -> None:
    assert run(pipeline=given).result["ref"] == "demo/shop/89/1"


def test_workspace_and_project_may_be_the_tasks(emulator: Emulator, run: Callable[..., Ended]) -> None:
    emulator.buddy.add_pipeline(Pipeline("other", id=5, workspace="acme", project="my site", actions=[Action("Build", seconds=0.0)]))
    assert run(pipeline="other", workspace="acme", project="my site").result["ref"] == "acme/my site/5/1"


# Templates


@pytest.mark.parametrize(
    "make", [lambda: BuddyRunPipelineOperator(task_id="t", pipeline=1), lambda: BuddyExecutionSensor(task_id="t", ref="a/b/1/2")]
)
def test_templated_fields_are_attributes(make: Callable[[], Any]) -> None:
    task = make()
    assert len(set(task.template_fields)) == len(task.template_fields)
    for name in task.template_fields:
        assert hasattr(task, name), name
    for name in task.template_fields_renderers:
        assert name in task.template_fields


def test_every_id_ref_and_payload_is_templated() -> None:
    assert {
        "pipeline", "workspace", "project", "branch", "tag", "pull_request", "revision", "variables", "secret_variables", "comment",
        "priority", "delay_until", "actions_to_run", "environment", "buddy_conn_id", "push_outputs",
        "reveal_outputs", "outputs_path", "log_path",
    } <= set(BuddyRunPipelineOperator.template_fields)  # fmt: skip
    assert {"ref", "buddy_conn_id", "push_outputs", "reveal_outputs"} <= set(BuddyExecutionSensor.template_fields)


def test_templates_are_rendered(emulator: Emulator, run: Callable[..., Ended]) -> None:
    ended = run(
        {"name": "release", "branch": "main", "version": "1.2.3", "key": "s3cr3t-canary"},
        pipeline="{{ params.name }}",
        branch="{{ params.branch }}",
        variables={"VERSION": "{{ params.version }}", "RUN": "{{ run_id }}"},
        secret_variables={"KEY": "{{ params.key }}"},
        comment="release {{ params.version }}",
        actions_to_run=["{{ 1 }}"],
        delay_until="{{ '2020-01-01T00:00:00Z' }}",
    )
    assert ended.state == "success", ended.text
    [sent] = starts(emulator)
    assert sent["branch"] == {"name": "main"}
    assert sent["variables"] == [
        {"key": "VERSION", "value": "1.2.3"},
        {"key": "RUN", "value": "manual__1"},
        {"key": "KEY", "value": "s3cr3t-canary", "encrypted": True},
    ]
    assert sent["comment"].startswith("release 1.2.3 [airflow-")
    assert (sent["actions_to_run"], sent["delay_until"]) == ([1], "2020-01-01T00:00:00.000Z")


def test_secret_variables_are_redacted_in_rendered_fields_and_logs(emulator: Emulator) -> None:
    fields = json.loads(emulator.buddy.connection_json())
    connections = {"buddy_default": {**fields, "extra": json.dumps(fields["extra"])}}
    task = TaskRun(
        lambda: BuddyRunPipelineOperator(
            task_id="task",
            pipeline=89,
            branch="main",
            poll_interval=0.05,
            secret_variables={"KEY": "s3cr3t-canary"},
            variables={"A": "v1sible"},
        ),
        connections,
    )
    ended = task.run()
    assert ended.state == "success"
    rendered = [body for method, path, body in task.api.calls if "rtif" in path]
    assert rendered
    assert "v1sible" in json.dumps(rendered)
    assert "canary" not in json.dumps(rendered)
    assert "canary" not in ended.text
    assert "canary" not in json.dumps(ended.xcoms, default=str)
    assert starts(emulator)[0]["variables"][1]["value"] == "s3cr3t-canary"


# Sensors


@pytest.mark.parametrize("ref", ["", "4098", "a/b/c/d", "{{ none }}"])
def test_a_sensor_refuses_what_is_no_ref(emulator: Emulator, ref: str) -> None:
    fields = json.loads(emulator.buddy.connection_json())
    connections = {"buddy_default": {**fields, "extra": json.dumps(fields["extra"])}}
    ended = TaskRun(lambda: BuddyExecutionSensor(task_id="task", ref=ref), connections).run()
    assert isinstance(ended.error, errors.ConfigurationError)
    assert ended.state == "failed"
    assert emulator.ledger.entries == []
