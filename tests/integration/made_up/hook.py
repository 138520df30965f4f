"""Hook for Kiln."""

from functools import cached_property

from airflow.sdk import Connection

from airflow_provider.execution.http.hook import ExecutionHook, Extra
from airflow_provider.execution.tasks.execution_task import ExecutionTask
from tests.integration.made_up.adapter import Kiln


class KilnHook(ExecutionHook):
    conn_type, title = "kiln", "Kiln"

    def adapter(self, **view: object) -> Kiln:
        return Kiln()

    def credentials(self, connection: Connection, extra: Extra) -> dict[str, str]:
        return {"x-kiln-key": connection.password or ""}


class KilnTask(ExecutionTask[KilnHook]):
    link_key = "_link_KilnLink"

    @cached_property
    def hook(self) -> KilnHook:
        return KilnHook("kiln_default")
