"""Bases of the operators that act on an execution which is there already: cancel it, run it again, read it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_provider.errors import ConfigurationError
from airflow_provider.execution.attempt.note import Note, cleared_since, load_note, next_note
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Sleep
from airflow_provider.execution.model.snapshot import see
from airflow_provider.execution.results.outcome import Outcome
from airflow_provider.execution.tasks.completion import ExecutionTask
from airflow_provider.execution.tasks.operator import ExecutionOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.model.request import Flow
    from airflow_provider.execution.model.result import ExecutionResult
    from airflow_provider.execution.model.snapshot import Snapshot
    from airflow_provider.execution.results.outcome import End


STOPPING_PAUSE = 2.0
"""Seconds between two looks at an execution that is being stopped."""


class ExecutionActOperator(ExecutionOperator):
    """
    Base of the operators that do something to an execution and, by default, follow it to its end.

    Where the execution is not the task's own (``owns_execution``), it is never cancelled: not when the task is killed, cleared or takes
    too long.

    :param ref: the execution.
    """

    template_fields: Sequence[str] = ("ref", *ExecutionOperator.template_fields)

    def __init__(self, *, ref: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.ref = ref

    def target(self) -> str:
        """
        The execution to act on.

        :raises ConfigurationError: if ``ref`` is not one.
        """
        raise NotImplementedError

    def how_to_find(self, note: Note) -> str:
        """What a person is to look at, if it can't be told whether a request took effect."""
        return f"Look at execution {self.ref}."

    def plan(self, hook: Any) -> Flow[Snapshot]:
        """Look at the execution; one that is being stopped is given a while to end."""
        system, ref = hook.adapter(), self.target()
        for _ in range(max(int(self.stopping_grace / STOPPING_PAUSE), 1)):
            snapshot: Snapshot = yield from system.read(ref)
            if snapshot.phase is not Phase.STOPPING:
                break
            yield Sleep(STOPPING_PAUSE)
        return snapshot


class ExecutionCancelOperator(ExecutionActOperator):
    """
    Base of the operators that cancel an execution. Whatever its end is, the task succeeds once it has ended: the result tells.

    An execution that has ended, or is being stopped already, is left at that. ``on_retry``, ``on_skipped``, ``on_partial`` and
    ``cancel_on_kill`` have no effect.

    :param ref: the execution.
    """

    owns_execution = False
    started_word: ClassVar[str] = "was asked to stop"
    stopping_grace: ClassVar[float] = 0.0

    def plan(self, hook: Any) -> Flow[Snapshot]:
        """Look at the execution."""
        snapshot: Snapshot = yield from hook.adapter().read(self.target())
        return snapshot

    def start(self, hook: Any, plan: Any, marker: str) -> Flow[Snapshot]:
        """Ask for its end, unless that was done before."""
        system = hook.adapter()
        if plan.phase.ended:
            self.log.info("Execution %s had ended %s before it could be cancelled.", plan.ref, plan.status)
        elif plan.phase is not Phase.STOPPING:
            yield from system.cancel(plan.ref)
        snapshot: Snapshot = yield from system.read(plan.ref)
        return snapshot

    def find(self, hook: Any, plan: Any, marker: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """Whether it stops, or has ended."""
        snapshot: Snapshot = yield from hook.adapter().read(self.target())
        return ([snapshot] if snapshot.phase.ended or snapshot.phase is Phase.STOPPING else []), True

    def _attach(self, context: Context, hook: ExecutionHook) -> tuple[Note, Snapshot]:
        """Asking once more does no harm."""
        before = load_note(context)
        cleared = before is not None and cleared_since(before, context)
        return self._start(context, hook, next_note(context, before, cleared=cleared, now=self._now()))

    def _judge(self, title: str, end: End, snapshot: Snapshot, problem: str | None = None) -> Outcome:
        if snapshot.phase.ended:
            return Outcome(f"{title} execution {snapshot.ref} ended {snapshot.status}.")
        return super()._judge(title, end, snapshot, problem)


class ExecutionResumeOperator(ExecutionActOperator):
    """
    Base of the operators that run an execution again by the system's own retry, and follow it. Airflow's retries do so again.

    :param ref: the execution.
    """

    only_ended: ClassVar[bool] = True
    """Whether only an execution that has ended can run again."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.on_retry = "resume"  # of what ran again, should that have failed

    def _start(self, context: Context, hook: ExecutionHook, note: Note) -> tuple[Note, Snapshot]:
        known = hook.run_flow(self.plan(hook))
        if self.only_ended and not known.phase.ended:
            raise ConfigurationError(
                f"{hook.title} execution {known.ref} is {known.status}: only one that has ended can run again. Wait for it by a sensor, "
                f"or cancel it first.{see(known.url)}",
                system=hook.conn_type,
                ref=known.ref,
                url=known.url,
            )
        return self._resume(context, hook, note, known)


class ExecutionGetOperator(ExecutionTask, BaseOperator):
    """
    Base of the operators that read an execution as it is, without waiting for anything.

    :param ref: the execution.
    :param push_outputs: names of outputs to push as XComs of their own; a missing one fails the task. ``"*"`` adds all others.
    :param reveal_outputs: names of secret outputs that may go into XCom in plain text.
    :param outputs_path: folder (as of ``ObjectStoragePath``) for outputs over 48 KiB; without it they are left out.
    :param log_path: folder (as of ``ObjectStoragePath``) for the whole remote log.
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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.ref = ref
        self.push_outputs = push_outputs
        self.reveal_outputs = reveal_outputs
        self.outputs_path = outputs_path
        self.log_path = log_path

    @abstractmethod
    def target(self) -> str:
        """
        The execution to read.

        :raises ConfigurationError: if ``ref`` is not one.
        """

    def execute(self, context: Context) -> ExecutionResult:
        """
        Read it.

        :returns: the result (:class:`~airflow_provider.execution.model.result.ExecutionResult`), whatever its phase.
        :raises NotFound: if there is none.
        """
        from airflow_provider.execution.results.redaction import tail_without_keys

        self._check_before_start(context)
        with self.make_hook() as hook:
            snapshot = hook.run_flow(hook.adapter(**self.view()).details(self.target()))
            snapshot.log_tail = tail_without_keys(snapshot.log_tail)
            self._announce(context, snapshot.ref, snapshot.url)
            return self._hand_on(context, hook, snapshot, Outcome(f"{hook.title} execution {snapshot.ref} is {snapshot.status}."))
