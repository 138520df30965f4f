"""The bases of operators that act on an existing execution: cancel it, run it again, read it."""

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
"""Polling interval for an execution that is being stopped."""


class ExecutionActOperator(ExecutionOperator[HookT, PlanT], Generic[HookT, PlanT]):
    """
    Base of the operators that do something to an execution and, by default, wait for its end.

    If the execution is not the task's own (``owns_execution``), it is never cancelled: not when the task is killed or cleared, nor after
    its timeout.

    :param ref: ref of the execution.
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
        return f"Check execution {self.ref}."

    def _read_stopped(self, hook: HookT) -> Flow[Snapshot]:
        """Read the execution; if it is being stopped, wait up to ``stopping_grace`` for its end."""
        adapter, ref = hook.adapter(), self._execution()
        for _ in range(max(int(self.stopping_grace / STOPPING_POLL_SECONDS), 1)):
            snapshot = yield from adapter.read(ref)
            if snapshot.phase is not Phase.STOPPING:
                break
            yield Sleep(STOPPING_POLL_SECONDS)
        return snapshot


class _RepeatRequest(StartOnce[HookT, Snapshot]):
    """A cancel request may be sent again."""

    def attach(self) -> tuple[Note, Snapshot]:
        previous = load_note(self.attempt.context)
        return self.start(previous, cleared=previous is not None and cleared_since(previous, self.attempt.context))


class ExecutionCancelOperator(ExecutionActOperator[HookT, Snapshot]):
    """
    Base of the operators that cancel an execution. The task succeeds once the execution has ended, whatever its end is: see the result.

    No request is sent if it has ended, or is being stopped already. ``on_retry``, ``on_skipped``, ``on_partial`` and
    ``cancel_on_kill`` have no effect.

    :param ref: ref of the execution.
    """

    owns_execution = False
    started_word: ClassVar[str] = "was asked to stop"
    _starting = _RepeatRequest

    def _plan(self, hook: HookT) -> Flow[Snapshot]:
        return hook.adapter().read(self._execution())

    def _start(self, hook: HookT, plan: Snapshot, marker: str) -> Flow[Snapshot]:
        """Send the cancel request, unless the execution has ended or is being stopped."""
        adapter = hook.adapter()
        if plan.phase.ended:
            self.log.info("Execution %s had ended %s before it was cancelled.", plan.ref, plan.status)
        elif plan.phase is not Phase.STOPPING:
            yield from adapter.cancel_because("requested", plan.ref)
        return (yield from adapter.read(plan.ref))

    def _find(self, hook: HookT, plan: Snapshot, marker: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """The execution, if it is being stopped or has ended."""
        snapshot = yield from hook.adapter().read(self._execution())
        return ([snapshot] if snapshot.phase.ended or snapshot.phase is Phase.STOPPING else []), True

    def _judge(self, title: str, end: End, snapshot: Snapshot, problem: str | None = None) -> Outcome:
        if snapshot.phase.ended:
            return Outcome(f"{title} execution {snapshot.ref} ended {snapshot.status}.")
        return super()._judge(title, end, snapshot, problem)


class _ResumeOnce(StartOnce[HookT, Snapshot]):
    """Starts the system's own retry of the operator's execution."""

    def start(self, previous: Note | None, *, cleared: bool = False) -> tuple[Note, Snapshot]:
        hook = self.hook
        snapshot = hook.run_flow(self.task._plan(hook))
        if getattr(self.task, "only_ended", True) and not snapshot.phase.ended:
            raise ConfigurationError(
                f"{hook.title} execution {snapshot.ref} is {snapshot.status}: only an execution that has ended can run again. "
                f"Wait for it with a sensor, or cancel it first.{see(snapshot.url)}",
                system=hook.conn_type,
                ref=snapshot.ref,
                url=snapshot.url,
            )
        return self.resume(previous, snapshot, cleared=cleared)


class ExecutionResumeOperator(ExecutionActOperator[HookT, Snapshot]):
    """
    Base of the operators that run an execution again by the system's own retry, and wait for it. Retries of the task run it again.

    :param ref: ref of the execution.
    """

    only_ended: ClassVar[bool] = True
    """Whether only an execution that has ended can run again."""
    _starting = _ResumeOnce

    def __init__(self, *, ref: str, **kwargs: Unpack[ExecutionArguments]) -> None:
        super().__init__(ref=ref, **kwargs)
        self.on_retry = "resume"  # a retry of the task resumes it once more

    def _plan(self, hook: HookT) -> Flow[Snapshot]:
        return self._read_stopped(hook)


class ExecutionGetOperator(ExecutionTask[HookT], BaseOperator):
    """
    Base of the operators that read an execution as it is, without waiting.

    :param ref: ref of the execution.
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
        Read the execution.

        :returns: the result (:class:`~airflow_provider.execution.model.result.ExecutionResult`), whatever its phase.
        :raises NotFound: if it does not exist.
        """
        from airflow_provider.execution.results.redaction import tail_without_keys

        self._check_arguments()
        self._completion().check(context)
        attempt = self._begin_attempt(context)
        with self.hook as hook:
            snapshot = hook.run_flow(hook.adapter(**self._view()).details(self._execution()))
            snapshot.log_tail = tail_without_keys(snapshot.log_tail)
            self._completion().hide_in(snapshot)
            attempt.snapshot = snapshot
            attempt.announce(snapshot.ref, snapshot.url)
            return self._finish(attempt, snapshot, Outcome(f"{hook.title} execution {snapshot.ref} is {snapshot.status}."))
