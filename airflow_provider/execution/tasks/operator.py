"""The base of all operators that start an execution: start once, wait, hand its outputs on, cancel it with the task."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator, conf
from airflow.sdk.exceptions import AirflowRuntimeError, AirflowSkipException, AirflowTaskTimeout, TaskDeferralTimeout

from airflow_provider import _clock
from airflow_provider.errors import (
    ExecutionApiError,
    ExecutionInterrupted,
    NotFound,
    ProtocolError,
    RateLimited,
    ServerError,
    StartUnknown,
    StatusError,
    TransportError,
)
from airflow_provider.execution.attempt.note import Note, cleared_since, load_note, next_note, save_note
from airflow_provider.execution.attempt.termination import (
    ASK_SECONDS,
    KILL_SECONDS,
    WORD_SECONDS,
    TaskKey,
    Verdict,
    ask,
    leave_word,
    within,
)
from airflow_provider.execution.model.arguments import one_of, seconds
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.snapshot import Snapshot, see
from airflow_provider.execution.results.outcome import Outcome
from airflow_provider.execution.tasks.completion import ExecutionTask, OnPartial, OnSkipped, OnWaiting

if TYPE_CHECKING:
    from typing import Literal

    from airflow.sdk import Context

    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.http.senders import Sender
    from airflow_provider.execution.model.request import Flow
    from airflow_provider.execution.model.result import ExecutionResult
    from airflow_provider.execution.results.outcome import End
    from airflow_provider.execution.waiting.wait import WatchPolicy, WatchState

    Find = Callable[[], Flow[tuple[list[Snapshot], bool]]]


class ExecutionOperator(ExecutionTask, BaseOperator):
    """
    Base of the operators that start an execution in another system and, by default, follow it to its end.

    :param wait_for_completion: follow the execution; otherwise succeed as soon as it is started.
    :param deferrable: wait in the triggerer, without a worker slot.
    :param poll_interval: seconds; the longest gap between two looks. Polling starts faster and backs off to it.
    :param timeout: how long the execution may take, from its start, across retries of the task; then it is cancelled and the task
        fails. Not ``execution_timeout``, which Airflow measures in workers only. (Where the system can't cancel, it goes on.)
    :param waiting_timeout: how long it may wait for a person in all; then it is cancelled and the task fails. None: up to 7 days.
        Time spent waiting for a person does not count against ``timeout``.
    :param on_retry: after a failed execution, ``"start"`` a new one or ``"resume"`` it by the system's own retry.
    :param on_skipped: what a skipped execution makes of the task: ``"skip"``, ``"fail"`` or ``"succeed"``.
    :param on_waiting: ``"wait"`` for the person; ``"fail"`` or ``"succeed"`` at once (the execution is left as it is).
    :param on_partial: whether an execution that succeeded with failed steps makes the task ``"succeed"`` or ``"fail"``.
    :param cancel_on_kill: cancel the execution when a person or Airflow ends the task.
    :param push_outputs: names of outputs to push as XComs of their own; a missing one fails the task. ``"*"`` adds all others.
    :param reveal_outputs: names of secret outputs that may go into XCom in plain text.
    :param outputs_path: folder (as of ``ObjectStoragePath``) for outputs over 48 KiB; without it they are left out.
    :param log_path: folder (as of ``ObjectStoragePath``) for the whole remote log.
    :param log_lines: how many remote log lines to show in the task's log while it waits; the tail is always shown.
    """

    template_fields: Sequence[str] = ("push_outputs", "reveal_outputs", "outputs_path", "log_path")

    owns_execution: ClassVar[bool] = True
    """Whether the execution is this task's own: only then it is cancelled with the task, or when it takes too long."""
    can_start_again: ClassVar[bool] = True
    """Whether there is anything to start anew once the execution has failed."""
    started_word: ClassVar[str] = "started"
    start_grace: float | None = None
    """Seconds that a started execution may take to appear, where its start is answered before it is done."""
    lookup_pauses: ClassVar[Sequence[float]] = (0.0, 2.0, 5.0, 10.0, 15.0)
    """Seconds before each look-up of an execution that may have been started: lists lag behind."""
    stopping_grace: ClassVar[float] = 60.0
    """Seconds that an earlier try's execution, which is being stopped, is waited for before a new one is started."""

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
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval = seconds(poll_interval, "poll_interval")
        self.timeout = seconds(timeout, "timeout")
        self.waiting_timeout = None if waiting_timeout is None else seconds(waiting_timeout, "waiting_timeout")
        self.on_retry = on_retry
        self.on_skipped = on_skipped
        self.on_waiting = on_waiting
        self.on_partial = on_partial
        self.cancel_on_kill = cancel_on_kill and self.owns_execution
        self.push_outputs = push_outputs
        self.reveal_outputs = reveal_outputs
        self.outputs_path = outputs_path
        self.log_path = log_path
        self.log_lines = log_lines
        one_of(on_retry, ("start", "resume"), "on_retry")
        self._check_common()
        if log_lines < 0:
            raise ValueError(f"log_lines must not be negative, but is {log_lines!r}")
        self._interrupted = False
        self._unanswered: tuple[Find, Note] | None = None
        self._killer: tuple[ExecutionHook, Sender, TaskKey] | None = None

    # What a system's operator says:

    def plan(self, hook: Any) -> Flow[Any]:
        """
        Find out what to start, before anything is started.

        :raises ConfigurationError: for bad input.
        """
        raise NotImplementedError

    def start(self, hook: Any, plan: Any, marker: str) -> Flow[Snapshot]:
        """Send the one start request, with ``marker`` in it if the API has a place for it."""
        raise NotImplementedError

    def find(self, hook: Any, plan: Any, marker: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """
        Look for executions that carry ``marker``, started after ``since`` (epoch seconds).

        :returns: those found, and whether finding none proves that none was started.
        """
        raise NotImplementedError

    def mark(self, plan: Any, marker: str) -> str:
        """By what :meth:`find` knows: a marker that travels with the request, or, where none can, the state before it."""
        return marker

    def again(self, hook: Any, known: Snapshot) -> Flow[Snapshot]:
        """Send the one request that runs a failed execution again; by default the system's own retry."""
        snapshot: Snapshot = yield from hook.adapter().resume(known.ref)
        return snapshot

    def how_to_find(self, note: Note) -> str:
        """What a person is to look at, if it can't be told whether a request took effect."""
        if note.resumes:
            return f"Look whether execution {note.resumes} runs again."
        return f"Look for an execution whose comment or input holds {note.marker}, or that was started at that time."

    # What all of them do:

    def watch_policy(self) -> WatchPolicy:
        """How to wait."""
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
        Start the execution, or find the one that an earlier try started, and follow it.

        :returns: the result (:class:`~airflow_provider.execution.model.result.ExecutionResult`); without ``wait_for_completion`` as
            it is right after the start.
        """
        self._check_before_start(context)
        with self._hook(context) as hook:
            note, snapshot = self._attach(context, hook)
            return self._follow(context, hook, note, snapshot)

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """Go on when the trigger has seen the end."""
        from airflow_provider.execution.waiting.wait import WatchState

        with self._hook(context) as hook:
            if isinstance(event, dict) and (left := WatchState.load(event.get("state"))) and (left.waited or left.waiting_since):
                self._note_waiting(context, left)
            ref, end, state = self._read_event(event)
            self._ref = ref
            return self._conclude(context, hook, ref, state, end)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume after a deferral. Airflow's own deferral timeout, the back-stop, ends as our timeout does: cancelled, then failed."""
        try:
            return super().resume_execution(next_method, next_kwargs, context)
        except TaskDeferralTimeout:
            from airflow_provider.execution.waiting.wait import WatchState

            note = load_note(context)
            if note is None or note.ref is None:
                raise
            self.execution_url = note.url
            with self._hook(context) as hook:
                return self._conclude(context, hook, note.ref, WatchState(since=note.started_at), "timeout")

    @contextmanager
    def _hook(self, context: Context) -> Iterator[ExecutionHook]:
        """The hook, open, with all that a kill needs made ready: there is no time for it then."""
        from airflow.sdk.log import mask_secret

        for secret in self.secrets():
            mask_secret(secret)
        with self.make_hook() as hook:
            hook.pause_with(self._pause)
            hook.open()
            sender = hook.new_sender()
            self._killer = (hook, sender, TaskKey.of(context["ti"]))
            try:
                yield hook
            except (ExecutionApiError, AirflowTaskTimeout) as error:
                if isinstance(error, AirflowTaskTimeout):
                    self._end_on_kill("execution_timeout has passed")
                self._tell(context)
                raise
            finally:
                if self._killer is not None:  # else a cancel request may still be under way on it
                    self._killer = None
                    sender.close()

    # Which execution is ours

    def _attach(self, context: Context, hook: ExecutionHook) -> tuple[Note, Snapshot]:
        """Start an execution, or go on with the one of an earlier try."""
        before = load_note(context)
        cleared = before is not None and cleared_since(before, context)
        if before is None or before.refused:
            return self._start(context, hook, next_note(context, before, cleared=cleared, now=self._now()))
        self._ref, self.execution_url = before.ref, before.url
        if before.ref is not None and not cleared:
            self._announce(context, before.ref, before.url)
        try:
            known = self._known(hook, before, cleared=cleared)
        except StartUnknown as error:
            if not cleared:
                raise
            self.log.warning("%s The task was cleared by a person, so a new one is started.", error)
            known = None
        if cleared and known is not None and not known.phase.ended and self.owns_execution:
            self._stop_old(hook, known.ref)
        if cleared or known is None or known.phase is Phase.STOPPING:
            return self._start(context, hook, next_note(context, before, cleared=cleared, now=self._now()))
        if not known.phase.ended or not self.can_start_again or self._judge(hook.title, "ended", known).error is None:
            self.log.info("Going on with execution %s, started by an earlier try of this task (%s).", known.ref, known.status)
            if before.ref is None:
                before.ref, before.url = known.ref, known.url
                save_note(context, before)
            self._announce(context, known.ref, known.url)
            return before, known
        self.log.info("Execution %s of an earlier try ended %s; on_retry=%r.", known.ref, known.status, self.on_retry)
        note = next_note(context, before, cleared=False, now=self._now())
        return self._resume(context, hook, note, known) if self.on_retry == "resume" else self._start(context, hook, note)

    def _stop_old(self, hook: ExecutionHook, ref: str) -> None:
        if not hook.adapter().can_cancel:
            self.log.warning("The task was cleared; %s can't cancel execution %s of before, which goes on.", hook.title, ref)
            return
        self.log.warning("The task was cleared: cancelling execution %s of before, which still runs.", ref)
        hook.run_flow(hook.adapter().cancel(ref))

    def _known(self, hook: ExecutionHook, note: Note, *, cleared: bool) -> Snapshot | None:
        """
        The execution that an earlier try started, or may have started; None if there is none (any longer).

        One that is being stopped is given a while to end: it is no execution to follow.
        """
        if note.ref is None:
            self.log.info("An earlier try may have sent its request; looking whether it took effect (%s).", note.marker)
            find = self._find_resumed(hook, note) if note.resumes else self._find_started(hook, note)
            self._unanswered = (find, note)
            known = self._look_up(hook, find, note, "the task stopped between its request and the note of it")
            self._ref, self._unanswered = (known.ref if known else None), None
            return known if known or not note.resumes else hook.run_flow(hook.adapter().read(note.resumes))
        from airflow_provider.execution.waiting.final_read import still_there

        until = _clock.monotonic() + self.stopping_grace
        while True:
            try:
                known = hook.run_flow(still_there(hook.adapter().read, note.ref, self.vanish_grace))
            except NotFound:
                self.log.warning("Execution %s of an earlier try is gone.", note.ref)
                return None
            except (TransportError, ServerError, RateLimited, ProtocolError) as error:
                if cleared:
                    raise
                self.log.warning("%s Taking execution %s for one that goes on.", error, note.ref)
                return Snapshot(note.ref, Phase.UNKNOWN, "unknown", note.url)
            if known.phase is not Phase.STOPPING or cleared or _clock.monotonic() > until:
                return known
            self._pause(min(2.0, self.poll_interval))

    def _find_started(self, hook: ExecutionHook, note: Note) -> Find:
        plan = hook.run_flow(self.plan(hook))
        return lambda: self.find(hook, plan, note.marker, note.started_at)

    def _find_resumed(self, hook: ExecutionHook, note: Note) -> Find:
        return lambda: hook.adapter().resumed(note.resumes or "", note.marker, note.started_at)

    def _start(self, context: Context, hook: ExecutionHook, note: Note) -> tuple[Note, Snapshot]:
        plan = hook.run_flow(self.plan(hook))
        note.marker = self.mark(plan, note.marker)
        find = lambda: self.find(hook, plan, note.marker, note.started_at)  # noqa: E731
        return self._send(context, hook, note, lambda: self.start(hook, plan, note.marker), find, self.started_word)

    def _resume(self, context: Context, hook: ExecutionHook, note: Note, known: Snapshot) -> tuple[Note, Snapshot]:
        """Let the system go on with a failed execution. Its id may change."""
        note.resumes, note.marker = known.ref, hook.run_flow(hook.adapter().before_resume(known))
        return self._send(context, hook, note, lambda: self.again(hook, known), self._find_resumed(hook, note), "runs again")

    def _send(
        self, context: Context, hook: ExecutionHook, note: Note, request: Callable[[], Flow[Snapshot]], find: Find, word: str
    ) -> tuple[Note, Snapshot]:
        """Send the one request that must not take effect twice, with the intent noted before it and the ref after it."""
        for attempt in (1, 2):
            save_note(context, note)  # the intent; refused if a newer try has taken over
            self._ref, self.execution_url, self._unanswered = None, None, (find, note)
            try:
                snapshot: Snapshot | None = hook.run_flow(request())
            except ExecutionApiError as error:
                if not _may_have_worked(error):
                    self._nothing_started(context, note)
                    raise
                self.log.warning("%s Looking whether it took effect all the same.", error)
                snapshot = self._look_up(hook, find, note, str(error))
                if snapshot is None and attempt == 2:
                    self._nothing_started(context, note)
                    raise
            if snapshot is not None:
                break
            self.log.info("It did not; asking once more.")
        assert snapshot is not None
        note.ref, note.url = snapshot.ref, snapshot.url
        self._ref, self._unanswered = snapshot.ref, None
        save_note(context, note)
        self.log.info("%s execution %s %s.%s", hook.title, snapshot.ref, word, see(snapshot.url))
        self._announce(context, snapshot.ref, snapshot.url)
        return note, snapshot

    def _nothing_started(self, context: Context, note: Note) -> None:
        note.refused = True
        self._unanswered = None
        with suppress(AirflowRuntimeError):
            save_note(context, note)

    def _look_up(self, hook: ExecutionHook, find: Find, note: Note, why: str) -> Snapshot | None:
        """
        Find the execution that a request may have started.

        :returns: None if it is certain that there is none.
        :raises StartUnknown: if it can't be told.
        """
        certain = False
        for pause in self.lookup_pauses:
            self._pause(pause)
            try:
                found, certain = hook.run_flow(find())
            except (TransportError, ServerError, RateLimited, ProtocolError) as error:
                self.log.warning("%s", error)
                certain = False
                continue
            if found:
                return found[0]
        if certain:
            return None
        raise StartUnknown(
            f"{hook.title}: it can't be told whether the request took effect ({why}). It was not sent again. "
            f"{self.how_to_find(note)} A retry of the task looks again.",
            system=hook.conn_type,
        )

    # Following it

    def _follow(self, context: Context, hook: ExecutionHook, note: Note, snapshot: Snapshot) -> Any:
        from airflow_provider.execution.waiting.wait import WatchState

        assert note.ref is not None
        self._ref = note.ref
        if self._interrupted:
            self._end_on_kill()
            self._pause(0)
        if not self.wait_for_completion:
            from airflow_provider.execution.results.outputs import OutputPolicy
            from airflow_provider.execution.results.result_of import make_result

            self._conclude_note(context)
            return make_result(hook.adapter(), hook.conn_id, snapshot, OutputPolicy((), None))
        state = WatchState(since=note.started_at, waited=note.waited, waiting_since=note.waiting_since)
        if snapshot.phase is Phase.WAITING and note.waiting_since is None:
            # For how long it has waited already is not known, and must not count against the timeout.
            state.since = self._now()
        return self._wait(context, hook, note.ref, state, "ended" if snapshot.phase.ended else None)

    def _wait(self, context: Context, hook: ExecutionHook, ref: str, state: WatchState, end: End | None) -> Any:
        from airflow_provider.execution.waiting.wait import Watch

        if end is None and self.deferrable:
            self._defer(hook, ref, state, cancel_on_kill=self.cancel_on_kill)
        watch = Watch(hook.adapter(), ref, self.watch_policy(), state, self.log, epoch=self._epoch)
        while end is None:
            before = state.waiting_since
            end = hook.run_flow(watch.look())
            self._seen = watch.snapshot
            if state.waiting_since != before:
                self._note_waiting(context, state)
            if end is None:
                self._pause(watch.gap())
        return self._conclude(context, hook, ref, state, end)

    def _conclude(self, context: Context, hook: ExecutionHook, ref: str, state: WatchState, end: End) -> ExecutionResult:
        """From the end of the wait to the end of the task."""
        snapshot, end, goes_on = hook.run_flow(self._last_look(hook.adapter(**self.view()), ref, end))
        if goes_on:
            return self._wait(context, hook, ref, state, None)  # type: ignore[no-any-return]
        self._announce(context, ref, snapshot.url or self.execution_url)
        outcome = self._judge(hook.title, end, snapshot, state.problem)
        if end in ("timeout", "waiting_timeout") and outcome.error is not None and not snapshot.phase.ended:
            outcome = self._give_up(hook, ref, outcome)
        try:
            result = self._hand_on(context, hook, snapshot, outcome)
        except AirflowSkipException:
            self._conclude_note(context)
            raise
        self._conclude_note(context)
        return result

    def _give_up(self, hook: ExecutionHook, ref: str, outcome: Outcome) -> Outcome:
        """Cancel an execution that took too long, and say in the task's error whether that went well."""
        if not self.owns_execution:
            return outcome.adding("It was left alone.")
        if not hook.adapter().can_cancel:
            return outcome.adding(f"It goes on: {hook.title} can't cancel executions.")
        self.log.warning("Cancelling execution %s: %s", ref, outcome.message)
        try:
            hook.run_flow(hook.adapter().cancel(ref))
        except ExecutionApiError as error:
            return outcome.adding(f"It could not be cancelled, and may go on: {error}")
        return outcome.adding("It was cancelled.")

    def _note_waiting(self, context: Context, state: WatchState) -> None:
        """So that a later try knows how much of the time was spent waiting for a person."""
        note = load_note(context)
        if note is not None:
            note.waited, note.waiting_since = state.waited, state.waiting_since
            with suppress(AirflowRuntimeError):
                save_note(context, note)

    def _conclude_note(self, context: Context) -> None:
        note = load_note(context)
        if note is not None and not note.done:
            note.done = True
            with suppress(AirflowRuntimeError):
                save_note(context, note)

    # Being stopped

    def _pause(self, duration: float) -> None:
        """Sleep in slices, so that :meth:`on_kill`, which runs in a signal handler, can end the wait without taking a lock."""
        until = _clock.monotonic() + duration
        while True:
            if self._interrupted:
                raise ExecutionInterrupted(
                    f"The worker was told to stop while it followed execution {self._ref}. If the task was not ended by a person, "
                    "the execution goes on, and a retry re-attaches to it.",
                    ref=self._ref,
                    url=self.execution_url,
                )
            left = until - _clock.monotonic()
            if left <= 0:
                return
            _clock.sleep(min(left, 0.2))

    def on_kill(self) -> None:
        """The worker was told to stop: by a person's act, or because it is evicted. Only the first cancels the execution."""
        if not self._interrupted:
            self._interrupted = True
            self._end_on_kill()

    def _end_on_kill(self, why: str | None = None) -> None:
        """
        Cancel the execution, if ``why`` says so or else the task's state.

        All of it in a side thread, the log too: in a signal handler the main thread may hold any lock. With a client of its own.
        """
        if self._killer is None:
            return
        hook, sender, key = self._killer

        def act() -> None:
            verdict = Verdict.CANCEL if why else within(ASK_SECONDS, lambda: ask(key), Verdict.UNKNOWN)
            if verdict is Verdict.CANCEL and not why:
                within(WORD_SECONDS, lambda: leave_word(key), None)
            if not self.cancel_on_kill:
                return
            if verdict is not Verdict.CANCEL:
                self.log.info("Execution %s is left alone: %s.", self._ref, verdict.value)
                return
            if not hook.adapter().can_cancel:
                self.log.warning("Execution %s goes on: %s can't cancel executions.%s", self._ref, hook.title, see(self.execution_url))
                return
            try:
                ref = self._ref or self._unanswered_ref(hook, sender)
                if ref is None:
                    return  # not started yet; if its start is under way, this is asked again after its answer
                self._killer = None
                with sender:
                    sender.run(hook.adapter().cancel(ref))
            except ExecutionApiError as error:
                self.log.error("Execution %s could not be cancelled: %s Cancel it yourself.%s", self._ref, error, see(self.execution_url))
            else:
                self.log.warning("Execution %s was cancelled, since %s.", ref, why or verdict.value)

        def act_or_say() -> bool:
            act()
            return True

        if not within(KILL_SECONDS, act_or_say, False):
            text = "Execution %s could not be cancelled: no answer in time.%s"
            within(0.1, lambda: self.log.error(text, self._ref, see(self.execution_url)), None)

    def _unanswered_ref(self, hook: ExecutionHook, sender: Sender) -> str | None:
        """If the task is ended in the middle of the start, or while that is looked up: the execution that was started."""
        if self._unanswered is None:
            return None
        find, note = self._unanswered
        found, _ = sender.run(find())
        # A retry that has a new id is told by circumstances only: enough to follow it, not to cancel it.
        return found[0].ref if found and note.resumes in (None, found[0].ref) else None


def _may_have_worked(error: ExecutionApiError) -> bool:
    """Whether the request that ended so may have taken effect all the same."""
    if isinstance(error, TransportError):
        return error.sent
    return isinstance(error, (ServerError, ProtocolError)) or (isinstance(error, StatusError) and (error.status or 0) < 400)
