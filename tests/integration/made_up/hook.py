"""Hook for Kiln."""

from airflow_provider.execution.http.api_errors import ApiErrors
from airflow_provider.execution.http.hook import ExecutionHook
from tests.integration.made_up.adapter import Kiln


class KilnHook(ExecutionHook):
    conn_type, title, api_errors = "kiln", "Kiln", ApiErrors()

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
