"""How an API words its errors."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any

from airflow_provider.execution.http.json_text import read_json


def error_codes(body: bytes) -> list[str]:
    """The words for programs in the body of an error: ``code`` or ``type``, of the error or of the first of several."""
    try:
        answer = read_json(body)
    except ValueError:
        return []
    if not isinstance(answer, dict):
        return []
    errors = answer.get("errors")
    around = (answer, answer.get("error"), answer.get("detail"), errors[0] if isinstance(errors, list) and errors else None)
    found = [place.get(name) for place in around if isinstance(place, dict) for name in ("code", "type", "__type")]
    return [code for code in found if isinstance(code, str)]


_MAX_LOOKED_AT = 16_384
"""Bytes of a body that is not JSON, in which a reason is looked for."""
_MAX_REASON = 300
_HEADING = re.compile(r"<(?:title|h1|message)\b[^<>]{0,200}>([^<>]{1,300})", re.IGNORECASE)
_FIELDS = ("message", "error_description", "title", "detail", "error", "reason", "errors")
"""Where gateways and proxies say why they refuse."""


def foreign_text(body: bytes) -> str | None:
    """The reason in the body of an error that is not as the API words its own: JSON of another form, a page, or plain text."""
    try:
        return _said(read_json(body))
    except ValueError:
        text = body[:_MAX_LOOKED_AT].decode(errors="replace").lstrip("\ufeff \t\r\n")
    if "\0" in text or text.count("\ufffd") > 3 or text.startswith(("{", "[")):
        return None
    if text.startswith("<"):
        found = _HEADING.search(text)
        return html.unescape(found[1]).strip() or None if found else None
    return text.partition("\n")[0].strip()[:_MAX_REASON] or None


def _said(answer: Any, depth: int = 3) -> str | None:
    if isinstance(answer, str):
        return answer.strip()[:_MAX_REASON] or None
    if isinstance(answer, list):
        answer = answer[0] if answer else None
    if not isinstance(answer, dict) or not depth:
        return None
    fields = {str(name).lower(): value for name, value in answer.items()}
    return next((text for name in _FIELDS if (text := _said(fields.get(name), depth - 1))), None)


class ApiErrors:
    """How the API of one system words its errors. The defaults suit an API whose errors say nothing useful."""

    retry_500 = False
    """Whether a 500 may pass on a repeat: only where the API's contract says so."""

    def error_text(self, body: bytes) -> str | None:
        """The message in the body of an error, or None."""
        return None

    def logged_out(self, status: int, body: bytes) -> bool:
        """Whether this response says that the session is over, so that a new login may help."""
        return status == 401

    def hint(self, status: int, headers: Mapping[str, str], text: str = "") -> str | None:
        """What to do about ``status``, or None for the general advice. ``text``: the message in the body."""
        return None
