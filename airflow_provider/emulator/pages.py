"""A page behind the link of each execution: what the vendor's web interface would show of it, without scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

MAX_LINES = 1_000
"""Lines of a log that a page shows, the last ones."""

_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}"
    "table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0;border-bottom:1px solid #ddd}"
    "pre{background:#f6f6f6;padding:.5rem;overflow:auto;white-space:pre-wrap;overflow-wrap:anywhere}small{color:#666}"
)
_HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    # Texts of a scenario are foreign: nothing on the page runs, and nothing is loaded.
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
)


@dataclass
class PageStep:
    """One step. ``log``: its lines; ``facts``: names and values, without those that are None."""

    name: str
    status: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    log: Sequence[str] = ()


@dataclass
class Page:
    """What a page shows. ``facts``: names and values of the execution, without those that are None."""

    title: str
    ref: str
    status: str
    facts: Mapping[str, Any]
    steps: Sequence[PageStep]

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of the answer."""
        return list(_HEADERS)

    def render(self) -> bytes:
        """Return the page as HTML."""
        parts = [
            f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{_text(self.title)}</title>',
            f"<style>{_STYLE}</style></head><body>",
            f"<h1>{_text(self.title)}</h1><p><small>A page of the emulator</small></p>",
            _table({"Ref": self.ref, "Status": self.status, **self.facts}),
        ]
        for step in self.steps:
            parts.append(f"<h2>{_text(step.name)} <small>{_text(step.status)}</small></h2>{_table(step.facts)}")
            if step.log:
                parts.append(f"<pre>{_text(chr(10).join(step.log))}</pre>")
        parts.append("</body></html>")
        return "".join(parts).encode("utf-8", "replace")


def _table(facts: Mapping[str, Any]) -> str:
    rows = (f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in facts.items() if value not in (None, "", {}, []))
    body = "".join(rows)
    return f"<table>{body}</table>" if body else ""


def _text(value: Any) -> str:
    return escape(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str))
