"""The base of all operators and sensors for AlgaPSA: connection, colour, hint about executions that stay pending."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from airflow_provider.errors import ConfigurationError, Conflict, ExecutionDeadlineExceeded
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.snapshot import signature
from airflow_provider.execution.results.outcome import Outcome
from airflow_provider.execution.tasks.execution_task import ExecutionTask

if TYPE_CHECKING:
    from airflow_provider.alga_psa.hook import AlgaPsaHook
    from airflow_provider.execution.attempt.note import Note
    from airflow_provider.execution.model.request import Flow
    from airflow_provider.execution.model.snapshot import Snapshot
    from airflow_provider.execution.results.outcome import End

PENDING_HINT = (
    "Releases of AlgaPSA up to 1.4 do not process executions: a pending one may stay pending forever. Check in AlgaPSA whether it is "
    "processed at all before you raise the timeout."
)


class AlgaPsaTask(ExecutionTask["AlgaPsaHook"]):
    """Mixin of AlgaPSA's operators and sensors. There is no link: AlgaPSA has no web page for an execution."""

    link_key: ClassVar[str] = "_link_AlgaPsaExecutionLink"
    ui_color = "#e8dcff"

    alga_psa_conn_id: str

    @cached_property
    def hook(self) -> AlgaPsaHook:
        """The hook for this task's connection."""
        from airflow_provider.alga_psa.hook import AlgaPsaHook

        return AlgaPsaHook(self.alga_psa_conn_id)

    def _judge(self, title: str, end: End, snapshot: Snapshot, problem: str | None = None) -> Outcome:
        outcome = super()._judge(title, end, snapshot, problem)
        if outcome.error is ExecutionDeadlineExceeded and snapshot.phase is Phase.QUEUED:
            return outcome.adding(PENDING_HINT)
        return outcome


class AlgaPsaRun(AlgaPsaTask):
    """Mixin of the operators that start or retry an execution."""

    def _again(self, hook: AlgaPsaHook, snapshot: Snapshot) -> Flow[Snapshot]:
        """The one request. If it is refused, an earlier one whose answer was lost may have taken effect."""
        if snapshot.phase.ended and snapshot.phase is not Phase.FAILED:
            raise ConfigurationError(
                f"AlgaPSA execution {snapshot.ref} is {snapshot.status}: only failed executions can be retried. Execute the rule "
                "again instead.",
                system="alga_psa",
                ref=snapshot.ref,
            )
        try:
            return (yield from hook.adapter().resume(snapshot.ref))
        except Conflict:
            current = yield from hook.adapter().read(snapshot.ref)
            if signature(current) == signature(snapshot):
                raise
            return current

    def _how_to_find(self, note: Note) -> str:
        """For the message: where the marker is."""
        if note.resumes:
            return f"Check whether execution {note.resumes} runs again."
        return f"Search for an execution whose trigger data contains {note.marker}. Releases up to 1.4 answer 500 and start none."
