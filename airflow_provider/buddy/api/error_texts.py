"""Reads the texts of Buddy's errors, and gives advice."""

from __future__ import annotations

import json
from collections.abc import Mapping

from airflow_provider.execution.http.api_errors import ApiErrors


class BuddyApiErrors(ApiErrors):
    """The texts of Buddy's errors."""

    def error_text(self, body: bytes) -> str | None:
        """The messages of ``{"errors": [{"message"}]}`` or ``{"error": text}``."""
        try:
            answer = json.loads(body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(answer, dict):
            return None
        errors = answer.get("errors")
        if isinstance(errors, list):
            texts = [str(error.get("message")) for error in errors if isinstance(error, dict) and error.get("message")]
            return "; ".join(texts) or None
        return answer["error"] if isinstance(answer.get("error"), str) else None

    def hint(self, status: int, headers: Mapping[str, str]) -> str | None:
        """Of a 403: the scopes that the token has, and those that the route accepts."""
        has, takes = headers.get("x-oauth-scopes"), headers.get("x-accepted-oauth-scopes")
        if status != 403 or not (has or takes):
            return None
        return (
            f"The token has the scopes {has or 'unknown'}; this route takes {takes or 'unknown'}. "
            "Give the token the missing scope, and its user access to the project."
        )
