"""Refusals of the storage service behind presigned addresses, as S3 writes them."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


class StorageError(Exception):
    """An error answer of the storage.

    :param status: HTTP status.
    :param code: the service's name for the error.
    :param message: what the answer says.
    :param headers: sent along.
    """

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers or {}


def check_authorization(authorization: str | None) -> None:
    """Check that a request to a presigned address carries no second kind of authorization.

    :param authorization: value of the Authorization header.
    :raises StorageError: it does.
    """
    if authorization is not None:
        raise StorageError(400, "InvalidArgument", "Only one auth mechanism allowed")


def no_such_key() -> StorageError:
    """Return the answer about an object that is not stored."""
    return StorageError(404, "NoSuchKey", "The specified key does not exist.")


async def refuse_object(request: Request, error: Exception) -> Response:
    """Answer a :class:`StorageError`."""
    from starlette.responses import Response

    assert isinstance(error, StorageError)
    content = f"<Code>{escape(error.code, quote=False)}</Code><Message>{escape(error.message, quote=False)}</Message>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{content}</Error>'
    return Response(body, error.status, error.headers, "application/xml")
