"""HTTP range requests for a single range of bytes."""

from __future__ import annotations

import re


class Unsatisfiable(Exception):
    """The range begins after the end: 416."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return the first byte and the one after the last; None: the whole file, because the header is missing or invalid.

    :param header: ``bytes=a-b``, ``bytes=a-`` or ``bytes=-n``.
    :param size: size of the file in bytes.
    :raises Unsatisfiable: the range contains no byte of the file.
    """
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", (header or "").replace(" ", ""))
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        first, end = max(0, size - int(match[2])), size
    else:
        first, end = int(match[1]), size if not match[2] else min(size, int(match[2]) + 1)
        if match[2] and int(match[2]) < first:
            return None
    if first >= end:
        raise Unsatisfiable
    return first, end
