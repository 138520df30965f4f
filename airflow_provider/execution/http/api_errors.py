"""How an API words its errors."""

from __future__ import annotations

from collections.abc import Mapping


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
