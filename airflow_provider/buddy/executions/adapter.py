"""The adapter that gives Buddy's executions as snapshots."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, cast

from airflow_provider.buddy.api import models, requests, routes
from airflow_provider.buddy.executions.logs import PAGE, TAIL, LogOf, LogReader
from airflow_provider.buddy.executions.mapping import phase_of, snapshot_of
from airflow_provider.buddy.ref import MIN_REVISION_CHARACTERS, BuddyRef
from airflow_provider.errors import (
    ExecutionApiError,
    Forbidden,
    NotFound,
    ProtocolError,
    RateLimited,
    ServerError,
    StatusError,
    TransportError,
    Unauthorized,
)
from airflow_provider.execution.http.reading import as_sent
from airflow_provider.execution.model.adapter import ExecutionAdapter, Glance, Memo, Overview
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import UNCHANGED, Flow, LastAnswer, Pages, send
from airflow_provider.execution.model.snapshot import Cursor, LogLine, Snapshot, Step, block_of, signature

MAX_FAILURES = 3
"""Number of actions whose details may fail in one read before those of the others are left out unread."""


class BuddyAdapter(ExecutionAdapter):
    """Gives snapshots of Buddy's executions."""

    name = "buddy"
    title = "Buddy"

    @cached_property
    def _logs(self) -> LogReader:
        return LogReader()

    @cached_property
    def _gate_comments(self) -> dict[int, str | None]:
        """Action id to the text of a gate, as its definition has it."""
        return {}

    def read(self, ref: str) -> Flow[Snapshot]:
        """``GET .../executions/:id``: status, gates and the list of action executions."""
        parsed = BuddyRef.parse(ref)
        execution = yield from send(routes.GET_EXECUTION(ref=ref, **parsed.path))
        yield from self.add_gate_comments(parsed, execution.action_executions)
        return snapshot_of(parsed, execution)

    def read_again(self, ref: str, last: LastAnswer) -> Flow[Snapshot | None]:
        """Like :meth:`read`; None if the answer has not changed."""
        parsed = BuddyRef.parse(ref)
        execution = yield from send(routes.GET_EXECUTION(ref=ref, last=last, **parsed.path))
        if execution is UNCHANGED:
            return None
        yield from self.add_gate_comments(parsed, execution.action_executions)
        return snapshot_of(parsed, execution)

    def add_gate_comments(self, ref: BuddyRef, actions: Sequence[models.ActionExecution]) -> Flow[None]:
        """``GET .../actions/:id`` of each waiting gate, once: executions do not contain the text for the person who approves."""
        for item in actions:
            gate = item.action
            if phase_of(item.status) is not Phase.WAITING or gate.comment or gate.id is None:
                continue
            if gate.id not in self._gate_comments:
                try:
                    definition = yield from send(
                        routes.GET_ACTION(action=gate.id, workspace=ref.workspace, project=ref.project, pipeline=ref.pipeline)
                    )
                except (TransportError, RateLimited, ServerError):
                    continue  # the next poll asks again
                except (StatusError, ProtocolError):
                    self._gate_comments[gate.id] = None  # not a reason to stop waiting
                else:
                    self._gate_comments[gate.id] = definition.comment
            gate.comment = self._gate_comments[gate.id]

    def overview(self, ref: str) -> Overview | None:
        """``GET .../pipelines/:pipeline_id/executions``."""
        parsed = BuddyRef.parse(ref)
        pages = requests.glances(parsed.workspace, parsed.project, parsed.pipeline)
        pipeline, behind = f"{parsed.workspace}/{parsed.project}/{parsed.pipeline}", str(parsed).removeprefix(str(parsed.whole))

        def page(cursor: Any) -> Flow[tuple[list[Glance], Any]]:
            items, cursor = yield from pages(cursor)
            return [Glance(f"{pipeline}/{item.id}{behind}", item.status) for item in items], cursor

        return Overview((parsed.workspace, parsed.project, str(parsed.pipeline)), str(parsed), page)

    def details(self, ref: str) -> Flow[Snapshot]:
        """``GET .../executions/:id``, then ``GET .../action_executions/:id`` for each action that ran: variables, errors, actors, log."""
        parsed = BuddyRef.parse(ref)
        execution = yield from send(routes.GET_EXECUTION(ref=ref, **parsed.path))
        execution.action_executions, omitted, unread = yield from self.in_detail(parsed, execution.action_executions)
        if "action_executions" in as_sent(execution):
            omitted["action_executions"] = "some of them are not what the API's contract says"
        yield from self.add_gate_comments(parsed, execution.action_executions)
        snapshot = snapshot_of(parsed, execution)
        snapshot.unread = unread
        return (yield from self.completed(parsed, snapshot, execution.action_executions, omitted))

    def in_detail(
        self, ref: BuddyRef, actions: Sequence[models.ActionExecution]
    ) -> Flow[tuple[list[models.ActionExecution], dict[str, str], ExecutionApiError | None]]:
        """
        ``GET .../action_executions/:id`` for each action that ran.

        :returns: the actions; why some could not be read; and an error that may pass, if there was one.
        """
        unread: ExecutionApiError | None = None
        failures = 0
        omitted: dict[str, str] = {}
        detailed: list[models.ActionExecution] = []
        for item in actions:
            if item.id is None or phase_of(item.status) in (Phase.QUEUED, Phase.SKIPPED):
                detailed.append(item)
                continue
            if failures == MAX_FAILURES:  # the API is down: each further request would take its time to fail
                omitted[f"{item.action.name}.*"] = f"the action's details were not read, since those of others failed: {unread}"
                detailed.append(item)
                continue
            try:
                full = yield from send(routes.GET_ACTION_EXECUTION(ref=str(ref), action_execution=item.id, **ref.path))
            except (Unauthorized, Forbidden, RateLimited):
                raise
            except (TransportError, StatusError, ProtocolError) as error:
                if isinstance(error, (TransportError, ServerError)):
                    unread, failures = error, failures + 1
                omitted[f"{item.action.name}.*"] = f"the action's details could not be read: {error}"
                full = item
            if "outputted_variables" in as_sent(full):
                omitted[f"{item.action.name}.*"] = "some of the action's variables are not what the API's contract says"
            if full.action_execution_id is None:
                full.action_execution_id = item.id
            full.log = full.log[-TAIL:]  # of all actions together, whole logs would be much
            detailed.append(full)
        return detailed, omitted, unread

    def completed(
        self, ref: BuddyRef, snapshot: Snapshot, actions: Sequence[models.ActionExecution], omitted: dict[str, str]
    ) -> Flow[Snapshot]:
        """Add the outputs of the steps to a snapshot, and the tail of the log of the failed or last step."""
        snapshot.outputs_omitted = omitted
        snapshot.settled = snapshot.settled and not omitted
        for step in snapshot.steps:
            snapshot.outputs.update(step.outputs)
        ran = [(step, action) for step, action in zip(snapshot.steps, actions, strict=True) if step.started_at]
        failed = [pair for pair in ran if pair[0].phase is Phase.FAILED and not pair[0].tolerated]
        if ran:
            step, action = (failed or ran)[-1]
            try:
                snapshot.log_tail = yield from self._logs.tail(LogOf.step(ref, step), action if action.log or action.log_url else None)
            except (TransportError, StatusError, ProtocolError) as error:
                if isinstance(error, RateLimited) and not error.elsewhere:
                    raise
                if isinstance(error, (TransportError, ServerError)) and not error.elsewhere:
                    snapshot.unread = error
                snapshot.log_problem = str(error)
        told = snapshot.log_tail or snapshot.log_problem
        if not told and snapshot.phase is Phase.FAILED and any(step.phase is Phase.FAILED for step in snapshot.steps):
            snapshot.settled = False  # the log of what failed lags behind
        return snapshot

    def new_lines(self, snapshot: Snapshot, cursor: Cursor, limit: int) -> Flow[list[LogLine]]:
        """``GET .../action_executions/:id/logs`` from the cursor on, or the routes of older installations."""
        lines: list[LogLine] = []
        for step, of in _unread(snapshot, cursor):
            more = True
            while more and len(lines) < limit:
                try:
                    texts, more = yield from self._logs.lines(of, cursor, min(PAGE, limit - len(lines)))
                except ExecutionApiError as error:
                    if error.elsewhere and step.phase.ended:
                        texts, more = [_unread_log(error)], False
                        cursor[f"{of.key} read"] = 1
                    elif lines:
                        return lines  # the cursor is behind them; the next call raises the error
                    else:
                        raise
                lines += [LogLine(step.name, text) for text in texts]
                if not texts and not more and step.phase.ended:
                    cursor[f"{of.key} read"] = 1  # complete: not read again
        return lines

    def new_blocks(self, snapshot: Snapshot, cursor: Cursor) -> Flow[list[tuple[str, bytes | bytearray]]]:
        """Like :meth:`new_lines`, in blocks of whole lines."""
        for step, of in _unread(snapshot, cursor):
            more = True
            while more:
                try:
                    block, more = yield from self._logs.block(of, cursor)
                except ExecutionApiError as error:
                    if not (error.elsewhere or isinstance(error, ProtocolError)):
                        raise
                    block, more = block_of([_unread_log(error)]), False
                    cursor[f"{of.key} read"] = 1
                if block:
                    return [(step.name, block)]
        return []

    def cancel(self, ref: str) -> Flow[None]:
        """
        ``PATCH .../executions/:id``, ``CANCEL``.

        Cancelling is asynchronous. An execution that has ended, or is being cancelled, stays as it is.
        """
        parsed = BuddyRef.parse(ref)
        try:
            yield from send(routes.CANCEL_EXECUTION(ref=ref, body={"operation": "CANCEL"}, **parsed.path))
        except (Unauthorized, Forbidden):
            raise
        except StatusError as error:
            if (error.status or 500) >= 500:
                raise
            snapshot = yield from self.read(ref)
            if not snapshot.phase.ended and snapshot.phase is not Phase.STOPPING:
                raise

    def resume(self, ref: str) -> Flow[Snapshot]:
        """
        ``PATCH .../executions/:id``, ``RETRY``. It is not documented whether the id stays: the answer tells.

        :raises ProtocolError: if the answer shows an execution that somebody else started.
        """
        parsed = BuddyRef.parse(ref)
        execution = yield from requests.retry_execution(ref)
        if execution.id != parsed.execution and execution.comment:
            try:
                marker = _MARKER.search((yield from requests.get_execution(ref)).comment or "")
            except ExecutionApiError as error:  # the retry itself may have worked
                raise ProtocolError(
                    f"Buddy answered the retry with execution {execution.id}, and then: {error}", system=self.name
                ) from None
            if marker and marker[0] not in execution.comment:
                raise ProtocolError(f"Buddy answered the retry with execution {execution.id}, whose comment is not ours.", system=self.name)
        return snapshot_of(BuddyRef(parsed.workspace, parsed.project, parsed.pipeline, execution.id), execution)

    def before_resume(self, snapshot: Snapshot) -> Flow[str]:
        """Its state, and the newest execution of the pipeline: a retry with a new id is newer."""
        parsed = BuddyRef.parse(snapshot.ref)
        items, _ = yield from requests.executions(parsed.workspace, parsed.project, parsed.pipeline)(None)
        return f"{signature(snapshot)}{_NEWEST}{max((item.id for item in items), default=parsed.execution)}"

    def resumed(self, ref: str, before: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """
        Whether it runs again, under its id or as a newer execution with the marker of its start in the comment.

        A newer one that only looks alike may be anybody's: it is not taken, and it leaves unknown whether the request took effect.
        """
        parsed = BuddyRef.parse(ref)
        state, _, newest = before.rpartition(_NEWEST)
        execution = yield from requests.get_execution(ref)
        if signature(snapshot := snapshot_of(parsed, execution)) != state:
            return [snapshot], True
        marker = _MARKER.search(execution.comment or "")
        items, certain = yield from self._newer_than(parsed, int(newest))
        ours: list[Snapshot] = []
        for item in items:
            if item.comment is None:  # a list may leave it out
                try:
                    item = yield from requests.get_execution(str(BuddyRef(parsed.workspace, parsed.project, parsed.pipeline, item.id)))
                except NotFound:
                    certain = False
                    continue
            if marker and marker[0] in (item.comment or ""):
                ours.append(snapshot_of(BuddyRef(parsed.workspace, parsed.project, parsed.pipeline, item.id), item))
            elif _may_be_again(execution, item):
                certain = False
        return (ours, True) if len(ours) == 1 else ([], certain and not ours)

    def _newer_than(self, ref: BuddyRef, newest: int) -> Flow[tuple[list[models.Execution], bool]]:
        """The executions of the pipeline with a higher id, and whether these are all."""
        newer: dict[int, models.Execution] = {}
        page, cursor = requests.executions(ref.workspace, ref.project, ref.pipeline), None
        for _ in range(requests.MAX_LIST_PAGES):
            items, cursor = yield from page(cursor)
            newer.update((item.id, item) for item in items if item.id > newest)
            if cursor is None or any(item.id <= newest for item in items):
                return list(newer.values()), True
        return list(newer.values()), False

    def listed(self, where: Mapping[str, Any], memo: Memo) -> Pages[Snapshot]:
        """``GET .../pipelines/:pipeline_id/executions``, newest first."""
        workspace, project = where["workspace"], where["project"]

        def page(cursor: Any) -> Flow[tuple[list[Snapshot], Any]]:
            if "pipeline" not in memo:
                memo["pipeline"] = yield from requests.resolve_pipeline(workspace, project, where["pipeline"])
            pipeline = cast("int", memo["pipeline"])
            items, cursor = yield from requests.executions(workspace, project, pipeline)(cursor)
            return [snapshot_of(BuddyRef(workspace, project, pipeline, item.id), item) for item in items], cursor

        return page

    def matches(self, where: Mapping[str, Any], snapshot: Snapshot) -> Flow[bool | None]:
        """By branch, tag, revision and comment; ``GET .../executions/:id`` where the list leaves them out."""
        criteria = {name: where[name] for name in ("branch", "tag", "revision", "comment") if where.get(name)}
        fields = snapshot.system_fields
        if any(fields.get(_FIELDS[name]) is None for name in criteria):
            try:
                fields = (yield from self.read(snapshot.ref)).system_fields
            except NotFound:
                return None
        fits = [_fits(name, text, fields.get(_FIELDS[name])) for name, text in criteria.items()]
        if all(fits):
            return True
        # A queued execution may not know its revision yet.
        return None if snapshot.phase is Phase.QUEUED and "revision" in criteria and fields.get("to_revision") is None else False


def _unread_log(error: ExecutionApiError) -> str:
    """Instead of a log that can't be read, so that it does not hide those of other actions."""
    return f"(The log of this action could not be read: {error})"


def _unread(snapshot: Snapshot, cursor: Cursor) -> Iterator[tuple[Step, LogOf]]:
    """The steps whose logs may have unread lines."""
    ref = BuddyRef.parse(snapshot.ref)
    for step in snapshot.steps:
        of = LogOf.step(ref, step)
        if (step.id or step.definition) and step.phase not in (Phase.QUEUED, Phase.SKIPPED) and not cursor.get(f"{of.key} read"):
            yield step, of


_NEWEST = " newest="
_MARKER = re.compile(r"\[airflow-[0-9a-f]{20}\]")
"""The marker of a start in the comment, see :func:`~airflow_provider.execution.attempt.note.next_note`. It is random."""
_FIELDS = {"branch": "branch", "tag": "tag", "revision": "to_revision", "comment": "comment"}


def _fits(name: str, wanted: str, actual: object) -> bool:
    if actual is None:
        return False
    text = str(actual)
    if name == "comment":
        return wanted in text
    if name == "revision":  # either may be the short form
        return len(text) >= MIN_REVISION_CHARACTERS and (text.startswith(wanted) or wanted.startswith(text))
    return wanted == text


def _may_be_again(execution: models.Execution, newer: models.Execution) -> bool:
    """Whether a newer execution may be another one run again: neither commit nor comment tells them apart."""
    first, second = _revision(execution), _revision(newer)
    if first is not None and second is not None and first != second:
        return False
    return "comment" in as_sent(newer) or not newer.comment or newer.comment == execution.comment


def _revision(execution: models.Execution) -> str | None:
    return execution.to_revision.revision if execution.to_revision else None
