"""The judge of the chaos run sees what it is to see. (That duplicates and wrong cancels come about at all, the run's controls show.)"""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from tests.airflow.chaos.__main__ import CONTROLS, report
from tests.airflow.chaos.remote import Execution, Request
from tests.airflow.chaos.verdict import COUNTS, Expected, Verdict, _judge_ends, _judge_starts, name_of

TI: dict[str, Any] = {"dag_id": "chaos", "dag_run_id": "run", "task_id": "buddy_sync", "map_index": -1, "try_number": 3}
TASK = name_of(TI)
ENDED = Execution("buddy", "demo/shop/1/7", TASK, "SUCCESSFUL")
STARTED = Request("buddy", TASK, 200, None)
CANCEL = Request("buddy", "/buddy/api/workspaces/demo/projects/shop/pipelines/1/executions/7", 200, None)


def counts(executions: list[Execution], starts: list[Request], cancels: list[Request], expected: Expected) -> dict[str, int]:
    verdict = Verdict()
    _judge_starts(verdict, {TASK: TI}, executions, starts, expected)
    _judge_ends(verdict, executions, cancels, expected)
    return {name: verdict.total(name) for name in COUNTS if verdict.total(name)}


def test_one_execution_that_succeeded_is_what_is_wanted() -> None:
    refused = Request("buddy", TASK, None, "drop_before")
    assert counts([ENDED], [refused, STARTED], [], Expected()) == {}


@pytest.mark.parametrize("number", [0, 2, 3])
def test_every_attempt_has_one_execution(number: int) -> None:
    found = counts([ENDED] * number, [STARTED] * number, [], Expected())
    assert found == ({"duplicates": number - 1} if number else {"lost": 1})


def test_a_failed_execution_and_a_clear_make_an_attempt_more() -> None:
    expected = Expected()
    expected.failed[TASK] = expected.cleared[TASK] = 1
    assert counts([ENDED] * 3, [STARTED] * 3, [], expected) == {}
    assert counts([ENDED] * 2, [STARTED] * 2, [], expected) == {"lost": 1}


def test_an_execution_that_goes_on_is_orphaned() -> None:
    assert counts([Execution("buddy", "demo/shop/1/7", TASK, "INPROGRESS")], [STARTED], [], Expected()) == {"orphaned": 1}


def test_a_cancel_request_without_effect_counts_too() -> None:
    assert counts([ENDED], [STARTED], [CANCEL], Expected()) == {"wrongly cancelled": 1}


def test_another_executions_cancel_request_does_not() -> None:
    other = Request("buddy", CANCEL.subject.replace("/7", "/17"), 200, None)
    assert counts([ENDED], [STARTED], [other], Expected()) == {}


def test_a_persons_act_cancels_once() -> None:
    expected = Expected()
    expected.stopped[TASK] = 1
    stopped = Execution("buddy", "demo/shop/1/7", TASK, "TERMINATED")
    assert counts([stopped], [STARTED], [CANCEL], expected) == {}
    assert counts([stopped], [STARTED], [CANCEL, CANCEL], expected) == {"wrongly cancelled": 1}


def fine(verdict: Verdict, controls: dict[str, Verdict], without: str | None = None) -> bool:
    return report(Console(file=io.StringIO()), verdict, controls, without)


def harm(kind: str) -> Verdict:
    verdict = Verdict()
    verdict.note(kind, "buddy", "what happened")
    return verdict


def test_a_run_must_do_no_harm_and_each_of_its_controls_must() -> None:
    harmful = {without: harm(kind) for without, (_, _, kind) in CONTROLS.items()}
    assert fine(Verdict(), harmful)
    for kind in COUNTS:
        assert not fine(harm(kind), harmful)
    for without in CONTROLS:
        assert not fine(Verdict(), {**harmful, without: Verdict()})


@pytest.mark.parametrize(("without", "kind"), [("re-attachment", "duplicates"), ("guard", "wrongly cancelled")])
def test_a_run_that_is_a_control_must_do_the_harm_that_it_is_for(without: str, kind: str) -> None:
    for other in COUNTS:
        assert fine(harm(other), {}, without) == (other == kind)
