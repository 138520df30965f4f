"""HTTP range requests, as far as one range of bytes goes."""

from __future__ import annotations

import re


class Unsatisfiable(Exception):
    """The range begins behind the end: 416."""


def parse_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return first byte and the one after the last; None: the whole, as no range or none that is understood was asked for.

    :param header: ``bytes=a-b``, ``bytes=a-`` or ``bytes=-n``.
    :param size: bytes there are.
    :raises Unsatisfiable: none of the bytes asked for is there.
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
