"""An answer's body, as it comes."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider.errors import ProtocolError

if TYPE_CHECKING:
    from airflow_provider.execution.http.call import Call


class AnswerBody:
    """
    An answer's body, unpacked no further than its route allows: a few bytes may unpack to very many.

    Of a part that was asked for, no more is kept, whether the server knows parts or gives the whole.
    """

    def __init__(self, call: Call[Any], status: int, headers: Mapping[str, str]) -> None:
        self.content = bytearray()
        self._call = call
        part = call.request.part if status in (200, 206) else None
        self._skip = part.start if part and status == 200 and part.start > 0 else 0
        self._first = part.length if part and not (status == 200 and part.start < 0) else None
        self._last = part.length if part and status == 200 and part.start < 0 else None
        encoding = headers.get("content-encoding", "identity").strip().lower()
        packed = encoding in ("gzip", "x-gzip", "deflate") and part is None
        if encoding != "identity" and not packed:
            raise ProtocolError(f"{call.subject} answered in an encoding that was not asked for.", **call.fields)
        self._unpack = zlib.decompressobj(wbits=47) if packed else None  # 47: detect the header

    def add(self, chunk: bytes) -> bool:
        """Take what has come; False if it was more than is wanted. A part as asked for is read to its end: its connection serves on."""
        if self._unpack is not None:
            room = self._call.request.route.max_body + 1 - len(self.content)
            try:
                chunk = self._unpack.decompress(chunk, room)
            except zlib.error:
                raise ProtocolError(f"{self._call.subject} answered something that can't be unpacked.", **self._call.fields) from None
        if self._skip:
            skipped = min(self._skip, len(chunk))
            self._skip -= skipped
            chunk = chunk[skipped:]
        self.content += chunk
        enough = self._first is not None and len(self.content) > self._first
        if self._last is not None:
            del self.content[: -self._last]
        elif self._first is not None:
            del self.content[self._first :]
        self._call.check_size(len(self.content))
        return not enough
