"""Collecting without a worker slot: the triggerer reads the APIs into the spool, the worker checks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from airflow_provider import _compat
from airflow_provider.errors import ExecutionApiError, ExecutionInterrupted, one_line


class AuditTrigger(BaseTrigger):
    """
    Reads the data to audit into a spool, then sends one event: ``{error}``.

    Another triggerer continues where the first one stopped. Large parsing and writing jobs run in threads.

    :param wanted: what to read, see :data:`airflow_provider.audit.collect.collector.Wanted`.
    :param spool: folder, a path for ``ObjectStoragePath``.
    :param header, note: of the spool.
    """

    def __init__(self, *, wanted: list[dict[str, Any]], spool: str, header: dict[str, Any], note: dict[str, Any]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.wanted = wanted
        self.spool = spool
        self.header = header
        self.note = note

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as Airflow stores them."""
        arguments = {"wanted": self.wanted, "spool": self.spool, "header": self.header, "note": self.note}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Read. Errors are sent as events too, since a failed trigger would lose its reason."""
        error: dict[str, Any] | None = None
        try:
            collect, sources, spool = await _compat.to_thread(self._load)
            await collect(sources, spool, self.log)
        except ExecutionApiError as failure:
            error = failure.to_event()
        except Exception as failure:
            self.log.exception("The collection stopped.")
            error = ExecutionInterrupted(
                f"The collection stopped ({type(failure).__name__}: {one_line(failure, 300)}); a retry continues where it stopped."
            ).to_event()
        yield TriggerEvent({"error": error})  # type: ignore[no-untyped-call]

    def _load(self) -> tuple[Any, list[Any], Any]:
        """Runs in a thread: importing and reading would block the event loop that all triggers share."""
        from airflow.sdk import ObjectStoragePath

        import airflow_provider.execution.http.senders  # noqa: F401
        from airflow_provider.audit.collect.collector import collect, source_of
        from airflow_provider.audit.collect.spool import Spool

        return collect, [source_of(scope) for scope in self.wanted], Spool(ObjectStoragePath(self.spool), self.header, self.note)
