"""The adapter that gives AlgaPSA's executions as snapshots."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from airflow_provider.alga_psa.api import requests
from airflow_provider.alga_psa.executions.logs import new_entries
from airflow_provider.alga_psa.executions.mapping import AlgaPsaSnapshot, in_detail, is_dry_run, log_lines, snapshot_of
from airflow_provider.alga_psa.ref import parse_ref
from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.adapter import ExecutionAdapter, Glance, Memo, Overview
from airflow_provider.execution.model.request import Flow, Pages
from airflow_provider.execution.model.result import iso
from airflow_provider.execution.model.snapshot import Cursor, LogLine, Snapshot


class AlgaPsaAdapter(ExecutionAdapter):
    """Gives snapshots of AlgaPSA's executions."""

    name = "alga_psa"
    title = "AlgaPSA"
    can_cancel: ClassVar[bool] = False
    outputs_lag: ClassVar[bool] = False

    def read(self, ref: str) -> Flow[Snapshot]:
        """``GET /automation/executions/{id}``: the answer has everything, the log too."""
        return snapshot_of((yield from requests.get_execution(ref)))

    def overview(self, ref: str) -> Overview | None:
        """``GET /automation/executions``: those of all rules that have not ended."""
        pages = requests.active()

        def page(cursor: Any) -> Flow[tuple[list[Glance], Any]]:
            items, cursor = yield from pages(cursor)
            return [Glance(item.execution_id, item.status, iso(item.started_at)) for item in items], cursor

        return Overview((), parse_ref(ref), page)

    def details(self, ref: str) -> Flow[Snapshot]:
        """The same route, with the context as outputs and the tail of the log."""
        return in_detail((yield from requests.get_execution(ref)))

    def new_lines(self, snapshot: Snapshot, cursor: Cursor, limit: int) -> Flow[list[LogLine]]:
        """From the answer that the snapshot keeps: it holds the whole log."""
        execution = snapshot.execution if isinstance(snapshot, AlgaPsaSnapshot) else None
        if execution is None:
            execution = yield from requests.get_execution(snapshot.ref)
        return log_lines(new_entries(execution.logs, cursor, limit))

    def cancel(self, ref: str) -> Flow[None]:
        """
        Not possible: AlgaPSA has no route for it.

        :raises ConfigurationError: always.
        """
        raise ConfigurationError(
            f"AlgaPSA can't cancel executions: its API has no such route. Execution {parse_ref(ref)} goes on.", system=self.name, ref=ref
        )
        yield  # a flow without requests

    def resume(self, ref: str) -> Flow[Snapshot]:
        """``POST /automation/executions/{id}/retry``: failed ones only; the id stays. The start time tells the runs apart."""
        return snapshot_of((yield from requests.retry_execution(ref)))

    def listed(self, where: Mapping[str, Any], memo: Memo) -> Pages[Snapshot]:
        """``GET /automation/executions``, by rule and trigger type, those that started last first."""

        def page(cursor: Any) -> Flow[tuple[list[Snapshot], Any]]:
            if "rule" not in memo:
                memo["rule"] = yield from requests.resolve_rule(where["rule"])
            items, cursor = yield from requests.executions(rule=str(memo["rule"]), trigger_type=where.get("trigger_type"))(cursor)
            return [snapshot_of(item) for item in items], cursor

        return page

    def matches(self, where: Mapping[str, Any], snapshot: Snapshot) -> Flow[bool | None]:
        """By the data that it was started with; dry runs only if ``dry_runs`` is set."""
        execution = snapshot.execution if isinstance(snapshot, AlgaPsaSnapshot) else None
        if execution is None:
            execution = yield from requests.get_execution(snapshot.ref)
        if is_dry_run(execution) and not where.get("dry_runs"):
            return False
        trigger_data = execution.trigger_data
        return all(name in trigger_data and trigger_data[name] == value for name, value in (where.get("trigger_data") or {}).items())
