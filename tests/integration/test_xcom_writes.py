"""XComs that can't be written: only declared outputs and the result are worth a task's failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.harness import TaskRun
from tests.integration.conftest import Bench


def refuse_once(task: TaskRun, key: str, look: Callable[[], str]) -> list[str]:
    """Refuse the first write of an XCom. Returns what ``look`` says at each write."""
    seen: list[str] = []
    api = task.api
    answer = type(api).__call__

    class Once(type(api)):  # type: ignore[misc]
        def __call__(self, request: httpx.Request) -> httpx.Response:
            if request.method == "POST" and request.url.path.endswith(f"/{key}"):
                seen.append(look())
                if len(seen) == 1:
                    return httpx.Response(404, json={"detail": {"reason": "not_found", "message": "no"}})
            return answer(self, request)

    api.__class__ = Once
    return seen


@pytest.mark.parametrize("key", ["ref", "url", "link"])
def test_a_task_goes_on_without(bench: Bench, key: str) -> None:
    """Without retries nobody would follow the execution."""
    name = bench.system.link_key if key == "link" else key
    task = bench.task("succeeded", retries=0)
    task.api.refused_xcoms.add(name)
    ended = task.run()
    assert ended.error is None, ended.text
    assert ended.state == "success"
    assert [bench.system.status(ref) for ref in bench.system.refs] == [bench.system.statuses["SUCCEEDED"]]
    assert ended.result["ref"] == bench.system.refs[0]
    assert name not in ended.xcoms
    if bench.mode == "operator":
        assert ended.text.count(f"The XCom {name} could not be written") == 1


@pytest.mark.parametrize("key", ["ref", "url", "link"])
def test_a_write_that_failed_is_made_up_for_while_it_waits(bench: Bench, key: str) -> None:
    name = bench.system.link_key if key == "link" else key
    task = bench.task("succeeded", script=bench.system.script("succeeded", seconds=300.0), **bench.every(10.0))
    seen = refuse_once(task, name, lambda: bench.system.status(bench.system.refs[0]))
    ended = task.run()
    assert ended.error is None, ended.text
    assert name in ended.xcoms
    assert len(seen) > 1
    assert seen[1] != bench.system.statuses["SUCCEEDED"], "not only at the end"


def test_the_error_of_the_task_matters_more_than_its_result(bench: Bench) -> None:
    task = bench.task("failed", retries=0)
    task.api.refused_xcoms.add("execution")
    ended = task.run()
    assert type(ended.error).__name__ in ("ExecutionFailed", "AirflowFailException"), ended.text
    assert "1 test failed" in str(ended.error)


def test_a_declared_output_is_essential(operator_bench: Bench) -> None:
    """What the next tasks need must not be missing from a task that is green."""
    kind: dict[str, Any] = {"push_outputs": ["IMAGE"]}
    task = operator_bench.task("succeeded", retries=0, **kind)
    task.api.refused_xcoms.add("IMAGE")
    assert task.run().state == "failed"
