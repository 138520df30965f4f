"""Mapped tasks on a real Airflow: the fan-out example, of which one part fails."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider.emulator import Emulator
from airflow_provider.emulator.buddy.scenario import Action, Pipeline
from tests.airflow.held import HELD
from tests.airflow.local_airflow import LocalAirflow, until

pytestmark = [pytest.mark.airflow, pytest.mark.smoke, pytest.mark.timeout(1_800)]

DAG = "buddy_fan_out"
DAGS = (DAG,)
CUSTOMERS = ["acme", "globex"]
BUILD = Action("Build", seconds=0.2, outputs={"IMAGE": "shop:1.2.3"})


def begin(airflow: LocalAirflow, emulator: Emulator, aside: Any) -> tuple[Pipeline, str]:
    """Pipeline, and DAG run."""
    pipeline = emulator.buddy.add_pipeline(Pipeline("fan", actions=[BUILD, Action("Deploy", seconds=HELD)]))
    return pipeline, airflow.trigger(DAG, {"pipeline": "fan", "customers": CUSTOMERS})


def test_fan_out(airflow: LocalAirflow, emulator: Emulator, begun: dict[str, Any]) -> None:
    buddy = emulator.buddy
    pipeline, run = begun[__name__]
    path = f"dags/{DAG}/dagRuns/{run}/taskInstances/release"

    def deferred() -> list[dict[str, object]]:
        there = [airflow.get(f"{path}/{index}") for index in range(len(CUSTOMERS)) if len(buddy.executions_of(pipeline)) == len(CUSTOMERS)]
        return there if there and all(instance["state"] == "deferred" for instance in there) else []

    instances = until("all parts are deferred", deferred)
    assert [instance["rendered_map_index"] for instance in instances] == CUSTOMERS
    executions = {execution.variables["CUSTOMER"]: execution for execution in buddy.executions_of(pipeline)}
    assert sorted(executions) == CUSTOMERS
    for index, customer in enumerate(CUSTOMERS):
        links = airflow.get(f"{path}/links", map_index=index)["extra_links"]
        assert links["Buddy execution"].endswith(executions[customer].hex_id)
        assert airflow.xcom(DAG, run, "release", "ref", map_index=index) == executions[customer].ref

    for index in range(len(CUSTOMERS)):
        airflow.wait_for_deferred(DAG, run, "release", index)
    buddy.finish(executions["acme"])
    buddy.finish(executions["globex"], "FAILED")
    airflow.wait_for_run(DAG, run)

    states = {instance["map_index"]: instance["state"] for instance in airflow.task_instances(DAG, run) if instance["task_id"] == "release"}
    assert states == {0: "success", 1: "failed"}
    assert airflow.xcom(DAG, run, "summary") == {executions["acme"].ref: "shop:1.2.3"}
    assert any(line.startswith("1 of 2 releases succeeded: ") for line in airflow.log(DAG, run, "summary"))
    assert emulator.ledger.count("POST", rf"/pipelines/{pipeline.id}/executions$") == len(CUSTOMERS)
