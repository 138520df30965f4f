"""Run a pipeline once for each of several customers, at most three at a time, and combine the results."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from airflow.sdk import DAG, Param, task

from airflow_provider.buddy.operators import BuddyRunPipelineOperator

with DAG(
    "buddy_fan_out",
    schedule=None,
    params={
        "pipeline": Param("release", type="string", description="Pipeline to run: its id, identifier or name"),
        "customers": Param(["acme", "globex", "initech"], type="array", description="One run for each"),
    },
    tags=["buddy", "example"],
    doc_md=__doc__,
):

    @task
    def variables(**context: Any) -> list[dict[str, str]]:
        return [{"CUSTOMER": name} for name in context["params"]["customers"]]

    # [START fan_out]
    release = BuddyRunPipelineOperator.partial(
        task_id="release",
        pipeline="{{ params.pipeline }}",
        branch="main",
        deferrable=True,
        poll_interval=5,
        timeout=timedelta(minutes=30),
        max_active_tis_per_dagrun=3,
        map_index_template="{{ task.variables['CUSTOMER'] }}",  # instead of 0, 1, 2 in the grid
    ).expand(variables=variables())
    # [END fan_out]

    # [START join]
    @task(trigger_rule="all_done")
    def summary(results: Iterable[dict[str, Any]], **context: Any) -> dict[str, str]:
        images = {result["ref"]: result["outputs"].get("IMAGE", "none") for result in results}  # of those that succeeded
        print(f"{len(images)} of {len(context['params']['customers'])} releases succeeded: {images}")
        return images

    summary(release.output)
    # [END join]
