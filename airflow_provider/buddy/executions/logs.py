"""Reads the log of an action execution by the route that the installation has: paged, inline, at an address, or by the action's id."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from airflow_provider.buddy.api import models, routes
from airflow_provider.buddy.ref import BuddyRef, action_execution_of
from airflow_provider.errors import NotFound, StatusError
from airflow_provider.execution.model.request import Flow, Pages, Part, Request, send
from airflow_provider.execution.model.snapshot import Cursor, Step, block_of

PAGE = 1_000
"""Maximum number of lines that the API gives at once."""
TAIL = 50
WINDOW = 1024 * 1024
"""Maximum number of bytes read at once of a log at an address: a longer line comes in pieces."""
BLOCK = 4 * 1024 * 1024
"""The same for whole blocks: each costs a request."""
LEAST_WINDOW = 64 * 1024
TAIL_WINDOW = 64 * 1024
MAX_TAIL_PAGES = 50
"""Maximum number of pages read to find the end of a log of unknown length."""


@dataclass(frozen=True)
class LogOf:
    """Identifies a log by the ids of the action execution and of its action; older installations may leave out either."""

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
        """Its key in a cursor."""
        return self.action_execution or f"action {self.action}"


class LogReader:
    """Flows that read logs. Remembers which routes the installation lacks."""

    def __init__(self) -> None:
        self._gone: set[tuple[str, str]] = set()
        self._addresses: dict[LogOf, str] = {}
        self._window = LEAST_WINDOW

    def lines(self, of: LogOf, cursor: Cursor, limit: int) -> Flow[tuple[list[str], bool]]:
        """
        Read the lines after ``cursor``, and advance it.

        :returns: at most ``limit`` lines, and whether more are available.
        """
        if f"{of.key} bytes" in cursor:
            return (yield from self._from_address(of, cursor, limit))
        offset = cursor.get(of.key, 0)
        page = yield from self._page(of, offset, limit)
        if page is None:
            cursor[f"{of.key} bytes"], cursor[f"{of.key} skip"] = 0, offset
            return (yield from self._from_address(of, cursor, limit))
        lines, more = page
        cursor[of.key] = offset + len(lines)
        return lines, more

    def block(self, of: LogOf, cursor: Cursor) -> Flow[tuple[bytes | bytearray, bool]]:
        """
        Like :meth:`lines`, as much as one request gives.

        :returns: complete lines in one piece, and whether more are available.
        """
        start = cursor.get(f"{of.key} bytes")
        if start is None or cursor.get(f"{of.key} skip"):
            lines, more = yield from self.lines(of, cursor, PAGE)
            return block_of(lines), more
        data = yield from self._part(of, start, BLOCK)
        full = len(data) == BLOCK
        used = data.rfind(b"\n") + 1
        cursor[f"{of.key} bytes"] = start + used
        if used < len(data) and (not used if full else of.ended):
            if full:
                _drop_cut_character(data)
            cursor[f"{of.key} bytes"] = start + len(data)
            data += b"\n"
        else:
            del data[used:]
        return data, full

    def tail(self, of: LogOf, inline: models.ActionExecution | None) -> Flow[list[str]]:
        """
        Read the last lines.

        :param inline: the action execution, if it has been read already.
        """
        if inline is not None and inline.log:
            return inline.log[-TAIL:]
        if inline is None or not inline.log_url:
            try:
                paged = yield from self._paged_tail(of)
            except NotFound:
                paged = []
            if paged:
                return paged
            inline = yield from self._whole(of)
            if inline.log or not inline.log_url:
                return inline.log[-TAIL:]
        data = yield from self._fetch(of, inline.log_url, Part(-TAIL_WINDOW, TAIL_WINDOW))
        cut = len(data) >= TAIL_WINDOW
        lines = list(_lines(data, full=False, ended=True))
        return [text for text, _, _ in (lines[1:] or lines if cut else lines)[-TAIL:]]

    def _paged_tail(self, of: LogOf) -> Flow[list[str]]:
        if not self._is_paged(of):
            return []
        first = yield from send(self._logs(of, 0, 1))
        total = first.total_element_count
        if total is not None:
            return (yield from send(self._logs(of, max(total - TAIL, 0), TAIL))).logs[-TAIL:] if total else []
        lines: list[str] = []
        offset = 0
        for _ in range(MAX_TAIL_PAGES if first.logs else 0):
            page = (yield from send(self._logs(of, offset, PAGE))).logs
            if not page:
                break
            offset += len(page)
            lines = [*lines, *page][-TAIL:]
        return lines

    def _page(self, of: LogOf, offset: int, limit: int) -> Flow[tuple[list[str], bool] | None]:
        """A page of lines, and whether there are more; None if the log is at an address."""
        missing = False
        if self._is_paged(of):
            try:
                page = yield from send(self._logs(of, offset, limit))
            except NotFound:
                missing = True
            else:
                total = page.total_element_count
                # What was read of a running action is not always still there once it has ended: it may have moved to an address.
                if page.logs or not of.ended or (offset and total is not None and total >= offset):
                    return page.logs, bool(page.logs) and (len(page.logs) >= limit if total is None else offset + len(page.logs) < total)
        whole = yield from self._whole(of)
        if missing:
            self._gone.add((of.key, "logs"))
        if whole.log_url and not whole.log:
            self._addresses[of] = whole.log_url
            return None
        return whole.log[offset : offset + limit], offset + limit < len(whole.log)

    def _is_paged(self, of: LogOf) -> bool:
        return bool(of.action_execution) and (of.key, "logs") not in self._gone

    def _logs(self, of: LogOf, offset: int, limit: int) -> Request[models.LogPage]:
        query = {"offset": offset, "limit": limit}
        return routes.GET_LOGS(ref=str(of.execution), action_execution=of.action_execution, query=query, **of.execution.path)

    def _whole(self, of: LogOf) -> Flow[models.ActionExecution]:
        """Ask the routes of older installations in turn; the ones that are missing are skipped from now on."""
        ref, path = str(of.execution), of.execution.path
        candidates: dict[str, Request[models.ActionExecution]] = {}
        if of.action_execution:
            candidates["step"] = routes.GET_ACTION_EXECUTION(ref=ref, action_execution=of.action_execution, **path)
        if of.action:
            candidates["action"] = routes.GET_ACTION_LOG(ref=ref, action=of.action, **path)
            candidates["actions"] = routes.GET_ACTIONS_LOG(ref=ref, action=of.action, **path)
        missing: NotFound | None = None
        gone: list[tuple[str, str]] = []
        for name, request in candidates.items():
            if (of.key, name) in self._gone:
                continue
            try:
                answer = yield from send(request)
            except NotFound as error:
                missing = missing or error
                gone.append((of.key, name))
            else:
                self._gone.update(gone)
                return answer
        self._gone.difference_update((of.key, name) for name in (*candidates, "logs"))
        raise missing or NotFound(f"Buddy: execution {of.execution} names neither action nor action execution.", ref=str(of.execution))

    def _from_address(self, of: LogOf, cursor: Cursor, limit: int) -> Flow[tuple[list[str], bool]]:
        start = cursor[f"{of.key} bytes"]
        size = min(self._window, WINDOW)
        while True:
            data = yield from self._part(of, start, size)
            full = len(data) == size
            if size == WINDOW or not full or b"\n" in data:
                break
            size = WINDOW
        lines: list[str] = []
        skip = cursor.get(f"{of.key} skip", 0)  # read before by another route
        used, more = 0, full
        for text, length, whole in _lines(data, full=full, ended=of.ended):
            if skip:
                skip -= whole
            elif len(lines) == limit:
                more = True
                break
            else:
                lines.append(text)
            used += length
        cursor[f"{of.key} bytes"], cursor[f"{of.key} skip"] = start + used, skip
        self._window = min(max(3 * used // 2, LEAST_WINDOW), WINDOW)
        return lines, more

    def _part(self, of: LogOf, start: int, size: int) -> Flow[bytearray]:
        """A part of the log at its address, which may expire."""
        if url := self._addresses.get(of):
            try:
                return (yield from self._fetch(of, url, Part(start, size)))
            except StatusError:
                pass
        url = self._addresses[of] = (yield from self._whole(of)).log_url or ""
        return (yield from self._fetch(of, url, Part(start, size))) if url else bytearray()

    def _fetch(self, of: LogOf, url: str, part: Part) -> Flow[bytearray]:
        """Fetch a part of a log; the sender sends the token to the connection's own origin only."""
        return (yield from send(routes.GET_LOG_URL.at(url, part=part, ref=str(of.execution))))


def log_lines(ref: str, offset: int = 0, size: int = PAGE) -> Pages[str]:
    """``GET .../action_executions/:action_execution_id/logs``, or the routes of older installations: all lines from ``offset`` on."""
    parsed, step = action_execution_of(ref)
    of, reader = LogOf(parsed, step, None), LogReader()
    cursor: Cursor = {of.key: offset}

    def page(_: object) -> Flow[tuple[list[str], bool | None]]:
        lines, more = yield from reader.lines(of, cursor, size)
        return lines, more or None

    return page


def list_log_lines(ref: str, offset: int, limit: int) -> Flow[list[str]]:
    """The first ``limit`` of the lines that :func:`log_lines` gives."""
    lines: list[str] = []
    page, position = log_lines(ref, offset, min(limit, PAGE)), None
    while len(lines) < limit:
        more, position = yield from page(position)
        lines += more
        if position is None:
            break
    return lines[:limit]


_Line = tuple[str, int, bool]
"""A line, its length in bytes, and whether it is complete."""


def _lines(data: bytes | bytearray, *, full: bool, ended: bool) -> Iterator[_Line]:
    """
    The lines of a part of a log. Only a line feed ends a line: the other routes count lines so.

    :param full: the log may go on behind the part.
    :param ended: the log is complete.
    """
    start = 0
    while end := data.find(b"\n", start) + 1:
        yield data[start:end].decode(errors="replace").rstrip("\r\n"), end - start, True
        start = end
    rest = data[start:]
    if rest and not full and ended:
        yield rest.decode(errors="replace").rstrip("\r"), len(rest), True
    elif rest and full and not start:  # no end in sight
        _drop_cut_character(piece := bytearray(rest))
        yield piece.decode(errors="replace"), len(piece), False


def _drop_cut_character(data: bytearray) -> None:
    """Remove the last character if it may be cut."""
    for back in range(1, min(4, len(data) - 1) + 1):
        if data[-back] >= 0xC0:
            del data[-back:]
            break
        if data[-back] < 0x80:
            break
