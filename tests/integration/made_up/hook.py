"""Hook for Kiln."""

from airflow_provider.execution.http.endpoint import Dialect
from airflow_provider.execution.http.hook import ExecutionHook
from tests.integration.made_up.adapter import Kiln


class KilnHook(ExecutionHook):
    conn_type, title, dialect = "kiln", "Kiln", Dialect()

    def arguments(self) -> dict[str, str]:
        return {"conn_id": self.conn_id}

    def adapter(self, **view: object) -> Kiln:
        return Kiln()

    def credentials(self, connection: object, extra: object) -> dict[str, str]:
        return {"x-kiln-key": getattr(connection, "password", None) or ""}


class KilnTask:
    link_key = "_link_KilnLink"

    def make_hook(self) -> KilnHook:
        return KilnHook("kiln_default")
