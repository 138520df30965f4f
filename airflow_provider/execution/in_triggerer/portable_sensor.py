"""What the triggerer asks of a sensor that it has made again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider.execution.waiting.completion import Completion
    from airflow_provider.execution.waiting.search import Search
    from airflow_provider.execution.waiting.wait import WaitPolicy


@dataclass(frozen=True)
class TriggererWait:
    """
    A wait that the triggerer begins and ends in place of a worker.

    :param ref, search: the execution, or how to find it.
    :param link_key: XCom key of the system's link.
    :param do_xcom_push: whether the result is pushed.
    """

    completion: Completion
    ref: str | None
    search: Search | None
    link_key: str
    policy: WaitPolicy
    do_xcom_push: bool


class PortableSensor(Protocol):
    """A sensor that can begin and end in the triggerer."""

    def wait_in_triggerer(self, context: Context) -> TriggererWait:
        """What to wait for, and how the task ends."""
