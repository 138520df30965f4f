"""
Starting an execution once, and finding it again after a crash.

1. The intent is noted, with a marker, before the one request that starts something; the ref after its answer.
2. A try that finds a note with a ref goes on with that execution.
3. A try that finds a note without a ref looks for an execution with that marker. It starts a new one only if the look proves that there
   is none; if that can't be told, it fails with :class:`~airflow_provider.errors.StartUnknown`.
4. A request whose answer was lost is looked up in the same way, and sent once more at most.
5. After a clear by a person a new execution is started, and the one before is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

from airflow.sdk.exceptions import AirflowRuntimeError

from airflow_provider import _clock
from airflow_provider.errors import (
    ExecutionApiError,
    NotFound,
    ProtocolError,
    RateLimited,
    ServerError,
    StartUnknown,
    StatusError,
    TransportError,
)
from airflow_provider.execution.attempt.note import Note, cleared_since, load_note, next_note, save_note
from airflow_provider.execution.model.phase import Phase
from airflow_provider.execution.model.snapshot import Snapshot, see
from airflow_provider.execution.tasks.cancel_on_kill import Unanswered
from airflow_provider.execution.tasks.execution_task import ExecutionTask, HookT

if TYPE_CHECKING:
    from typing import Literal

    from airflow_provider.execution.model.request import Flow
    from airflow_provider.execution.tasks.attempt import Attempt
    from airflow_provider.execution.tasks.cancel_on_kill import CancelOnKill, Find

PlanT = TypeVar("PlanT")


class StartsExecution(ExecutionTask[HookT], Generic[HookT, PlanT]):
    """
    What a system's operator says of its start: three flows, and what they mean.

    A plan is whatever :meth:`_plan` finds out and the others need: a small frozen dataclass, or None.
    """

    on_retry: Literal["start", "resume"] = "start"
    poll_interval: float

    owns_execution: ClassVar[bool] = True
    """Whether the execution is this task's own: only then it is cancelled with the task, or when it takes too long."""
    can_start_again: ClassVar[bool] = True
    """Whether there is anything to start anew once the execution has failed."""
    started_word: ClassVar[str] = "started"
    """What the log says that the execution did: "execution 4711 started"."""
    lookup_pauses: ClassVar[Sequence[float]] = (0.0, 2.0, 5.0, 10.0, 15.0)
    """Seconds before each look-up of an execution that may have been started: lists lag behind."""
    stopping_grace: ClassVar[float] = 60.0
    """Seconds that an earlier try's execution, which is being stopped, is waited for before a new one is started."""

    def _plan(self, hook: HookT) -> Flow[PlanT]:
        """
        Check the arguments and find out what to start, before anything is started. By default there is nothing to find out.

        :raises ConfigurationError: for bad input.
        """
        return None  # type: ignore[return-value]  # the plan of an operator that has none
        yield  # a flow that asks nothing

    def _start(self, hook: HookT, plan: PlanT, marker: str) -> Flow[Snapshot]:
        """Send the one start request, with ``marker`` in it if the API has a place for it."""
        raise NotImplementedError

    def _find(self, hook: HookT, plan: PlanT, marker: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """
        Look for executions that carry ``marker``.

        :param since: epoch seconds of the start request.
        :returns: those found, and whether finding none proves that none was started.
        """
        raise NotImplementedError

    def _mark(self, plan: PlanT, marker: str) -> str:
        """By what :meth:`_find` recognises the execution: a marker that travels with the request, or, where none can, the state before."""
        return marker

    def _again(self, hook: HookT, known: Snapshot) -> Flow[Snapshot]:
        """Send the one request that runs a failed execution again; by default the system's own retry."""
        return (yield from hook.adapter().resume(known.ref))

    def _how_to_find(self, note: Note) -> str:
        """What a person is to look at, if it can't be told whether a request took effect."""
        if note.resumes:
            return f"Look whether execution {note.resumes} runs again."
        return f"Look for an execution whose comment or input holds {note.marker}, or that was started at that time."


class StartOnce(Generic[HookT, PlanT]):
    """The protocol, for one try of a task. See the module's text."""

    def __init__(self, task: StartsExecution[HookT, PlanT], attempt: Attempt, kill: CancelOnKill) -> None:
        self.task, self.attempt, self.kill = task, attempt, kill
        self.hook, self.log = task.hook, task.log

    def attach(self) -> tuple[Note, Snapshot]:
        """
        Start an execution, or go on with the one of an earlier try.

        :returns: the note of it, and the execution as it was seen.
        :raises StartUnknown: if it can't be told whether an earlier request took effect.
        """
        task, context = self.task, self.attempt.context
        before = load_note(context)
        cleared = before is not None and cleared_since(before, context)
        if before is None or before.refused:
            return self.start(before, cleared=cleared)
        self.attempt.ref, self.attempt.url = before.ref, before.url
        if before.ref is not None and not cleared:
            self.attempt.announce(before.ref, before.url)
        try:
            known = self._known(before, cleared=cleared)
        except StartUnknown as error:
            if not cleared:
                raise
            self.log.warning("%s The task was cleared by a person, so a new one is started.", error)
            known = None
        if cleared and known is not None and not known.phase.ended and task.owns_execution:
            self._stop(known.ref)
        if cleared or known is None or known.phase is Phase.STOPPING:
            return self.start(before, cleared=cleared)
        if not known.phase.ended or not task.can_start_again or task._judge(self.hook.title, "ended", known).error is None:
            self.log.info("Going on with execution %s, started by an earlier try of this task (%s).", known.ref, known.status)
            if before.ref is None:
                before.ref, before.url = known.ref, known.url
                save_note(context, before)
            self.attempt.announce(known.ref, known.url)
            return before, known
        self.log.info("Execution %s of an earlier try ended %s; on_retry=%r.", known.ref, known.status, task.on_retry)
        return self.resume(before, known) if task.on_retry == "resume" else self.start(before)

    def start(self, before: Note | None, *, cleared: bool = False) -> tuple[Note, Snapshot]:
        """Start a new execution."""
        task, note = self.task, self._next_note(before, cleared=cleared)
        plan = self.hook.run_flow(task._plan(self.hook))
        note.marker = task._mark(plan, note.marker)

        def find() -> Flow[tuple[list[Snapshot], bool]]:
            return task._find(self.hook, plan, note.marker, note.started_at)

        return self._send(note, lambda: task._start(self.hook, plan, note.marker), find, task.started_word)

    def resume(self, before: Note | None, known: Snapshot, *, cleared: bool = False) -> tuple[Note, Snapshot]:
        """Let the system go on with a failed execution. Its id may change."""
        note = self._next_note(before, cleared=cleared)
        note.resumes, note.marker = known.ref, self.hook.run_flow(self.hook.adapter().before_resume(known))
        return self._send(note, lambda: self.task._again(self.hook, known), self._find_resumed(note), "runs again")

    def _next_note(self, before: Note | None, *, cleared: bool) -> Note:
        return next_note(self.attempt.context, before, cleared=cleared, now=self.task._now())

    def _stop(self, ref: str) -> None:
        if not self.hook.adapter().can_cancel:
            self.log.warning("The task was cleared; %s can't cancel execution %s of an earlier try, which goes on.", self.hook.title, ref)
            return
        self.log.warning("The task was cleared: cancelling execution %s of an earlier try, which still runs.", ref)
        self.hook.run_flow(self.hook.adapter().cancel(ref))

    def _known(self, note: Note, *, cleared: bool) -> Snapshot | None:
        """
        The execution that an earlier try started, or may have started; None if there is none (any more).

        One that is being stopped is given a while to end: it is no execution to follow.
        """
        from airflow_provider.execution.waiting.final_read import read_known

        adapter = self.hook.adapter()
        if note.ref is None:
            self.log.info("An earlier try may have sent its request; looking whether it took effect (%s).", note.marker)
            find = self._find_resumed(note) if note.resumes else self._find_started(note)
            self.kill.unanswered = Unanswered(find, note)
            known = self._look_up(find, note, "the task stopped between its request and the note of it")
            self.attempt.ref, self.kill.unanswered = (known.ref if known else None), None
            return known if known or not note.resumes else self.hook.run_flow(adapter.read(note.resumes))
        until = _clock.monotonic() + self.task.stopping_grace
        while True:
            try:
                known = self.hook.run_flow(read_known(adapter.read, note.ref, self.task.vanish_grace))
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
            self.kill.pause(min(2.0, self.task.poll_interval))

    def _find_started(self, note: Note) -> Find:
        plan = self.hook.run_flow(self.task._plan(self.hook))
        return lambda: self.task._find(self.hook, plan, note.marker, note.started_at)

    def _find_resumed(self, note: Note) -> Find:
        return lambda: self.hook.adapter().resumed(note.resumes or "", note.marker, note.started_at)

    def _send(self, note: Note, request: Callable[[], Flow[Snapshot]], find: Find, word: str) -> tuple[Note, Snapshot]:
        """Send the one request that must not take effect twice, with the intent noted before it and the ref after it."""
        context, attempt = self.attempt.context, self.attempt
        for number in (1, 2):
            self.hook.get_conn().wait_for_rate_limit()  # so that no time passes between the note and the request
            save_note(context, note)  # the intent; refused if a newer try has taken over
            attempt.ref, attempt.url, self.kill.unanswered = None, None, Unanswered(find, note)
            try:
                snapshot: Snapshot | None = self.hook.run_flow(request())
            except ExecutionApiError as error:
                if not _may_have_worked(error):
                    self._nothing_started(note)
                    raise
                self.log.warning("%s Looking whether it took effect all the same.", error)
                snapshot = self._look_up(find, note, str(error))
                if snapshot is None and number == 2:
                    self._nothing_started(note)
                    raise
            if snapshot is not None:
                break
            self.log.info("It did not; asking once more.")
        assert snapshot is not None
        note.ref, note.url = snapshot.ref, snapshot.url
        attempt.ref, self.kill.unanswered = snapshot.ref, None
        try:
            save_note(context, note)
        except Exception:
            with suppress(Exception):  # the refusal itself says more
                self._superseded(note, snapshot)
            raise
        self.log.info("%s execution %s %s.%s", self.hook.title, snapshot.ref, word, see(snapshot.url))
        attempt.announce(snapshot.ref, snapshot.url)
        return note, snapshot

    def _superseded(self, note: Note, snapshot: Snapshot) -> None:
        """
        The note was refused: a newer attempt may have taken over while the request was under way, if this one stood still for long.

        If that one has not found what was just started, nobody follows it, and it is cancelled.
        """
        newest, adapter = load_note(self.attempt.context), self.hook.adapter()
        found = newest is not None and (newest.ref == snapshot.ref or (newest.ref is None and newest.marker == note.marker))
        if found or note.resumes:
            self.log.warning("Execution %s is left to the newer attempt of this task, which follows it or looks for it.", snapshot.ref)
            return
        text = f"A newer attempt of this task has taken over. It does not know execution {snapshot.ref}, which this one had just started"
        if not adapter.can_cancel:
            self.log.error("%s: %s can't cancel it. Stop it there yourself.%s", text, self.hook.title, see(snapshot.url))
            return
        try:
            self.hook.run_flow(adapter.cancel(snapshot.ref))
        except ExecutionApiError as error:
            self.log.error("%s, and which could not be cancelled: %s Cancel it yourself.%s", text, error, see(snapshot.url))
        else:
            self.log.warning("%s; it was cancelled.", text)

    def _nothing_started(self, note: Note) -> None:
        note.refused = True
        self.kill.unanswered = None
        with suppress(AirflowRuntimeError):
            save_note(self.attempt.context, note)

    def _look_up(self, find: Find, note: Note, why: str) -> Snapshot | None:
        """
        Find the execution that a request may have started.

        :returns: None if it is certain that there is none.
        :raises StartUnknown: if it can't be told.
        """
        certain = False
        for pause in self.task.lookup_pauses:
            self.kill.pause(pause)
            try:
                executions, certain = self.hook.run_flow(find())
            except (TransportError, ServerError, RateLimited, ProtocolError) as error:
                self.log.warning("%s", error)
                certain = False
                continue
            if executions:
                return executions[0]
        if certain:
            return None
        raise StartUnknown(
            f"{self.hook.title}: it can't be told whether the request took effect ({why}). It was not sent again. "
            f"{self.task._how_to_find(note)} A retry of the task looks again.",
            system=self.hook.conn_type,
        )


def _may_have_worked(error: ExecutionApiError) -> bool:
    """Whether the request that ended so may have taken effect all the same."""
    if isinstance(error, TransportError):
        return error.sent
    return isinstance(error, (ServerError, ProtocolError)) or (isinstance(error, StatusError) and (error.status or 0) < 400)
