"""State in Airflow Variables, through Airflow's own runner and its Execution API."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowRuntimeError, ErrorType
from airflow.sdk.execution_time.comms import ErrorResponse, TaskStatesResult, VariableResult
from airflow.sdk.execution_time.supervisor import set_supervisor_comms

from airflow_provider import _clock
from airflow_provider.execution.attempt.note import forget_task_state
from airflow_provider.execution.attempt.variables import NOTE_PREFIX, WATCH_PREFIX, VariableAssetState, VariableState
from tests import virtual_clock
from tests.harness import Ended, TaskRun


class Keeper(BaseOperator):
    """Does things to the state, one after the other, and returns what it read."""

    def __init__(self, *, acts: list[tuple[str, ...]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.acts = acts

    def execute(self, context: Any) -> list[Any]:
        state = VariableState(context)
        return [getattr(state, name)(*arguments) for name, *arguments in self.acts]


def kept(*acts: tuple[Any, ...], map_index: int = -1, task_id: str = "t") -> TaskRun:
    return TaskRun(lambda: Keeper(task_id=task_id, acts=list(acts)), {}, map_index=map_index)


def run(task: TaskRun, *acts: tuple[Any, ...], attempt: int = 1, task_id: str = "t") -> Ended:
    """One attempt."""
    task.make = lambda: Keeper(task_id=task_id, acts=list(acts))
    task.try_number = attempt - 1
    return task.run()


NOTE = {"marker": "airflow-1", "ref": None, "texts": ["ü", "\N{PILE OF POO}", 'a "quoted" one'], "number": 1.5, "yes": True}


def test_what_is_set_is_there_at_the_next_attempt() -> None:
    task = kept()
    assert run(task, ("get", "execution"), ("set", "execution", NOTE), ("get", "execution")).result == [None, None, NOTE]
    assert run(task, ("get", "execution"), ("get", "wait"), attempt=2).result == [NOTE, None]


def test_each_value_has_a_variable_of_its_own() -> None:
    task = kept()
    run(task, ("set", "execution", 1), ("set", "wait", 2))
    for name, map_index, task_id in (("mapped", 0, "t"), ("other", -1, "u"), ("mapped 1", 1, "t")):
        other = kept(map_index=map_index)
        other.api.variables = task.api.variables
        assert run(other, ("get", "execution"), ("set", "execution", name), ("get", "execution"), task_id=task_id).result[0] is None
    assert run(task, ("get", "execution"), ("get", "wait"), attempt=2).result == [1, 2]
    assert len(task.api.variables) == 5
    assert all(name.startswith(NOTE_PREFIX) and len(name) < 250 for name in task.api.variables)


def test_a_newer_attempt_is_not_overwritten() -> None:
    task = kept()
    run(task, ("set", "execution", "second"), attempt=2)
    ended = run(task, ("set", "execution", "first"), attempt=1)
    assert isinstance(ended.error, AirflowRuntimeError)
    assert "a newer attempt of t has taken over" in str(ended.error)
    assert run(task, ("delete", "execution"), attempt=1).state == "success"
    assert run(task, ("get", "execution"), attempt=3).result == ["second"]


@pytest.mark.parametrize("state", ["success", "failed", "skipped"])
def test_an_attempt_whose_task_is_over_writes_nothing(state: str) -> None:
    """A newer one has ended, and has deleted what it had noted."""
    task = kept()
    task.api.states["t"] = state
    ended = run(task, ("set", "execution", "first"))
    assert isinstance(ended.error, AirflowRuntimeError)
    assert task.api.variables == {}


def test_a_write_that_airflow_did_not_take_is_no_note() -> None:
    task = kept()
    task.api.refuse_store = True
    ended = run(task, ("set", "execution", NOTE))
    assert isinstance(ended.error, AirflowRuntimeError)
    assert "was not stored" in str(ended.error)


class Broken:
    """A supervisor that can't say what a Variable holds, or gives the answer to another thread's question."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, []

    def send(self, message: Any) -> Any:
        self.asked.append(type(message).__name__)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


FAILED = ErrorResponse(error=ErrorType.API_SERVER_ERROR, detail={"status_code": 500})
OTHERS = {
    "an error": FAILED,
    "a raised error": AirflowRuntimeError(FAILED),
    "of another request": TaskStatesResult(task_states={}),
    "of another variable": VariableResult(key="other", value="{}"),
    "nothing": None,
}


@pytest.mark.parametrize("answer", OTHERS)
def test_what_can_not_be_read_is_not_missing(answer: str) -> None:
    """Else a retry would start a second execution, and an old attempt overwrite the note of a newer one."""
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1)
    state, supervisor = VariableState({"ti": ti}), Broken(OTHERS[answer])  # type: ignore[typeddict-item]
    with set_supervisor_comms(supervisor):
        for act in (lambda: state.get("execution"), lambda: state.set("execution", NOTE), lambda: state.delete("execution")):
            with pytest.raises(AirflowRuntimeError, match="can't be read"):
                act()
    assert set(supervisor.asked) == {"GetVariable"}, "nothing is written"


@pytest.mark.parametrize("answer", OTHERS)
def test_a_task_that_has_ended_does_not_fail_for_a_note_that_can_not_be_deleted(answer: str) -> None:
    ti = SimpleNamespace(dag_id="d", run_id="r", task_id="t", map_index=-1, try_number=1)
    supervisor = Broken(OTHERS[answer])
    with set_supervisor_comms(supervisor):
        assert forget_task_state({"ti": ti}, "execution", "wait") is True  # type: ignore[typeddict-item]
    assert supervisor.asked == ["GetVariable", "GetVariable"]


def test_what_is_deleted_is_gone_and_nothing_else() -> None:
    task = kept()
    run(task, ("set", "execution", 1), ("set", "wait", 2), ("delete", "execution"), ("delete", "other"))
    assert run(task, ("get", "execution"), ("get", "wait"), attempt=2).result == [None, 2]


@pytest.mark.parametrize("foreign", ["no JSON", "[1]", "1", ""])
def test_a_variable_that_somebody_has_changed_counts_as_none(foreign: str) -> None:
    task = kept()
    run(task, ("set", "execution", NOTE))
    (name,) = task.api.variables
    task.api.variables[name] = foreign
    assert run(task, ("get", "execution"), attempt=2).result == [None]


def test_it_says_whose_it_is_and_since_when() -> None:
    task = kept()
    run(task, ("set", "execution", NOTE))
    (record,) = map(json.loads, task.api.variables.values())
    assert (record["try_number"], record["value"]) == (1, NOTE)
    assert 0 <= _clock.now() - record["saved_at"] < 60
    put = next(body for method, path, body in task.api.calls if method == "PUT" and "/variables/" in path)
    assert put["description"] == "Written by task t of harness, run manual__1"


def test_a_watchers_memory_is_its_own() -> None:
    task = kept()
    one, other = (VariableAssetState(("path.Trigger", {"pipeline": name, "phases": None})) for name in ("a", "b"))

    async def use() -> list[Any]:
        before = await one.aget("ends")
        await one.aset("ends", {"seen": {"x": 1.0}})
        return [before, await one.aget("ends"), await one.aget("else"), await other.aget("ends")]

    with task.comms():
        assert virtual_clock.run(use()) == [None, {"seen": {"x": 1.0}}, None, None]
    assert [name.startswith(WATCH_PREFIX) for name in task.api.variables] == [True]
