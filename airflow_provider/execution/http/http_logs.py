"""Keeps secrets out of the logs of httpx and of httpcore, the library below it."""

from __future__ import annotations

import logging
import re

import httpx

LOGGERS = ("httpcore.http11", "httpcore.http2", "httpcore.proxy", "httpx")

_SECRET_PART = re.compile(r"(/webhooks/[^/]+/)[^/]+")
"""The secret of a webhook, which stands in its address."""


class OwnUrl(httpx.URL):
    """The address of a request of this package. httpx logs it, so this marks which ones are ours."""

    @property
    def shown(self) -> str:
        """Without what may be secret: the query, such as a signature, and the secret of a webhook."""
        port = f":{self.port}" if self.port else ""
        path = _SECRET_PART.sub(r"\1***", self.path)
        return f"{self.scheme}://{self.host}{port}{path}{'?***' if self.query else ''}"


def install_log_filter() -> None:
    """
    Keep the headers of responses out of httpcore's debug log, for the whole process: httpcore has one logger for all its clients. And keep
    secrets in the addresses of our own requests out of httpx's log.

    Called where a client of httpx is made. Installing the filter again changes nothing.
    """
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_filter)


def hide_headers(record: logging.LogRecord) -> None:
    """Remove the headers from a record about a response: they may hold a session's cookie, or a signed address."""
    text = record.getMessage()
    if text.startswith("receive_response_headers.complete"):
        record.msg, record.args = text.partition(", [")[0], None


def hide_addresses(record: logging.LogRecord) -> None:
    """Hide what may be secret in the addresses of our own requests."""
    if isinstance(record.args, tuple):
        record.args = tuple(value.shown if isinstance(value, OwnUrl) else value for value in record.args)


def _filter(record: logging.LogRecord) -> bool:
    hide_addresses(record)
    hide_headers(record)
    return True
