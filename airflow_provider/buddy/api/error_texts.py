"""Reads the texts of Buddy's errors, and gives advice."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider.execution.http.api_errors import ApiErrors
from airflow_provider.execution.http.json_text import read_json

API_IS_OFF = "A workspace admin has to enable the API in the workspace's preferences; the token is not the cause."
REFUSED = (
    "Check the token in the connection's password field. Besides being wrong or expired, it may be restricted to other workspaces than the "
    "one that the task names, or to other IP addresses."
)


class BuddyApiErrors(ApiErrors):
    """The texts of Buddy's errors."""

    def error_text(self, body: bytes) -> str | None:
        """The messages of ``{"errors": [{"message"}]}`` or ``{"error": text}``."""
        try:
            answer = read_json(body)
        except ValueError:
            return None
        if not isinstance(answer, dict):
            return None
        errors = answer.get("errors")
        if isinstance(errors, list):
            texts = [str(error.get("message")) for error in errors if isinstance(error, dict) and error.get("message")]
            return "; ".join(texts) or None
        return answer["error"] if isinstance(answer.get("error"), str) else None

    def hint(self, status: int, headers: Mapping[str, str], text: str = "") -> str | None:
        """That the API is switched off; of a 401, its causes; of a 403, the scopes that the token has and those that the route accepts."""
        if status in (400, 401, 403) and "api" in text.lower() and "disabled" in text.lower():
            return API_IS_OFF
        if status == 401:
            return REFUSED
        has, takes = headers.get("x-oauth-scopes"), headers.get("x-accepted-oauth-scopes")
        if status != 403 or not (has or takes):
            return None
        return (
            f"The token has the scopes {has or 'unknown'}; this route takes {takes or 'unknown'}. "
            "Give the token the missing scope, and its user access to the project."
        )
