"""Keeps secrets out of the debug log of httpcore, the library below httpx."""

from __future__ import annotations

import logging

LOGGERS = ("httpcore.http11", "httpcore.http2", "httpcore.proxy")


def install_log_filter() -> None:
    """
    Keep the headers of responses out of httpcore's debug log, for the whole process: httpcore has one logger for all its clients.

    Called where a client of httpx is made. Installing the filter again changes nothing.
    """
    for name in LOGGERS:
        logging.getLogger(name).addFilter(_filter)


def hide_headers(record: logging.LogRecord) -> None:
    """Remove the headers from a record about a response: they may hold a session's cookie, or a signed address."""
    text = record.getMessage()
    if text.startswith("receive_response_headers.complete"):
        record.msg, record.args = text.partition(", [")[0], None


def _filter(record: logging.LogRecord) -> bool:
    hide_headers(record)
    return True
