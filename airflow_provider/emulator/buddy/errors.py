"""Error answers in the vendor's format."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """An error answer.

    :param status: HTTP status.
    :param message: message in the body.
    :param headers: additional headers.
    """

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}


def error_body(message: str) -> dict[str, Any]:
    """Return the JSON of an error answer."""
    return {"errors": [{"message": message}]}
