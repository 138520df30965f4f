"""Remote log lines in batches, so that other tasks of the event loop get a turn while they are cleaned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from airflow_provider.execution.model.snapshot import LogLine
from airflow_provider.execution.results.redaction import MAX_SCANNED_CHARACTERS

LOG_BATCH_LINES = 50
"""Number of remote log lines to forward before other tasks of the event loop get a turn."""
LOG_BATCH_CHARACTERS = 32 * 1024
"""The same in characters, as far as they are processed."""


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
