"""
XComs that Airflow's web interface reads: links, and the view of an execution.

The interface does not know a custom XCom backend: it would show what the backend has stored, such as a path. So these go past it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider import _compat

if TYPE_CHECKING:
    from airflow_provider.execution.attempt.termination import TaskKey

LINK_PREFIX = "_link_"
"""How the XCom keys of Airflow's links begin."""
VIEW_KEY = "execution_view"
"""XCom key of :class:`~airflow_provider.execution.results.view.ExecutionView`."""


def is_for_page(key: str) -> bool:
    """Whether the web interface reads an XCom."""
    return key == VIEW_KEY or key.startswith(LINK_PREFIX)


def can_read_results() -> bool:
    """Whether the web interface can read the other XComs, too: there is no custom backend."""
    from airflow.sdk.bases.xcom import BaseXCom
    from airflow.sdk.execution_time.xcom import XCom

    return XCom is BaseXCom


def push_for_page(task: TaskKey, key: str, value: Any) -> None:
    """
    Set an XCom in a worker.

    :param key: key of the link, or of the view.
    """
    from airflow.sdk.bases.xcom import BaseXCom

    BaseXCom.set(key, value, **task._asdict())


async def apush_for_page(task: TaskKey, key: str, value: Any) -> None:
    """Set an XCom in a triggerer."""
    from airflow.sdk.bases.xcom import BaseXCom

    await _compat.aset_xcom(BaseXCom, key, value, **task._asdict())


def delete_for_page(task: TaskKey, key: str) -> None:
    """Delete an XCom: a custom backend would look for a value in its storage."""
    from airflow.sdk.bases.xcom import BaseXCom

    BaseXCom.delete(key, **task._asdict())
