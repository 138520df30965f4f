"""Serves the module of the pages: one static file, without a web framework, since every Airflow process imports this."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

FILES = {"/executions.js": Path(__file__).with_name("executions.js")}
HEADERS = {
    "content-type": "text/javascript; charset=utf-8",
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
}


async def serve(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """
    An ASGI application that answers ``GET`` and ``HEAD`` of a file in ``FILES``, and refuses all else.

    :param scope, receive, send: as ASGI defines them.
    """
    if scope["type"] != "http":
        return
    file = FILES.get(scope["path"].removeprefix(scope.get("root_path", "")))
    if file is None:
        status, body = 404, b""
    elif scope["method"] not in ("GET", "HEAD"):
        status, body = 405, b""
    else:
        status, body = 200, file.read_bytes()
    headers = {**(HEADERS if status == 200 else {}), "content-length": str(len(body))}
    if status == 405:
        headers["allow"] = "GET, HEAD"
    await send({"type": "http.response.start", "status": status, "headers": [(k.encode(), v.encode()) for k, v in headers.items()]})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
