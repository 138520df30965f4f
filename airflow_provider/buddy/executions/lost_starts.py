"""Finds an execution whose start request got no answer."""

from __future__ import annotations

from airflow_provider.buddy.api import requests
from airflow_provider.buddy.executions.mapping import snapshot_of
from airflow_provider.buddy.ref import BuddyRef
from airflow_provider.errors import NotFound
from airflow_provider.execution.http.reading import as_sent
from airflow_provider.execution.model.request import Flow
from airflow_provider.execution.model.result import utc
from airflow_provider.execution.model.snapshot import Snapshot

CLOCK_AHEAD = 26 * 3_600.0
"""Seconds that this machine's clock may be ahead of Buddy's: a local time that counts as UTC. What is older proves that all were seen."""
CLOCK_SKEW = 300.0
"""Seconds that it usually differs at most. Used where an error starts nothing twice."""


MIN_CUT = 64
"""Characters of a comment that may be the beginning of a longer one."""


def comment_with(marker: str, comment: str | None) -> str:
    """The user's comment with the marker behind it."""
    return f"{comment} [{marker}]" if comment else f"[{marker}]"


def find_started(
    workspace: str, project: str, pipeline: int, marker: str, since: float, comment: str | None = None
) -> Flow[tuple[list[Snapshot], bool]]:
    """
    Look for executions whose comment holds ``marker``.

    ``GET .../executions``, and ``GET .../executions/:id`` for those whose list item has no comment.

    :param comment: the user's.
    :returns: the executions found, oldest first: others are copies of ours. And whether all candidates could be checked: one with the
        beginning of the comment may be ours, if Buddy has cut it.
    """
    snapshots: list[Snapshot] = []
    certain, sent = True, comment_with(marker, comment)
    page, cursor = requests.executions(workspace, project, pipeline), None
    for _ in range(requests.MAX_LIST_PAGES):
        items, cursor = yield from page(cursor)
        for item in items:
            ref = BuddyRef(workspace, project, pipeline, item.id)
            if item.comment is None:
                try:
                    item = yield from requests.get_execution(str(ref))
                except NotFound:
                    certain = False
                    continue
            told = item.comment or ""
            certain = certain and "comment" not in as_sent(item) and not (MIN_CUT <= len(told) < len(sent) and sent.startswith(told))
            if marker in told:
                snapshots.append(snapshot_of(ref, item))
        dated = [utc(item.start_date).timestamp() for item in items if item.start_date]
        if cursor is None or (dated and max(dated) < since - (CLOCK_SKEW if snapshots else CLOCK_AHEAD)):
            return snapshots[::-1], certain
    return snapshots[::-1], False
