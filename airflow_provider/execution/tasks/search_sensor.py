"""The base of sensors that search for an execution and wait for it. See :mod:`airflow_provider.execution.waiting.search`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, ClassVar

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.model.arguments import moment, one_of
from airflow_provider.execution.tasks.execution_task import HookT
from airflow_provider.execution.tasks.sensor import ExecutionSensor
from airflow_provider.execution.tasks.target import Target

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Unpack

    from airflow_provider.execution.tasks.rendering import Kind
    from airflow_provider.execution.tasks.signatures import SensorArguments
    from airflow_provider.execution.waiting.search import Match, Search


class ExecutionSearchSensor(ExecutionSensor[HookT]):
    """
    Base of the sensors that wait for an execution that a person, a schedule or a webhook starts.

    Once found, an execution is kept: the next poke, a reschedule or a retry waits for the same one. Start and end times are those of the
    remote system; an execution that has not started yet counts as starting now. There are no bounds by default. Base a bound on
    ``dag_run.run_after``: with Airflow 3's cron schedules the data interval of a run has zero width, and manual runs have none.

    :param started_after: only executions that started at this moment (ISO 8601 or datetime) or later.
    :param started_before: only executions that started before this moment.
    :param finished_after: only executions that ended at this moment or later, or have not ended.
    :param match: ``"first"``: the execution that started first; ``"latest"``: the newest one at the time of the search;
        ``"first_succeeded"``: the first that succeeds; others are passed over until ``timeout``.
    """

    template_fields: Sequence[str] = ("started_after", "started_before", "finished_after", *ExecutionSensor.template_fields)
    argument_kinds: ClassVar[Mapping[str, Kind]] = {"started_after": "moment", "started_before": "moment", "finished_after": "moment"}

    def __init__(
        self,
        *,
        started_after: datetime | str | None = None,
        started_before: datetime | str | None = None,
        finished_after: datetime | str | None = None,
        match: Match = "first",
        **kwargs: Unpack[SensorArguments],
    ) -> None:
        super().__init__(**kwargs)
        one_of(match, ("first", "latest", "first_succeeded"), "match")
        self.started_after = started_after
        self.started_before = started_before
        self.finished_after = finished_after
        self.match = match

    def _where(self, hook: HookT) -> tuple[str, dict[str, object]]:
        """
        A description of what to find, for messages, and the system's own criteria.

        :raises ConfigurationError: for bad arguments.
        """
        raise NotImplementedError

    def _target(self, hook: HookT) -> Target:
        """The search."""
        return Target(search=self._search(hook))

    def _search(self, hook: HookT) -> Search:
        subject, where = self._where(hook)
        after, before, finished = (self._bound(name) for name in ("started_after", "started_before", "finished_after"))
        if after is not None and before is not None and after >= before:
            raise ConfigurationError(f"started_after ({self.started_after}) is not before started_before ({self.started_before}).")
        return {
            "what": subject,
            "where": where,
            "match": self.match,
            "started_after": after,
            "started_before": before,
            "finished_after": finished,
        }

    def _bound(self, name: str) -> float | None:
        value = moment(getattr(self, name), name)
        return None if value is None else value.timestamp()
