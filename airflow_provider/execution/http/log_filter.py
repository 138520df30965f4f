"""What httpcore must not write into the debug log."""

from __future__ import annotations

import logging


def hide_headers(record: logging.LogRecord) -> bool:
    """Take the headers of answers out of httpcore's debug log: a session's cookie may be among them, or an address that is signed."""
    text = record.getMessage()
    if text.startswith("receive_response_headers.complete"):
        record.msg, record.args = text.partition(", [")[0], None
    return True


for _name in ("http11", "http2", "proxy"):
    logging.getLogger(f"httpcore.{_name}").addFilter(lambda record: hide_headers(record))
