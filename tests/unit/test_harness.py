"""The harness leans on parts of the Task SDK that are no promised interface: this pins what the behaviour tests rely on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from airflow.sdk import BaseOperator, BaseSensorOperator
from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider._compat import AirflowException, AirflowSkipException
from tests import airflow_inside
from tests.harness import NOTES, TaskRun


class Echo(BaseTrigger):
    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number

    def serialize(self) -> tuple[str, dict[str, Any]]:
        return f"{__name__}.Echo", {"number": self.number}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        await asyncio.sleep(0)
        yield TriggerEvent({"number": self.number})


class Deferring(BaseOperator):
    template_fields = ("text",)

    def __init__(self, *, text: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.text = text

    def execute(self, context: Any) -> Any:
        context["ti"].xcom_push(key="early", value=context["ti"].try_number)
        context["task_state_store"].set("tries", [*(context["task_state_store"].get("tries") or []), context["ti"].try_number])
        return self.defer(trigger=Echo(7), method_name="resumed", kwargs={"kept": self.text})

    def resumed(self, context: Any, kept: str, event: Any) -> dict[str, Any]:
        return {"kept": kept, "event": event, "tries": context["task_state_store"].get("tries")}


class Failing(BaseOperator):
    def execute(self, context: Any) -> None:
        context["ti"].xcom_push(key="seen", value=1)
        raise AirflowException("no")


class Skipping(BaseOperator):
    def execute(self, context: Any) -> None:
        raise AirflowSkipException("not today")


class Third(BaseSensorOperator):
    pokes = 0

    def poke(self, context: Any) -> bool:
        type(self).pokes += 1
        return type(self).pokes == 3


def test_a_deferral_keeps_its_kwargs_renders_templates_and_survives_retries() -> None:
    task = TaskRun(lambda: Deferring(task_id="t", text="{{ run_id }}"), {})
    assert task.run().result == {"kept": "manual__1", "event": {"number": 7}, "tries": [1]}
    ended = task.run()
    assert ended.defers == 1
    assert ended.result["tries"] == [1, 2]
    assert ended.xcoms["early"] == 2


def test_failures_are_retried_until_the_tries_are_used_up_and_xcoms_are_cleared() -> None:
    task = TaskRun(lambda: Failing(task_id="t"), {}, retries=1)
    assert [task.run().state for _ in range(2)] == ["up_for_retry", "failed"]
    task.clear()
    assert task.max_tries == 3
    assert task.run().state == "up_for_retry"
    deleted = [path for method, path, _ in task.api.calls if method == "DELETE" and "/xcoms/" in path]
    assert len(deleted) == 2


def test_a_skip_tells_its_reason() -> None:
    ended = TaskRun(lambda: Skipping(task_id="t"), {}).run()
    assert ended.state == "skipped"
    assert ended.skipped_because == "not today"


def test_a_reschedule_is_run_again() -> None:
    Third.pokes = 0
    ended = TaskRun(lambda: Third(task_id="t", mode="reschedule", poke_interval=0), {}).run()
    assert (ended.state, ended.reschedules) == ("success", 2)


def test_the_harness_plays_this_airflow() -> None:
    """A name that a later Airflow has renamed must not make the harness play an older one, without a word."""
    assert None not in (airflow_inside.USER_ACTION, airflow_inside.AssetStateStoreAccessors, airflow_inside.DagSerialization)
    assert NOTES == "/store/"
