"""Cancels an execution when its task is terminated in a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_provider import _clock
from airflow_provider.errors import ExecutionApiError, ExecutionInterrupted, NotFound
from airflow_provider.execution.attempt.termination import (
    ASK_SECONDS,
    KILL_SECONDS,
    LOOKS,
    MARK_SECONDS,
    Verdict,
    ask,
    mark_ended_by_person,
    within,
)
from airflow_provider.execution.model.snapshot import see

if TYPE_CHECKING:
    from airflow_provider.execution.http.hook import ExecutionHook
    from airflow_provider.execution.http.senders import Sender
    from airflow_provider.execution.model.adapter import ExecutionAdapter
    from airflow_provider.execution.model.request import Flow
    from airflow_provider.execution.model.snapshot import Snapshot
    from airflow_provider.execution.tasks.attempt import Attempt


class Unanswered(NamedTuple):
    """
    A request that may have started an execution.

    :param find: finds the execution; and whether finding none proves that none was started.
    :param find_certain: finds only what is the task's own beyond doubt, so that it may be cancelled.
    :param how_to_find: for a message: what a person can check.
    """

    find: Callable[[], Flow[tuple[list[Snapshot], bool]]]
    find_certain: Callable[[], Flow[list[Snapshot]]]
    how_to_find: str


class CancelOnKill:
    """
    Cancels an execution if a person or Airflow ended its task, but not if the worker is evicted, which arrives in the same way.

    Everything runs in a side thread, logging included, since the main thread may hold any lock in a signal handler; and with a client of
    its own.

    :param attempt: knows the execution.
    :param hook: hook of the task's connection.
    :param log: the task's structured logger.
    :param cancels: whether the execution may be cancelled; otherwise only the next attempt is told.
    :param interrupted: whether the worker was told to stop before.
    """

    def __init__(self, attempt: Attempt, hook: ExecutionHook, log: Any, *, cancels: bool, interrupted: bool = False) -> None:
        self.interrupted = interrupted
        """Whether the worker was told to stop."""
        self.unanswered: Unanswered | None = None
        self._attempt, self._hook, self._log, self._cancels = attempt, hook, log, cancels
        self._sender: Sender | None = None
        self._spared: str | None = None
        self._open = False

    def __enter__(self) -> CancelOnKill:
        """Prepare what a kill needs: there is no time for it then."""
        self._hook.pause_with(self.pause)
        self._hook.open()
        self._sender, self._open = self._hook.new_sender(), True
        return self

    def __exit__(self, *exc: object) -> None:
        """From here on there is nothing to cancel."""
        self._open = False
        if (sender := self._take()) is not None:
            sender.close()

    def _take(self) -> Sender | None:
        """The sender, once: it belongs to one thread, which closes it."""
        sender, self._sender = self._sender, None
        return sender

    def pause(self, duration: float) -> None:
        """
        Sleep in short intervals, so that :meth:`kill`, which runs in a signal handler, can end it without taking a lock.

        :param duration: seconds.
        :raises ExecutionInterrupted: if the worker was told to stop.
        """
        until = _clock.monotonic() + duration
        while True:
            if self.interrupted:
                doing = f"waited for execution {self._attempt.ref}" if self._attempt.ref else "started an execution, or looked for one"
                raise ExecutionInterrupted(
                    f"The worker was told to stop while it {doing}. If the task was not ended by a person, an execution that was started "
                    "continues, and a retry re-attaches to it.",
                    ref=self._attempt.ref,
                    url=self._attempt.url,
                )
            left = until - _clock.monotonic()
            if left <= 0:
                return
            _clock.sleep(min(left, 0.2))

    def spare(self, ref: str | None) -> None:
        """Never cancel this execution: that it is the task's own is not certain. None: there is no such execution any more."""
        self._spared = ref

    def kill(self) -> None:
        """The worker was told to stop: because a person ended the task, or because it is evicted. Only the former cancels the execution."""
        if not self.interrupted:
            self.interrupted = True
            self.end()

    def end(self, reason: str | None = None) -> None:
        """
        Cancel the execution if the task's state says so. Takes at most ``KILL_SECONDS``.

        :param reason: why to cancel it without asking for the state.
        """
        if not self._open:
            return

        def act() -> bool:
            self._end(reason)
            return True

        if not within(KILL_SECONDS, act, False):
            text = "Execution %s could not be cancelled: no answer in time.%s"
            within(0.1, lambda: self._log.error(text, self._attempt.ref, see(self._attempt.url)), None)

    def _end(self, reason: str | None) -> None:
        attempt, log, adapter = self._attempt, self._log, self._hook.adapter()
        verdict = Verdict.CANCEL if reason else within(ASK_SECONDS, lambda: ask(attempt.key), Verdict.UNKNOWN)
        if verdict is Verdict.CANCEL and not reason:
            within(MARK_SECONDS, lambda: mark_ended_by_person(attempt.key), None)
        if not self._cancels:
            return
        if verdict is not Verdict.CANCEL:
            log.info("Execution %s was left alone: %s.", attempt.ref, verdict.value)
            return
        if attempt.ref is not None and attempt.ref == self._spared:
            log.warning("Execution %s was left alone: only its circumstances say that this task has started it.", attempt.ref)
            return
        if not adapter.can_cancel:
            log.warning("Execution %s continues: %s can't cancel executions.%s", attempt.ref, self._hook.title, see(attempt.url))
            return
        try:
            with self._take() or self._hook.new_sender() as sender:
                ref = attempt.ref or self._unanswered_ref(sender)
                if ref is None:
                    return  # not started yet; while its start is in progress, this is called again after the answer
                self._open = False  # it is asked for once
                _cancel(sender, adapter, ref)
        except ExecutionApiError as error:
            log.error("Execution %s could not be cancelled: %s Cancel it yourself.%s", attempt.ref, error, see(attempt.url))
        else:
            log.warning("Execution %s was asked to cancel, because %s.", ref, reason or verdict.value)

    def _unanswered_ref(self, sender: Sender) -> str | None:
        """If the task ends during the start request, or while it is looked up: the execution that was started, if it is surely ours."""
        if (search := self.unanswered) is None:
            return None
        for pause in LOOKS:
            _clock.sleep(pause)
            if executions := sender.run(search.find_certain()):
                return executions[0].ref
        text = "The task ended before its start request was answered, and no execution of it was found. One may have been started. %s"
        self._log.warning(text, search.how_to_find)
        return None


def _cancel(sender: Sender, adapter: ExecutionAdapter, ref: str) -> None:
    """Cancel an execution. One whose start was just accepted may not be there yet."""
    for pause in LOOKS:
        _clock.sleep(pause)
        try:
            return sender.run(adapter.cancel_because("killed", ref))
        except NotFound as error:
            missing = error
    raise missing
