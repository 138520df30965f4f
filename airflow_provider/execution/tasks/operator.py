"""The base of all operators that start an execution: start it once, wait for it, push its outputs, cancel it with the task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowRuntimeError

from airflow_provider._compat import AirflowSkipException, AirflowTaskTimeout, TaskDeferralTimeout, conf
from airflow_provider.errors import ExecutionApiError
from airflow_provider.execution.attempt.note import NOTE_KEY, Note, forget_task_state, load_note, save_note
from airflow_provider.execution.model.arguments import count, flag, one_of, seconds
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.request import Sleep
from airflow_provider.execution.results.redaction import clean
from airflow_provider.execution.tasks.attempt import ends_task
from airflow_provider.execution.tasks.cancel_on_kill import CancelOnKill
from airflow_provider.execution.tasks.execution_task import HookT, OnPartial, OnSkipped, OnWaiting
from airflow_provider.execution.tasks.start_once import PlanT, StartOnce, StartsExecution

if TYPE_CHECKING:
    from typing import Literal

    from airflow.sdk import Context
    from typing_extensions import Unpack

    from airflow_provider.execution.model.adapter import ExecutionAdapter
    from airflow_provider.execution.model.request import Flow
    from airflow_provider.execution.model.result import ExecutionResult
    from airflow_provider.execution.model.snapshot import Snapshot
    from airflow_provider.execution.results.outcome import End, Outcome
    from airflow_provider.execution.tasks.attempt import Attempt
    from airflow_provider.execution.tasks.signatures import AirflowArguments
    from airflow_provider.execution.waiting.wait import WaitPolicy, WaitState

CANCEL_PAUSES = (1.0, 2.0, 4.0)
"""Seconds between the reads of an execution that was asked to cancel, before its task ends."""


class ExecutionOperator(StartsExecution[HookT, PlanT], BaseOperator):
    """
    Base of the operators that start an execution in another system and, by default, wait for its end.

    :param wait_for_completion: wait for the execution to end; otherwise the task succeeds as soon as it is started.
    :param deferrable: wait in the triggerer, without occupying a worker slot.
    :param poll_interval: maximum polling interval (seconds or timedelta). Polling starts at 10 s and backs off to it.
    :param timeout: how long the execution may take (seconds or timedelta), from its start and across retries of the task. After that it
        is cancelled and the task fails. Not ``execution_timeout``, which Airflow measures in workers only. (If the system can't cancel,
        the execution continues.)
    :param waiting_timeout: how long it may wait for manual approval in total; after that it is cancelled and the task fails. None: up to
        7 days. Time spent waiting for a person does not count against ``timeout``.
    :param on_retry: after a failed execution, ``"start"`` a new one or ``"resume"`` it by the system's own retry.
    :param on_skipped: what the task does if the execution was skipped: ``"skip"``, ``"fail"`` or ``"succeed"``.
    :param on_waiting: what the task does when the execution waits for manual approval: ``"wait"``, or ``"fail"`` or ``"succeed"`` at once
        (the execution is left as it is).
    :param on_partial: what the task does if the execution succeeded with failed steps: ``"succeed"`` or ``"fail"``.
    :param cancel_on_kill: cancel the execution when a person or Airflow ends the task.
    :param push_outputs: names of outputs to push as XComs of their own; a missing one fails the task. ``"*"`` also pushes all others,
        without overwriting existing keys.
    :param reveal_outputs: names of secret outputs that may go into XCom in plain text.
    :param outputs_path: folder (see ``ObjectStoragePath``) for outputs over 48 KiB; without it they are left out.
    :param log_path: folder (see ``ObjectStoragePath``) for the whole remote log.
    :param log_lines: maximum number of remote log lines to show in the task's log while it waits; the tail is always shown.
    """

    template_fields: Sequence[str] = ("push_outputs", "reveal_outputs", "outputs_path", "log_path")

    start_grace: float | None = None
    """Seconds that a started execution may take to appear, in a system that answers the start request before there is one."""
    _starting: ClassVar[type[StartOnce[Any, Any]]] = StartOnce
    _kill: CancelOnKill | None = None
    _interrupted = False

    def __init__(
        self,
        *,
        wait_for_completion: bool = True,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poll_interval: timedelta | float = 30.0,
        timeout: timedelta | float = timedelta(hours=24),
        waiting_timeout: timedelta | float | None = None,
        on_retry: Literal["start", "resume"] = "start",
        on_skipped: OnSkipped = "skip",
        on_waiting: OnWaiting = "wait",
        on_partial: OnPartial = "succeed",
        cancel_on_kill: bool = True,
        push_outputs: Sequence[str] = (),
        reveal_outputs: Sequence[str] = (),
        outputs_path: str | None = None,
        log_path: str | None = None,
        log_lines: int = 2_000,
        **kwargs: Unpack[AirflowArguments],
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = flag(wait_for_completion, "wait_for_completion")
        self.deferrable = flag(deferrable, "deferrable")
        self.poll_interval = seconds(poll_interval, "poll_interval")
        self.timeout = seconds(timeout, "timeout")
        self.waiting_timeout = None if waiting_timeout is None else seconds(waiting_timeout, "waiting_timeout")
        self.on_retry = on_retry
        self.on_skipped = on_skipped
        self.on_waiting = on_waiting
        self.on_partial = on_partial
        self.cancel_on_kill = flag(cancel_on_kill, "cancel_on_kill") and self.owns_execution
        self.push_outputs = push_outputs
        self.reveal_outputs = reveal_outputs
        self.outputs_path = outputs_path
        self.log_path = log_path
        self.log_lines = count(log_lines, "log_lines")
        one_of(on_retry, ("start", "resume"), "on_retry")
        self._check_choices()

    def _wait_policy(self) -> WaitPolicy:
        return {
            "timeout": self.timeout,
            "deadline": None,
            "waiting_timeout": self.waiting_timeout,
            "waiting_counts": False,
            "stop_on_waiting": self.on_waiting != "wait",
            "poll_interval": self.poll_interval,
            "poll_failure_budget": self.poll_failure_budget,
            "vanish_grace": self.vanish_grace,
            "start_grace": self.start_grace,
            "log_lines": self.log_lines,
        }

    def execute(self, context: Context) -> Any:
        """
        Start the execution, or find the one that an earlier attempt started, and wait for it.

        :returns: the result (:class:`~airflow_provider.execution.model.result.ExecutionResult`); without ``wait_for_completion`` the
            result right after the start.
        :raises ExecutionError: if the execution, or the wait for it, fails.
        """
        self._check_arguments()
        self._completion().check(context)
        with self._attempting(context) as (attempt, kill):
            note, snapshot = self._starting(self, attempt, kill).attach()
            return self._follow(attempt, kill, note, snapshot)

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """Continue after the trigger's event."""
        from airflow_provider.execution.waiting.wait import WaitState

        with self._attempting(context) as (attempt, kill):
            if isinstance(event, dict) and (waited := WaitState.load(event.get("state"))) and (waited.waited or waited.waiting_since):
                self._note_waiting(context, waited)
            ref, end, state = self._read_event(attempt, event)
            if state.guessed:
                kill.spare(ref)
            return self._conclude(attempt, kill, ref, state, end)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral. Airflow's timeout of a deferral counts as ours: the execution is cancelled, and the task fails."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            from airflow_provider.execution.waiting.wait import WaitState

            note = load_note(context)
            if note is None or note.ref is None:
                raise
            with self._attempting(context) as (attempt, kill):
                attempt.url = note.url
                if note.guessed:
                    kill.spare(note.ref)
                return self._conclude(attempt, kill, note.ref, WaitState(since=note.started_at, guessed=note.guessed), "timeout")

    def on_kill(self) -> None:
        """The worker was told to stop: because a person ended the task, or because it is evicted. Only the former cancels the execution."""
        self._interrupted = True  # perhaps before anything was prepared
        if self._kill is not None:
            self._kill.kill()

    @contextmanager
    def _attempting(self, context: Context) -> Iterator[tuple[Attempt, CancelOnKill]]:
        """The attempt, with the hook open and everything prepared for a kill."""
        from airflow.sdk.log import mask_secret

        for secret in self._secrets():
            mask_secret(secret)
        attempt = self._begin_attempt(context)
        self._kill = CancelOnKill(attempt, self.hook, self.log, cancels=self.cancel_on_kill, interrupted=self._interrupted)
        with self.hook, self._kill as kill:
            try:
                yield attempt, kill
            except (ExecutionApiError, AirflowTaskTimeout) as error:
                if isinstance(error, AirflowTaskTimeout):
                    kill.end("execution_timeout has passed")
                attempt.push_failure(self._completion())
                raise

    def _follow(self, attempt: Attempt, kill: CancelOnKill, note: Note, snapshot: Snapshot) -> Any:
        from airflow_provider.execution.waiting.wait import WaitState

        assert note.ref is not None
        attempt.ref = note.ref
        if note.guessed:
            kill.spare(note.ref)
        if kill.interrupted:
            kill.end()
            kill.pause(0)
        if not self.wait_for_completion:
            attempt.snapshot = snapshot
            self._conclude_note(attempt.context, snapshot)
            return self._completion().unfinished(snapshot.ref, snapshot.url, snapshot)
        state = WaitState(since=note.started_at, waited=note.waited, waiting_since=note.waiting_since, guessed=note.guessed)
        if snapshot.phase is Phase.WAITING and note.waiting_since is None:
            # How long it has already waited is unknown, and must not count against the timeout.
            state.since = self._now()
        return self._wait(attempt, kill, note.ref, state, "ended" if snapshot.phase.ended else None)

    def _wait(self, attempt: Attempt, kill: CancelOnKill, ref: str, state: WaitState, end: End | None) -> Any:
        from airflow_provider.execution.waiting.wait import Wait

        if end is None and self.deferrable:
            self._defer(attempt, ref, state, cancel_on_kill=self.cancel_on_kill and not state.guessed)
        wait = Wait(self.hook.adapter(), ref, self._wait_policy(), state, self.log, epoch=self._epoch, hidden=self.hook.secrets)
        while end is None:
            waiting_since = state.waiting_since
            end = self.hook.run_flow(wait.poll(), wait.poll_limit)
            attempt.snapshot = wait.snapshot
            if state.waiting_since != waiting_since:
                self._note_waiting(attempt.context, state)
            if end is None:
                attempt.push_missing()
                if wait.snapshot is not None:
                    attempt.note_view(self.hook, wait.snapshot)
                kill.pause(wait.gap())
        return self._conclude(attempt, kill, ref, state, end)

    def _conclude(self, attempt: Attempt, kill: CancelOnKill, ref: str, state: WaitState, end: End) -> ExecutionResult:
        """From the end of the wait to the end of the task."""
        snapshot, end, goes_on = self._read_finally(ref, attempt.url, end)
        attempt.snapshot = snapshot
        if goes_on:
            return self._wait(attempt, kill, ref, state, None)  # type: ignore[no-any-return]
        attempt.announce(ref, snapshot.url or attempt.url)
        outcome = self._judge(self.hook.title, end, snapshot, state.problem)
        if end in ("timeout", "waiting_timeout") and outcome.error is not None and not snapshot.phase.ended:
            outcome = self._give_up(ref, outcome, guessed=state.guessed)
        try:
            result = self._finish(attempt, snapshot, outcome)
        except AirflowSkipException:
            self._conclude_note(attempt.context, snapshot)
            raise
        except Exception as error:
            if snapshot.phase.ended and ends_task(attempt.context, error):
                forget_task_state(attempt.context, NOTE_KEY)
            raise
        self._conclude_note(attempt.context, snapshot)
        return result

    def _give_up(self, ref: str, outcome: Outcome, *, guessed: bool) -> Outcome:
        """Cancel an execution after its timeout, and add to the task's error whether that succeeded."""
        adapter = self.hook.adapter()
        if not self.owns_execution:
            return outcome.adding("It was left alone.")
        if guessed:
            return outcome.adding("It was left alone, since only its circumstances say that this task has started it.")
        if not adapter.can_cancel:
            return outcome.adding(f"It continues: {self.hook.title} can't cancel executions.")
        self.log.warning("Cancelling execution %s: %s", ref, outcome.message)
        try:
            self.hook.run_flow(adapter.cancel_because("timeout", ref))
        except ExecutionApiError as error:
            return outcome.adding(f"It could not be cancelled, and may continue: {error}")
        with suppress(ExecutionApiError):
            snapshot = self.hook.run_flow(seen_stopping(adapter, ref))
            if snapshot.phase is Phase.CANCELLED:
                return outcome.adding("It was cancelled.")
            if snapshot.phase.ended:
                return outcome.adding(f"It was asked to cancel, but ended {clean(snapshot.status)}.")
        return outcome.adding("It was asked to cancel; that it has stopped was not seen yet.")

    def _note_waiting(self, context: Context, state: WaitState) -> None:
        """Note for later attempts how much of the time was spent waiting for a person."""
        note = load_note(context)
        if note is not None:
            note.waited, note.waiting_since = state.waited, state.waiting_since
            with suppress(AirflowRuntimeError):
                save_note(context, note)

    def _conclude_note(self, context: Context, snapshot: Snapshot) -> None:
        """The task is over. If the execution is not, the note stays: a clear of the task cancels it."""
        if snapshot.phase.ended and forget_task_state(context, NOTE_KEY):
            return
        note = load_note(context)
        if note is not None and not note.done:
            note.done = True
            with suppress(AirflowRuntimeError):
                save_note(context, note)


def seen_stopping(adapter: ExecutionAdapter, ref: str) -> Flow[Snapshot]:
    """Read an execution that was asked to cancel until it has ended, for a few seconds: not every system cancels at once."""
    snapshot = yield from adapter.just_changed(ref)
    for pause in CANCEL_PAUSES:
        if snapshot.phase.ended or snapshot.phase is Phase.UNKNOWN:
            break
        yield Sleep(pause)
        snapshot = yield from adapter.just_changed(ref)
    return snapshot
