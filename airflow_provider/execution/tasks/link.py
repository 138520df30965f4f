"""The link from a task to its execution's page. Imported when Airflow discovers providers: nothing heavy here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator
    from airflow.sdk.types import TaskInstanceKey


class ExecutionLink(BaseOperatorLink):
    """
    Base of the systems' links. Airflow shows what lies in XCom under :attr:`xcom_key`.

    It is pushed right after the start, so that the link works while the task is deferred; Airflow asks :meth:`get_link` again at
    the end of each phase in a worker, and must get the same.
    """

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """The execution's page, as the task learned it; empty before the start."""
        return getattr(operator, "execution_url", None) or ""
