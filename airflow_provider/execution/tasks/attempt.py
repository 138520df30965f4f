"""An attempt of a task in one process: its execution, and what it has pushed about it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider._compat import AirflowFailException, AirflowSkipException
from airflow_provider.errors import ExecutionInterrupted
from airflow_provider.execution.attempt.page_xcom import VIEW_KEY, can_read_results, is_for_page, push_for_page
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
    :param log: the task's log.
    """

    def __init__(self, context: Context, link_key: str, log: Any) -> None:
        self.context = context
        self._log = log
        self.key = TaskKey.of(context["ti"])
        self.ref: str | None = None
        self.url: str | None = None
        self.snapshot: Snapshot | None = None
        """The execution, as it was read last."""
        self._link_key = link_key
        self._announced: tuple[str, str | None] | None = None
        self._to_push: dict[str, Any] = {}
        self._refused: set[str] = set()
        self._result_pushed = False
        self._views = ViewWrites()

    @property
    def _ti(self) -> Any:
        return self.context["ti"]

    def announce(self, ref: str, url: str | None) -> bool:
        """
        Push ref, URL and link, once per process: Airflow deletes them between attempts and between pokes.

        What can't be pushed is tried again with each call, and by :meth:`push_missing`.

        :returns: whether they have changed.
        """
        self.ref, self.url = ref, url
        changed = self._announced != (ref, url)
        if changed:
            self._announced = ref, url
            self._to_push = {"ref": ref, "url": url, self._link_key: url}
        self.push_missing()
        return changed

    def push_missing(self) -> bool:
        """
        Push what is left of ref, URL and link.

        :returns: whether nothing is left.
        """
        for key, value in list(self._to_push.items()):
            if self.try_push(key, value):
                del self._to_push[key]
        return not self._to_push

    def try_push(self, key: str, value: Any) -> bool:
        """Push an XCom if possible: without it the execution is followed all the same."""
        try:
            if is_for_page(key):
                push_for_page(self.key, key, value)
            else:
                self._ti.xcom_push(key=key, value=value)
        except ExecutionInterrupted:
            raise
        except Exception as problem:
            if key not in self._refused:
                self._refused.add(key)
                self._log.warning(
                    "The XCom %s could not be written (%s). The task goes on, and tries it again.", key, type(problem).__name__
                )
            return False
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
            if name == "execution":  # the error of the task matters more
                self.try_push(name, value)
            else:
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
