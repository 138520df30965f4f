"""Variables as the vendor's JSON objects."""

from __future__ import annotations

import base64
import hashlib
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
        if variable.type == "SSH_KEY":
            view |= key_fields(variable)
        return self._views.without_nulls(view | scopes | variable.definition)


def key_fields(variable: Variable) -> dict[str, str]:
    """Return what the vendor derives from an SSH key. It is made up here: it belongs to no key, but changes with the value."""
    digest = hashlib.sha256(f"{variable.key}\n{variable.value}".encode()).digest()
    # The wire format of a public key: its kind, and 32 bytes.
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in (b"ssh-ed25519", digest))
    return {
        "public_value": f"ssh-ed25519 {base64.b64encode(blob).decode()} {variable.key}",
        "key_fingerprint": "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("="),
        "checksum": hashlib.sha256(variable.value.encode()).hexdigest(),
        "file_path": f"~/.ssh/{variable.key}",
        "file_chmod": "600",
        "file_place": "NONE",
    }
