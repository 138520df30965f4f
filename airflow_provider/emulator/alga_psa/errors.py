"""Error answers in the vendor's format."""

from __future__ import annotations

from typing import Any

_CODES = {
    400: "VALIDATION_ERROR",
    401: "UNAUTHORIZED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    409: "CONFLICT",
    429: "RATE_LIMITED",
    500: "INTERNAL_ERROR",
}
UNEXPECTED = "An unexpected error occurred"


class ApiError(Exception):
    """An error answer.

    :param status: HTTP status.
    :param message: message in the body.
    :param details: ``details`` of the body; None: the body has none.
    :param code: the vendor's name for the error; default: depends on the status.
    :param headers: additional headers.
    :param reason: the internal reason, which the body does not contain; default: the message.
    """

    def __init__(
        self,
        status: int,
        message: str,
        details: Any = None,
        *,
        code: str | None = None,
        headers: dict[str, str] | None = None,
        reason: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.details = details
        self.code = code or _CODES.get(status, "INTERNAL_ERROR")
        self.headers = headers or {}
        self.reason = reason or message


def unexpected(reason: str | None = None) -> ApiError:
    """Return the answer of a failing service in production, which does not contain the reason."""
    return ApiError(500, UNEXPECTED, reason=reason)


def error_body(error: ApiError, form: str) -> dict[str, Any]:
    """Return the JSON of an error answer; ``form``: ``"object"`` or ``"string"``."""
    if form == "string":
        return {"error": error.message}
    body: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.details is not None:
        body["details"] = error.details
    return {"error": body}
