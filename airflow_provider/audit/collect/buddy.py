"""Reading configuration and executions of Buddy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider import _clock
from airflow_provider.audit.collect.source import (
    Chunk,
    Gap,
    Reader,
    Source,
    Unit,
    Window,
    all_of,
    gap_units,
    in_groups,
    literal,
    matches,
    share,
)
from airflow_provider.buddy.api import action_models, models, requests
from airflow_provider.buddy.executions import logs
from airflow_provider.buddy.executions.mapping import phase_of
from airflow_provider.buddy.ref import BuddyRef
from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.result import utc

if TYPE_CHECKING:
    from airflow_provider.buddy.hook import BuddyHook

LOOK_BACK = timedelta(days=7)
"""Maximum age of unfinished executions that are found: Buddy's lists can't be filtered by status."""
MAX_LOG_LINES = 1_000
"""Maximum number of lines read of a log on a separate page."""


class BuddySource(Source):
    """
    Pipelines of one workspace.

    :param workspace: handle; by default the connection's.
    :param projects: handles or names, with wildcards.
    :param pipelines: ids, identifiers or names, with wildcards.
    """

    system = "buddy"
    hook: BuddyHook

    def __init__(
        self,
        hook: BuddyHook,
        window: Window | None = None,
        *,
        workspace: str | None = None,
        projects: Sequence[str] = ("*",),
        pipelines: Sequence[str] = ("*",),
    ) -> None:
        super().__init__(hook, window)
        self.workspace = workspace
        self.projects = [str(pattern) for pattern in projects]
        self.pipelines = [str(pattern) for pattern in pipelines]

    @property
    def key(self) -> str:
        """Connection and place."""
        return f"{self.conn_id} {self.workspace or ''}/{','.join(self.projects)}/{','.join(self.pipelines)}"

    async def units(self, reader: Reader) -> Sequence[Unit]:
        """One for each pipeline, and one for lists that could not be read."""
        endpoint = await self.hook.aopen()
        workspace = self.workspace or self.hook.handle("workspace")
        self._workspace, self._endpoint, self._reader = workspace, endpoint, reader
        gaps: list[str] = []
        units: list[Unit] = []
        whole = "*" in self.pipelines
        self._unmatched = [pattern for pattern in self.pipelines if pattern != "*"]
        if self.window is None and whole and "*" in self.projects:
            units.append(Unit(f"{self.conn_id} {workspace} variables", partial(self._variables, None)))
        for project in await self._projects(gaps):
            if self.window is None and whole:
                units.append(Unit(f"{self.conn_id} {workspace}/{project} variables", partial(self._variables, project)))
            for pipeline in await self._pipelines(project, gaps):
                read = partial(self._configuration if self.window is None else self._executions, project, pipeline)
                units.append(Unit(f"{self.conn_id} {workspace}/{project}/{pipeline.id}", read))
        for pattern in self._unmatched if not gaps else ():
            place = f"{workspace}/{self.projects[0] if literal(self.projects) and len(self.projects) == 1 else '*'}/{pattern}"
            gaps += self.gap(place, "pipeline", Gap("The token can see no such pipeline.", missing=True), named=True)
        return [*gap_units(self.key, gaps), *units]

    async def _projects(self, gaps: list[str]) -> list[str]:
        if literal(self.projects):
            return self.projects
        names: list[str] = []
        unmatched = [pattern for pattern in self.projects if pattern != "*"]
        pages, page = requests.projects(self._workspace), None
        while True:
            answer = await self._reader.ask("list of projects", pages(page))
            if isinstance(answer, Gap):
                gaps += self.gap(self._workspace, "workspace", answer, named=True)
                return names
            items, page = answer
            names += [item.name for item in items if item.name and matches(self.projects, item.name, item.display_name)]
            unmatched = [one for one in unmatched if not any(matches([one], item.name, item.display_name) for item in items)]
            if page is None:
                break
        for pattern in unmatched:
            gap = Gap("The token can see no such project.", missing=True)
            gaps += self.gap(f"{self._workspace}/{pattern}", "project", gap, named=True)
        return names

    async def _pipelines(self, project: str, gaps: list[str]) -> list[models.Pipeline]:
        pipelines: list[models.Pipeline] = []
        pages, page = requests.pipelines(self._workspace, project), None
        while True:
            answer = await self._reader.ask("list of pipelines", pages(page))
            if isinstance(answer, Gap):
                gaps += self.gap(f"{self._workspace}/{project}", "project", answer, named=literal(self.projects))
                return pipelines
            items, page = answer
            pipelines += [item for item in items if matches(self.pipelines, item.id, item.identifier, item.name)]
            named = self._unmatched
            self._unmatched = [one for one in named if not any(matches([one], item.id, item.identifier, item.name) for item in items)]
            if page is None:
                return pipelines

    # -- configuration

    async def _configuration(self, project: str, listed: models.Pipeline, at: Any) -> AsyncIterator[Chunk]:
        place = (self._workspace, project, listed.id)
        subject = "/".join(map(str, place))
        pipeline = await self._reader.ask("pipeline", requests.get_pipeline(*place))
        actions = await self._reader.ask("list of actions", requests.list_actions(*place))
        lines: list[str] = []
        short: dict[str, bool] = {}
        if isinstance(pipeline, Gap):
            lines += self.gap(subject, "pipeline", pipeline)
            pipeline, short = listed, {"short": True}
        whole: list[action_models.ActionDefinition] | None = None
        if isinstance(actions, Gap):
            lines += self.gap(subject, "actions", actions)
        else:
            ids = [action.id for action in actions if action.id is not None]
            answers = await all_of(self._reader.ask("action", requests.get_action(*place, id)) for id in ids)
            whole = []
            for id, answer in zip(ids, answers, strict=True):
                if isinstance(answer, Gap):
                    lines += self.gap(f"{subject}/action/{id}", "action", answer)
                else:
                    whole.append(answer)
        lines.append(await self._variables_of(project, pipeline=listed))
        fields: dict[str, Any] = {"workspace": self._workspace, "project": project, "data": pipeline, "actions": whole, **short}
        if whole is not None and not isinstance(actions, Gap) and len(whole) < len(actions):
            fields["listed"] = actions  # hidden actions exist too
        lines.append(await asyncio.to_thread(self.line, "buddy.pipeline", **fields))
        yield Chunk(lines)

    async def _variables(self, project: str | None, at: Any) -> AsyncIterator[Chunk]:
        yield Chunk([await self._variables_of(project)])

    async def _variables_of(self, project: str | None, pipeline: models.Pipeline | None = None) -> str:
        """The variables of one scope. Without permission the record has none, so that they count as not visible: many tokens may not."""
        scope: dict[str, Any] = {"pipeline_id": pipeline.id} if pipeline else {"project_name": project} if project else {}
        answer = await self._reader.ask("list of variables", requests.list_variables(self._workspace, scope))
        fields: dict[str, Any] = {"workspace": self._workspace, "project": project}
        if pipeline is not None:
            fields["pipeline"] = {"id": pipeline.id, "name": pipeline.name, "html_url": pipeline.html_url}
        data = None if isinstance(answer, Gap) else {"variables": answer}
        return await asyncio.to_thread(self.line, "buddy.variables", **fields, data=data)

    # -- executions

    async def _executions(self, project: str, pipeline: models.Pipeline, at: Any) -> AsyncIterator[Chunk]:
        assert self.window is not None
        horizon = min(self.window.before, self.window.until - LOOK_BACK)
        pages = requests.executions(self._workspace, project, pipeline.id)
        here, known = at or (None, [])
        while True:
            answer = await self._reader.ask("list of executions", pages(here))
            if isinstance(answer, Gap):
                yield Chunk(self.gap(f"{self._workspace}/{project}/{pipeline.id}", "pipeline", answer))
                return
            items, following = answer
            oldest = min((utc(item.start_date) for item in items if item.start_date), default=None)
            if oldest is not None and oldest < horizon:
                following = None
            so_far = share(self.window.until, oldest, horizon)
            read = partial(self._execution, project, pipeline)
            async for chunk in in_groups(items, (here, following, known), lambda item: item.id, read, so_far):
                yield chunk
            here = following
            if here is None:
                return

    async def _execution(self, project: str, pipeline: models.Pipeline, item: models.Execution) -> list[str]:
        assert self.window is not None
        started = utc(item.start_date) if item.start_date else _clock.utc_now()
        ended = _ended(item)
        if started >= self.window.until or (ended is not None and started < self.window.before and ended < self.window.since):
            return []
        about = {name: value for name in ("id", "name", "html_url", "disabled") if (value := getattr(pipeline, name)) is not None}
        fields: dict[str, Any] = {
            "connection": self.connection(self._endpoint, workspace=self._workspace, project=project),
            "workspace": self._workspace,
            "project": project,
            "pipeline": {**about, "exists": True},
            "data": item,
        }
        if ended is not None and ended < self.window.since:  # counted only
            return [await asyncio.to_thread(self.line, "buddy.execution", **fields)]
        ref = BuddyRef(self._workspace, project, pipeline.id, item.id)
        whole = await self._reader.ask("execution", requests.get_execution(str(ref)))
        if isinstance(whole, Gap):
            lines = self.gap(str(ref), "execution", whole)
            return [*lines, await asyncio.to_thread(self.line, "buddy.execution", **fields)]
        ids = [step.id for step in whole.action_executions if step.id]
        answers = await all_of(self._step(f"{ref}/{id}") for id in ids)
        lines = []
        for id, answer in zip(ids, answers, strict=True):
            if isinstance(answer, Gap):
                lines += self.gap(f"{ref}/{id}", "step", answer)
        fields |= {"data": whole, "details": [answer for answer in answers if not isinstance(answer, Gap)]}
        return [*lines, await asyncio.to_thread(self.line, "buddy.execution", **fields)]

    async def _step(self, ref: str) -> models.ActionExecution | Gap:
        step = await self._reader.ask("action execution", requests.get_action_execution(ref))
        if not isinstance(step, Gap) and step.log_url and not step.log:
            log = await self._reader.ask("log", logs.list_log_lines(ref, 0, MAX_LOG_LINES))
            if not isinstance(log, Gap):
                step.log = log
        return step


def _ended(item: models.Execution) -> datetime | None:
    time = (item.finish_date or item.start_date) if phase_of(item.status).ended else None
    return None if time is None else utc(time)


def place_of(scope: str | None) -> dict[str, Any]:
    """
    Arguments of a source from a scope: ``workspace[/project[/pipeline]]``, with wildcards in project and pipeline.

    :raises ConfigurationError: if it has more parts.
    """
    parts = [part.strip() for part in (scope or "").split("/")] if scope else []
    if len(parts) > 3 or not all(parts):
        raise ConfigurationError(
            f"Buddy: {scope!r} is not a scope such as workspace, workspace/project or workspace/project/pipeline.", system="buddy"
        )
    names: dict[str, Any] = {}
    if parts:
        names["workspace"] = parts[0]
    if len(parts) > 1:
        names["projects"] = [parts[1]]
    if len(parts) > 2:
        names["pipelines"] = [parts[2]]
    return names
