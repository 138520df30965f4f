"""An action execution's log, by whichever route the installation has: paged, inline, behind an address, or by the action's id."""

from __future__ import annotations

import json
from dataclasses import dataclass

from airflow_provider.buddy import models, routes
from airflow_provider.buddy.ref import BuddyRef
from airflow_provider.errors import NotFound, StatusError
from airflow_provider.execution.route import Flow, Part, Request, send
from airflow_provider.execution.system import Cursor, Step

PAGE = 1_000
"""Lines; the most that the API gives at once."""
TAIL = 50
WINDOW = 1024 * 1024
"""Bytes read at once of a log behind an address."""
TAIL_WINDOW = 64 * 1024


@dataclass(frozen=True)
class LogOf:
    """Whose log: the ids of the action execution and of its action, either of which an older installation may not tell."""

    execution: BuddyRef
    action_execution: str | None
    action: str | None
    ended: bool = True

    @classmethod
    def step(cls, execution: BuddyRef, step: Step) -> LogOf:
        """The log of a step."""
        return cls(execution, step.id or None, step.definition, step.phase.ended)

    @property
    def key(self) -> str:
        """Its place in a cursor."""
        return self.action_execution or f"action {self.action}"


class LogReader:
    """Flows that read logs. Remembers which routes there are."""

    def __init__(self) -> None:
        self._paged = True
        self._addresses: dict[LogOf, str] = {}

    def lines(self, of: LogOf, cursor: Cursor, limit: int) -> Flow[tuple[list[str], bool]]:
        """
        Read on behind ``cursor``, and move it.

        :returns: at most ``limit`` lines, and whether there are more by now.
        """
        if f"{of.key} bytes" in cursor:
            return (yield from self._from_address(of, cursor, limit))
        offset = cursor.get(of.key, 0)
        page = yield from self._page(of, offset, limit)
        if page is None:
            cursor[f"{of.key} bytes"], cursor[f"{of.key} skip"] = 0, offset
            return (yield from self._from_address(of, cursor, limit))
        cursor[of.key] = offset + len(page)
        return page, len(page) >= limit

    def tail(self, of: LogOf, inline: models.ActionExecution | None) -> Flow[list[str]]:
        """
        Read the last lines.

        :param inline: the action execution, if it was read already.
        """
        if inline is not None and inline.log:
            return inline.log[-TAIL:]
        if inline is None or not inline.log_url:
            total = 0
            if self._paged and of.action_execution:
                try:
                    total = (yield from send(self._logs(of, 0, 1))).total_element_count or 0
                except NotFound:
                    pass
                else:
                    return (yield from send(self._logs(of, max(total - TAIL, 0), TAIL))).logs[-TAIL:] if total else []
            inline = yield from self._whole(of)
            if inline.log or not inline.log_url:
                return inline.log[-TAIL:]
        data = yield from self._fetch(of, inline.log_url, Part(-TAIL_WINDOW, TAIL_WINDOW))
        if (listed := _listed(data)) is not None:
            return listed[-TAIL:]
        lines = data.decode(errors="replace").splitlines()
        return lines[1 if len(data) >= TAIL_WINDOW else 0 :][-TAIL:]

    def _page(self, of: LogOf, offset: int, limit: int) -> Flow[list[str] | None]:
        """A page of lines; None if they lie behind an address."""
        if self._paged and of.action_execution:
            try:
                lines = (yield from send(self._logs(of, offset, limit))).logs
            except NotFound:
                pass
            else:
                if lines or offset or not of.ended:
                    return lines
        whole = yield from self._whole(of)
        if whole.log_url and not whole.log:
            self._addresses[of] = whole.log_url
            return None
        return whole.log[offset : offset + limit]

    def _logs(self, of: LogOf, offset: int, limit: int) -> Request[models.LogPage]:
        query = {"offset": offset, "limit": limit}
        return routes.GET_LOGS(ref=str(of.execution), action_execution=of.action_execution, query=query, **of.execution.path)

    def _whole(self, of: LogOf) -> Flow[models.ActionExecution]:
        """The routes that older installations have; the first that answers is asked first from now on."""
        missing: NotFound | None = None
        if of.action_execution:
            try:
                found = yield from send(
                    routes.GET_ACTION_EXECUTION(ref=str(of.execution), action_execution=of.action_execution, **of.execution.path)
                )
            except NotFound as error:
                missing = error
            else:
                return found
        for route in (routes.GET_ACTION_LOG, routes.GET_ACTIONS_LOG) if of.action else ():
            try:
                return (yield from send(route(ref=str(of.execution), action=of.action, **of.execution.path)))
            except NotFound as error:
                missing = missing or error
        raise missing or NotFound(f"Buddy: execution {of.execution} names neither action nor action execution.", ref=str(of.execution))

    def _from_address(self, of: LogOf, cursor: Cursor, limit: int) -> Flow[tuple[list[str], bool]]:
        key = f"{of.key} bytes"
        start = cursor[key]
        url = self._addresses.get(of)
        try:
            data = (yield from self._fetch(of, url, Part(start, WINDOW))) if url else None
        except StatusError:  # such an address may be good for a while only
            data = None
        if data is None:
            url = self._addresses[of] = (yield from self._whole(of)).log_url or ""
            if not url:
                return [], False
            data = yield from self._fetch(of, url, Part(start, WINDOW))
        if not start and (listed := _listed(data)) is not None:
            offset = cursor.get(of.key, 0)
            cursor[of.key] = min(offset + limit, len(listed))
            return listed[offset : offset + limit], offset + limit < len(listed)
        full = len(data) == WINDOW
        if not data.endswith(b"\n") and ((full and b"\n" in data) or (not full and not of.ended)):
            data = data[: data.rfind(b"\n") + 1]  # the rest of the line comes later
        lines = data.splitlines(keepends=True)
        skip = min(cursor.get(f"{of.key} skip", 0), len(lines))  # read before by another route
        taken = lines[: skip + limit]
        used = sum(map(len, taken))
        cursor[key], cursor[f"{of.key} skip"] = start + used, cursor.get(f"{of.key} skip", 0) - skip
        return [line.decode(errors="replace").rstrip("\r\n") for line in taken[skip:]], full or used < len(data)

    def _fetch(self, of: LogOf, url: str, part: Part) -> Flow[bytes]:
        """Fetch a part of a log; the sender gives our token to nobody but the connection's own origin."""
        return (yield from send(routes.GET_LOG_URL.at(url, part=part, ref=str(of.execution))))


def _listed(data: bytes) -> list[str] | None:
    """The lines, should the whole log be a JSON list of them: what lies behind such an address is not documented."""
    if data[:1] != b"[":
        return None
    try:
        lines = json.loads(data)
    except ValueError:
        return None
    return [str(line) for line in lines] if isinstance(lines, list) else None
