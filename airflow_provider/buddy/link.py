"""The link to a Buddy execution. Light: Airflow imports it when it looks for providers."""

from __future__ import annotations

from airflow_provider.execution.tasks.link import ExecutionLink


class BuddyExecutionLink(ExecutionLink):
    """From the task to the execution's page in Buddy."""

    name = "Buddy execution"
