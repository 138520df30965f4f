"""The body of a response, while it is being received."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_provider.errors import ProtocolError, TransportError

if TYPE_CHECKING:
    from airflow_provider.execution.http.call import Call


_PACKING_BYTES = 16 * 1024
"""Number of bytes by which a packed body may be longer than what is in it."""


_PLAIN = frozenset({"identity", "", "none", "utf-8", "utf8", "binary", "8bit"})
"""Content encodings that mean that nothing was done."""
_BEGINNINGS = (b"{", b"[", b"<")
"""How JSON and HTML begin, and nothing that is compressed does."""


class AnswerBody:
    """
    The body of a response, decompressed no further than its route allows: a few bytes may expand to very many.

    If the request was for a part, only that part is kept, whether the server supports ranges or sends the whole.

    Of an error the status decides: what can't be read of its body is left out.

    :raises ProtocolError: for a content encoding that was not requested.
    """

    def __init__(self, call: Call[Any], status: int, headers: Mapping[str, str]) -> None:
        self.content = bytearray()
        self.is_error = status >= 400
        self._received = 0
        self._call = call
        part = call.request.part if status in (200, 206) else None
        # What to do with a part: skip so many bytes, then keep the first ones; or keep the last ones.
        self._skip = part.start if part and status == 200 and part.start > 0 else 0
        self._keep_first = part.length if part and not (status == 200 and part.start < 0) else None
        self._keep_last = part.length if part and status == 200 and part.start < 0 else None
        encoding = headers.get("content-encoding", "identity").strip().lower()
        compressed = encoding in ("gzip", "x-gzip", "deflate") and part is None
        if encoding not in _PLAIN and not compressed and not self.is_error:
            raise ProtocolError(f"{call.subject} answered in an encoding that was not asked for.", **call.fields)
        self._decompressor = zlib.decompressobj(wbits=47) if compressed else None  # 47: detect the header

    def add(self, chunk: bytes) -> bool:
        """
        Take the next chunk.

        :returns: False if it was more than is wanted. A part as requested is read to its end, so that its connection can be used again.
        :raises ProtocolError, TransportError: for a body that can't be decompressed, is too large, or takes too long; not of an error.
        """
        try:
            return self._add(chunk)
        except (ProtocolError, TransportError):
            if not self.is_error:
                raise
            return False

    def _add(self, chunk: bytes) -> bool:
        if self._decompressor is not None and not self._received and chunk[:1] in _BEGINNINGS:
            self._decompressor = None  # a server that says so, and does not
        if self._decompressor is not None:
            self._received += len(chunk)
            self._call.check_size(self._received - _PACKING_BYTES)  # what is packed may hold nothing, without an end
            room = self._call.request.route.max_body + 1 - len(self.content)
            try:
                chunk = self._decompressor.decompress(chunk, room)
            except zlib.error:
                raise ProtocolError(f"{self._call.subject} answered something that can't be unpacked.", **self._call.fields) from None
        if self._skip:
            skipped = min(self._skip, len(chunk))
            self._skip -= skipped
            chunk = chunk[skipped:]
        self.content += chunk
        is_more = self._keep_first is not None and len(self.content) > self._keep_first
        if self._keep_last is not None:
            del self.content[: -self._keep_last]
        elif self._keep_first is not None:
            del self.content[self._keep_first :]
        self._call.check_size(len(self.content))
        return not is_more
