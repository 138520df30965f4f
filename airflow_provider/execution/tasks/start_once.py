"""
Start an execution once, and find it again after a crash.

1. The intent is noted, with a marker, before the one request that starts something; the ref is noted after its answer.
2. An attempt that finds a note with a ref re-attaches to that execution.
3. An attempt that finds a note without a ref searches for an execution with that marker. It starts a new one only if the search proves
   that there is none; if that is unknown, it fails with :class:`~airflow_provider.errors.StartUnknown`.
4. A request whose answer was lost is looked up in the same way, and sent at most once more; never, if it was answered with an execution
   that is not ours.
5. After a clear by a person a new execution is started, and the previous one is cancelled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from airflow.sdk.exceptions import AirflowRuntimeError

from airflow_provider import _clock, _metrics
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
    from airflow_provider.execution.tasks.cancel_on_kill import CancelOnKill

PlanT = TypeVar("PlanT")
_GUESSED = "only its circumstances, such as its time and its inputs, say that this task has started it."


class NotOurs(ProtocolError):
    """The answer to a start is about an execution that is not this task's: it is neither followed nor cancelled."""


class StartsExecution(ExecutionTask[HookT], Generic[HookT, PlanT]):
    """
    What a system's operator defines about its start: three flows, and what they mean.

    The plan is what :meth:`_plan` finds out for the other methods: a small frozen dataclass, or None.
    """

    on_retry: Literal["start", "resume"] = "start"
    poll_interval: float

    owns_execution: ClassVar[bool] = True
    """Whether the execution is this task's own: only then is it cancelled with the task, or after its timeout."""
    can_start_again: ClassVar[bool] = True
    """Whether a retry of the task starts something new after the execution has failed."""
    started_word: ClassVar[str] = "started"
    """For the log: what the execution did, as in "execution 4711 started"."""
    place_fields: ClassVar[Sequence[str]] = ()
    """The fields of the plan that say where the start request goes, such as a workspace and a pipeline. They are noted."""
    lookup_pauses: ClassVar[Sequence[float]] = (0.0, 2.0, 5.0, 10.0, 15.0)
    """Seconds before each lookup of an execution that may have been started: lists lag behind."""
    stopping_grace: ClassVar[float] = 60.0
    """Seconds to wait for the end of an earlier attempt's execution that is being stopped, before a new one is started."""

    def _plan(self, hook: HookT) -> Flow[PlanT]:
        """
        Check the arguments and find out what to start, before anything is started. By default there is nothing to find out.

        :returns: the plan.
        :raises ConfigurationError: for bad arguments.
        """
        return None  # type: ignore[return-value]  # the plan of an operator that has none
        yield  # a flow without requests

    def _start(self, hook: HookT, plan: PlanT, marker: str) -> Flow[Snapshot]:
        """
        Send the one start request, with ``marker`` in it if the API has a place for it.

        :raises NotOurs: if the answer shows the execution of somebody else.
        """
        raise NotImplementedError

    def _find(self, hook: HookT, plan: PlanT, marker: str, since: float) -> Flow[tuple[list[Snapshot], bool]]:
        """
        Search for executions that carry ``marker``.

        :param marker: the result of :meth:`_mark`.
        :param since: epoch seconds of the start request.
        :returns: the executions, and whether finding none proves that none was started.
        """
        raise NotImplementedError

    def _find_certain(self, hook: HookT, plan: PlanT, marker: str, since: float) -> Flow[list[Snapshot]]:
        """
        Search for executions that are this task's own beyond doubt: only such a one is cancelled.

        By default those of :meth:`_find`. To be overridden by a system whose :meth:`_find` may also go by circumstances.
        """
        executions, _ = yield from self._find(hook, plan, marker, since)
        return executions

    def _mark(self, plan: PlanT, marker: str) -> str:
        """How :meth:`_find` recognises the execution: a marker that travels with the request, or, if none can, the previous state."""
        return marker

    def _again(self, hook: HookT, snapshot: Snapshot) -> Flow[Snapshot]:
        """Send the one request that runs a failed execution again. By default the system's own retry."""
        return (yield from hook.adapter().resume(snapshot.ref))

    def _how_to_find(self, note: Note) -> str:
        """For the message: what a person can check if it is unknown whether a request took effect."""
        if note.resumes:
            return f"Check whether execution {note.resumes} runs again."
        return f"Search for an execution whose comment or input contains {note.marker}, or that was started at that time."


class StartOnce(Generic[HookT, PlanT]):
    """The protocol above, for one attempt of a task."""

    def __init__(self, task: StartsExecution[HookT, PlanT], attempt: Attempt, kill: CancelOnKill) -> None:
        self.task, self.attempt, self.kill = task, attempt, kill
        self.hook, self.log = task.hook, task.log

    def attach(self) -> tuple[Note, Snapshot]:
        """
        Start an execution, or re-attach to that of an earlier attempt.

        :returns: its note, and its snapshot.
        :raises StartUnknown: if it is unknown whether an earlier request took effect.
        """
        task, context = self.task, self.attempt.context
        previous = load_note(context)
        cleared = previous is not None and cleared_since(previous, context)
        if previous is None or previous.refused:
            return self.start(previous, cleared=cleared)
        if previous.ref is not None and previous.guessed:
            self.kill.spare(previous.ref)
        self.attempt.ref, self.attempt.url = previous.ref, previous.url
        if previous.ref is not None and not cleared:
            self.attempt.announce(previous.ref, previous.url)
        try:
            snapshot = self._earlier_execution(previous, cleared=cleared)
        except StartUnknown as error:
            if not cleared:
                raise
            self.log.warning("%s The task was cleared by a person, so a new execution is started.", error)
            snapshot = None
        if cleared and snapshot is not None and not snapshot.phase.ended and task.owns_execution:
            self._stop(snapshot.ref, guessed=previous.guessed or snapshot.guessed)
        if cleared or snapshot is None or snapshot.phase is Phase.STOPPING:
            return self.start(previous, cleared=cleared)
        if not snapshot.phase.ended or not task.can_start_again or task._judge(self.hook.title, "ended", snapshot).error is None:
            self.log.info("Re-attaching to execution %s, started by an earlier attempt of this task (%s).", snapshot.ref, snapshot.status)
            if previous.ref is None:
                previous.ref, previous.url, previous.guessed = snapshot.ref, snapshot.url, snapshot.guessed
                save_note(context, previous)
            self.attempt.announce(snapshot.ref, snapshot.url)
            return previous, snapshot
        self.log.info("Execution %s of an earlier attempt ended %s; on_retry=%r.", snapshot.ref, snapshot.status, task.on_retry)
        # Who asked to run it again may be a guess. Who started it must not be: it would be a stranger's that is run again.
        if task.on_retry != "resume" or ((previous.guessed or snapshot.guessed) and not previous.resumes):
            return self.start(previous)
        return self.resume(previous, snapshot)

    def start(self, previous: Note | None, *, cleared: bool = False) -> tuple[Note, Snapshot]:
        """Start a new execution."""
        task, note = self.task, self._next_note(previous, cleared=cleared)
        plan = self.hook.run_flow(task._plan(self.hook))
        note.marker, note.place = task._mark(plan, note.marker), self._place(plan)

        return self._send(note, lambda: task._start(self.hook, plan, note.marker), self._search(plan, note), task.started_word)

    def resume(self, previous: Note | None, snapshot: Snapshot, *, cleared: bool = False) -> tuple[Note, Snapshot]:
        """Run a failed execution again by the system's own retry. Its id may change."""
        note = self._next_note(previous, cleared=cleared)
        note.resumes, note.marker = snapshot.ref, self.hook.run_flow(self.hook.adapter().before_resume(snapshot))
        return self._send(note, lambda: self.task._again(self.hook, snapshot), self._search_resumed(note), "runs again")

    def _next_note(self, previous: Note | None, *, cleared: bool) -> Note:
        return next_note(self.attempt.context, previous, cleared=cleared, now=self.task._now())

    def _stop(self, ref: str, *, guessed: bool) -> None:
        if guessed:
            self.log.warning("The task was cleared. Execution %s was left alone: %s", ref, _GUESSED)
            return
        if not self.hook.adapter().can_cancel:
            self.log.warning(
                "The task was cleared. %s can't cancel execution %s of an earlier attempt, which continues.", self.hook.title, ref
            )
            return
        self.log.warning("The task was cleared: cancelling execution %s of an earlier attempt, which still runs.", ref)
        self.hook.run_flow(self.hook.adapter().cancel_because("cleared", ref))

    def _earlier_execution(self, note: Note, *, cleared: bool) -> Snapshot | None:
        """
        The execution that an earlier attempt started, or may have started; None if there is none, or no longer.

        If it is being stopped, this waits up to ``stopping_grace`` for its end: there is nothing to re-attach to.
        """
        from airflow_provider.execution.waiting.final_read import read_known

        adapter = self.hook.adapter()
        if note.ref is None:
            self.log.info("An earlier attempt may have sent its request. Checking whether it took effect (%s).", note.marker)
            search = self._search_resumed(note) if note.resumes else self._search(self._plan_of(note), note)
            self.kill.unanswered = search
            snapshot = self._look_up(search, note, "the task stopped between its request and the note about it")
            self.attempt.ref, self.kill.unanswered = (snapshot.ref if snapshot else None), None
            return snapshot if snapshot or not note.resumes else self.hook.run_flow(adapter.read(note.resumes))
        until = _clock.monotonic() + self.task.stopping_grace
        while True:
            try:
                snapshot = self.hook.run_flow(read_known(adapter.read, note.ref, self.task.vanish_grace))
            except NotFound:
                self.log.warning("Execution %s of an earlier attempt no longer exists.", note.ref)
                return None
            except (TransportError, ServerError, RateLimited, ProtocolError) as error:
                if cleared:
                    raise
                self.log.warning("%s Assuming that execution %s continues.", error, note.ref)
                return Snapshot(note.ref, Phase.UNKNOWN, "unknown", note.url)
            if snapshot.phase is not Phase.STOPPING or cleared or _clock.monotonic() > until:
                return snapshot
            self.kill.pause(min(2.0, self.task.poll_interval))

    def _plan_of(self, note: Note) -> PlanT:
        """The plan of an earlier start. The arguments may lead elsewhere by now: the DAG was changed, or a name was given to another."""
        plan = self.hook.run_flow(self.task._plan(self.hook))
        now = self._place(plan)
        if not note.place or note.place == now or note.place.keys() != now.keys():
            return plan
        then, there = ("/".join(map(str, place.values())) for place in (note.place, now))
        self.log.warning("The earlier request went to %s. The arguments lead to %s now. Searching where it went.", then, there)
        return replace(plan, **note.place)  # type: ignore[type-var]  # a plan with fields is a dataclass

    def _place(self, plan: PlanT) -> dict[str, Any]:
        return {name: getattr(plan, name) for name in self.task.place_fields}

    def _search(self, plan: PlanT, note: Note) -> Unanswered:
        task, where = self.task, (self.hook, plan, note.marker, note.started_at)
        return Unanswered(lambda: task._find(*where), lambda: task._find_certain(*where), task._how_to_find(note))

    def _search_resumed(self, note: Note) -> Unanswered:
        """What runs again may have been asked to by somebody else at that moment: such a request carries no marker."""

        def find() -> Flow[tuple[list[Snapshot], bool]]:
            executions, is_sure = yield from self.hook.adapter().resumed(note.resumes or "", note.marker, note.started_at)
            return [replace(execution, guessed=True) for execution in executions], is_sure

        def find_certain() -> Flow[list[Snapshot]]:
            return []
            yield  # a flow without requests

        return Unanswered(find, find_certain, self.task._how_to_find(note))

    def _send(self, note: Note, request: Callable[[], Flow[Snapshot]], search: Unanswered, word: str) -> tuple[Note, Snapshot]:
        """Send the one request that must not take effect twice, with the intent noted before and the ref after."""
        context, attempt = self.attempt.context, self.attempt
        for number in (1, 2):
            self.kill.pause(0)  # not at all, if the worker was told to stop
            self.hook.get_conn().wait_for_rate_limit()  # so that no time passes between the note and the request
            save_note(context, note)  # the intent; refused if a newer attempt has taken over
            attempt.ref, attempt.url, self.kill.unanswered = None, None, search
            try:
                snapshot: Snapshot | None = self.hook.run_flow(request())
            except ExecutionApiError as error:
                if not _may_have_worked(error):
                    self._nothing_started(note)
                    raise
                self.log.warning("%s Checking whether it took effect nevertheless.", error)
                snapshot = self._look_up(search, note, str(error), repeatable=not isinstance(error, NotOurs))
                if snapshot is None and number == 2:
                    self._nothing_started(note)
                    raise
            if snapshot is not None:
                break
            self.log.info("It did not. Sending it once more.")
        assert snapshot is not None
        if self.task.owns_execution:  # others cancel one, or open a gate
            _metrics.starts(self.hook.conn_type)
        note.ref, note.url, note.guessed = snapshot.ref, snapshot.url, snapshot.guessed
        self.kill.spare(snapshot.ref if snapshot.guessed else None)
        attempt.ref, self.kill.unanswered = snapshot.ref, None
        try:
            save_note(context, note)
        except Exception:
            with suppress(Exception):  # the refusal itself says more
                self._superseded(note, snapshot)
            raise
        if not note.guessed:
            self.log.info("%s execution %s %s.%s", self.hook.title, snapshot.ref, word, see(snapshot.url))
        attempt.announce(snapshot.ref, snapshot.url)
        return note, snapshot

    def _superseded(self, note: Note, snapshot: Snapshot) -> None:
        """
        The note was refused: a newer attempt may have taken over while the request was under way, if this one stood still for long.

        If that one has not found what was just started, nobody follows it, and it is cancelled.
        """
        newest, adapter = load_note(self.attempt.context), self.hook.adapter()
        if newest is not None and newest.ref is None and newest.marker == note.marker:
            self.log.warning(
                "Airflow did not store that execution %s is this task's. A retry, or a newer attempt that has taken over, looks for it; "
                "without one, nobody follows it.%s",
                snapshot.ref, see(snapshot.url),
            )  # fmt: skip
            return
        if (newest is not None and newest.ref == snapshot.ref) or note.resumes or note.guessed or not self.task.owns_execution:
            self.log.warning("Execution %s is left to the newer attempt of this task, which follows it.", snapshot.ref)
            return
        text = f"A newer attempt of this task has taken over. It does not know execution {snapshot.ref}, which this one had just started"
        if not adapter.can_cancel:
            self.log.error("%s: %s can't cancel it. Stop it there yourself.%s", text, self.hook.title, see(snapshot.url))
            return
        try:
            self.hook.run_flow(adapter.cancel_because("superseded", snapshot.ref))
        except ExecutionApiError as error:
            self.log.error("%s, and which could not be cancelled: %s Cancel it yourself.%s", text, error, see(snapshot.url))
        else:
            self.log.warning("%s; it was asked to cancel.", text)

    def _nothing_started(self, note: Note) -> None:
        note.refused = True
        self.kill.unanswered = None
        with suppress(AirflowRuntimeError):
            save_note(self.attempt.context, note)

    def _look_up(self, search: Unanswered, note: Note, why: str, *, repeatable: bool = True) -> Snapshot | None:
        """
        Find the execution that a request may have started.

        :param why: why its effect is unknown, for the message.
        :param repeatable: whether it is enough that none is found where all are seen, to send the request again.
        :returns: None if there is definitely none.
        :raises StartUnknown: if that is unknown.
        """
        certain = False
        for pause in self.task.lookup_pauses:
            self.kill.pause(pause)
            try:
                executions, certain = self.hook.run_flow(search.find())
            except (TransportError, ServerError, RateLimited, ProtocolError) as error:
                self.log.warning("%s", error)
                certain = False
                continue
            if executions:
                _metrics.start_lookups(self.hook.conn_type, "found")
                if executions[0].guessed:
                    self.kill.spare(executions[0].ref)
                    self.log.warning(
                        "Execution %s is taken for that of the lost request, and followed: %s It is never cancelled.%s",
                        executions[0].ref, _GUESSED, see(executions[0].url),
                    )  # fmt: skip
                return executions[0]
        _metrics.start_lookups(self.hook.conn_type, "none" if certain else "unknown")
        if certain and repeatable:
            return None
        raise StartUnknown(
            f"{self.hook.title}: it is unknown whether the request took effect ({why}). It was not sent again. "
            f"{search.how_to_find} A retry of the task checks again.",
            system=self.hook.conn_type,
        )


def _may_have_worked(error: ExecutionApiError) -> bool:
    """Whether a request that ended with this error may have taken effect."""
    if isinstance(error, TransportError):
        return error.sent
    return isinstance(error, (ServerError, ProtocolError)) or (isinstance(error, StatusError) and (error.status or 0) < 400)
