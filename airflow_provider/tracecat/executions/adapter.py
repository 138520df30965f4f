"""The adapter that gives Tracecat's executions as snapshots."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from airflow_provider.errors import (
    ConfigurationError,
    ExecutionApiError,
    ProtocolError,
    RateLimited,
    ServerError,
    StatusError,
    TransportError,
)
from airflow_provider.execution.model.adapter import ExecutionAdapter, Glance, Memo, Overview
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Flow, Pages
from airflow_provider.execution.model.snapshot import Cursor, LogLine, Output, Snapshot
from airflow_provider.execution.waiting.search import START_SKEW_SECONDS
from airflow_provider.tracecat.api import models, requests
from airflow_provider.tracecat.api.stored_results import DEFAULT_RESULT_KEYS, ResultUnavailable, result_of
from airflow_provider.tracecat.executions.logs import new_lines, tail_of
from airflow_provider.tracecat.executions.mapping import COMPLETED, snapshot_of
from airflow_provider.tracecat.ref import TracecatRef, is_execution_id

_PUBLIC: dict[str, str] = {}
"""Address of a server's web pages by the address of its API: read once in a process, not by each wait."""


class TracecatAdapter(ExecutionAdapter):
    """
    Gives snapshots of Tracecat's executions.

    :param workspace: gives the connection's workspace; called when a flow runs.
    :param api: gives the API's address; called when a flow runs.
    """

    name = "tracecat"
    title = "Tracecat"
    outputs_lag: ClassVar[bool] = False
    never_appeared: ClassVar[str] = (
        "its start was accepted, but it never appeared. Tracecat answers before Temporal has it: most likely Temporal or its workers were "
        "away. A retry of the task starts a new one."
    )

    def __init__(self, workspace: Callable[[], str], api: Callable[[], str]) -> None:
        self._workspace = workspace
        self._api = api
        self._no_page = False

    def workspace_of(self, ref: TracecatRef) -> str:
        """The workspace of an execution."""
        return ref.workspace or self._workspace()

    def read(self, ref: str) -> Flow[Snapshot]:
        """``GET .../workflow-executions/:id/compact``, without inputs and results."""
        parsed = TracecatRef.parse(ref)
        state = yield from requests.get_state(self.workspace_of(parsed), ref)
        return snapshot_of(parsed, state, (yield from self.page(parsed)))

    def overview(self, ref: str) -> Overview | None:
        """``GET .../workflow-executions/search``: the running ones of all workflows, without drafts."""
        parsed = TracecatRef.parse(ref)
        workspace = self.workspace_of(parsed)
        pages = requests.running(workspace)

        def page(cursor: Any) -> Flow[tuple[list[Glance], Any]]:
            items, cursor = yield from pages(cursor)
            return [Glance(item.id, item.status or "RUNNING", item.run_id) for item in items], cursor

        return Overview((workspace,), parsed.execution, page)

    def details(self, ref: str) -> Flow[Snapshot]:
        """``GET .../workflow-executions/:id/compact``, and its result, wherever it is stored."""
        parsed = TracecatRef.parse(ref)
        workspace = self.workspace_of(parsed)
        execution = yield from requests.get_compact(workspace, ref)
        snapshot = snapshot_of(parsed, execution, (yield from self.page(parsed)))
        row = next((row for row in execution.events if row.action_ref == COMPLETED), None)
        if row is not None:
            yield from self._outputs(workspace, parsed, row, snapshot)
        snapshot.log_tail = tail_of(snapshot.steps)
        snapshot.settled = row is not None or snapshot.phase is not Phase.SUCCEEDED
        return snapshot

    def _outputs(self, workspace: str, ref: TracecatRef, row: models.Row, snapshot: Snapshot) -> Flow[None]:
        try:
            value = yield from result_of(workspace, ref.execution, row)
        except ResultUnavailable as reason:
            snapshot.outputs_omitted["result"] = str(reason)
        except (TransportError, StatusError, ProtocolError) as error:
            if isinstance(error, RateLimited) and not error.elsewhere:
                raise
            if isinstance(error, (TransportError, ServerError)) and not error.elsewhere:
                snapshot.unread = error
            snapshot.outputs_omitted["result"] = f"could not be fetched: {error}"
        else:
            if isinstance(value, dict) and value.keys() != DEFAULT_RESULT_KEYS:
                snapshot.outputs = {str(name): Output(item) for name, item in value.items()}
            elif value is not None and not isinstance(value, dict):
                snapshot.outputs = {"result": Output(value)}

    def new_lines(self, snapshot: Snapshot, cursor: Cursor, limit: int) -> Flow[list[LogLine]]:
        """A line for each action that has changed: Tracecat has no log."""
        return new_lines(snapshot, cursor, limit)
        yield  # a flow without requests

    def page(self, ref: TracecatRef) -> Flow[str | None]:
        """The address of the execution's web page; None if the server does not tell it."""
        base = yield from self.base()
        return f"{base}/workspaces/{self.workspace_of(ref)}/{ref.page}" if base else None

    def base(self) -> Flow[str | None]:
        """``GET /info``: the address of the server's web pages; None if it does not tell."""
        api = self._api()
        if api not in _PUBLIC and not self._no_page:
            try:
                _PUBLIC[api] = ((yield from requests.get_info()).public_app_url or "").rstrip("/")
            except ExecutionApiError:
                self._no_page = True  # the link is not worth more requests
        return _PUBLIC.get(api)

    def cancel(self, ref: str) -> Flow[None]:
        """``POST .../workflow-executions/:id/cancel``: asynchronous; an execution that has ended stays as it is."""
        yield from requests.cancel(self.workspace_of(TracecatRef.parse(ref)), ref)

    def resume(self, ref: str) -> Flow[Snapshot]:
        """``POST .../workflow-executions/:id/reset``, from the start: a new run under the same id."""
        yield from requests.reset(self.workspace_of(TracecatRef.parse(ref)), ref)
        return (yield from self.just_changed(ref))

    def before_resume(self, snapshot: Snapshot) -> Flow[str]:
        """The id of the run: a reset makes a new one."""
        return str(snapshot.run)
        yield  # a flow without requests

    def resumed(self, ref: str, before: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """Whether the execution has another run."""
        snapshot = yield from self.read(ref)
        return ([] if str(snapshot.run) == before else [snapshot]), True

    def listed(self, where: Mapping[str, Any], memo: Memo) -> Pages[Snapshot]:
        """``GET .../workflow-executions/search``; sorted here by start: the server lists running ones first, then by their end."""

        def page(_: object) -> Flow[tuple[list[Snapshot], None]]:
            workspace = where.get("workspace") or self._workspace()
            if "workflow" not in memo:
                memo["workflow"] = yield from requests.resolve_workflow(workspace, where["workflow"])
            moments = [moment for moment in (where.get("started_after"), memo.get("oldest")) if isinstance(moment, (int, float))]
            query = {
                "workflow_id": memo["workflow"],
                "trigger": where.get("trigger"),
                "start_time_from": requests.started_after(max(moments) - START_SKEW_SECONDS) if moments else None,
            }
            found, are_all = yield from requests.latest_runs(workspace, query)
            if not are_all:
                advice = "a later started_after" if moments else "started_after, such as '{{ dag_run.run_after }}'"
                raise ConfigurationError(
                    f"Tracecat: there are more than {requests.MAX_PAGES} pages of such executions. Give {advice}.", system=self.name
                )
            items = [item for item in found if is_execution_id(item.id)]
            refs = [TracecatRef(where.get("workspace"), item.id) for item in items]
            urls = (yield from self.page(refs[0])) if refs else None
            return [snapshot_of(ref, item, None if urls is None else self._url(ref)) for ref, item in zip(refs, items, strict=True)], None

        return page

    def _url(self, ref: TracecatRef) -> str:
        return f"{_PUBLIC[self._api()]}/workspaces/{self.workspace_of(ref)}/{ref.page}"
