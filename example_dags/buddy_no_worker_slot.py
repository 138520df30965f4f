"""
Wait for the nightly releases of several pipelines without any worker: the sensors start in the triggerer and end there.

For a DAG that mostly waits, and waits often. Airflow loads the whole DAG for each such sensor, so keep the DAG small and use many runs
rather than many tasks. If a release fails, its sensor ends in a worker, which reports the reason.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from airflow_provider.buddy.sensors import BuddyPipelineSensor

with DAG(
    "buddy_no_worker_slot",
    schedule=None,  # a cron expression, such as "0 22 * * *", for nightly releases
    max_active_runs=16,
    tags=["buddy", "example"],
    doc_md=__doc__,
) as dag:
    # [START no_worker_slot]
    releases = [
        BuddyPipelineSensor(
            task_id=f"wait_{name}",
            pipeline=name,
            started_after="{{ dag_run.run_after }}",
            deferrable=True,
            start_from_trigger=True,
            poke_interval=60,
            timeout=timedelta(hours=8).total_seconds(),
            push_outputs=["IMAGE"],
        )
        for name in ("api", "shop", "mailer")
    ]
    # [END no_worker_slot]

    @task
    def announce(images: list[str]) -> str:
        text = f"Tonight's images: {', '.join(images)}"
        print(text)
        return text

    announce(images=[release.output["IMAGE"] for release in releases])
