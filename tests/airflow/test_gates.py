"""How a wait at a gate ends, on a real Airflow: in time or not, by one person or two, and without its execution."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from airflow_provider.emulator import Emulator, LedgerEntry
from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.scenario import Action, Gate, Pipeline
from airflow_provider.emulator.tracecat.scenario import Action as Step
from airflow_provider.emulator.tracecat.scenario import Interaction, Workflow
from tests.airflow.local_airflow import LOGIN, LocalAirflow, until
from tests.airflow.test_external_and_gate import REPORTED_SECONDS

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1_800)]

BUDDY, LIMITED, TRACECAT = DAGS = ("gate_of_buddy", "gate_with_a_limit", "gate_of_tracecat")
DAG_OF = {
    "both": BUDDY,
    "ended": BUDDY,
    "cancelled": BUDDY,
    "gone": BUDDY,
    "late": LIMITED,
    "answered": TRACECAT,
    "declined": TRACECAT,
    "elsewhere": TRACECAT,
}


@dataclass
class Gates:
    """One run for each case, and the execution that it waits for."""

    airflow: LocalAirflow
    emulator: Emulator
    executions: dict[str, Any]
    runs: dict[str, tuple[str, str]]

    def ended(self, name: str, state: str) -> str:
        """The log of a task that has ended in a state."""
        self.airflow.wait_for_task(*self.runs[name], "gate", state)
        return "\n".join(self.airflow.log(*self.runs[name], "gate"))

    def closed_with(self, name: str) -> list[str]:
        """The answer that the required action shows."""
        until("the question is closed", lambda: self.airflow.required_action(*self.runs[name])["response_received"])
        return list(self.airflow.required_action(*self.runs[name])["chosen_options"])

    def sent(self, name: str) -> list[LedgerEntry]:
        """The writes that the emulator got for an execution of Buddy."""
        execution: Execution = self.executions[name]
        return self.emulator.ledger.select("PATCH", rf"/pipelines/{execution.pipeline.id}/executions/{execution.id}$")


def begin(airflow: LocalAirflow, emulator: Emulator, aside: Any) -> Gates:
    buddy, tracecat = emulator.buddy, emulator.tracecat
    executions: dict[str, Any] = {}
    for name, dag in DAG_OF.items():
        if dag == TRACECAT:
            ask = Step("ask", seconds=0.0, interaction=Interaction())
            last = Step("after", seconds=0.0, result="${{ ACTIONS.ask.interaction.choice }}", depends_on=["ask"])
            returns = {"choice": "${{ ACTIONS.after.result }}"}
            workflow = tracecat.add_workflow(Workflow(f"gate {name}", actions=[ask, last], returns=returns, webhook="online"))
            executions[name] = tracecat.add_execution(workflow)
        else:
            pipeline = buddy.add_pipeline(Pipeline(f"gate {name}", actions=[Gate("Approve"), Action("Deploy", seconds=0.2)]))
            executions[name] = buddy.add_execution(pipeline, started_by="Ann")
    runs = {name: (dag, airflow.trigger(dag, {"ref": executions[name].ref})) for name, dag in DAG_OF.items()}
    return Gates(airflow, emulator, executions, runs)


@pytest.fixture(scope="module")
def gates(begun: dict[str, Any]) -> Gates:
    """Every task has asked, and Airflow knows that it is deferred; of the one with a limit, the wait may be over."""
    gates: Gates = begun[__name__]
    for name, (dag, run) in gates.runs.items():
        gates.airflow.wait_for_task(dag, run, "gate", ("deferred", "failed") if name == "late" else "deferred")
    asked = time.monotonic()
    until("the deferrals are reported", lambda: time.monotonic() - asked > REPORTED_SECONDS)
    return gates


def test_both_answer_at_once(airflow: LocalAirflow, gates: Gates) -> None:
    execution = gates.executions["both"]
    with ThreadPoolExecutor() as pool:
        here = pool.submit(airflow.answer, *gates.runs["both"], "Decline")
        pool.submit(gates.emulator.buddy.approve, execution, by="Zoe").result()
        here.result()
    # Whoever of the two came last has changed nothing: the gate was open, so that a decline cancels nothing.
    gates.ended("both", "success")
    assert execution.status == "SUCCESSFUL"
    assert gates.sent("both") == []
    assert airflow.xcom(*gates.runs["both"], "gate")["actor"]["approved_by"] == "Zoe"


def test_nobody_answers_in_time(airflow: LocalAirflow, gates: Gates) -> None:
    gates.ended("late", "failed")
    assert "ExecutionWaiting" in json.dumps(airflow.log_entries(*gates.runs["late"], "gate"))
    assert gates.closed_with("late") == ["Nobody answered in time"]
    assert (gates.executions["late"].status, gates.sent("late")) == ("WAITING_FOR_APPLY", [])


@pytest.mark.parametrize(("name", "state", "phase"), [("ended", "failed", "FAILED"), ("cancelled", "skipped", "CANCELLED")])
def test_the_execution_ends_at_the_gate(airflow: LocalAirflow, gates: Gates, name: str, state: str, phase: str) -> None:
    if name == "ended":
        gates.emulator.buddy.finish(gates.executions[name], "FAILED")
    else:
        gates.emulator.buddy.cancel(gates.executions[name], by="Zoe")
    gates.ended(name, state)
    assert airflow.xcom(*gates.runs[name], "gate", "execution")["phase"] == phase
    assert gates.closed_with(name) != ["Approve"]
    assert gates.sent(name) == []


def test_the_execution_is_gone(airflow: LocalAirflow, gates: Gates) -> None:
    gates.emulator.buddy.delete(gates.executions["gone"])
    log = gates.ended("gone", "failed")
    assert gates.executions["gone"].ref in log
    assert gates.closed_with("gone") != ["Approve"]
    assert gates.sent("gone") == []


def test_an_interaction_is_answered(airflow: LocalAirflow, gates: Gates) -> None:
    question = airflow.required_action(*gates.runs["answered"])
    assert question["options"] == ["Approve", "Decline"]
    assert question["params"]["choice"]["value"] == "yes"
    airflow.answer(*gates.runs["answered"], "Approve", {"choice": "perhaps"})
    gates.ended("answered", "success")
    result = airflow.xcom(*gates.runs["answered"], "gate")
    assert result["outputs"] == {"choice": "perhaps"}
    assert result["actor"]["approved_in_airflow_by"] == LOGIN


def test_an_interaction_is_declined(airflow: LocalAirflow, gates: Gates) -> None:
    airflow.answer(*gates.runs["declined"], "Decline")
    gates.ended("declined", "skipped")
    assert airflow.xcom(*gates.runs["declined"], "gate", "execution")["phase"] == "CANCELLED"


def test_an_interaction_is_answered_elsewhere(airflow: LocalAirflow, gates: Gates) -> None:
    gates.emulator.tracecat.answer(gates.executions["elsewhere"].ref, {"choice": "no"})
    gates.ended("elsewhere", "success")
    assert airflow.xcom(*gates.runs["elsewhere"], "gate")["outputs"] == {"choice": "no"}
    assert gates.closed_with("elsewhere")[0] in ("Opened in Tracecat", "Ended in Tracecat")  # it may end before the next poll
