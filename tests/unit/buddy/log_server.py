"""One action execution's log, served as any installation may: two origins, each route there or not, each oddity of a storage."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "t0ken-canary"
STEP = "fsm47naztg9n35"
ACTION = "3"
EXECUTION = "/api/workspaces/demo/projects/shop/pipelines/1/executions/7"


@dataclass
class Asked:
    """A request: where it went (``logs``, ``step``, ``action``, ``actions``, ``file``), and its headers."""

    what: str
    headers: dict[str, str]
    query: dict[str, str] = field(default_factory=dict)


class LogServer:
    """
    The log and what is there to read it by; all can be changed at any time.

    :ivar lines: the log, of which the file is made.
    :ivar paged: what the paged route gives: all lines by default, None: it is not there.
    :ivar file: bytes of the file behind ``log_url``, if not the lines with their ends.
    :ivar there: the other routes that are there, of ``step``, ``action``, ``actions``.
    :ivar inline: whether these give ``log``.
    :ivar log_url: what they give as such; a callable of the server.
    :ivar refusals: statuses by which the storage answers the next requests, in place of the file.
    :ivar written: bytes of files that went out.
    """

    def __init__(self, lines: list[str] | None = None) -> None:
        self.lines = lines or []
        self.paged: Callable[[], list[str]] | None = lambda: self.lines
        self.most = 1_000
        self.total = True
        self.file: bytes | None = None
        self.there = {"step", "action", "actions"}
        self.inline = True
        self.log_url: Callable[[], str | None] = lambda: None
        self.ranges = True
        self.refusals: list[int] = []
        self.packed = False
        self.redirect: str | None = None
        self.written = 0
        self.asked: list[Asked] = []
        self._servers = [self._serve(), self._serve()]

    def __enter__(self) -> LogServer:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    @property
    def url(self) -> str:
        """Base URL of the API."""
        return f"http://127.0.0.1:{self._servers[0].server_address[1]}/api"

    @property
    def here(self) -> str:
        """Address of the file on the API's own origin."""
        return f"http://127.0.0.1:{self._servers[0].server_address[1]}/file?X-Signature=s"

    @property
    def elsewhere(self) -> str:
        """Address of the file on another origin."""
        return f"http://127.0.0.1:{self._servers[1].server_address[1]}/file?X-Signature=s"

    def count(self, what: str) -> int:
        """How often a route was asked."""
        return sum(asked.what == what for asked in self.asked)

    @property
    def text(self) -> bytes:
        return "".join(f"{line}\n" for line in self.lines).encode() if self.file is None else self.file

    def _serve(self) -> ThreadingHTTPServer:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                with suppress(OSError):  # the client has enough
                    outer._answer(self)

            def log_message(self, *arguments: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        return Quiet(("127.0.0.1", 0), Handler)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        rest = parts.path.removeprefix(EXECUTION)
        routes = {
            f"/action_executions/{STEP}/logs": "logs", f"/action_executions/{STEP}": "step",
            f"/action/{ACTION}": "action", f"/actions/{ACTION}": "actions", "/file": "file",
        }  # fmt: skip
        what = routes.get(rest, "unknown")
        headers = {name.lower(): value for name, value in handler.headers.items()}
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append(Asked(what, headers, query))
        if what == "file":
            self._send_file(handler, headers.get("range"))
        elif what == "logs" and self.paged is not None:
            offset, limit = int(query.get("offset", 0)), min(int(query.get("limit", 100)), self.most)
            lines = self.paged()
            page: dict[str, Any] = {"offset": offset, "logs": lines[offset : offset + limit]}
            self._send_json(handler, 200, {**page, "total_element_count": len(lines)} if self.total else page)
        elif what in self.there:
            answer = {"status": "SUCCESSFUL", "log": self.lines if self.inline else None, "log_url": self.log_url()}
            self._send_json(handler, 200, {name: value for name, value in answer.items() if value is not None})
        else:
            self._send_json(handler, 404, {"errors": [{"message": "Not Found"}]})

    def _send_json(self, handler: BaseHTTPRequestHandler, status: int, body: Any) -> None:
        self._send(handler, status, json.dumps(body).encode(), {"Content-Type": "application/json"})

    def _send(self, handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: dict[str, str]) -> None:
        handler.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        for start in range(0, len(body), 65_536):
            handler.wfile.write(body[start : start + 65_536])
            self.written += len(body[start : start + 65_536])

    def _send_file(self, handler: BaseHTTPRequestHandler, asked: str | None) -> None:
        if self.redirect:
            self._send(handler, 302, b"", {"Location": self.redirect})
            return
        if self.refusals:
            self._send(handler, self.refusals.pop(0), b"<Error><Code>AccessDenied</Code></Error>", {"Content-Type": "application/xml"})
            return
        text = self.text
        if self.packed:
            self._send(handler, 200, gzip.compress(text), {"Content-Encoding": "gzip"})
            return
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", asked or "")
        if not self.ranges or not found:
            self._send(handler, 200, text, {})
            return
        first, last = found.groups()
        start = int(first) if first else max(len(text) - int(last), 0)
        end = min(int(last) + 1, len(text)) if first and last else len(text)
        if start >= len(text):
            self._send(handler, 416, b"<Error><Code>InvalidRange</Code></Error>", {"Content-Range": f"bytes */{len(text)}"})
        else:
            self._send(handler, 206, text[start:end], {"Content-Range": f"bytes {start}-{end - 1}/{len(text)}"})
