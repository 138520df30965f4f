"""The interface of a sensor that is rebuilt in the triggerer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.waiting.completion import Completion
    from airflow_provider.execution.waiting.search import Search
    from airflow_provider.execution.waiting.wait import WaitPolicy


@dataclass(frozen=True)
class TriggererWait:
    """
    A wait that the triggerer starts and completes instead of a worker.

    :param completion: what completes the task once the wait is over.
    :param ref, search: the execution, or how to find it.
    :param link_key: XCom key of the system's link.
    :param policy: how to wait.
    :param do_xcom_push: whether to push the result.
    """

    completion: Completion
    ref: str | None
    search: Search | None
    link_key: str
    policy: WaitPolicy
    do_xcom_push: bool


class PortableSensor(Protocol):
    """A sensor that can start and end in the triggerer."""

    @property
    def hook(self) -> ExecutionHook:
        """The hook of its connection."""

    def wait_in_triggerer(self, context: Context) -> TriggererWait:
        """What to wait for, and how to complete the task."""
