"""Reading executions of AlgaPSA."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider import _clock
from airflow_provider.alga_psa.api import models, requests
from airflow_provider.alga_psa.executions.mapping import phase_of
from airflow_provider.audit.collect.source import Chunk, Gap, Reader, Source, Unit, Window, gap_units, matches, share
from airflow_provider.execution.model.result import utc

if TYPE_CHECKING:
    from airflow_provider.alga_psa.hook import AlgaPsaHook

UNFINISHED = ("pending", "running")


class AlgaPsaSource(Source):
    """
    Executions of one tenant.

    :param rules: ids or names, with wildcards.
    """

    system = "alga_psa"
    hook: AlgaPsaHook
    window: Window

    def __init__(self, hook: AlgaPsaHook, window: Window, *, rules: Sequence[str] = ("*",)) -> None:
        super().__init__(hook, window)
        self.rules = [str(pattern) for pattern in rules]

    @property
    def key(self) -> str:
        """Connection and rules."""
        return f"{self.conn_id} {','.join(self.rules)}"

    async def units(self, reader: Reader) -> Sequence[Unit]:
        """
        The executions of the window, and older unfinished ones.

        Lists contain complete executions with logs, so none is read separately. Times are compared here, not by the server's filter, see
        :func:`airflow_provider.alga_psa.executions.lost_starts.find_started`.
        """
        endpoint = await self.hook.aopen()
        tenant = next((value for name, value in endpoint.headers if name == "x-tenant-id"), None)
        self._reader, self._about = reader, self.connection(endpoint, tenant=tenant)
        gaps: list[str] = []
        known = self._known = await self._rules(gaps)
        rules: list[str | None] = [None]
        if "*" not in self.rules:
            rules = [item.rule_id for item in (known or {}).values() if matches(self.rules, item.rule_id, item.name)]
            for pattern in () if known is None else self.rules:
                if not any(matches([pattern], item.rule_id, item.name) for item in (known or {}).values()):
                    gaps += self.gap(pattern, "rule", Gap("This tenant has no such rule.", missing=True), named=True)
        units = [
            Unit(f"{self.conn_id} {rule or '*'} {status or 'window'}", partial(self._list, rule, status))
            for rule in rules
            for status in (None, *UNFINISHED)
        ]
        return [*gap_units(self.key, gaps), *units]

    async def _rules(self, gaps: list[str]) -> dict[str, models.Rule] | None:
        """All rules by id; None if they can't be listed, so that no rule counts as deleted."""
        rules: dict[str, models.Rule] = {}
        pages, page = requests.rules(), None
        while True:
            answer = await self._reader.ask("list of rules", pages(page))
            if isinstance(answer, Gap):
                gaps += self.gap("rules", "tenant", answer)
                return None
            items, page = answer
            rules |= {item.rule_id: item for item in items}
            if page is None:
                return rules

    async def _list(self, rule: str | None, status: str | None, at: Any) -> AsyncIterator[Chunk]:
        window = self.window
        pages = requests.executions(rule=rule, status=status)
        while True:
            answer = await self._reader.ask("list of executions", pages(at))
            if isinstance(answer, Gap):
                yield Chunk(self.gap(f"{rule or '*'}/executions", "executions", answer))
                return
            items, at = answer
            oldest = min((utc(item.started_at) for item in items if item.started_at), default=None)
            if status is None and oldest is not None and oldest < window.before:
                at = None
            yield Chunk(await asyncio.to_thread(self._lines, items, status), at, share(window.until, oldest, window.before))
            if at is None:
                return

    def _lines(self, items: Sequence[models.Execution], status: str | None) -> list[str]:
        lines = []
        for item in items:
            started = utc(item.started_at) if item.started_at else _clock.utc_now()
            in_window = self.window.before <= started < self.window.until
            if in_window == (status is None) and started < self.window.until:
                lines.append(self._line(item))
        return lines

    def _line(self, item: models.Execution) -> str:
        rule = (self._known or {}).get(item.automation_rule_id or "")
        about: dict[str, Any] = {}
        if rule is not None:
            about["rule"] = {"rule_id": rule.rule_id, "name": rule.name, "status": rule.status}
        elif self._known is not None:
            about["rule_exists"] = False
        ended = utc(item.completed_at) if item.completed_at and phase_of(item.status).ended else None
        data: Any = item
        if ended is not None and ended < self.window.since:  # counted only
            data = item.model_copy()
            data.model_fields_set.discard("logs")
        return self.line("alga_psa.execution", connection=self._about, data=data, **about)


def place_of(scope: str | None) -> dict[str, Any]:
    """Arguments of a source from a scope: a rule's id or name, with wildcards."""
    return {"rules": [scope]} if scope else {}
