"""What a task shows of its execution in Airflow's web interface while it waits, in all modes."""

from __future__ import annotations

import json
from datetime import datetime
from itertools import pairwise
from typing import Any

import httpx
import pytest

from airflow_provider import errors
from tests.harness import TaskRun
from tests.integration.conftest import Bench


def views(task: TaskRun) -> list[dict[str, Any]]:
    """The views that it has written, in order."""
    written = [body for method, path, body in task.api.calls if method == "POST" and path.endswith("/execution_view")]
    return [json.loads(body) if isinstance(body, str) else body for body in written]


def test_while_it_waits(bench: Bench) -> None:
    """At the first look and when a phase has changed; not more often than every 15 seconds."""
    task = bench.task("succeeded", script=bench.system.script("succeeded", seconds=300.0), **bench.every(10.0))
    ended = task.run()
    assert ended.error is None, ended.text
    shown = views(task)
    assert shown
    assert {one["ref"] for one in shown} == {bench.system.refs[0]}
    assert {one["system"] for one in shown} == {bench.system.name}
    assert "RUNNING" in {one["phase"] for one in shown}
    moments = [datetime.fromisoformat(one["seen_at"]).timestamp() for one in shown]
    if bench.mode != "sensor-reschedule":  # where each poke is a process of its own, and Airflow has deleted what the last one wrote
        assert [b - a for a, b in pairwise(moments) if b - a < 14.0] == []
        assert len(shown) < 10, "and not at each look"


def test_a_task_goes_on_if_it_can_not_be_written(bench: Bench) -> None:
    task = bench.task("succeeded")
    task.api.refused_xcoms.add("execution_view")
    ended = task.run()
    assert ended.error is None, ended.text


def test_a_write_that_failed_is_made_up_for(bench: Bench) -> None:
    task = bench.task("succeeded", script=bench.system.script("succeeded", seconds=300.0), **bench.every(10.0))
    refused: list[httpx.Request] = []
    api = task.api
    answer = type(api).__call__

    class Once(type(api)):  # type: ignore[misc]
        def __call__(self, request: Any) -> Any:
            if not refused and request.url.path.endswith("/execution_view"):
                refused.append(request)
                return httpx.Response(404, json={"detail": {"reason": "not_found", "message": "no"}})
            return answer(self, request)

    api.__class__ = Once
    assert task.run().error is None
    assert refused
    assert "RUNNING" in {one["phase"] for one in views(task)}


def test_without_a_result_the_view_shows_the_end(bench: Bench) -> None:
    task = bench.task("succeeded", script=bench.system.script("succeeded", seconds=60.0), do_xcom_push=False, **bench.every(10.0))
    assert task.run().error is None
    assert "return_value" not in task.api.xcoms
    assert task.api.xcoms["execution_view"]["phase"] == "SUCCEEDED"


def test_what_ended_before_the_first_look_needs_none(bench: Bench) -> None:
    task = bench.task("failed")
    ended = task.run()
    assert isinstance(ended.error, errors.ExecutionApiError)
    assert "execution" in task.api.xcoms


@pytest.mark.parametrize("word", ["hunter2-hunter2-hunter2"])
def test_it_holds_no_secret_argument(operator_bench: Bench, word: str) -> None:
    system = operator_bench.system
    task = operator_bench.task(
        "succeeded", script=system.script("succeeded", seconds=60.0), **operator_bench.every(10.0), **system.secret_argument(word)
    )
    task.run()
    assert views(task)
    assert word not in json.dumps(views(task))
