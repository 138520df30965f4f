"""The link to a Tracecat execution. Light: Airflow imports it when it looks for providers."""

from __future__ import annotations

from airflow_provider.execution.tasks.link import ExecutionLink


class TracecatExecutionLink(ExecutionLink):
    """From the task to the execution's page in Tracecat."""

    name = "Tracecat execution"
