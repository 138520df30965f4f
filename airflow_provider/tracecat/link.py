"""The link from a task to its Tracecat execution. Airflow imports it when it discovers providers, so it imports little."""

from __future__ import annotations

from airflow_provider.execution.tasks.link import ExecutionLink


class TracecatExecutionLink(ExecutionLink):
    """Links to the execution's page in Tracecat."""

    name = "Tracecat execution"
