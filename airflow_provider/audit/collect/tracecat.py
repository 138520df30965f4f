"""Reading workflows and executions of Tracecat."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_provider.audit.collect.source import Chunk, Gap, Reader, Source, Unit, Window, gap_units, in_groups, matches, share
from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.result import utc
from airflow_provider.tracecat.api import models, requests
from airflow_provider.tracecat.ref import TracecatRef, is_workflow_id

if TYPE_CHECKING:
    from airflow_provider.tracecat.hook import TracecatHook

PAGE = 100
KEPT = 1_000
"""Number of executions remembered as read: a reset execution is listed with each of its runs."""


class TracecatSource(Source):
    """
    Executions of one workspace, or without a window its workflows.

    :param workflows: ids, aliases or titles, with wildcards.
    """

    system = "tracecat"
    hook: TracecatHook

    def __init__(self, hook: TracecatHook, window: Window | None, *, workflows: Sequence[str] = ("*",)) -> None:
        super().__init__(hook, window)
        self.workflows = [str(pattern) for pattern in workflows]

    @property
    def key(self) -> str:
        """Connection and place."""
        return f"{self.conn_id} {self.hook.workspace_id or ''}/{','.join(self.workflows)}"

    async def units(self, reader: Reader) -> Sequence[Unit]:
        """One for finished executions and one for running ones; if workflows are selected, two for each workflow."""
        endpoint = await self.hook.aopen()
        self._reader, self._workspace = reader, self.hook.namespace()
        self._about = self.connection(endpoint, workspace=self._workspace)
        # As in refs, the workspace of the connection is omitted.
        self._elsewhere = self._workspace if self._workspace != str(self.hook._extra.get("workspace_id") or "").lower() else None
        self._public = await self._public_address()
        gaps: list[str] = []
        self._known = await self._workflows(gaps)
        workflows: list[str | None] = [None]
        if "*" not in self.workflows:
            listed = (self._known or {}).values()
            workflows = [item.id for item in listed if matches(self.workflows, item.id, item.alias, item.title)]
            workflows += [name for name in self.workflows if is_workflow_id(name) and name not in workflows]
            for pattern in self.workflows if self._known is not None else ():
                if not any(matches([pattern], item.id, item.alias, item.title) for item in listed):
                    gap = Gap("The credential can see no such workflow.", missing=True)
                    gaps += self.gap(f"{self._workspace}/{pattern}", "workflow", gap, named=True)
        if self.window is None:
            ids = [id for id in (workflows if workflows != [None] else (self._known or {})) if id is not None]
            units = [Unit(f"{self.conn_id} {self._workspace}/{id} definition", partial(self._definition, id)) for id in ids]
            return [*gap_units(self.key, gaps), *units]
        units = [
            Unit(f"{self.conn_id} {self._workspace}/{workflow or '*'} {what}", partial(self._search, what, workflow))
            for workflow in workflows
            for what in ("ended", "running")
        ]
        return [*gap_units(self.key, gaps), *units]

    async def _public_address(self) -> str:
        info = await self._reader.ask("info", requests.get_info())
        return "" if isinstance(info, Gap) else (info.public_app_url or "").rstrip("/")

    async def _workflows(self, gaps: list[str]) -> dict[str, models.Workflow] | None:
        """All workflows by id; None if they can't be listed, so that no workflow counts as deleted."""
        workflows: dict[str, models.Workflow] = {}
        pages, cursor = requests.workflows(self._workspace), None
        while True:
            answer = await self._reader.ask("list of workflows", pages(cursor))
            if isinstance(answer, Gap):
                gaps += self.gap(f"{self._workspace}/workflows", "workspace", answer, named=True)
                return None
            items, cursor = answer
            workflows |= {item.id: item for item in items}
            if cursor is None:
                return workflows

    async def _definition(self, workflow: str, at: Any) -> AsyncIterator[Chunk]:
        answer = await self._reader.ask("workflow", requests.get_workflow(self._workspace, workflow))
        if isinstance(answer, Gap):
            yield Chunk(self.gap(f"{self._workspace}/{workflow}", "workflow", answer))
            return
        data = answer.model_dump(mode="json", exclude_unset=True, by_alias=True, warnings=False)
        for name in ("secret", "url"):  # a credential that no rule needs
            (data.get("webhook") or {}).pop(name, None)
        url = {"url": f"{self._public}/workspaces/{quote(self._workspace)}/workflows/{quote(workflow)}"} if self._public else {}
        yield Chunk([await asyncio.to_thread(self.line, "tracecat.workflow", workspace=self._workspace, data=data, **url)])

    async def _search(self, what: str, workflow: str | None, at: Any) -> AsyncIterator[Chunk]:
        assert self.window is not None
        query: dict[str, Any] = {"workflow_id": workflow, "limit": PAGE, "start_time_to": _moment(self.window.until)}
        query |= {"status": "RUNNING"} if what == "running" else {"close_time_from": _moment(self.window.before)}
        pages = requests.search(self._workspace, query)
        (here, seen), known = at or ((None, []), [])
        while True:
            answer = await self._reader.ask("search of executions", pages(here))
            if isinstance(answer, Gap):
                yield Chunk(self.gap(f"{self._workspace}/{workflow or '*'}/{what}", "executions", answer))
                return
            items, following = answer
            fresh: list[models.Summary] = []
            noted: list[str] = seen
            for item in items:
                if (mark := _mark(item)) not in noted and item.start_time and utc(item.start_time) < self.window.until:
                    fresh.append(item)
                noted = [*noted, mark][-KEPT:]
            oldest = min((utc(item.close_time) for item in items if item.close_time), default=None)
            so_far = share(self.window.until, oldest, self.window.before)
            place: tuple[Any, Any, list[str]] = ([here, seen], None if following is None else [following, noted], known)
            async for chunk in in_groups(fresh, place, _mark, self._execution, so_far):
                yield chunk
            here, seen = following, noted
            if here is None:
                return

    async def _execution(self, item: models.Summary) -> list[str]:
        window = self.window
        assert window is not None
        closed = utc(item.close_time) if item.close_time else None
        counted_only = closed is not None and closed < window.since
        if counted_only and item.start_time and utc(item.start_time) < window.before:
            return []
        fields: dict[str, Any] = {"connection": self._about, "workspace": self._elsewhere, "data": item}
        ref = TracecatRef.parse(item.id)
        workflow = None if self._known is None else self._known.get(item.workflow_id or ref.workflow)
        if workflow is not None:
            fields["workflow"] = {"id": workflow.id, "title": workflow.title, "alias": workflow.alias, "status": workflow.status}
        elif self._known is not None:
            fields["workflow_exists"] = False
        if self._public:
            fields["url"] = f"{self._public}/workspaces/{quote(self._workspace)}/{ref.page}"
        if counted_only:
            return [await asyncio.to_thread(self.line, "tracecat.execution", **fields)]
        compact = await self._reader.ask("execution", requests.get_compact(self._workspace, item.id))
        history = await self._reader.ask("history", requests.get_execution(self._workspace, item.id))
        lines: list[str] = []
        for answer in (compact, history):
            if isinstance(answer, Gap):
                lines += self.gap(f"{item.id}", "execution", answer)
        if not isinstance(compact, Gap):
            names = ("workflow_id", "workflow_title", "workflow_alias")
            fields["data"] = {name: getattr(item, name) for name in names} | compact.model_dump(
                mode="json", exclude_unset=True, by_alias=True, warnings=False
            )
        if not isinstance(history, Gap):
            fields["history"] = history
        return [*lines, await asyncio.to_thread(self.line, "tracecat.execution", **fields)]


def _mark(item: models.Summary) -> str:
    return hashlib.blake2b(item.id.encode(), digest_size=6).hexdigest()


def _moment(time: datetime) -> str:
    return requests.started_after(time.timestamp())


def place_of(scope: str | None) -> tuple[str | None, dict[str, Any]]:
    """
    Workspace, and arguments of a source, from a scope: ``workspace``, ``workflow`` or ``workspace/workflow``, with wildcards in the latter.

    :raises ConfigurationError: if it has more parts.
    """
    if not scope:
        return None, {}
    parts = [part.strip() for part in scope.split("/")]
    if len(parts) > 2 or not all(parts):
        raise ConfigurationError(
            f"Tracecat: {scope!r} is not a scope such as workspace, workflow or workspace/workflow.", system="tracecat"
        )
    if len(parts) == 2:
        return parts[0], {"workflows": [parts[1]]}
    is_workspace = len(parts[0]) == 36 and is_workflow_id(parts[0])  # a UUID
    return (parts[0], {}) if is_workspace else (None, {"workflows": [parts[0]]})
