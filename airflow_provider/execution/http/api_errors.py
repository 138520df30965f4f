"""How an API words its errors, and what is particular to them."""

from __future__ import annotations

from collections.abc import Mapping


class ApiErrors:
    """How one system words its errors. The defaults suit an API that says nothing useful."""

    retry_500 = False
    """Whether a 500 is worth repeating; only where the system's contract says so."""

    def error_text(self, body: bytes) -> str | None:
        """Find the message in an error's body, or None."""
        return None

    def logged_out(self, status: int, body: bytes) -> bool:
        """Whether this answer says that the session is over, so that a new login may help."""
        return status == 401

    def hint(self, status: int, headers: Mapping[str, str]) -> str | None:
        """Say what to do about ``status``, or None for the general advice."""
        return None
