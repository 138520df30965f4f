"""The outermost layer of the vendor's server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

_COOKIES = (
    b"authjs.csrf-token=emulator; Path=/; HttpOnly; SameSite=Lax",
    b"authjs.callback-url=http%3A%2F%2Flocalhost; Path=/; HttpOnly; SameSite=Lax",
)
_ALLOWED = (
    (b"access-control-allow-methods", b"GET, POST, PUT, PATCH, DELETE, OPTIONS"),
    (b"access-control-allow-headers", b"Content-Type, Authorization, X-API-Key, X-Tenant-ID, X-Idempotency-Key, X-Request-ID"),
)
_NO_KEY = json.dumps({"error": "Unauthorized: API key missing"}).encode()


class Edge:
    """ASGI middleware: it requires a key, ignores a trailing slash, and sets the server's headers, without Content-Length."""

    def __init__(self, application: ASGIApp) -> None:
        self._application = application

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, or pass it on to the routes."""
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        request_headers = dict(scope["headers"])
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        server_headers = [
            (b"access-control-allow-origin", request_headers.get(b"origin", b"*")),
            (b"access-control-allow-credentials", b"true"),
            (b"vary", b"rsc, next-router-state-tree, next-router-prefetch, next-router-segment-prefetch"),
        ]
        if scope["method"] == "OPTIONS":
            await _answer(send, 204, [*server_headers, *_ALLOWED], b"")
            return
        if not request_headers.get(b"x-api-key", b"").strip():
            await _answer(send, 401, [*server_headers, (b"content-type", b"application/json")], _NO_KEY)
            return
        server_headers += [(b"x-pathname", path.encode()), *((b"set-cookie", cookie) for cookie in _COOKIES)]

        async def send_on(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [(name, value) for name, value in message.get("headers", []) if name.lower() != b"content-length"]
                message = {**message, "headers": [*headers, *server_headers]}
            await send(message)

        slashless = scope["path"].rstrip("/") or "/"
        await self._application({**scope, "path": slashless}, receive, send_on)


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
