"""Bases of the operators that act on an execution which is there already: cancel it, run it again, read it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Generic

from airflow.sdk import BaseOperator

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.attempt.note import Note, cleared_since, load_note
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Sleep
from airflow_provider.execution.model.snapshot import Snapshot, see
from airflow_provider.execution.results.outcome import Outcome
from airflow_provider.execution.tasks.execution_task import ExecutionTask, HookT
from airflow_provider.execution.tasks.operator import ExecutionOperator
from airflow_provider.execution.tasks.start_once import PlanT, StartOnce

if TYPE_CHECKING:
    from airflow.sdk import Context
    from typing_extensions import Unpack

    from airflow_provider.execution.model.request import Flow
    from airflow_provider.execution.model.result import ExecutionResult
    from airflow_provider.execution.results.outcome import End
    from airflow_provider.execution.tasks.signatures import AirflowArguments, ExecutionArguments


STOPPING_POLL_SECONDS = 2.0
"""Seconds between two looks at an execution that is being stopped."""


class ExecutionActOperator(ExecutionOperator[HookT, PlanT], Generic[HookT, PlanT]):
    """
    Base of the operators that do something to an execution and, by default, wait for its end.

    Where the execution is not the task's own (``owns_execution``), it is never cancelled: not when the task is killed, cleared or takes
    too long.

    :param ref: the execution.
    """

    template_fields: Sequence[str] = ("ref", *ExecutionOperator.template_fields)

    def __init__(self, *, ref: str, **kwargs: Unpack[ExecutionArguments]) -> None:
        super().__init__(**kwargs)
        self.ref = ref

    def _execution(self) -> str:
        """
        The ref of the execution to act on.

        :raises ConfigurationError: if ``ref`` is not one.
        """
        raise NotImplementedError

    def _how_to_find(self, note: Note) -> str:
        return f"Look at execution {self.ref}."

    def _seen_stopped(self, hook: HookT) -> Flow[Snapshot]:
        """Look at the execution; one that is being stopped is given a while to end."""
        adapter, ref = hook.adapter(), self._execution()
        for _ in range(max(int(self.stopping_grace / STOPPING_POLL_SECONDS), 1)):
            snapshot = yield from adapter.read(ref)
            if snapshot.phase is not Phase.STOPPING:
                break
            yield Sleep(STOPPING_POLL_SECONDS)
        return snapshot


class _AskAgain(StartOnce[HookT, Snapshot]):
    """Asking for the end once more does no harm."""

    def attach(self) -> tuple[Note, Snapshot]:
        before = load_note(self.attempt.context)
        return self.start(before, cleared=before is not None and cleared_since(before, self.attempt.context))


class ExecutionCancelOperator(ExecutionActOperator[HookT, Snapshot]):
    """
    Base of the operators that cancel an execution. Whatever its end is, the task succeeds once it has ended: the result tells.

    An execution that has ended, or is being stopped already, is left at that. ``on_retry``, ``on_skipped``, ``on_partial`` and
    ``cancel_on_kill`` have no effect.

    :param ref: the execution.
    """

    owns_execution = False
    started_word: ClassVar[str] = "was asked to stop"
    _starting = _AskAgain

    def _plan(self, hook: HookT) -> Flow[Snapshot]:
        return hook.adapter().read(self._execution())

    def _start(self, hook: HookT, plan: Snapshot, marker: str) -> Flow[Snapshot]:
        """Ask for its end, unless that was done before."""
        adapter = hook.adapter()
        if plan.phase.ended:
            self.log.info("Execution %s had ended %s before it could be cancelled.", plan.ref, plan.status)
        elif plan.phase is not Phase.STOPPING:
            yield from adapter.cancel(plan.ref)
        return (yield from adapter.read(plan.ref))

    def _find(self, hook: HookT, plan: Snapshot, marker: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """Whether it stops, or has ended."""
        snapshot = yield from hook.adapter().read(self._execution())
        return ([snapshot] if snapshot.phase.ended or snapshot.phase is Phase.STOPPING else []), True

    def _judge(self, title: str, end: End, snapshot: Snapshot, problem: str | None = None) -> Outcome:
        if snapshot.phase.ended:
            return Outcome(f"{title} execution {snapshot.ref} ended {snapshot.status}.")
        return super()._judge(title, end, snapshot, problem)


class _ResumeOnce(StartOnce[HookT, Snapshot]):
    """What is started is the system's own retry of the execution that the operator names."""

    def start(self, before: Note | None, *, cleared: bool = False) -> tuple[Note, Snapshot]:
        hook = self.hook
        known = hook.run_flow(self.task._plan(hook))
        if getattr(self.task, "only_ended", True) and not known.phase.ended:
            raise ConfigurationError(
                f"{hook.title} execution {known.ref} is {known.status}: only one that has ended can run again. Wait for it by a sensor, "
                f"or cancel it first.{see(known.url)}",
                system=hook.conn_type,
                ref=known.ref,
                url=known.url,
            )
        return self.resume(before, known, cleared=cleared)


class ExecutionResumeOperator(ExecutionActOperator[HookT, Snapshot]):
    """
    Base of the operators that run an execution again by the system's own retry, and wait for it. Airflow's retries do so again.

    :param ref: the execution.
    """

    only_ended: ClassVar[bool] = True
    """Whether only an execution that has ended can run again."""
    _starting = _ResumeOnce

    def __init__(self, *, ref: str, **kwargs: Unpack[ExecutionArguments]) -> None:
        super().__init__(ref=ref, **kwargs)
        self.on_retry = "resume"  # of what ran again, should that have failed

    def _plan(self, hook: HookT) -> Flow[Snapshot]:
        return self._seen_stopped(hook)


class ExecutionGetOperator(ExecutionTask[HookT], BaseOperator):
    """
    Base of the operators that read an execution as it is, without waiting for anything.

    :param ref: the execution.
    :param push_outputs: names of outputs to push as XComs of their own; a missing one fails the task. ``"*"`` also pushes all others,
        without overwriting existing keys.
    :param reveal_outputs: names of secret outputs that may go into XCom in plain text.
    :param outputs_path: folder (see ``ObjectStoragePath``) for outputs over 48 KiB; without it they are left out.
    :param log_path: folder (see ``ObjectStoragePath``) for the whole remote log.
    """

    template_fields: Sequence[str] = ("ref", "push_outputs", "reveal_outputs", "outputs_path", "log_path")

    def __init__(
        self,
        *,
        ref: str,
        push_outputs: Sequence[str] = (),
        reveal_outputs: Sequence[str] = (),
        outputs_path: str | None = None,
        log_path: str | None = None,
        **kwargs: Unpack[AirflowArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.ref = ref
        self.push_outputs = push_outputs
        self.reveal_outputs = reveal_outputs
        self.outputs_path = outputs_path
        self.log_path = log_path

    def _execution(self) -> str:
        """
        The ref of the execution to read.

        :raises ConfigurationError: if ``ref`` is not one.
        """
        raise NotImplementedError

    def execute(self, context: Context) -> ExecutionResult:
        """
        Read it.

        :returns: the result (:class:`~airflow_provider.execution.model.result.ExecutionResult`), whatever its phase.
        :raises NotFound: if there is none.
        """
        from airflow_provider.execution.results.redaction import tail_without_keys

        self._completion().check(context)
        attempt = self._begin_attempt(context)
        with self.hook as hook:
            snapshot = hook.run_flow(hook.adapter(**self._view()).details(self._execution()))
            snapshot.log_tail = tail_without_keys(snapshot.log_tail)
            attempt.announce(snapshot.ref, snapshot.url)
            return self._finish(attempt, snapshot, Outcome(f"{hook.title} execution {snapshot.ref} is {snapshot.status}."))
