"""How an API words its errors."""

from __future__ import annotations

from collections.abc import Mapping

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
