"""
Run whenever an execution of a Buddy pipeline has succeeded, whoever started it: a person, a push, Buddy's own schedule.

No task waits: the triggerer watches the pipeline, and each end is an event of an asset, on which this DAG is scheduled. While the DAG is
paused nothing is watched; when it is unpaused, it catches up on the ends of the last day.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, AssetWatcher, task

from airflow_provider.buddy.triggers import BuddyPipelineFinishedTrigger

# [START watch]
release = Asset(
    "buddy_release",
    watchers=[
        AssetWatcher(
            name="succeeded_on_main",
            trigger=BuddyPipelineFinishedTrigger(pipeline="release", branch="main", phases=["SUCCEEDED"], poll_interval=30),
        )
    ],
)
# [END watch]

with DAG("buddy_asset", schedule=[release], tags=["buddy", "example"], doc_md=__doc__) as dag:
    # [START events]
    @task
    def announce(triggering_asset_events: Any = None) -> list[str]:
        """One run may have several events. The same end may arrive twice, so ends are identified by ref and end time."""
        ended = [event.extra["payload"] for event in triggering_asset_events[release]]
        once = {(end["ref"], end["finished_at"]): end for end in ended}
        texts = [f"{end['outputs'].get('IMAGE', 'nothing')} was released by {ref}, see {end['url']}" for (ref, _), end in once.items()]
        print("\n".join(texts))
        return texts

    announce()
    # [END events]
