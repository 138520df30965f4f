"""Logs as text files, for action executions whose log is too long for an answer, and their presigned addresses."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterator
from datetime import datetime, timezone
from urllib.parse import parse_qs, quote, urlencode

from airflow_provider.emulator.buddy.execution import Execution
from airflow_provider.emulator.buddy.output import log_length, log_lines
from airflow_provider.emulator.buddy.timeline import Step
from airflow_provider.emulator.clock import Clock
from airflow_provider.emulator.storage import StorageError, check_authorization

_FILES_KEPT = 8
_PIECE = 1_000
"""Number of lines that are rendered at a time: a log may not fit into memory."""
_NO_LIMIT = 1_000 * 604_800


class LogFiles:
    """Renders logs and signs their addresses, as a storage service does with presigned requests."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._secret = secrets.token_bytes(16)
        # Byte offsets at which the complete pieces of a log end, for the files read last. A log only grows.
        self._ends: OrderedDict[str, list[int]] = OrderedDict()

    def size(self, step: Step, now: float) -> int:
        """Return the size of the log at ``now`` in bytes: UTF-8, line ends included."""
        complete_pieces = log_length(step, now) // _PIECE
        offsets = self._ends.pop(step.id, [0])
        if len(offsets) > complete_pieces + 1:
            offsets = [0]
        while len(offsets) <= complete_pieces:
            offsets.append(offsets[-1] + len(_piece(step, now, len(offsets) - 1)))
        self._ends[step.id] = offsets
        while len(self._ends) > _FILES_KEPT:
            self._ends.popitem(last=False)
        return offsets[-1] + len(_piece(step, now, complete_pieces))

    def part(self, step: Step, now: float, first: int, end: int) -> Iterator[bytes]:
        """Render the bytes from ``first`` to before ``end``, both within :meth:`size` at ``now``, piece by piece."""
        offsets = list(self._ends[step.id])
        number = bisect_right(offsets, first) - 1
        at = offsets[number]
        while at < end:
            piece = _piece(step, now, number)
            yield piece[max(first - at, 0) : end - at]
            number, at = number + 1, at + len(piece)

    def signed_path(self, execution: Execution, step: Step, expires: float | None) -> str:
        """Return the presigned address of a log, below the storage's own address.

        :param expires: seconds for which it is valid; None: no limit.
        """
        place = (execution.workspace, execution.project, str(execution.pipeline.id), str(execution.id), step.id)
        path = "/logs/" + "/".join(quote(part, safe="") for part in place)
        seconds = str(_NO_LIMIT if expires is None else expires)
        signed_at = datetime.fromtimestamp(self._clock.now(), timezone.utc).isoformat()
        query = {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Date": signed_at, "X-Amz-Expires": seconds}
        return f"{path}?{urlencode(query | {'X-Amz-Signature': self._signature(path, signed_at, seconds)})}"

    def check(self, path: str, query: str, authorization: str | None) -> None:
        """Check a request to the storage; ``path``: percent-encoded, below the storage's prefix.

        :raises StorageError: the signature is missing, wrong or expired, or there is a second kind of authorization.
        """
        parameters = {name: values[0] for name, values in parse_qs(query).items()}
        signed_at, seconds = parameters.get("X-Amz-Date", ""), parameters.get("X-Amz-Expires", "")
        check_authorization(authorization)
        if not hmac.compare_digest(parameters.get("X-Amz-Signature", "").encode(), self._signature(path, signed_at, seconds).encode()):
            raise StorageError(403, "SignatureDoesNotMatch", "The request signature we calculated does not match")
        if self._clock.now() >= datetime.fromisoformat(signed_at).timestamp() + float(seconds):
            raise StorageError(403, "AccessDenied", "Request has expired")

    def _signature(self, path: str, signed_at: str, seconds: str) -> str:
        return hmac.new(self._secret, f"{path}\n{signed_at}\n{seconds}".encode(), hashlib.sha256).hexdigest()


def _piece(step: Step, now: float, number: int) -> bytes:
    return "".join(line + "\n" for line in log_lines(step, now, number * _PIECE, _PIECE)).encode()
