"""
Finds an execution whose start request got no answer.

The caller can choose neither an execution's id nor a comment. But a start carries a time anchor, the workflow's logical now, whose
microseconds come from the marker. It shows in the history once the first action is scheduled.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from airflow_provider.errors import ExecutionApiError, NotFound
from airflow_provider.execution.model.request import Flow
from airflow_provider.execution.model.result import utc
from airflow_provider.tracecat.api import models, requests
from airflow_provider.tracecat.ref import is_execution_id

DISPATCH_SECONDS = 35.0
"""Seconds after which an accepted start has reached Temporal, or never will."""
LOOKBACK_SECONDS = 27 * 3_600.0
"""
Age of the executions of a workflow among which the newest is looked for before one is started.

This machine's clock may be 26 hours ahead of Tracecat's: a local time that counts as UTC.
"""
_AFTER, _ANCHOR, _GIVEN = " after=", " anchor=", " given"


def anchor_of(marker: str, second: datetime) -> datetime:
    """The time anchor of a start: a moment in UTC, whose microseconds are set by the marker."""
    digits = int(hashlib.sha256(marker.encode()).hexdigest(), 16) % 999_999 + 1
    return utc(second).replace(microsecond=digits)


@dataclass(frozen=True)
class Mark:
    """
    How a start is recognised. As text, it is kept in the note that is written before the start.

    :param marker: the marker of this start, which is unique.
    :param newest: start of the workflow's newest execution before it, epoch seconds by Tracecat's clock; 0 if there was none.
    :param anchor: its time anchor. None in a note of an earlier version.
    :param given: whether the user gave the anchor, so that other starts may have the same one.
    """

    marker: str
    newest: float
    anchor: datetime | None
    given: bool = False

    def __str__(self) -> str:
        anchor = f"{_ANCHOR}{self.anchor.isoformat(timespec='microseconds')}{_GIVEN * self.given}" if self.anchor else ""
        return f"{self.marker}{_AFTER}{self.newest:.6f}{anchor}"

    @classmethod
    def parse(cls, text: str) -> Mark:
        """Read the text of a note."""
        text, _, anchor = text.partition(_ANCHOR)
        marker, _, newest = text.partition(_AFTER)
        moment, given, _ = anchor.partition(_GIVEN)
        return cls(marker, float(newest or 0.0), datetime.fromisoformat(moment) if moment else None, bool(given))


def newest_start(workspace: str, workflow: str, now: float) -> Flow[tuple[float, frozenset[str]]]:
    """Start of the workflow's newest execution, in epoch seconds, 0 if there is none of the last 27 hours; and ids of executions before."""
    return (yield from requests.newest_start(workspace, _query(workflow), now - LOOKBACK_SECONDS))


def _query(workflow: str) -> dict[str, str]:
    return {"workflow_id": workflow, "trigger": "manual"}


class Found(NamedTuple):
    """
    What a look-up has found.

    :param execution: the id of the execution.
    :param guessed: whether only circumstances speak for it.
    :param is_sure: whether finding none proves that there is none.
    """

    execution: str | None
    guessed: bool
    is_sure: bool


@dataclass(frozen=True)
class LostStart:
    """
    A start whose effect is unknown.

    :param workspace: the workspace's id.
    :param workflow: the workflow's id.
    :param mark: what was noted before the request.
    :param inputs: the trigger inputs, without the marker.
    :param correlation_key: where they hold the marker, if they do.
    :param session: whether the credential is a login rather than a key.
    :param since: epoch seconds of the request.
    :param now: epoch seconds.
    """

    workspace: str
    workflow: str
    mark: Mark
    inputs: Any
    correlation_key: str | None
    session: bool
    since: float
    now: float

    @property
    def settled(self) -> bool:
        """Whether so much time has passed that every list shows the execution, if there is one."""
        return self.now - self.since > DISPATCH_SECONDS

    def find_certain(self) -> Flow[str | None]:
        """The id of the execution that is ours beyond doubt: by the marker in its inputs, or by its time anchor."""
        views, doubtful, are_all = yield from self._candidates()
        return (yield from self._certain(views, are_known=are_all and not doubtful))

    def find(self) -> Flow[Found]:
        """
        The execution, by its marker or by circumstances.

        Circumstances count only once they are settled, and where no time anchor speaks against them: the only new execution of this user
        with these inputs.
        """
        views, doubtful, are_all = yield from self._candidates()
        if (found := (yield from self._certain(views, are_known=are_all and not doubtful))) is not None:
            return Found(found, guessed=False, is_sure=True)
        if not self.settled:
            return Found(None, guessed=False, is_sure=False)
        equal = [view for view in views if self.mark.anchor and view.time_anchor == self.mark.anchor]
        if not equal and not self.correlation_key:
            views, refuted_in_time = yield from self._not_refuted(views)
            doubtful = doubtful or not refuted_in_time
        alike: list[str] = []
        for view in equal or views:
            inputs, known = yield from self._inputs(view)
            if self.correlation_key:
                doubtful = doubtful or not known  # with other inputs, it is certainly not ours
            elif not known or not self._same(inputs):
                doubtful = True  # ours only if Tracecat returns inputs in another form
            elif (yield from requests.started_by_us(view, session=self.session)):
                alike.append(view.id)
        if len(alike) == 1 and (equal or are_all):
            return Found(alike[0], guessed=True, is_sure=True)
        return Found(None, guessed=False, is_sure=not alike and not equal and not doubtful and are_all)

    def _candidates(self) -> Flow[tuple[list[models.Execution], bool, bool]]:
        """The new executions of the workflow, oldest first; whether one could not be read; and whether these are all."""
        newest, views, doubtful = self.mark.newest, [], False
        start = requests.started_after(newest - 1.0 if newest else self.since - LOOKBACK_SECONDS)
        items, are_all = yield from requests.latest_runs(self.workspace, {**_query(self.workflow), "start_time_from": start})
        for item in reversed(items):
            if item.parent_wf_exec_id or (item.start_time is not None and item.start_time.timestamp() <= newest):
                continue
            try:
                view = (yield from requests.get_execution(self.workspace, item.id)) if is_execution_id(item.id) else None
            except NotFound:
                view = None
            if view is None:
                doubtful = True
                continue
            views.append(view)
            if self.mark.anchor and not self.mark.given and view.time_anchor == self.mark.anchor:
                break
        return views, doubtful, are_all

    def _certain(self, views: list[models.Execution], *, are_known: bool) -> Flow[str | None]:
        """:param are_known: whether these are all that may be ours."""
        equal = [view for view in views if self.mark.anchor and view.time_anchor == self.mark.anchor]
        if equal and not self.mark.given:
            return equal[0].id
        if self.correlation_key:
            for view in views:
                inputs, _ = yield from self._inputs(view)
                if isinstance(inputs, dict) and inputs.get(self.correlation_key) == self.mark.marker:
                    return view.id
            return None
        # Six digits are not unique among all starts that were given the same second.
        if len(equal) != 1 or not self.settled or not are_known:
            return None
        inputs, known = yield from self._inputs(equal[0])
        alike = known and self._same(inputs) and (yield from requests.started_by_us(equal[0], session=self.session))
        return equal[0].id if alike else None

    def _not_refuted(self, views: list[models.Execution]) -> Flow[tuple[list[models.Execution], bool]]:
        """
        Those that may be ours, if none has our time anchor.

        :returns: the executions, and whether none of the others may still show our anchor.
        """
        if self.mark.anchor is None or not views:
            return views, True
        try:
            taken = yield from requests.takes_time_anchor()
        except ExecutionApiError:
            taken = False
        if not taken:
            return views, True
        without = [view for view in views if view.time_anchor is None]
        return [view for view in without if view.close_time], all(view.close_time for view in without)

    def _inputs(self, view: models.Execution) -> Flow[tuple[Any, bool]]:
        """The inputs of an execution, and whether they could be read."""
        try:
            return (yield from requests.get_compact(self.workspace, view.id)).trigger_inputs, True
        except NotFound:
            return None, False

    def _same(self, inputs: Any) -> bool:
        return (inputs or None) == (json.loads(json.dumps(self.inputs)) or None)
