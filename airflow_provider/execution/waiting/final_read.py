"""The final read of an execution: with outputs, errors and the tail of the log, once they have all appeared."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from airflow_provider import _clock
from airflow_provider.errors import (
    ConfigurationError,
    ExecutionApiError,
    ExecutionInterrupted,
    ExecutionUnreachable,
    Forbidden,
    NotFound,
    Unauthorized,
)
from airflow_provider.execution.model.adapter import ExecutionAdapter
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Flow, Sleep
from airflow_provider.execution.model.snapshot import Snapshot

SETTLE_PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds between the reads of an ended execution whose outputs or log have not all appeared yet."""


def read_known(read: Callable[[str], Flow[Snapshot]], ref: str, grace: float) -> Flow[Snapshot]:
    """
    Read an execution that is known to exist: a single 404 may be temporary.

    :param grace: seconds of 404 answers to tolerate.
    :raises NotFound: if it answers 404 for longer.
    """
    until = _clock.monotonic() + grace
    while True:
        try:
            return (yield from read(ref))
        except NotFound:
            if _clock.monotonic() >= until:
                raise
            yield Sleep(min(5.0, max(grace / 20, 0.05)))


def final_read(adapter: ExecutionAdapter, ref: str, declared: Sequence[str], budget: float, grace: float) -> Flow[Snapshot]:
    """
    Read an ended execution in full, and wait for what lags behind its status.

    What can't be read for as long as the budget lasts, although the execution itself can, is left out with its reason.

    :param declared: names of required outputs.
    :param budget: seconds of failing requests to tolerate.
    :param grace: seconds of 404 answers to tolerate.
    :raises NotFound: if it answers 404 for longer.
    :raises ExecutionUnreachable: if it can't be read itself for longer.
    """
    pauses = list(SETTLE_PAUSES)
    failing_since: float | None = None
    while True:
        snapshot: Snapshot | None = None
        error: ExecutionApiError | None
        try:
            snapshot = yield from read_known(adapter.details, ref, grace)
            error = snapshot.unread
        except (NotFound, Unauthorized, Forbidden, ConfigurationError, ExecutionInterrupted):
            raise
        except ExecutionApiError as problem:
            error = problem
        if error is not None:
            now = _clock.monotonic()
            failing_since = now if failing_since is None else failing_since
            if now - failing_since >= budget:
                if snapshot is not None:
                    return snapshot
                duration = " for too long" if budget else ""
                raise ExecutionUnreachable(
                    f"{adapter.title} execution {ref} could not be read{duration}: {error}", system=adapter.name, ref=ref
                ) from None
            yield Sleep(min(10.0, max(budget / 20, 0.05)))
            continue
        assert snapshot is not None
        failing_since = None
        if not snapshot.phase.ended or not pauses or _complete(snapshot, declared if adapter.outputs_lag else ()):
            return snapshot
        if snapshot.phase is not Phase.SUCCEEDED and snapshot.finished_at is not None:
            del pauses[2:]  # only its log may be missing, and many failures have none
        yield Sleep(pauses.pop(0))


def _complete(snapshot: Snapshot, declared: Sequence[str]) -> bool:
    if not snapshot.settled:
        return False
    if snapshot.phase is Phase.SUCCEEDED:
        return all(name in snapshot.outputs for name in declared)
    return True
