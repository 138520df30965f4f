"""Finds an execution whose start request got no answer."""

from __future__ import annotations

from airflow_provider.alga_psa.api import requests, routes
from airflow_provider.alga_psa.executions.mapping import MARKER_KEY, snapshot_of
from airflow_provider.execution.http.reading import as_sent
from airflow_provider.execution.model.request import Flow, send
from airflow_provider.execution.model.result import utc
from airflow_provider.execution.model.snapshot import Snapshot

CLOCK_AHEAD = 26 * 3_600.0
"""Seconds that this machine's clock may be ahead of AlgaPSA's: a local time that counts as UTC. What is older proves that all were seen."""
CLOCK_SKEW = 300.0
"""Seconds that it usually differs at most. Used where an error starts nothing twice."""


def find_started(rule: str, marker: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
    """
    Look for executions of a rule whose data holds ``marker`` (``GET /automation/executions``).

    The time is compared here: with the server's filter, an execution that it leaves out looks like one that does not exist.

    :returns: the executions found, oldest first: others are copies of ours. And whether all candidates could be checked.
    """
    snapshots: list[Snapshot] = []
    count, certain = 0, True
    page, cursor = requests.executions(rule=rule), None
    for _ in range(requests.MAX_LIST_PAGES):
        items, cursor = yield from page(cursor)
        count += len(items)
        certain = certain and not any("trigger_data" in as_sent(item) for item in items)
        snapshots += [snapshot_of(item) for item in items if item.trigger_data.get(MARKER_KEY) == marker]
        dated = [utc(item.started_at).timestamp() for item in items if item.started_at]
        if cursor is None or (dated and max(dated) < since - (CLOCK_SKEW if snapshots else CLOCK_AHEAD)):
            return snapshots[::-1], certain and (count > 0 or (yield from _never_executed(rule, since)))
    return snapshots[::-1], False


def _never_executed(rule: str, since: float) -> Flow[bool]:
    """
    Whether an empty list of a rule's executions is true: the rule counts them too (``GET /automation/rules/{id}``).

    AlgaPSA passes the whole query of a list to its store, which may find nothing for that reason alone.
    """
    counted = (yield from send(routes.GET_RULE(rule=rule))).data
    if counted.last_executed is not None:
        return utc(counted.last_executed).timestamp() < since - CLOCK_AHEAD
    return counted.execution_count == 0
