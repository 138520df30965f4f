"""
Buddy, where an account is given: reading, and one run of the pipeline that the user has named.

Nothing is made, changed or removed there; the one pipeline is run once. ``CONTRIBUTING.md`` says what it needs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from typing import Any

import pytest

from airflow_provider import errors
from airflow_provider.buddy.hook import BuddyHook
from airflow_provider.buddy.operators import BuddyGetExecutionOperator, BuddyRunPipelineOperator
from airflow_provider.buddy.sensors import BuddyExecutionSensor, BuddyPipelineSensor
from tests.harness import Ended, TaskRun
from tests.live.settings import BuddyAccount

given = BuddyAccount.given()
if isinstance(given, str):
    pytest.skip(given, allow_module_level=True)
ACCOUNT = given

CONNECTIONS: dict[str, dict[str, Any]] = {
    "buddy_default": {
        "conn_type": "buddy",
        "host": ACCOUNT.url,
        "password": ACCOUNT.token,
        "extra": json.dumps({"workspace": ACCOUNT.workspace, "project": ACCOUNT.project}),
    }
}
LIMIT = 1_800.0
"""Seconds that the pipeline may take."""


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[BuddyHook]:
    monkeypatch.setenv("AIRFLOW_CONN_BUDDY_DEFAULT", json.dumps(CONNECTIONS["buddy_default"]))
    with BuddyHook() as hook:
        yield hook


def read(what: Callable[[], Any]) -> Any:
    """What the account shows; without the scope for it, there is nothing to check."""
    try:
        return what()
    except errors.Forbidden as error:
        pytest.skip(f"the token may not read this: {error}")


# Reading


def test_the_connection(hook: BuddyHook) -> None:
    works, text = hook.test_connection()
    assert works, text
    assert ACCOUNT.token not in text


def test_workspace_and_project(hook: BuddyHook) -> None:
    assert ACCOUNT.workspace in [workspace.domain for workspace in read(hook.list_workspaces)]
    assert read(hook.get_project).name == ACCOUNT.project
    assert ACCOUNT.project in [project.name for project in islice(read(hook.iter_projects), 500)]


def test_pipelines_and_their_actions(hook: BuddyHook) -> None:
    for pipeline in read(hook.list_pipelines)[:3]:
        assert pipeline.id
        assert hook.get_pipeline(pipeline.id).name == pipeline.name
        for action in read(partial(hook.list_actions, pipeline.id))[:3]:
            assert read(partial(hook.get_action, pipeline.id, action.id)).name == action.name


def test_executions_and_their_logs(hook: BuddyHook) -> None:
    for pipeline in read(hook.list_pipelines)[:3]:
        for row in read(partial(hook.list_executions, pipeline.id))[:2]:
            ref = f"{ACCOUNT.workspace}/{ACCOUNT.project}/{pipeline.id}/{row.id}"
            execution = hook.get_execution(ref)
            assert (execution.id, bool(execution.status)) == (row.id, True)
            for step in (execution.action_executions or [])[:2]:
                one = f"{ref}/{step.id}"
                assert read(partial(hook.get_action_execution, one)).status
                assert isinstance(read(partial(hook.list_log_lines, one, limit=10)), list)


def test_what_else_the_token_may_read(hook: BuddyHook) -> None:
    assert read(hook.get_token)
    assert read(hook.get_user).id
    assert isinstance(read(hook.list_variables), list)


def test_a_pipeline_that_does_not_exist(hook: BuddyHook) -> None:
    with pytest.raises(errors.ExecutionApiError) as raised:
        hook.get_pipeline(2_000_000_000)
    assert ACCOUNT.token not in str(raised.value)


# One run of the pipeline that was named


def task(kind: Callable[..., Any], **arguments: Any) -> Ended:
    """One try of a task."""
    ended = TaskRun(lambda: kind(task_id="task", **arguments), CONNECTIONS, retries=0).run()
    assert ACCOUNT.token not in json.dumps([ended.xcoms, ended.text, str(ended.error)], default=str)
    return ended


@pytest.fixture(scope="module")
def once() -> dict[str, Ended]:
    """The run, which all tests share."""
    return {}


@pytest.fixture
def ended(once: dict[str, Ended]) -> Ended:
    if not ACCOUNT.pipeline:
        pytest.skip("no pipeline may be run: BUDDY_LIVE_PIPELINE names none")
    if "run" not in once:
        once["run"] = task(
            BuddyRunPipelineOperator,
            pipeline=int(ACCOUNT.pipeline) if ACCOUNT.pipeline.isdecimal() else ACCOUNT.pipeline,
            comment="airflow-provider live test",
            timeout=LIMIT,
            poll_interval=5.0,
            deferrable=True,
        )
    return once["run"]


@pytest.mark.timeout(LIMIT + 300)
def test_the_pipeline_is_run(ended: Ended) -> None:
    assert ended.state == "success", f"{ended.error!r}\n{ended.text}"
    assert ended.defers == 1
    result = ended.result
    assert result["phase"] == "SUCCEEDED"
    assert result["ref"].startswith(f"{ACCOUNT.workspace}/{ACCOUNT.project}/")
    assert result["steps"]
    assert result["url"].startswith("http")


def test_its_log_and_outputs_are_those_that_the_api_shows(ended: Ended, hook: BuddyHook) -> None:
    execution = hook.get_execution(ended.result["ref"])
    assert execution.comment is None or "airflow-provider live test" in execution.comment
    logs = [hook.list_log_lines(f"{ended.result['ref']}/{step.id}", limit=1_000) for step in execution.action_executions or []]
    if any(line.strip() for lines in logs for line in lines):
        assert ended.result["log_tail"]
    assert isinstance(ended.result["outputs"], dict)


@pytest.mark.parametrize("arguments", [{"mode": "poke"}, {"deferrable": True}], ids=str)
def test_a_sensor_sees_its_end(ended: Ended, arguments: dict[str, Any]) -> None:
    seen = task(BuddyExecutionSensor, ref=ended.result["ref"], poke_interval=5.0, timeout=60.0, **arguments)
    assert seen.state == "success", seen.text
    assert seen.result["ref"] == ended.result["ref"]
    assert seen.result["outputs"] == ended.result["outputs"]


def test_a_search_finds_it(ended: Ended) -> None:
    pipeline = int(ended.result["ref"].split("/")[2])
    found = task(
        BuddyPipelineSensor, pipeline=pipeline, started_after=ended.result["started_at"], match="first", poke_interval=5.0, timeout=60.0
    )
    assert found.state == "success", found.text


def test_it_can_be_read(ended: Ended) -> None:
    read_again = task(BuddyGetExecutionOperator, ref=ended.result["ref"])
    assert read_again.state == "success", read_again.text
    assert read_again.result["status"] == ended.result["status"]
