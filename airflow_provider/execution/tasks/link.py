"""The link from a task to its execution's page. Airflow imports it when it discovers providers, so it imports little."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class ExecutionLink(BaseOperatorLink):
    """
    Base of the systems' links. Airflow shows the XCom with the key :attr:`xcom_key`.

    It is pushed right after the start, so that the link works while the task is deferred. Airflow calls :meth:`get_link` again at the end
    of each run in a worker, and must get the same link.
    """

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """URL of the execution's page; empty before the start."""
        return getattr(operator, "execution_url", None) or ""
