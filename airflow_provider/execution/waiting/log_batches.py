"""Remote log lines in batches, so that other tasks of the event loop get a turn while they are cleaned; and whole logs in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from airflow_provider import _clock
from airflow_provider.execution.model.adapter import ExecutionAdapter
from airflow_provider.execution.model.snapshot import Cursor, LogLine, Snapshot
from airflow_provider.execution.results.redaction import MAX_SCANNED_CHARACTERS

LOG_BATCH_LINES = 50
"""Number of remote log lines to forward before other tasks of the event loop get a turn."""
LOG_BATCH_CHARACTERS = 32 * 1024
"""The same in characters, as far as they are processed."""

LIVE_LOG_SECONDS = 15.0
"""How long the log of an execution is read that goes on, in seconds: it may never end."""


def whole_log(run_flow: Callable[..., Any], adapter: ExecutionAdapter, snapshot: Snapshot) -> Iterator[tuple[str, bytes | bytearray]]:
    """
    The whole log of an execution, block by block; of one that goes on, what can be read within ``LIVE_LOG_SECONDS``.

    :param run_flow: see :meth:`~airflow_provider.execution.http.hook.ExecutionHook.run_flow`.
    :returns: pairs of a step's name and a block of its lines.
    """
    cursor: Cursor = {}
    until = _clock.monotonic() + LIVE_LOG_SECONDS
    while blocks := run_flow(adapter.new_blocks(snapshot, cursor)):
        yield from blocks
        if not snapshot.phase.ended and _clock.monotonic() >= until:
            return


def batches(lines: Sequence[LogLine]) -> Iterator[list[LogLine]]:
    """Log lines in batches whose cleaning does not hold up the event loop."""
    batch: list[LogLine] = []
    characters = 0
    for line in lines:
        size = min(len(line.text), MAX_SCANNED_CHARACTERS)
        if batch and (len(batch) == LOG_BATCH_LINES or characters + size > LOG_BATCH_CHARACTERS):
            yield batch
            batch, characters = [], 0
        batch.append(line)
        characters += size
    if batch:
        yield batch
