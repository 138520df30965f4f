"""Hook for Kiln."""

from airflow_provider.execution.http.endpoint import Dialect
from airflow_provider.execution.http.hook import ExecutionHook
from tests.integration.made_up.system import Kiln


class KilnHook(ExecutionHook):
    conn_type, title = "kiln", "Kiln"
    dialect = Dialect()

    def arguments(self) -> dict[str, str]:
        return {"conn_id": self.conn_id}

    def system(self, **view: object) -> Kiln:
        return Kiln()

    def credentials(self, connection: object, extra: object) -> dict[str, str]:
        return {"x-kiln-key": getattr(connection, "password", None) or ""}


class KilnTask:
    link_key = "_link_KilnLink"

    def make_hook(self) -> KilnHook:
        return KilnHook("kiln_default")
