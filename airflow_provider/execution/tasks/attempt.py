"""An attempt of a task in one process: its execution, and what it has pushed about it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider._compat import AirflowFailException, AirflowSkipException
from airflow_provider.execution.attempt.page_xcom import VIEW_KEY, can_read_results, push_for_page
from airflow_provider.execution.attempt.termination import TaskKey
from airflow_provider.execution.results.view import ViewWrites, view_of

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.model.snapshot import Snapshot
    from airflow_provider.execution.waiting.completion import Completion, Ending


class Attempt:
    """
    What an attempt knows about its execution. Made when Airflow runs the task.

    :param context: Airflow's context of the task.
    :param link_key: XCom key of the system's link.
    """

    def __init__(self, context: Context, link_key: str) -> None:
        self.context = context
        self.key = TaskKey.of(context["ti"])
        self.ref: str | None = None
        self.url: str | None = None
        self.snapshot: Snapshot | None = None
        """The execution, as it was read last."""
        self._link_key = link_key
        self._announced: tuple[str, str | None] | None = None
        self._result_pushed = False
        self._views = ViewWrites()

    @property
    def _ti(self) -> Any:
        return self.context["ti"]

    def announce(self, ref: str, url: str | None) -> bool:
        """
        Push ref, URL and link, once per process: Airflow deletes them between attempts and between pokes.

        :returns: whether they have changed.
        """
        self.ref, self.url = ref, url
        if self._announced == (ref, url):
            return False
        self._announced = ref, url
        self._ti.xcom_push(key="ref", value=ref)
        self._ti.xcom_push(key="url", value=url)
        push_for_page(self.key, self._link_key, url)
        return True

    def note_view(self, hook: ExecutionHook, snapshot: Snapshot, *, at_once: bool = False) -> None:
        """
        Write the view of the execution for Airflow's web interface, if it is due. The task goes on without.

        :param hook: hook of the task's connection; knows what must not be shown.
        :param at_once: whether this is the last one.
        """
        self._views.see(snapshot)
        if self._views.due_in() == 0.0 or at_once:
            self._views.written()
            try:
                push_for_page(self.key, VIEW_KEY, view_of(hook.conn_type, hook.conn_id, snapshot, hook.secrets))
            except Exception:
                self._views.failed()

    def push(self, ending: Ending) -> None:
        """Push the XComs of the task's end, besides its result."""
        for name, value in ending.xcoms.items():
            self._ti.xcom_push(key=name, value=value)
        self._result_pushed = self._result_pushed or "execution" in ending.xcoms

    def push_failure(self, completion: Completion) -> None:
        """Push what is known about the execution if the task fails and nothing was pushed yet: tasks that handle the failure need it."""
        if self._result_pushed or not self.ref:
            return
        with suppress(Exception):  # the error of the task matters more
            self._ti.xcom_push(key="execution", value=completion.unfinished(self.ref, self.url, self.snapshot))
            self._result_pushed = True
        if self.snapshot is not None and not can_read_results():
            self.note_view(completion.hook, self.snapshot, at_once=True)


def ends_task(context: Context, error: Exception) -> bool:
    """Whether the task is over with this error: Airflow does not retry it."""
    ti: Any = context["ti"]
    return isinstance(error, (AirflowSkipException, AirflowFailException)) or ti.try_number > (ti.max_tries or 0)
