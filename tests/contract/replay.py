"""A server on a real socket that answers from recorded exchanges, and the way from a recorded path back to the client's route."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import ModuleType
from typing import Any
from urllib.parse import unquote

from airflow_provider.execution.model.request import Route

Exchange = dict[str, Any]
HERE = Path(__file__).parent
FIXTURES = HERE / "fixtures"
SHARED = HERE.parents[2] / "shared" / "recordings"
UNKNOWN = 599
"""What the server says to a request of which there is no recording."""
_LEFT_OUT = {"content-length", "transfer-encoding", "connection", "content-encoding", "date", "server"}


def recorded(folder: Path) -> dict[str, Exchange]:
    """The exchanges in a folder, by the names of their files."""
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def plain(path: str) -> str:
    """A path with nothing encoded in it, however often it was."""
    while (decoded := unquote(path)) != path:
        path = decoded
    return path


def body_of(exchange: Exchange) -> bytes:
    """The body of a recorded answer."""
    body = exchange["response"]["body"]
    kind = next((value for name, value in _headers(exchange) if name.lower() == "content-type"), "application/json")
    if body is None:
        return b""
    return body.encode() if isinstance(body, str) and "json" not in kind else json.dumps(body).encode()


def query_of(exchange: Exchange) -> list[tuple[str, str]]:
    """The parameters of a recorded request; some may be there several times."""
    query = exchange["request"].get("query") or {}
    return [(str(name), str(value)) for name, value in (query.items() if isinstance(query, dict) else query)]


def _headers(exchange: Exchange) -> list[tuple[str, str]]:
    headers = exchange["response"].get("headers") or {}
    return [(name, str(one)) for name, value in headers.items() for one in (value if isinstance(value, list) else [value])]


class Replay:
    """
    Answers requests from recorded exchanges.

    A request belongs to a recording with its method and path, and, of several, to the first whose query it has. Its headers and body are
    not compared: they are the client's own.
    """

    def __init__(self, exchanges: Iterable[Exchange]) -> None:
        self.exchanges = list(exchanges)
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                sent = self.rfile.read(int(self.headers.get("content-length", 0)))
                outer.requests.append((self.command, self.path, {name.lower(): value for name, value in self.headers.items()}, sent))
                found = outer.find(self.command, self.path)
                self.send_response(found["response"]["status"] if found else UNKNOWN)
                body = body_of(found) if found else b"{}"
                for name, value in _headers(found) if found else []:
                    if name.lower() not in _LEFT_OUT:
                        self.send_header(name, value)
                if not found or found["response"]["status"] != 204:
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if not found or found["response"]["status"] != 204:
                    self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def find(self, method: str, target: str) -> Exchange | None:
        """The recording that a request belongs to."""
        path, _, query = target.partition("?")
        given = {tuple(map(unquote, pair.partition("=")[::2])) for pair in query.split("&") if pair}
        fits = [one for one in self.exchanges if one["request"]["method"] == method and plain(one["request"]["path"]) == plain(path)]
        asks = [one for one in fits if set(query_of(one)) <= given]
        return next(iter(asks or fits), None)


@contextmanager
def replaying(exchanges: Iterable[Exchange]) -> Iterator[Replay]:
    replay = Replay(exchanges)
    thread = Thread(target=replay.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield replay
    finally:
        replay.server.shutdown()
        replay.server.server_close()
        thread.join()


def routes_of(module: ModuleType) -> dict[str, Route[Any]]:
    """All routes that a system's client calls, by name; those below a workspace in both of their forms."""
    found: dict[str, Route[Any]] = {}
    for name, value in vars(module).items():
        if isinstance(value, Route):
            found[name] = value
        elif hasattr(value, "_current"):
            found[name] = value._current
            found[f"{name} (before)"] = value._older
    return found


def match(routes: Mapping[str, Route[Any]], method: str, path: str) -> tuple[list[str], dict[str, str]]:
    """
    The routes of a recorded request, and the fields of its path as they were meant. The more a route says, the sooner it is meant.

    Several routes may ask for the same, and read the answer differently.
    """
    for route in sorted(routes.values(), key=lambda route: (route.path.count("{"), -len(route.path))):
        if route.method == method and route.path.startswith("/") and (found := _pattern(route.path).fullmatch(plain(path))):
            return [name for name, other in routes.items() if (other.method, other.path) == (method, route.path)], found.groupdict()
    return [], {}


def _pattern(template: str) -> re.Pattern[str]:
    parts = re.split(r"\{(\w+)\}", template)
    fields = [rf"(?P<{part}>{_FIELDS.get(part, '[^/]+')})" if number % 2 else re.escape(part) for number, part in enumerate(parts)]
    return re.compile("".join(fields))


_FIELDS = {"execution": r"(?!search$|draft$|reset$)[^/]+(?:/(?!compact$|cancel$|terminate$|reset$|reset-points$|objects/)[^/]+)?"}
"""A field that may hold a slash."""
