"""Faults between client and system, and which of them hits a request."""

from __future__ import annotations

import re
import threading
from typing import Any

_ANSWER = {"status", "headers", "body", "effect"}

# The parameters of each kind. `effect`: whether the request is carried out before the fault occurs.
KINDS: dict[str, set[str]] = {
    "status": _ANSWER,
    "status_after": _ANSWER,
    "rate_limit": {"retry_after", "headers", "effect"},
    "latency": {"seconds", "effect"},
    "no_answer": {"effect"},
    "drop_before": {"reset"},
    "drop_after": {"reset"},
    "truncated": {"cut", "effect"},
    "html": {"status", "html", "effect"},
    "empty": {"status", "effect"},
    "body": {"body", "status", "headers", "effect"},
    "altered": {"changes"},
    "redirect": {"location", "status", "effect"},
    "endless": {"status", "interval", "effect"},
    "huge": {"bytes", "status", "effect"},
}

_REQUIRED = {"latency": "seconds", "body": "body", "altered": "changes", "redirect": "location", "huge": "bytes"}
_TAKES_EFFECT = {"status_after", "drop_after", "truncated", "altered"}


class Fault:
    """One fault, waiting for the requests that it matches.

    :param kind: one of

        - ``status`` (``status=503, headers={}, body=None``: None gives the system's own error body),
          ``status_after`` (the same, after the request was carried out),
        - ``rate_limit`` (``retry_after=None``: seconds or an HTTP date, as text): 429,
        - ``latency`` (``seconds`` before the request is carried out, or after it with ``effect=True``); can be combined with another
          fault,
        - ``no_answer``: no answer is sent, and the connection stays open until the client gives up,
        - ``drop_before``: the connection is closed without an answer and the request is not carried out; ``drop_after``: it is;
          with ``reset=True`` the connection is reset instead of closed,
        - ``truncated`` (``cut="connection"``: the connection ends before Content-Length is reached; ``cut="json"``: a
          complete HTTP answer with half of the JSON text); the request is carried out,
        - ``html`` (``status=200, html=...``), ``empty`` (``status=200``), ``body`` (``body``: text, bytes or a JSON value),
        - ``altered`` (``changes``: dotted path to JSON value, such as ``{"data.status": 5}``; numbers are positions in lists): the
          system's own answer with some values changed; the request is carried out,
        - ``redirect`` (``location, status=302``),
        - ``endless`` (``interval=0.01`` seconds between chunks): a body that ends only when the client disconnects,
        - ``huge`` (``bytes``): a JSON answer of that size, streamed.

        Faults that answer in place of the system accept ``effect=True``: the request is carried out first.
    :param method: matches only requests with this method.
    :param path: a regular expression, searched in the path; None: any path.
    :param times: how many requests it hits; None: no limit.
    :param after: how many matching requests pass before the first hit.
    :raises ValueError: unknown kind or parameter, a missing parameter, or an invalid path.
    """

    def __init__(
        self,
        kind: str,
        *,
        method: str | None = None,
        path: str | None = None,
        times: int | None = 1,
        after: int = 0,
        **parameters: Any,
    ) -> None:
        if kind not in KINDS:
            raise ValueError(f"unknown fault {kind!r}: one of {', '.join(KINDS)}")
        if unknown := set(parameters) - KINDS[kind]:
            known = ", ".join(sorted(KINDS[kind])) or "none"
            raise ValueError(f"fault {kind!r} has no parameter {', '.join(sorted(unknown))}: known are {known}")
        if (required := _REQUIRED.get(kind)) and required not in parameters:
            raise ValueError(f"fault {kind!r} needs the parameter {required}")
        self.kind = kind
        self.method = method.upper() if method else None
        self.path = path
        self.times = times
        self.after = after
        self.parameters = parameters
        self.hits = 0
        try:
            self._pattern = re.compile(path or "")
        except re.error as error:
            raise ValueError(f"path is not a regular expression: {error}") from None
        self._seen = 0

    def __repr__(self) -> str:
        return f"Fault({self.kind!r}, method={self.method!r}, path={self.path!r}, hits={self.hits})"

    @property
    def effect(self) -> bool:
        """Whether the request is carried out before the fault occurs."""
        return bool(self.parameters.get("effect", self.kind in _TAKES_EFFECT))

    def strikes(self, method: str, path: str) -> bool:
        """Return whether it hits this request, and count the request."""
        if (self.method and self.method != method) or not self._pattern.search(path):
            return False
        self._seen += 1
        if self._seen <= self.after or (self.times is not None and self.hits >= self.times):
            return False
        self.hits += 1
        return True


class Faults:
    """All faults of an emulator. Thread-safe."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, fault: Fault) -> Fault:
        """Add ``fault``; faults added earlier take precedence."""
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Remove all faults; those in progress continue."""
        with self._lock:
            self._faults.clear()

    def take(self, method: str, path: str) -> tuple[Fault | None, Fault | None]:
        """Return the latency and the other fault that hit this request; the fault added first wins."""
        latency: Fault | None = None
        other: Fault | None = None
        with self._lock:
            for fault in self._faults:
                if fault.kind == "latency":
                    latency = latency or (fault if fault.strikes(method, path) else None)
                else:
                    other = other or (fault if fault.strikes(method, path) else None)
        return latency, other
