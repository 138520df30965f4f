"""Reads the texts of AlgaPSA's errors, and gives advice."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_provider.execution.http.api_errors import ApiErrors
from airflow_provider.execution.http.json_text import read_json

MAX_ISSUES = 5

HINTS = {
    401: (
        "The API does not say which of these it is: the key in the connection's password field is wrong, expired, switched off or used up "
        "(usage limit); its owner is inactive, or a user of the client portal; the connection's tenant_id is not the key's tenant."
    ),
    403: (
        "No installation has permissions for automation by itself, not even for admins: create them (resource 'automation', actions 'read' "
        "and 'execute', for MSP) and grant them to an MSP role of the key's owner. Tenants of the edition algadesk are always refused."
    ),
    500: (
        "AlgaPSA says so of what is missing, or this release cannot store executions: releases up to 1.4 can't, and answer 500 to nearly "
        "everything but GET /api/v1/automation/meta."
    ),
}
NO_SUCH_ROUTE = (
    "That is no answer of AlgaPSA's API: the connection's host is not an AlgaPSA (give it without /api/v1), or its release has no such "
    "route."
)


class AlgaPsaApiErrors(ApiErrors):
    """
    The texts of AlgaPSA's errors.

    A 500 is not repeated at once: current releases always answer it, and each repeat costs a token of the rate limit. While an execution
    is followed, the next poll comes soon enough, within the budget for failed polls.
    """

    retry_500 = False

    def error_text(self, body: bytes) -> str | None:
        """The message of ``{"error": {"code", "message", "details"}}`` or ``{"error": text}``, with the issues in short."""
        try:
            answer = read_json(body)
        except ValueError:
            return None
        error = answer.get("error") if isinstance(answer, dict) else None
        if isinstance(error, str):
            return error or None
        if not isinstance(error, dict):
            return None
        text = str(error.get("message") or error.get("code") or "no reason given")
        issues = list(dict.fromkeys(_issues(error.get("details"))))
        more = f"; and {len(issues) - MAX_ISSUES} more" if len(issues) > MAX_ISSUES else ""
        return f"{text}: {'; '.join(issues[:MAX_ISSUES])}{more}" if issues else text

    def hint(self, status: int, headers: Mapping[str, str], text: str = "") -> str | None:
        """The usual causes of a status."""
        if status == 405 or (status == 404 and "json" not in headers.get("content-type", "json")):
            return NO_SUCH_ROUTE
        return HINTS.get(status)


def _issues(details: Any) -> Iterator[str]:
    """The issues that the validation found: path and message of each, also of the alternatives of a union."""
    for issue in details if isinstance(details, list) else ():
        if not isinstance(issue, dict):
            continue
        unions = issue.get("unionErrors")
        inner = (
            [text for union in unions if isinstance(union, dict) for text in _issues(union.get("issues"))]
            if isinstance(unions, list)
            else []
        )
        if inner:
            yield from inner
            continue
        path = issue.get("path")
        where = ".".join(map(str, path)) if isinstance(path, list) else ""
        message = str(issue.get("message") or issue.get("code") or "invalid")
        yield f"{where}: {message}" if where else message
