"""What all operators and sensors for AlgaPSA have: connection, colour, what to say of one that does not move."""

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
    "Releases of AlgaPSA up to 1.4 have nothing that works executions off: one that is pending may stay so for ever. Check in AlgaPSA "
    "whether it moves at all before you raise the timeout."
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
    """Mixin of the operators that set an execution going."""

    def _again(self, hook: AlgaPsaHook, known: Snapshot) -> Flow[Snapshot]:
        """The one request. Refused, it may be that an earlier one, whose answer was lost, has taken effect by now."""
        if known.phase.ended and known.phase is not Phase.FAILED:
            raise ConfigurationError(
                f"AlgaPSA execution {known.ref} is {known.status}: only failed ones can be retried. Execute the rule again instead.",
                system="alga_psa",
                ref=known.ref,
            )
        try:
            return (yield from hook.adapter().resume(known.ref))
        except Conflict:
            now = yield from hook.adapter().read(known.ref)
            if signature(now) == signature(known):
                raise
            return now

    def _how_to_find(self, note: Note) -> str:
        """Where the marker is."""
        if note.resumes:
            return f"Look whether execution {note.resumes} runs again."
        return f"Look for an execution whose trigger data holds {note.marker}; releases up to 1.4, which answer 500 to this, start none."
