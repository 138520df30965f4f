"""Error answers in the vendor's formats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

UNEXPECTED = {"message": "An unexpected error occurred. Please try again later."}


class ApiError(Exception):
    """An error answer.

    :param status: HTTP status.
    :param body: the JSON of the answer.
    :param headers: additional headers.
    """

    def __init__(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        super().__init__(str(body))
        self.status = status
        self.body = body
        self.headers = headers or {}


def refusal(status: int, detail: Any) -> ApiError:
    """Return an error answer in the usual format."""
    return ApiError(status, {"detail": detail})


def forbidden() -> ApiError:
    """Return the answer to a missing credential, and to one of an unknown or wrong kind."""
    return refusal(403, "Forbidden")


def unauthorized() -> ApiError:
    """Return the answer to a key that has the right form, but is not valid."""
    return ApiError(401, {"detail": "Unauthorized"}, {"WWW-Authenticate": "Cookie"})


def unexpected() -> ApiError:
    """Return the answer about an unexpected error."""
    return ApiError(500, UNEXPECTED)


def scope_missing(needed: Sequence[str]) -> ApiError:
    """Return the answer to a credential without a scope."""
    error = {
        "code": "insufficient_scope",
        "message": "You don't have permission to perform this action.",
        "required_scopes": list(needed),
        "missing_scopes": list(needed),
    }
    return ApiError(403, {"error": error})


def not_entitled(feature: str) -> ApiError:
    """Return the answer about a feature that is not in the plan."""
    message = f"Feature '{feature}' requires an upgraded plan."
    return ApiError(403, {"type": "EntitlementRequired", "message": message, "detail": {"entitlement": feature}})
