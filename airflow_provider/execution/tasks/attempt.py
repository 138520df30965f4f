"""One try of a task in one process: which execution it is about, and what of it was shown."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from airflow_provider.execution.attempt.termination import TaskKey

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider.execution.model.snapshot import Snapshot
    from airflow_provider.execution.waiting.completion import Completion, Ending


class Attempt:
    """
    What a try knows of its execution. Made when Airflow runs the task.

    :param link_key: XCom key of the system's link.
    """

    def __init__(self, context: Context, link_key: str) -> None:
        self.context = context
        self.key = TaskKey.of(context["ti"])
        self.ref: str | None = None
        self.url: str | None = None
        self.snapshot: Snapshot | None = None
        """What was read last."""
        self._link_key = link_key
        self._announced: tuple[str, str | None] | None = None
        self._result_pushed = False

    @property
    def _ti(self) -> Any:
        return self.context["ti"]

    def announce(self, ref: str, url: str | None) -> bool:
        """
        Show ref and link at once; again in every process, since Airflow deletes them between tries and between pokes.

        :returns: whether they are others than before.
        """
        self.ref, self.url = ref, url
        if self._announced == (ref, url):
            return False
        self._announced = ref, url
        self._ti.xcom_push(key="ref", value=ref)
        self._ti.xcom_push(key="url", value=url)
        self._ti.xcom_push(key=self._link_key, value=url)
        return True

    def push(self, ending: Ending) -> None:
        """Push what the task gives at its end, besides its result."""
        for name, value in ending.xcoms.items():
            self._ti.xcom_push(key=name, value=value)
        self._result_pushed = self._result_pushed or "execution" in ending.xcoms

    def tell(self, completion: Completion) -> None:
        """Push what is known of the execution, if the task fails without having done so: a failure branch wants to say what broke."""
        if self._result_pushed or not self.ref:
            return
        with suppress(Exception):  # the failure itself matters more
            self._ti.xcom_push(key="execution", value=completion.unfinished(self.ref, self.url, self.snapshot))
            self._result_pushed = True
