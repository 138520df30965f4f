"""Access control: token, scopes, rate limit."""

from __future__ import annotations

import math

from airflow_provider.emulator.buddy.errors import ApiError
from airflow_provider.emulator.clock import Clock

_LADDERS = (
    ("EXECUTION_INFO", "EXECUTION_RUN", "EXECUTION_MANAGE"),
    ("PIPELINE_READ", "PIPELINE_RUN", "PIPELINE_WRITE", "PIPELINE_MANAGE"),
    ("VARIABLE_INFO", "VARIABLE_ADD", "VARIABLE_MANAGE"),
    ("VARIABLE_READ", "VARIABLE_WRITE", "VARIABLE_MANAGE"),
    ("WEBHOOK_INFO", "WEBHOOK_ADD", "WEBHOOK_MANAGE"),
)
"""Each scope includes those before it."""

# All but PIPELINE_READ and the VARIABLE ones are inferred: the vendor's pages do not name them.
_NEW_NAMES = {
    "EXECUTION_INFO": "PIPELINE_READ",
    "EXECUTION_RUN": "PIPELINE_RUN",
    "EXECUTION_MANAGE": "PIPELINE_MANAGE",
    "VARIABLE_INFO": "VARIABLE_READ",
    "VARIABLE_ADD": "VARIABLE_WRITE",
}


class RateLimit:
    """Counts the calls of the token; a window begins with the first call."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._resets_at = -math.inf
        self._used = 0

    def count(self, allowance: int, window: float, send_retry_after: bool) -> dict[str, str]:
        """Count one call and return the headers to send.

        :param allowance: number of calls allowed in a window of ``window`` seconds.
        :param send_retry_after: whether a 429 has the header Retry-After.
        :raises ApiError: 429.
        """
        now = self._clock.now()
        if now >= self._resets_at:
            self._resets_at, self._used = now + window, 0
        self._used += 1
        headers = {
            "X-Rate-Limit-Limit": str(allowance),
            "X-Rate-Limit-Remaining": str(max(0, allowance - self._used)),
            "X-Rate-Limit-Reset": str(math.ceil(self._resets_at)),
        }
        if self._used > allowance:
            if send_retry_after:
                headers["Retry-After"] = str(max(1, math.ceil(self._resets_at - now)))
            raise ApiError(429, "Rate limit exceeded", headers)
        return headers


def token_in(authorization: str | None) -> str | None:
    """Return the token of an Authorization header; None if it has none."""
    kind, _, sent = (authorization or "").partition(" ")
    return sent.strip() if kind.lower() == "bearer" else None


def check_token(authorization: str | None, *tokens: str) -> None:
    """Check the Authorization header.

    :raises ApiError: 401.
    """
    if token_in(authorization) not in tokens:
        raise ApiError(401, "The access token is invalid or has expired")


def accepted_scopes(era: str, scopes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the scopes that a route requires in an era of the vendor's API.

    :param scopes: their names in E2.
    """
    if era == "E1" and scopes and "WORKSPACE" not in scopes:
        return ("WORKSPACE", *scopes)
    if era == "E3":
        return tuple(_NEW_NAMES.get(scope, scope) for scope in scopes)
    return scopes


def scope_headers(scopes: list[str], accepted: tuple[str, ...]) -> dict[str, str]:
    """Return the two headers that name the token's scopes and those that the route requires."""
    return {"X-OAuth-Scopes": ", ".join(scopes), "X-Accepted-OAuth-Scopes": ", ".join(accepted)}


def check_scopes(era: str, scopes: list[str], accepted: tuple[str, ...]) -> None:
    """Check that the token has all required scopes; old names are accepted for new ones.

    :raises ApiError: 403, with both scope headers.
    """
    granted = _with_lower(set(scopes))
    if era == "E3":
        granted = _with_lower(granted | {new for old, new in _NEW_NAMES.items() if old in granted})
    if not granted.issuperset(accepted):
        raise ApiError(403, "Cannot receive data: the token lacks a scope", scope_headers(scopes, accepted))


def _with_lower(scopes: set[str]) -> set[str]:
    lower = {ladder[rung] for ladder in _LADDERS for scope in scopes & set(ladder) for rung in range(ladder.index(scope))}
    return scopes | lower
