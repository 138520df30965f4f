"""Variables as the vendor's JSON objects."""

from __future__ import annotations

from typing import Any

from airflow_provider.emulator.buddy.installation import Installation
from airflow_provider.emulator.buddy.output import ciphertext
from airflow_provider.emulator.buddy.variables import Variable
from airflow_provider.emulator.buddy.views import Views


class VariableViews:
    """Renders variables; encrypted ones only as ciphertext."""

    def __init__(self, buddy: Installation) -> None:
        self._views = Views(buddy)

    def list_urls(self, workspace: str) -> dict[str, Any]:
        """Return ``url`` and ``html_url`` of the list."""
        view = self._views.workspace(workspace, single=False)
        return {key: f"{view[key]}/variables" for key in ("url", "html_url")}

    def variable(self, variable: Variable) -> dict[str, Any]:
        """Route 15: a variable."""
        urls = self.list_urls(variable.workspace)
        scopes = {name: {"name" if name == "project" else "id": value} for name, value in variable.scopes.items()}
        view = {
            "url": f"{urls['url']}/{variable.id}",
            "html_url": urls["html_url"],
            "id": variable.id,
            "key": variable.key,
            "value": ciphertext(variable.value) if variable.encrypted else variable.value,
            "type": variable.type,
            "encrypted": variable.encrypted,
            "settable": variable.settable,
            "run_only_settable": variable.run_only_settable,
            "description": variable.description,
            "project": None,
            "pipeline": None,
            "action": None,
            "environment": None,
        }
        return self._views.without_nulls(view | scopes | variable.definition)
