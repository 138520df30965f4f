"""Reads the texts of Tracecat's errors, and gives advice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider.execution.http.api_errors import ApiErrors
from airflow_provider.execution.http.json_text import read_json

HINTS = {
    401: "The service account key is unknown, revoked or disabled, or this installation has no service accounts: a plain one takes a "
    "login and a password instead.",
    403: "Check that the credential is sent at all (a key begins with tc_ws_sk_ or tc_org_sk_), is of this workspace, and has the scope.",
    500: "Tracecat answers so while Temporal or its blob store can't be reached, among other things.",
}


class TracecatApiErrors(ApiErrors):
    """Errors under ``detail`` (text, list or object), ``message``, or ``error.message``."""

    retry_500 = True

    def error_text(self, body: bytes) -> str | None:
        """The message, and the scopes that are missing."""
        try:
            answer = read_json(body)
        except ValueError:
            return None
        if not isinstance(answer, dict):
            return None
        error = answer.get("error")
        if isinstance(error, dict) and isinstance(error.get("message"), str):
            missing = error.get("missing_scopes")
            scopes = f" Missing scopes: {', '.join(map(str, missing))}." if isinstance(missing, list) and missing else ""
            return f"{error['message']}{scopes}"
        return _text(answer.get("detail")) or (answer["message"] if isinstance(answer.get("message"), str) else None)

    def hint(self, status: int, headers: Mapping[str, str], text: str = "") -> str | None:
        """The usual cause of a status."""
        if status == 404 and text == "Invalid workflow ID":
            return "The workflow does not exist in this workspace, or was never published: publish it in Tracecat."
        return HINTS.get(status)

    def logged_out(self, status: int, body: bytes) -> bool:
        """Of an expired session, the 403 has a bare body; of one that lacks a scope, another body."""
        return status == 401 or (status == 403 and self.error_text(body) == "Forbidden")


def _text(detail: Any) -> str | None:
    if isinstance(detail, str):
        return detail
    if isinstance(detail, dict):
        return _text(detail.get("message")) or _text(detail.get("detail"))
    if isinstance(detail, list):
        return "; ".join(_problem(item) for item in detail[:5] if item) or None
    return None


def _problem(item: Any) -> str:
    if not isinstance(item, dict):
        return str(item)
    where = item.get("loc")
    return f"{'.'.join(map(str, where)) if isinstance(where, list) else where or 'request'}: {item.get('msg')}"
